"""The panel of drawing settings: for each weights the controls that suit what they offer.

`SETTINGS` declares every setting, and weights that can do less declare less: nothing is said again here. Where two
weights declare a setting alike, they share its control; where they leave no choice, there is none.
"""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr

from diffusion import Pipeline
from diffusion.samplers import SAMPLERS
from diffusion.settings import Choice
from diffusion.style import HOW
from ui import request
from ui.control import Control
from ui.events import AT_ONCE, NEWEST, OFF, ON, REDRAW, Update
from ui.terms import explained
from ui.work import Work

FIRST = ("seed", "guidance", "steps")  # seen at once; the others are folded away
LAST = ("eta", "guidance_interval", "spacing")  # of the others: few need them
OPTIONS = {option for sampler in SAMPLERS.values() for option in sampler.options}  # settings of some samplers


class Settings:
    """The panel's components, made inside a `gr.Blocks`, and what they say.

    Args:
        prefix: of the names of its elements in the page.
        redraws: whether one may drag, and the drawing follows.
    """

    def __init__(self, work: Work, prefix: str = "", redraws: bool = True):
        self.work, self.prefix, self.redraws = work, prefix, redraws
        self.controls: dict[str, dict[str, Control]] = {weights: {} for weights in work.pipes}
        gr.HTML(explained(f"{prefix}settings", "seed", "guidance", "step"))
        with gr.Row():
            self._make("seed")
            self.new_seed = gr.Checkbox(True, label="Random seed", min_width=120)
        self.weights = weights_radio(
            work, f"{prefix}weights", f"Instant: a student of few steps{', which redraws as you drag' * redraws}."
        )
        self.before = gr.State(work.usual)  # the weights that were chosen before
        self._make("guidance")
        self._make("steps")
        with gr.Accordion("Style", open=redraws, elem_id=f"{prefix}style") as self.style:
            for name in HOW:
                self._make(name)
        self.style.visible = self.offers(work.usual, *HOW)
        self.unstyled = gr.HTML(self._unstyled(), visible=self._without_styles(work.usual), elem_id=f"{prefix}unstyled")
        with gr.Accordion("More settings", open=False, elem_id=f"{prefix}more"):
            gr.HTML(explained(f"{prefix}settings", "sampler", "noise level"))
            self.count = gr.Slider(1, request.MAX_COUNT, value=1, step=1, label="How many of each")
            for name in work.pipes[work.usual].offer.settings:
                if name not in (*FIRST, *HOW, *LAST):
                    self._make(name)
            self.redrawing = gr.Checkbox(
                False,
                label="Redraw as I change things",
                info="After a short pause, from the same seed.",
                elem_id="redrawing",
                visible=redraws,
            )
            for name in LAST:
                self._make(name)
        (self.seed,) = self.controls[work.usual]["seed"].inputs
        self.all = {control for controls in self.controls.values() for control in controls.values()}
        self.inputs = {self.count, self.new_seed, self.weights, self.before}.union(*(one.inputs for one in self.all))
        self.outputs = self.inputs.union({self.style, self.unstyled}, *(control.parts for control in self.all))
        self._connect()

    def _make(self, name: str) -> None:
        """The controls of one setting."""
        made: list[Control] = []
        for weights, pipe in self.work.pipes.items():
            setting = pipe.offer.settings[name]
            if isinstance(setting.values, Choice) and len(setting.values.choices) == 1:
                continue
            control = next((control for control in made if control.setting == setting), None)
            if control is None:
                counts = setting.counts(SimpleNamespace(**pipe.offer.defaults))
                control = Control(setting, weights == self.work.usual, counts, self.prefix)
                made.append(control)
            self.controls[weights][name] = control

    def _connect(self) -> None:
        used = self.weights.input(self.use, self.inputs, [*self.outputs], preprocess=False, **NEWEST)
        if self.redraws:
            used.then(None, js=REDRAW, **AT_ONCE)
            self.weights.change(None, self.weights, js=self._tell_page, **AT_ONCE)
            self.redrawing.input(None, self.redrawing, self.new_seed, js="(on) => !on", **AT_ONCE)
        for controls in self.controls.values():
            if "sampler" in controls:
                self._connect_options(controls)

    def _connect_options(self, controls: Mapping[str, Control]) -> None:
        """Let settings that only some samplers take stay at their default with the others."""
        options = {controls[name].inputs[0]: controls[name].setting for name in OPTIONS if name in controls}

        def allowed(sampler: Any) -> Update:
            taken = SAMPLERS[sampler].options
            return {
                control: ON if setting.name in taken else OFF | {"value": setting.default}
                for control, setting in options.items()
            }

        (sampler,) = controls["sampler"].inputs
        sampler.change(allowed, sampler, [*options], **AT_ONCE)

    @property
    def _tell_page(self) -> str:
        """JavaScript that says in the page whether the weights are instant: assets/page.js redraws as one drags."""
        instant = json.dumps([weights for weights, pipe in self.work.pipes.items() if pipe.offer.instant])
        return f"(weights) => {{ document.body.classList.toggle('instant', {instant}.includes(weights)); }}"

    def opened(self, page: gr.Blocks) -> None:
        """What is to be done when the page is opened."""
        page.load(None, self.weights, js=self._tell_page, **AT_ONCE)

    def values(self, data: Mapping[Any, Any], weights: Any) -> dict[str, Any]:
        """What the controls of these weights ask for, by name. BadInput where there are no such weights."""
        pipe = self.work.pipe(weights)
        chosen = {name: control.value(data) for name, control in self.controls[weights].items()}
        return {"count": data[self.count], **pipe.offer.defaults, **chosen}

    def put(self, values: Mapping[str, Any], weights: str) -> Update:
        """Values by name into the controls of these weights."""
        instant = self.work.pipes[weights].offer.instant  # these redraw from the same seed
        update = self.show(weights) | {self.weights: weights, self.new_seed: "seed" not in values and not instant}
        if "count" in values:
            update[self.count] = values["count"]
        for name, control in self.controls[weights].items():
            if name in values:
                update |= control.put(values[name])
        return update

    def show(self, weights: str) -> Update:
        """The controls of these weights, and no others. The choice of weights stays: there may be a newer one."""
        mine = self.controls[weights].values()
        visible = {part: gr.update(visible=control in mine) for control in self.all for part in control.parts}
        visible[self.style] = gr.update(visible=self.offers(weights, *HOW))
        visible[self.unstyled] = gr.update(visible=self._without_styles(weights))
        return visible | {self.before: weights}

    def offers(self, weights: str, *names: str) -> bool:
        """Whether these weights leave a choice of one of these settings."""
        return not self.controls[weights].keys().isdisjoint(names)

    def _without_styles(self, weights: str) -> bool:
        """Whether others have styles, and these have none."""
        return not self.offers(weights, *HOW) and any(self.offers(other, *HOW) for other in self.work.pipes)

    def _unstyled(self) -> str:
        """What stands in the place of the styles where weights know none."""
        others = [called(pipe) for name, pipe in self.work.pipes.items() if self.offers(name, *HOW)]
        choose = f"choose {' or '.join(dict.fromkeys(others))} to say how digits are written"
        return f'<p class="unstyled">These weights know no styles: {self.work.worded(choose)}.</p>'

    def use(self, data: dict[Any, Any]) -> Update:
        """Other weights are chosen: a range that was changed goes along, as far as they go."""
        weights, before = data[self.weights], data[self.before]
        update = self.show(weights) | ({self.new_seed: False} if self.work.pipes[weights].offer.instant else {})
        for name, control in self.controls[weights].items():
            other = self.controls[before].get(name)
            if other and other is not control and control.ends:
                value, (low, high) = other.value(data), control.ends
                changed = isinstance(value, int | float) and value != other.setting.default
                update |= control.put(min(max(value, low), high) if changed else control.setting.default)
        return update


def called(pipe: Pipeline) -> str:
    """What the page calls weights."""
    return "Instant" if pipe.offer.instant else "Quality"


def weights_radio(work: Work, elem_id: str, info: str | None = None) -> gr.Radio:
    """A choice of weights, where there are several."""
    choices = [(called(pipe), weights) for weights, pipe in work.pipes.items()]
    return gr.Radio(choices, value=work.usual, label="Weights", info=info, visible=len(choices) > 1, elem_id=elem_id)
