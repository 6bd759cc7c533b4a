"""Inner steps: what happens to the noisy images at each level, before the sampler steps on to the next one.

Guesses that were combined or pasted into belong to no trained network, and samplers drift from what they stand for.
Inner steps bring the images back to it at each level, for more evaluations. Between two levels the sampler begins anew,
so that those that look back (dpm++2m, ipndm, abm) take the steps of ddim.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import exp, sqrt

import torch
from torch import Tensor

from diffusion.activity import Setup
from diffusion.samplers import Denoise, Step
from diffusion.scheduler import Level

MIN_SIGMA = 0.3  # where there is less noise, the picture is settled, and inner steps change it no more
RATE = 0.3  # of Langevin dynamics: the time of one step, where 1 forgets about two thirds of the noise

Inner = Callable[[Setup, Tensor, Level, Level], Tensor]
"""(setup, images at a level, that level, the next one) -> images at that level (B, C, H, W)."""


def stepwise(setup: Setup, inner: Inner, times: int) -> Setup:
    """The run where, at each level with enough noise and some signal, `inner` is done so many times."""

    @torch.no_grad()
    def walk(denoise: Denoise, x: Tensor, levels: Sequence[Level], noise: Callable[[], Tensor]) -> Iterator[Step]:
        for index, (now, then) in enumerate(pairwise(levels)):
            if now.alpha > 0 and now.sigma >= MIN_SIGMA and then.sigma > 0:
                for _ in range(times):
                    x = inner(setup, x, now, then)
            for step in setup.walk(denoise, x, [now, then], noise):
                x = step.x
                yield replace(step, index=index)

    return replace(setup, walk=walk) if times else setup


def langevin(setup: Setup, x: Tensor, now: Level, then: Level) -> Tensor:
    """A step of Langevin dynamics at a level: part of the noise is exchanged for fresh noise.

    The score is (alpha * x0 - x) / sigma**2; with the guess x0 held still, the step is solved exactly and is stable
    however long it is.
    """
    return exchanged(x, setup.denoise(x, now.index), now, setup.noise())


def exchanged(x: Tensor, x0: Tensor, level: Level, noise: Tensor) -> Tensor:
    """Langevin dynamics for the time RATE towards a clean image x0, at a level: all are (B, C, H, W)."""
    kept = exp(-RATE)
    return level.alpha * x0 + kept * (x - level.alpha * x0) + level.sigma * sqrt(1 - kept**2) * noise


def resample(setup: Setup, x: Tensor, now: Level, then: Level) -> Tensor:
    """A step down to the next level and back up by the forward process.

    RePaint's jump (Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865, algorithm 1).
    """
    for step in setup.walk(setup.denoise, x, [now, then], setup.noise):
        x = step.x
    kept = now.alpha / then.alpha
    return kept * x + sqrt(now.sigma**2 - kept**2 * then.sigma**2) * setup.noise()
