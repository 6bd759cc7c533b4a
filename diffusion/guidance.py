"""Classifier-free guidance: a denoise function made from a network that was trained with and without labels."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from diffusion.model import Model
from diffusion.samplers import Denoise
from diffusion.scheduler import Level, T

EVERYWHERE = (0, T - 1)  # the interval of all levels

Clip = Callable[[Tensor], Tensor]
"""What brings guided guesses (B, C, H, W) into [-1, 1]."""


def clipped(x0: Tensor) -> Tensor:
    """Whatever is outside, at the nearer end."""
    return x0.clamp(-1, 1)


def thresholded(x0: Tensor, share: float, most: float) -> Tensor:
    """Dynamic thresholding (Saharia et al. 2022, https://arxiv.org/abs/2205.11487, section 2.3).

    A share of an image's values lies within [-s, s], where s is at least 1 and at most `most`: whatever is outside is
    clipped, and all are divided by s.
    """
    s = torch.stack([image.abs().flatten().quantile(share) for image in x0]).clamp(1, most).view(-1, 1, 1, 1)
    return x0.clamp(-s, s) / s


def clipping(thresholding: tuple[float, float] | None) -> Clip:
    """What weights say that is to be done."""
    return clipped if thresholding is None else lambda x0: thresholded(x0, *thresholding)


def guided(
    model: Model,
    condition: Tensor,
    guidance: float,
    interval: tuple[int, int] = EVERYWHERE,
    clip: Clip | None = clipped,
) -> Denoise:
    """The denoise function for a condition, such as labels (B,): uncond + guidance * (cond - uncond).

    This is the scale w of Imagen and Stable Diffusion: 1 is no guidance and 0 is unconditional, each of which runs the
    network once a step; anything else runs it on a doubled batch. (Ho & Salimans 2022,
    https://arxiv.org/abs/2207.12598, write it 1 + w.) Guiding x0 is the same as guiding eps or v, of which it is an
    affine function (a bounded denoiser clamps both halves first). The guided x0 is brought into [-1, 1] by `clip`,
    unless it is to be combined with others before that.

    Guidance above 1 is on only in an interval of levels, both ends in it (Kynkaanniemi et al. 2024,
    https://arxiv.org/abs/2404.07724): at the noisiest levels it makes all digits alike, and at the cleanest it does
    nothing.
    """
    null = model.null(condition)

    def denoise(x: Tensor, i: int) -> Tensor:
        scale = _scale(guidance, interval, i)
        if scale == 1:
            x0 = model(x, i, condition)
        elif scale == 0:
            x0 = model(x, i, null)
        else:
            cond, uncond = model(torch.cat([x, x]), i, torch.cat([condition, null])).chunk(2)
            x0 = uncond + scale * (cond - uncond)
        return clip(x0) if clip else x0

    return denoise


def taking_guidance(model: Model, condition: Tensor, guidance: float, levels: Sequence[Level]) -> Denoise:
    """The denoise function of a network that takes the guidance scale, and where a step ends, as inputs."""
    if guidance == 0:
        condition, guidance = model.null(condition), 1
    ends = {now.index: then.index for now, then in pairwise(levels)}
    return lambda x, i: model(x, i, condition, ends[i], guidance)


def evaluations(guidance: float, interval: tuple[int, int], levels: Iterable[int]) -> int:
    """How often `guided` runs the network for one image at these levels."""
    return sum(1 if _scale(guidance, interval, i) in (0, 1) else 2 for i in levels)


def _scale(guidance: float, interval: tuple[int, int], i: int) -> float:
    """The guidance scale in effect at level i."""
    return guidance if guidance <= 1 or interval[0] <= i <= interval[1] else 1
