"""The left side of the tab Lab: an activity, and the controls that count for it."""

import html
from collections.abc import Mapping
from typing import Any

import gradio as gr

from diffusion.lab import ImageToImage
from diffusion.lab.edit import CLASSIC
from diffusion.lab.morph import FRAMES
from diffusion.lab.views import VIEWS
from diffusion.scheduler import T
from ui import experiments
from ui.canvas import Canvas
from ui.control import Control
from ui.events import Update
from ui.experiments import EXPERIMENTS
from ui.settings import Settings
from ui.work import Work

ANY = -1  # the digit that is left to the network
FIRST = ("strength", "radius")  # settings that are seen at once; the others are folded away
MOST_FRAMES = 60


class LabControls:
    """The panel's components, made inside a `gr.Blocks`, and what they say. `settings` is made later, with `more`."""

    def __init__(self, work: Work):
        self.work, self.pipe = work, work.pipes[work.usual]
        self.first = next(iter(EXPERIMENTS))  # the activity that is chosen at first
        self.own: dict[str, dict[str, Control]] = {name: {} for name in EXPERIMENTS}

    def choose(self) -> None:
        """Make the choice of an activity."""
        self.activity = gr.Radio(
            list(EXPERIMENTS), value=self.first, label="Activity", show_label=False, elem_id="activity"
        )
        with gr.Row(elem_id="about"):
            self.about = gr.HTML(self._about(self.first), elem_id="activity-about")
            self.example = gr.Button("Try the example", elem_id="lab-example", size="sm", min_width=130, scale=0)

    def make(self) -> None:
        """Make the canvas, and the controls of all activities, of which those of one are shown."""
        with gr.Column(elem_id="lab-picture") as self.drawn:
            self.canvas = Canvas(self.pipe)
        self.canvas.bring()  # which stays, since it opens files of all activities
        names = [(name, label) for label, name in enumerate(self.pipe.names)]
        words = "words" if max(map(len, self.pipe.names)) > 2 else None
        self.digits = [
            gr.Radio(
                names, value=value, label=label, visible=False, elem_id=elem_id, elem_classes=["picker", words or ""]
            )
            for value, label, elem_id in ((6, "Upright", "first-digit"), (9, "Turned", "second-digit"))
        ]
        self.view = gr.Radio(
            [name for name in VIEWS if name != "identity"],
            value="rotate-180",
            label="View",
            visible=False,
            elem_id="view",
        )
        self.level = gr.Slider(0, T - 1, value=500, step=1, label="Noise level", elem_id="level")
        self.strip = gr.Checkbox(
            False,
            label="A strip of strengths",
            info=f"{len(CLASSIC)} at once: {', '.join(f'{each:.2f}' for each in CLASSIC)}.",
            visible=False,
            elem_id="strip-of-strengths",
        )
        self.frames = gr.Slider(2, MOST_FRAMES, value=FRAMES, step=1, label="Frames", visible=False, elem_id="frames")
        self._own(first=True)
        with gr.Row(visible=False) as self.buttons:
            self.start = gr.Button("Start", variant="primary", elem_id="lab-start", min_width=120, scale=2)
            self.stop = gr.Button("Stop", variant="stop", elem_id="lab-stop", min_width=80, interactive=False)
        with gr.Row(elem_id="lab-reads", visible=False) as self.reads:
            self.reading = gr.Checkbox(True, label="Read back", min_width=120, elem_id="lab-reading")
            self.until_right = gr.Checkbox(False, label="Until it reads right", min_width=120, elem_id="lab-until")

    def more(self) -> None:
        """Make the settings: those of the activity that are folded away, and those of the recipe."""
        with gr.Column(visible=False, elem_id="lab-drawing") as self.drawing:
            with gr.Accordion("How it is done", open=False, visible=False, elem_id="lab-how") as self.how:
                self._own(first=False)
            self.settings = Settings(self.work, "lab-", redraws=False)

    def _own(self, first: bool) -> None:
        for name, each in EXPERIMENTS.items():
            for setting in each.declared.values():
                if (setting.name in FIRST) is first:
                    self.own[name][setting.name] = Control(setting, name == self.first, prefix=f"{name}-")

    @property
    def inputs(self) -> set[Any]:
        own = {part for controls in self.own.values() for control in controls.values() for part in control.inputs}
        plain = {self.activity, self.canvas.pad, *self.digits, self.view, self.level, self.strip, self.frames}
        return own | plain | {self.reading, self.until_right} | self.settings.inputs

    @property
    def outputs(self) -> set[Any]:
        parts = {part for controls in self.own.values() for control in controls.values() for part in control.parts}
        panels = {
            self.about,
            self.buttons,
            self.reads,
            self.drawn,
            self.drawing,
            self.how,
            self.canvas.seen,
            self.canvas.real,
        }
        return self.inputs | parts | panels | self.settings.outputs

    def values(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        """What the controls ask for, by name. BadInput where there is no picture, or no mask."""
        name = data[self.activity]
        each = EXPERIMENTS[name]
        found = self.settings.values(data, data[self.settings.weights]) | {
            "activity": name,
            "levels": (data[self.level],),
            "views": (data[self.view],),
            "frames": data[self.frames],
        }
        found["digits"] = [
            None if (digit := data[radio]) == ANY else digit for radio in self.digits[: len(each.digits)]
        ]
        found |= {name: control.value(data) for name, control in self.own[name].items()}
        if name == ImageToImage.name and data[self.strip]:
            found["strength"] = CLASSIC
        if "images" in each.takes:
            found["images"] = self.canvas.pixels(data[self.canvas.pad])
        if "mask" in each.takes:
            found["mask"] = self.canvas.mask(data[self.canvas.pad])
        return found

    def show(self, name: str, weights: str) -> Update:
        """The controls of an activity and no others, with what these weights do it with by default.

        The choices of both stay: there may be newer ones.
        """
        each, pipe = EXPERIMENTS[name], self.work.pipes[weights]
        shown: Update = {
            self.about: self._about(name),
            self.drawn: gr.update(visible="images" in each.takes),
            self.canvas.real: gr.update(visible="images" in each.takes and self.canvas.offered),
            self.canvas.pad: gr.update(elem_classes=["masks"] if "mask" in each.takes else []),
            self.drawing: gr.update(visible=each.draws),
            self.buttons: gr.update(visible=each.draws),
            self.reads: gr.update(visible=each.activity.readable),
            self.until_right: gr.update(visible=each.activity.retried, value=False),
            self.how: gr.update(visible=any(setting not in FIRST for setting in each.declared)),
            self.view: gr.update(visible="views" in each.takes),
            self.level: gr.update(visible="levels" in each.takes),
            self.strip: gr.update(visible="strength" in each.declared),
            self.frames: gr.update(visible="frames" in each.takes),
        }
        for k, radio in enumerate(self.digits):
            shown[radio] = gr.update(visible=k < len(each.digits))
            if k < len(each.digits):
                names = [(text, label) for label, text in enumerate(self.pipe.names)]
                shown[radio] |= {
                    "label": each.digits[k],
                    "choices": names + ([("any", ANY)] if each.free and not k else []),
                }
        for other, controls in self.own.items():
            for control in controls.values():
                shown |= {part: gr.update(visible=other == name) for part in control.parts}
        shown |= self.settings.put(experiments.defaults(name, pipe), weights)
        del shown[self.settings.weights]
        shown[self.settings.count] = gr.update(visible="count" in each.takes)
        return shown

    def put(self, values: Mapping[str, Any], weights: str) -> Update:
        """Values by name into the controls, of which those of their activity are shown."""
        name = values["activity"]
        update = self.show(name, weights) | {self.activity: name}
        update |= self.settings.put(values, weights)
        counts = "count" in EXPERIMENTS[name].takes
        update[self.settings.count] = gr.update(visible=counts, value=values.get("count", 1))
        for radio, digit in zip(self.digits, values.get("digits", ()), strict=False):
            update[radio] = update[radio] | {"value": ANY if digit is None else digit}
        values = dict(values)
        if isinstance(values.get("strength"), tuple):
            strengths = values.pop("strength")
            update[self.strip] = update[self.strip] | {"value": len(strengths) > 1}
            values |= {"strength": strengths[0]} if len(strengths) == 1 else {}
        for part, key in ((self.view, "views"), (self.level, "levels")):
            if key in values:
                update[part] = update[part] | {"value": values[key][-1]}
        if "frames" in values:
            update[self.frames] = update[self.frames] | {"value": values["frames"]}
        for key, control in self.own[name].items():
            if key in values:
                update |= control.put(values[key])
        if "images" in values:
            put = self.canvas.put(values["images"], values.get("mask"))
            update[self.canvas.pad] = update[self.canvas.pad] | {"value": put[self.canvas.pad]}
            update[self.canvas.seen] = put[self.canvas.seen]
        return update

    def _about(self, name: str) -> str:
        return f"<p>{html.escape(self.work.worded(EXPERIMENTS[name].about))}</p>"
