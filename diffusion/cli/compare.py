"""python -m diffusion compare: draw an X/Y sheet."""

import argparse
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from diffusion import checks
from diffusion.cli.flags import add_drawing, pipeline, recipe, styled
from diffusion.evaluation.sheet import AXES, Axis, Sheet, axis
from diffusion.files.atomic import check_writable


def add(commands: Any) -> None:
    """The command's parser, among those of `add_subparsers`."""
    about = "draw an X/Y sheet: the same noise, other settings"
    parser = commands.add_parser("compare", help=about)
    for flag, way, example in (("--x", "left to right", "steps=4,10,50"), ("--y", "top to bottom", "guidance=1,2,4")):
        changes = f"what changes from {way}: {' or '.join(AXES)}, like {example}"
        parser.add_argument(flag, required=True, metavar="NAME=VALUES", help=changes)
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the sheet")
    add_drawing(parser)
    parser.set_defaults(command=compare)


def compare(flags: argparse.Namespace) -> None:
    """Draw a sheet into a file."""
    checks.ending(flags.out, [".png"])
    pipe = pipeline(flags)
    x, y = (_axis(flag, getattr(flags, flag), pipe.names) for flag in ("x", "y"))
    # where an axis is of digits: 0, until the cell has its own
    of_each_cell, words = ([0], {}) if "digits" in (x[0], y[0]) else styled(flags, pipe)
    sheet = Sheet(pipe, recipe(flags, pipe, of_each_cell, **words), x, y)
    check_writable(flags.out)  # before the drawing
    for _ in tqdm(sheet, unit="cell"):
        pass
    sheet.save(flags.out)
    print(f"{len(sheet)} cells in {flags.out}")


def _axis(flag: str, text: str, names: Sequence[str]) -> Axis:
    """The axis of a sheet that a text like "steps=4,10,50" names, or BadInput."""
    name, found, values = text.partition("=")
    if not found:
        raise checks.BadInput(f"--{flag} must be like steps=4,10,50, not {checks.shown(text)}.")
    return axis(name, values, names)
