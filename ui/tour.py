"""What the tab Learn shows: six steps from a noisy image to a scribble that is finished, each drawn when it is asked for.

Each step says what it is about, is asked for with the one value that a visitor may change, and gives the recipe that
drew it, with which the tab Draw or the Lab goes on.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from diffusion import Pipeline, Recipe, Result, checks
from diffusion.data import to_uint8
from diffusion.lab import recipes
from diffusion.recipe import SETTINGS
from diffusion.scheduler import T
from ui import canvas, request, status
from ui.player import TRACKS, animation, png, titles
from ui.terms import term
from ui.work import Work

LABEL, NUMBER = 3, 2  # of the class that goes through the tour, and of its real image
LITTLE, LOT = 300, 850  # levels with a little and with a lot of noise
STEPS = (1, 2, 5, 20, 50)
SEED = 5  # to begin with
EVERYWHERE = {"guidance_interval": (0, T - 1)}
GUIDED_STEPS, ALIKE = 10, 5  # of the drawings at a guidance, and how many they are
GUIDANCE = 3.0  # to begin with
MOST_GUIDANCE = 8
STRENGTH, VERSIONS = 0.8, 4  # of a scribble


@dataclass(frozen=True)
class Shown:
    """What there is to see of a step: HTML or what a player shows, what drew it, and a line that says how."""

    view: Any
    recipe: Recipe
    said: str


@dataclass(frozen=True)
class Lesson:
    """A step of the tour.

    Attributes:
        name: in the row of steps.
        title: over its text.
        text: what it is about, as HTML.
        todo: the one thing to do, as HTML.
        draw: what it shows, of a value.
        on: the tab that goes on with it, draw or lab.
        waits: whether it takes many guesses, so that it stands in the queue.
    """

    name: str
    title: str
    text: str
    todo: str
    draw: Callable[[Any], Shown]
    on: str
    waits: bool = True


class Tour:
    """The steps as these weights do them.

    Attributes:
        label: the class that goes through the tour.
    """

    def __init__(self, work: Work):
        self.work, self.pipe = work, work.pipes[work.usual]
        self.label = min(LABEL, len(work.names) - 1)
        self.name = work.names[self.label]

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

    @property
    def lessons(self) -> dict[str, Lesson]:
        """The steps in order, by a name: those that need labels only where the weights know some."""
        worded = self.work.worded
        every = {
            "noise": Lesson(
                "Noise",
                worded("Noise a digit"),
                worded("The network learned from real digits with noise on them. ")
                + f"The {term('noise level', 'tour-1')} says how much of either there is.",
                worded(f"Drag the noise level up to {T - 1}, where nothing of the digit is left."),
                self.noise,
                "lab",
                waits=False,
            ),
            "guess": Lesson(
                "One guess",
                "One guess",
                worded(
                    "All that it learned is to guess the digit under the noise. Under a little noise it sees the digit. "
                    "Under a lot, many digits may lie there, and its best guess is their mean: a blur."
                ),
                "Press <b>Other noise</b> a few times: one guess stays, the other changes.",
                self.guess,
                "lab",
                waits=False,
            ),
            "steps": Lesson(
                "Many steps",
                "Many steps",
                f"So one guess is not trusted. Each {term('step', 'tour-3')} goes only a part of the way towards it, and "
                f"the next guess is a better one; how, the {term('sampler', 'tour-3')} says. "
                + worded("Out of pure noise comes a digit that nobody wrote."),
                "Choose 1 step, the blur of before. Then 2, 5 and 50.",
                self.steps,
                "draw",
            ),
            "guidance": Lesson(
                "Guidance",
                "Guidance",
                f"The network guesses twice: <i>u</i> when it is told nothing, <i>c</i> when it is told {self.name}. "
                f"{term('guidance', 'tour-4', 'Guidance')} goes from <i>u</i> to <i>c</i> and on in that direction: "
                "what is drawn becomes clearer, and more alike.",
                f"Drag the guidance from 1, where it is off, to {MOST_GUIDANCE}.",
                self.guidance,
                "draw",
            ),
            "same": Lesson(
                "Same noise",
                worded("The same noise, another digit"),
                f"All of these began as the same noise, made from one {term('seed', 'tour-5')}. What they are, the "
                "network was told; what they look like, the noise decided"
                + (": thick or thin, slanted or upright." if self.work.things == "digits" else "."),
                "Press <b>Other noise</b>, and see what they have in common.",
                self.same,
                "draw",
            ),
            "scribble": Lesson(
                "Scribble",
                "Your scribble, finished",
                "The steps need not begin at pure noise. Here they begin at your scribble with noise on it: what shows "
                "through stays, and the network draws the rest.",
                worded("Scribble on this half of a digit, or clear it first, and say what it is to be."),
                self.scribble,
                "lab",
            ),
        }
        return {key: each for key, each in every.items() if self.pipe.offer.knows_labels or key not in NAMED}

    # The steps

    def noise(self, level: Any) -> Shown:
        """The picture at a level, as a sum."""
        recipe = self._drawn(recipes.forward(self.pipe, self.picture, levels=[level], seed=SEED))
        began = time.monotonic()
        noisy, _ = self.work.noised(recipe)[-1]
        at = noisy.level
        eps = (noisy.x - at.alpha * noisy.clean) / at.sigma
        sum_ = _sum(
            _figure(noisy.clean, "the picture", "picture x<sub>0</sub>", f"{at.alpha:.2f} ×"),
            "+",
            _figure(eps, "noise", "noise", f"{at.sigma:.2f} ×"),
            "=",
            _figure(noisy.x, f"the picture at noise level {at.index}", f"noisy x<sub>{at.index}</sub>", "&nbsp;"),
        )
        formula = _formula(
            f"x<sub>{at.index}</sub> = {at.alpha:.2f} · x<sub>0</sub> + {at.sigma:.2f} · noise",
            f"{100 * at.alpha**2 / (at.alpha**2 + at.sigma**2):.0f} % of its power is the picture",
        )
        return Shown(sum_ + formula, recipe, self._said(began))

    def guess(self, seed: Any) -> Shown:
        """A guess from a little noise, and one from a lot."""
        recipe = self._drawn(recipes.forward(self.pipe, self.picture, levels=[LITTLE, LOT], seed=seed))
        began = time.monotonic()
        panels = ""
        for (noisy, guess), amount in zip(self.work.noised(recipe), ("A little noise", "A lot of noise"), strict=True):
            at = noisy.level
            panels += f"<section><h3>{amount}</h3>" + _sum(
                _figure(noisy.x, f"the picture at noise level {at.index}", f"noisy x<sub>{at.index}</sub>"),
                "→",
                _figure(guess, f"the network's guess from noise level {at.index}", "guess"),
            )
            panels += _formula(
                f"x<sub>{at.index}</sub> = {at.alpha:.2f} · x<sub>0</sub> + {at.sigma:.2f} · noise",
                f"the guess is off by {100 * noisy.error(guess):.0f} %",
            )
            panels += "</section>"
        return Shown(f'<div class="beside">{panels}</div>', recipe, self._said(began, "2 guesses"))

    def steps(self, steps: Any) -> Shown:
        """The way from pure noise in so many steps, with the formula of each."""
        settings = {"steps": steps, "sampler": "ddim", "guidance": 1.0, "seed": SEED}
        recipe = self._drawn(self.pipe.recipe([self.label], **settings))
        began = time.monotonic()
        result = self._run(recipe)
        captions = [
            _stepped(step, recipe.steps, self.pipe.model.scheduler.level(level) if level >= 0 else None)
            for step, level in zip(result.steps, result.levels, strict=True)
        ]
        tracks = dict(zip(TRACKS, (result.frames, result.guesses), strict=True))
        tiles = [{"name": name} for name in titles(recipe, self.pipe.names)]
        shown = animation(
            tracks, captions, tiles, columns=1, plays=True, pace=max(70, 1600 // len(captions)), note="", zoomed=None
        )
        return Shown(shown, recipe, self._said(began, "1 guess" if steps == 1 else f"{recipe.steps} guesses"))

    def guidance(self, scale: Any) -> Shown:
        """The two guesses from pure noise, what guidance makes of them, and drawings without it and with it."""
        scale = checks.number("guidance", scale, 1, MOST_GUIDANCE)
        settings = {"seed": SEED, "steps": GUIDED_STEPS, **EVERYWHERE}
        recipe = self._drawn(self.pipe.recipe([self.label] * ALIKE, guidance=scale, **settings))
        began = time.monotonic()
        noise: Mapping[str, Any] = {"levels": [T - 1], "seed": SEED}
        [(_, u)] = self.work.noised(self._drawn(recipes.denoise(self.pipe, self.picture, **noise)))
        [(_, c)] = self.work.noised(
            self._drawn(recipes.denoise(self.pipe, self.picture, self.label, guidance=1.0, **noise))
        )
        guided = (u + scale * (c - u)).clamp(-1, 1)
        plain, more = (self._run(each).images for each in (replace(recipe, guidance=1.0), recipe))
        sum_ = _sum(
            _figure(u, "the guess told nothing", "told nothing: u"),
            f"+ {scale:.1f} · (",
            _figure(c, f"the guess told {self.name}", f"told {self.name}: c"),
            "− u) =",
            _figure(guided, f"the guess with guidance {scale:g}", "guided guess"),
        )
        formula = _formula(f"guided guess = u + {scale:.1f} · (c − u) = {scale:.1f} · c − {scale - 1:.1f} · u")
        rows = "".join(
            f"<h3>{title}</h3>{_row(images, self.name)}"
            for title, images in (
                ("Guidance 1: off", plain),
                (f"Guidance {scale:g}, from the same noise", more),
            )
        )
        said = self._said(began, f"twice {ALIKE} images in {GUIDED_STEPS} steps")
        return Shown(sum_ + formula + rows, recipe, said)

    def same(self, seed: Any) -> Shown:
        """All classes from the same noise, by weights of few steps where there are some."""
        seed = SETTINGS["seed"].check(seed)
        pipe = next((pipe for pipe in self.work.pipes.values() if pipe.offer.instant), self.pipe)
        wanted = pipe.recipe(range(min(len(pipe.names), 10)), seed=seed)
        recipe = wanted.drawn_from([seed] * len(wanted.digits), pipe.weights)
        began = time.monotonic()
        result = self._run(recipe)
        noise = (
            f"<figure>{_image(result.frames[0][0], f'the noise of seed {seed}')}<figcaption>noise</figcaption></figure>"
        )
        tiles = "".join(
            f"<figure>{_image(image, pipe.names[label])}<figcaption>{pipe.names[label]}</figcaption></figure>"
            for image, label in zip(result.images, recipe.digits, strict=True)
        )
        top = pipe.model.scheduler.level(T - 1)
        formula = _formula(f"x<sub>{T - 1}</sub> = {top.sigma:.2f} · noise(seed {seed}), for all of them")
        view = f'<div class="from-one">{noise}<b aria-hidden="true">→</b><div class="many">{tiles}</div></div>{formula}'
        return Shown(view, recipe, self._said(began, f"{len(wanted.digits)} images in {recipe.steps} steps", pipe))

    def scribble(self, drawn: Any, label: Any) -> Shown:
        """A scribble, finished as a class, some times."""
        pixels = canvas.pixels(drawn, self.pipe.model.shape)
        settings: dict[str, Any] = {"count": VERSIONS, "seed": SEED}
        recipe = self._drawn(recipes.edit(self.pipe, pixels, label, STRENGTH, **settings))
        began = time.monotonic()
        result = self._run(recipe)
        at = self.pipe.model.scheduler.level(result.levels[0])
        start = f"<figure>{_image(result.frames[0][0], 'the scribble with noise on it')}<figcaption>noisy</figcaption></figure>"
        name = self.pipe.names[recipe.digits[0]]
        view = f'<div class="from-one few">{start}<b aria-hidden="true">→</b>{_row(result.images, name)}</div>'
        formula = _formula(
            f"x<sub>{at.index}</sub> = {at.alpha:.2f} · scribble + {at.sigma:.2f} · noise",
            f"then {result.steps[-1]} of {recipe.steps} steps to 0",
        )
        return Shown(view + formula, recipe, self._said(began, f"{VERSIONS} images in {result.steps[-1]} steps"))

    # What they share

    def _drawn(self, recipe: Recipe) -> Recipe:
        return request.drawn_with(recipe, self.pipe)

    def _run(self, recipe: Recipe) -> Result:
        *_, result = self.work.run(recipe)
        assert isinstance(result, Result)
        return result

    def _said(self, began: float, what: str = "", pipe: Pipeline | None = None) -> str:
        """What the network did for it since it began, and which one."""
        weights = "Instant" if (pipe or self.pipe).offer.instant else "Quality"
        by = f" by the weights {weights}" if len(self.work.pipes) > 1 else ""
        drawn = f": {what}{by}" if what else ""
        return status.line(f"Computed just now{drawn} in {time.monotonic() - began:.2f} s.", done=1)


NAMED = ("guidance", "same")  # steps of the tour that say what to draw


def new_seed() -> int:
    return random.randint(0, checks.MAX_SEED)


def _stepped(step: int, steps: int, level: Any) -> str:
    """What there is to see after a step."""
    if step == 0:
        return f"Pure noise, x{level.index}"
    if level is None:
        return f"Step {step} of {steps}: x = guess"
    return f"Step {step} of {steps}: x{level.index} = {level.alpha:.2f} · guess + {level.sigma:.2f} · noise"


def _figure(image: Tensor, about: str, title: str, over: str = "") -> str:
    """The first of some images (B, C, H, W), with what a screen reader says, and what stands below and above it."""
    above = f'<span class="over">{over}</span>' if over else ""
    pixels = to_uint8(image[:1]).cpu().numpy()[0]
    return f"<figure>{above}{_image(pixels, about)}<figcaption>{title}</figcaption></figure>"


def _image(pixels: np.ndarray, about: str) -> str:
    return f'<img src="{png(pixels)}" alt="{about}">'


def _sum(*parts: str) -> str:
    """Figures, and signs between them."""
    shown = (part if part.startswith("<") else f"<b>{part}</b>" for part in parts)
    return f'<div class="sum">{"".join(shown)}</div>'


def _row(images: np.ndarray, name: str) -> str:
    tiles = "".join(_image(image, f"{name}, drawn") for image in images)
    return f'<div class="many">{tiles}</div>'


def _formula(*parts: str) -> str:
    return f'<p class="numbers">{"".join(f"<span>{part}</span>" for part in parts)}</p>'
