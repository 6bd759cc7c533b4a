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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from diffusion import checks
from diffusion.activity import Activity
from diffusion.checks import typed, written
from diffusion.cli.flags import add_drawing, add_pictures, digits, pipeline, recipe
from diffusion.cli.reading import ReadingBack, add_reading
from diffusion.evaluation.reader import load_reader
from diffusion.files import export, render
from diffusion.files.atomic import check_writable, replacing, write_bytes
from diffusion.lab import Anagram, Denoising, Forward, Hybrid, ImageToImage, Inpainting, Morph, forward, morph, panels
from diffusion.lab import edit as editing
from diffusion.lab import picture as pictures
from diffusion.lab.views import VIEWS
from diffusion.pipeline import BATCH, Pipeline
from diffusion.recipe import SETTINGS, Recipe
from diffusion.result import Result, check_options
from diffusion.settings import declared

ENDINGS = (".png", *render.ANIMATIONS, ".npz")
EVENED = 2  # times that a morph is drawn to find the moments between which nothing jumps


@dataclass(frozen=True)
class Command:
    """A command of the lab.

    Attributes:
        activity: what it does; its name is that of the command.
        about: one line of help.
        example: flags to try it with.
        recipe: what is asked for.
        own: settings of the activity that are flags.
        shown: settings of the recipe that count.
        digits: what `--digits` is for, if there is that flag.
        image: what `--image` is for, likewise.
        reads: whether the reader may read, and may have images drawn again.
        counts: whether there may be several of each.
    """

    activity: type[Activity]
    about: str
    example: str
    recipe: Callable[["Command", argparse.Namespace, Pipeline], Recipe]
    own: tuple[str, ...] = ()
    shown: tuple[str, ...] = tuple(SETTINGS)
    digits: str | None = None
    image: str = ""
    reads: tuple[bool, bool] = (True, True)
    counts: bool = True

    @property
    def name(self) -> str:
        return self.activity.name

    @property
    def declared(self) -> dict[str, Any]:
        """The settings of the activity that are flags, by name."""
        found = declared(fields(self.activity))  # type: ignore[arg-type]
        return {name: found[name] for name in self.own}


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
                f"classic, steps 20 to 1 of 34 (default: {written(ImageToImage.strength)})",
            )
        if command.activity is Anagram:
            parser.add_argument(
                "--view",
                help=f"how else the picture is read, one or several of {', '.join(VIEWS)} "
                f"(default: {written(Anagram.views)})",
            )
        if command.activity is Morph:
            parser.add_argument("--frames", type=typed, default=morph.FRAMES, help="images on the way (default: 24)")
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
        if command.reads[0]:
            add_reading(parser, again=command.reads[1])
        parser.set_defaults(command=lambda flags, command=command: run(command, flags))


def run(command: Command, flags: argparse.Namespace) -> None:
    """Do what a command is for, into one file, after all that could refuse it was asked."""
    out = Path(flags.out)
    ending = checks.ending(out, ENDINGS)
    check_options(scale=flags.scale, fps=flags.fps)
    again = Recipe.from_file(flags.recipe) if flags.recipe else None
    if again and not isinstance(again.activity, command.activity):
        made_by = again.activity.name if again.activity else "sample"
        raise checks.BadInput(f"This recipe is one of {made_by}: draw it again with that command.")
    pipe = pipeline(flags, again)
    wanted = _again(command, flags, again) if again else command.recipe(command, flags, pipe)
    pipe.check(wanted)
    reading = ReadingBack.asked(flags, pipe) if command.reads[0] else None
    if isinstance(wanted.activity, Forward | Denoising):
        check_writable(out)
        _noised(out, ending, pipe, replace(wanted, weights=pipe.weights), reading, flags)
    else:
        if ending != ".npz":
            blank = Result.blank(wanted, pipe.model.shape)
            panels.picture(ending, blank, pipe.names, scale=flags.scale)
        elif wanted.activity is not None:
            export.check(ending, wanted)
        check_writable(out)
        _drawn(out, ending, pipe, wanted, reading, flags, again is None)
    if reading and reading.report:
        print(*reading.report, sep="\n")
    count = len(wanted.digits)
    print(f"{count:,} {'image' if count == 1 else 'images'} in {out}")


def _drawn(
    out: Path,
    ending: str,
    pipe: Pipeline,
    wanted: Recipe,
    reading: ReadingBack | None,
    flags: argparse.Namespace,
    new: bool,
) -> None:
    """Draw a recipe into a file."""
    single = ending == ".npz" and not isinstance(wanted.activity, Morph)
    size = BATCH if single else len(wanted.digits)
    rounds = EVENED if isinstance(wanted.activity, Morph) and new else 0
    steps = wanted.steps
    if isinstance(wanted.activity, ImageToImage):
        steps = editing.steps_for(max(wanted.activity.strengths or [wanted.activity.strength]), steps)
    with tqdm(total=(ceil(len(wanted.digits) / size) + rounds) * steps, unit="step") as bar:
        for _ in range(rounds):
            [result] = pipe.batches(wanted, size, bar.update)
            wanted = morph.evened(wanted, result)
        if reading and not isinstance(wanted.activity, Morph):
            results = reading.results(wanted, size, bar.update)
        else:
            results = pipe.batches(wanted, size, bar.update)
        if ending == ".npz":
            export.write(out, results, wanted)
            return
        [result] = results
    captions = [reading.captions(look.images) for look in result.looks] if reading else []
    if reading and isinstance(wanted.activity, Morph):
        ends = {pipe.names[digit] for digit in wanted.activity.digits}
        right = sum(caption.rpartition(",")[0] in ends for caption in captions[0])
        reading.report.append(f"{right} of {len(result.images)} read as {' or '.join(sorted(ends))}")
    write_bytes(out, panels.picture(ending, result, pipe.names, captions, scale=flags.scale, fps=flags.fps))
    if isinstance(wanted.activity, Morph) and wanted.activity.images:
        _tell_round_trip(wanted.activity, result)


def _tell_round_trip(activity: Morph, result: Result) -> None:
    """How well DDIM's inversion reproduces both ends."""
    ends = [pictures.unpacked(activity.images[k]).astype(float) for k in (0, -1)]
    off = [np.sqrt(((end - result.images[k]) ** 2).mean()) / 255 for end, k in zip(ends, (0, -1), strict=True)]
    print(f"The pictures come back with errors of {off[0]:.3f} and {off[1]:.3f}, where black to white is 1.")


def _noised(
    out: Path, ending: str, pipe: Pipeline, wanted: Recipe, reading: ReadingBack | None, flags: argparse.Namespace
) -> None:
    """The forward process, or the ways back, into a file."""
    options = {"scale": flags.scale, "fps": flags.fps}
    if ending == ".npz":
        parts = [_arrays(pipe, part) for part in wanted.split(BATCH)]
        arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        with replacing(out) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
    elif isinstance(wanted.activity, Denoising):
        render.check_tiles(5 * len(wanted.digits) * len(wanted.activity.levels))
        rows = list(_denoised(pipe, wanted))
        read = reading.captions if reading else None
        write_bytes(out, panels.denoised_picture(ending, rows, wanted, read, **options))
    else:
        write_bytes(out, panels.forward_picture(ending, pipe, wanted, **options))


def _arrays(pipe: Pipeline, wanted: Recipe) -> dict[str, np.ndarray]:
    """What an .npz holds of the forward process, or of the ways back: all pictures at one level, then at the next."""
    arrays: dict[str, np.ndarray]
    if isinstance(wanted.activity, Denoising):
        rows = list(_denoised(pipe, wanted))
        levels: Sequence[int] = wanted.activity.levels
        arrays = {
            "images": np.concatenate([row.result.images for row in rows]),
            "noisy": np.concatenate([panels.pixels(row.noisy.x) for row in rows]),
            "blurred": np.concatenate([panels.pixels(row.noisy.blur) for row in rows]),
            "one_step": np.concatenate([panels.pixels(row.one_step) for row in rows]),
        }
    else:
        assert isinstance(wanted.activity, Forward)
        setup, levels = pipe.setup(wanted), wanted.activity.levels
        clean = wanted.activity.clean(setup)
        noisy = [panels.pixels(forward.noisy(pipe, clean, level, setup.eps).x) for level in levels]
        arrays = {"images": np.concatenate(noisy)}
    count = len(wanted.digits)
    return arrays | {"levels": np.repeat(levels, count), "seeds": np.tile(wanted.seeds, len(levels))}


def _denoised(pipe: Pipeline, wanted: Recipe) -> Iterator[forward.Denoised]:
    """The ways back, with a bar of progress."""
    assert isinstance(wanted.activity, Denoising)
    return iter(tqdm(forward.denoised(pipe, wanted), total=len(wanted.activity.levels), unit="level"))


def _again(command: Command, flags: argparse.Namespace, again: Recipe) -> Recipe:
    """A recipe to do again, with the settings that flags change."""
    fixed = ["image", "mask", "digits", "view", "strength", "levels"]
    fixed += ["seed"] if isinstance(again.activity, Morph) else []  # it has a seed for each stop
    for name in fixed:
        if getattr(flags, name, None) is not None:
            raise checks.BadInput(f"A recipe has all that --{name} tells: leave out the one or the other.")
    if getattr(flags, "count", 1) != 1 or getattr(flags, "frames", morph.FRAMES) != morph.FRAMES:
        raise checks.BadInput("A recipe says how many images there are: leave out --count and --frames.")
    given = {name: value for name in SETTINGS if (value := getattr(flags, name, None)) is not None}
    activity = replace(again.activity, **_own(command, flags))  # type: ignore[type-var]
    if "seed" not in given:
        return replace(again, activity=activity, **given)
    return _from_one_noise(replace(again, activity=activity, redrawn=(), **given))


def _own(command: Command, flags: argparse.Namespace) -> dict[str, Any]:
    """The settings of the activity that are given."""
    return {name: value for name in command.own if (value := getattr(flags, name)) is not None}


def _pictures(flags: argparse.Namespace, pipe: Pipeline) -> list[str]:
    """The pictures of --image, each as the network gets it."""
    if not flags.image:
        raise checks.BadInput("There is no picture: name one with --image.")
    found: list[str] = []
    for path in flags.image:
        for pixels in pictures.load(path, pipe.model.shape, as_is=flags.as_is):
            found.append(pictures.packed(pixels))
    return found


def _rows(flags: argparse.Namespace, pipe: Pipeline) -> tuple[list[str], list[int]]:
    """Pictures, and a digit for each: one of either goes with all of the other."""
    images = _pictures(flags, pipe)
    if flags.digits is None and flags.guidance != 0:
        raise checks.BadInput("Say what to draw: add --digits, or --guidance 0 to leave it to the network.")
    asked = [0] if flags.digits is None else digits(flags, pipe.names)
    if len(images) > 1 and len(asked) not in (1, len(images)):
        raise checks.BadInput(f"Give one digit, or one for each of the {len(images):,} pictures, not {len(asked):,}.")
    rows = max(len(images), len(asked))
    return images * (rows // len(images)), asked * (rows // len(asked))


def _count(flags: argparse.Namespace) -> int:
    return checks.whole("--count", flags.count, 1, checks.MAX_IMAGES)


def _same(images: Sequence[str]) -> tuple[str, ...]:
    """A picture for each image, or one where it is the same."""
    return tuple(images) if len(set(images)) > 1 else tuple(images[:1])


def _edit(command: Command, flags: argparse.Namespace, pipe: Pipeline) -> Recipe:
    images, asked = _rows(flags, pipe)
    strengths = _strengths(flags.strength)
    each = [(image, digit) for image, digit in zip(images, asked, strict=True) for _ in strengths]
    count = _count(flags)
    activity = ImageToImage(
        _same([image for image, _ in each] * count),
        strengths[-1],
        tuple(strengths) * len(images) * count if len(strengths) > 1 else (),
    )
    return _from_one_noise(recipe(flags, pipe, [digit for _, digit in each], activity=activity))


def _from_one_noise(wanted: Recipe) -> Recipe:
    """The same, but all strengths of a strip are drawn from one noise."""
    across = len(set(wanted.activity.strengths)) if isinstance(wanted.activity, ImageToImage) else 1
    seeds = [wanted.seeds[k // max(across, 1)] for k in range(len(wanted.digits))]
    return wanted.drawn_from(seeds, wanted.weights)


def _strengths(text: str | None) -> list[float]:
    """Those that a text names, in order."""
    if text is None:
        return [ImageToImage.strength]
    if text.strip().casefold() == "classic":
        return list(editing.CLASSIC)
    strengths = [checks.number("strength", typed(part.strip()), 0, 1) for part in text.split(",")]
    if len(set(strengths)) < len(strengths):
        raise checks.BadInput("A strip needs strengths that differ: name each once.")
    return strengths


def _inpaint(command: Command, flags: argparse.Namespace, pipe: Pipeline) -> Recipe:
    images, asked = _rows(flags, pipe)
    activity = Inpainting(_same(images * _count(flags)), _mask(flags.mask, pipe.model.shape), **_own(command, flags))
    return recipe(flags, pipe, asked, activity=activity)


def _mask(mask: str | None, shape: tuple[int, int, int]) -> str:
    """What --mask says, as `Inpainting` takes it."""
    if mask is None:
        raise checks.BadInput(f"Say what to draw anew: add --mask, a picture or one of {', '.join(editing.MASKS)}.")
    if mask in editing.MASKS:
        return editing.mask(mask, shape)
    if not Path(mask).is_file():
        raise checks.BadInput(
            f"There is no mask {checks.shown(mask)}: name a picture, or one of {', '.join(editing.MASKS)}."
        )
    return pictures.packed(pictures.load(mask, (1, *shape[1:]), as_is=True, what="The mask")[0])


def _noise(command: Command, flags: argparse.Namespace, pipe: Pipeline) -> Recipe:
    own = _own(command, flags)
    if getattr(flags, "steps", None) is not None:
        own = {"stride": 0} | own
    free = getattr(flags, "digits", None) is None  # then the network is not told what it sees
    if free:
        images = _pictures(flags, pipe)
        asked = [0] * len(images)
    else:
        images, asked = _rows(flags, pipe)
    activity = command.activity(_same(images * _count(flags)), **own)  # type: ignore[call-arg]
    return recipe(flags, pipe, asked, activity=activity, **({"guidance": 0.0} if free else {}))


def _anagram(command: Command, flags: argparse.Namespace, pipe: Pipeline) -> Recipe:
    views = Anagram.views if flags.view is None else tuple(view.strip() for view in flags.view.split(","))
    asked = _several(flags, pipe, 1 + len(views), "An anagram", "a digit for upright and one for each view")
    activity = Anagram(tuple(asked[1:]), views, **_own(command, flags))
    return recipe(flags, pipe, asked[:1], activity=activity)


def _hybrid(command: Command, flags: argparse.Namespace, pipe: Pipeline) -> Recipe:
    near, far = _several(flags, pipe, 2, "A hybrid", "a digit from near and one from afar")
    return recipe(flags, pipe, [near], activity=Hybrid(far, **_own(command, flags)))


def _several(flags: argparse.Namespace, pipe: Pipeline, count: int, what: str, needs: str) -> list[int]:
    """So many digits, or BadInput."""
    asked = [] if flags.digits is None else digits(flags, pipe.names)
    if len(asked) != count:
        raise checks.BadInput(f"{what} needs {count} digits, {needs}, and not {len(asked)}: give them with --digits.")
    return asked


def _morph(command: Command, flags: argparse.Namespace, pipe: Pipeline) -> Recipe:
    images = tuple(_pictures(flags, pipe)) if flags.image else ()
    if len(images) == 1:
        raise checks.BadInput("A morph needs two pictures: name another one with --image.")
    if images and flags.digits is None:
        asked = _read(flags, pipe, images)
    else:
        asked = digits(flags, pipe.names) if flags.digits is not None else []
    given = {name: value for name in SETTINGS if (value := getattr(flags, name)) is not None}
    seed = SETTINGS["seed"].check(given.pop("seed", 0))
    if len(asked) < 2:
        raise checks.BadInput("A morph needs two digits: give them with --digits, such as 3,8.")
    return morph.recipe(pipe, asked, flags.frames, seed, images=images, **given)


def _read(flags: argparse.Namespace, pipe: Pipeline, images: Sequence[str]) -> list[int]:
    """What the reader reads in pictures."""
    reading = ReadingBack(pipe, load_reader(flags.reader), 1)
    found = reading.labels(np.stack([pictures.unpacked(each) for each in images]))
    print(f"The pictures are read as {', '.join(pipe.names[label] for label in found)}.", file=sys.stderr)
    return found


PICTURE = "a picture (PNG, JPEG, WebP), of any size, dark on light or light on dark; or an .npz or IDX file of digits"
WHICH = "(needed, unless --guidance is 0)"
COMMANDS = (
    Command(
        Forward,
        "add noise to a picture",
        "--image docs/photo.jpg --levels 250,500,750 --out noise.png",
        _noise,
        own=("levels",),
        shown=("seed",),
        image=PICTURE,
        reads=(False, False),
    ),
    Command(
        Denoising,
        "take noise away in three ways: a blur, one step, many steps",
        "--image docs/photo.jpg --levels 250,500,750 --out back.png",
        _noise,
        own=("levels", "stride"),
        digits="(default: the network is not told)",
        image=PICTURE,
        reads=(True, False),
    ),
    Command(
        ImageToImage,
        "turn a picture into a digit: image to image",
        "--image docs/photo.jpg --digits 7 --strength 0.4,0.6,0.8,1 --out strip.png",
        _edit,
        digits=WHICH,
        image=PICTURE,
    ),
    Command(
        Inpainting,
        "draw part of a picture anew, and keep the rest",
        "--image docs/photo.jpg --mask bottom --digits 7 --count 5 --out filled.png",
        _inpaint,
        own=("method", "inner"),
        digits=WHICH,
        image=PICTURE,
    ),
    Command(
        Anagram,
        "draw one picture that reads as two digits: upright, and turned",
        "--digits 6,9 --until-right 32 --out turn.gif",
        _anagram,
        own=("reduction", "inner"),
        digits="(needed: one for upright, then one for each view)",
    ),
    Command(
        Hybrid,
        "draw one picture that reads as two digits: from near, and from afar",
        "--digits 3,8 --until-right 32 --out hybrid.png",
        _hybrid,
        own=("radius", "inner"),
        digits="(needed: that from near, then that from afar)",
    ),
    Command(
        Morph,
        "go from one digit to another through digits, and back",
        "--digits 3,8 --frames 24 --out morph.gif",
        _morph,
        digits="(needed: two or more; for pictures, what they are read as)",
        image=f"a picture to begin or to end with: name two or more; {PICTURE}",
        reads=(True, False),
        counts=False,
    ),
)
