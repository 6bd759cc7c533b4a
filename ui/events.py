"""How the page's events run, what becomes of components, and what the browser does by itself."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

Update = dict[Any, Any]  # what becomes of some components

ON, OFF = gr.update(interactive=True), gr.update(interactive=False)

# For each output of an event that ever ran, the browser notes what the event under way is about, with every message and
# in a tenth of a second; not so where there is no place to show it.
HIDDEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": []}

AT_ONCE: dict[str, Any] = {"queue": False, "api_visibility": "private", **HIDDEN}
NEWEST: dict[str, Any] = {"trigger_mode": "always_last", **AT_ONCE}  # a quick second change is not lost

# The model is one, so all runs share one budget. preprocess=False: the library's checks are the only ones.
MODEL: dict[str, Any] = {
    "concurrency_id": "model",
    "concurrency_limit": 1,
    "preprocess": False,
    **HIDDEN,
}


def in_line(status: Any) -> dict[str, Any]:
    """How an event that may wait lets Gradio say in a line of status how long: assets/page.js words it."""
    return {"show_progress": "minimal", "show_progress_on": [status]}


REDRAW = "() => document.dispatchEvent(new Event('redraw'))"  # press Generate as soon as the run under way is done


def press(button: str = "#generate") -> str:
    """JavaScript that presses a button, unless it is disabled."""
    return f"() => {{ const button = document.querySelector('{button}'); if (!button.disabled) button.click(); }}"


def press_if_ready(button: str = "#generate") -> str:
    """JavaScript that presses a button after a link or a file, as soon as the run under way is done."""
    return f"""(ready) => {{
      const button = document.querySelector("{button}");
      const press = () => (button.disabled ? setTimeout(press, 50) : button.click());
      if (ready) press();
    }}"""


# Buttons made by a template, each with a number. While a run is under way they do nothing.
CHIPS = """
element.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-number]");
  if (chip && !document.querySelector("#generate").disabled) trigger("choose", { number: Number(chip.dataset.number) });
});
"""

COPY = """(query) => {
  if (!query) return;
  const link = location.origin + location.pathname + query;
  const line = document.querySelector("#%s p");
  const done = () => { line.textContent = "The link is copied: it draws the same again."; };
  if (navigator.clipboard) navigator.clipboard.writeText(link).then(done, () => prompt("Copy this link:", link));
  else prompt("Copy this link:", link);
}"""

# Presses Download as soon as the file is there.
FETCH = """(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""


def forget_refusal(line: gr.HTML, controls: Iterable[Any], instead: str) -> None:
    """Take a refusal off a line of status once a control is changed: it was about what was asked for before.

    To Gradio, a text that is emptied or pasted is no input.
    """
    kinds = [(each, "change" if isinstance(each, gr.Textbox) else "input") for each in controls]
    changes = [getattr(each, kind) for each, kind in kinds if kind in each.EVENTS and not isinstance(each, gr.HTML)]
    js = f"(line) => {{ if (line.includes('role=\"alert\"')) return {json.dumps(instead)}; }}"
    gr.on(changes, None, line, line, js=js, **AT_ONCE)


def by_choice(values: Mapping[str, Sequence[Any]]) -> str:
    """JavaScript that sets the outputs of an event to the values of what is chosen, at once.

    An answer of the server would come later, over what the visitor has typed meanwhile.
    """
    return f"(chosen) => ({json.dumps(values)})[chosen]"


def in_browser(*values: Any) -> str:
    """JavaScript that sets the outputs of an event to these values or updates before the server hears of it.

    So nothing of an earlier request is left to be read or clicked beside a new one, however slow the way there is.
    """
    return f"() => {json.dumps(values)}"
