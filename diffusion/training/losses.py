"""The loss of a run that learns from images alone: distillation.py has that of a student."""

from typing import Any

import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from diffusion.scheduler import T


class TrainingLoss(nn.Module):
    """The denoiser's loss as a module's forward, which is what DistributedDataParallel wraps."""

    evaluations = 0  # of other networks, an image

    def __init__(self, denoiser: Denoiser, level_spread: float, loss_of: str, min_snr: float, level: int = -1):
        super().__init__()
        self.denoiser = denoiser
        self.level_spread = level_spread
        self.loss_of = loss_of
        self.min_snr = min_snr
        self.level = level  # the only one to train at; below 0 there is none

    def draw(self, x0: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """A random level and noise for each image (B, C, H, W).

        Logit-normal levels are those of Esser et al. 2024, https://arxiv.org/abs/2403.03206, section 3.1.
        """
        how: dict[str, Any] = {"generator": random, "device": x0.device, "dtype": torch.float32}
        if self.level >= 0:
            t = torch.full((len(x0),), (self.level + 0.5) / T, device=x0.device, dtype=torch.float32)
        elif self.level_spread:
            t = torch.sigmoid(self.level_spread * torch.randn(len(x0), **how))
        else:
            t = torch.rand(len(x0), **how)
        eps = torch.randn(x0.shape, **how)
        return (t * T).long().clamp(max=T - 1), eps

    def forward(self, *parts: Tensor) -> Tensor:
        return self.of(self.denoiser, *parts)

    def of(self, model: Denoiser, x0: Tensor, condition: Tensor, levels: Tensor, eps: Tensor) -> Tensor:
        """The loss of the denoiser, or its average, on clean images and what `draw` drew for them: a scalar."""
        return model.loss(x0, condition, levels, eps, loss_of=self.loss_of, min_snr=self.min_snr)
