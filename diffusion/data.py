"""MNIST as one uint8 tensor, and the one function each way between pixels and the floats of the library."""

from pathlib import Path

import torch
from torch import Tensor

from diffusion.checks import BadInput


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W), or (N, H, W, C) in colour -> float32 (N, C, H, W) in [-1, 1]."""
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float (N, C, H, W) in [-1, 1] -> uint8 (N, H, W), or (N, H, W, C) in colour. Clips, then rounds."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.squeeze(1) if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)


def mnist(folder: str | Path, *, train: bool) -> tuple[Tensor, Tensor]:
    """The training or test digits: uint8 (N, 28, 28) and int64 labels (N,), downloaded to `folder` where missing.

    Raises BadInput where they can be neither read nor downloaded.
    """
    from torchvision.datasets import MNIST  # slow to import, and only training and evaluation need it

    damaged = BadInput(f"The MNIST files in {folder} are damaged. Delete {Path(folder) / 'MNIST'} and try again.")
    try:
        dataset = MNIST(str(folder), train=train, download=True)
    except (OSError, RuntimeError, EOFError, ValueError, AssertionError, LookupError, TypeError) as error:
        names = [Path(name).stem for name, _ in MNIST.resources]
        if all((Path(folder) / "MNIST" / "raw" / name).is_file() for name in names):
            raise damaged from None
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadInput(
            f"MNIST is not in {folder} and could not be downloaded ({reason}). "
            "Connect to the internet, or give the folder that holds MNIST/raw with --data."
        ) from None
    images, labels = dataset.data, dataset.targets
    if images.shape != (len(labels), 28, 28) or len(labels) == 0 or not 0 <= labels.min() <= labels.max() <= 9:
        raise damaged
    return images, labels
