"""Morphs: a way from one digit to another through digits, one image of the recipe for each moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion import checks
from diffusion.activity import Activity, Setup
from diffusion.data import to_float
from diffusion.lab import picture
from diffusion.lab.edit import noised
from diffusion.lab.illusions import LABEL
from diffusion.noise import Noise
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS, Recipe
from diffusion.result import Result
from diffusion.samplers import Denoise
from diffusion.scheduler import CPU_FLOAT64, Level
from diffusion.settings import Number, Several, Whole, setting

FRAMES = 24
MAX_FRAMES = 240
BLEND = 0.25  # of a new morph
EVENED = 2  # times that a new morph is drawn to find the moments between which nothing jumps
ROUNDS = 4  # of the fixed point that inverts a step of DDIM


@dataclass(frozen=True)
class Morph(Activity, name="morph"):
    """The images of a recipe as moments of a way through several digits, its stops.

    Between two stops the noise moves along the sphere (Shoemake 1985; Song et al. 2020, DDIM,
    https://arxiv.org/abs/2010.02502, appendix D.5). Around the middle of the way the guesses as the one and the other
    digit are blended; before and after, each image is guessed as one digit alone, which reads better and takes half as
    many evaluations. At a stop the image is exactly the digit that its seed draws. Stops that are pictures begin from
    the noise that DDIM's inversion finds for them.
    """

    images: tuple[str, ...] = setting(Several(picture.Packed()), (), "a picture for each stop, or none to draw them")
    digits: tuple[int, ...] = setting(Several(LABEL, 2, 100), (3, 8), "the digit of each stop")
    seeds: tuple[int, ...] = setting(Several(Whole(0, checks.MAX_SEED), 2, 100), (0, 1), "the seed of each stop")
    moments: tuple[float, ...] = setting(
        Several(Number(0, 99), 1, MAX_FRAMES), (0.0, 1.0), "where on the way each image lies: 0 is the first stop"
    )
    blend: float = setting(
        Number(0, 1),
        1.0,
        "on how much of the way from stop to stop, around its middle, the digit changes; 0 is at once",
    )

    defaults = MappingProxyType({"steps": 12, "guidance": 3.0, "guidance_interval": (400, 900)})  # without pictures
    retried = False
    one_hand = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seeds) != len(self.digits):
            raise checks.BadInput(f"A morph needs a seed for each of its {len(self.digits)} digits.")
        if self.images and len(self.images) != len(self.digits):
            raise checks.BadInput(f"A morph needs a picture for each of its {len(self.digits)} digits, or none.")
        if max(self.moments) > len(self.digits) - 1:
            raise checks.BadInput(f"The moments of this morph go from 0 to {len(self.digits) - 1}.")
        if not self.images and any(a == b for a, b in pairwise(zip(self.digits, self.seeds, strict=True))):
            raise checks.BadInput("A morph needs two digits that differ, or two seeds.")

    @property
    def any_level(self) -> bool:  # type: ignore[override]  # it depends on the pictures
        return bool(self.images)

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        checks.labels("digits", self.digits, classes)
        for each in self.images:
            picture.check_shape("The picture", picture.unpacked(each), shape)
        if len(self.moments) != len(digits):
            raise checks.BadInput(f"A morph of {len(self.moments)} images needs as many digits, not {len(digits)}.")

    def some(self, chosen: Sequence[int]) -> "Morph":
        return replace(self, moments=tuple(self.moments[k] for k in chosen))

    def edit(self, setup: Setup) -> Setup:
        device, shape = setup.start.device, tuple(setup.start.shape[1:])
        before = [min(int(moment), len(self.digits) - 2) for moment in self.moments]  # the stop before each moment
        after = [k + 1 for k in before]
        share = torch.tensor(self.moments, **CPU_FLOAT64) - torch.tensor(before, device="cpu")
        share = share.float().view(-1, 1, 1, 1).to(device)
        labels = torch.tensor(self.digits, device=device)
        arrived = self._arrived(share)
        guides = []  # for the digit before each image and for that after it: which images, how much, and the guess
        for label, weight in ((labels[before], 1 - arrived), (labels[after], arrived)):
            chosen = weight.flatten().nonzero().flatten()
            if len(chosen):
                guides.append((chosen, weight[chosen], setup.guide(label[chosen], images=chosen)))

        def denoise(x: Tensor, i: int) -> Tensor:
            x0 = torch.zeros_like(x)
            for chosen, weight, guess in guides:
                x0[chosen] += weight * guess(x[chosen], i)
            return x0

        stream = Noise(self.seeds, (shape[0], shape[1], shape[2]), device)

        def noise() -> Tensor:
            stops = stream()
            return slerp(stops[before], stops[after], share)

        start = noise() * max(1.0, setup.levels[0].sigma)
        if self.images:
            pixels = torch.from_numpy(np.stack([picture.unpacked(each) for each in self.images]))
            moments = torch.tensor(self.moments, **CPU_FLOAT64)
            nearest = torch.stack([(moments - k).abs().argmin() for k in range(len(self.digits))])
            guess = setup.guide(labels, images=nearest)
            ends = inverted(guess, to_float(pixels).to(device), setup.levels, stream())
            start = slerp(ends[before], ends[after], share)
        return replace(setup, denoise=denoise, start=start, noise=noise)

    def _arrived(self, share: Tensor) -> Tensor:
        """How much each image is the digit after it, at a share of the way: both are (B, 1, 1, 1) from 0 to 1."""
        if not self.blend:
            return (share >= 0.5).float()
        return ((share - 0.5) / self.blend + 0.5).clamp(0, 1)


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """The point at a share of the way from a to b (B, C, H, W) along the sphere; share is (B, 1, 1, 1) from 0 to 1."""
    cosine = torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1)).clamp(-0.9999, 0.9999)
    angle = cosine.arccos().view(-1, 1, 1, 1)
    return (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()


@torch.no_grad()
def inverted(denoise: Denoise, clean: Tensor, levels: Sequence[Level], noise: Tensor) -> Tensor:
    """The noise at the first of some levels from which DDIM, without fresh noise, draws given clean images.

    The images (B, C, H, W) get the little noise of the last level, and each step of DDIM from there is undone: the x
    that it leads from is a fixed point, found in a few rounds (Pan et al. 2023, https://arxiv.org/abs/2309.04907).
    """
    path = levels[:-1]
    x = noised(clean, noise, path[-1])
    for then, now in pairwise(reversed(path)):
        after = x
        for _ in range(ROUNDS):
            x0 = denoise(x, now.index)
            x = now.alpha * x0 + now.sigma / then.sigma * (after - then.alpha * x0)
    return x


def recipe(pipe: Pipeline, digits: Sequence[int], frames: int = FRAMES, seed: int = 0, **settings: Any) -> Recipe:
    """The recipe of a morph through some digits, the first from `seed`, the next from the one after it, in equal steps.

    Args:
        settings: those of the recipe; `images`, a packed picture for each digit, to morph these; and `blend`.
    """
    images, blend = settings.pop("images", ()), settings.pop("blend", BLEND)
    frames = checks.whole("frames", frames, 2, MAX_FRAMES)
    seed = SETTINGS["seed"].check(seed)
    stops = pipe.offer.labels(digits)
    if len(stops) < 2:
        raise checks.BadInput("A morph needs two digits: give another one.")
    seeds = tuple((seed + k) % (checks.MAX_SEED + 1) for k in range(len(stops)))
    moments = tuple(np.linspace(0, len(stops) - 1, frames).tolist())
    activity = Morph(images, tuple(stops), seeds, moments, blend)
    if images:  # the more guidance, the worse inversion's round trip
        settings = {name: pipe.offer.defaults[name] for name in Morph.defaults} | settings
    return pipe.recipe(nearest(activity), seed=seed, activity=activity, **settings)


def nearest(morph: Morph) -> list[int]:
    """The digit of the stop that is nearest to each moment."""
    return [morph.digits[int(moment + 0.5)] for moment in morph.moments]


def smooth(pipe: Pipeline, recipe: Recipe, on_step: Callable[[], object] = lambda: None) -> Recipe:
    """The recipe of a new morph, `evened` so that no image jumps from the last.

    It is drawn in all its steps: in fewer, the digits would change at other moments.

    Args:
        on_step: is called after each of the EVENED * recipe.steps steps that this takes.
    """
    for _ in range(EVENED):
        [result] = pipe.batches(recipe, len(recipe.digits), on_step)
        recipe = evened(recipe, result)
    return recipe


def evened(recipe: Recipe, result: Result) -> Recipe:
    """The recipe whose images lie equally far apart, where `result` is what it drew: no image jumps from the last.

    What changes quickly gets more of the images. Drawn and evened twice or three times, little is left to even.
    """
    assert isinstance(recipe.activity, Morph)
    images = result.images.astype(float).reshape(len(result.images), -1)
    gone = np.concatenate([[0], np.linalg.norm(np.diff(images, axis=0), axis=1).cumsum()])
    before = recipe.activity.moments
    moments = np.interp(np.linspace(0, gone[-1], len(gone)), gone, before)
    moments[0], moments[-1] = before[0], before[-1]  # where images are alike, the ends stay the ends
    activity = replace(recipe.activity, moments=tuple(moments.tolist()))
    return replace(recipe, digits=tuple(nearest(activity)), activity=activity)


def round_trip(result: Result) -> tuple[float, float]:
    """How far what was drawn at both ends is from the pictures there: the root of the mean squared error, of 1."""
    assert isinstance(result.recipe.activity, Morph)
    pictures = result.recipe.activity.images
    ends = [picture.unpacked(pictures[k]) - result.images[k].astype(float) for k in (0, -1)]
    first, last = (float(np.sqrt((off**2).mean())) / 255 for off in ends)
    return first, last
