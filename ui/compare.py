"""The tab Compare: two settings against each other, from one noise, on a sheet with labels."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from diffusion import BadInput, Pipeline, Recipe
from diffusion.evaluation.sheet import AXES, Axis, axis
from ui import asked, said
from ui.draw import AT_ONCE, OFF, ON, Draw

FRAME_SECONDS = 0.5  # between pictures of an unfinished sheet

# A name, the two axes with their values, and the weights.
PRESETS: tuple[tuple[str, tuple[str, str], tuple[str, str], str], ...] = (
    ("guidance against steps", ("steps", "1, 2, 4, 10, 20, 50"), ("guidance", "0, 1, 2, 5, 10"), asked.BUNDLED),
    ("samplers against steps", ("steps", "2, 4, 8, 16, 32"), ("sampler", "ddim, dpm++2m, ddpm"), asked.BUNDLED),
    ("digits against guidance", ("digits", "0-9"), ("guidance", "0, 1, 2, 5, 10"), asked.BUNDLED),
    ("seeds against steps", ("seed", "1, 2, 3, 4, 5, 6"), ("steps", "1, 2, 4, 10, 20"), asked.BUNDLED),
    ("digits against few steps", ("digits", "0-9"), ("steps", "1, 2, 4, 8"), asked.FEW_STEP),
)

TEXT = """One noise, and two settings that change: one from left to right, one from top to bottom. All the others are
those of the tab *Draw*."""


class Compare:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        pipes: what draws, by the name of its weights.
        sheets: draws a sheet of a recipe and two axes into a file: cells done, cells in all, the share of the work that
            is done, and after each cell the picture so far.
        draw: the tab Draw, whose controls count here too.
        shared: what every event that runs the model has in common.
    """

    def __init__(
        self,
        pipes: Mapping[str, Pipeline],
        sheets: Callable[[Recipe, Axis, Axis, str], Iterator[tuple[int, int, float, np.ndarray | None]]],
        draw: Draw,
        shared: dict[str, Any],
    ):
        self.pipes, self.sheets = pipes, sheets
        presets = [name for name, *_, weights in PRESETS if weights in pipes]
        gr.Markdown(TEXT, elem_id="compare-text")
        with gr.Row(elem_id="compare"):
            with gr.Column(min_width=280, scale=5):
                self.preset = gr.Dropdown(presets, value=presets[0], label="Example", elem_id="example")
                self.digits = gr.Textbox(
                    "7", label="Digits", info="In every cell, unless digits are compared.", max_lines=1
                )
                self.axes = []
                for label, (name, values) in zip(("Across", "Down"), PRESETS[0][1:3], strict=True):
                    with gr.Row():
                        self.axes += [
                            gr.Dropdown(list(AXES), value=name, label=label, min_width=160),
                            gr.Textbox(values, label="Values", max_lines=1, min_width=160, scale=2),
                        ]
                self.weights = gr.Radio(
                    asked.WEIGHTS,
                    value=asked.BUNDLED,
                    label="Weights",
                    visible=asked.FEW_STEP in pipes,
                    elem_id="compare-weights",
                )
                with gr.Row():
                    self.start = gr.Button(
                        "Compare", variant="primary", elem_id="compare-start", min_width=120, scale=2
                    )
                    self.stop = gr.Button(
                        "Stop", variant="stop", elem_id="compare-stop", interactive=False, min_width=80
                    )
            with gr.Column(min_width=280, scale=9):
                self.status = gr.HTML(
                    said.said("Press <b>Compare</b>, or choose other settings."),
                    elem_id="compare-status",
                    elem_classes="status",
                )
                self.picture = gr.Image(
                    label="Sheet",
                    alt_text="Sheet of digits, two settings against each other",
                    format="png",
                    show_label=False,
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="sheet",
                )
                self.keep = gr.DownloadButton("Download the sheet", interactive=False, elem_id="keep-sheet", size="sm")
        buttons = [self.status, self.start, self.stop]
        self.preset.input(self.take, self.preset, [*self.axes, self.weights], **AT_ONCE)
        drawing = self.start.click(self.waiting, None, [*buttons, self.keep], **AT_ONCE).then(
            self.draw,
            [self.digits, *self.axes, self.weights, draw.few_steps, *draw.settings[2:]],
            [*buttons, self.picture, self.keep],
            api_visibility="private",
            **shared,
        )
        drawing.failure(self.failed, None, buttons, **AT_ONCE)  # a full queue, or a stop when it is done
        self.stop.click(self.stopped, None, buttons, cancels=[drawing], **AT_ONCE)

    def draw(
        self, digits: Any, x: Any, x_values: Any, y: Any, y_values: Any, weights: Any, few_steps: Any, *settings: Any
    ) -> Iterator[dict[Any, Any]]:
        """The sheet, cell by cell."""
        started, shown = time.monotonic(), 0.0
        try:
            digits = "0" if "digits" in (x, y) else digits  # each cell has its own
            pipe = asked.pipe_of(weights, self.pipes)
            controls = asked.suited(dict(zip(asked.SETTINGS[2:], settings, strict=True)), few_steps, pipe)
            _, most = asked.guidance_range(pipe)
            if isinstance(controls["guidance"], int | float):  # the tab Draw may go further
                controls["guidance"] = min(controls["guidance"], most)
            recipe = replace(asked.recipe(digits, 1, **controls), weights=pipe.weights)
            with tempfile.TemporaryDirectory() as folder:  # Gradio serves a copy of its own
                path = Path(folder) / f"compare-{x}-{y}.png".replace("+", "")
                sheet = self.sheets(recipe, axis(x, x_values), axis(y, y_values), str(path))
                picture = None
                for done, cells, share, newer in sheet:
                    picture = picture if newer is None else newer
                    if time.monotonic() - shown >= FRAME_SECONDS:
                        shown = time.monotonic()
                        told = said.running(done, cells, shown - started, "Cell", share)
                        yield {self.status: told} | ({} if picture is None else {self.picture: picture})
                yield self.ended() | {
                    self.status: said.said(
                        f"{cells} cells in {time.monotonic() - started:.1f} s, seed {recipe.seed}.", 1
                    ),
                    self.picture: picture,
                    self.keep: gr.update(value=str(path), interactive=True),
                }
        except (BadInput, gr.Error) as error:
            yield self.ended() | {self.status: said.refused(error)}

    def take(self, preset: Any) -> list[str]:
        """The axes and the weights of an example."""
        _, x, y, weights = next((one for one in PRESETS if one[0] == preset), PRESETS[0])
        return [*x, *y, weights]

    def waiting(self) -> dict[Any, Any]:
        return {
            self.status: said.said(said.WAITING),
            self.start: OFF,
            self.stop: ON,
            self.keep: OFF,
        }

    def stopped(self) -> dict[Any, Any]:
        return {self.status: said.said(said.STOPPING), self.stop: OFF}

    def failed(self) -> dict[Any, Any]:
        return self.ended() | {self.status: said.said("No sheet was finished. Press <b>Compare</b> to start again.")}

    def ended(self) -> dict[Any, Any]:
        return {self.start: ON, self.stop: OFF}
