"""The data sets, each as one uint8 tensor, and the one function each way between pixels and the library's floats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from diffusion.checks import BadInput, choice

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Dataset:
    """What is in a data set, and how torchvision is asked for it."""

    title: str  # as its authors write it
    source: str  # the class in torchvision.datasets
    files: tuple[str, ...]  # where that class keeps them, below the folder of all data
    names: tuple[str, ...] = DIGITS  # of the classes: label k is names[k]
    channels: int = 1  # 1 is grey, 3 is colour
    size: int = 28  # height and width
    options: Mapping[str, str] = field(default_factory=dict)  # what else the class is told
    transposed: bool = False  # its files hold columns where the others hold rows


def _idx(folder: str, *parts: str) -> tuple[str, ...]:
    """The files of MNIST and its relatives."""
    return tuple(f"{folder}/raw/{part}-{kind}-ubyte" for part in parts for kind in ("images-idx3", "labels-idx1"))


DATASETS = {
    "mnist": Dataset("MNIST", "MNIST", _idx("MNIST", "train", "t10k")),
    "fashion-mnist": Dataset(
        "Fashion-MNIST",
        "FashionMNIST",
        _idx("FashionMNIST", "train", "t10k"),
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": Dataset(
        "KMNIST",
        "KMNIST",
        _idx("KMNIST", "train", "t10k"),
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "emnist-digits": Dataset(
        "EMNIST Digits",
        "EMNIST",
        _idx("EMNIST", "emnist-digits-train", "emnist-digits-test"),
        options={"split": "digits"},
        transposed=True,
    ),
    "cifar10": Dataset(
        "CIFAR-10",
        "CIFAR10",
        tuple(f"cifar-10-batches-py/{name}" for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        channels=3,
        size=32,
    ),
}


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W), or (N, H, W, C) in colour -> float32 (N, C, H, W) in [-1, 1]."""
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float (N, C, H, W) in [-1, 1] -> uint8 (N, H, W), or (N, H, W, C) in colour. Clips, then rounds."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.squeeze(1) if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)


def load(name: str, folder: str | Path, *, train: bool) -> tuple[Tensor, Tensor]:
    """The training or test images of a data set, upright, downloaded to `folder` where missing.

    Args:
        name: one of DATASETS.
        folder: that of all data sets; each has a folder of its own in it.

    Returns uint8 images (N, H, W), or (N, H, W, 3) in colour, and int64 labels (N,) from 0.
    Raises BadInput for another name, and where the images can be neither read nor downloaded.
    """
    dataset = DATASETS[choice("dataset", name, DATASETS)]
    from torchvision import datasets  # slow to import, and only training and evaluation need it

    files = [Path(folder) / file for file in dataset.files]
    own_folder = Path(folder) / Path(dataset.files[0]).parts[0]
    damaged = BadInput(f"The {dataset.title} files in {folder} are damaged. Delete {own_folder} and try again.")
    try:
        # CIFAR-10 is made of pickles, which can run any code: torchvision opens them only after their checksums,
        # which it knows by heart, are found right, downloaded or not.
        found = getattr(datasets, dataset.source)(str(folder), train=train, download=True, **dataset.options)
    except (OSError, RuntimeError, EOFError, ValueError, AssertionError, LookupError, TypeError) as error:
        if all(file.is_file() for file in files):
            raise damaged from None
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadInput(
            f"{dataset.title} is not in {folder} and could not be downloaded ({reason}). "
            f"Connect to the internet, or give the folder that holds {Path(dataset.files[0]).parent} with --data."
        ) from None
    images, labels = (torch.as_tensor(part, device="cpu") for part in (found.data, found.targets))
    shape = (len(labels), dataset.size, dataset.size) + ((dataset.channels,) if dataset.channels > 1 else ())
    if images.shape != shape or len(labels) == 0 or not 0 <= labels.min() <= labels.max() < len(dataset.names):
        raise damaged
    return (images.transpose(1, 2) if dataset.transposed else images).contiguous(), labels
