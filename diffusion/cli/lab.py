"""The lab: what else the network can do with digits, and with pictures from outside.

python -m diffusion forward --image docs/photo.jpg --levels 250,500,750 --out noise.png    # or .gif, over all levels
python -m diffusion denoise --image docs/photo.jpg --levels 250,500,750 --out back.png     # blur, one step, many steps
python -m diffusion edit --image docs/photo.jpg --digits 7 --strength 0.4,0.6,0.8,1 --out strip.png
python -m diffusion inpaint --image docs/photo.jpg --mask bottom --digits 7 --count 5 --out filled.png
python -m diffusion anagram --digits 6,9 --until-right 32 --out turn.gif
python -m diffusion hybrid --digits 3,8 --until-right 32 --out hybrid.png
python -m diffusion morph --digits 3,8 --frames 24 --out morph.gif
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from diffusion import checks
from diffusion.checks import typed, written
from diffusion.cli import lab_output
from diffusion.cli.flags import add_drawing, add_pictures, digits, pipeline, texts, warn
from diffusion.cli.lab_commands import COMMANDS, Command
from diffusion.cli.reading import ReadingBack, add_reading, reader_file
from diffusion.evaluation.readback import labels_in
from diffusion.evaluation.reader import load_reader
from diffusion.files.render import Options
from diffusion.lab import Anagram, Denoising, ImageToImage, Inpainting, Morph, morph
from diffusion.lab import edit as editing
from diffusion.lab import picture as pictures
from diffusion.lab.recipes import RECIPES, again
from diffusion.lab.views import VIEWS
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS, Recipe


def add(commands: Any) -> None:
    """The parsers of all commands of the lab, among those of `add_subparsers`."""
    for command in COMMANDS:
        parser = commands.add_parser(
            command.name,
            help=command.about,
            description=command.about,
            epilog=f"example: python -m diffusion {command.name} {command.example}",
        )
        parser.add_argument(
            "--out",
            required=True,
            metavar="FILE",
            help=".png: all side by side; .gif, .webp, .apng: an animation; .npz: images and what belongs to them",
        )
        if command.image:
            parser.add_argument("--image", action="append", metavar="FILE", help=command.image)
            parser.add_argument("--as-is", action="store_true", help="leave a picture of the right size as it is")
        if command.activity is Inpainting:
            masks = ", ".join(editing.MASKS)
            parser.add_argument(
                "--mask", help=f"what to draw anew: a picture of the same size, white there; or one of {masks}"
            )
        if command.activity is ImageToImage:
            parser.add_argument(
                "--strength",
                help="how much may change, 0 (the same) to 1 (new); several like 0.4,0.6,0.8 make a strip, and so does "
                f"classic, {len(editing.CLASSIC)} from {editing.CLASSIC[0]:.2f} to {editing.CLASSIC[-1]:.2f} "
                f"(default: {written(ImageToImage.strength)})",
            )
        if command.activity is Anagram:
            parser.add_argument(
                "--view",
                help=f"how else the picture is read, one or several of {', '.join(VIEWS)} "
                f"(default: {written(Anagram.views)})",
            )
        if command.activity is Morph:
            parser.add_argument("--frames", type=typed, help=f"images on the way (default: {morph.FRAMES})")
        for name, setting in command.declared.items():
            usual = f" (default: {written(setting.default)})"
            parser.add_argument(
                f"--{name.replace('_', '-')}", type=setting.values.read, help=f"{setting.help}: {setting.values}{usual}"
            )
        count = 1 if command.counts else None
        best = command.activity.defaults
        add_drawing(parser, count=count, digits=command.digits, settings=command.shown, defaults=best)
        parser.add_argument("--recipe", metavar="FILE", help="a file that this command made: does the same again")
        add_pictures(parser)
        if command.activity.readable:
            add_reading(parser, again=command.activity.retried)
        parser.set_defaults(command=lambda flags, command=command: run(command, flags))


def run(command: Command, flags: argparse.Namespace) -> None:
    """Do what a command is for, into one file, after all that could refuse it was asked."""
    out = Path(flags.out)
    ending = checks.ending(out, lab_output.ENDINGS)
    Options(scale=flags.scale, fps=flags.fps)
    old = Recipe.from_file(flags.recipe) if flags.recipe else None
    if old and not isinstance(old.activity, command.activity):
        made_by = old.activity.name if old.activity else "sample"
        raise checks.BadInput(f"This recipe is one of {made_by}: draw it again with that command.")
    pipe = pipeline(flags, old)
    wanted = _again(command, flags, old) if old else _new(command, flags, pipe)
    pipe.check(wanted)
    warn(pipe, wanted)
    reading = ReadingBack.from_flags(flags, pipe) if command.activity.readable else None
    output = lab_output.Output(pipe, out, ending, reading, scale=flags.scale, fps=flags.fps)
    output.write(replace(wanted, weights=pipe.weights), evens=old is None)
    if reading and reading.report:
        print(*reading.report, sep="\n")
    count = len(wanted.digits)
    print(f"{count:,} {'image' if count == 1 else 'images'} in {out}")


def _again(command: Command, flags: argparse.Namespace, old: Recipe) -> Recipe:
    """A recipe to do again, with the settings that flags change."""
    fixed = ["image", "mask", "digits", "prompts", "view", "strength", "levels"]
    fixed += ["seed"] if command.activity is Morph else []  # it has a seed for each stop
    for name in fixed:
        if getattr(flags, name, None) is not None:
            raise checks.BadInput(f"A recipe has all that --{name} tells: leave out the one or the other.")
    if getattr(flags, "count", 1) != 1 or getattr(flags, "frames", None) is not None:
        raise checks.BadInput("A recipe says how many images there are: leave out --count and --frames.")
    return again(old, **_settings(command, flags))


def _settings(command: Command, flags: argparse.Namespace) -> dict[str, Any]:
    """The settings of activity and recipe; None where one is not given."""
    return {name: getattr(flags, name, None) for name in (*command.declared, *SETTINGS)}


def _new(command: Command, flags: argparse.Namespace, pipe: Pipeline) -> Recipe:
    """What the flags ask for."""
    given = _settings(command, flags)
    if command.image and (flags.image or command.activity is not Morph):
        given["images"] = _pictures(flags, pipe)
    if command.digits:
        given["digits"] = _digits(command, flags, pipe, given.get("images", []))
    if command.counts:
        given["count"] = checks.whole("--count", flags.count, 1, checks.MAX_IMAGES)
    if command.activity is ImageToImage:
        given["strength"] = None if flags.strength is None else checks.several(flags.strength)
    if command.activity is Inpainting:
        given["mask"] = _mask(flags.mask, pipe.model.shape)
    if command.activity is Anagram and flags.view is not None:
        given["views"] = checks.several(flags.view)
    if command.activity is Morph:
        given["frames"] = flags.frames
    return RECIPES[command.name](pipe, **given)


def _pictures(flags: argparse.Namespace, pipe: Pipeline) -> list[np.ndarray]:
    """The pictures of --image, each as the network gets it."""
    if not flags.image:
        raise checks.BadInput("There is no picture: name one with --image.")
    return [pixels for path in flags.image for pixels in pictures.load(path, pipe.model.shape, as_is=flags.as_is)]


def _digits(
    command: Command, flags: argparse.Namespace, pipe: Pipeline, images: Sequence[np.ndarray]
) -> list[int] | None:
    """What --digits says, or None where it need not say anything."""
    if command.activity is Morph and len(images) == 1:
        raise checks.BadInput("A morph needs two pictures: name another one with --image.")
    if texts(flags):
        return digits(flags, pipe)
    if command.activity is Denoising or not pipe.offer.knows_labels:
        return None
    if command.activity is Morph and images:
        return _read(flags, pipe, images)
    if command.image and command.activity is not Morph:
        if flags.guidance == 0:
            return None
        raise checks.BadInput("Say what to draw: add --digits or --prompt, or --guidance 0 to leave it to the network.")
    raise checks.BadInput(f"Say what to draw: add --digits {command.digits}.")


def _read(flags: argparse.Namespace, pipe: Pipeline, images: Sequence[np.ndarray]) -> list[int]:
    """What the reader reads in pictures."""
    found = labels_in(pipe, load_reader(reader_file(flags, pipe)), np.stack(images))
    print(f"The pictures are read as {', '.join(pipe.names[label] for label in found)}.", file=sys.stderr)
    return found


def _mask(mask: str | None, shape: tuple[int, int, int]) -> str | np.ndarray:
    """What --mask names."""
    names = ", ".join(editing.MASKS)
    if mask is None:
        raise checks.BadInput(f"Say what to draw anew: add --mask, a picture or one of {names}.")
    if mask in editing.MASKS:
        return mask
    if not Path(mask).is_file():
        raise checks.BadInput(f"There is no mask {checks.shown(mask)}: name a picture, or one of {names}.")
    return pictures.load(mask, (1, *shape[1:]), as_is=True, what="The mask")[0]
