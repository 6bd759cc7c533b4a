"""Samplers: short generators, one shape for all.

    for step in SAMPLERS["ddim"](denoise, x, levels, noise):
        ...

`denoise(x, i) -> x0` is all they know of a network, `levels` is the path to walk (scheduler.py), and `noise()` gives
fresh standard normal noise shaped like x. Each steps from a level to the next one in its own list.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log, sqrt
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from diffusion.scheduler import Level


@dataclass(frozen=True, slots=True)
class Step:
    """What a sampler yields after each update."""

    index: int  # how many updates came before this one: 0..N-1
    level: int  # the noise level that x is now at, -1 at the end
    x: Tensor  # the image under way (B, C, H, W)
    x0: Tensor  # the clean image (B, C, H, W) that the network guessed; of heun and ipndm, that their line leads to


Walk = TypeVar("Walk", bound=Callable[..., Iterator[Step]])

Denoise = Callable[[Tensor, int], Tensor]
"""What a sampler knows of a network: (noisy images (B, C, H, W), level index) -> clean images x0, the same shape."""


@dataclass(frozen=True)
class Sampler:
    """A sampler, and what it says of itself.

    Attributes:
        walk: the generator: (denoise, x, levels, noise, **options) -> a Step after each update.
        options: the settings of a recipe that it takes besides.
        asks: the levels at which it asks for a guess, in order, on a path through these.
    """

    walk: Callable[..., Iterator[Step]]
    options: tuple[str, ...]
    asks: Callable[[Sequence[int]], list[int]]

    def __call__(
        self, denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor], **options: float
    ) -> Iterator[Step]:
        return self.walk(denoise, x, levels, noise, **options)


SAMPLERS: dict[str, Sampler] = {}
"""Every sampler by name."""


def sampler(
    name: str, *, options: tuple[str, ...] = (), asks: Callable[[Sequence[int]], list[int]] = list
) -> Callable[[Walk], Walk]:
    """Make a generator the sampler of this name. It needs no gradients; what it yields can go into any network."""

    def add(walk: Walk) -> Walk:
        walk = torch.no_grad()(walk)
        SAMPLERS[name] = Sampler(walk, options, asks)
        return walk

    return add


@sampler("ddim", options=("eta",))
def ddim(
    denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor], *, eta: float = 0.0
) -> Iterator[Step]:
    """DDIM (Song et al. 2020, https://arxiv.org/abs/2010.02502, equations 12 and 16).

    eta = 0 is deterministic, eta = 1 is DDPM on the same levels. On the flow schedule eta = 0 is Euler's method.
    """
    for index, (now, then) in enumerate(pairwise(levels)):
        x0 = denoise(x, now.index)
        eps = (x - now.alpha * x0) / now.sigma
        # Equation 16, with the square root written in the ratio of alpha / sigma, so that it holds on every schedule;
        # with alpha_bar = alpha**2 it is DDIM's own. Noise only ever goes down: the ratio is at most 1.
        ratio = (now.alpha * then.sigma) / (then.alpha * now.sigma)
        fresh = eta * then.sigma * sqrt(max(0.0, 1 - ratio**2))
        x = then.alpha * x0 + sqrt(then.sigma**2 - fresh**2) * eps
        if fresh > 0:
            x = x + fresh * noise()
        yield Step(index, then.index, x, x0)


@sampler("ddpm")
def ddpm(denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor]) -> Iterator[Step]:
    """Ancestral sampling (Ho et al. 2020, https://arxiv.org/abs/2006.11239, equations 6 and 7), full or strided.

    The posterior q(x_then | x_now, x0) of a jump over any number of levels is Gaussian: the step's own beta takes the
    place of the table's.
    """
    for index, (now, then) in enumerate(pairwise(levels)):
        x0 = denoise(x, now.index)
        kept = now.alpha / then.alpha  # the share of x_then left in x_now: sqrt(1 - beta) of this jump
        beta = now.sigma**2 - kept**2 * then.sigma**2  # the variance that this jump adds
        x = (then.alpha * beta * x0 + kept * then.sigma**2 * x) / now.sigma**2
        fresh = then.sigma / now.sigma * sqrt(max(0.0, beta))
        if fresh > 0:  # not on the last step, which ends at sigma = 0
            x = x + fresh * noise()
        yield Step(index, then.index, x, x0)


@sampler("dpm++2m")
def dpmpp_2m(denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor]) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022, https://arxiv.org/abs/2211.01095, algorithm 2): fewer steps, no noise.

    Each step follows a straight line through this guess and the last one, over the log-SNR. A step from pure noise or
    to the clean image spans an infinite stretch of that, and follows its own guess alone, as DDIM does.
    """
    before: Tensor | None = None  # the last guess, and the stretch of log-SNR that it was followed over
    stretch_before = inf
    for index, (now, then) in enumerate(pairwise(levels)):
        x0 = guess = denoise(x, now.index)
        stretch = _log_snr(then) - _log_snr(now)
        if before is not None and stretch < inf:
            guess = x0 + stretch / (2 * stretch_before) * (x0 - before)
        kept = then.sigma / now.sigma
        x = kept * x + (then.alpha - kept * now.alpha) * guess
        before, stretch_before = x0, stretch
        yield Step(index, then.index, x, x0)


@sampler("heun", asks=lambda indices: sorted([*indices, *indices[1:]], reverse=True))  # at both ends of a step
def heun(denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor]) -> Iterator[Step]:
    """Heun's method (Karras et al. 2022, https://arxiv.org/abs/2206.00364, algorithm 1): two evaluations a step.

    Each step follows the mean of the velocities at its two ends. The last one ends at the clean image, where there is
    no noise to tell a velocity by, and follows the first alone.
    """
    for index, (now, then) in enumerate(pairwise(levels)):
        velocity = _velocity(x, denoise(x, now.index), now)
        ahead, x0 = _follow(velocity, x, now, then)
        if then.sigma > 0:
            velocity = (velocity + _velocity(ahead, denoise(ahead, then.index), then)) / 2
            ahead, x0 = _follow(velocity, x, now, then)
        x = ahead
        yield Step(index, then.index, x, x0)


ADAMS_BASHFORTH = (  # the weights of the last one to four velocities, the newest first
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@sampler("ipndm")
def ipndm(denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor]) -> Iterator[Step]:
    """iPNDM of order 4 (Zhang & Chen 2022, https://arxiv.org/abs/2204.13902): each step looks back at three others.

    It follows the sum of the last four velocities that Adams and Bashforth give for equal steps (Liu et al. 2022,
    https://arxiv.org/abs/2202.09778, equation 9). The first three steps know fewer of them. The last follows its own
    velocity alone, and so ends on a guess of the network's: nearer to the exact image at ten steps and fewer.
    """
    before: list[Tensor] = []  # the last velocities, the newest first
    for index, (now, then) in enumerate(pairwise(levels)):
        velocity = _velocity(x, denoise(x, now.index), now)
        before = [velocity, *before[:3]] if then.sigma > 0 else [velocity]
        weights = ADAMS_BASHFORTH[len(before) - 1]
        velocity = torch.stack([weight * old for weight, old in zip(weights, before, strict=True)]).sum(0)
        x, x0 = _follow(velocity, x, now, then)
        yield Step(index, then.index, x, x0)


@sampler("abm")
def abm(denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor]) -> Iterator[Step]:
    """Adams-Bashforth-Moulton: each step looks back at one other, and is taken again when more is known.

    A step first follows the line through the last two velocities (Adams-Bashforth). It ends where the next step asks
    for its velocity anyway; with that one, the step is taken again along a parabola (Adams-Moulton). This costs no
    evaluation, as no velocity is asked for twice. So does UniPC, over the log-SNR (Zhao et al. 2023,
    https://arxiv.org/abs/2302.04867, algorithm 1). What a step yields is not corrected yet, and the last one ends on
    the network's guess. Steps need not be equal; to look back further pays only where they are.
    """
    start = x  # where the step that led to x began
    known: list[tuple[Level, Tensor]] = []  # the last velocities and their levels, the newest first
    for index, (now, then) in enumerate(pairwise(levels)):
        x0 = denoise(x, now.index)
        known = [(now, _velocity(x, x0, now)), *known[:2]]
        if then.sigma == 0:
            x = x0
        else:
            if len(known) > 1:
                x = _along(known, start, known[1][0], now)
            start = x
            x = _along(known[:2], x, now, then)
        yield Step(index, then.index, x, x0)


def _time(level: Level) -> float:
    """The time t of flow matching that has this level's ratio of noise to signal."""
    return level.sigma / (level.alpha + level.sigma)


def _velocity(x: Tensor, x0: Tensor, level: Level) -> Tensor:
    """eps - x0, the direction of x in the coordinates of flow matching.

    With z = x / (alpha + sigma) and t = sigma / (alpha + sigma), every schedule is z = (1 - t) * x0 + t * eps, and its
    probability flow dz / dt = eps - x0 is finite from pure noise to the clean image.
    """
    return (x - (level.alpha + level.sigma) * x0) / level.sigma


def _follow(velocity: Tensor, x: Tensor, now: Level, then: Level) -> tuple[Tensor, Tensor]:
    """A straight step along a velocity: x at the next level, and the clean image that the line leads to."""
    x0 = (x - now.sigma * velocity) / (now.alpha + now.sigma)
    return (then.alpha + then.sigma) * x0 + then.sigma * velocity, x0


def _along(known: Sequence[tuple[Level, Tensor]], x: Tensor, now: Level, then: Level) -> Tensor:
    """A step along the polynomial over time through the velocities that are known at some levels: x at the next level.

    It follows their weighted mean. With s for the time since now, as a share of the step, the mean of s**k over the
    step is 1 / (k + 1); the weights are those that give it for as many powers as there are velocities.
    """
    begin, end, *times = (_time(level) for level in (now, then, *(level for level, _ in known)))
    places = (np.array(times) - begin) / (end - begin)  # s at each velocity
    powers = np.vander(places, increasing=True).T
    weights = np.linalg.solve(powers, 1 / np.arange(1, len(known) + 1)).tolist()
    mean = torch.stack([weight * velocity for weight, (_, velocity) in zip(weights, known, strict=True)]).sum(0)
    return _follow(mean, x, now, then)[0]


def _log_snr(level: Level) -> float:
    """log(alpha / sigma), from minus infinity at pure noise to infinity at the clean image."""
    if level.alpha == 0 or level.sigma == 0:
        return -inf if level.alpha == 0 else inf
    return log(level.alpha / level.sigma)
