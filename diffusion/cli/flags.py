"""The flags that several commands share, and what they come to: weights, digits, a recipe, real images."""

import argparse
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import Tensor

from diffusion import checkpoint, checks, data, prompts
from diffusion.checks import typed, written
from diffusion.config import FewStep
from diffusion.files.labels import missing, read_labels
from diffusion.files.render import OPTIONS
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS, Recipe
from diffusion.style import repeated

FEW_STEP = f"draws in {FewStep().settings['steps'].values} steps"  # as the weights of that name do


def add_drawing(
    parser: argparse.ArgumentParser,
    *,
    count: int | None = 1,
    several: Sequence[str] = (),
    digits: str | None = "(default: one of each)",
    settings: Sequence[str] = tuple(SETTINGS),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """What to draw, with which weights and which settings.

    A setting that is not given is None; its value is not checked yet, and of those in `several` it is a list.

    Args:
        count: how many of each digit, by default; None where that cannot be chosen.
        digits: the end of their line of help; None where they cannot be chosen.
        settings: those that count.
        defaults: of settings that are best otherwise here.
    """
    parser.add_argument(
        "--weights",
        help=f"few-step, which {FEW_STEP}; fashion or fashion-few-step, for clothes; {checkpoint.ONE_GUESS}, which "
        "takes noise away in one guess; or a file, a folder, or user/repo on the Hub (default: the bundled weights)",
    )
    parser.add_argument(
        "--embeddings", metavar="FILE", help="of text-to-image weights: prompts that were encoded before"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a repository on the Hub (default: main)")
    if digits is not None:
        parser.add_argument(
            *("--digits", "--prompt"),
            metavar="TEXT",
            help=f'what to draw, like "0-9", "2026" or "a 4 and two 3s", or classes by name {digits}; a sentence for '
            "text-to-image weights",
        )
        parser.add_argument("--prompts", nargs="+", metavar="TEXT", help="the same, one after the other")
    if count is not None:
        parser.add_argument("--count", type=typed, default=count, help=f"how many of each digit (default: {count})")
    parser.add_argument(
        "--precision",
        default="fp32",
        help="fp32; bf16, which visibly changes about one digit in a hundred; auto: the quickest (default: fp32)",
    )
    group = parser.add_argument_group("settings", "Other weights than the bundled ones may have defaults of their own.")
    for name in settings:
        setting = SETTINGS[name]
        read: Callable[[str], Any] = setting.values.read
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=partial(_each, read) if name in several else read,
            metavar=name.split("_")[-1].upper(),
            help=f"{setting.help}: {setting.values} (default: {written(defaults.get(name, setting.default))})",
        )


def _each(read: Callable[[str], Any], text: str) -> list[Any]:
    return [read(part) for part in text.split(",")]


Choose = Callable[[Sequence[int]], int]
"""What picks a digit where chance is asked for."""


def texts(flags: argparse.Namespace) -> list[str]:
    """What --digits, --prompt or --prompts say, where they do."""
    one, several = getattr(flags, "digits", None), getattr(flags, "prompts", None)
    if one is not None and several is not None:
        raise checks.BadInput("Say what to draw by --prompts or by --prompt: leave out the one or the other.")
    return several or ([] if one is None else [one])


def digits(flags: argparse.Namespace, pipe: Pipeline) -> list[int]:
    """The digits that are asked for: where none are, one of each that the weights draw. Or BadInput."""
    if pipe.offer.takes_text or not texts(flags):  # `pipeline` told them the prompts that are asked for
        return list(range(len(pipe.names)))
    return [digit for text in texts(flags) for digit in prompts.digits(text, pipe.names)]


def styled(
    flags: argparse.Namespace, pipe: Pipeline, choose: Choose = random.choice
) -> tuple[list[int], dict[str, Any]]:
    """The same, and what else it says of them: how they are to be written, as a setting of a recipe."""
    if like := getattr(flags, "like", None):
        if texts(flags):
            raise checks.BadInput("--like says which digits to draw: leave --digits out.")
        labels = read_labels(like, pipe.names)
        if flags.balance and not (labels := missing(labels)):
            raise checks.BadInput(f"{like} has as many of each class already: leave --balance out.")
        return labels, {}
    if pipe.offer.takes_text or not texts(flags):
        return digits(flags, pipe), {}
    wanted: list[int] = []
    words: list[tuple[int, str]] = []
    for text in texts(flags):
        more, how = prompts.styled(text, pipe.names, choose=choose)
        words += [(len(wanted) + k, word) for k, word in how]
        wanted += more
    return wanted, _words(flags, words, len(wanted))


def _words(flags: argparse.Namespace, words: Sequence[tuple[int, str]], images: int) -> dict[str, Any]:
    """The setting of a recipe that says how so many images, `--count` of each, are to be written."""
    count = checks.whole("--count", getattr(flags, "count", 1), 1, checks.MAX_IMAGES // images)
    return {"words": repeated(words, images, count)}


def recipe(flags: argparse.Namespace, pipe: Pipeline, digits: Sequence[int], **usual: Any) -> Recipe:
    """What to draw: `--count` of each digit, with the settings that are given, or else with the usual ones.

    Where a setting is in neither, it is the weights' own default. Raises BadInput for what no run can have.
    """
    count = checks.whole("--count", getattr(flags, "count", 1), 1, checks.MAX_IMAGES)
    if len(digits) * count > checks.MAX_IMAGES:
        raise checks.BadInput(f"Ask for at most {checks.MAX_IMAGES:,} images at once.")
    given = {name: value for name in SETTINGS if (value := getattr(flags, name, None)) is not None}
    wanted = pipe.recipe(tuple(digits) * count, **usual | given)
    warn(pipe, wanted)
    return wanted


def warn(pipe: Pipeline, wanted: Recipe) -> None:
    """Say where a recipe asks these weights for what they were not trained for."""
    if warning := pipe.strange(wanted):
        pipe.check(wanted)  # who is refused need not be warned
        print(warning, file=sys.stderr)


def wanted(flags: argparse.Namespace, pipe: Pipeline, again: Recipe | None, choose: Choose = random.choice) -> Recipe:
    """What to draw: the flags, and what they do not say is as in the recipe to draw again, where there is one."""
    if flags.balance and not flags.like:
        raise checks.BadInput("--balance fills up the classes of a file: name it with --like.")
    if again is None:
        digits, words = styled(flags, pipe, choose)
        return recipe(flags, pipe, digits, **words)
    usual = {name: getattr(again, name) for name in (*SETTINGS, "activity")}
    if texts(flags) or flags.like:
        digits, words = styled(flags, pipe, choose)
    else:
        digits, words = [*again.digits], _words(flags, again.words, len(again.digits))
        if again.prompts:
            words["prompts"] = again.prompts  # weights that draw classes refuse them
    drawn = recipe(flags, pipe, digits, **usual, **words)
    same = (drawn.digits, drawn.seed) == (again.digits, again.seed)
    return replace(drawn, redrawn=again.redrawn) if same else drawn


def add_like(parser: argparse.ArgumentParser) -> None:
    """What to draw, by a file of labels."""
    parser.add_argument("--like", metavar="FILE", help="draw the labels in a CSV, NPZ or IDX file, in their order")
    parser.add_argument(
        "--balance", action="store_true", help="of --like, draw what fills its classes up to equal numbers"
    )


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """How a picture or an animation is laid out."""
    parser.add_argument("--scale", type=typed, help=f"of a picture: pixels per pixel, {OPTIONS['scale'].values}")
    parser.add_argument("--fps", type=typed, help=f"of an animation: frames per second, {OPTIONS['fps'].values}")


def pipeline(flags: argparse.Namespace, again: Recipe | None = None) -> Pipeline:
    """The weights that are asked for, or else those that drew the recipe, where they are here.

    Those that take text are told the prompts that are asked for, or else those of the recipe.
    """
    weights = flags.weights or (checkpoint.name_of(again.weights) if again else None)
    pipe = Pipeline.from_pretrained(weights, revision=flags.revision, precision=flags.precision)
    if again and (warning := pipe.differs(again)):
        own = checkpoint.name_of(again.weights)
        anew = texts(flags) or getattr(flags, "like", None)
        if own and not anew and pipe.names != Pipeline.from_pretrained(own).names:
            raise checks.BadInput(f"This recipe is of the weights {own}, which draw other things: name those, or none.")
        print(warning, file=sys.stderr)
    if pipe.offer.takes_text or flags.embeddings:
        known = checkpoint.embeddings(flags.embeddings) if flags.embeddings else None
        pipe = pipe.told(texts(flags) or (again.prompts if again else ()) or ("",), known)
    return pipe


def add_real(parser: argparse.ArgumentParser) -> None:
    """Which real images."""
    parser.add_argument("--dataset", default=data.DEFAULT, help=f"{', '.join(data.DATASETS)} (default: {data.DEFAULT})")
    parser.add_argument(
        "--data", default="data", help="folder of the real images, downloaded where missing (default: data)"
    )


def real(flags: argparse.Namespace) -> dict[str, tuple[Tensor, Tensor]]:
    """The training and the test images that are asked for."""
    return {part: data.load(flags.dataset, flags.data, train=part == "train") for part in ("train", "test")}
