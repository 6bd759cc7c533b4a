"""The tab Compare: two settings against each other, from one noise, on a sheet with labels."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np
from gradio.processing_utils import save_bytes_to_cache

from diffusion import BadInput, Recipe
from diffusion.evaluation.sheet import AXES, Axis, Sheet, axis
from diffusion.files import render
from ui import request, status
from ui.events import AT_ONCE, MODEL, OFF, ON, Update, by_choice, forget_refusal, in_browser, in_line
from ui.settings import Settings, weights_radio
from ui.work import Work

FRAME_SECONDS = 0.5  # between pictures of an unfinished sheet

EVERY = "every digit"  # values of an axis: the names of all

# The two axes with their values, and whether the weights are instant ones.
EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str], bool]] = {
    "guidance against steps": (("steps", "1, 2, 4, 10, 20, 50"), ("guidance", "0, 1, 2, 5, 10"), False),
    "samplers against steps": (("steps", "2, 4, 8, 16, 32"), ("sampler", "ddim, dpm++2m, ddpm"), False),
    "digits against guidance": (("digits", EVERY), ("guidance", "0, 1, 2, 5, 10"), False),
    "seeds against steps": (("seed", "1, 2, 3, 4, 5, 6"), ("steps", "1, 2, 4, 10, 20"), False),
    "thickness against slant": (("thickness", "1.5, 2, 3, 4, 5"), ("slant", "-0.3, 0, 0.3, 0.6"), False),
    "digits against few steps": (("digits", EVERY), ("steps", "1, 2, 4, 8"), True),
}

EMPTY = "Press <b>Compare</b>, or choose other settings."
TEXT = """One noise, and two settings that change: one from left to right, one from top to bottom. All the others are
those of the tab *Draw*."""


@dataclass(eq=False)
class Partial:
    """The sheet of a visitor as far as it is drawn: its picture, the name and the texts of its file, and its cells."""

    picture: np.ndarray | None = None
    name: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    done: int = 0
    cells: int = 0


class Compare:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        settings: of the tab Draw, which count here too.
    """

    def __init__(self, work: Work, settings: Settings):
        self.work, self.settings = work, settings
        gr.Markdown(TEXT, elem_id="compare-text")
        with gr.Row(elem_id="compare"):
            with gr.Column(min_width=280, scale=5):
                self._ask()
            with gr.Column(min_width=280, scale=9):
                self._show()
        self.drawn = gr.State(Partial())
        buttons = [self.status, self.start, self.stop]
        values = by_choice({name: self.values(name) for name in EXAMPLES if self.can_draw(name)})
        self.example.input(None, self.example, [*self.axes, self.weights], js=values, **AT_ONCE)
        waiting = in_browser(status.line(status.WAITING), OFF, ON, OFF)
        drawing = self.start.click(None, None, [*buttons, self.keep], js=waiting, **AT_ONCE).then(
            self.draw,
            {self.digits, *self.axes, self.weights, self.keep, self.drawn, *settings.inputs},
            {*buttons, self.picture, self.keep},
            api_visibility="private",
            **MODEL | in_line(self.status),
        )
        ends = [*buttons, self.picture, self.keep]
        drawing.failure(
            self.failed, [self.drawn, self.keep], ends, **AT_ONCE
        )  # a full queue, or a stop when it is done
        self.stop.click(self.stopped, None, buttons, cancels=[drawing], **AT_ONCE)
        forget_refusal(self.status, {self.digits, *self.axes, self.weights, self.example}, status.line(EMPTY))

    def _ask(self) -> None:
        examples = [name for name in EXAMPLES if self.can_draw(name)]
        names_of_axes = [(self.work.things if name == "digits" else name, name) for name in AXES if self._offered(name)]
        names = self.work.names
        self.example = gr.Dropdown(
            [(name.replace("digits", self.work.things), name) for name in examples],
            value=examples[0],
            label="Example",
            info="Fills in what is across and down.",
            elem_id="example",
        )
        self.digits = gr.Textbox(
            request.words([min(7, len(names) - 1)], names),
            label=self.work.things.capitalize(),
            info=f"In every cell, unless {self.work.things} are compared.",
            max_lines=1,
        )
        self.axes: list[Any] = []
        for label, (name, values) in zip(("Across", "Down"), EXAMPLES[examples[0]][:2], strict=True):
            with gr.Row():
                self.axes += [
                    gr.Dropdown(names_of_axes, value=name, label=label, min_width=160),
                    gr.Textbox(values, label="Values", max_lines=1, min_width=160, scale=2),
                ]
        self.weights = weights_radio(self.work, "compare-weights")
        with gr.Row():
            self.start = gr.Button("Compare", variant="primary", elem_id="compare-start", min_width=120, scale=2)
            self.stop = gr.Button("Stop", variant="stop", elem_id="compare-stop", interactive=False, min_width=80)

    def can_draw(self, example: str) -> bool:
        """Whether there are weights for it, which offer what it compares."""
        x, y, _ = EXAMPLES[example]
        weights = self._weights(example)
        return weights is not None and all(self._offered(axis, weights) for axis, _ in (x, y))

    def _weights(self, example: str) -> str | None:
        """The weights that an example is for, where they are there."""
        pipes = self.work.pipes.items()
        return next((name for name, pipe in pipes if pipe.offer.instant == EXAMPLES[example][2]), None)

    def _offered(self, axis: str, weights: str | None = None) -> bool:
        """Whether these weights, or any, leave a choice of what an axis compares."""
        several = self.work.pipes if weights is None else [weights]
        return axis == "digits" or any(self.settings.offers(one, axis) for one in several)

    def _show(self) -> None:
        self.status = gr.HTML(
            status.line(EMPTY),
            elem_id="compare-status",
            elem_classes="status",
        )
        self.picture = gr.Image(
            label="Sheet",
            alt_text=f"Sheet of {self.work.things}, two settings against each other",
            format="png",
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            elem_id="sheet",
        )
        self.keep = gr.DownloadButton("Download the sheet", interactive=False, elem_id="keep-sheet", size="sm")

    def draw(self, data: dict[Any, Any]) -> Iterator[Update]:
        """The sheet, cell by cell."""
        started, began, shown, drawn = time.monotonic(), 0.0, 0.0, data[self.drawn]
        drawn.picture = None
        try:
            recipe, x, y = self.sheet(data)
            drawn.name = f"compare-{x[0]}-{y[0]}.png".replace("+", "")
            drawn.texts = Sheet(self.work.of(recipe), recipe, x, y).texts
            for done, cells, share, newer in self.work.sheet(recipe, x, y):
                began = began or time.monotonic()  # before that, it waited for a GPU
                if newer is not None:
                    drawn.picture, drawn.done, drawn.cells = newer, done, cells
                if time.monotonic() - shown >= FRAME_SECONDS:
                    shown = time.monotonic()
                    line = status.running(done, cells, shown - began, "Cell", share)
                    yield {self.status: line} | ({} if drawn.picture is None else {self.picture: drawn.picture})
            line = status.line(f"{cells} cells in {time.monotonic() - started:.1f} s, seed {recipe.seed}.", 1)
            yield self.ended() | {self.status: line} | self.result(drawn)
        except (BadInput, gr.Error) as error:
            yield self.ended() | {self.status: status.refused(error)} | self.result(drawn, data[self.keep])

    def result(self, drawn: Partial, before: Any = None) -> Update:
        """The sheet as far as it is drawn, to be seen and downloaded; where nothing is, the file before it stays.

        It is told once: a later one that is stopped before it has a cell is not this one.
        """
        picture, drawn.picture = drawn.picture, None
        if picture is None:
            return {self.keep: OFF if before is None else ON}
        file = save_bytes_to_cache(render.png(picture, **drawn.texts), drawn.name, self.keep.GRADIO_CACHE)
        return {self.picture: picture, self.keep: gr.update(value=file, interactive=True)}

    def sheet(self, data: dict[Any, Any]) -> tuple[Recipe, Axis, Axis]:
        """What is asked for, or BadInput: what stays the same, and the two axes."""
        weights = data[self.weights]
        pipe = self.work.pipe(weights)
        x, x_values, y, y_values = (data[part] for part in self.axes)
        values = self.settings.values(data, weights) | {"digits": data[self.digits], "count": 1}
        if "digits" in (x, y):
            values["digits"] = [0]  # each cell has its own
        return request.recipe(values, pipe), axis(x, x_values, pipe.names), axis(y, y_values, pipe.names)

    def values(self, example: str) -> list[str | None]:
        """The axes and the weights of an example."""
        x, y, _ = EXAMPLES[example]
        every = request.words(range(len(self.work.names)), self.work.names)
        return [every if text == EVERY else text for text in (*x, *y)] + [self._weights(example)]

    def stopped(self) -> Update:
        return {self.status: status.line(status.STOPPING), self.stop: OFF}

    def failed(self, drawn: Partial, before: Any) -> Update:
        """After a failure, and when a stop is done: the cells that are drawn can be downloaded."""
        found = "No sheet was finished." if drawn.picture is None else f"{drawn.done} of {drawn.cells} cells are drawn."
        line = status.line(f"{found} Press <b>Compare</b> to start again.")
        return self.ended() | {self.status: line} | self.result(drawn, before)

    def ended(self) -> Update:
        return {self.start: ON, self.stop: OFF}
