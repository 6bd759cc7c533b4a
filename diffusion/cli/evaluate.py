"""python -m diffusion evaluate, train-reader and train-map: measure the quality, and train what measures it."""

import argparse
import json
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from diffusion import checkpoint, checks, data, process
from diffusion.checks import typed
from diffusion.cli.flags import add_drawing, add_real, digits, real, recipe
from diffusion.cli.reading import reader_file
from diffusion.evaluation import judge, sweep
from diffusion.evaluation.map import make_map, map_file, save_map
from diffusion.evaluation.reader import READER, READERS, Reader, load_reader, save_reader, train_reader
from diffusion.files.atomic import check_writable
from diffusion.files.lock import locked
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS, Recipe
from diffusion.team import Team

SWEPT = tuple(name for name in SETTINGS if name not in ("seed", "guidance_interval"))


def add(commands: Any) -> None:
    """The parsers of these commands, among those of `add_subparsers`."""
    parser = commands.add_parser("evaluate", help="measure the quality, beside real digits")
    add_drawing(parser, count=1000, several=SWEPT)
    add_real(parser)
    parser.add_argument("--reader", help="the classifier that judges (default: the bundled one of the data set)")
    parser.add_argument("--quick", action="store_true", help="leave out the figures that train classifiers")
    parser.add_argument("--table", action="store_true", help="print a Markdown table instead of JSON")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help=f"folder for scores, table and pictures; {', '.join(f'--{name}' for name in SWEPT)} may then be lists, "
        "like 4,10: a sweep, which continues where it stopped",
    )
    parser.set_defaults(command=evaluate)

    about = "train the classifier that evaluate reads with"
    parser = commands.add_parser("train-reader", help=about)
    add_real(parser)
    parser.add_argument("--epochs", type=typed, default=15, help="passes over the training images (default: 15)")
    parser.add_argument("--out", help="default: checkpoints/reader.safetensors; runs/DATASET/ for another data set")
    parser.set_defaults(command=train)

    parser = commands.add_parser(
        "train-map", help="fit the map of a reader: the plane that the ways of a run are drawn on"
    )
    add_real(parser)
    parser.add_argument(
        "--reader", help="whose map (default: the bundled one of the data set; or runs/DATASET/reader.safetensors)"
    )
    parser.set_defaults(command=train_map)


def evaluate(flags: argparse.Namespace) -> None:
    """Print the quality figures: one JSON object, or a Markdown table. The processes of torchrun share the work."""
    team = Team.join()
    with team.leader_first():
        if team.size > 1 and flags.precision == "auto":
            raise checks.BadInput("All processes draw in one precision: choose fp32 or bf16 as --precision.")
        file = checkpoint.find(flags.weights, flags.revision)
        pipe = Pipeline.from_pretrained(file, precision=flags.precision)
        if team.leads:
            recipes = _recipes(flags, pipe)
            flags.reader = reader_file(flags, pipe)
            reader = _reader(flags, pipe)
            measure: dict[str, Any] = {**real(flags), "reader": reader, "full": not flags.quick, "progress": True}
            measure["keep"] = flags.data
    mine = f"{checkpoint.fingerprint(file)} {flags.precision}"
    if team.agree(mine) != mine:
        raise checks.BadInput("This process would draw with other weights than the leading one: give all the same.")
    if not team.leads:
        with team.watched():
            judge.help(pipe, team)
        return team.part()
    team.use_cores_of_all()
    names = {"weights": checkpoint.fingerprint(file), "reader": checkpoint.fingerprint(flags.reader)}
    if flags.precision != "fp32":
        names["drawn_in"] = flags.precision  # "precision" is one of the figures
    with team.watched():
        if flags.out:
            tell = partial(print, file=sys.stderr)
            runs = sweep.sweep(pipe, recipes, flags.out, names=names, tell=tell, team=team, **measure)
        else:
            runs = [names | judge.evaluate(pipe, recipes[0], team=team, **measure)]
        team.tell("")  # that was all
    one = runs[0] if len(runs) == 1 else {"runs": runs}
    process.answer(sweep.table(runs) if flags.table else json.dumps(one, indent=2))
    team.part()


def _recipes(flags: argparse.Namespace, pipe: Pipeline) -> list[Recipe]:
    """A recipe for each combination of the settings, all of the same digits, or BadInput."""
    labels = digits(flags, pipe)  # once: some are drawn by lot
    lists = {name: getattr(flags, name) or [pipe.offer.defaults[name]] for name in SWEPT}
    recipes = []
    for values in product(*lists.values()):
        one = argparse.Namespace(**vars(flags) | dict(zip(lists, values, strict=True)))
        recipes.append(recipe(one, pipe, labels))
        pipe.check(recipes[-1])
    if len(recipes) > 1 and not flags.out:
        raise checks.BadInput("A sweep needs a folder to keep its scores in: add --out.")
    return recipes


def _reader(flags: argparse.Namespace, pipe: Pipeline) -> Reader:
    """The reader, or BadInput where it and the weights are not both of the data set that is asked for."""
    pipe.offer.check_labels("Reading back")
    dataset = data.DATASETS[checks.choice("--dataset", flags.dataset, data.DATASETS)]
    if (pipe.names, pipe.model.shape) != (dataset.names, (dataset.channels, dataset.size, dataset.size)):
        raise checks.BadInput(f"These weights do not draw {flags.dataset}: name their data with --dataset.")
    reader = load_reader(flags.reader)
    check_dataset(reader, flags.dataset)
    return reader


def check_dataset(reader: Reader, dataset: str) -> None:
    """BadInput where the reader reads another data set."""
    if reader.dataset != dataset:
        raise checks.BadInput(
            f"This reader reads {reader.dataset}: make another with `python -m diffusion train-reader --dataset "
            f"{dataset}`, and name it with --reader."
        )


def train(flags: argparse.Namespace) -> None:
    """Train the reader, say how well it reads the test images, and write it."""
    epochs = checks.whole("--epochs", flags.epochs, 1, 1000)
    out = Path(flags.out or (READER if flags.dataset == data.DEFAULT else f"runs/{flags.dataset}/reader.safetensors"))
    images = real(flags)
    busy = f"A reader is being trained for {out} already: wait for its end, or choose another --out."
    check_writable(out)  # before the training
    with locked(out, busy):
        reader = train_reader(*images["train"], epochs=epochs, dataset=flags.dataset, progress=True)
        save_reader(reader, out)
    test = images["test"]
    print(f"{reader.accuracy(*test):.2%} of {len(test[0]):,} test images are read right: {out}")


def train_map(flags: argparse.Namespace) -> None:
    """Fit the map of a reader, say how many test images lie nearest to their own crowd, and write it."""
    checks.choice("--dataset", flags.dataset, data.DATASETS)
    own, ships = Path(f"runs/{flags.dataset}/reader.safetensors"), READERS.get(flags.dataset)
    file = Path(flags.reader or (ships if ships and ships.is_file() else own))
    reader = load_reader(file)
    check_dataset(reader, flags.dataset)
    images = real(flags)
    check_writable(map_file(file))  # before the fitting
    drawn = make_map(reader, *images["train"], *images["test"], progress=True)
    path = save_map(drawn, file)
    places, labels = drawn.places(images["test"][0]), images["test"][1].numpy()
    nearest = ((places[:, None] - drawn.crowds) ** 2).sum(2).argmin(1)
    print(f"{(nearest == labels).mean():.2%} of {len(labels):,} test images lie nearest to their own crowd: {path}")
