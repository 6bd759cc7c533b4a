"""The work behind the page: its pipelines, and the runs, retries and sheets that visitors wait for. No Gradio."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, wraps
from itertools import accumulate
from typing import Any

import numpy as np
from torch import Tensor

from diffusion import Pipeline, Recipe, Result, checks
from diffusion.data import DATASETS, with_classes
from diffusion.evaluation import readback
from diffusion.evaluation.map import Map, load_map
from diffusion.evaluation.readback import Reading, Tried, trying
from diffusion.evaluation.reader import Reader, load_reader, reader_of
from diffusion.evaluation.sheet import Axis, Sheet
from diffusion.lab import Denoising, Forward, forward, noise_panels, panels
from diffusion.lab.forward import Denoised, Noisy


@dataclass(frozen=True)
class Moment:
    """Where a run is: the steps done and in all, the level, the images and the newest guesses, uint8 (N, H, W[, 3]).

    `share` is how much of the work is done, 0 to 1: some steps ask the network more often than others.
    """

    done: int
    steps: int
    level: int
    noisy: np.ndarray
    guesses: np.ndarray
    share: float = 0.0


@dataclass(eq=False)
class UnderWay:
    """A run that somebody waits for: how many like it follow, when it began, and how much of it is done, 0 to 1."""

    more: int
    began: float = math.inf  # until its first state comes it waits for a GPU
    share: float = 0.0

    @property
    def left(self) -> float | None:
        """The seconds that they still take, as what is done tells; None before anything is."""
        passed = time.monotonic() - self.began
        return passed / self.share * (1 - self.share + self.more) if self.share else None


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
        self.whole = self
        self.pipes = dict(pipes)
        self.usual = next(iter(self.pipes))
        self.under_way: list[UnderWay] = []  # the runs that somebody waits for
        self.steps: Callable[[Recipe], Iterator[Moment | Result]] = gpu(self.steps_of)
        self.noised: Callable[[Recipe], list[tuple[Noisy, Tensor]]] = gpu(self.noised_of)
        self.denoised: Callable[[Recipe], Iterator[Denoised]] = self._waited_for(gpu(self.denoised_of))
        self.forward_picture: Callable[[str, Recipe], bytes] = gpu(self.forward_picture_of)
        self.run: Callable[..., Iterator[Moment | Result]] = self._waited_for(
            self.steps, lambda state: state.share if isinstance(state, Moment) else 1.0
        )
        self.retry: Callable[[Recipe, int], Iterator[Tried | None]] = self._waited_for(gpu(self.tries_of))
        self.sheet: Callable[[Recipe, Axis, Axis], Iterator[Cell]] = self._waited_for(
            gpu(self.cells_of), lambda cell: cell[2]
        )

    @property
    def parts(self) -> list["Work"]:
        """The same work for each group of weights that draw the same classes, which can do no more than those.

        They draw together: where somebody waits for one of them, all are busy.
        """
        parts = []
        for names in dict.fromkeys(pipe.names for pipe in self.pipes.values()):
            part = copy(self)
            part.pipes = {name: pipe for name, pipe in self.pipes.items() if pipe.names == names}
            part.usual = next(iter(part.pipes))
            parts.append(part)
        return parts

    def pipe(self, weights: Any) -> Pipeline:
        """What draws with the weights of this name, or BadInput."""
        if isinstance(weights, str) and weights in self.whole.pipes:
            return self.pipes[self._mine(weights)]
        return self.pipes[checks.choice("weights", weights, self.pipes)]

    def _mine(self, weights: str) -> str:
        """The name of some weights, or BadInput where they draw something else."""
        if weights not in self.pipes:
            things = things_of(self.whole.pipes[weights].names)
            raise checks.BadInput(
                f"That is for the weights {weights}, which draw {things}: choose {things} above first."
            )
        return weights

    def name_of(self, recipe: Recipe) -> str:
        """The name of the weights that a recipe names, where they are here; else of the usual ones.

        Raises BadInput where they are those of another part.
        """
        pipes = self.whole.pipes.items()
        return self._mine(next((name for name, pipe in pipes if pipe.weights == recipe.weights), self.usual))

    def of(self, recipe: Recipe) -> Pipeline:
        """What draws a recipe."""
        return self.pipes[self.name_of(recipe)]

    @property
    def names(self) -> tuple[str, ...]:
        """What can be drawn: the names of the classes."""
        return self.pipes[self.usual].names

    @property
    def things(self) -> str:
        """What the classes are, in a word: digits, clothes."""
        return things_of(self.names)

    def worded(self, text: str) -> str:
        """A text about digits, as it is said of what is drawn here."""
        if self.things == "digits":
            return text
        for digit, image in (
            (" each digit", " each"),
            ("a digit", "an image"),
            ("A digit", "An image"),
            ("digit", "image"),
            ("Digit", "Image"),
        ):
            text = text.replace(digit, image)
        return text

    @property
    def map(self) -> Map | None:
        """Where the reader sees what is drawn here, or None where it has no map or reads something else."""
        drawn = map_of(self.names)
        return drawn if drawn and self.pipes[self.usual].model.shape == drawn.shape else None

    @property
    def busy(self) -> bool:
        """Whether somebody waits for a run."""
        return bool(self.whole.under_way)

    @property
    def left(self) -> float | None:
        """The seconds until all runs that somebody waits for are done, or None where nothing tells."""
        return max((left for run in [*self.whole.under_way] if (left := run.left) is not None), default=None)

    def steps_of(self, recipe: Recipe) -> Iterator[Moment | Result]:
        """The moments of a run, from the start on, and at last its result."""
        pipe = self.of(recipe)
        denoises = isinstance(recipe.activity, Denoising)
        run = forward.denoising(pipe, recipe) if denoises else pipe.run(recipe)
        work = [1.0] * run.length if denoises else pipe.work(recipe if recipe.activity else recipe.alone(0))
        done = [*accumulate(work)]
        yield Moment(0, run.length, run.level, run.frame, run.guess)
        for step in run:
            share = done[step.index] / (done[-1] or 1)  # some recipes ask for no guess at all
            yield Moment(step.index + 1, run.length, step.level, run.frame, run.guess, share)
        yield replace(run.result(), recipe=replace(recipe, weights=pipe.weights))

    def tries_of(self, recipe: Recipe, tries: int) -> Iterator[Tried | None]:
        """A recipe, drawn until it reads right, at most so often: None after each step, at last what came of it."""
        yield from trying(self.of(recipe), reader(self.of(recipe).names), recipe, tries)

    def cells_of(self, recipe: Recipe, x: Axis, y: Axis) -> Iterator[Cell]:
        """A sheet as it is drawn."""
        sheet = Sheet(self.of(recipe), recipe, x, y)
        yield 0, len(sheet), 0.0, None
        for done in range(len(sheet)):
            for _ in sheet.cell():
                yield done, len(sheet), sheet.share, None
            yield done + 1, len(sheet), sheet.share, sheet.picture

    def noised_of(self, recipe: Recipe) -> list[tuple[Noisy, Tensor]]:
        """The pictures of a recipe at each of its noise levels, and the guess at once (B, C, H, W), on the CPU."""
        assert isinstance(recipe.activity, Forward | Denoising)
        pipe = self.of(recipe)
        shown = forward.at_levels(pipe, recipe, recipe.activity.levels)
        return [(noisy.cpu(), forward.one_step(pipe, recipe, noisy).cpu()) for noisy in shown]

    def denoised_of(self, recipe: Recipe) -> Iterator[Denoised]:
        """What a recipe with the activity `Denoising` asks for, a noise level after the other, on the CPU."""
        for row in forward.denoised(self.of(recipe), recipe):
            yield row.cpu()

    def forward_picture_of(self, ending: str, recipe: Recipe) -> bytes:
        """The file with an ending .png or .gif that shows the pictures of a recipe at its noise levels."""
        return noise_panels.forward_picture(ending, self.of(recipe), recipe)

    def picture(self, result: Result, ending: str, looks: Sequence[Sequence[Reading]] = ()) -> bytes:
        """The file with an ending .png or .gif that shows what came of an activity.

        Args:
            looks: what was read in each image, for each way to look at it, to be told there.
        """
        recipe, pipe = result.recipe, self.of(result.recipe)
        if isinstance(recipe.activity, Forward):
            return self.forward_picture(ending, recipe)
        if isinstance(recipe.activity, Denoising):
            return noise_panels.denoised_picture(ending, [*self.denoised(recipe)], recipe)
        return panels.picture(ending, result, pipe.names, [[each.caption for each in read] for read in looks])

    def read(self, result: Result) -> list[list[Reading]]:
        """What the reader makes of each image, for each way to look at it, or BadInput where it does not read these."""
        pipe = self.of(result.recipe)
        return readback.read_looks(pipe, reader(pipe.names), result)

    def _waited_for(
        self, work: Callable[..., Iterator[Any]], share: Callable[[Any], float] = lambda state: 0.0
    ) -> Callable[..., Iterator[Any]]:
        """The work, with data sets standing back meanwhile. It can be told how many `more` runs like it follow.

        Args:
            share: how much of it is done, 0 to 1, as what it yields says, at first 0; 0 where that says nothing.
        """

        @wraps(work)
        def counted(*arguments: Any, more: int = 0) -> Iterator[Any]:
            run = UnderWay(more)
            self.under_way.append(run)
            try:
                for state in work(*arguments):
                    run.began = min(run.began, time.monotonic())
                    run.share = share(state)
                    yield state
            finally:
                self.under_way.remove(run)

        return counted


@cache
def map_of(names: tuple[str, ...]) -> Map | None:
    """That of the bundled reader of such classes, or None where it has none."""
    try:
        drawn = load_map(reader_of(names), reader(names))
    except checks.BadInput:
        return None
    return drawn if drawn.names == names else None


@cache
def reader(names: tuple[str, ...]) -> Reader:
    """The bundled one of such classes, loaded when it is first wanted; on the CPU, quick enough and always there."""
    return load_reader(reader_of(names)).to("cpu")


def things_of(names: Sequence[str]) -> str:
    """What classes of these names are, in a word."""
    dataset = with_classes(names)
    return DATASETS[dataset].things if dataset else "images"
