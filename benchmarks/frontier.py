"""How good are ten digits that take so many seconds? Quality against time, for samplers, step counts and weights.

    python -m benchmarks.frontier                                       # a quarter of an hour on two CPU cores
    python -m benchmarks.frontier --weights checkpoints/model.safetensors,runs/mnist --sampler ddim --steps 2,4

Quality is the Frechet distance to the test digits and the accuracy, in the reader's features, of --count digits; the
time is that of ten. Scores are kept in --out, so that it goes on where it stopped; times are always taken anew, of all
in turns. What some weights cannot do is left out. Prints a Markdown table and writes frontier.png.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import seconds, table
from diffusion import BadInput, Pipeline, Recipe, checkpoint, data, plot, render, sweep
from diffusion.hardware import use_allowed_cores
from diffusion.reader import READER, load_reader

DIGITS = tuple(range(10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="folder of MNIST (default: data)")
    parser.add_argument("--out", default="benchmarks/frontier", type=Path)
    parser.add_argument("--weights", default="bundled,few-step", help="one, or several: a,b")
    parser.add_argument("--sampler", default="ddim,dpm++2m,ipndm", help="default: ddim,dpm++2m,ipndm")
    parser.add_argument("--steps", default="1,2,4,6,10,20", help="default: 1,2,4,6,10,20")
    parser.add_argument("--guidance", default="1,1.5", help="default: 1,1.5")
    parser.add_argument("--count", default=1000, type=int, help="digits that are judged (default: 1000)")
    parser.add_argument("--rounds", default=5, type=int, help="how often each is timed (default: 5)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        runs = measured(flags)
    except BadInput as error:
        sys.exit(f"frontier.py: {error}")
    print(report(runs))
    render.save_png(flags.out / "frontier.png", picture(runs))


def measured(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """The scores of every combination that is possible, as a sweep gives them, with "weights" and "seconds"."""
    train, test = (data.load("mnist", flags.data, train=part) for part in (True, False))
    real: dict[str, Any] = {"train": train, "test": test, "reader": load_reader(), "full": False}
    runs: list[dict[str, Any]] = []
    works: dict[str, Callable[[], object]] = {}
    for source in flags.weights.split(","):
        file = checkpoint.find(source)
        pipe = Pipeline.from_pretrained(file)
        quick = Pipeline.from_pretrained(file, precision="auto")
        name = source.replace("/", "-")
        recipes = possible(pipe, flags)
        if not recipes:
            continue
        names = {"weights": checkpoint.fingerprint(file), "reader": checkpoint.fingerprint(READER)}
        for run in sweep.sweep(pipe, recipes, flags.out / name, names=names, **real):
            asked = run["recipe"]
            settings = {key: asked[key] for key in ("guidance", "guidance_interval", "steps", "sampler")}
            works[str(len(runs))] = partial(quick, DIGITS, **settings)
            runs.append(run | {"weights": name})
    if not runs:
        raise BadInput("These weights can do none of that: choose other --sampler, --steps or --guidance.")
    times = seconds(works, flags.rounds)
    return [run | {"seconds": times[str(number)]} for number, run in enumerate(runs)]


def possible(pipe: Pipeline, flags: argparse.Namespace) -> list[Recipe]:
    """The recipes that these weights can draw."""
    found = []
    lists = [text.split(",") for text in (flags.sampler, flags.steps, flags.guidance)]
    for sampler, steps, guidance in product(*lists):
        digits = DIGITS * (flags.count // len(DIGITS))
        try:
            run = pipe.stream(digits, sampler=sampler, steps=int(steps), guidance=float(guidance))
        except BadInput:
            continue
        found.append(run.recipe)
    return found


def line_of(run: dict[str, Any]) -> str:
    """The line of the picture that a run is a point of."""
    recipe = run["recipe"]
    guided = "no guidance" if recipe["guidance"] == 1 else f"guidance {recipe['guidance']:g}"
    return f"{run['weights']}, {recipe['sampler']}, {guided}"


def unbeaten(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The frontier: the runs for which no other one is both quicker and nearer to the real digits."""
    best = float("inf")
    frontier = []
    for run in sorted(runs, key=lambda run: run["seconds"]):
        if run["frechet_distance"]["value"] < best:
            best = run["frechet_distance"]["value"]
            frontier.append(run)
    return frontier


def report(runs: list[dict[str, Any]]) -> str:
    """All runs from the quickest on, those of the frontier in bold."""
    frontier = unbeaten(runs)
    rows = []
    for run in sorted(runs, key=lambda run: run["seconds"]):
        distance, accuracy = run["frechet_distance"], run["accuracy"]["value"]
        mark = "**" if run in frontier else ""
        rows.append(
            [
                f"{mark}{line_of(run)}{mark}",
                run["recipe"]["steps"],
                run["evaluations"],
                f"{run['seconds']:.3f}",
                f"{distance['value']:.3f}",
                f"{distance['value'] / distance['floor']:.1f}",
                f"{accuracy:.1%}",
            ]
        )
    head = ["weights, sampler", "steps", "evaluations", "seconds for ten", "distance", "times the floor", "accuracy"]
    return table(head, rows)


def picture(runs: list[dict[str, Any]]) -> Any:
    lines: dict[str, list[tuple[float, float]]] = {}
    for run in sorted(runs, key=lambda run: run["seconds"]):
        lines.setdefault(line_of(run), []).append((run["seconds"], run["frechet_distance"]["value"]))
    floor = runs[0]["frechet_distance"]["floor"]
    return plot.lines(lines, x="seconds for ten digits", y="Frechet distance", log="xy", level=("real digits", floor))


if __name__ == "__main__":
    main()
