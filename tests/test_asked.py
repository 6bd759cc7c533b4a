"""What a visitor asks for: prompts and links to recipes, and back."""

import pytest

from diffusion import Pipeline, Recipe
from diffusion.denoiser import FewStep
from ui import asked

ALL = tuple(range(10))


@pytest.fixture
def pipes(make_denoiser) -> dict[str, Pipeline]:
    student = make_denoiser(few_step=FewStep(4, (1.0, 2.5), (300, 600)))
    return {"bundled": Pipeline(make_denoiser()), "few-step": Pipeline(student)}


def ask(**changes: object) -> Recipe:
    return asked.recipe(**(asked.controls(Recipe(ALL)) | changes))


@pytest.mark.parametrize(
    ("prompt", "count", "digits"),
    [
        ("0-9", 1, ALL),
        ("2026", 1, (2, 0, 2, 6)),
        ("a 4 and two 3s", 2, (4, 3, 3, 4, 3, 3)),
        ("seven", 10, (7,) * 10),
        ("all the even digits", 1, (0, 2, 4, 6, 8)),
        ([3, 7], 2, (3, 7, 3, 7)),
    ],
)
def test_the_prompt_says_which_and_the_slider_how_many(prompt, count: int, digits: tuple[int, ...]) -> None:
    assert ask(digits=prompt, count=count).digits == digits


def test_any_leaves_it_to_the_network() -> None:
    assert [ask(digits=prompt).guidance for prompt in ("any", " Anything ", "any digit")] == [0, 0, 0]
    assert ask(digits="7").guidance == Recipe.guidance


@pytest.mark.parametrize(
    ("prompt", "columns"), [("2026", 4), (" 5551234 ", 7), ("\uff12\uff10", 2), ("7", 0), ("2, 0", 0), ("1" * 21, 0)]
)
def test_a_number_is_one_row(prompt: str, columns: int) -> None:
    assert asked.columns(prompt) == columns


@pytest.mark.parametrize(
    ("prompt", "told", "picked"),
    [
        ("seven", "Draws 7.", [7]),
        ("a 4 and two 3s", "Draws 4, 3, 3.", [3, 4]),
        ("twenty 1s", "Draws 20 digits: 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...", [1]),
        ("random", "Chance picks a digit.", None),
        ("five random digits", "Chance picks among 5 digits.", None),
        ("any", "Any digit: the network draws what it likes.", None),
    ],
)
def test_what_is_understood_is_said(prompt: str, told: str, picked: list[int] | None) -> None:
    assert asked.understood(prompt) == (told, picked)


@pytest.mark.parametrize(
    "prompt", ["", "sevn", "<b>7</b>", "a thousand 7s", "7" * 20_000, "\N{PILE OF POO}", "0 digits"]
)
def test_what_is_not_understood_is_said_too(prompt: str, refuses) -> None:
    with refuses():
        asked.understood(prompt)


@pytest.mark.parametrize(
    ("prompt", "picked", "edited"),
    [
        ("0-9", [3], "3"),
        ("3", [3, 7], "3, 7"),
        ("2026", [0, 2], "2, 0, 2"),
        ("2026", [0, 2, 6], "2026"),
        ("a 4 and two 3s", [3, 4, 9], "4, 3, 3, 9"),
        ("nonsense", [1], "1"),
        ("random", [1], "1"),
        ("3", [], ""),
        ("", list(ALL), "0-9"),
    ],
)
def test_the_picker_changes_no_more_of_the_prompt_than_it_must(prompt: str, picked: list[int], edited: str) -> None:
    assert asked.edited(prompt, picked) == edited


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
def test_a_link_draws_the_same_again(pipes, recipe: Recipe, prompt: str) -> None:
    found = asked.from_link(asked.link(recipe, prompt), pipes)
    assert found is not None
    controls, restored, weights = found
    assert weights == "bundled"
    if prompt == "any":
        assert (restored.guidance, restored.seeds) == (0, recipe.seeds)
    else:
        assert restored == recipe
    assert asked.recipe(**controls).digits == restored.digits or prompt == "any"


def test_a_link_may_name_only_some_settings_and_others_mean_nothing(pipes) -> None:
    controls, recipe, _ = asked.from_link("?digits=777&guidance=2&seed=42&utm_source=x&__theme=dark", pipes)
    assert recipe == Recipe((7, 7, 7), guidance=2, seed=42)
    assert controls["digits"] == "777"
    controls, recipe, _ = asked.from_link("?prompt=a+4+and+two+3s", pipes)
    assert recipe.digits == (4, 3, 3)
    assert "seed" not in controls, "each run has a new one"
    assert asked.from_link("?__theme=dark", pipes) is None
    assert asked.from_link("", pipes) is None


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("digits=7&digits=8", "The link gives digits 2 times"),
        ("digits=7&prompt=8", "The link gives digits 2 times"),
        ("guidance=1&guidance=1", "The link gives guidance 2 times"),
        ("digits=", "No digits asked for"),
        ("digits=%3Cscript%3E", "Cannot read '<script>' as digits"),
        ("digits=sevn", "Cannot read 'sevn': write 'seven' if you mean that."),
        ("digits=a+thousand+7s", "That is 1,000 digits: ask for at most 100 at once."),
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
def test_a_wrong_link_is_answered_in_a_sentence(pipes, query: str, sentence: str, refuses) -> None:
    with refuses(sentence):
        asked.from_link(query, pipes)


def test_at_most_a_hundred_digits_at_once(refuses) -> None:
    assert len(ask(digits=[1] * 10, count=10).digits) == 100
    with refuses("That is 110 digits: ask for at most 100 at once."):
        ask(digits=[1] * 11, count=10)


def test_a_link_names_weights_that_are_not_the_usual_ones(pipes) -> None:
    assert "weights" not in asked.link(Recipe((7,)), "7")
    recipe = Recipe((7,), steps=2, sampler="ddim", guidance_interval=(300, 600))
    query = asked.link(recipe, "7", "few-step")
    assert asked.from_link(query, pipes)[1:] == (recipe, "few-step")
    assert asked.from_link("?digits=7&weights=few-step", pipes)[1].guidance_interval == (300, 600)
    usual = asked.from_link("?digits=7&weights=few-step", pipes)[1]
    assert (usual.steps, usual.guidance) == (2, 2.5)


def test_a_student_keeps_to_the_one_way_that_it_knows(pipes) -> None:
    controls = asked.controls(Recipe(ALL, 2, 50, "ddim", 0.5, 7, (0, 999), "karras"))
    suited = asked.suited(controls, 2, pipes["few-step"])
    assert asked.recipe(**suited) == Recipe(ALL, 2, 2, "ddim", seed=7, guidance_interval=(300, 600))
    assert asked.suited(controls, 2, pipes["bundled"]) == controls
