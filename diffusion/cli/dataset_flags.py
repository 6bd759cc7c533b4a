"""The flags of a data set, and what they ask for."""

import argparse
import os
import random
import re
import shlex
from dataclasses import replace
from pathlib import Path

from diffusion import checkpoint, checks
from diffusion.cli.dataset_drawing import Drawing
from diffusion.cli.flags import digits, recipe, wanted
from diffusion.cli.reading import ReadingBack
from diffusion.download import on_hub
from diffusion.files import formats
from diffusion.files.formats import FORMATS
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS, Recipe
from diffusion.strings import LONGEST, Strings, lengths
from diffusion.team import Team

LENGTH = "4-6"  # of strings
ONLY_PICTURES = ("track", "panel", "map", "fps", "scale", "upscale")  # flags that mean nothing here


def add(parser: argparse.ArgumentParser) -> None:
    """The flags of a data set, among those of `sample`."""
    group = parser.add_argument_group(
        "data sets",
        "--out FOLDER/ draws a data set in shards, as many at once as torchrun starts processes, or one at a time with "
        "--shard on any machines. Whatever was stopped goes on when it is started again.",
    )
    group.add_argument("--format", help=f"of the data set: {', '.join(FORMATS)} (default: {next(iter(FORMATS))})")
    group.add_argument(
        "--shards", type=checks.typed, help="how many (default: one for 10,000 images, and at least 16 if they suffice)"
    )
    group.add_argument("--shard", metavar="K/N", help="draw the K-th of N shards and no other, like 3/16")
    group.add_argument(
        "--strings",
        type=checks.typed,
        metavar="COUNT",
        help="draw so many strings of digits, each as one picture with its text",
    )
    group.add_argument("--length", help=f"of --strings, how many digits, up to {LONGEST} (default: {LENGTH})")
    group.add_argument("--push-to-hub", metavar="USER/REPO", help="upload the data set with a card, once it is whole")
    group.add_argument("--private", action="store_true", help="create that repository as private")
    group.add_argument("--reject", action="store_true", help="leave out what the reader does not read as asked")


def is_dataset(flags: argparse.Namespace) -> bool:
    """Whether a data set is asked for, and no single file: by a folder, or by several processes."""
    return _folder(flags.out) or Team.started() > 1


def _folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or Path(out).is_dir()


def refuse(flags: argparse.Namespace) -> None:
    """BadInput for what a single file cannot have."""
    for name in ("format", "shards", "shard", "strings", "length", "reject", "push_to_hub", "private"):
        if getattr(flags, name) is not None and getattr(flags, name) is not False:
            raise checks.BadInput(
                f"--{name.replace('_', '-')} belongs to a data set: give --out a folder, like digits/."
            )


def check_flags(flags: argparse.Namespace) -> str:
    """The format of the data set. BadInput for flags that do not go with one, or with each other."""
    if not _folder(flags.out):
        raise checks.BadInput("Several processes draw a data set: give --out a folder, like digits/.")
    format = checks.choice("--format", flags.format or next(iter(FORMATS)), FORMATS)
    for name in ONLY_PICTURES:
        if getattr(flags, name) != ("noisy" if name == "track" else None):
            raise checks.BadInput(f"--{name} belongs to a picture or an animation: leave it out for a data set.")
    if flags.precision == "auto":
        raise checks.BadInput("All shards are drawn in one precision: choose fp32 or bf16 as --precision.")
    if flags.push_to_hub and format == "images":
        raise checks.BadInput("The Hub takes a few large files, not one for each image: choose another --format.")
    if flags.private and not flags.push_to_hub:
        raise checks.BadInput("--private belongs to --push-to-hub: add it, or leave this out.")
    return format


def drawing(flags: argparse.Namespace, pipe: Pipeline, again: Recipe | None) -> Drawing:
    """What there is to draw, which these weights can. Chance picks by the seed: all processes must come to the same."""
    pipe.offer.check_labels("A data set")
    strings = _strings(flags, pipe, again)
    if strings:
        asked = recipe(flags, pipe, strings.flat)
    else:
        seed = again.seed if flags.seed is None and again else flags.seed
        asked = wanted(flags, pipe, again, choose=random.Random(str(seed or 0)).choice)
    asked = replace(asked, weights=pipe.weights)
    pipe.check(asked)
    formats.check_guidance(asked.guidance)
    return Drawing(pipe, asked, strings, ReadingBack.from_flags(flags, pipe), flags.reject)


def _strings(flags: argparse.Namespace, pipe: Pipeline, again: Recipe | None) -> Strings | None:
    """The strings that are asked for: of all digits, or of those that --digits names."""
    if flags.strings is None:
        if flags.length is not None:
            raise checks.BadInput("--length is that of strings: say how many with --strings.")
        return None
    if flags.count != 1 or flags.like or again:
        raise checks.BadInput("--strings picks digits by lot: leave --count, --like and --recipe out.")
    if any(len(name) != 1 for name in pipe.names):
        raise checks.BadInput("Strings are written in single letters, and these weights draw other things.")
    if flags.until_right is not None and pipe.offer.styles and not isinstance(flags.hand, int):
        raise checks.BadInput(
            "Digits that are drawn again would be in another hand than their string: take --reject, or name one hand "
            "for all strings, like --hand 5."
        )
    sizes = lengths(flags.length or LENGTH)
    count = checks.whole("--strings", flags.strings, 1, checks.MAX_IMAGES // sizes[-1])
    seed = checks.whole("seed", flags.seed or 0, 0, checks.MAX_SEED)
    return Strings.by_lot(count, sizes, digits(flags, pipe), seed)


def shard(text: str | None) -> tuple[int | None, int | None]:
    """The shard, counted from 0, and the number of shards in a text like 3/16, or BadInput."""
    if text is None:
        return None, None
    if not (found := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)) or not 1 <= int(found[1]) <= int(found[2]):
        raise checks.BadInput(f"--shard must be like 3/16, the third of 16 shards, not {checks.shown(text)}.")
    return int(found[1]) - 1, int(found[2])


def command(flags: argparse.Namespace) -> str:
    """The command that draws such a data set, for its card: without what means something on this machine only."""
    words = ["python -m diffusion sample"]
    shown = ("digits", "prompts", "count", "strings", "length", "until_right", "precision", "format")
    for name in ("weights", "revision", "like", "recipe", *shown, *SETTINGS):
        value = getattr(flags, name)
        if value is None or value == {"count": 1, "precision": "fp32"}.get(name):
            continue
        if name == "weights" and value not in checkpoint.NAMES and not on_hub(value):
            value = "WEIGHTS"
        elif name in ("like", "recipe"):
            value = Path(value).name
        texts = value if name == "prompts" else [checks.written(value)]
        words.append(f"--{name.replace('_', '-')} {shlex.join(texts)}")
    words += [f"--{name}" for name in ("balance", "reject") if getattr(flags, name)]
    return " ".join([*words, "--out digits/"])
