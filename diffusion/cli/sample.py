"""python -m diffusion sample: draw digits to a file, or a data set to a folder."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from diffusion import checks
from diffusion.checks import typed
from diffusion.cli import dataset, dataset_flags
from diffusion.cli.flags import add_drawing, add_like, add_pictures, pipeline, wanted
from diffusion.cli.reading import ReadingBack, add_reading, reader_file
from diffusion.evaluation.map import load_map
from diffusion.evaluation.readback import check_reader
from diffusion.files import export, render
from diffusion.files.atomic import check_writable, write_bytes
from diffusion.pipeline import BATCH, Pipeline
from diffusion.recipe import Recipe
from diffusion.result import ENDINGS, Result


def add(commands: Any) -> None:
    """The command's parser, among those of `add_subparsers`."""
    parser = commands.add_parser("sample", help="draw digits to a file")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help=".png: a grid; .gif, .webp, .apng: the trajectory; .npz: images, labels, seeds; .zip: single pictures; "
        ".idx.zip: MNIST's own files; FOLDER/: a data set",
    )
    add_drawing(parser)
    parser.add_argument(
        "--upscale",
        metavar="WEIGHTS",
        help="a second stage of DeepFloyd IF, a folder or user/repo on the Hub: makes what the first one drew larger "
        "(default: that of the recipe, where it names one; '' for none)",
    )
    add_like(parser)
    parser.add_argument("--recipe", metavar="FILE", help="a picture made here: its settings are the defaults")
    add_pictures(parser)
    parser.add_argument(
        "--track", default="noisy", help=f"of an animation: {' or '.join(render.TRACKS)} (default: noisy)"
    )
    parser.add_argument(
        "--panel",
        type=typed,
        metavar="MOMENTS",
        help=f"a .png with a row for each digit: so many moments from noise to digit, 2 to {render.FRAMES}",
    )
    parser.add_argument(
        "--map",
        action="store_true",
        default=None,
        help="the way of each guess on the map of what the reader sees: a .png is the map, an animation has it beside "
        "the digits",
    )
    add_reading(parser)
    dataset_flags.add(parser)
    parser.set_defaults(command=sample)


def sample(flags: argparse.Namespace) -> None:
    """Draw into one file, after all that could refuse it was asked."""
    if dataset_flags.is_dataset(flags):
        return dataset.make(flags)
    dataset_flags.refuse(flags)
    out = Path(flags.out)
    try:
        ending = checks.ending(out, ENDINGS)
    except checks.BadInput as error:
        raise checks.BadInput(f"{str(error).removesuffix('.')}, and the folder of a data set in /.") from None
    options = {name: getattr(flags, name) for name in ("track", "scale", "fps", "panel")}
    render.Options(**options)
    if flags.panel is not None and ending != ".png":
        raise checks.BadInput(f"A panel is a .png: end --out in that, not in {ending}.")
    if flags.map and (flags.panel is not None or ending in export.ENDINGS):
        raise checks.BadInput(
            f"A map is a .png or stands in an animation: leave --panel out, and end --out in .png or one of "
            f"{', '.join(render.ANIMATIONS)}."
        )
    again = Recipe.from_file(flags.recipe) if flags.recipe else None
    pipe = pipeline(flags, again)
    drawing = wanted(flags, pipe, again)
    pipe.check(drawing)
    named = again.upscale if again and pipe.offer.takes_text else ""
    drawing = replace(drawing, upscale=named if flags.upscale is None else flags.upscale)
    if flags.map and drawing.upscale:
        raise checks.BadInput("The reader reads no images of a second stage: leave --upscale or --map out.")
    larger = _second_stage(pipe, drawing.upscale, flags) if drawing.upscale else None
    _check_file(out, ending, drawing, larger or pipe, flags)
    reading = ReadingBack.from_flags(flags, pipe)
    drawn_on = load_map(reader_file(flags, pipe)) if flags.map else None
    if drawn_on:
        check_reader(pipe, drawn_on.reader)

    single = ending in export.ENDINGS
    count = len(drawing.digits)
    size = BATCH if single else count
    with tqdm(total=ceil(count / size) * drawing.steps * (2 if larger else 1), unit="step") as bar:
        parts = reading.results(drawing, size, bar.update) if reading else pipe.batches(drawing, size, bar.update)
        if larger:
            parts = _upscaled(pipe, larger, list(parts), bar)
        if single:
            export.write(out, parts, drawing, scale=flags.scale)
        else:
            [result] = parts
            if drawn_on:
                write_bytes(out, drawn_on.picture(result, ending, **options))
            else:
                result.save(out, **options)
    if reading:
        print(*reading.report, sep="\n")
    print(f"{count:,} {'image' if count == 1 else 'images'} in {out}")


def _second_stage(pipe: Pipeline, source: str, flags: argparse.Namespace) -> Pipeline:
    """What makes the drawing larger. Raises BadInput, which says so where it is the recipe that names it."""
    try:
        larger = Pipeline.from_pretrained(source, precision=flags.precision)
        pipe.check_stages(larger)
    except checks.BadInput as error:
        if flags.upscale is not None:
            raise
        reason = str(error).removesuffix(".")
        raise checks.BadInput(
            f"{reason} (the recipe names {source}: --upscale takes another, or '' for none)."
        ) from None
    return larger


def _upscaled(pipe: Pipeline, larger: Pipeline, small: list[Result], bar: tqdm) -> Iterator[Result]:
    """All that the first stage drew, made larger: the second one gets its room."""
    for result in small:
        run = pipe.upscaled(result, larger)
        for _ in run:
            bar.update()
        yield run.result()


def _check_file(out: Path, ending: str, wanted: Recipe, pipe: Pipeline, flags: argparse.Namespace) -> None:
    """BadInput for what cannot be kept in the end: it is refused before the drawing."""
    if ending in export.ENDINGS:
        export.check(ending, wanted, colour=pipe.model.shape[0] > 1)
    else:
        render.check_tiles(len(wanted.digits))
        Result.blank(wanted, pipe.model.shape).picture(ending, track=flags.track, scale=flags.scale, panel=flags.panel)
    check_writable(out)
