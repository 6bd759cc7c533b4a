"""The command line: python -m diffusion sample | evaluate | train-reader, and without a command a prompt.

python -m diffusion                                                 # draws what you type, in the terminal
python -m diffusion sample --digits 0-9 --out digits.png            # a grid
python -m diffusion sample --digits 2026 --steps 50 --out year.gif  # the trajectory from noise to digits
python -m diffusion sample --digits 0-9 --count 100 --guidance 2 --seed 0 --out samples.npz
python -m diffusion sample --prompt "a 4 and two 3s" --out digits.png
python -m diffusion sample --digits 0-9 --until-right 10 --out digits.png    # until the reader reads each right
python -m diffusion recipe digits.gif                               # the settings inside a picture, as JSON
python -m diffusion sample --recipe digits.gif --out again.png      # the same digits again
python -m diffusion compare --x steps=4,10,50 --y guidance=1,2,4 --digits 7 --out sheet.png
python -m diffusion evaluate --count 100                            # prints one JSON object
python -m diffusion evaluate --steps 4,10,20,50 --guidance 1,2,4 --out sweep  # scores, table and plots
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

from diffusion import cores

if __name__ == "__main__":
    cores.share()

import numpy as np
from tqdm import tqdm

from diffusion import checkpoint, checks, data, evaluate, export, prompts, render, sweep, terminal
from diffusion.checks import typed
from diffusion.compare import AXES, Axis, Sheet, axis
from diffusion.files import replacing
from diffusion.hardware import out_of_memory, use_allowed_cores
from diffusion.lock import locked
from diffusion.pipeline import BATCH, ENDINGS, TRACKS, Pipeline, Result, check_options
from diffusion.readback import MAX_TRIES, until_right
from diffusion.reader import READER, Reader, load_reader, save_reader, train_reader
from diffusion.recipe import Recipe
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import SPACINGS, T

SETTINGS = ("guidance", "guidance_interval", "steps", "sampler", "spacing", "eta", "seed")  # of a Recipe

MOST_CAPTIONS = 100  # of what is read; after so many images, only the misses are told


def main(arguments: list[str] | None = None) -> None:
    """Run one command; bad input ends it with one sentence and exit status 2."""
    flags = parser().parse_args(arguments)
    use_allowed_cores()
    try:
        if getattr(flags, "recipe", None):
            flags = parser(Recipe.from_file(flags.recipe)).parse_args(arguments)
        flags.command(flags)
    except checks.BadInput as error:
        print(f"diffusion: {error}", file=sys.stderr)
        sys.exit(2)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        print("diffusion: The memory is full: ask for fewer images, or use a smaller network.", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"diffusion: {checks.unusable(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)


def parser(again: Recipe | None = None) -> argparse.ArgumentParser:
    """Every flag's default is the library's own, or that of a recipe to draw again."""
    top = argparse.ArgumentParser("python -m diffusion", description=__doc__, formatter_class=_Formatter)
    top.set_defaults(command=lambda _: terminal.interact())
    commands = top.add_subparsers(metavar="command")

    run = argparse.ArgumentParser(add_help=False)
    run.add_argument(
        "--weights",
        help="few-step, the bundled weights for 1, 2, 4 or 8 steps; or a file, a folder, or user/repo on the Hub "
        "(default: the bundled weights)",
    )
    run.add_argument("--revision", help="branch, tag or commit of a repository on the Hub (default: main)")
    run.add_argument(
        *("--digits", "--prompt"),
        default="0-9",
        metavar="TEXT",
        help='what to draw, like "0-9", "2026" or "a 4 and two 3s", or classes by name (default: 0-9)',
    )
    run.add_argument("--guidance", type=typed, help=f"1 is off {_default(f'{Recipe.guidance}; few-step weights: 2.5')}")
    run.add_argument(
        "--guidance-interval",
        type=_numbers,
        metavar="LOW,HIGH",
        help=f"the noise levels at which guidance above 1 is on (default: {_list(Recipe.guidance_interval)})",
    )
    run.add_argument("--steps", type=typed, help=f"1 to 1000 {_default(f'{Recipe.steps}; few-step weights: 2')}")
    run.add_argument(
        "--sampler", help=f"{' or '.join(SAMPLERS)} {_default(f'{Recipe.sampler}; few-step weights: ddim')}"
    )
    run.add_argument(
        "--spacing",
        default=Recipe.spacing,
        help=f"of the noise levels: {' or '.join(SPACINGS)} {_default(Recipe.spacing)}",
    )
    run.add_argument(
        "--eta", type=typed, default=Recipe.eta, help=f"fresh noise in ddim, 0 to 1 {_default(Recipe.eta)}"
    )
    run.add_argument(
        "--seed",
        type=typed,
        default=Recipe.seed,
        help=f"the noise to start from; image k uses seed + k {_default(Recipe.seed)}",
    )
    run.add_argument(
        "--precision",
        default="fp32",
        help="fp32, or bf16, which visibly changes the odd digit only; auto takes the quickest (default: fp32)",
    )

    real = argparse.ArgumentParser(add_help=False)
    real.add_argument("--dataset", default="mnist", help=f"{', '.join(data.DATASETS)} (default: mnist)")
    real.add_argument(
        "--data", default="data", help="folder of the real images, downloaded where missing (default: data)"
    )

    command = commands.add_parser("sample", parents=[run], help="draw digits to a file")
    command.add_argument("--count", type=typed, default=1, help="how many of each digit (default: 1)")
    command.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help=".png: a grid; .gif, .webp, .apng: the trajectory; .npz: images, labels, seeds; .zip: single pictures; "
        ".idx.zip: MNIST's own files",
    )
    command.add_argument("--scale", type=typed, help="of a picture: pixels per pixel, 1 to 16")
    command.add_argument("--fps", type=typed, help="of an animation: frames per second, 1 to 50")
    command.add_argument("--track", default="noisy", help=f"of an animation: {' or '.join(TRACKS)} (default: noisy)")
    command.add_argument("--read", action="store_true", help="let the reader say what it makes of each digit")
    command.add_argument(
        "--until-right",
        type=typed,
        metavar="TRIES",
        help="draw each digit that does not read right again, from other seeds, up to so often in all",
    )
    command.add_argument("--reader", default=str(READER), help="the classifier that reads (default: the bundled one)")
    command.add_argument("--recipe", metavar="FILE", help="a picture of this project: its settings are the defaults")
    command.set_defaults(command=sample)
    if again:
        command.set_defaults(weights=checkpoint.name_of(again.weights))  # where they are here
        command.set_defaults(again=again, digits=again.digits, **{name: getattr(again, name) for name in SETTINGS})

    command = commands.add_parser("recipe", help="print the recipe (JSON) inside a picture")
    command.add_argument("file", help="a PNG, GIF or WebP made by this project")
    command.set_defaults(command=lambda flags: print(Recipe.from_file(flags.file).to_json()))

    command = commands.add_parser("compare", parents=[run], help="draw an X/Y sheet: the same noise, other settings")
    for flag, way, example in (("--x", "left to right", "steps=4,10,50"), ("--y", "top to bottom", "guidance=1,2,4")):
        told = f"what changes from {way}: {' or '.join(AXES)}, like {example}"
        command.add_argument(flag, required=True, metavar="NAME=VALUES", help=told)
    command.add_argument("--count", type=typed, default=1, help="how many of each digit (default: 1)")
    command.add_argument("--out", required=True, metavar="FILE.png", help="the sheet")
    command.set_defaults(command=compare)

    command = commands.add_parser("evaluate", parents=[run, real], help="measure the quality, beside real digits")
    command.add_argument("--count", type=typed, default=1000, help="how many of each digit (default: 1000)")
    command.add_argument("--reader", default=str(READER), help="the classifier that judges (default: the bundled one)")
    command.add_argument("--quick", action="store_true", help="leave out the figures that train classifiers")
    command.add_argument("--table", action="store_true", help="print a Markdown table instead of JSON")
    command.add_argument(
        "--out",
        help="folder for scores, table and pictures; --guidance, --steps, --sampler, --spacing and --eta may then be "
        "lists, like 4,10: a sweep, which goes on where it stopped",
    )
    command.set_defaults(command=evaluate_)

    command = commands.add_parser("train-reader", parents=[real], help="train the classifier that evaluate reads with")
    command.add_argument("--epochs", type=typed, default=15, help="passes over the training images (default: 15)")
    command.add_argument("--out", help="default: checkpoints/reader.safetensors; runs/DATASET/ for another data set")
    command.set_defaults(command=train_reader_)
    return top


def sample(flags: argparse.Namespace) -> None:
    """Draw `count` of each digit into one file."""
    out = Path(flags.out)
    single = checks.ending(out, ENDINGS) in export.ENDINGS
    check_options(flags.track, flags.scale, flags.fps)
    pipe = Pipeline.from_pretrained(flags.weights, revision=flags.revision, precision=flags.precision)
    recipe = _recipe(flags, pipe)
    if flags.recipe:
        if (recipe.digits, recipe.seed) == (flags.again.digits, flags.again.seed):
            recipe = replace(recipe, redrawn=flags.again.redrawn)
        if warning := pipe.differs(flags.again):
            print(warning, file=sys.stderr)
    if not single:
        render.check_tiles(len(recipe.digits))
    tries = 1 if flags.until_right is None else checks.whole("--until-right", flags.until_right, 1, MAX_TRIES)
    reader = load_reader(flags.reader) if flags.read or flags.until_right is not None else None
    told: list[str] = []
    count = len(recipe.digits)
    size = BATCH if single else count
    with tqdm(total=ceil(count / size) * recipe.steps, unit="step") as bar:
        if reader:
            results = _read(pipe, reader, recipe.split(size), tries, bar.update, told)
        else:
            results = pipe.batches(recipe, size, bar.update)
        if single:
            export.write(out, results, recipe, scale=flags.scale)
        else:
            with replacing(out) as temporary:  # what cannot be written, or is too large, is refused before the drawing
                _blank(recipe, pipe).save(temporary, track=flags.track, scale=flags.scale)
                [result] = results
                result.save(temporary, track=flags.track, scale=flags.scale, fps=flags.fps)
    print(*told, sep="\n", end="\n" if told else "")
    print(f"{count:,} {'image' if count == 1 else 'images'} in {out}")


def _blank(recipe: Recipe, pipe: Pipeline) -> Result:
    """A result as large as that of the recipe, which goes from black to white."""
    unet = pipe.denoiser.config.unet
    colours = () if unet.image_channels == 1 else (unet.image_channels,)
    frames = np.zeros((2, len(recipe.digits), unet.image_size, unet.image_size, *colours), np.uint8)
    frames[1] = 255
    return Result(frames[1], frames, frames, [T - 1, -1], recipe)


def _read(
    pipe: Pipeline, reader: Reader, parts: Iterable[Recipe], tries: int, on_step: Callable[[], object], told: list[str]
) -> Iterator[Result]:
    """Draw and read back. `told` gets a line for each of the first images and for each miss, and in the end the sum."""
    done = drawn = right = 0
    for part in parts:
        tried = until_right(pipe, reader, part, tries, on_step)
        for k, (reading, seed) in enumerate(zip(tried.readings, tried.result.seeds, strict=True), done):
            miss = "" if reading.right else f", but {pipe.names[reading.asked]} was asked for"
            if miss or k < MOST_CAPTIONS:
                told.append(f"image {k}, seed {seed}: {reading.caption}{miss}")
        done += len(tried.readings)
        drawn += tried.drawn
        right += sum(reading.right for reading in tried.readings)
        yield tried.result
    told.append(f"{right:,} of {done:,} read as asked, {drawn:,} drawn")


def compare(flags: argparse.Namespace) -> None:
    """Draw an X/Y sheet."""
    checks.ending(flags.out, [".png"])
    pipe = Pipeline.from_pretrained(flags.weights, revision=flags.revision, precision=flags.precision)
    x, y = (_axis(flag, getattr(flags, flag), pipe.names) for flag in ("x", "y"))
    if "digits" in (x[0], y[0]):
        flags.digits = (0,)  # each cell has its own
    sheet = Sheet(pipe, _recipe(flags, pipe), x, y)
    with replacing(flags.out) as temporary:  # before the drawing, where that cannot be
        for _ in tqdm(sheet, unit="cell"):
            pass
        sheet.save(temporary)
    print(f"{len(sheet)} cells in {flags.out}")


def _axis(flag: str, text: str, names: Sequence[str]) -> Axis:
    """The axis of a sheet that a text like "steps=4,10,50" names, or BadInput."""
    name, found, values = text.partition("=")
    if not found:
        raise checks.BadInput(f"--{flag} must be like steps=4,10,50, not {checks.shown(text)}.")
    return axis(name, values, names)


def evaluate_(flags: argparse.Namespace) -> None:
    """Print the quality figures: one JSON object, or a Markdown table."""
    file = checkpoint.find(flags.weights, flags.revision)
    pipe = Pipeline.from_pretrained(file, precision=flags.precision)
    asked = pipe.defaults | {name: value for name, value in vars(flags).items() if value is not None}
    lists = {name: _numbers(str(asked[name])) for name in ("sampler", "spacing", "eta", "guidance", "steps")}
    flags.digits = prompts.digits(flags.digits, pipe.names)  # once: some are drawn by lot
    recipes = [_recipe(flags, pipe, **dict(zip(lists, values, strict=True))) for values in product(*lists.values())]
    for recipe in recipes:
        pipe.check(recipe)
    if len(recipes) > 1 and not flags.out:
        raise checks.BadInput("A sweep needs a folder to keep its scores in: add --out.")
    dataset = data.DATASETS[checks.choice("--dataset", flags.dataset, data.DATASETS)]
    unet = pipe.denoiser.config.unet
    if (pipe.denoiser.config.names, unet.image_size) != (dataset.names, dataset.size):
        raise checks.BadInput(f"These weights do not draw {flags.dataset}: name their data with --dataset.")
    reader = load_reader(flags.reader)
    if reader.dataset != flags.dataset:
        raise checks.BadInput(
            f"This reader reads {reader.dataset}: make another with `python -m diffusion train-reader --dataset "
            f"{flags.dataset}`, and name it with --reader."
        )
    real: dict[str, Any] = {
        "train": data.load(flags.dataset, flags.data, train=True),
        "test": data.load(flags.dataset, flags.data, train=False),
        "reader": reader,
        "full": not flags.quick,
    }
    names = {"weights": checkpoint.fingerprint(file), "reader": checkpoint.fingerprint(flags.reader)}
    if flags.precision != "fp32":
        names["drawn_in"] = flags.precision  # "precision" is one of the figures
    if flags.out:
        runs = sweep.sweep(pipe, recipes, flags.out, names=names, **real)
    else:
        runs = [names | evaluate.evaluate(pipe, recipes[0], **real)]
    print(sweep.table(runs) if flags.table else json.dumps(runs[0] if len(runs) == 1 else {"runs": runs}, indent=2))


def train_reader_(flags: argparse.Namespace) -> None:
    """Train the reader, say how well it reads the test images, and write it."""
    epochs = checks.whole("--epochs", flags.epochs, 1, 1000)
    out = flags.out or (READER if flags.dataset == "mnist" else f"runs/{flags.dataset}/reader.safetensors")
    train, test = (data.load(flags.dataset, flags.data, train=part) for part in (True, False))
    busy = f"A reader is being trained for {out} already: wait for its end, or choose another --out."
    with locked(out, busy), replacing(out) as temporary:  # before the training, where that cannot be
        reader = train_reader(*train, epochs=epochs, dataset=flags.dataset)
        save_reader(reader, temporary)
    print(f"{reader.accuracy(*test):.2%} of {len(test[0]):,} test images are read right: {out}")


def _recipe(flags: argparse.Namespace, pipe: Pipeline, **changes: Any) -> Recipe:
    count = checks.whole("--count", flags.count, 1, checks.MAX_IMAGES)
    digits = prompts.digits(flags.digits, pipe.names) if isinstance(flags.digits, str) else flags.digits
    if len(digits) * count > checks.MAX_IMAGES:
        raise checks.BadInput(f"Ask for at most {checks.MAX_IMAGES:,} images at once.")
    settings = {name: getattr(flags, name) for name in SETTINGS if getattr(flags, name) is not None}
    return Recipe(tuple(digits) * count, **pipe.defaults | settings | changes)


def _numbers(text: str) -> tuple[float | str, ...]:
    return tuple(typed(part.strip()) for part in text.split(","))


def _list(values: Sequence[object]) -> str:
    return ",".join(map(str, values))


def _default(value: object) -> str:
    return f"(default: {value})"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30, width=110)


if __name__ == "__main__":
    main()
