"""Classifier-free guidance: a denoise function made from a network that was trained with and without labels."""

import torch
from torch import Tensor

from diffusion.denoiser import Denoise, Denoiser


def guided(denoiser: Denoiser, labels: Tensor, guidance: float) -> Denoise:
    """The denoise function for `labels` (B,) at a guidance scale: uncond + guidance * (cond - uncond).

    This is the scale w of Imagen and Stable Diffusion: 1 is no guidance and 0 is unconditional, each of which runs the
    network once a step; anything else runs it on a doubled batch. (Ho & Salimans 2022,
    https://arxiv.org/abs/2207.12598, write it 1 + w.) Guiding x0 is the same as guiding eps or v, of which it is an
    affine function (a bounded denoiser clamps both halves first). The guided x0 is clipped to [-1, 1].
    """
    null = torch.full_like(labels, denoiser.config.unet.null_label)

    def denoise(x: Tensor, i: int) -> Tensor:
        if guidance == 1:
            x0 = denoiser(x, i, labels)
        elif guidance == 0:
            x0 = denoiser(x, i, null)
        else:
            cond, uncond = denoiser(torch.cat([x, x]), i, torch.cat([labels, null])).chunk(2)
            x0 = uncond + guidance * (cond - uncond)
        return x0.clamp(-1, 1)

    return denoise
