"""The panel of what to draw: a prompt in words, what is understood of it, and a picker that follows it."""

from typing import Any

import gradio as gr

from diffusion import BadInput
from ui import request, status
from ui.events import NEWEST, Update
from ui.work import Work


class Prompt:
    """The panel's components, made inside a `gr.Blocks`."""

    def __init__(self, work: Work):
        self.names = work.names
        every = list(range(len(self.names)))
        first = request.words(every, self.names)
        self.text = gr.Textbox(
            first,
            label="What to draw",
            placeholder="seven, a 4 and two 3s, 2026, even digits, any",
            max_lines=1,
            elem_id="prompt",
        )
        self.hint = gr.HTML(status.hint(request.understood(first, self.names)[0]), elem_id="hint")
        self.picker = gr.CheckboxGroup(
            list(zip(self.names, every, strict=True)),
            value=every,
            label="Digits",
            show_label=False,
            elem_id="digits",
            elem_classes="words" if max(map(len, self.names)) > 2 else None,
        )
        self.text.change(self.understand, self.text, [self.hint, self.picker], **NEWEST)  # `input` misses pasting
        self.picker.input(self.pick, [self.text, self.picker], self.text, **NEWEST)

    def understand(self, prompt: Any) -> Update:
        """What a prompt means, beside it and in the picker."""
        try:
            sentence, picked = request.understood(prompt or "", self.names)
        except BadInput as error:
            return {self.hint: status.hint(str(error), unclear=True)}
        return {self.hint: status.hint(sentence), self.picker: picked or []}

    def pick(self, prompt: Any, picked: list[int]) -> str:
        return request.edited(prompt or "", picked, self.names)
