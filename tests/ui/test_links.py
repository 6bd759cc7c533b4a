"""Links that draw a run again, and those that cannot."""

from dataclasses import replace

import pytest

from diffusion import Pipeline, Recipe
from diffusion.denoiser import FewStep
from ui import request
from ui.links import from_link, link
from ui.work import Work

ALL = tuple(range(10))


@pytest.fixture
def work(make_denoiser) -> Work:
    student = make_denoiser(few_step=FewStep(4, (1.0, 2.5), (300, 600)))
    return Work({"bundled": Pipeline(make_denoiser(), "b" * 8), "few-step": Pipeline(student, "f" * 8)})


@pytest.mark.parametrize(
    ("recipe", "prompt"),
    [
        (Recipe(ALL), "0-9"),
        (Recipe(ALL * 3, seed=4_294_967_295), "0-9"),
        (Recipe((2, 0, 2, 6) * 2, guidance=3.5, steps=7, sampler="ddpm", seed=9), "2026"),
        (Recipe((4, 3, 3), guidance_interval=(0, 999)), "a 4 and two 3s"),
        (Recipe((4, 3, 3), sampler="ddim", spacing="karras", eta=0.25), "a 4 and two 3s"),
        (Recipe((4, 3, 3), guidance=0), "any"),
        (Recipe((8, 1, 8)), "three random digits"),
        (Recipe((7,) * 100), ""),
        (Recipe((7, 7, 3), redrawn=((0, 77), (2, 5))), "7, 7, 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_link_draws_the_same_again(work, recipe: Recipe, prompt: str) -> None:
    found = from_link(link(recipe, prompt, work), work)
    assert found is not None
    values, restored, weights = found
    assert weights == "bundled"
    if prompt == "any":
        assert (restored.guidance, restored.seeds) == (0, recipe.seeds)
    else:
        assert restored == replace(recipe, weights="b" * 8)
    assert request.recipe(values, work.pipe(weights)).digits == restored.digits or prompt == "any"


def test_a_link_may_name_only_some_settings_and_others_mean_nothing(work) -> None:
    values, recipe, _ = from_link("?digits=777&guidance=2&seed=42&utm_source=x&__theme=dark", work)
    assert recipe == Recipe((7, 7, 7), guidance=2, seed=42, weights="b" * 8)
    assert values["digits"] == "777"
    values, recipe, _ = from_link("?prompt=a+4+and+two+3s", work)
    assert recipe.digits == (4, 3, 3)
    assert "seed" not in values, "each run has a new one"
    assert from_link("?__theme=dark", work) is None
    assert from_link("", work) is None


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("digits=7&digits=8", "The link gives digits 2 times"),
        ("digits=7&prompt=8", "The link gives digits 2 times"),
        ("guidance=1&guidance=1", "The link gives guidance 2 times"),
        ("digits=", "No digits asked for"),
        ("digits=%3Cscript%3E", "Cannot read '<script>' as digits"),
        ("digits=sevn", "Cannot read 'sevn': write 'seven' if you mean that."),
        ("digits=a+thousand+7s", "That is 1,000 images: ask for at most 100 at once."),
        ("guidance=much", "guidance must be a number from 0 to 20, not 'much'."),
        ("guidance=nan", "guidance must be a number from 0 to 20, not nan."),
        ("steps=0", "steps must be a whole number from 1 to 1,000, not 0."),
        ("seed=-1", "seed must be a whole number from 0 to 4,294,967,295, not -1."),
        ("sampler=euler", "sampler must be one of"),
        ("spacing=even", "spacing must be one of"),
        ("sampler=heun&eta=0.5", "eta belongs to the sampler ddim"),
        ("count=11", "count must be a whole number from 1 to 10, not 11."),
        ("guidance_interval=500,200", "guidance_interval must be two whole numbers"),
        ("guidance_interval=500", "guidance_interval must be two whole numbers"),
        ("digits=7&redrawn=5:1", "The image to draw again must be a whole number from 0 to 0, not 5."),
        ("digits=7&redrawn=x", "redrawn must be pairs"),
        ("digits=7&weights=mine", "weights must be one of bundled, few-step"),
        ("digits=7&weights=few-step&steps=3", "With these weights, steps must be one of 1, 2, 4, not 3."),
        ("digits=7&weights=few-step&guidance=3", "With these weights, guidance must be a number from 1 to 2.5"),
    ],
)
def test_a_wrong_link_is_answered_in_a_sentence(work, query: str, sentence: str, refuses) -> None:
    with refuses(sentence):
        from_link(query, work)


def test_a_link_names_weights_that_are_not_the_usual_ones(work) -> None:
    assert "weights" not in link(Recipe((7,)), "7", work)
    recipe = Recipe((7,), 2.5, 2, "ddim", guidance_interval=(300, 600), weights="f" * 8)
    assert from_link(link(recipe, "7", work), work)[1:] == (recipe, "few-step")
    assert from_link("?digits=7&weights=few-step", work)[1] == recipe, "what is not said is their own"


def test_an_older_link_draws_the_same_digits(pipe, few_step) -> None:
    """One that was copied when samplers, weights and single seeds had just come into links."""
    work = Work({"bundled": pipe, "few-step": few_step})
    old = "?digits=2026&count=1&guidance=1.5&steps=8&sampler=abm&seed=3"
    values, recipe, weights = from_link(old + "&guidance_interval=400,700&spacing=trailing&eta=0.0&redrawn=1:5", work)
    assert (values["digits"], weights) == ("2026", "bundled")
    assert recipe == Recipe((2, 0, 2, 6), 1.5, 8, "abm", 0.0, 3, (400, 700), "trailing", ((1, 5),), pipe.weights)
    assert from_link("?digits=2026&steps=8&guidance_interval=400,700&redrawn=1:5&weights=few-step", work)[1].steps == 8
