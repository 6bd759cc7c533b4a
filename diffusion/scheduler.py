"""Noise levels. Every schedule is a table of (alpha, sigma), and level i means x_i = alpha[i] * x0 + sigma[i] * eps.

Level T - 1 is (almost) pure noise; below level 0 lies the clean image, alpha = 1 and sigma = 0, which has index -1.
Samplers only see a list of levels, so one set of samplers serves DDPM and flow matching alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusion import checks

T = 1000  # number of noise levels, as in DDPM
SHIFT = 3.0  # of the spacing "shifted"
RHO = 7.0  # of the spacing "karras"
NOISE_TO_SIGNAL = (0.002, 80.0)  # where "log-snr" and "karras" begin and end at most: sigma_min and sigma_max of EDM
CPU_FLOAT64: dict[str, Any] = {"device": "cpu", "dtype": torch.float64}  # how tables are made


@dataclass(frozen=True, slots=True)
class Level:
    """One noise level: its index in 0..T-1 (-1 for the clean image) and its two coefficients."""

    index: int
    alpha: float
    sigma: float


CLEAN = Level(-1, 1.0, 0.0)


class Scheduler:
    """A named table of noise levels.

    Args:
        name: "linear" or "cosine" (both variance preserving: alpha**2 + sigma**2 = 1), "flow" (alpha + sigma = 1) or
            "additive" (alpha = 1).

    Attributes:
        alpha, sigma: float64 (T,), on the CPU.
        start: what standard normal noise is multiplied by where generation starts: it is as large as x there.
    """

    def __init__(self, name: str):
        self.name = checks.choice("schedule", name, SCHEDULES)
        self._set(*SCHEDULES[name]())

    @classmethod
    def from_betas(cls, name: str, betas: Tensor) -> "Scheduler":
        """The schedule with these betas (T,), as a network of others was trained with it."""
        scheduler = cls.__new__(cls)
        scheduler.name = name
        scheduler._set(*_from_betas(betas.to(**CPU_FLOAT64)))
        return scheduler

    def _set(self, alpha: Tensor, sigma: Tensor) -> None:
        self.alpha, self.sigma = alpha, sigma
        self.start = max(1.0, float(self.sigma[-1]))
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def level(self, index: int) -> Level:
        """The level at `index` in -1..T-1."""
        if index == -1:
            return CLEAN
        return Level(index, float(self.alpha[index]), float(self.sigma[index]))

    def nearest(self, ratio: float) -> int:
        """The index of the level whose alpha / sigma is nearest to a ratio of signal to noise."""
        return int((self.alpha / self.sigma - ratio).abs().argmin())

    def levels(self, steps: int, spacing: str = "trailing") -> list[Level]:
        """The path of a run of `steps` updates, 1..T: that many noise levels, noisiest first, then the clean image.

        The first level is always T - 1, where generation starts; `spacing` is one of SPACINGS.
        """
        return [self.level(i) for i in self.indices(steps, spacing)] + [CLEAN]

    def indices(self, steps: int, spacing: str = "trailing") -> list[int]:
        """The indices of those levels, without the clean image: strictly decreasing from T - 1, none below 0."""
        steps = checks.whole("steps", steps, 1, T)
        wanted = SPACINGS[checks.choice("spacing", spacing, SPACINGS)](self, steps)
        path = [T - 1]
        for k, index in enumerate(wanted[1:], 1):  # a level that is taken gives way to the next one that is free
            path.append(max(min(index, path[-1] - 1), steps - 1 - k))
        return path

    def coefficients(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at int64 `indices` (B,), as float32 (B, 1, 1, 1), ready to multiply images."""
        if indices.device not in self._tables:  # copied once, so that no training step waits for it
            tables = [table.to(indices.device, torch.float32) for table in (self.alpha, self.sigma)]
            self._tables[indices.device] = (tables[0], tables[1])
        alpha, sigma = self._tables[indices.device]
        return alpha[indices].view(-1, 1, 1, 1), sigma[indices].view(-1, 1, 1, 1)

    def add_noise(self, x0: Tensor, eps: Tensor, indices: Tensor) -> Tensor:
        """The forward process, x_i = alpha[i] * x0 + sigma[i] * eps, for images (B, C, H, W) and levels (B,)."""
        alpha, sigma = self.coefficients(indices)
        return alpha * x0 + sigma * eps


def _linear() -> tuple[Tensor, Tensor]:
    """DDPM's betas, 1e-4 to 0.02 in equal steps (Ho et al. 2020, https://arxiv.org/abs/2006.11239, section 4)."""
    return _from_betas(torch.linspace(1e-4, 0.02, T, **CPU_FLOAT64))


def _cosine() -> tuple[Tensor, Tensor]:
    """The squared-cosine alpha_bar (Nichol & Dhariwal 2021, https://arxiv.org/abs/2102.09672, equation 17)."""
    s = 0.008
    t = torch.arange(T + 1, **CPU_FLOAT64) / T
    alpha_bar = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return _from_betas((1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999))


def _flow() -> tuple[Tensor, Tensor]:
    """Straight lines from data to noise, alpha = 1 - t and sigma = t (Lipman et al. 2022, Liu et al. 2022).

    https://arxiv.org/abs/2210.02747, https://arxiv.org/abs/2209.03003; level i stands for t = (i + 1) / T.
    """
    t = torch.arange(1, T + 1, **CPU_FLOAT64) / T
    return 1 - t, t


def _additive() -> tuple[Tensor, Tensor]:
    """Noise is added and the image stays as it is: alpha = 1 (Karras et al. 2022, https://arxiv.org/abs/2206.00364).

    It is the flow schedule over its alpha: level i has the same ratio of noise to signal in both, sigma = t / (1 - t).
    At t = 1 that would be infinite; the last level has twice the noise of the one before, and the image is lost in it.
    """
    alpha, sigma = _flow()
    sigma = sigma / alpha
    sigma[-1] = 2 * sigma[-2]
    return torch.ones_like(alpha), sigma


def _from_betas(betas: Tensor) -> tuple[Tensor, Tensor]:
    alpha_bar = torch.cumprod(1 - betas, dim=0)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


SCHEDULES = {"linear": _linear, "cosine": _cosine, "flow": _flow, "additive": _additive}


def _trailing(scheduler: Scheduler, steps: int) -> list[int]:
    """Equal steps in the index (Lin et al. 2023, https://arxiv.org/abs/2305.08891, table 2)."""
    return [round(T - k * T / steps) - 1 for k in range(steps)]


def _shifted(scheduler: Scheduler, steps: int) -> list[int]:
    """Trailing, then moved towards the noise: t becomes 3 t / (1 + 2 t), where level i stands for t = (i + 1) / T.

    The time shift of flow models (Esser et al. 2024, https://arxiv.org/abs/2403.03206, equation 23), with their factor.
    What the digit will be is decided where the noise is high, and there the steps become up to three times shorter.
    """
    times = [1 - k / steps for k in range(steps)]
    return [round(T * SHIFT * t / (1 + (SHIFT - 1) * t)) - 1 for t in times]


def _log_snr(scheduler: Scheduler, steps: int) -> list[int]:
    """Equal steps in log(alpha / sigma) (Lu et al. 2022, https://arxiv.org/abs/2206.00927, section 3.4)."""
    return _evenly(_noise_to_signal(scheduler).log(), steps)


def _karras(scheduler: Scheduler, steps: int) -> list[int]:
    """Equal steps in (sigma / alpha)**(1 / rho) (Karras et al. 2022, https://arxiv.org/abs/2206.00364, equation 5)."""
    return _evenly(_noise_to_signal(scheduler) ** (1 / RHO), steps)


def _noise_to_signal(scheduler: Scheduler) -> Tensor:
    """sigma / alpha of each level (T,), within the bounds beyond which there is nothing but noise, or but the image."""
    return (scheduler.sigma / scheduler.alpha).clamp(*NOISE_TO_SIGNAL)


def _evenly(scale: Tensor, steps: int) -> list[int]:
    """The levels nearest to `steps` equally spaced points on a scale of noise, which has a value for each (T,)."""
    points = torch.linspace(float(scale[-1]), float(scale[0]), steps, **CPU_FLOAT64)
    return torch.searchsorted((scale[1:] + scale[:-1]) / 2, points).tolist()


SPACINGS: dict[str, Callable[[Scheduler, int], list[int]]] = {
    "trailing": _trailing,
    "log-snr": _log_snr,
    "karras": _karras,
    "shifted": _shifted,
}
