"""What the page remembers of a visitor, and what a press of Generate adds to it."""

from collections.abc import Iterator
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from diffusion import Pipeline, Recipe
from ui.drawing import Drawing
from ui.session import MAX_RUNS, Drawn, Plan, Session
from ui.work import Work


@pytest.fixture(scope="module")
def tiny(make_denoiser) -> Pipeline:
    return Pipeline(make_denoiser())


def test_tiles_are_drawn_again_among_the_others(tiny: Pipeline) -> None:
    base = tiny([7, 3, 5], steps=2, seed=10)
    recipe = base.recipe.with_seed(0, 77).with_seed(2, 99)
    plan = Plan(recipe, "735", 3, base=base, again=(0, 2))
    assert (plan.part.digits, plan.part.seeds) == ((7, 5), [77, 99])
    part = tiny.run(plan.part).result()
    whole = plan.whole(part)
    assert whole.recipe == recipe
    np.testing.assert_array_equal(whole.images, [part.images[0], base.images[1], part.images[1]])
    np.testing.assert_array_equal(whole.frames[:, 1], base.frames[:, 1])
    np.testing.assert_array_equal(plan.now(part.images), whole.images)
    again = tiny.run(recipe).result()
    np.testing.assert_allclose(whole.images, again.images, atol=2)


def test_all_of_a_recipe_is_drawn_without_an_earlier_run(tiny: Pipeline) -> None:
    result = tiny([7, 3], steps=1)
    plan = Plan(result.recipe, "73", 2)
    assert plan.part == result.recipe
    assert plan.whole(result) is result


def test_the_oldest_runs_are_forgotten(tiny: Pipeline) -> None:
    result = tiny([7], steps=1)
    session = Session()
    for _ in range(MAX_RUNS + 3):
        session.add(Drawn(Plan(Recipe((7,)), "7", 0), result))
    assert len(session.runs) == MAX_RUNS
    assert session.shown is session.runs[-1]
    assert session.run(session.runs[0].number) is session.runs[0]
    assert session.run(session.runs[0].number - 1) is None
    assert session.run(None) is None


def test_redrawn_seeds_stay_while_other_settings_change(tiny: Pipeline) -> None:
    session = Session()
    plain = tiny([7, 3], steps=1, seed=10).recipe
    redrawn = plain.with_seed(1, 99)
    assert session.with_own_seeds(plain) == plain, "nothing is shown yet"
    session.add(Drawn(Plan(redrawn, "73", 0), tiny.run(redrawn).result()))
    assert session.with_own_seeds(replace(plain, steps=2)) == replace(redrawn, steps=2)
    assert session.with_own_seeds(replace(plain, weights="0123abcd")).redrawn == redrawn.redrawn
    assert session.with_own_seeds(plain, instant=True) == redrawn
    for other in (plain, replace(plain, seed=11), replace(plain, digits=(7, 4)), replace(plain, digits=(7,))):
        assert session.with_own_seeds(other) == other


def test_a_drawing_stays_where_its_misses_cannot_be_drawn_again(tiny: Pipeline) -> None:
    def no_quota(*_: object) -> Iterator[None]:
        yield None
        raise gr.Error("No quota is left.")

    work, session = Work({"bundled": tiny}), Session()
    work.retry = no_quota
    plan = session.plan({"digits": "777", "guidance": 2, "steps": 2, "seed": 42}, tiny, new_seed=False)
    with pytest.raises(gr.Error):
        _ = [*Drawing(work, session, plan, reading=False, until_right=True)]
    assert session.shown is not None
    assert session.shown.result.recipe == plan.recipe
