"""Evaluating over several recipes into a folder: scores, a table, plots, and the best and worst digits."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusion.checks import BadInput
from diffusion.evaluation.judge import Judge, about, draw
from diffusion.files import plot, render
from diffusion.files.atomic import write_text
from diffusion.files.lock import locked
from diffusion.guidance import EVERYWHERE
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe
from diffusion.style import HOW
from diffusion.team import Team

SCORES = "scores.json"
SAME = ("digits", "seed")  # what the recipes of one folder have in common

Scores = dict[str, Any]
"""The scores of one recipe: what `judge.about` says of it, and each figure as {"value", "floor"}."""


def sweep(
    pipe: Pipeline,
    recipes: Sequence[Recipe],
    folder: str | Path,
    *,
    names: Mapping[str, str],
    progress: bool = False,
    tell: Callable[[str], object] = lambda _: None,
    team: Team | None = None,
    **real: Any,
) -> list[Scores]:
    """Evaluate recipes that differ in anything but digits and seed, and continue where an earlier sweep stopped.

    Args:
        names: of all else that the scores depend on, such as the weights and the reader.
        progress: whether to show bars of progress on the standard error.
        tell: gets a line on each recipe before it is drawn.
        team: the processes that share the work, as in `Judge`.
        real: train, test, reader, full and keep, as in `Judge`.

    Raises BadInput where the folder holds scores of other names, digits, counts or seeds, which are not comparable, and
    at once where another process sweeps into it.
    """
    folder = Path(folder)
    wanted = [{**names} | about(pipe, recipe) for recipe in recipes]
    busy = f"{folder} holds a sweep that is under way: wait for its end, or choose another folder."
    with locked(folder / SCORES, busy):
        runs = _earlier(folder / SCORES, wanted[0])
        full = real.get("full", True)
        _keep(runs, folder)  # before the work, where that cannot be
        judge = (
            Judge(recipes[0].digits, progress=progress, team=team, **real)
            if any(_lacks(runs, run, full) for run in wanted)
            else None
        )
        for number, (recipe, run) in enumerate(zip(recipes, wanted, strict=True), 1):
            if judge and _lacks(runs, run, full):
                tell(f"{number}/{len(recipes)}: {title(run)}")
                drawn = draw(pipe, recipe, progress=progress, team=team)
                runs = [other for other in runs if not _is_of(other, run)] + [run | judge(drawn)]
                for name, picture in zip(("best", "worst"), judge.extremes(drawn), strict=True):
                    render.save_png(folder / f"{name}-{_slug(title(run))}.png", picture)
                _keep(runs, folder)
        write_text(folder / "table.md", table(runs) + "\n")
        _plots(runs, folder)
        return [run for one in wanted for run in runs if _is_of(run, one)]


def _keep(runs: Sequence[Scores], folder: Path) -> None:
    write_text(folder / SCORES, json.dumps({"runs": runs}, indent=2) + "\n")


def _earlier(path: Path, wanted: Scores) -> list[Scores]:
    """The runs of an earlier sweep, or BadInput where they are not of this kind."""
    try:
        runs: list[Scores] = json.loads(path.read_bytes())["runs"]
        same = all(_kind(run) == _kind(wanted) for run in runs)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise BadInput(f"{path} holds no scores: delete it, or choose another folder.") from None
    if not same:
        raise BadInput(
            f"{path} is of other weights, digits, settings or an earlier judge: delete it, or choose another folder."
        )
    return runs


def _kind(run: Scores) -> dict[str, Any]:
    """All but what a sweep varies, and the figures."""
    recipe = {name: run["recipe"][name] for name in SAME}
    return {name: value for name, value in run.items() if isinstance(value, str | int)} | recipe | {"evaluations": None}


def _is_of(run: Scores, wanted: Scores) -> bool:
    return all(run.get(name) == value for name, value in wanted.items())


def _lacks(runs: Sequence[Scores], wanted: Scores, full: bool) -> bool:
    return not any(_is_of(run, wanted) and ("told_apart" in run or not full) for run in runs)


def title(run: Scores, without: str = "") -> str:
    """How a run's digits were drawn, like "ddim, 20 steps, guidance 2", without one of these if asked."""
    recipe = run["recipe"]
    spacing = recipe.get("spacing", "trailing")  # older scores do not say
    off = recipe["guidance"] <= 1 and without != "guidance"
    everywhere = off or tuple(recipe["guidance_interval"]) == EVERYWHERE
    parts = {
        "sampler": recipe["sampler"],
        "eta": f"eta {recipe['eta']:g}" if recipe["eta"] else "",
        "steps": f"{recipe['steps']} steps",
        "guidance": f"guidance {recipe['guidance']:g}",
        "guidance_interval": "" if everywhere else "from level {} to {}".format(*recipe["guidance_interval"]),
        "spacing": "" if spacing == "trailing" else f"{spacing} levels",
        **{name: f"{name} {recipe[name]}" for name in HOW if name in recipe},
    }
    return ", ".join(part for name, part in parts.items() if part and name != without)


def _slug(text: str) -> str:
    return text.replace(",", "").replace(" ", "-")


def table(runs: Sequence[Scores]) -> str:
    """The figures of runs as a Markdown table: drawn beside real for one, a row each for several."""
    most = max(runs, key=len)
    names = [name for name, row in most.items() if isinstance(row, dict) and "floor" in row]
    if len(runs) == 1:
        rows = [[name, *(f"{most[name][column]:.4g}" for column in ("value", "floor"))] for name in names]
        return _markdown([["figure", "drawn", "real"], *rows])
    names = [name for name in names if not name.startswith(("accuracy_of_", "told_apart_by_"))]
    rows = [
        [title(run), str(run["evaluations"]), *(f"{run[name]['value']:.4g}" if name in run else "" for name in names)]
        for run in sorted(
            runs,
            key=lambda run: (*(run["recipe"][name] for name in ("sampler", "eta", "guidance")), run["evaluations"]),
        )
    ]
    floor = ["real", "", *(f"{most[name]['floor']:.4g}" for name in names)]
    return _markdown([["drawn with", "evaluations", *names], *rows, floor])


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("_", " ") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]])


def _plots(runs: Sequence[Scores], folder: Path) -> None:
    """Distance and accuracy against steps, guidance and eta: lines of all that has the rest in common, the longest."""
    for axis in ("steps", "guidance", "eta"):
        for figure in ("frechet_distance", "accuracy"):
            lines: dict[str, dict[float, float]] = {}
            for run in _in_every_interval(runs) if axis == "guidance" else runs:
                lines.setdefault(title(run, without=axis), {})[run["recipe"][axis]] = run[figure]["value"]
            longest = sorted(lines.items(), key=lambda line: -len(line[1]))[: len(plot.COLORS)]
            several = {name: sorted(points.items()) for name, points in longest if len(points) > 1}
            if several:
                logarithmic = ("x" if axis == "steps" else "") + ("y" if figure == "frechet_distance" else "")
                level = ("real", runs[0][figure]["floor"])
                label = figure.replace("_", " ").capitalize()
                drawn = plot.lines(several, x=axis, y=label, log=logarithmic, level=level)
                render.save_png(folder / f"{_slug(figure).replace('_', '-')}-{axis}.png", drawn)


def _in_every_interval(runs: Sequence[Scores]) -> list[Scores]:
    """The runs, with each unguided one once for every interval of the others: it is the same in all of them."""
    guided = [run for run in runs if run["recipe"]["guidance"] > 1]
    intervals = {tuple(run["recipe"]["guidance_interval"]): None for run in guided}
    off = [run for run in runs if run["recipe"]["guidance"] <= 1]
    return guided + [
        run | {"recipe": run["recipe"] | {"guidance_interval": interval}}
        for run in off
        for interval in intervals or [tuple(run["recipe"]["guidance_interval"])]
    ]
