"""Editing pictures: image to image, which keeps the outlines, and inpainting, which keeps some of the pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from diffusion.activity import Activity, Setup
from diffusion.checks import BadInput
from diffusion.data import to_float
from diffusion.lab import picture
from diffusion.lab.inner import exchanged, resample, stepwise
from diffusion.scheduler import Level
from diffusion.settings import Choice, Number, Several, Whole, setting

METHODS = ("replacement", "repaint", "langevin", "ding")
INSISTENCE = 4.0  # how much a guess that misses the known pixels is corrected: lambda of LanPaint
CLASSIC = tuple(1 - start / 34 for start in (20, 10, 7, 5, 3, 1))  # strengths of a strip, from the same to new


@dataclass(frozen=True)
class WithPictures(Activity):
    """An activity on pictures: one for all images of a recipe, or one for each."""

    images: tuple[str, ...] = setting(
        Several(picture.Packed(), 1, 100_000), (), "the pictures, as picture.packed writes"
    )

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        picture.check_shape("The picture", picture.unpacked(self.images[0]), shape)
        if len(self.images) not in (1, len(digits)):
            raise BadInput(
                f"Give one picture, or one for each of the {len(digits):,} digits, not {len(self.images):,}."
            )

    def some(self, chosen: Sequence[int]) -> Activity:
        return self if len(self.images) == 1 else replace(self, images=tuple(self.images[k] for k in chosen))

    @property
    def pixels(self) -> np.ndarray:
        """The pictures, uint8 (1 or N, H, W[, 3])."""
        return np.stack([picture.unpacked(each) for each in self.images])

    def inputs(self) -> list[tuple[str, np.ndarray]]:
        return [("picture", self.pixels)]

    def clean(self, setup: Setup) -> Tensor:
        """The pictures as a model sees them, (B, C, H, W)."""
        return to_float(torch.from_numpy(self.pixels)).to(setup.start.device).expand(setup.start.shape)


@dataclass(frozen=True)
class ImageToImage(WithPictures, name="edit"):
    """Image to image: a picture is noised to a level and denoised from there as what the recipe asks for.

    SDEdit (Meng et al. 2021, https://arxiv.org/abs/2108.01073). The strength is the share of the steps
    that are run: 0 gives the picture back, 1 draws from noise.
    """

    strength: float = setting(Number(0, 1), 0.8, "how much may change: 0 is the same, 1 is new")

    strengths: tuple[float, ...] = setting(
        Several(Number(0, 1), 0, 100_000), (), "the strength of each image, where they differ"
    )

    options = ("strength",)

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        super().check(digits, shape, classes)
        if len(self.strengths) not in (0, len(digits)):
            raise BadInput(f"Give a strength for each of the {len(digits):,} digits, not {len(self.strengths):,}.")

    def some(self, chosen: Sequence[int]) -> Activity:
        strengths = tuple(self.strengths[k] for k in chosen) if self.strengths else ()
        return replace(super().some(chosen), strengths=strengths)  # type: ignore[type-var]

    def path(self, levels: Sequence[Level]) -> Sequence[Level]:
        steps = len(levels) - 1
        return levels[steps - max(self._steps(steps)) :]

    def _steps(self, steps: int) -> list[int]:
        """How many of a run's steps are run, for each strength."""
        return [steps_for(strength, steps) for strength in self.strengths or (self.strength,)]

    def edit(self, setup: Setup) -> Setup:
        all_steps = len(setup.levels) - 1
        steps, levels = self._steps(all_steps), self.path(setup.levels)
        if min(steps) == all_steps:
            return setup
        clean = self.clean(setup)
        start = noised(clean, setup.eps, levels[0]) if len(levels) <= all_steps else setup.start
        if min(steps) == max(steps):
            return replace(setup, levels=levels, start=start)
        first = torch.tensor([setup.levels[all_steps - n].index for n in steps], device=start.device)

        def denoise(x: Tensor, i: int) -> Tensor:
            begun = (first >= i).view(-1, 1, 1, 1)  # until then, a guess that is the picture only takes noise away
            return torch.where(begun, setup.denoise(x, i), clean)

        return replace(setup, denoise=denoise, levels=levels, start=start)


def steps_for(strength: float, steps: int) -> int:
    """How many of a run's steps are run: the nearest number, but none only at strength 0."""
    return max(1, int(strength * steps + 0.5)) if strength else 0


def noised(clean: Tensor, eps: Tensor, level: Level) -> Tensor:
    """The forward process, x_i = alpha * x0 + sigma * eps."""
    return level.alpha * clean + level.sigma * eps


@dataclass(frozen=True)
class Inpainting(WithPictures, name="inpaint"):
    """Part of a picture is drawn anew, as what the recipe asks for; the rest stays as it is, bit for bit.

    All methods paste the known pixels into every guess. Then the known part of x follows x_i = alpha * x0 + sigma * eps
    with the picture as x0, in every sampler, and the last step ends on the picture itself. They are:

    - replacement: that and nothing else (Song et al. 2020, https://arxiv.org/abs/2011.13456, appendix I.2). The drawn
      part hears of the known one only through noise.
    - repaint: at each level, steps down and back up again, in which both parts come to agree (RePaint).
    - langevin: at each level, Langevin dynamics on both parts. Where the guess misses the known pixels, they are moved
      the other way, so that the drawn part feels the picture and not its noisy likeness (LanPaint, Zheng et al. 2025,
      https://arxiv.org/abs/2502.03491, section 4).
    - ding: the network is shown the known pixels with the noise that it guesses itself, not with random noise, which
      costs a second evaluation (Moufad et al. 2025, https://arxiv.org/abs/2512.18365).
    """

    mask: str = setting(
        picture.Packed(), "", "a picture of that size: what is white is drawn anew, what is black is kept"
    )
    method: str = setting(Choice(METHODS), "langevin", "how the new part is made to fit the part that is kept")
    inner: int = setting(
        Whole(0, 50),
        1,
        "inner steps at each level",
        counts=lambda activity: activity.method in ("repaint", "langevin"),
    )

    defaults = MappingProxyType(
        {"sampler": "ddim", "steps": 12, "guidance": 10.0, "guidance_interval": (400, 900), "spacing": "trailing"}
    )
    options = ("mask", "method", "inner")

    def __post_init__(self) -> None:
        super().__post_init__()
        hidden = self.hidden
        if hidden.all() or not hidden.any():
            part = "All" if hidden.all() else "None"
            raise BadInput(
                f"{part} of the picture is white in the mask: paint white what to draw anew, the rest black."
            )

    @property
    def any_level(self) -> bool:  # type: ignore[override]  # it depends on the method
        return self.method in ("langevin", "ding")

    @property
    def hidden(self) -> np.ndarray:
        """What is drawn anew, bool (H, W)."""
        pixels = picture.unpacked(self.mask)
        return (pixels if pixels.ndim == 2 else pixels.mean(2)) > 127

    def inputs(self) -> list[tuple[str, np.ndarray]]:
        pixels, hidden = self.pixels, self.hidden
        hidden = hidden if pixels.ndim == 3 else hidden[..., None]
        return [("picture", pixels), ("what is kept", np.where(hidden, np.uint8(127), pixels))]

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        super().check(digits, shape, classes)
        if self.hidden.shape != shape[1:]:
            raise BadInput(f"The mask must be as large as the picture, {shape[2]} x {shape[1]} pixels.")

    def edit(self, setup: Setup) -> Setup:
        clean = self.clean(setup)
        hidden = torch.from_numpy(self.hidden).to(setup.start.device)

        def denoise(x: Tensor, i: int) -> Tensor:
            if self.method == "ding":
                level = setup.at(i)
                eps = (x - level.alpha * setup.denoise(x, i)) / level.sigma
                x = torch.where(hidden, x, noised(clean, eps, level))
            return torch.where(hidden, setup.denoise(x, i), clean)

        def langevin(_: Setup, x: Tensor, now: Level, then: Level) -> Tensor:
            x0 = setup.denoise(x, now.index)
            corrected = torch.where(hidden, x0, clean + INSISTENCE * (clean - x0))
            return exchanged(x, corrected, now, setup.noise())

        start = torch.where(hidden, setup.start, noised(clean, setup.eps, setup.levels[0]))
        pasted = replace(setup, denoise=denoise, start=start)
        if self.method in ("replacement", "ding"):
            return pasted
        return stepwise(pasted, resample if self.method == "repaint" else langevin, self.inner)


def _half(axis: int, first: bool) -> Callable[[int, int], np.ndarray]:
    def mask(height: int, width: int) -> np.ndarray:
        where = np.indices((height, width))[axis] < (height, width)[axis] / 2
        return where if first else ~where

    return mask


def _hole(height: int, width: int) -> np.ndarray:
    rows, columns = np.indices((height, width))
    return (abs(2 * rows + 1 - height) < height / 2) & (abs(2 * columns + 1 - width) < width / 2)


def _random(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((height, width)) < 0.7


MASKS: dict[str, Callable[[int, int], np.ndarray]] = {
    "top": _half(0, True),
    "bottom": _half(0, False),
    "left": _half(1, True),
    "right": _half(1, False),
    "hole": _hole,
    "random": _random,
}
"""Masks by name, of what is drawn anew: (height, width) -> bool (H, W)."""


def mask(name: str, shape: tuple[int, int, int]) -> str:
    """One of MASKS for images of (C, H, W), as `Inpainting` takes it."""
    return picture.packed(np.uint8(255) * MASKS[name](*shape[1:]))
