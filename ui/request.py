"""What a visitor asks for: a prompt, a count and settings by name -> a recipe, and back."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from string import digits as ALL_DIGITS
from typing import Any

from diffusion import BadInput, Pipeline, Recipe, checks, prompts
from diffusion.recipe import SETTINGS
from diffusion.style import repeated
from diffusion.vocabulary import in_ascii

MAX_COUNT = 10  # of each digit
MAX_DIGITS = 100  # at once; the browser shows every tile of every frame
MAX_ROW = 10  # digits of one number in one row: more would be specks on a phone
ANY = ("any", "anything", "any digit")  # left to the network: guidance 0


def recipe(values: Mapping[str, Any], pipe: Pipeline, *, most_each: int = MAX_COUNT, most: int = MAX_DIGITS) -> Recipe:
    """The recipe that some values ask for, or BadInput.

    Args:
        values: by name: `digits`, a prompt or a list of labels; `count`, how many of each; and the settings of a
            recipe. What is missing is every digit, 1, and what these weights draw with by default.
    """
    settings = dict(values)
    digits, count = settings.pop("digits", range(len(pipe.names))), settings.pop("count", 1)
    count = checks.whole("count", count, 1, most_each)
    if isinstance(digits, str):
        if any_digit(digits):
            settings["guidance"] = 0
        labels, how = prompts.styled(digits, pipe.names)
        settings["words"] = repeated(how, len(labels), count)
    else:
        labels = checks.labels("digits", digits, len(pipe.names))
    check_number(len(labels) * count, most)
    return drawn_with(pipe.recipe(labels * count, **settings), pipe)


def drawn_with(recipe: Recipe, pipe: Pipeline) -> Recipe:
    """The recipe with the name of the weights that will draw it, or BadInput where they cannot."""
    pipe.check(recipe)
    return replace(recipe, weights=pipe.weights)


def values(recipe: Recipe, names: Sequence[str], prompt: str = "") -> dict[str, Any]:
    """What asks for a recipe. Where no prompt is known, it is made of the digits."""
    digits, count = _repeated(recipe.digits)
    if recipe.words and not prompt:
        prompt = ", ".join(_each(recipe.digits, recipe.words, names))
    if prompt:
        with suppress(BadInput):
            count = len(recipe.digits) // len(prompts.styled(prompt, names)[0])
    settings = {name: getattr(recipe, name) for name in SETTINGS}
    return {"digits": prompt or words(digits, names), "count": count} | settings


def defaults(pipe: Pipeline) -> dict[str, Any]:
    """What is asked for at first."""
    return values(pipe.recipe(range(len(pipe.names))), pipe.names)


def check_number(digits: int, most: int = MAX_DIGITS) -> None:
    """BadInput for more digits than `most`, by default as many as the page shows."""
    if digits > most:
        raise BadInput(f"That is {digits:,} images: ask for at most {most:,} at once.")


def any_digit(prompt: str) -> bool:
    """Whether the network may draw what it likes."""
    return prompt.strip().casefold() in ANY


def columns(prompt: str) -> int:
    """How wide to lay a prompt's digits out: a number is one row, as it is written. 0 leaves it open, as all ten do."""
    number = in_ascii(prompt.strip())
    return len(number) if re.fullmatch(f"[0-9]{{2,{MAX_ROW}}}", number) and number != ALL_DIGITS else 0


def understood(prompt: str, names: Sequence[str], styles: bool = True) -> tuple[str, list[int] | None, list[str]]:
    """What a prompt will draw, in a sentence; its digits in order, None where chance has a say; and each in words.

    Raises BadInput, also for words like thick where there are no `styles`.
    """
    if any_digit(prompt):
        return "Any digit: the network draws what it likes.", None, []
    (first, how), (last, _) = (prompts.styled(prompt, names, choose=choose) for choose in (min, max))
    check_number(len(first))
    if how and not styles:
        raise BadInput("These weights know what to draw and not how: leave words like thick out.")
    if first != last:
        return f"Chance picks {'a digit' if len(first) == 1 else f'among {len(first)} digits'}.", None, []
    written = _each(first, how, names)
    some = ", ".join(written[:12]) + (", ..." if len(first) > 12 else "")
    return (f"Draws {some}." if len(first) <= 12 else f"Draws {len(first)} digits: {some}"), first, written


def _each(digits: Sequence[int], how: Sequence[tuple[int, str]], names: Sequence[str]) -> list[str]:
    """The name of each digit, after the words for how it is to be written."""
    return [" ".join([*(word for image, word in how if image == k), names[digit]]) for k, digit in enumerate(digits)]


def words(digits: Sequence[int], names: Sequence[str]) -> str:
    """Digits as a prompt: "0-9" for a stretch of three or more, else their names: "3, 3, 7", "cat, dog"."""
    digits = list(digits)
    named = [names[digit] for digit in digits]
    stretch = len(digits) > 2 and digits == list(range(digits[0], digits[-1] + 1))
    if stretch and named == [str(digit) for digit in digits] and len(named[-1]) == 1:  # "8-12" would be no prompt
        return f"{digits[0]}-{digits[-1]}"
    return ", ".join(named)


def _repeated(digits: Sequence[int]) -> tuple[list[int], int]:
    """The shortest stretch that the digits repeat, and how often, up to MAX_COUNT times."""
    for length in range(1, len(digits) + 1):
        count = len(digits) // length
        if length * count == len(digits) and count <= MAX_COUNT and list(digits) == list(digits[:length]) * count:
            return list(digits[:length]), count
    return list(digits), 1
