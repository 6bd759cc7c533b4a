"""What a visitor asks for, in controls, words or a link -> a recipe, and a recipe -> all of these."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from diffusion import BadInput, Pipeline, Recipe, checks, prompts
from diffusion.scheduler import T
from diffusion.settings import Choice, Number

BUNDLED, FEW_STEP = "bundled", "few-step"  # the names of weights
WEIGHTS = [("Quality", BUNDLED), ("Instant", FEW_STEP)]  # and what the page calls them
MAX_COUNT = 10  # of each digit
MAX_DIGITS = 100  # at once; the browser shows every tile of every frame
MAX_ROW = 20  # digits of one number in one row
ANY = ("any", "anything", "any digit")  # left to the network: guidance 0

# The controls, in the order of the endpoint's parameters; `digits` is the prompt on the page.
SETTINGS = ("digits", "count", "guidance", "steps", "sampler", "seed", "guide_from", "guide_to", "spacing", "eta")
LINKED = (*SETTINGS[:6], "guidance_interval", *SETTINGS[8:], "redrawn", "weights")  # names in a link


def recipe(
    digits: Any,
    count: Any,
    guidance: Any,
    steps: Any,
    sampler: Any,
    seed: Any,
    guide_from: Any,
    guide_to: Any,
    spacing: Any,
    eta: Any,
    most_each: int = MAX_COUNT,
    most: int = MAX_DIGITS,
) -> Recipe:
    """The recipe that the controls ask for, or BadInput. `digits` is a prompt or a list."""
    count = checks.whole("count", count, 1, most_each)
    if isinstance(digits, str):
        if any_digit(digits):
            guidance = 0
        chosen = prompts.digits(digits)
    else:
        chosen = checks.labels("digits", digits, checks.MAX_CLASSES)
    check_number(len(chosen) * count, most)
    interval = (guide_from, guide_to)
    return Recipe(tuple(chosen) * count, guidance, steps, sampler, eta, seed, interval, spacing)


def pipe_of(weights: Any, pipes: Mapping[str, Pipeline]) -> Pipeline:
    """What draws with the weights of this name, or BadInput."""
    return pipes[checks.choice("weights", weights, pipes)]


def drawn_with(drawn: Recipe, pipe: Pipeline) -> Recipe:
    """The recipe with the name of the weights that will draw it, or BadInput where they cannot."""
    drawn = replace(drawn, weights=pipe.weights)
    pipe.check(drawn)
    return drawn


def suited(settings: Mapping[str, Any], few_steps: Any, pipe: Pipeline) -> dict[str, Any]:
    """Settings as a pipeline takes them: a student of few steps has steps of its own, and one way to take them."""
    if not pipe.offer.instant:
        return dict(settings)
    usual = defaults(pipe)
    fixed = ("sampler", "guide_from", "guide_to", "spacing", "eta")
    return {**settings, "steps": few_steps, **{name: usual[name] for name in fixed}}


def guidance_range(pipe: Pipeline) -> tuple[float, float]:
    """The lowest and the highest guidance that these weights take."""
    values = pipe.offer.settings["guidance"].values
    assert isinstance(values, Number)
    return values.low, values.high


def step_choices(pipe: Pipeline) -> list[int]:
    """The numbers of steps that these weights take, where they are few."""
    values = pipe.offer.settings["steps"].values
    return list(values.choices) if isinstance(values, Choice) else []


def check_number(digits: int, most: int = MAX_DIGITS) -> None:
    """BadInput for more digits than `most`, by default as many as the stage shows."""
    if digits > most:
        raise BadInput(f"That is {digits:,} digits: ask for at most {most:,} at once.")


def any_digit(prompt: str) -> bool:
    """Whether the network may draw what it likes."""
    return prompt.strip().casefold() in ANY


def columns(prompt: str) -> int:
    """How wide to lay a prompt's digits out: a number is one row, as it is written. 0 leaves it open."""
    number = prompts.in_ascii(prompt.strip())
    return len(number) if re.fullmatch(f"[0-9]{{2,{MAX_ROW}}}", number) else 0


def understood(prompt: str) -> tuple[str, list[int] | None]:
    """What a prompt will draw, in words, and the digits in it; None where chance has a say. Raises BadInput."""
    if any_digit(prompt):
        return "Any digit: the network draws what it likes.", None
    first, last = prompts.digits(prompt, choose=min), prompts.digits(prompt, choose=max)
    check_number(len(first))
    if first != last:
        return f"Chance picks {'a digit' if len(first) == 1 else f'among {len(first)} digits'}.", None
    some = ", ".join(map(str, first[:12])) + (", ..." if len(first) > 12 else "")
    return (f"Draws {some}." if len(first) <= 12 else f"Draws {len(first)} digits: {some}"), sorted(set(first))


def edited(prompt: str, picked: Sequence[int]) -> str:
    """The prompt after a change of the picker: what is still picked stays as it is, what is new comes after it."""
    before: list[int] = []
    with suppress(BadInput):
        if understood(prompt)[1] is not None:
            before = prompts.digits(prompt)
    kept = [digit for digit in before if digit in picked]
    if kept == before and set(picked) == set(before):
        return prompt
    return words([*kept, *sorted(set(picked) - set(before))])


def words(digits: Sequence[int]) -> str:
    """Digits as a prompt: "0-9" for a stretch of three or more, "3, 3, 7" for others."""
    digits = list(digits)
    if len(digits) > 2 and digits == list(range(digits[0], digits[0] + len(digits))):
        return f"{digits[0]}-{digits[-1]}"
    return ", ".join(map(str, digits))


def controls(drawn: Recipe, prompt: str = "") -> dict[str, Any]:
    """A recipe's settings for the controls. Where no prompt is known, it is made of the digits."""
    digits, count = _repeated(drawn.digits)
    if prompt:
        with suppress(BadInput):
            once = prompts.digits(prompt)
            count = len(drawn.digits) // len(once)
    return {
        "digits": prompt or words(digits),
        "count": count,
        "guidance": drawn.guidance,
        "steps": drawn.steps,
        "sampler": drawn.sampler,
        "seed": drawn.seed,
        "guide_from": drawn.guidance_interval[0],
        "guide_to": drawn.guidance_interval[1],
        "spacing": drawn.spacing,
        "eta": drawn.eta,
    }


def link(drawn: Recipe, prompt: str, weights: str = BUNDLED) -> str:
    """The query that draws a run again, like "?digits=777&count=1&guidance=2.0"."""
    if prompt and not any_digit(prompt) and understood(prompt)[1] is None:  # chance would pick others
        prompt = ""
    values = controls(drawn, prompt)
    values["guidance_interval"] = f"{values.pop('guide_from')},{values.pop('guide_to')}"
    if drawn.redrawn:
        values["redrawn"] = ",".join(f"{k}:{seed}" for k, seed in drawn.redrawn)
    if weights != BUNDLED:
        values["weights"] = weights
    return "?" + urlencode({name: values[name] for name in LINKED if name in values}, safe=",:")


def from_link(query: str, pipes: Mapping[str, Pipeline]) -> tuple[dict[str, Any], Recipe, str] | None:
    """The controls that a link sets, the recipe to draw with them and the name of its weights, or BadInput.

    None where it asks for nothing. The controls have a seed only where the link has one. Names that mean nothing here
    are left alone.
    """
    given = parse_qs(query.removeprefix("?"), keep_blank_values=True)
    if "prompt" in given:
        given["digits"] = given.get("digits", []) + given.pop("prompt")
    for name in LINKED:
        if len(given.get(name, [])) > 1:
            raise BadInput(f"The link gives {name} {len(given[name])} times: keep one of them.")
    values: dict[str, Any] = {name: given[name][0] for name in LINKED if name in given}
    if not values:
        return None
    weights = values.pop("weights", BUNDLED)
    pipe = pipe_of(weights, pipes)
    usual = defaults(pipe)
    for name in values.keys() & {"count", "guidance", "steps", "seed", "eta"}:
        values[name] = checks.typed(values[name])
    if "guidance_interval" in values:
        interval = checks.interval("guidance_interval", _pair(values.pop("guidance_interval"), ","), 0, T - 1)
        usual |= dict(zip(("guide_from", "guide_to"), interval, strict=True))
    redrawn: Any = tuple(_pair(pair, ":") for pair in values.pop("redrawn", "").split(",") if pair)
    recipe_asked = recipe(**(usual | values))
    restored = controls(recipe_asked, values.get("digits", ""))
    if "seed" not in values:
        del restored["seed"]
    return restored, drawn_with(replace(recipe_asked, redrawn=redrawn), pipe), weights


def defaults(pipe: Pipeline) -> dict[str, Any]:
    """The controls as they stand at first."""
    return controls(pipe.recipe(range(len(pipe.names))))


def _repeated(digits: Sequence[int]) -> tuple[list[int], int]:
    """The shortest stretch that the digits repeat, and how often, up to MAX_COUNT times."""
    for length in range(1, len(digits) + 1):
        count = len(digits) // length
        if length * count == len(digits) and count <= MAX_COUNT and list(digits) == list(digits[:length]) * count:
            return list(digits[:length]), count
    return list(digits), 1


def _pair(text: str, between: str) -> list[float | str]:
    return [checks.typed(part) for part in text.split(between)]
