"""Files of labels that others have made: CSV, NPZ, or MNIST's own IDX, packed by gzip or not."""

import csv
import gzip
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np

from diffusion.checks import MAX_IMAGES, BadInput, shown

NAMES = ("label", "labels", "class", "target", "digit", "y", "y_train")  # of the column or the array
LARGEST = 256 * 2**20  # bytes of a file, unpacked


def read_labels(path: str | Path, names: Sequence[str]) -> list[int]:
    """The labels in a file, in its order, as int from 0.

    Args:
        names: of the classes, names[k] for label k: a CSV file may hold either.

    Raises BadInput for a file without labels, or with some that are none of these classes.
    """
    content = _content(Path(path))
    try:
        if content.startswith(b"PK"):
            labels = _npz(path, content)
        elif content.startswith(b"\0\0"):
            labels = _idx(path, content)
        else:
            labels = _csv(path, content, names)
    except BadInput:
        raise
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, csv.Error, NotImplementedError, TokenError):
        raise BadInput(f"{path} cannot be read as labels: give a CSV, NPZ or IDX file.") from None
    if not labels:
        raise BadInput(f"{path} holds no labels: give a file with some.")
    if len(labels) > MAX_IMAGES:
        raise BadInput(f"{path} holds {len(labels):,} labels, more than {MAX_IMAGES:,}: give a part of it.")
    wrong = next((label for label in labels if not 0 <= label < len(names)), None)
    if wrong is not None:
        raise BadInput(f"{path} holds the label {wrong}, and there are 0 to {len(names) - 1}: choose other weights.")
    return labels


def missing(labels: Sequence[int]) -> list[int]:
    """What fills the classes of some labels up to equal numbers, the rare ones mixed; nothing where they are equal."""
    counts = Counter(labels)
    most = max(counts.values())
    return [label for turn in range(most) for label in sorted(counts) if turn < most - counts[label]]


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise BadInput(f"{path} cannot be unpacked: give a whole file.") from None
    if len(content) > LARGEST:
        raise BadInput(f"{path} is too large for a file of labels: give one with the labels alone.")
    return content


def _npz(path: str | Path, content: bytes) -> list[int]:
    with np.load(io.BytesIO(content)) as file:
        name = next((name for name in NAMES if name in file), None)
        if name is None:
            raise BadInput(f"{path} has no array named {NAMES[0]} or {NAMES[1]}: give an NPZ file with one.")
        array = file[name]
    if not isinstance(array, np.ndarray):
        raise BadInput(f"{path} has no array but something else as {name}: give an NPZ file with one.")
    return _whole(path, array)


def _idx(path: str | Path, content: bytes) -> list[int]:
    if not content.startswith(b"\0\0\x08\x01"):
        raise BadInput(f"{path} holds no labels but images: give the file whose name has labels-idx1 in it.")
    count = int.from_bytes(content[4:8], "big")
    if len(content) != 8 + count:
        raise BadInput(f"{path} is damaged: {count:,} labels should be in it, and there are {len(content) - 8:,}.")
    return list(content[8:])


def _whole(path: str | Path, array: np.ndarray) -> list[int]:
    flat = array.squeeze()
    real = np.issubdtype(flat.dtype, np.integer) or np.issubdtype(flat.dtype, np.floating)
    if flat.ndim > 1 or not real or not np.all(np.isfinite(flat)) or np.any(flat != np.floor(flat)):
        raise BadInput(
            f"{path} must hold one whole number for each image, not an array {array.shape} of {array.dtype}."
        )
    return [int(label) for label in np.atleast_1d(flat)]


def _csv(path: str | Path, content: bytes, names: Sequence[str]) -> list[int]:
    text = content.decode("utf-8-sig")
    first = text.partition("\n")[0]
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count)) if any(row)]
    if not rows:
        return []
    known = {name.strip().lower(): label for label, name in enumerate(names)}
    header = [cell.strip().lower() for cell in rows[0]]
    column = next((header.index(name) for name in NAMES if name in header), None)
    if column is None and len(header) > 1:
        raise BadInput(f"{path} has no column named {NAMES[0]}: name the one with the labels so, in its first line.")
    labels = []
    for row in rows[column is not None :]:
        cell = row[column or 0].strip() if len(row) > (column or 0) else ""
        label = known.get(cell.lower())
        if label is None:
            if not cell.removeprefix("-").isascii() or not cell.removeprefix("-").isdigit() or len(cell) > 9:
                raise BadInput(f"{path} holds {shown(cell)}, which is no label: write numbers or names of classes.")
            label = int(cell)
        labels.append(label)
    return labels
