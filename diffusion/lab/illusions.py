"""Illusions: one picture that reads as several digits. Anagrams show another one when turned, hybrids from afar."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion import checks
from diffusion.activity import Activity, Look, Setup
from diffusion.data import to_float, to_uint8
from diffusion.lab.inner import langevin, stepwise
from diffusion.lab.views import VIEWS, View
from diffusion.samplers import Denoise
from diffusion.scheduler import Level
from diffusion.settings import Choice, Number, Several, Whole, YesNo, setting

LABEL = Whole(0, checks.MAX_CLASSES - 1)
REDUCTIONS = ("mean", "alternate")
MIN_SIGMA = 0.05  # below it there is no noise left whose variance could be put right


@dataclass(frozen=True, kw_only=True)
class Illusion(Activity):
    """A picture that reads as several digits: the guesses of all are combined into one."""

    inner: int = setting(Whole(0, 20), 0, "steps of Langevin dynamics at each level, towards a fair compromise")

    @property
    def any_level(self) -> bool:  # type: ignore[override]  # it depends on the inner steps
        return self.inner > 0

    def combining(self, setup: Setup, combined: Denoise) -> Setup:
        """The run that follows what was combined of several guesses, clipped after that."""

        def denoise(x: Tensor, i: int) -> Tensor:
            return setup.clip(combined(x, i))

        return stepwise(replace(setup, denoise=denoise), langevin, self.inner)


@dataclass(frozen=True)
class Anagram(Illusion, name="anagram"):
    """A picture that reads as the digit of the recipe upright, and as another one through each view.

    At each level the guesses of all views are made upright again and combined (Geng et al. 2023, Visual Anagrams,
    https://arxiv.org/abs/2311.17919). Guessing eps or x0 comes to the same: both are affine. Their sum in the place of
    the mean is the mean with more guidance. A run that follows a mean draws no sample of what both digits allow;
    Langevin dynamics at each level should bring it nearer (Du et al. 2023, Reduce, Reuse, Recycle,
    https://arxiv.org/abs/2302.11552). MNIST's digits are read right more often without: docs/results.md.
    """

    digits: tuple[int, ...] = setting(Several(LABEL, 1, 7), (9,), "the digit that is read through each view")
    views: tuple[str, ...] = setting(
        Several(Choice(tuple(VIEWS)), 1, 7), ("rotate-180",), "how the picture is looked at besides upright"
    )
    reduction: str = setting(
        Choice(REDUCTIONS), "mean", "whether each step follows the mean of all guesses, or one after the other"
    )
    weights: tuple[float, ...] = setting(
        Several(Number(0, 100), 0, 8), (), "how much each guess counts, the upright one first; none given means alike"
    )
    clip: str = setting(
        Choice(("inside", "outside")),
        "outside",
        "whether guided guesses are clipped to black and white before the mean",
    )
    rectify: bool = setting(YesNo(), False, "give the mean of the guessed noises the variance that noise has")
    centred: bool = setting(
        YesNo(), True, "show the network what is seen where it knows digits from, half a pixel off the middle"
    )

    earlier = MappingProxyType({"centred": False})
    defaults = MappingProxyType(
        {"sampler": "ddim", "steps": 20, "guidance": 6.0, "guidance_interval": (300, 999), "spacing": "trailing"}
    )
    options = ("views", "reduction", "inner")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.digits) != len(self.views):
            raise checks.BadInput(
                f"An anagram needs a digit for each view, and {len(self.digits)} for {len(self.views)} are given."
            )
        if len(set(self.views)) < len(self.views):
            raise checks.BadInput("An anagram needs views that differ: name each once.")
        if self.weights and (len(self.weights) != 1 + len(self.views) or sum(self.weights) == 0):
            raise checks.BadInput(
                f"weights must be {1 + len(self.views)} numbers, one for upright and one for each view, not all 0."
            )

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        checks.labels("digits", self.digits, classes)
        for name in self.views:
            VIEWS[name].check(name, shape)

    def edit(self, setup: Setup) -> Setup:
        def guess(labels: Tensor) -> Denoise:
            return setup.guide(labels, clip=self.clip == "inside")

        seen = [
            through(self.view(name), guess(torch.full_like(setup.labels, digit)))
            for name, digit in zip(self.views, self.digits, strict=True)
        ]
        return self.combining(setup, self.combined([guess(setup.labels), *seen], setup))

    def view(self, name: str) -> View:
        """What the network sees through a view."""
        return VIEWS[name].centred if self.centred else VIEWS[name]

    def combined(self, guesses: Sequence[Denoise], setup: Setup) -> Denoise:
        """The denoise function that follows several, as `reduction` and `weights` say."""
        if self.reduction == "alternate":
            turn = {level.index: k % len(guesses) for k, level in enumerate(setup.levels)}
            return lambda x, i: guesses[turn[i]](x, i)
        weights = self.weights or (1.0,) * len(guesses)

        def denoise(x: Tensor, i: int) -> Tensor:
            all_x0 = [guess(x, i) for guess in guesses]
            x0 = sum_of(all_x0, weights) / sum(weights)
            return rectified(x, x0, all_x0, setup.at(i)) if self.rectify else x0

        return denoise

    def looks(self, images: np.ndarray, labels: Sequence[int]) -> list[Look]:
        seen = [
            Look(name, to_uint8(VIEWS[name].view(to_float(torch.from_numpy(images)))).numpy(), (digit,) * len(images))
            for name, digit in zip(self.views, self.digits, strict=True)
        ]
        return [Look("upright", images, tuple(labels)), *seen]


def through(view: View, denoise: Denoise) -> Denoise:
    """A denoise function that looks through a view: its guess, made upright again."""
    return lambda x, i: view.inverse_view(denoise(view.view(x), i))


def sum_of(tensors: Sequence[Tensor], weights: Sequence[float | Tensor]) -> Tensor:
    """Their weighted sum, shaped like each."""
    total = weights[0] * tensors[0]
    for weight, tensor in zip(weights[1:], tensors[1:], strict=True):
        total = total + weight * tensor
    return total


def rectified(x: Tensor, x0: Tensor, guesses: Sequence[Tensor], level: Level) -> Tensor:
    """The combined guess x0, where the noise that it leaves in x varies as much as in the guesses themselves.

    The mean of several guesses of eps has less variance than each, which samplers take for a smoother image (Xu et al.
    2024, Anagram-MTL, https://arxiv.org/abs/2412.02693). All are (B, C, H, W).
    """
    if level.alpha == 0 or level.sigma < MIN_SIGMA:
        return x0
    eps = (x - level.alpha * x0) / level.sigma
    wanted = torch.stack([deviation((x - level.alpha * guess) / level.sigma) for guess in guesses]).mean(0)
    return x0 + level.sigma / level.alpha * (1 - wanted / deviation(eps)) * eps


def deviation(x: Tensor) -> Tensor:
    """The standard deviation over the pixels of each image, (B, 1, 1, 1)."""
    return x.std((1, 2, 3), keepdim=True)


@dataclass(frozen=True)
class Hybrid(Illusion, name="hybrid"):
    """A picture that reads as the digit of the recipe from near, and as another one from afar, or blurred.

    The high frequencies follow the guess of the near digit and the low ones that of the far one (Geng et al. 2024,
    Factorized Diffusion, https://arxiv.org/abs/2404.11615; the first were photographs, Oliva et al. 2006).
    """

    digit: int = setting(LABEL, 3, "the digit that is read from afar")
    radius: float = setting(
        Number(0.3, 8), 1.5, "of the blur that parts near from afar: its standard deviation, in pixels"
    )
    guidance: float = setting(
        Number(0, checks.MAX_GUIDANCE), 0.0, "that of the far digit; 0 is the same as for the near one"
    )

    defaults = MappingProxyType(
        {"sampler": "ddim", "steps": 15, "guidance": 4.0, "guidance_interval": (300, 999), "spacing": "trailing"}
    )
    options = ("radius", "inner")

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        checks.labels("digits", self.digit, classes)
        if self.digit in digits:
            raise checks.BadInput(f"A hybrid needs two digits that differ, and both are {self.digit}.")

    def edit(self, setup: Setup) -> Setup:
        near, far = setup.denoise, setup.guide(torch.full_like(setup.labels, self.digit), self.guidance or None)

        def combined(x: Tensor, i: int) -> Tensor:
            return low_pass(far(x, i), self.radius) + high_pass(near(x, i), self.radius)

        return self.combining(setup, combined)

    def looks(self, images: np.ndarray, labels: Sequence[int]) -> list[Look]:
        light = low_pass(to_float(torch.from_numpy(images)), self.radius) + 1
        light = 2 * light / light.amax((1, 2, 3), keepdim=True).clamp(min=0.01)  # eyes adapt to what is faint
        blurred = to_uint8(light - 1).numpy()
        return [Look("near", images, tuple(labels)), Look("from afar", blurred, (self.digit,) * len(images))]


def low_pass(x: Tensor, radius: float) -> Tensor:
    """Images (B, C, H, W) blurred by a Gaussian with this standard deviation in pixels, their edges continued."""
    reach = max(1, int(4 * radius + 0.5))
    offsets = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = (-offsets.square() / (2 * radius**2)).exp()
    kernel = (kernel / kernel.sum()).repeat(x.shape[1], 1, 1, 1)
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])


def high_pass(x: Tensor, radius: float) -> Tensor:
    """What `low_pass` takes away: the sum of both is x."""
    return x - low_pass(x, radius)
