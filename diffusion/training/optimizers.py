"""The optimizers of a run, the curve of their learning rate, and the moving average of what they make."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffusion.denoiser import Denoiser
from diffusion.networks.unet import UNet
from diffusion.training.muon import Muon

OPTIMIZERS = ("muon", "adamw")
MUON_RATE = 4  # times AdamW's learning rate: after an epoch, 1 and 12 were worse

DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "exponential": lambda done: 0.1**done,
    "staircase": lambda done: 0.1**done,
    "constant": lambda done: 1.0,
}
"""What is left of the learning rate when a share, 0 to 1, of the steps after the warm-up is done."""


def learning_rate_factor(step: int, warmup: int, total: int, decay: str = "cosine", epoch: int = 1) -> float:
    """Linear from 0 to 1 over the warm-up, then the decay until `total` steps.

    The decay "staircase" goes down only every `epoch` steps.
    """
    if step < warmup:
        return (step + 1) / warmup
    if decay == "staircase":
        step -= step % epoch
    return DECAYS[decay](min(1.0, (step - warmup) / max(1, total - warmup)))


class EMA:
    """An exponential moving average of a model: parameters are averaged, buffers copied.

    The decay warms up, min(decay, (1 + n) / (10 + n)) after n updates, so that the random start is soon forgotten.
    """

    def __init__(self, model: Denoiser, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    def decay_now(self) -> float:
        """The share of the average that the next update keeps."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = self.decay_now()
        self.updates += 1
        averaged: list[Tensor] = list(self.model.parameters())
        current = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(averaged, current, 1 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.updates = state["updates"]


class PowerEMA(EMA):
    """A moving average whose length grows with the run, so that it is always the same share of it.

    After update t it has kept (1 - 1 / t) ** (gamma + 1) of what it was (Karras et al. 2023,
    https://arxiv.org/abs/2312.02696, section 3). How long the best average is, one knows when the run is over: so
    several are kept, and the best is chosen by evaluation.

    Args:
        length: its width as a share of the run, the paper's sigma_rel, from 0.01 to 0.28.
    """

    def __init__(self, model: Denoiser, length: float):
        super().__init__(model, 1)
        self.length = length
        inverse = length**-2
        roots = np.roots([1, 7, 16 - inverse, 12 - inverse])  # of the paper's algorithm 2
        self.gamma = float(roots.real.max())

    def decay_now(self) -> float:
        return float((1 - 1 / (self.updates + 1)) ** (self.gamma + 1))


def optimizers_of(
    unet: nn.Module, *, optimizer: str, learning_rate: float, beta2: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """The optimizers of a network, each for its own part of the network.

    Muon takes the convolutions between the first and the last; AdamW takes these two, the embeddings, the norms and
    all else, or everything.
    """
    convolutions: list[nn.Parameter] = []
    if optimizer == "muon":
        assert isinstance(unet, UNet)
        inside = [*unet.down.parameters(), *unet.middle.parameters(), *unet.up.parameters()]
        convolutions = [parameter for parameter in inside if parameter.ndim == 4]
    taken = set(convolutions)
    rest = [parameter for parameter in unet.parameters() if parameter not in taken]
    adamw = torch.optim.AdamW(
        rest,
        lr=learning_rate,
        betas=(0.9, beta2),
        weight_decay=weight_decay,
        fused=rest[0].device.type == "cuda",
    )
    if not convolutions:
        return [adamw]
    return [adamw, Muon(convolutions, MUON_RATE * learning_rate, weight_decay=weight_decay)]
