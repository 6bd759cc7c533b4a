"""One random stream per image, so that an image depends on its own seed and on nothing else in the batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion.hardware import CPU_FLOAT32


class Noise:
    """Standard normal noise for a batch of images, each from a generator of its own.

    Calling it gives the next (B, C, H, W) of every stream, in float32. It is drawn on the CPU and then moved, so that a
    seed means the same image on every device.
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, int, int], device: torch.device | str = "cpu"):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape = shape
        self.device = device

    def __call__(self) -> Tensor:
        drawn = [torch.randn(self.shape, generator=generator, **CPU_FLOAT32) for generator in self.generators]
        return torch.stack(drawn).to(self.device)
