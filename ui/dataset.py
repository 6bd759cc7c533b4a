"""The tab Data set: many labelled digits in one file, to train something on, drawn in the background."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from diffusion import BadInput, Pipeline, Recipe, Result, checks
from diffusion.files import export
from ui import asked, said
from ui.draw import AT_ONCE, OFF, ON, Draw
from ui.stage import Moment

BATCH = 50  # drawn at once
MOST = 1000  # of each digit
MAX_DIGITS = 10_000
TELL_SECONDS = 0.3  # between lines of status
KINDS = {"NumPy (.npz)": ".npz", "MNIST's own files (IDX)": ".idx.zip", "PNGs of single digits (.zip)": ".zip"}

TEXT = """Labelled digits that nobody wrote, to train or test something of your own with. They are drawn with the
settings and the weights of the tab *Draw*, whenever nobody else is drawing: leave this page open. A hundred digits take
a few seconds on two CPU cores, and less than one with the instant weights."""


class DataSet:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        pipes: what draws, by the name of its weights.
        runs: the run of a recipe: its moments, and at last its result. It can be stopped at each.
        busy: whether somebody is drawing.
        draw: the tab Draw, whose controls count here too.
    """

    def __init__(
        self,
        pipes: Mapping[str, Pipeline],
        runs: Callable[[Recipe], Iterator[Moment | Result]],
        busy: Callable[[], bool],
        draw: Draw,
    ):
        self.pipes, self.runs, self.busy = pipes, runs, busy
        gr.Markdown(TEXT, elem_id="dataset-text")
        with gr.Column(elem_id="dataset"):
            self.prompt = gr.Textbox("0-9", label="Which digits", max_lines=1)
            self.count = gr.Slider(1, MOST, value=10, step=1, label="Images of each digit")
            self.kind = gr.Radio(list(KINDS), value=next(iter(KINDS)), label="File")
            with gr.Row():
                self.start = gr.Button("Make the file", variant="primary", elem_id="make", min_width=120)
                self.stop = gr.Button("Cancel", variant="stop", elem_id="cancel", interactive=False, min_width=80)
            self.status = gr.HTML(said.said("Nothing is being made."), elem_id="dataset-status", elem_classes="status")
            self.file = gr.File(label="The file", visible=False, elem_id="dataset-file")
        shown = [self.status, self.start, self.stop]
        making = self.start.click(self.waiting, None, [*shown, self.file], **AT_ONCE).then(
            self.make,
            [self.prompt, self.count, self.kind, draw.new_seed, draw.weights, draw.few_steps, *draw.settings[2:]],
            [*shown, self.file],
            concurrency_id="dataset",
            concurrency_limit=1,
            preprocess=False,
            **AT_ONCE | {"queue": True},
        )
        making.failure(self.failed, None, shown, **AT_ONCE)  # whatever went wrong, or a stop when it is done
        self.stop.click(self.stopped, None, shown, cancels=[making], **AT_ONCE)

    def make(
        self, prompt: Any, count: Any, kind: Any, new_seed: Any, weights: Any, few_steps: Any, *settings: Any
    ) -> Iterator[dict[Any, Any]]:
        """Make the file that the controls ask for, or say why that cannot be."""
        controls = dict(zip(asked.SETTINGS[2:], settings, strict=True))
        if new_seed:
            controls["seed"] = random.randint(0, checks.MAX_SEED)
        try:
            pipe = asked.pipe_of(weights, self.pipes)
            controls = asked.suited(controls, few_steps, pipe)
            recipe = asked.recipe(prompt, count, **controls, most_each=MOST, most=MAX_DIGITS)
            recipe = asked.drawn_with(recipe, pipe)
            ending = KINDS[checks.choice("file", kind, KINDS)]
            export.check(ending, recipe)
            yield from self.drawing(recipe, ending)
        except (BadInput, gr.Error) as error:  # ZeroGPU's, too
            yield self.ended() | {self.status: said.refused(error)}

    def drawing(self, recipe: Recipe, ending: str) -> Iterator[dict[Any, Any]]:
        """Draw part after part, and write the file."""
        parts = list(recipe.split(BATCH))
        results = []
        started, told = time.monotonic(), 0.0
        for k, part in enumerate(parts):
            for state in self.runs(part):
                if isinstance(state, Result):
                    images = state.images  # the way there is not kept
                    results.append(replace(state, frames=images[None], guesses=images[None], levels=[-1]))
                    break
                share = (k + state.done / recipe.steps) / len(parts)
                while True:  # others come first
                    if time.monotonic() - told >= TELL_SECONDS:
                        told = time.monotonic()
                        yield {self.status: said.making(share, len(recipe.digits), told - started)}
                    if not self.busy():
                        break
                    time.sleep(0.05)
        with tempfile.TemporaryDirectory() as folder:  # Gradio serves a copy of its own
            path = Path(folder) / f"digits-{len(recipe.digits)}-seed{recipe.seed}{ending}"
            export.write(path, results, recipe)
            size = path.stat().st_size
            yield self.ended() | {
                self.status: said.said(f"{len(recipe.digits):,} digits, {size / 1000:,.0f} kB, seed {recipe.seed}.", 1),
                self.file: gr.update(value=str(path), visible=True),
            }

    def waiting(self) -> dict[Any, Any]:
        return {
            self.status: said.said("Waiting for another data set."),
            self.start: OFF,
            self.stop: ON,
            self.file: gr.update(visible=False),
        }

    def stopped(self) -> dict[Any, Any]:
        return {self.status: said.said(said.STOPPING), self.stop: OFF}

    def failed(self) -> dict[Any, Any]:
        return self.ended() | {self.status: said.said("No file was made. Press <b>Make the file</b> to try again.")}

    def ended(self) -> dict[Any, Any]:
        return {self.start: ON, self.stop: OFF}
