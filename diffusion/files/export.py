"""Files of single digits, written as the digits come, however many there are.

.npz       images uint8 (N, H, W[, 3]), labels and seeds int64 (N,): np.load reads it; where images are looked at in
           other ways, also viewed, what is then seen, uint8 (N, H, W[, 3]), or (N, ways, H, W[, 3])
.idx.zip   the files of MNIST itself, in the folders where torchvision looks for them; one image in seven, as there,
           is a test image, and chance, always the same, says which
.zip       a PNG of each digit, like 03-digit-7-seed-42.png (at guidance 0: 03-any-seed-42.png), and recipe.json
"""

import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import numpy as np

from diffusion import checks
from diffusion.files import render
from diffusion.files.atomic import replacing

ENDINGS = (".npz", ".zip", ".idx.zip")
LABELLED = (".npz", ".idx.zip")  # those that hold labels
MAX_FILES = 10_000  # in a .zip of single digits


GREY = "MNIST's files hold grey images: write colour ones to an .npz file."


class Plan(Protocol):
    """What is asked here of a recipe: see recipe.py."""

    @property
    def digits(self) -> tuple[int, ...]: ...
    @property
    def guidance(self) -> float: ...
    @property
    def weights(self) -> str: ...
    def alone(self, k: int) -> "Plan": ...
    def drawn_from(self, seeds: Sequence[int], weights: str) -> "Plan": ...
    def to_json(self) -> str: ...


class Images(Protocol):
    """Some of the images that are written."""

    @property
    def images(self) -> np.ndarray: ...
    @property
    def labels(self) -> list[int]: ...
    @property
    def seeds(self) -> list[int]: ...
    @property
    def viewed(self) -> np.ndarray | None: ...


class Drawn(Images, Protocol):
    """What is asked here of a result: see result.py, which saves itself through this file."""

    @property
    def recipe(self) -> Plan: ...


def check(ending: str, recipe: Plan, *, colour: bool = False) -> None:
    """BadInput where a file of one of ENDINGS cannot hold what the recipe draws, in colour or in grey.

    `write` asks it before the drawing too, but cannot know of the colour until the first images are there.
    """
    count = len(recipe.digits)
    if ending in LABELLED and recipe.guidance == 0:
        raise checks.BadInput(
            f"At guidance 0 the labels in an {ending} file would mean nothing: raise the guidance, name what to draw "
            "instead of any, or choose a .zip of single images."
        )
    if ending == ".idx.zip" and count < 2:
        raise checks.BadInput("Draw at least 2 images: of an IDX data set, some are for training and some for testing.")
    if ending == ".idx.zip" and colour:
        raise checks.BadInput(GREY)
    if ending == ".idx.zip" and max(recipe.digits) > 255:
        raise checks.BadInput("MNIST's files hold labels up to 255: write others to an .npz file.")
    if ending == ".zip" and count > MAX_FILES:
        raise checks.BadInput(f"A .zip holds at most {MAX_FILES:,} single digits: write more to an .npz file.")


def write(path: str | Path, results: Iterable[Drawn], recipe: Plan, *, scale: int | None = None) -> None:
    """Write what is drawn to a file of one of ENDINGS.

    Args:
        results: the parts of the drawing in order, such as `pipe.batches(recipe)`. They are asked for one at a time,
            after the path is found good, so that the drawing can go on while the file is written.
        recipe: of all of it.
        scale: pixels per pixel of the pictures in a .zip, 1 to 16, by default 1.
    """
    ending = checks.ending(path, ENDINGS)
    check(ending, recipe)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        if ending == ".npz":
            npz(archive, results, len(recipe.digits))
        elif ending == ".idx.zip":
            idx(lambda name: archive.open(entry(name), "w", force_zip64=True), results, len(recipe.digits))
        else:
            _zip(archive, iter(results), recipe, 1 if scale is None else scale)


def npz(archive: zipfile.ZipFile, results: Iterable[Images], count: int) -> None:
    """What np.savez_compressed writes of so many images, but a part at a time."""
    labels: list[int] = []
    seeds: list[int] = []
    viewed: list[np.ndarray] = []
    first, results = _peeked(results)
    with archive.open(entry("images.npy"), "w", force_zip64=True) as file:
        header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (count, *first.images.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for result in results:
            file.write(result.images.tobytes())
            labels += result.labels
            seeds += result.seeds
            viewed += [] if result.viewed is None else [result.viewed]
    arrays = {"labels": np.array(labels, np.int64), "seeds": np.array(seeds, np.int64)}
    for name, values in (arrays | ({"viewed": np.concatenate(viewed)} if viewed else {})).items():
        with archive.open(entry(f"{name}.npy"), "w", force_zip64=True) as file:
            np.lib.format.write_array(file, values)


def idx(opened: Callable[[str], AbstractContextManager[IO[bytes]]], results: Iterable[Images], count: int) -> None:
    """MNIST's files (http://yann.lecun.com/exdb/mnist/): a magic number, the shape, big-endian, and the bytes.

    Args:
        opened: opens a file of that path to write to, one at a time.
    """
    first, results = _peeked(results)
    if first.images.ndim == 4:
        raise checks.BadInput(GREY)
    size = first.images.shape[1:]
    tests = set(random.Random(0).sample(range(count), max(1, round(count / 7))))
    parts = {"train": [k for k in range(count) if k not in tests], "t10k": sorted(tests)}
    labels: list[int] = []
    with tempfile.TemporaryFile() as kept:  # the test images, until the others are written
        with opened("MNIST/raw/train-images-idx3-ubyte") as file:
            file.write(_idx_header(0x0803, len(parts["train"]), *size))
            for result in results:
                for k, image in enumerate(result.images, len(labels)):
                    (kept if k in tests else file).write(image.tobytes())
                labels += result.labels
        kept.seek(0)
        with opened("MNIST/raw/t10k-images-idx3-ubyte") as file:
            file.write(_idx_header(0x0803, len(tests), *size))
            shutil.copyfileobj(kept, file)
    for part, chosen in parts.items():
        with opened(f"MNIST/raw/{part}-labels-idx1-ubyte") as file:
            file.write(_idx_header(0x0801, len(chosen)) + bytes(labels[k] for k in chosen))


Some = TypeVar("Some")


def _peeked(results: Iterable[Some]) -> tuple[Some, Iterable[Some]]:
    """The first of them, and all of them."""
    rest = iter(results)
    first = next(rest)
    return first, chain([first], rest)


def _idx_header(*numbers: int) -> bytes:
    return np.array(numbers, ">i4").tobytes()


def _zip(archive: zipfile.ZipFile, results: Iterator[Drawn], recipe: Plan, scale: int) -> None:
    """Each digit with a recipe of its own, and the recipe of all of them."""
    count = len(recipe.digits)
    seeds: list[int] = []
    for result in results:
        for k, (image, label, seed) in enumerate(zip(result.images, result.labels, result.seeds, strict=True)):
            what = f"digit-{label}" if recipe.guidance else "any"
            name = f"{len(seeds):0{max(2, len(str(count - 1)))}}-{what}-seed-{seed}.png"
            picture = render.picture(image[None], 1, scale)
            archive.writestr(entry(name, zipfile.ZIP_STORED), render.png(picture, result.recipe.alone(k).to_json()))
            seeds.append(seed)
    archive.writestr(entry("recipe.json"), recipe.drawn_from(seeds, result.recipe.weights).to_json())


def entry(name: str, kind: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """A file in an archive, with no date of its own: the same digits make the same archive."""
    dateless = zipfile.ZipInfo(name)
    dateless.compress_type = kind
    return dateless
