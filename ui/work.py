"""The work behind the page: its pipelines, and the runs, retries and sheets that visitors wait for. No Gradio."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, wraps
from typing import Any

import numpy as np
from torch import Tensor

from diffusion import Pipeline, Recipe, Result, checks
from diffusion.evaluation import readback
from diffusion.evaluation.readback import Reading, Tried, trying
from diffusion.evaluation.reader import Reader, load_reader
from diffusion.evaluation.sheet import Axis, Sheet
from diffusion.lab import Denoising, Forward, forward, noise_panels, panels
from diffusion.lab.forward import Denoised, Noisy


@dataclass(frozen=True)
class Moment:
    """Where a run is: the steps done and in all, the level, the images and the newest guesses, uint8 (N, H, W[, 3])."""

    done: int
    steps: int
    level: int
    noisy: np.ndarray
    guesses: np.ndarray


Cell = tuple[int, int, float, np.ndarray | None]
"""Of a sheet: cells done and in all, the share of the work that is done, and the picture where a cell is finished."""


class Work:
    """What draws, and how.

    `run`, `retry` and `sheet` are iterators that can be left at any step. While somebody waits for one, the work is
    `busy`, and data sets, which are drawn with `steps`, stand back.

    Args:
        pipes: what draws, by the name of its weights; the first one is used unless another is asked for.
        gpu: wraps each function that needs the network: ZeroGPU's decorator on a Space.
    """

    def __init__(self, pipes: Mapping[str, Pipeline], gpu: Callable[..., Any] = lambda function: function):
        self.pipes = dict(pipes)
        self.usual = next(iter(self.pipes))
        self.waiting = 0  # how many runs that somebody waits for are under way
        self.steps: Callable[[Recipe], Iterator[Moment | Result]] = gpu(self.steps_of)
        self.noised: Callable[[Recipe], tuple[Noisy, Tensor]] = gpu(self.noised_of)
        self.denoised: Callable[[Recipe], Iterator[Denoised]] = self._waited_for(gpu(self.denoised_of))
        self.forward_picture: Callable[[str, Pipeline, Recipe], bytes] = gpu(noise_panels.forward_picture)
        self.run: Callable[[Recipe], Iterator[Moment | Result]] = self._waited_for(self.steps)
        self.retry: Callable[[Recipe, int], Iterator[Tried | None]] = self._waited_for(gpu(self.tries_of))
        self.sheet: Callable[[Recipe, Axis, Axis, str], Iterator[Cell]] = self._waited_for(gpu(self.cells_of))

    def pipe(self, weights: Any) -> Pipeline:
        """What draws with the weights of this name, or BadInput."""
        return self.pipes[checks.choice("weights", weights, self.pipes)]

    def name_of(self, recipe: Recipe) -> str:
        """The name of the weights that a recipe names, where they are here; else of the usual ones."""
        return next((name for name, pipe in self.pipes.items() if pipe.weights == recipe.weights), self.usual)

    def of(self, recipe: Recipe) -> Pipeline:
        """What draws a recipe."""
        return self.pipes[self.name_of(recipe)]

    @property
    def names(self) -> tuple[str, ...]:
        """What can be drawn: the names of the classes."""
        return self.pipes[self.usual].names

    @property
    def busy(self) -> bool:
        """Whether somebody waits for a run."""
        return self.waiting > 0

    def steps_of(self, recipe: Recipe) -> Iterator[Moment | Result]:
        """The moments of a run, from the start on, and at last its result."""
        pipe = self.of(recipe)
        denoises = isinstance(recipe.activity, Denoising)
        run = forward.denoising(pipe, recipe) if denoises else pipe.run(recipe)
        yield Moment(0, run.length, run.level, run.frame, run.guess)
        for step in run:
            yield Moment(step.index + 1, run.length, step.level, run.frame, run.guess)
        yield replace(run.result(), recipe=replace(recipe, weights=pipe.weights))

    def tries_of(self, recipe: Recipe, tries: int) -> Iterator[Tried | None]:
        """A recipe, drawn until it reads right, at most so often: None after each step, at last what came of it."""
        yield from trying(self.of(recipe), reader(), recipe, tries)

    def cells_of(self, recipe: Recipe, x: Axis, y: Axis, path: str) -> Iterator[Cell]:
        """A sheet as it is drawn, and in the end saved."""
        sheet = Sheet(self.of(recipe), recipe, x, y)
        for done in range(len(sheet)):
            for _ in sheet.cell():
                yield done, len(sheet), sheet.share, None
            yield done + 1, len(sheet), sheet.share, sheet.picture
        sheet.save(path)

    def noised_of(self, recipe: Recipe) -> tuple[Noisy, Tensor]:
        """The pictures of a recipe at the last of its noise levels, and the network's guess at once (B, C, H, W)."""
        assert isinstance(recipe.activity, Forward | Denoising)
        pipe = self.of(recipe)
        [noisy] = forward.at_levels(pipe, recipe, recipe.activity.levels[-1:])
        return noisy, forward.one_step(pipe, recipe, noisy)

    def denoised_of(self, recipe: Recipe) -> Iterator[Denoised]:
        """What a recipe with the activity `Denoising` asks for, a noise level after the other."""
        yield from forward.denoised(self.of(recipe), recipe)

    def picture(self, result: Result, ending: str, looks: Sequence[Sequence[Reading]] = ()) -> bytes:
        """The file with an ending .png or .gif that shows what came of an activity.

        Args:
            looks: what was read in each image, for each way to look at it, to be told there.
        """
        recipe, pipe = result.recipe, self.of(result.recipe)
        if isinstance(recipe.activity, Forward):
            return self.forward_picture(ending, pipe, recipe)
        if isinstance(recipe.activity, Denoising):
            return noise_panels.denoised_picture(ending, [*self.denoised(recipe)], recipe)
        return panels.picture(ending, result, pipe.names, [[each.caption for each in read] for read in looks])

    def read(self, result: Result) -> list[list[Reading]]:
        """What the reader makes of each image, for each way to look at it, or BadInput where it does not read these."""
        return readback.read_looks(self.of(result.recipe), reader(), result)

    def _waited_for(self, work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The work, with data sets standing back meanwhile."""

        @wraps(work)
        def counted(*arguments: Any) -> Iterator[Any]:
            self.waiting += 1
            try:
                yield from work(*arguments)
            finally:
                self.waiting -= 1

        return counted


@cache
def reader() -> Reader:
    """The bundled one, loaded when it is first wanted; on the CPU, which is quick enough and always there."""
    return load_reader().to("cpu")
