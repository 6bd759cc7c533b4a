"""Sweeps: files as promised, nothing drawn twice, nothing compared that cannot be."""

import json
from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from diffusion import Pipeline, Recipe
from diffusion.evaluation import sweep
from diffusion.evaluation.judge import about
from diffusion.evaluation.reader import load_reader
from diffusion.files.lock import locked

DIGITS = tuple(range(10)) * 20
NAMES = {"weights": "abc", "reader": "def"}


class Glance:
    """A reader that sees little, at once: what a sweep keeps and refuses does not depend on what its figures are."""

    def read(self, images: np.ndarray | Tensor) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(images).mean(axis=2)  # (N, 28)
        return rows[:, :10] / 255, rows[:, ::7].astype(float)


@pytest.fixture
def pipe(tiny_denoiser) -> Pipeline:
    return Pipeline(tiny_denoiser)


@pytest.fixture
def some(real) -> dict[str, object]:
    """What most sweeps here are judged with."""
    return {"names": NAMES, "full": False, "reader": Glance()} | real


def recipes(steps=(1, 2), guidance=(1.0, 2.0)) -> list[Recipe]:
    return [Recipe(DIGITS, scale, count, "ddim", guidance_interval=(0, 999)) for scale in guidance for count in steps]


def test_it_leaves_scores_a_table_and_pictures(pipe, some, tmp_path, capsys) -> None:
    printed: list[str] = []
    runs = sweep.sweep(pipe, recipes(), tmp_path, tell=printed.append, **some)
    assert [line.split(":")[0] for line in printed] == ["1/4", "2/4", "3/4", "4/4"]
    assert capsys.readouterr() == ("", "")  # and no bars unasked
    assert json.loads((tmp_path / "scores.json").read_text()) == {"runs": runs}
    assert [(run["recipe"]["guidance"], run["recipe"]["steps"], run["evaluations"]) for run in runs] == [
        (1, 1, 1),
        (1, 2, 2),
        (2, 1, 2),
        (2, 2, 4),
    ]
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert len(lines) == 2 + 4 + 1
    assert lines[-1].startswith("| real |")
    plots = {f"{figure}-{axis}.png" for figure in ("frechet-distance", "accuracy") for axis in ("steps", "guidance")}
    digits = {
        f"{name}-ddim-{steps}-steps-guidance-{scale}.png"
        for name in ("best", "worst")
        for steps in (1, 2)
        for scale in (1, 2)
    }
    assert {path.name for path in tmp_path.glob("*.png")} == plots | digits


def test_it_goes_on_where_it_stopped_and_draws_nothing_twice(pipe, some, tmp_path, monkeypatch) -> None:
    drawn = []
    draw = sweep.draw
    monkeypatch.setattr(sweep, "draw", lambda pipe, recipe, **_: drawn.append(recipe) or draw(pipe, recipe, **_))
    first = sweep.sweep(pipe, recipes(steps=(1,)), tmp_path, **some)
    everything = sweep.sweep(pipe, recipes(), tmp_path, **some)
    assert drawn == recipes(steps=(1,)) + recipes(steps=(2,))
    assert [everything[0], everything[2]] == first
    again = sweep.sweep(pipe, recipes(), tmp_path, **some)
    assert again == everything
    assert len(drawn) == 4


def test_a_quick_score_is_made_again_where_all_figures_are_asked_for(pipe, real, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("diffusion.evaluation.judge.told_apart", lambda *_, **__: 0.75)
    monkeypatch.setattr("diffusion.evaluation.judge.train_reader", lambda *_, **__: load_reader())
    some = {"names": NAMES} | real
    sweep.sweep(pipe, recipes((1,), (1.0,)), tmp_path, full=False, **some)
    [run] = sweep.sweep(pipe, recipes((1,), (1.0,)), tmp_path, full=True, **some)
    assert run["told_apart"]["value"] == 0.75
    [again] = sweep.sweep(pipe, recipes((1,), (1.0,)), tmp_path, full=False, **some)
    assert again == run


@pytest.mark.parametrize(
    "change",
    [
        {"names": {"weights": "other", "reader": "def"}},
        {"names": {"weights": "abc", "reader": "other"}},
        {"digits": tuple(range(10)) * 21},
        {"digits": tuple(range(1, 10)) * 23},
        {"seed": 1},
        {"earlier": True},
    ],
    ids=["weights", "reader", "more digits", "other digits", "seed", "an earlier judge"],
)
def test_scores_that_cannot_be_compared_are_refused_and_kept(pipe, some, tmp_path, refuses, change) -> None:
    sweep.sweep(pipe, recipes((1,)), tmp_path, **some)
    if change.pop("earlier", False):
        scores = json.loads((tmp_path / sweep.SCORES).read_text())
        scores["runs"][0]["judge"] -= 1
        (tmp_path / sweep.SCORES).write_text(json.dumps(scores))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    some["names"] = change.pop("names", NAMES)
    with refuses("is of other weights, digits, settings or an earlier judge"):
        sweep.sweep(pipe, [replace(recipe, **change) for recipe in recipes((2,))], tmp_path, **some)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_intervals_of_guidance_are_told_apart(pipe, some, tmp_path) -> None:
    sweep.sweep(pipe, recipes((1, 2), (2.0,)), tmp_path, **some)
    inside = [replace(recipe, guidance_interval=(200, 700)) for recipe in recipes((1, 2), (2.0,))]
    runs = sweep.sweep(pipe, inside, tmp_path, **some)
    assert [run["evaluations"] for run in runs] == [1, 3]
    rows = (tmp_path / "table.md").read_text().splitlines()[2:-1]
    assert len({row.split("|")[1] for row in rows}) == 4
    assert len(list(tmp_path.glob("best-*.png"))) == 4


def test_unguided_digits_are_on_the_line_of_every_interval(pipe, some, tmp_path, monkeypatch) -> None:
    drawn = []
    lines = sweep.plot.lines
    monkeypatch.setattr(
        sweep.plot, "lines", lambda series, **how: drawn.append((how["x"], series)) or lines(series, **how)
    )
    unguided, guided = recipes((1,))
    wanted = [replace(unguided, guidance_interval=(400, 700)), guided, replace(guided, guidance_interval=(200, 999))]
    off, everywhere, inside = (run["frechet_distance"]["value"] for run in sweep.sweep(pipe, wanted, tmp_path, **some))
    assert (
        "guidance",
        {
            "ddim, 1 steps": [(1.0, off), (2.0, everywhere)],
            "ddim, 1 steps, from level 200 to 999": [(1.0, off), (2.0, inside)],
        },
    ) in drawn


def test_a_sweep_that_is_under_way_is_left_alone(pipe, real, tmp_path, refuses) -> None:
    with locked(tmp_path / sweep.SCORES), refuses("holds a sweep that is under way"):
        sweep.sweep(pipe, recipes(), tmp_path, names=NAMES, full=False, **real)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_before_the_work(pipe, real, tmp_path, monkeypatch, refuses) -> None:
    monkeypatch.setattr(sweep, "Judge", lambda *_, **__: pytest.fail("it has begun"))
    (tmp_path / "file").write_text("in the way")
    with refuses("Cannot write"):
        sweep.sweep(pipe, recipes(), tmp_path / "file" / "sweep", names=NAMES, **real)


def test_spacings_are_told_apart(pipe, some, tmp_path) -> None:
    wanted = [
        replace(recipe, spacing=spacing) for spacing in ("trailing", "karras") for recipe in recipes((1, 2), (1.0,))
    ]
    assert [run["recipe"]["spacing"] for run in sweep.sweep(pipe, wanted, tmp_path, **some)] == [
        *("trailing", "trailing"),
        *("karras", "karras"),
    ]
    assert "| ddim, 2 steps, guidance 1, karras levels | 2 |" in (tmp_path / "table.md").read_text()
    assert len(list(tmp_path.glob("best-*.png"))) == 4


def test_etas_are_told_apart_and_plotted(pipe, some, tmp_path) -> None:
    wanted = [replace(recipe, eta=eta) for eta in (0.0, 0.5) for recipe in recipes((2,), (1.0,))]
    assert [run["recipe"]["eta"] for run in sweep.sweep(pipe, wanted, tmp_path, **some)] == [0, 0.5]
    rows = (tmp_path / "table.md").read_text().splitlines()[2:-1]
    assert [row.split(" |")[0] for row in rows] == [
        "| ddim, 2 steps, guidance 1",
        "| ddim, eta 0.5, 2 steps, guidance 1",
    ]
    assert {path.name for path in tmp_path.glob("*-eta.png")} == {"frechet-distance-eta.png", "accuracy-eta.png"}
    assert len(list(tmp_path.glob("best-*.png"))) == 2


def test_scores_from_before_there_were_spacings_are_kept_and_titled(pipe, some, tmp_path) -> None:
    [run] = sweep.sweep(pipe, recipes((1,), (1.0,)), tmp_path, **some)
    del run["recipe"]["spacing"]
    assert sweep.title(run) == "ddim, 1 steps, guidance 1"
    run["recipe"] |= {"slant": 0.2, "hand": "many"}
    assert sweep.title(run) == "ddim, 1 steps, guidance 1, slant 0.2, hand many"


def test_a_lost_table_or_plot_is_made_again(pipe, some, tmp_path) -> None:
    sweep.sweep(pipe, recipes(), tmp_path, **some)
    made = {path.name for path in tmp_path.iterdir()}
    for name in ("table.md", "accuracy-steps.png"):
        (tmp_path / name).unlink()
    sweep.sweep(pipe, recipes(), tmp_path, **some)
    assert {path.name for path in tmp_path.iterdir()} == made


@pytest.mark.parametrize(
    ("digits", "shares"),
    [((3, 1) * 50, [1, 3]), ((0, 0, 0, 1) * 50, [0, 0, 0, 1]), ((0, 1, 1, 1) * 50, [0, 1, 1, 1]), ((7,) * 200, [7])],
    ids=["once each", "three to one", "one to three", "of one kind"],
)
def test_the_shares_of_the_digits_are_part_of_what_is_evaluated(pipe, digits, shares) -> None:
    assert about(pipe, Recipe(digits))["recipe"]["digits"] == shares


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": [1]}', '{"runs": [{"recipe": {}}]}'])
def test_scores_that_are_none_are_refused(pipe, real, tmp_path, refuses, text) -> None:
    (tmp_path / "scores.json").write_text(text)
    with refuses("holds no scores"):
        sweep.sweep(pipe, recipes(), tmp_path, names=NAMES, full=False, **real)
