"""The panel of what to draw: a prompt in words, what is understood of it, and a picker that follows it."""

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from diffusion import BadInput
from ui import request, status
from ui.events import AT_ONCE, NEWEST
from ui.work import Work

# An answer about a prompt that is no longer there is dropped: another one is on its way.
FOLLOW = """(answer, prompt) => {
  if (answer.prompt !== prompt) return [];
  return [answer, answer.hint, answer.digits ? [...new Set(answer.digits)] : undefined];
}"""


class Prompt:
    """The panel's components, made inside a `gr.Blocks`.

    The server reads what is typed, and the browser writes what is picked: it needs no answer for that, which might come
    after the next click, or after a press of the button.
    """

    def __init__(self, work: Work):
        self.work, self.names = work, work.names
        every = list(range(len(self.names)))
        first = self.understand(request.words(every, self.names))
        self.text = gr.Textbox(
            first["prompt"],
            label="What to draw",
            placeholder=self._placeholder(),
            max_lines=1,
            elem_id="prompt",
        )
        self.hint = gr.HTML(first["hint"], elem_id="hint")
        self.picker = gr.CheckboxGroup(
            list(zip(self.names, every, strict=True)),
            value=every,
            label=work.things.capitalize(),
            show_label=False,
            elem_id="digits",
            elem_classes="words" if max(map(len, self.names)) > 2 else None,
        )
        answer = gr.JSON(visible=False)
        understood = gr.JSON(first, visible=False)  # of what is written now, once that is known
        self.text.change(self.understand, self.text, answer, **NEWEST).then(  # `input` misses pasting
            None, [answer, self.text], [understood, self.hint, self.picker], js=FOLLOW, **AT_ONCE
        )
        self.picker.input(
            None, [understood, self.text, self.picker], [understood, self.text], js=edit(self.names), **AT_ONCE
        )

    def understand(self, prompt: Any) -> dict[str, Any]:
        """The prompt with what it means: a hint, and the digits in it and in words, None where it is not understood."""
        prompt = prompt or ""
        try:
            styles = any(pipe.offer.styles for pipe in self.work.pipes.values())
            sentence, digits, written = request.understood(prompt, self.names, styles)
        except BadInput as error:
            return {"prompt": prompt, "hint": status.hint(self.work.worded(str(error)), unclear=True), "digits": None}
        return {
            "prompt": prompt,
            "hint": status.hint(self.work.worded(sentence)),
            "digits": digits or [],
            "written": written,
        }

    def _placeholder(self) -> str:
        """Some prompts, of what is drawn here."""
        if self.work.things == "digits":
            return "seven, a 4 and two 3s, 2026, even digits, any"
        return f"{self.names[-1]}, 3 x {self.names[0]}, two of each, any"


def edit(names: Sequence[str]) -> str:
    """JavaScript for a change of the picker: what is still picked stays in the prompt, and what is new comes after it.

    It writes digits as `request.words` does, and those that are to be thick or slanted with these words.
    """
    return f"""(understood, prompt, picked) => {{
      const names = {json.dumps(names)};
      const before = (understood.prompt === prompt && understood.digits) || [];
      const phrases = understood.written || [];
      const kept = before.map((digit, k) => k).filter((k) => picked.includes(before[k]));
      const added = picked.filter((digit) => !before.includes(digit)).sort((a, b) => a - b);
      if (kept.length === before.length && !added.length) return [];
      const digits = [...kept.map((k) => before[k]), ...added];
      const written = [...kept.map((k) => phrases[k]), ...added.map((digit) => names[digit])];
      const follows = (digit, k) => digit < 10 && written[k] === `${{digits[0] + k}}`;
      const stretch = digits.length > 2 && digits.every(follows);
      const words = stretch ? `${{written[0]}}-${{written.at(-1)}}` : written.join(", ");
      return [{{ prompt: words, digits, written }}, words];
    }}"""
