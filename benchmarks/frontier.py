"""How good are ten digits that take so many seconds? Quality against time, for samplers, step counts and weights.

    python -m benchmarks.frontier                                       # half an hour on two CPU cores
    python -m benchmarks.frontier --weights checkpoints/model.safetensors,runs/mnist --sampler ddim --steps 2,4

Quality is the Frechet distance to the test digits, in the reader's features, and the accuracy of --count digits; the
time is that of ten. Both are of the quickest precision. Scores are kept in --scores, so that it continues where it
stopped; times are always taken anew, of all in turns. What some weights cannot do is left out, and their defaults are
always in. Prints a Markdown table, and writes it and pictures of those lines that reach the frontier.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import seconds, table
from diffusion import BadInput, Pipeline, Recipe, checkpoint, checks, data
from diffusion.evaluation import sweep
from diffusion.evaluation.judge import FEWEST
from diffusion.evaluation.reader import READER, load_reader
from diffusion.files import plot, render
from diffusion.files.atomic import write_text
from diffusion.hardware import use_allowed_cores
from diffusion.samplers import SAMPLERS

DIGITS = tuple(range(10))
FAR = 5.0  # times the floor of the distance: beyond it are no digits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="folder of MNIST (default: data)")
    parser.add_argument("--out", default="benchmarks/frontier", type=Path)
    parser.add_argument("--scores", default="runs/benchmarks/frontier", type=Path)
    parser.add_argument("--weights", default="bundled,few-step", help="one, or several: a,b")
    parser.add_argument("--sampler", default=",".join(SAMPLERS), help="default: all of them")
    parser.add_argument("--steps", default="1,2,4,6,8,10,20", help="default: 1,2,4,6,8,10,20")
    parser.add_argument("--guidance", default="1,1.5", help="default: 1,1.5")
    parser.add_argument("--count", default=1000, type=int, help="digits that are judged (default: 1000)")
    parser.add_argument("--rounds", default=5, type=int, help="how often each is timed (default: 5)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        checks.whole("--rounds", flags.rounds, 1, 1000)
        runs = measured(flags)
        text = report(runs)
        print(text)
        write_text(flags.out / "table.md", text + "\n")
        for figure in ("frechet_distance", "accuracy"):
            render.save_png(flags.out / f"{figure.replace('_', '-')}.png", picture(runs, figure))
    except BadInput as error:
        sys.exit(f"frontier.py: {error}")


def measured(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """The scores of every combination that is possible, as a sweep gives them, with "weights" and "seconds"."""
    train, test = (data.load("mnist", flags.data, train=part) for part in (True, False))
    real: dict[str, Any] = {"train": train, "test": test, "reader": load_reader(), "full": False}
    runs: list[dict[str, Any]] = []
    works: dict[str, Callable[[], object]] = {}
    for source in flags.weights.split(","):
        file = checkpoint.find(source)
        pipe = Pipeline.from_pretrained(file, precision="auto")
        name = source.replace("/", "-")
        recipes = possible(pipe, flags)
        if not recipes:
            continue
        names = {"weights": checkpoint.fingerprint(file), "reader": checkpoint.fingerprint(READER), "drawn_in": "auto"}
        tell = partial(print, file=sys.stderr)
        for run in sweep.sweep(pipe, recipes, flags.scores / name, names=names, progress=True, tell=tell, **real):
            recipe = run["recipe"]
            settings = {key: recipe[key] for key in ("guidance", "guidance_interval", "steps", "sampler")}
            works[str(len(runs))] = partial(pipe, DIGITS, **settings)
            runs.append(run | {"weights": name})
    if not runs:
        raise BadInput("These weights can do none of that: choose other --sampler, --steps or --guidance.")
    times = seconds(works, flags.rounds)
    return [run | {"seconds": times[str(number)]} for number, run in enumerate(runs)]


def possible(pipe: Pipeline, flags: argparse.Namespace) -> list[Recipe]:
    """The recipes that these weights can draw, and that of their defaults."""
    digits = DIGITS * (checks.whole("--count", flags.count, FEWEST, 10_000) // len(DIGITS))
    usual = pipe.stream(digits).recipe
    found = []
    lists = [map(checks.typed, text.split(",")) for text in (flags.sampler, flags.steps, flags.guidance)]
    for sampler, steps, guidance in product(*lists):
        try:
            run = pipe.stream(digits, sampler=sampler, steps=steps, guidance=guidance)
        except BadInput:
            continue
        found.append(run.recipe)
    return [*found, usual] if found and usual not in found else found


def line_of(run: dict[str, Any]) -> str:
    """The line of the picture that a run is a point of."""
    recipe = run["recipe"]
    guided = "no guidance" if recipe["guidance"] == 1 else f"guidance {recipe['guidance']:g}"
    return f"{run['weights']}, {recipe['sampler']}, {guided}"


def unbeaten(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The frontier: the runs that no other, as quick to a tenth, beats in distance and accuracy."""

    def beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
        nearer = one["frechet_distance"]["value"] - other["frechet_distance"]["value"]
        clearer = one["accuracy"]["value"] - other["accuracy"]["value"]
        return one["seconds"] <= 1.1 * other["seconds"] and nearer <= 0 <= clearer and (nearer, clearer) != (0, 0)

    return [run for run in runs if not any(beats(other, run) for other in runs)]


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


def picture(runs: list[dict[str, Any]], figure: str) -> Any:
    """A figure against time, up to FAR: a line for all that differs only in steps, where one is on the frontier."""
    lines: dict[str, list[tuple[float, float]]] = {line_of(run): [] for run in unbeaten(runs)}
    for run in sorted(runs, key=lambda run: run["seconds"]):
        distance = run["frechet_distance"]
        if line_of(run) in lines and distance["value"] <= FAR * distance["floor"]:
            lines[line_of(run)].append((run["seconds"], run[figure]["value"]))
    level = ("real digits", runs[0][figure]["floor"])
    name = figure.replace("_", " ").capitalize()
    lines = {line: points for line, points in lines.items() if points}
    return plot.lines(lines, x="seconds for ten digits", y=name, log="xy" if "distance" in figure else "x", level=level)


if __name__ == "__main__":
    main()
