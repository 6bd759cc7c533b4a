"""python -m diffusion sample: draw digits to a file."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from diffusion import checkpoint, checks
from diffusion.checks import typed
from diffusion.cli.flags import add_drawing, digits, recipe
from diffusion.evaluation.readback import MAX_TRIES, until_right
from diffusion.evaluation.reader import READER, Reader, load_reader
from diffusion.files import export, render
from diffusion.files.atomic import check_writable
from diffusion.pipeline import BATCH, Pipeline
from diffusion.recipe import SETTINGS, Recipe
from diffusion.result import ENDINGS, TRACKS, Result, check_options
from diffusion.scheduler import T

MOST_CAPTIONS = 100  # of what is read; after so many images, only the misses are told


def add(commands: Any) -> None:
    """The command's parser, among those of `add_subparsers`."""
    parser = commands.add_parser("sample", help="draw digits to a file")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help=".png: a grid; .gif, .webp, .apng: the trajectory; .npz: images, labels, seeds; .zip: single pictures; "
        ".idx.zip: MNIST's own files",
    )
    add_drawing(parser)
    parser.add_argument("--recipe", metavar="FILE", help="a picture made here: its settings are the defaults")
    parser.add_argument("--scale", type=typed, help="of a picture: pixels per pixel, 1 to 16")
    parser.add_argument("--fps", type=typed, help="of an animation: frames per second, 1 to 50")
    parser.add_argument("--track", default="noisy", help=f"of an animation: {' or '.join(TRACKS)} (default: noisy)")
    parser.add_argument("--read", action="store_true", help="print what a classifier, the reader, reads in each digit")
    parser.add_argument(
        "--until-right",
        type=typed,
        metavar="TRIES",
        help="draw each digit that the reader reads wrong again from other seeds, at most so many times in all",
    )
    parser.add_argument("--reader", default=str(READER), help="the classifier that reads (default: the bundled one)")
    parser.set_defaults(command=sample)


def sample(flags: argparse.Namespace) -> None:
    """Draw into one file, after all that could refuse it was asked."""
    out = Path(flags.out)
    ending = checks.ending(out, ENDINGS)
    check_options(flags.track, flags.scale, flags.fps)
    again = Recipe.from_file(flags.recipe) if flags.recipe else None
    pipe = _pipeline(flags, again)
    wanted = _recipe(flags, pipe, again)
    if again and (warning := pipe.differs(again)):
        print(warning, file=sys.stderr)
    _check_file(out, ending, wanted, pipe, flags)
    reading = _Reading.asked(flags, pipe)

    single = ending in export.ENDINGS
    count = len(wanted.digits)
    size = BATCH if single else count
    with tqdm(total=ceil(count / size) * wanted.steps, unit="step") as bar:
        parts = reading.results(wanted, size, bar.update) if reading else pipe.batches(wanted, size, bar.update)
        if single:
            export.write(out, parts, wanted, scale=flags.scale)
        else:
            [result] = parts
            result.save(out, track=flags.track, scale=flags.scale, fps=flags.fps)
    if reading:
        print(*reading.report, sep="\n")
    print(f"{count:,} {'image' if count == 1 else 'images'} in {out}")


def _pipeline(flags: argparse.Namespace, again: Recipe | None) -> Pipeline:
    """The weights that are asked for, or else those that drew the recipe, where they are here."""
    weights = flags.weights or (checkpoint.name_of(again.weights) if again else None)
    return Pipeline.from_pretrained(weights, revision=flags.revision, precision=flags.precision)


def _recipe(flags: argparse.Namespace, pipe: Pipeline, again: Recipe | None) -> Recipe:
    """What to draw: the flags, and what they do not say is as in the recipe to draw again, where there is one."""
    if again is None:
        return recipe(flags, pipe, digits(flags, pipe.names))
    usual = {name: getattr(again, name) for name in SETTINGS}
    wanted = recipe(flags, pipe, again.digits if flags.digits is None else digits(flags, pipe.names), **usual)
    same = (wanted.digits, wanted.seed) == (again.digits, again.seed)
    return replace(wanted, redrawn=again.redrawn) if same else wanted


def _check_file(out: Path, ending: str, wanted: Recipe, pipe: Pipeline, flags: argparse.Namespace) -> None:
    """BadInput for what cannot be kept in the end: it is refused before the drawing."""
    if ending in export.ENDINGS:
        export.check(ending, wanted)
    else:
        render.check_tiles(len(wanted.digits))
        _blank(wanted, pipe).picture(ending, track=flags.track, scale=flags.scale)
    check_writable(out)


def _blank(wanted: Recipe, pipe: Pipeline) -> Result:
    """A result as large as that of the recipe, which goes from black to white."""
    channels, height, width = pipe.model.shape
    frames = np.zeros((2, len(wanted.digits), height, width, *([] if channels == 1 else [channels])), np.uint8)
    frames[1] = 255
    return Result(frames[1], frames, frames, [T - 1, -1], wanted)


class _Reading:
    """Drawing and reading back: `report` gets a line for each of the first images and for each miss, then the sum."""

    def __init__(self, pipe: Pipeline, reader: Reader, tries: int):
        self.pipe, self.reader, self.tries = pipe, reader, tries
        self.report: list[str] = []

    @classmethod
    def asked(cls, flags: argparse.Namespace, pipe: Pipeline) -> "_Reading | None":
        """What --read and --until-right ask for."""
        if flags.until_right is None and not flags.read:
            return None
        tries = 1 if flags.until_right is None else checks.whole("--until-right", flags.until_right, 1, MAX_TRIES)
        return cls(pipe, load_reader(flags.reader), tries)

    def results(self, wanted: Recipe, size: int, on_step: Callable[[], object]) -> Iterator[Result]:
        """As `Pipeline.batches`, but what does not read right is drawn again until its tries are over."""
        done = drawn = right = 0
        for part in wanted.split(size):
            tried = until_right(self.pipe, self.reader, part, self.tries, on_step)
            for k, (reading, seed) in enumerate(zip(tried.readings, tried.result.seeds, strict=True), done):
                miss = "" if reading.right else f", but {self.pipe.names[reading.asked]} was asked for"
                if miss or k < MOST_CAPTIONS:
                    self.report.append(f"image {k}, seed {seed}: {reading.caption}{miss}")
            done += len(tried.readings)
            drawn += tried.drawn
            right += sum(reading.right for reading in tried.readings)
            yield tried.result
        self.report.append(f"{right:,} of {done:,} read as asked, {drawn:,} drawn")
