"""What the tab Learn shows: six steps from a noisy image to a finished scribble, each drawn when it is asked for.

Each step is asked for with what a visitor may change, and gives the recipe that drew it, with which the tab Draw or the
Lab goes on. What is said of the steps is in lessons.py.
"""

import random
import time
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from diffusion import Pipeline, Recipe, Result, checks
from diffusion.guidance import EVERYWHERE
from diffusion.lab import recipes
from diffusion.lab.noise_panels import pixels
from diffusion.recipe import SETTINGS
from diffusion.scheduler import Level, T
from ui import canvas, request, status
from ui.figures import become, figure, formula, many, summed
from ui.player import TRACKS, animation, titles
from ui.work import Work

LABEL, NUMBER = 3, 2  # of the class that goes through the tour, and of its real image
LITTLE, LOT = 300, 850  # levels with a little and with a lot of noise
STEPS = (1, 2, 5, 20, 50)
SEED = 5  # to begin with
GUIDED_STEPS, ALIKE = 10, 5  # of the drawings at a guidance, and how many they are
GUIDANCE = 3.0  # to begin with
MOST_GUIDANCE = 8
STRENGTH, VERSIONS = 0.8, 4  # of a scribble
MOST_CLASSES = 10  # from the same noise
FILM_MS = 1600  # the way from noise to image, unless its steps are many


@dataclass(frozen=True)
class Shown:
    """What there is to see of a step: HTML or what a player shows, what drew it, and a line that says how."""

    view: Any
    recipe: Recipe
    said: str


class Tour:
    """The steps as these weights do them.

    Attributes:
        label: the class that goes through the tour.
    """

    def __init__(self, work: Work):
        self.work, self.pipe = work, work.pipes[work.usual]
        self.label = min(LABEL, len(work.names) - 1)
        self.names = [escape(name) for name in work.names]
        self.name = self.names[self.label]

    @cached_property
    def picture(self) -> np.ndarray:
        """What is noised, uint8 (H, W[, 3]): a real image, or one that the network draws where there is none here."""
        if canvas.offered(self.pipe):
            return canvas.real_digit(self.label, NUMBER, self.work.things)
        return self._run(self.pipe.recipe([self.label])).images[0]

    @property
    def unfinished(self) -> np.ndarray | None:
        """The upper half of that, as a scribble to begin with, where it is real."""
        if not canvas.offered(self.pipe):
            return None
        picture = self.picture.copy()
        picture[len(picture) // 2 :] = 0
        return picture

    # The steps

    def noise(self, level: Any) -> Shown:
        """The picture at a level, as a sum."""
        recipe = self._drawn(recipes.forward(self.pipe, self.picture, levels=[level], seed=SEED))
        began = time.monotonic()
        noisy, _ = self.work.noised(recipe)[-1]
        at = noisy.level
        eps = (noisy.x - at.alpha * noisy.clean) / at.sigma
        view = summed(
            figure(pixels(noisy.clean)[0], "the picture", "picture x<sub>0</sub>", f"{at.alpha:.2f} &times;"),
            "+",
            figure(pixels(eps)[0], "noise", "noise", f"{at.sigma:.2f} &times;"),
            "=",
            figure(pixels(noisy.x)[0], f"the picture at noise level {at.index}", f"noisy {_x(at)}", "&nbsp;"),
        )
        share = at.alpha**2 / (at.alpha**2 + at.sigma**2)
        numbers = formula(_mixed(at, "x<sub>0</sub>"), f"{100 * share:.0f} % of its power is the picture")
        return Shown(view + numbers, recipe, self._said(began))

    def guess(self, seed: Any) -> Shown:
        """A guess from a little noise, and one from a lot."""
        recipe = self._drawn(recipes.forward(self.pipe, self.picture, levels=[LITTLE, LOT], seed=seed))
        began = time.monotonic()
        view = ""
        for (noisy, guess), amount in zip(self.work.noised(recipe), ("A little noise", "A lot of noise"), strict=True):
            at = noisy.level
            pair = summed(
                figure(pixels(noisy.x)[0], f"the picture at noise level {at.index}", f"noisy {_x(at)}"),
                "→",
                figure(pixels(guess)[0], f"the guess from noise level {at.index}", "guess"),
            )
            off = f"error of the guess: {noisy.error(guess):.3f}"
            view += f"<section><h3>{amount}</h3>{pair}{formula(_mixed(at, 'x<sub>0</sub>'), off)}</section>"
        return Shown(f'<div class="beside">{view}</div>', recipe, self._said(began, "2 guesses"))

    def steps(self, steps: Any) -> Shown:
        """The way from pure noise in so many steps, with the formula of each."""
        guidance = 1.0 if self.pipe.offer.knows_labels else 0.0
        settings: dict[str, Any] = {"steps": steps, "sampler": "ddim", "guidance": guidance, "seed": SEED}
        recipe = self._drawn(self.pipe.recipe([self.label], **settings))
        began = time.monotonic()
        result = self._run(recipe)
        scheduler = self.pipe.model.scheduler
        captions = [
            _stepped(step, recipe.steps, scheduler.level(level) if level >= 0 else None)
            for step, level in zip(result.steps, result.levels, strict=True)
        ]
        view = animation(
            dict(zip(TRACKS, (result.frames, result.guesses), strict=True)),
            captions,
            [{"name": name} for name in titles(recipe, self.pipe.names)],
            columns=1,
            plays=True,
            pace=max(70, FILM_MS // len(captions)),
        )
        return Shown(view, recipe, self._said(began, "1 guess" if recipe.steps == 1 else f"{recipe.steps} guesses"))

    def guidance(self, scale: Any) -> Shown:
        """The two guesses from pure noise, what guidance makes of them, and drawings without it and with it."""
        scale = checks.number("guidance", scale, 1, MOST_GUIDANCE)
        settings: dict[str, Any] = {"seed": SEED, "steps": GUIDED_STEPS, "guidance_interval": EVERYWHERE}
        recipe = self._drawn(self.pipe.recipe([self.label] * ALIKE, guidance=scale, **settings))
        began = time.monotonic()
        nothing: dict[str, Any] = {"levels": [T - 1], "seed": SEED}
        told = nothing | {"digits": self.label, "guidance": 1.0}
        [(_, u)], [(_, c)] = (
            self.work.noised(self._drawn(recipes.denoise(self.pipe, self.picture, **each))) for each in (nothing, told)
        )
        guided = (u + scale * (c - u)).clamp(-1, 1)
        view = summed(
            figure(pixels(u)[0], "the guess when told nothing", "told nothing: u"),
            f"+ {scale:.1f} · (",
            figure(pixels(c)[0], f"the guess when told {self.name}", f"told {self.name}: c"),
            "&minus; u) =",
            figure(pixels(guided)[0], f"the guess with guidance {scale:g}", "guided guess"),
        )
        view += formula(f"u + {scale:.1f} · (c &minus; u) = {scale:.1f} · c &minus; {scale - 1:.1f} · u")
        for title, one in (
            ("Guidance 1: off", replace(recipe, guidance=1.0)),
            (f"Guidance {scale:g}, from the same noise", recipe),
        ):
            drawn = many(figure(image, f"{self.name}, drawn") for image in self._run(one).images)
            view += f"<h3>{title}</h3>{drawn}"
        return Shown(view, recipe, self._said(began, f"twice {ALIKE} images in {GUIDED_STEPS} steps"))

    def same(self, seed: Any) -> Shown:
        """All classes from the same noise, by weights of few steps where there are some."""
        seed = SETTINGS["seed"].check(seed)
        pipe = next((pipe for pipe in self.work.pipes.values() if pipe.offer.instant), self.pipe)
        wanted = pipe.recipe(range(min(len(pipe.names), MOST_CLASSES)), seed=seed)
        recipe = wanted.drawn_from([seed] * len(wanted.digits), pipe.weights)
        began = time.monotonic()
        result = self._run(recipe)
        tiles = (figure(image, name, name) for image, name in zip(result.images, self.names, strict=False))
        noise = figure(result.frames[0][0], f"the noise of seed {seed}", "noise")
        sigma = pipe.model.scheduler.level(T - 1).sigma
        numbers = formula(f"x<sub>{T - 1}</sub> = {sigma:.2f} · noise(seed {seed}), for all of them")
        said = self._said(began, f"{len(wanted.digits)} images in {recipe.steps} steps", pipe)
        return Shown(become(noise, many(tiles)) + numbers, recipe, said)

    def scribble(self, drawn: Any, label: Any) -> Shown:
        """A scribble, finished as a class, some times."""
        scribble = canvas.pixels(drawn, self.pipe.model.shape)
        settings: dict[str, Any] = {"count": VERSIONS, "seed": SEED}
        recipe = self._drawn(
            recipes.edit(self.pipe, scribble, label if self.pipe.offer.knows_labels else None, STRENGTH, **settings)
        )
        began = time.monotonic()
        result = self._run(recipe)
        done, at = result.steps[-1], self.pipe.model.scheduler.level(result.levels[0])
        start = figure(result.frames[0][0], "the scribble with noise on it", f"noisy {_x(at)}")
        finished = many(figure(image, f"{self.names[recipe.digits[0]]}, drawn") for image in result.images)
        numbers = formula(_mixed(at, "scribble"), f"then {done} of {recipe.steps} steps down to 0")
        said = self._said(began, f"{VERSIONS} images in {done} steps")
        return Shown(become(start, finished, "few") + numbers, recipe, said)

    # What they share

    def _drawn(self, recipe: Recipe) -> Recipe:
        return request.drawn_with(recipe, self.pipe)

    def _run(self, recipe: Recipe) -> Result:
        *_, result = self.work.run(recipe)
        assert isinstance(result, Result)
        return result

    def _said(self, began: float, what: str = "", pipe: Pipeline | None = None) -> str:
        """What the network did since a step began, and which weights."""
        weights = "Instant" if (pipe or self.pipe).offer.instant else "Quality"
        by = f" by the weights {weights}" if len(self.work.pipes) > 1 else ""
        drawn = f": {what}{by}" if what else ""
        return status.line(f"Computed just now{drawn} in {time.monotonic() - began:.2f} s.", done=1)


def new_seed() -> int:
    return random.randint(0, checks.MAX_SEED)


def _x(level: Level) -> str:
    return f"x<sub>{level.index}</sub>"


def _mixed(level: Level, clean: str) -> str:
    """The forward process with a level's numbers."""
    return f"{_x(level)} = {level.alpha:.2f} · {clean} + {level.sigma:.2f} · noise"


def _stepped(step: int, steps: int, level: Level | None) -> str:
    """Where a step went, in the formula of DDIM; None is below level 0. A player shows it as it is, without HTML."""
    if level is None:
        return f"Step {step} of {steps}: x = guess"
    if step == 0:
        return f"Pure noise, x{level.index}"
    return f"Step {step} of {steps}: x{level.index} = {level.alpha:.2f} · guess + {level.sigma:.2f} · noise"
