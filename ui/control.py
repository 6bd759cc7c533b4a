"""What one setting is set with, which follows from its declaration."""

import json
from collections.abc import Mapping
from math import ceil, floor
from typing import Any

import gradio as gr

from diffusion.settings import Choice, Interval, Maybe, Number, Setting, Whole
from ui.events import AT_ONCE, Update

MAX_SLIDER = 100  # whole numbers: a finger hits none of more; they are a box to write in
USUAL = (1, 5, 10, 20, 50, 100)  # the numbers of a longer range that are one tap
MAX_USUAL = 10_000  # a still longer range has no usual ones
VALUE = ""  # what is chosen beside the words of a `Maybe` that leave it open


class Control:
    """What one setting is set with: a slider, buttons, a box, with or without buttons, or two sliders for an interval.

    Beside what may be left open is a box to tick, or buttons, for the words that do so; whoever sets a value leaves it
    open no longer.

    Attributes:
        inputs: the components that hold its value.
        parts: these, and what is written over them.
    """

    def __init__(self, setting: Setting, visible: bool = True, interactive: bool = True, prefix: str = ""):
        self.setting = setting
        state: dict[str, Any] = {"visible": visible, "interactive": interactive}
        values, label = setting.values, setting.name.replace("_", " ").capitalize()
        info = f"{setting.help[0].upper()}{setting.help[1:]}{': ' if setting.advice else ''}{setting.advice}."
        about = {"label": label, "info": info, "elem_id": f"{prefix}{setting.name}", **state}
        self.parts: list[Any] = []
        self.inputs: list[Any]
        if isinstance(values, Interval):
            self.parts = [gr.Markdown(info, visible=visible)]
            with gr.Row():
                self.inputs = [
                    gr.Slider(
                        values.low, values.high, value=end, step=1, label=f"{which} level", min_width=220, **state
                    )
                    for which, end in zip(("From", "To"), setting.default, strict=True)
                ]
        elif isinstance(values, Maybe):
            self.inputs = self._left_open(values, about, state)
        elif isinstance(values, Choice):
            self.inputs = [gr.Radio(list(values.choices), value=setting.default, **about)]
        elif isinstance(values, Number) or (isinstance(values, Whole) and values.high - values.low <= MAX_SLIDER):
            self.inputs = [gr.Slider(values.low, values.high, value=setting.default, step=_step(values), **about)]
        elif isinstance(values, Whole) and values.high <= MAX_USUAL:
            self.inputs = [self._with_usual(values, about, state)]
        else:
            self.inputs = [gr.Number(setting.default, min_width=120, **about | {"info": None})]
        self.parts += self.inputs

    def _with_usual(self, values: Whole, about: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
        """A box for any number, over buttons for the usual ones, which go along with each other."""
        usual = [number for number in USUAL if values.low <= number <= values.high]
        box = gr.Number(self.setting.default, precision=0, **about)
        now = self.setting.default if self.setting.default in usual else None
        label = f"Usual {self.setting.name}"
        buttons = gr.Radio(usual, value=now, label=label, show_label=False, elem_classes="usual", **state)
        buttons.input(None, buttons, box, js="(number) => number", **AT_ONCE)
        box.change(None, box, buttons, js=f"(number) => {usual}.includes(number) ? number : null", **AT_ONCE)
        self.parts.append(buttons)
        return box

    def _left_open(self, values: Maybe, about: Mapping[str, Any], state: Mapping[str, Any]) -> list[Any]:
        """A number that may be left open, and what leaves it open."""
        first, *others = values.words
        with gr.Row(elem_classes="maybe"):
            if others:
                words: Any = gr.Radio([*values.words, ("one", VALUE)], value=first, **about)
                number: Any = gr.Number(0, label="Number", precision=0, elem_classes="one", **state)
            else:
                low, high = self._ends_of_slider()
                middle = round((low + high) / 2, 1)
                number = gr.Slider(low, high, value=middle, step=_step(values.of), **about)
                words = gr.Checkbox(True, label=f"{first.capitalize()} {self.setting.name}", min_width=0, **state)
        own = VALUE if others else False
        number.input(None, None, words, js=f"() => {json.dumps(own)}", **AT_ONCE)
        return [number, words]

    @property
    def ends(self) -> tuple[float, float] | None:
        """The lowest and the highest number that it takes, where it takes any in between."""
        values = self.setting.values.of if isinstance(self.setting.values, Maybe) else self.setting.values
        return (values.low, values.high) if isinstance(values, Number) else None

    def _ends_of_slider(self) -> tuple[float, float]:
        """The same, in whole steps."""
        assert isinstance(self.setting.values, Maybe)
        assert self.ends is not None
        step, (low, high) = _step(self.setting.values.of), self.ends
        return round(ceil(low / step - 1e-9) * step, 2), round(floor(high / step + 1e-9) * step, 2)

    def value(self, data: Mapping[Any, Any]) -> Any:
        """Its value, as a recipe takes it."""
        first, *second = (data[component] for component in self.inputs)
        if isinstance(self.setting.values, Maybe):
            word = self.setting.values.words[0] if second == [True] else second[0]
            return word if word in self.setting.values.words else first
        return (first, *second) if second else first

    def put(self, value: Any) -> Update:
        """Show this value."""
        values = self.setting.values
        if isinstance(values, Maybe):
            return self._put_maybe(values, value)
        several = value if isinstance(values, Interval) else [value]
        update = {part: gr.update(value=one, visible=True) for part, one in zip(self.inputs, several, strict=True)}
        if isinstance(values, Number):
            update[self.inputs[0]]["minimum"] = min(values.low, value)  # below it may lie one more
        return update

    def _put_maybe(self, values: Maybe, value: Any) -> Update:
        number, words = self.inputs
        left_open = value in values.words
        shown = (value if left_open else VALUE) if len(values.words) > 1 else left_open
        update = {number: gr.update(visible=True), words: gr.update(value=shown, visible=True)}
        if not left_open:
            update[number]["value"] = value
            if isinstance(number, gr.Slider):  # an end of the range may lie beyond the last whole step
                low, high = self._ends_of_slider()
                update[number] |= {"minimum": min(low, value), "maximum": max(high, value)}
        return update


def _step(values: Any) -> float:
    """Of a slider."""
    return 1 if isinstance(values, Whole) else 0.05 if values.high - values.low < 2 else 0.1
