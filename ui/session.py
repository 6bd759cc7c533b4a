"""What the page remembers of one visitor: the runs of the session, and what is to be drawn next."""

import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Lock
from typing import Any

import numpy as np

from diffusion import BadInput, Pipeline, Recipe, Result, checks
from diffusion.evaluation import readback
from diffusion.evaluation.readback import Reading
from ui import request

Places = list[list[list[float]]]
"""On a map: of each frame and tile, x and y."""

MAX_RUNS = 8
MAX_BYTES = 32_000_000  # of their frames


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run draws: all of its recipe, or some tiles of it again, among those of an earlier run."""

    recipe: Recipe
    prompt: str
    columns: int  # 0 where the prompt leaves them open
    note: str = ""  # a line that explains it
    base: Result | None = None  # the earlier run
    again: tuple[int, ...] = ()  # the tiles of it that are drawn again
    rounds: int = 0  # of a morph, that even it before it is drawn

    @property
    def part(self) -> Recipe:
        """What the network has to draw."""
        if not self.base:
            return self.recipe
        seeds = [self.recipe.seeds[k] for k in self.again]
        return replace(self.recipe.some(self.again, seeds), seed=seeds[0])

    def now(self, images: np.ndarray) -> np.ndarray:
        """What there is to see while the part is drawn: uint8 (N, H, W[, 3])."""
        if not self.base:
            return images
        every = self.base.images.copy()
        every[list(self.again)] = images
        return every

    def whole(self, part: Result) -> Result:
        """The result, with what was there before."""
        result = self.base or part
        for n, k in enumerate(self.again):
            result = result.with_image(k, part.alone(n))
        return result


@dataclass(eq=False)
class Drawn:
    """A finished run."""

    plan: Plan
    result: Result
    looks: list[list[Reading]] | None = None  # what is read in each image, for each way to look, where that was wanted
    drawn: int = 0  # how many images it took until they read right, where that was wanted
    number: int = field(default_factory=count().__next__)
    places: Places | None = None  # of its guesses on the map, once they are known
    gif: str = ""  # the path of its GIF, once that is made
    making: Lock = field(default_factory=Lock)  # held while it is made: it is shown, and downloaded, and made once

    @property
    def readings(self) -> list[Reading] | None:
        """What is read in each image: the worst of its looks."""
        return None if self.looks is None else readback.worst(self.looks)


@dataclass(eq=False)
class Session:
    """One visitor's own. Gradio makes one for each, and drops it an hour after the page was closed."""

    runs: list[Drawn] = field(default_factory=list)  # the newest last
    shown: Drawn | None = None
    earlier: list[Recipe] = field(default_factory=list)  # the runs of earlier visits, the newest last
    wanted: Recipe | None = None  # what the controls were restored from: it may say more than they can
    for_lab: Recipe | None = None  # what was opened and belongs into the tab Lab
    again: int | None = None  # the tile to draw again from another seed
    note: str = ""  # for the next run

    def add(self, drawn: Drawn, instead: bool = False) -> None:
        """Keep a run, and forget the oldest ones that are too many.

        Args:
            instead: of the last one, where that has the same digits from the same noise, by the same weights.
        """
        self.shown = drawn
        recipe = drawn.result.recipe
        if instead and self.runs:
            last = self.runs[-1].result.recipe
            if (last.digits, last.seeds, last.weights) == (recipe.digits, recipe.seeds, recipe.weights):
                del self.runs[-1]
        self.runs.append(drawn)
        while len(self.runs) > MAX_RUNS or (len(self.runs) > 1 and self.bytes > MAX_BYTES):
            del self.runs[0]

    @property
    def recipes(self) -> list[Recipe]:
        """What is worth remembering until the next visit, the newest last."""
        every = [*self.earlier, *(run.result.recipe for run in self.runs)]
        return [recipe for k, recipe in enumerate(every) if recipe not in every[k + 1 :]][-MAX_RUNS:]

    def remember(self, texts: Any) -> None:
        """Take what a browser kept of earlier visits, recipes as JSON, as far as they can be read."""
        for text in texts if isinstance(texts, list) else ():
            with suppress(BadInput):
                self.earlier.append(Recipe.from_json(text))
        self.earlier = self.recipes

    def with_own_seeds(self, recipe: Recipe, instant: bool = False) -> Recipe:
        """Other settings for the digits that are shown leave the seeds alone that single ones were redrawn from.

        The same settings once more begin anew, but not with instant weights: there one drags to and fro.
        """
        shown = self.shown.result.recipe if self.shown else recipe
        anew = replace(shown, redrawn=()) == recipe and not instant
        if anew or (shown.digits, shown.seed) != (recipe.digits, recipe.seed):
            return recipe
        return replace(recipe, redrawn=shown.redrawn)

    def plan(self, values: dict[str, Any], pipe: Pipeline, new_seed: bool) -> Plan:
        """What the press of the button asks for, or BadInput.

        Args:
            values: what the controls say, by name.
            new_seed: whether another seed than theirs is wanted.
        """
        wanted, again, note, base = self.wanted, self.again, self.note, self.shown
        self.wanted, self.again, self.note = None, None, ""
        if again is not None and base is not None:
            recipe = base.result.recipe.with_seed(again, random.randint(0, checks.MAX_SEED))
            return replace(base.plan, recipe=recipe, base=base.result, again=(again,))
        if new_seed:
            values = values | {"seed": random.randint(0, checks.MAX_SEED)}
        prompt = values["digits"]
        recipe = request.recipe(values, pipe)
        if wanted and request.values(wanted, pipe.names, prompt) == values:
            recipe = request.drawn_with(wanted, pipe)
        else:
            recipe = self.with_own_seeds(recipe, instant=pipe.offer.instant)
        return Plan(recipe, prompt, request.columns(prompt), note)

    @property
    def bytes(self) -> int:
        return sum(run.result.frames.nbytes + run.result.guesses.nbytes for run in self.runs)

    def run(self, number: object) -> Drawn | None:
        return next((run for run in self.runs if run.number == number), None)
