"""Reading drawn digits back: what the reader reads in each, and drawing again what it reads wrong."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffusion import checks
from diffusion.data import DATASETS
from diffusion.evaluation.reader import Reader
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe
from diffusion.result import Result

MAX_TRIES = 100  # of one image
STRIDE = 2654435761  # between the seeds that an image is tried with: 2**32 over the golden ratio, so all are far apart


@dataclass(frozen=True)
class Reading:
    """What the reader reads in one image."""

    label: int  # the one that was asked for
    read: int  # the likeliest label
    likely: float  # how likely that is, 0 to 1
    likely_label: float  # how likely the one asked for is
    name: str  # of the label that was read

    @property
    def right(self) -> bool:
        return self.read == self.label

    @property
    def caption(self) -> str:
        """Like "7, 99.8 %"."""
        return f"{self.name}, {100 * self.likely:.1f} %"


@dataclass(frozen=True)
class Tried:
    """What `until_right` came to.

    Attributes:
        result: drawn from the seeds that read right, or else from those that came nearest; its recipe holds them.
        looks: what was read in its images, for each way to look at them.
        drawn: how many images were drawn to find the seeds.
    """

    result: Result
    looks: list[list[Reading]]
    drawn: int

    @property
    def readings(self) -> list[Reading]:
        """Of each image, the worst."""
        return worst(self.looks)


def check_reader(pipe: Pipeline, reader: Reader) -> None:
    """BadInput where the reader does not read what these weights draw."""
    dataset = DATASETS.get(reader.dataset)
    if dataset is None or dataset.names != pipe.names:
        raise checks.BadInput(f"This reader reads {reader.dataset}, which these weights do not draw: choose others.")


def labels_in(pipe: Pipeline, reader: Reader, images: np.ndarray) -> list[int]:
    """What the reader reads in images uint8 (N, H, W[, 3]), as labels. BadInput where it reads other things."""
    try:
        check_reader(pipe, reader)
    except checks.BadInput:
        raise checks.BadInput(
            f"This reader reads {reader.dataset}, which these weights do not draw: say what each of the pictures is."
        ) from None
    likely, _ = reader.read(images)
    return likely.argmax(1).tolist()


def read(pipe: Pipeline, reader: Reader, result: Result) -> list[Reading]:
    """What the reader reads in each image of a result: those whose `right` is false are misses.

    Where an activity wants images to be looked at in several ways, each reading is that of the worst.
    """
    return worst(read_looks(pipe, reader, result))


def read_looks(pipe: Pipeline, reader: Reader, result: Result) -> list[list[Reading]]:
    """What the reader reads in each image, for each way in which its activity wants it to be looked at."""
    check_reader(pipe, reader)
    return [_read(pipe.names, reader, look.images, look.labels) for look in result.looks]


def worst(looks: Sequence[Sequence[Reading]]) -> list[Reading]:
    """Of several readings of each image, as `read_looks` has them, the one that is furthest from right."""
    return [min(each, key=lambda reading: (reading.right, reading.likely_label)) for each in zip(*looks, strict=True)]


def captions_of(result: Result, looks: Sequence[Sequence[Reading]]) -> list[str]:
    """What was read in each image, if anything, like "7, 99.8 %", or "upright 6, 99.1 %; rotate-180 9, 97.3 %"."""
    captions = (
        [f"{look.title} {each.caption}".strip() for each in read]
        for look, read in zip(result.looks, looks, strict=False)
    )
    return ["; ".join(each) for each in zip(*captions, strict=True)]


def until_right(
    pipe: Pipeline, reader: Reader, recipe: Recipe, tries: int, on_step: Callable[[], object] = lambda: None
) -> Tried:
    """Draw until it reads right: each image that does not is drawn again from other seeds, up to `tries` times in all.

    The seeds follow from the recipe's own. At last everything is drawn once more with the seeds that were found (unless
    there was no need to), so that the recipe of the result draws exactly it.

    Args:
        tries: 1 to 100.
        on_step: is called after each step of each run, and may raise to stop it.
    """
    for tried in trying(pipe, reader, recipe, tries):
        if tried is None:
            on_step()
    assert tried is not None
    return tried


def trying(pipe: Pipeline, reader: Reader, recipe: Recipe, tries: int) -> Iterator[Tried | None]:
    """`until_right` as an iterator that can be left at any step: None after each, and at last what came of it."""
    check_reader(pipe, reader)
    tries = checks.whole("tries", tries, 1, MAX_TRIES)
    result = yield from _draw(pipe, recipe)
    looks = read_looks(pipe, reader, result)
    readings = worst(looks)
    drawn = len(readings)
    own = recipe.seeds
    best = {k: (reading.likely_label, own[k]) for k, reading in enumerate(readings) if not reading.right}
    missed = list(best)
    for attempt in range(1, tries):
        if not missed:
            break
        seeds = [(own[k] + attempt * STRIDE) % (checks.MAX_SEED + 1) for k in missed]
        again = yield from _draw(pipe, recipe.some(missed, seeds))
        found = read(pipe, reader, again)
        drawn += len(found)
        for k, seed, reading in zip(missed, seeds, found, strict=True):
            best[k] = (2.0, seed) if reading.right else max(best[k], (reading.likely_label, seed))
        missed = [k for k, reading in zip(missed, found, strict=True) if not reading.right]
    other = tuple((k, seed) for k, (_, seed) in best.items() if seed != own[k])
    if other:
        result = yield from _draw(pipe, replace(recipe, redrawn=(*recipe.redrawn, *other)))
        looks = read_looks(pipe, reader, result)
    yield Tried(result, looks, drawn)


def _draw(pipe: Pipeline, recipe: Recipe) -> Generator[None, None, Result]:
    run = pipe.run(recipe)
    for _ in run:
        yield
    return run.result()


def _read(names: Sequence[str], reader: Reader, images: np.ndarray, labels: Sequence[int]) -> list[Reading]:
    likely, _ = reader.read(images)
    return [
        Reading(label, int(each.argmax()), float(each.max()), float(each[label]), names[int(each.argmax())])
        for label, each in zip(labels, likely, strict=True)
    ]
