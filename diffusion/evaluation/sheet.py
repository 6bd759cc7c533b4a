"""An X/Y sheet: the same noise drawn with one setting changing along x and another along y, as one labelled picture.

sheet = Sheet(pipe, Recipe((7,)), x=("steps", [4, 10, 50]), y=("guidance", [1, 2, 4]))
for done in sheet: ...  # a cell at a time: sheet.picture is what there is so far
sheet.save("sheet.png")
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffusion import checks, prompts
from diffusion.files import render
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS, Recipe
from diffusion.style import ANY, HOW, WORDS

AXES = ("digits", *(name for name, setting in SETTINGS.items() if name != "guidance_interval"))
MAX_VALUES = 20  # along an axis
MAX_IMAGES = 400  # on a sheet
CELL = 112  # pixels: the shorter side of a cell, at least
GAP = 10  # pixels around cells and labels
TEXT = 18  # pixels: the height of the letters
DARK, BLACK, WHITE = (40, 40, 40), (0, 0, 0), (255, 255, 255)  # behind the cells, cells to come, labels

Axis = tuple[str, Sequence[Any]]
"""What changes, one of AXES, and its values in order."""


def axis(name: str, values: str, names: Sequence[str] = ()) -> Axis:
    """An axis from its values as they are written: "4,10,50", or as a prompt for digits, which have these names."""
    if name == "digits":
        return name, prompts.digits(values, names)
    checks.choice("An axis", name, AXES)
    return name, [SETTINGS[name].values.read(part.strip()) for part in values.split(",") if part.strip()]


class Sheet(Iterator[int]):
    """A sheet under way: an iterator over its cells, row by row, that gives how many are done.

    Every cell draws the digits of the recipe from the same seeds, unless seeds are compared. Where digits are compared,
    all images of a cell are of that digit.

    Args:
        recipe: what stays the same.
        x, y: what changes from left to right, and from top to bottom.

    Raises BadInput for other axes, for values that no run can have, and for more than 400 images.
    """

    def __init__(self, pipe: Pipeline, recipe: Recipe, x: Axis, y: Axis):
        if x[0] == y[0]:
            raise checks.BadInput(f"Both axes are {checks.shown(x[0])}: choose two settings to compare.")
        for name, word in product((x[0], y[0]), (word for _, word in recipe.words)):
            if WORDS[word][0] == name:
                raise checks.BadInput(f"{word} says the {name} already: leave the word out, or compare something else.")
        self.pipe = pipe
        self.recipe = replace(recipe, weights=pipe.weights)
        self._across, self._down = (_changes(recipe, *axis) for axis in (x, y))
        self.recipes = [_drawable(replace(recipe, **(one | other))) for other in self._down for one in self._across]
        images = len(self) * len(recipe.digits)
        if images > MAX_IMAGES:
            raise checks.BadInput(f"A sheet holds at most {MAX_IMAGES} images, not {images:,}: give fewer values.")
        for cell in self.recipes:
            pipe.check(cell)
        self._evaluations = [pipe.evaluations(cell) for cell in self.recipes]
        _, height, width = pipe.model.shape
        self._columns = ceil(sqrt(len(recipe.digits)))
        sides = render.grid(np.zeros((len(recipe.digits), height, width), np.uint8), self._columns, scale=1).shape
        self._scale = max(2, ceil(CELL / min(sides)))
        self._size = sides[0] * self._scale, sides[1] * self._scale  # height and width of a cell
        self._cells: list[np.ndarray] = []  # pictures, as far as they are drawn

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self.recipes)

    def __next__(self) -> int:
        if len(self._cells) == len(self):
            raise StopIteration
        for _ in self.cell():
            pass
        return len(self._cells)

    def cell(self) -> Iterator[None]:
        """Draw the next cell, as an iterator that can be left at any step of it."""
        run = self.pipe.run(self.recipes[len(self._cells)])
        for _ in run:
            yield
        result = run.result()
        self._cells.append(render.grid(result.on_one_line(result.images), self._columns, self._scale))

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1: cells of few steps are quick."""
        return sum(self._evaluations[: len(self._cells)]) / (sum(self._evaluations) or 1)  # some ask for nothing

    @property
    def picture(self) -> np.ndarray:
        """The sheet as far as it is drawn, uint8 (H, W, 3): cells to come are black, and its size stays."""
        height, width = self._size
        font = ImageFont.load_default(TEXT)
        across, down = ([self._label(change) for change in changes] for changes in (self._across, self._down))
        column = max(width, *(ceil(font.getlength(label)) for label in across)) + GAP  # as wide as its label
        row = height + GAP
        left = max(ceil(font.getlength(label)) for label in down) + 2 * GAP
        top = TEXT + 2 * GAP
        sheet = Image.new("RGB", (left + len(across) * column, top + len(down) * row), DARK)
        pen = ImageDraw.Draw(sheet)
        for k, label in enumerate(across):
            pen.text((left + k * column + (column - GAP) / 2, top - GAP), label, WHITE, font, "ms")
        for k, label in enumerate(down):
            pen.text((left - GAP, top + k * row + height / 2), label, WHITE, font, "rm")
        for k in range(len(self)):
            x = left + k % len(across) * column + (column - GAP - width) // 2
            y = top + k // len(across) * row
            drawn = k < len(self._cells)
            sheet.paste(Image.fromarray(self._cells[k]) if drawn else BLACK, (x, y, x + width, y + height))
        return np.asarray(sheet)

    def save(self, path: str | Path) -> None:
        """Write a PNG with its texts; cells to come are drawn first."""
        checks.ending(path, [".png"])
        for _ in self:
            pass
        render.save_png(path, self.picture, **self.texts)

    @property
    def texts(self) -> dict[str, str]:
        """What its PNG says of it: "recipe" and "axes" (both JSON)."""
        axes = {name: _values(changes) for name, changes in {"x": self._across, "y": self._down}.items()}
        return {"recipe": self.recipe.to_json(), "axes": json.dumps(axes)}

    def _label(self, change: dict[str, Any]) -> str:
        [(name, value)] = _values([change]).items()
        return self.pipe.names[value[0]] if name == "digits" else f"{name} {value[0]}"


def _drawable(cell: Recipe) -> Recipe:
    """The recipe of a cell: at guidance 0, whatever comes is drawn, in any style."""
    anyhow: dict[str, Any] = dict.fromkeys(HOW, ANY)
    return cell if cell.guidance else replace(cell, words=(), **anyhow)


def _changes(recipe: Recipe, name: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """What each value of an axis changes in a recipe, checked."""
    checks.choice("An axis", name, AXES)
    if not isinstance(values, list | tuple | range) or not 1 <= len(values) <= MAX_VALUES:
        raise checks.BadInput(f"Give 1 to {MAX_VALUES} values of {name} to compare.")
    changes: list[dict[str, Any]] = []
    for value in values:
        if name == "digits":
            change: dict[str, Any] = {"digits": (value,) * len(recipe.digits)}
        else:
            change = {name: value}
        changed = replace(recipe, **change, redrawn=() if name == "seed" else recipe.redrawn)
        changes.append({name: getattr(changed, name)} | ({"redrawn": ()} if name == "seed" else {}))
    return changes


def _values(changes: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The name of an axis and its values, as they are written: a whole number without its point."""
    name = next(iter(changes[0]))
    values = [change[name][0] if name == "digits" else change[name] for change in changes]
    return {name: [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]}
