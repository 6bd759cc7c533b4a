"""Links that draw a run again: a recipe -> the query of an address, and back."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from diffusion import BadInput, Recipe, checks
from diffusion.recipe import SETTINGS
from diffusion.style import ANY
from ui import request
from ui.work import Work

NAMES = ("digits", "count", *SETTINGS, "redrawn", "weights")  # in a link; others mean nothing there


def link(recipe: Recipe, prompt: str, work: Work) -> str:
    """The query that draws a run again, like "?digits=777&count=1&guidance=2"."""
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


def _pair(text: str) -> list[float | str]:
    return [checks.typed(part) for part in text.split(":")]
