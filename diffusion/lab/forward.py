"""The forward process, and three ways back: a blur, one guess, and many steps.

Only the last draws digits. The blur and the one guess are the best single answers, linear and not, in mean squared
error; both are means over all that an image may have been, and the noisier it is, the more these differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, log10
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from diffusion import checkpoint, checks
from diffusion.activity import Setup
from diffusion.data import to_uint8
from diffusion.lab.edit import WithPictures, noised
from diffusion.lab.illusions import low_pass
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe
from diffusion.result import Result, Run
from diffusion.scheduler import CLEAN, Level, T
from diffusion.settings import Choice, Several, Whole, setting

RADII = tuple(round(0.3 * 1.15**k, 3) for k in range(24))  # of the blurs that are tried: 0.3 to 7.5 pixels
STRIDE = 30  # levels between the guesses of many steps
OWN = "own"  # one step by the network that takes many, too


LEVELS = setting(
    Several(Whole(0, T - 1), 1, T),
    (250, 500, 750),
    "the noise levels, in order",
    meaning=f"How much noise an image has: almost none at 0, and nothing but noise at {T - 1}.",
)


@dataclass(frozen=True)
class Forward(WithPictures, name="forward"):
    """Pictures at some noise levels. Its run goes back: each guess is the picture, which takes noise away."""

    levels: tuple[int, ...] = LEVELS

    defaults = MappingProxyType({"sampler": "ddim", "steps": 40})
    options = ("levels",)
    readable = retried = False

    def __post_init__(self) -> None:
        super().__post_init__()
        rising(self.levels)

    def guessed_at(self, path: Sequence[int]) -> Sequence[int]:
        return ()

    def edit(self, setup: Setup) -> Setup:
        clean = self.clean(setup)
        start = noised(clean, setup.eps, setup.levels[0])
        return replace(setup, denoise=lambda x, i: clean, start=start)


@dataclass(frozen=True)
class Denoising(WithPictures, name="denoise"):
    """Pictures at some noise levels, and three ways back. Its run denoises them from the last level."""

    levels: tuple[int, ...] = LEVELS
    stride: int = setting(Whole(0, T), STRIDE, "levels between guesses on the way back; 0 takes the recipe's steps")
    one_step: str = setting(
        Choice((OWN, checkpoint.ONE_GUESS)),
        OWN,
        "whose single guess: that of the same network, or of a small one that was trained for one guess at level 499",
    )

    options = ("levels", "stride", "one_step")
    retried = False
    any_level = True

    def __post_init__(self) -> None:
        super().__post_init__()
        rising(self.levels)

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        super().check(digits, shape, classes)
        if self.one_step != OWN and shape != guesser(self.one_step).model.shape:
            raise checks.BadInput(f"{self.one_step} knows images of another shape than these weights: leave it out.")

    def guessed_at(self, path: Sequence[int]) -> Sequence[int]:
        return self.levels

    def path(self, levels: Sequence[Level]) -> Sequence[Level]:
        return [level for level in levels if level.index <= self.levels[-1]]

    def edit(self, setup: Setup) -> Setup:
        levels = self.path(setup.levels)
        return replace(setup, levels=levels, start=noised(self.clean(setup), setup.eps, levels[0]))


@dataclass(frozen=True)
class Noisy:
    """Images at a noise level, and what can be told from them.

    Attributes:
        level: its index, alpha and sigma.
        clean: the images that were noised, (B, C, H, W) in [-1, 1].
        x: alpha * clean + sigma * eps.
    """

    level: Level
    clean: Tensor
    x: Tensor

    @property
    def snr(self) -> float:
        """The ratio of signal to noise, alpha**2 / sigma**2."""
        return self.level.alpha**2 / self.level.sigma**2

    @property
    def ratio(self) -> str:
        """The same in decibels."""
        return f"{round(10 * log10(self.snr), 1) + 0:.1f} dB" if self.snr else "0"  # + 0: no -0.0

    @property
    def formula(self) -> str:
        """The forward process with this level's numbers."""
        alpha, sigma = self.level.alpha, self.level.sigma
        return f"x = {alpha:.3f} * x0 + {sigma:.3f} * noise; signal to noise {self.ratio}"

    @cached_property
    def radius(self) -> float:
        """That of the Gaussian blur that comes nearest to the clean images: found by trying, as they are known here."""
        return min(RADII, key=lambda radius: self.error(self.blurred(radius)))

    def blurred(self, radius: float) -> Tensor:
        """x blurred and set right in contrast: scale and shift are those of least squares, in closed form."""
        x = low_pass(self.x, radius)
        spread, mean = x - x.mean(), self.clean.mean()
        scale = (spread * (self.clean - mean)).mean() / spread.square().mean()
        return (mean + scale * spread).clamp(-1, 1)

    @property
    def blur(self) -> Tensor:
        """The best blur."""
        return self.blurred(self.radius)

    def error(self, guess: Tensor) -> float:
        """The root of the mean squared error of a guess of the clean images, in shares of black to white."""
        return float((guess - self.clean).square().mean().sqrt()) / 2

    def cpu(self) -> "Noisy":
        """The same, on the CPU."""
        return Noisy(self.level, self.clean.cpu(), self.x.cpu())


@dataclass(frozen=True)
class Denoised:
    """Images at a noise level, and what became of them: see `denoised`."""

    noisy: Noisy
    one_step: Tensor
    result: Result

    def cpu(self) -> "Denoised":
        """The same, on the CPU."""
        return replace(self, noisy=self.noisy.cpu(), one_step=self.one_step.cpu())

    def errors(self, images: np.ndarray) -> list[float]:
        """The root of the mean squared error of each of some images, uint8 (B, H, W[, 3]), from black to white."""
        clean = to_uint8(self.noisy.clean).cpu().numpy()
        off = (images.astype(float) - clean).reshape(len(images), -1) / 255
        return np.sqrt((off**2).mean(1)).tolist()


def denoised(pipe: Pipeline, recipe: Recipe) -> Iterator[Denoised]:
    """What a recipe with the activity `Denoising` asks for, a level after the other."""
    assert isinstance(recipe.activity, Denoising)
    for at in at_levels(pipe, recipe, recipe.activity.levels):
        result = many_steps(pipe, recipe, at, recipe.activity.stride).result()
        yield Denoised(at, one_step(pipe, recipe, at), result)


def denoising(pipe: Pipeline, recipe: Recipe) -> Run:
    """The run of many steps from the last of the levels that the activity `Denoising` names. Its recipe has none."""
    assert isinstance(recipe.activity, Denoising)
    [at] = at_levels(pipe, recipe, recipe.activity.levels[-1:])
    return many_steps(pipe, recipe, at, recipe.activity.stride)


def rising(levels: Sequence[int]) -> list[int]:
    """Noise levels in order, from little noise to much, or BadInput."""
    levels = [checks.whole("each of levels", level, 0, T - 1) for level in levels]
    if not levels or levels != sorted(set(levels)):
        raise checks.BadInput("levels must be one or more that rise, such as 250,500,750.")
    return levels


def noisy(pipe: Pipeline, clean: Tensor, level: int, eps: Tensor) -> Noisy:
    """Images (B, C, H, W) at a level in 0..999, with given noise: over all levels the same makes a smooth film."""
    at = pipe.model.scheduler.level(checks.whole("level", level, 0, T - 1))
    return Noisy(at, clean, noised(clean, eps, at))


def at_levels(pipe: Pipeline, recipe: Recipe, levels: Sequence[int]) -> list[Noisy]:
    """The pictures of a recipe at each of these noise levels, with its noise."""
    assert isinstance(recipe.activity, WithPictures)
    setup = pipe.setup(recipe)
    clean = recipe.activity.clean(setup)
    return [noisy(pipe, clean, level, setup.eps) for level in levels]


@torch.no_grad()
def one_step(pipe: Pipeline, recipe: Recipe, noisy: Noisy) -> Tensor:
    """The guess of the clean images (B, C, H, W) from that level at once, by the network or by whom the recipe says."""
    _full(pipe)
    by = recipe.activity.one_step if isinstance(recipe.activity, Denoising) else OWN
    if by != OWN:
        return guess_of(guesser(by, pipe.model.device), noisy)
    return pipe.setup(recipe).denoise(noisy.x, noisy.level.index)


def guesser(name: str, device: torch.device | str = "cpu") -> Pipeline:
    """A small network that ships and makes one guess."""
    return Pipeline.from_pretrained(name, device=device)


def guess_of(other: Pipeline, noisy: Noisy) -> Tensor:
    """The guess of a network whose schedule may be another one, and which is not told a digit.

    It sees the same images at the level with the nearest ratio of signal to noise, where they may be larger as a whole.
    """
    table, level = other.model.scheduler, noisy.level
    index = table.nearest(level.alpha / level.sigma)
    x = noisy.x * (table.level(index).sigma / level.sigma)
    nothing = other.model.null(torch.zeros(len(x), dtype=torch.int64, device=x.device))
    return other.model(x, index, nothing).clamp(-1, 1)


def many_steps(pipe: Pipeline, recipe: Recipe, noisy: Noisy, stride: int = STRIDE) -> Run:
    """The run that denoises them from that level on by the recipe's sampler.

    Args:
        stride: levels between guesses; 0 takes as many steps as the recipe.
    """
    _full(pipe)
    stride = checks.whole("stride", stride, 0, T) or ceil((noisy.level.index + 1) / recipe.steps)
    path = [pipe.model.scheduler.level(i) for i in range(noisy.level.index, -1, -stride)]
    return pipe.run(replace(recipe, activity=None), lambda setup: replace(setup, levels=[*path, CLEAN], start=noisy.x))


def _full(pipe: Pipeline) -> None:
    if pipe.offer.takes_guidance:
        raise checks.BadInput(
            "These weights know only a few steps from noise to images: to denoise from any level, choose the weights "
            "named bundled, which the page calls Quality."
        )
