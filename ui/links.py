"""Links that draw a run again: a recipe -> the query of an address, and back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from diffusion import BadInput, Recipe, checks
from diffusion.activity import ACTIVITIES
from diffusion.lab import Anagram, Hybrid, Morph
from diffusion.lab.recipes import RECIPES
from diffusion.recipe import SETTINGS
from diffusion.settings import Setting
from diffusion.style import ANY
from ui import request
from ui.work import Work

NAMES = ("digits", "count", *SETTINGS, "redrawn", "weights")  # in a link; others mean nothing there


def link(recipe: Recipe, prompt: str, work: Work) -> str:
    """The query that draws a run again, like "?digits=777&count=1&guidance=2"."""
    if recipe.activity is not None:
        return "?" + urlencode(_of_activity(recipe, work), safe=",:")
    names, weights = work.of(recipe).names, work.name_of(recipe)
    if prompt and not request.any_digit(prompt) and request.understood(prompt, names)[1] is None:
        prompt = ""  # chance would pick others
    texts = {
        name: checks.written(value)
        for name, value in request.values(recipe, names, prompt).items()
        if name == "digits" or value != ANY
    }
    if recipe.redrawn:
        texts["redrawn"] = ",".join(f"{k}:{seed}" for k, seed in recipe.redrawn)
    if weights != work.usual:
        texts["weights"] = weights
    return "?" + urlencode(texts, safe=",:")


def from_link(query: str, work: Work) -> tuple[dict[str, Any], Recipe, str] | None:
    """The values that a link sets, the recipe to draw with them and the name of its weights, or BadInput.

    None where it asks for nothing. The values have a seed only where the link has one. Names that mean nothing here are
    left alone.
    """
    given = parse_qs(query.removeprefix("?"), keep_blank_values=True)
    if "activity" in given:  # that is one for the Lab
        return None
    if "prompt" in given:
        given["digits"] = given.get("digits", []) + given.pop("prompt")
    for name in NAMES:
        if len(given.get(name, [])) > 1:
            raise BadInput(f"The link gives {name} {len(given[name])} times: keep one of them.")
    texts = {name: given[name][0] for name in NAMES if name in given}
    if not texts:
        return None
    weights = texts.pop("weights", work.usual)
    pipe = work.pipe(weights)
    redrawn: Any = tuple(_pair(pair) for pair in texts.pop("redrawn", "").split(",") if pair)
    values: dict[str, Any] = {name: SETTINGS[name].values.read(texts[name]) for name in SETTINGS if name in texts}
    if "count" in texts:
        values["count"] = checks.typed(texts["count"])
    if "digits" in texts:
        values["digits"] = texts["digits"]
    recipe = request.recipe(values, pipe)
    values = request.values(recipe, pipe.names, texts.get("digits", ""))
    if "seed" not in texts:
        del values["seed"]
    return values, replace(recipe, redrawn=redrawn), weights


def tab_from_link(query: str, tabs: Sequence[str]) -> str | None:
    """The tab that a link asks for, like "?tab=lab", or BadInput; None where it asks for none."""
    named = parse_qs(query.removeprefix("?")).get("tab")
    return checks.choice("tab", named[-1], tabs) if named else None


def _of_activity(recipe: Recipe, work: Work) -> dict[str, str]:
    """What a link says of an activity, by name; BadInput where a link cannot."""
    activity, values = recipe.activity, {name: getattr(recipe, name) for name in SETTINGS}
    match activity:
        case Anagram() if not activity.weights:
            values |= {"digits": (recipe.digits[0], *activity.digits), "views": ",".join(activity.views)}
        case Hybrid() if not activity.guidance:
            values |= {"digits": (recipe.digits[0], activity.digit)}
        case Morph() if not activity.images:
            values |= {"digits": activity.digits, "frames": len(recipe.digits), "seed": activity.seeds[0]}
        case _:
            raise BadInput("A link has no room for pictures: download the PNG instead, which draws this again.")
    assert activity is not None
    count = 1 if isinstance(activity, Morph) else len(recipe.digits)
    own = {f"{activity.name}.{name}": getattr(activity, name) for name in _own(activity.name)}
    own = {name: {True: "yes", False: "no"}[value] if isinstance(value, bool) else value for name, value in own.items()}
    texts = {
        name: checks.written(value)
        for name, value in {"activity": activity.name, "count": count, **values, **own}.items()
        if value != ANY
    }
    if recipe.redrawn:
        texts["redrawn"] = ",".join(f"{k}:{seed}" for k, seed in recipe.redrawn)
    if work.name_of(recipe) != work.usual:
        texts["weights"] = work.name_of(recipe)
    return texts


def activity_from_link(query: str, work: Work) -> Recipe | None:
    """The recipe that a link of the Lab asks for, or BadInput; None where it asks for nothing there."""
    texts = {name: texts[-1] for name, texts in parse_qs(query.removeprefix("?"), keep_blank_values=True).items()}
    if "activity" not in texts:
        return None
    name = checks.choice("activity", texts["activity"], (Anagram.name, Hybrid.name, Morph.name))
    pipe = work.pipe(texts.get("weights", work.usual))
    values: dict[str, Any] = {each: SETTINGS[each].values.read(texts[each]) for each in SETTINGS if each in texts}
    own = _own(name)
    values |= {each: own[each].values.read(texts[key]) for each in own if (key := f"{name}.{each}") in texts}
    values |= {each: checks.typed(texts[each]) for each in ("count", "frames") if each in texts}
    if "views" in texts and name == Anagram.name:
        values["views"] = texts["views"].split(",")
    if name == Morph.name:
        values.pop("count", None)
    else:
        values.pop("frames", None)
    digits = [checks.typed(digit) for digit in texts.get("digits", "").split(",") if digit]
    redrawn: Any = tuple(_pair(pair) for pair in texts.get("redrawn", "").split(",") if pair)
    return replace(RECIPES[name](pipe, digits, **values), redrawn=redrawn)


def _own(name: str) -> dict[str, Setting]:
    """The settings of an activity that a link holds: numbers and words."""
    several = ("digits", "digit", "views", "weights", "guidance", "images", "seeds", "moments")
    return {each: setting for each, setting in ACTIVITIES[name].settings().items() if each not in several}


def _pair(text: str) -> list[float | str]:
    return [checks.typed(part) for part in text.split(":")]
