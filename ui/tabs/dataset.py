"""The tab Data set: many labelled digits in one file, to train something on, drawn in the background."""

import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from diffusion import BadInput, Recipe, Result, checks
from diffusion.files import export, formats
from diffusion.files.formats import FORMATS
from diffusion.files.plan import Part
from diffusion.style import ANY, MANY
from ui import request, status
from ui.events import AT_ONCE, OFF, ON, Update, forget_refusal, in_browser
from ui.settings import Settings
from ui.work import Work

BATCH = 50  # drawn at once
MOST = 1000  # of each digit
MAX_DIGITS = 10_000
STATUS_SECONDS = 0.3  # between lines of status
KINDS = {
    "NumPy (.npz)": ".npz",
    "Parquet": "parquet",
    "WebDataset (.tar)": "webdataset",
    "MNIST's own files (IDX)": ".idx.zip",
    "A folder of each label (.zip)": "images",
    "PNGs of single images (.zip)": ".zip",
}
"""What a file may be: an ending of export.py, or a format of formats.py."""

EMPTY = "Nothing is being made."
TEXT = """Labelled digits that nobody wrote, to train or test something of your own with. They are drawn with the
settings and the weights of the tab *Draw*, whenever nobody else is drawing: leave this page open. A hundred digits take
a few seconds on two CPU cores, and less than one with the instant weights."""


class DataSet:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        settings: of the tab Draw, which count here too.
    """

    def __init__(self, work: Work, settings: Settings):
        self.work, self.settings = work, settings
        gr.Markdown(work.worded(TEXT), elem_id="dataset-text")
        with gr.Column(elem_id="dataset"):
            every = request.words(range(len(work.names)), work.names)
            self.prompt = gr.Textbox(every, label=f"Which {work.things}", max_lines=1)
            self.count = gr.Slider(1, MOST, value=10, step=1, label=work.worded("Images of each digit"))
            self.hands = gr.Checkbox(
                False,
                label="Many hands",
                info="Each image in a style of its own, spread as in real ones, unless the tab Draw asks for one.",
                visible=bool(work.pipes[work.usual].offer.styles),
                elem_id="hands",
            )
            self.kind = gr.Radio(
                [name for name, kind in KINDS.items() if kind not in FORMATS or FORMATS[kind].installed],
                value=next(iter(KINDS)),
                label="File",
            )
            with gr.Row():
                self.start = gr.Button("Make the file", variant="primary", elem_id="make", min_width=120)
                self.stop = gr.Button("Cancel", variant="stop", elem_id="cancel", interactive=False, min_width=80)
            self.status = gr.HTML(status.line(EMPTY), elem_id="dataset-status", elem_classes="status")
            self.file = gr.File(label="The file", visible=False, elem_id="dataset-file")
        shown = [self.status, self.start, self.stop]
        waiting = in_browser(status.line("Waiting for another data set."), OFF, ON, gr.update(visible=False))
        making = self.start.click(None, None, [*shown, self.file], js=waiting, **AT_ONCE).then(
            self.make,
            {self.prompt, self.count, self.hands, self.kind, self.file, *settings.inputs},
            [*shown, self.file],
            concurrency_id="dataset",
            concurrency_limit=1,
            preprocess=False,
            **AT_ONCE | {"queue": True},
        )
        settings.weights.change(self.use, settings.weights, self.hands, **AT_ONCE)
        # Whatever went wrong, or a stop when it is done.
        making.failure(self.failed, self.file, [*shown, self.file], **AT_ONCE)
        self.stop.click(self.stopped, None, shown, cancels=[making], **AT_ONCE)
        asked = {self.prompt, self.count, self.hands, self.kind, *settings.inputs}
        forget_refusal(self.status, asked, status.line(EMPTY))

    def make(self, data: dict[Any, Any]) -> Iterator[Update]:
        """Make the file that the controls ask for, or say why that cannot be."""
        try:
            recipe = self.recipe(data)
            kind = KINDS[checks.choice("file", data[self.kind], KINDS)]
            colour = self.work.pipe(data[self.settings.weights]).model.shape[0] > 1
            if kind in FORMATS:
                formats.check(kind, len(recipe.digits), len(self.work.names), colour=colour)
                formats.check_guidance(recipe.guidance)
            else:
                export.check(kind, recipe, colour=colour)
            yield from self.drawing(recipe, kind)
        except (BadInput, gr.Error) as error:  # ZeroGPU's, too
            yield self.ended() | self.before(data[self.file]) | {self.status: status.refused(error)}

    def recipe(self, data: dict[Any, Any]) -> Recipe:
        """What is asked for, or BadInput."""
        weights = data[self.settings.weights]
        values = self.settings.values(data, weights) | {"digits": data[self.prompt], "count": data[self.count]}
        if values["hand"] == ANY and self.settings.offers(weights, "hand") and data[self.hands]:
            values["hand"] = MANY
        if data[self.settings.new_seed]:
            values["seed"] = random.randint(0, checks.MAX_SEED)
        return request.recipe(values, self.work.pipe(weights), most_each=MOST, most=MAX_DIGITS)

    def use(self, weights: str) -> Update:
        """Only some weights know hands."""
        return gr.update(visible=self.settings.offers(weights, "hand"))

    def drawing(self, recipe: Recipe, kind: str) -> Iterator[Update]:
        """Draw part after part, and write the file."""
        parts = list(recipe.split(BATCH))
        results: list[Result] = []
        started, shown = time.monotonic(), 0.0
        for k, part in enumerate(parts):
            for state in self.work.steps(part):
                if isinstance(state, Result):
                    images = state.images  # the way there is not kept
                    results.append(replace(state, frames=images[None], guesses=images[None], levels=[-1]))
                    break
                share = (k + state.done / recipe.steps) / len(parts)
                while True:  # others come first
                    if time.monotonic() - shown >= STATUS_SECONDS:
                        shown = time.monotonic()
                        yield {self.status: self.work.worded(status.making(share, len(recipe.digits), shown - started))}
                    if not self.work.busy:
                        break
                    time.sleep(0.05)
        with tempfile.TemporaryDirectory() as folder:  # Gradio serves a copy of its own
            path = self.written(Path(folder) / f"digits-{len(recipe.digits)}-seed{recipe.seed}", kind, results, recipe)
            size = path.stat().st_size
            made = f"{len(recipe.digits):,} digits, {size / 1000:,.0f} kB, seed {recipe.seed}."
            yield self.ended() | {
                self.status: status.line(self.work.worded(made), 1),
                self.file: gr.update(value=str(path), visible=True),
            }

    def written(self, stem: Path, kind: str, results: list[Result], recipe: Recipe) -> Path:
        """The file of what was drawn."""
        if kind not in FORMATS:
            path = stem.with_name(stem.name + kind)
            export.write(path, results, recipe)
            return path
        labels = [label for result in results for label in result.labels]
        seeds = [seed for result in results for seed in result.seeds]
        images = np.concatenate([result.images for result in results])
        whole = Part(images, labels, seeds, list(range(len(images))))
        return formats.one_file(stem, kind, formats.Content([whole], len(images), 1, self.work.names))

    def stopped(self) -> Update:
        return {self.status: status.line(status.STOPPING), self.stop: OFF}

    def failed(self, file: Any) -> Update:
        line = status.line("No file was made. Press <b>Make the file</b> to try again.")
        return self.ended() | self.before(file) | {self.status: line}

    def before(self, file: Any) -> Update:
        """What was made before stays, where the request came to nothing."""
        return {self.file: gr.update(visible=file is not None)}

    def ended(self) -> Update:
        return {self.start: ON, self.stop: OFF}
