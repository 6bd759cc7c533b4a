"""The data sets, each as one uint8 tensor, and the one function each way between pixels and the library's floats."""

import errno
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from diffusion.checks import BadInput, choice, unusable
from diffusion.files.atomic import replacing
from diffusion.files.lock import locked

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Dataset:
    """What is in a data set, and how torchvision is asked for it."""

    title: str  # as its authors write it
    source: str  # the class in torchvision.datasets
    files: tuple[str, ...]  # where that class keeps them, below the folder of all data; a .gz of one will do
    names: tuple[str, ...] = DIGITS  # of the classes: label k is names[k]
    things: str = "digits"  # what its images show
    channels: int = 1  # 1 is grey, 3 is colour
    size: int = 28  # height and width
    options: Mapping[str, str] = field(default_factory=dict)  # what else the class is told
    transposed: bool = False  # its files hold columns where the others hold rows
    archive: str = ""  # where that class keeps the one file that it downloads, for those that come in one


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
        things="clothes",
    ),
    "kmnist": Dataset(
        "KMNIST",
        "KMNIST",
        _idx("KMNIST", "train", "t10k"),
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        things="characters",
    ),
    "emnist-digits": Dataset(
        "EMNIST Digits",
        "EMNIST",
        _idx("EMNIST", "emnist-digits-train", "emnist-digits-test"),
        options={"split": "digits"},
        transposed=True,
        archive="EMNIST/raw/gzip.zip",
    ),
    "cifar10": Dataset(
        "CIFAR-10",
        "CIFAR10",
        tuple(f"cifar-10-batches-py/{name}" for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        things="pictures",
        channels=3,
        size=32,
        archive="cifar-10-python.tar.gz",
    ),
}
DEFAULT = "mnist"  # what is learned and read where nothing else is chosen


def with_classes(names: Sequence[str]) -> str | None:
    """The name of the first data set whose classes are called so, or None."""
    return next((name for name, dataset in DATASETS.items() if dataset.names == tuple(names)), None)


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W), or (N, H, W, C) in colour -> float32 (N, C, H, W) in [-1, 1]."""
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float (N, C, H, W) in [-1, 1] -> uint8 (N, H, W), or (N, H, W, C) in colour. Clips, then rounds."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.squeeze(1) if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)


UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, AssertionError, LookupError, TypeError)
"""What torchvision raises for files that are missing, damaged or not to be had."""


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

    def read(download: bool) -> Any:
        # CIFAR-10 is made of pickles, which can run any code: torchvision opens them only after their checksums,
        # which it knows by heart, are found right, downloaded or not.
        return getattr(datasets, dataset.source)(str(folder), train=train, download=download, **dataset.options)

    try:
        found = read(download=False)
    except UNREADABLE:
        files = [Path(folder) / file for file in dataset.files]
        with locked(files[0]):  # another process may be at the same
            wrong = _unpack(files)
            archive = Path(folder) / dataset.archive
            if dataset.archive and archive.is_file():  # torchvision finds its checksum wrong before it downloads
                wrong = wrong or f"{archive}, whose content is not the original"
            try:
                found = read(download=True)
            except UNREADABLE as error:
                raise _not_there(dataset, Path(folder), wrong, error) from None
    images, labels = (torch.as_tensor(part, device="cpu") for part in (found.data, found.targets))
    shape = (len(labels), dataset.size, dataset.size) + ((dataset.channels,) if dataset.channels > 1 else ())
    if images.shape != shape or len(labels) == 0 or not 0 <= labels.min() <= labels.max() < len(dataset.names):
        raise _damaged(dataset, Path(folder))
    return (images.transpose(1, 2) if dataset.transposed else images).contiguous(), labels


def _damaged(dataset: Dataset, folder: Path) -> BadInput:
    own_folder = folder / Path(dataset.files[0]).parts[0]
    return BadInput(f"The {dataset.title} files in {folder} are damaged. Delete {own_folder} and try again.")


def _not_there(dataset: Dataset, folder: Path, wrong: str, error: BaseException) -> BadInput:
    """Why a data set could be neither read nor downloaded, and what to do.

    Args:
        wrong: a file that is there and no use, and why.
        error: what the download ended with.
    """
    if isinstance(error, OSError) and not isinstance(error, URLError):
        if error.filename:
            return BadInput(unusable(error))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return BadInput(f"There is no space left in {folder}: free some, or choose another data folder.")
    missing = [path for file in dataset.files if not (path := folder / file).is_file()]
    if not missing:
        return _damaged(dataset, folder)
    give = f"give the folder that holds {Path(dataset.files[0]).parent} as the data folder"
    if wrong:
        give = f"replace {wrong}"
    elif len(missing) < len(dataset.files):
        give = f"add {missing[0]}, which is missing"
    return BadInput(
        f"{dataset.title} is not in {folder} and could not be downloaded ({_reason(error)}). Connect to the internet, "
        f"or {give}."
    )


def _unpack(files: Sequence[Path]) -> str:
    """Make missing files from their .gz where they have one; returns what is wrong with the first that is no use."""
    wrong = ""
    for file in files:
        packed = file.with_name(f"{file.name}.gz")
        if packed.is_file() and not file.is_file():
            try:
                content = gzip.decompress(packed.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                reason = getattr(error, "strerror", None) or str(error)
                wrong = wrong or f"{packed}, which cannot be unpacked ({reason[:80].rstrip('.')})"
                continue
            if file.name.endswith("-ubyte") and not content.startswith(b"\0\0\x08"):
                wrong = wrong or f"{packed}, which holds something else"
                continue
            with replacing(file) as temporary:
                temporary.write_bytes(content)
    return wrong


def _reason(error: BaseException) -> str:
    """Why a download failed: of torchvision's report on several mirrors, what it got from the first."""
    lines = str(error).splitlines() or [type(error).__name__]
    reason = next((answer for line, answer in pairwise(lines) if line.endswith("got:")), lines[0])
    inside = re.fullmatch(r"<urlopen error (?:\[Errno -?\d+\] )?(.+)>", reason)
    return (inside[1] if inside else reason)[:80].rstrip(".")
