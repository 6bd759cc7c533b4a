"""What a visitor asks for: prompts and settings to recipes, and back."""

from collections.abc import Callable

import pytest

from diffusion import Pipeline, Recipe
from diffusion.denoiser import FewStep
from ui import request

ALL = tuple(range(10))


DIGITS = tuple("0123456789")
COLOURS = ("red", "green", "blue")


@pytest.fixture
def ask(make_denoiser) -> Callable[..., Recipe]:
    pipe = Pipeline(make_denoiser())
    return lambda **values: request.recipe(values, pipe)


@pytest.fixture
def student(make_denoiser) -> Pipeline:
    return Pipeline(make_denoiser(few_step=FewStep(4, (1.0, 2.5), (300, 600))))


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
def test_the_prompt_says_which_and_the_slider_how_many(ask, prompt, count: int, digits: tuple[int, ...]) -> None:
    assert ask(digits=prompt, count=count).digits == digits


def test_any_leaves_it_to_the_network(ask) -> None:
    assert [ask(digits=prompt).guidance for prompt in ("any", " Anything ", "any digit")] == [0, 0, 0]
    assert ask(digits="7").guidance == Recipe.guidance


@pytest.mark.parametrize(
    ("prompt", "columns"),
    [
        ("2026", 4),
        (" 5551234 ", 7),
        ("\uff12\uff10", 2),
        ("7", 0),
        ("2, 0", 0),
        ("20261231", 8),
        ("1" * 21, 0),
        ("0123456789", 0),
    ],
)
def test_a_number_is_one_row(prompt: str, columns: int) -> None:
    assert request.columns(prompt) == columns


@pytest.mark.parametrize(
    ("prompt", "sentence", "digits"),
    [
        ("seven", "Draws 7.", [7]),
        ("a 4 and two 3s", "Draws 4, 3, 3.", [4, 3, 3]),
        ("a 4 and two thick 3s", "Draws 4, thick 3, thick 3.", [4, 3, 3]),
        ("twenty 1s", "Draws 20 digits: 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...", [1] * 20),
        ("random", "Chance picks a digit.", None),
        ("five random digits", "Chance picks among 5 digits.", None),
        ("any", "Any digit: the network draws what it likes.", None),
    ],
)
def test_what_is_understood_is_said(prompt: str, sentence: str, digits: list[int] | None) -> None:
    *told, written = request.understood(prompt, DIGITS)
    assert told == [sentence, digits]
    thick = {1, 2} if "thick" in prompt else {}
    assert written == [f"{'thick ' if k in thick else ''}{digit}" for k, digit in enumerate(digits or [])]


@pytest.mark.parametrize(
    "prompt", ["", "sevn", "<b>7</b>", "a thousand 7s", "7" * 20_000, "\N{PILE OF POO}", "0 digits"]
)
def test_what_is_not_understood_is_said_too(prompt: str, refuses) -> None:
    with refuses():
        request.understood(prompt, DIGITS)


def test_at_most_a_hundred_digits_at_once(ask, refuses) -> None:
    assert len(ask(digits=[1] * 10, count=10).digits) == 100
    with refuses("That is 110 images: ask for at most 100 at once."):
        ask(digits=[1] * 11, count=10)


@pytest.mark.parametrize(
    "bad",
    [
        *({"digits": digits} for digits in ([], [10], ["<b>7</b>"], [1] * 101, "<b>7</b>", "", "a thousand 7s")),
        *({"count": count} for count in (0, 11)),
        *({"guidance": guidance} for guidance in (-1, 1e308, "two")),
        *({"steps": steps} for steps in (0, 1001, 2.5)),
        *({"seed": seed} for seed in (-1, 2**32, "<script>")),
        {"sampler": "euler"},
        {"guidance_interval": (500, 200)},
        {"guidance_interval": (0, 1000)},
        {"spacing": "even"},
        {"eta": 2},
    ],
    ids=lambda bad: str(bad)[:40],
)
def test_what_cannot_be_drawn_is_refused(ask, bad, refuses) -> None:
    with refuses():
        ask(**{"digits": "7", "steps": 1} | bad)


def test_what_is_not_said_is_the_weights_own(student) -> None:
    recipe = request.recipe({"digits": "7"}, student)
    assert recipe == Recipe((7,), 2.5, 2, "ddim", guidance_interval=(300, 600))
    with_some = request.recipe({"count": 2, "steps": 4}, student)
    assert (with_some.digits, with_some.steps) == (ALL * 2, 4)


def test_what_is_asked_for_is_read_off_a_recipe(ask) -> None:
    recipe = Recipe((4, 3, 3) * 2, 2, 50, "ddim", 0.5, 7, (0, 999), "karras")
    for prompt in ("", "a 4 and two 3s"):
        values = request.values(recipe, DIGITS, prompt)
        assert values["count"] == 2
        assert ask(**values) == recipe


def test_classes_are_called_by_their_names() -> None:
    assert request.understood("two reds and blue", COLOURS) == (
        "Draws red, red, blue.",
        [0, 0, 2],
        ["red", "red", "blue"],
    )
    assert request.words(range(3), COLOURS) == "red, green, blue"
    assert request.words([8, 9, 10], [*DIGITS, "ten of clubs"]) == "8, 9, ten of clubs"


def test_a_stretch_is_written_where_a_prompt_reads_it_so() -> None:
    numbers = [str(k) for k in range(12)]
    for digits, written in ((range(3), "0-2"), ([7, 8, 9, 10], "7, 8, 9, 10"), ([0, 2, 4], "0, 2, 4")):
        assert request.words(digits, numbers) == written
    assert request.words(range(3), ["0", "1", "2", "cat"]) == "0-2"
