"""The page: pick digits, watch them form out of noise, keep the grid and the GIF.

    python app.py          # then open http://127.0.0.1:7860

Host and port come from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT. It runs unchanged as a Hugging Face Space.
"""

import html
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from diffusion import cores

if __name__ == "__main__":
    cores.share()

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the page asks for nothing outside

try:
    import spaces  # on a Space with ZeroGPU, and it must come before torch

    gpu: Callable[..., Any] = spaces.GPU(duration=60)
    PRECISION = "fp32"  # the GPU is there only while a run lasts, so that nothing can be tried before
except ImportError:
    PRECISION = "auto"

    def gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """Anywhere else: the function as it is."""
        return function


if not os.environ.get("GRADIO_SERVER_PORT", "7860").isdecimal():  # Gradio fails on it while it is imported
    sys.exit("app.py: GRADIO_SERVER_PORT must be a number from 1 to 65535.")

import gradio as gr
import numpy as np

from diffusion import BadInput, Pipeline, Recipe, Result
from diffusion.compare import Axis, Sheet
from diffusion.hardware import use_allowed_cores
from diffusion.readback import Tried, trying
from diffusion.scheduler import T
from ui import asked, learned
from ui.compare import Compare
from ui.dataset import DataSet
from ui.draw import Draw, reader
from ui.stage import Moment
from ui.theme import CSS, SCRIPT, theme

INTRO = """# Digit Diffusion
A small network, trained from scratch on MNIST, turns pure noise into the digits you ask for."""

LAUNCH: dict[str, Any] = {
    "theme": theme(),
    "css": CSS,
    "js": SCRIPT,
    "footer_links": ["api", "settings"],
    "enable_monitoring": False,
    "max_file_size": "16mb",  # of a picture to open
    "state_session_capacity": 500,  # visitors whose runs are remembered
    "ssr_mode": False,
}


def build(pipe: Pipeline | None = None, few_step: Pipeline | None = None) -> gr.Blocks:
    """The page, ready to launch. It draws with these, or with the weights that ship."""
    if pipe is None:
        pipe, few_step = (Pipeline.from_pretrained(name, precision=PRECISION) for name in ("bundled", "few-step"))
    pipes = {"bundled": pipe} | ({"few-step": few_step} if few_step else {})

    def of(recipe: Recipe) -> Pipeline:
        """What draws a recipe: the weights that it names, where they are here."""
        return next((other for other in pipes.values() if other.weights == recipe.weights), pipes["bundled"])

    waiting = 0  # how many runs that somebody waits for are under way

    @gpu
    def steps_of(recipe: Recipe) -> Iterator[Moment | Result]:
        """The moments of a run, from the start on, and at last its result. It can be stopped at every step."""
        run = of(recipe).run(recipe)
        yield Moment(0, T - 1, run.frame, run.guess)
        for step in run:
            yield Moment(step.index + 1, step.level, run.frame, run.guess)
        yield run.result()

    @gpu
    def tries_of(recipe: Recipe, tries: int) -> Iterator[Tried | None]:
        """A recipe, drawn until it reads right."""
        yield from trying(of(recipe), reader(), recipe, tries)

    @gpu
    def cells_of(recipe: Recipe, x: Axis, y: Axis, path: str) -> Iterator[tuple[int, int, float, np.ndarray | None]]:
        """A sheet as it is drawn: cells done and in all, the share of the work, and the picture after each cell.

        It can be stopped at every step. In the end it is saved.
        """
        sheet = Sheet(of(recipe), recipe, x, y)
        for done in range(len(sheet)):
            for _ in sheet.cell():
                yield done, len(sheet), sheet.share, None
            yield done + 1, len(sheet), sheet.share, sheet.picture
        sheet.save(path)

    def waited_for(work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The work, with data sets standing back meanwhile."""

        @wraps(work)
        def counted(*arguments: Any) -> Iterator[Any]:
            nonlocal waiting
            waiting += 1
            try:
                yield from work(*arguments)
            finally:
                waiting -= 1

        return counted

    runs, retries, sheets = (waited_for(work) for work in (steps_of, tries_of, cells_of))

    def generate(
        digits: Any,
        count: Any,
        guidance: Any,
        steps: Any,
        sampler: Any,
        seed: Any,
        guide_from: Any,
        guide_to: Any,
        spacing: Any,
        eta: Any,
        weights: Any,
    ) -> Iterator[tuple[str | None, str | None, int]]:
        """Draw handwritten digits. Returns the grid (PNG), the way from noise to digits (GIF) and the seed.

        Args:
            digits: what to draw, in digits or words: "7", "0-9", "2026", "a 4 and two 3s", "any"; 100 at most.
            count: how many of each, 1 to 10.
            guidance: 1 is off, more is clearer, 0 ignores the digits; few-step weights take 1 to 3, say 2.5.
            steps: 1 to 1000; few-step weights take 1, 2, 4 or 8, which must be said.
            sampler: how each step is taken; few-step weights take ddim, which must be said.
            seed: the noise to start from; the same seed draws the same digits.
            guide_from: guidance is on from this noise level, 0 (clean) to 999 (pure noise).
            guide_to: and up to this one.
            spacing: where the noise levels of the steps lie; few-step weights take trailing.
            eta: fresh noise in the sampler ddim, 0 to 1; few-step weights take 0.
            weights: bundled takes its time, few-step is quick.
        """
        try:
            recipe = asked.recipe(digits, count, guidance, steps, sampler, seed, guide_from, guide_to, spacing, eta)
            recipe = asked.drawn_with(recipe, asked.pipe_of(weights, pipes))
        except BadInput as error:
            raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None
        for state in runs(recipe):
            if isinstance(state, Result):
                break
            yield None, None, recipe.seed  # so that a caller who gives up frees the machine
        with tempfile.TemporaryDirectory() as folder:
            yield *save(state, folder), recipe.seed

    # The model is one, so all runs share one budget. preprocess=False: the library's checks are the only ones.
    shared: dict[str, Any] = {
        "concurrency_id": "model",
        "concurrency_limit": 1,
        "preprocess": False,
        "show_progress": "hidden",
    }
    with gr.Blocks(title="Digit Diffusion", delete_cache=(600, 3600)) as page:
        gr.Markdown(INTRO, elem_id="intro")
        with gr.Tabs():
            with gr.Tab("Draw"):
                draw = Draw(pipes, runs, retries, shared)
            with gr.Tab("Compare"):
                Compare(pipes, sheets, draw, shared)
            with gr.Tab("Data set"):
                DataSet(pipes, steps_of, lambda: waiting > 0, draw)
            with gr.Tab("How it learned"):
                learned.tab()
        draw.opened(page)
        grid, animation = gr.Image(visible=False, label="Digits"), gr.Image(visible=False, label="From noise to digits")
        gr.Button(visible=False).click(
            generate,
            [*draw.settings, draw.weights],
            [grid, animation, draw.seed],
            api_name="generate",
            **shared,
        )
    return page.queue(max_size=16)


def save(result: Result, folder: str) -> tuple[str, str]:
    """Write the grid and the animation under telling names; returns their paths."""
    png, gif = (str(Path(folder) / f"{result.recipe.name}.{ending}") for ending in ("png", "gif"))
    result.save(png)
    result.save(gif)
    return png, gif


def main() -> None:
    use_allowed_cores()
    try:
        page = build()
    except BadInput as error:
        sys.exit(f"app.py: {error}")
    try:
        page.launch(**LAUNCH)
    except (OSError, OverflowError):
        sys.exit("app.py: the port is taken or does not exist: set GRADIO_SERVER_PORT to a free one up to 65535.")


if __name__ == "__main__":
    main()
