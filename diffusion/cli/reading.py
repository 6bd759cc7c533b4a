"""--read and --until-right: what the reader reads in what is drawn: printed, and acted on."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from diffusion import checks
from diffusion.checks import typed
from diffusion.evaluation.readback import MAX_TRIES, Reading, captions_of, until_right
from diffusion.evaluation.reader import Reader, load_reader, reader_of
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe
from diffusion.result import Result

MOST_CAPTIONS = 100  # of what is read; after so many images, only the misses are printed


def add_reading(parser: argparse.ArgumentParser, *, again: bool = True) -> None:
    """The flags: without `again`, nothing can be drawn again."""
    parser.add_argument("--read", action="store_true", help="print what a classifier, the reader, reads in each digit")
    if again:
        parser.add_argument(
            "--until-right",
            type=typed,
            metavar="TRIES",
            help="while the reader reads a digit wrong, draw it again from another seed, at most TRIES times in all",
        )
    parser.add_argument("--reader", help="the classifier that reads (default: the bundled one of the data set)")


def reader_file(flags: argparse.Namespace, pipe: Pipeline) -> str | Path:
    """The reader that is asked for, or else the one that ships for what these weights draw."""
    return flags.reader or reader_of(pipe.names)


class ReadingBack:
    """Drawing and reading back: `report` gets a line for each of the first images and for each miss, then the sum."""

    def __init__(self, pipe: Pipeline, reader: Reader, tries: int):
        self.pipe, self.reader, self.tries = pipe, reader, tries
        self.report: list[str] = []
        self.looks: list[list[Reading]] = []  # what was read in the last of the results

    @classmethod
    def from_flags(cls, flags: argparse.Namespace, pipe: Pipeline) -> "ReadingBack | None":
        """What --read, --until-right and --reject ask for."""
        if (tries := getattr(flags, "until_right", None)) is None and not (
            flags.read or getattr(flags, "reject", False)
        ):
            return None
        tries = 1 if tries is None else checks.whole("--until-right", tries, 1, MAX_TRIES)
        return cls(pipe, load_reader(reader_file(flags, pipe)), tries)

    def captions(self, images: np.ndarray) -> list[str]:
        """What is read in images uint8 (N, H, W[, 3]), like "7, 99.8 %"."""
        likely, _ = self.reader.read(images)
        return [f"{self.pipe.names[each.argmax()]}, {100 * each.max():.1f} %" for each in likely]

    def results(self, wanted: Recipe, size: int, on_step: Callable[[], object]) -> Iterator[Result]:
        """As `Pipeline.batches`, but what does not read right is drawn again until its tries are over."""
        done = drawn = right = 0
        for part in wanted.split(size):
            tried = until_right(self.pipe, self.reader, part, self.tries, on_step)
            self.looks = tried.looks
            readings, captions = tried.readings, captions_of(tried.result, tried.looks)
            for k, (reading, seed) in enumerate(zip(readings, tried.result.seeds, strict=True), done):
                miss = "" if reading.right else f", but {self.pipe.names[reading.label]} was asked for"
                if miss or k < MOST_CAPTIONS:
                    self.report.append(f"image {k}, seed {seed}: {captions[k - done]}{miss}")
            done += len(readings)
            drawn += tried.drawn
            right += sum(reading.right for reading in readings)
            yield tried.result
        self.report.append(f"{right:,} of {done:,} read as asked, {drawn:,} drawn")
