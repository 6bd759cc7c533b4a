"""Data sets in the formats that people read, in a folder.

parquet    data/train-00000-of-00016.parquet: image, label, seed; `datasets.load_dataset(folder)` reads it, with the
           names of the classes; of strings image, text, seed
webdataset data/train-000000.tar: 000042.png, 000042.cls (the label; of strings .txt) and 000042.json
npz        digits.npz: images uint8 (N, H, W[, 3]), labels and seeds int64 (N,)
images     3/000042.png, a folder for each label: torchvision's ImageFolder reads it; of strings data/000042.png, with
           their texts in data/metadata.jsonl
idx        MNIST's own files, where torchvision's MNIST looks for them
"""

import importlib.util
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from diffusion.checks import BadInput
from diffusion.files import export
from diffusion.files.atomic import replacing, write_bytes, write_text
from diffusion.files.plan import Part


@dataclass(frozen=True)
class Content:
    """What is to be written.

    Attributes:
        parts: the images, a shard at a time.
        count: of all images.
        shards: how many parts there will be.
        names: of the classes: label k is names[k].
    """

    parts: Iterable[Part]
    count: int
    shards: int
    names: Sequence[str]
    strings: bool = False  # whether the images have texts for labels


Write = Callable[[Path, Content], Iterator[str]]
"""Writes to a folder, and names what it has written there: files, or folders of them."""


@dataclass(frozen=True)
class Format:
    """A format of a data set."""

    write: Write
    grey: bool = False  # whether it holds no colour
    strings: bool = True  # whether it holds strings
    needs: str = ""  # the library that writes it

    @property
    def installed(self) -> bool:
        """Whether it can be written here."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None


def _parquet(folder: Path, content: Content) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet

    what = "text" if content.strings else "label"
    label = {"names": list(content.names), "_type": "ClassLabel"}
    features = {
        "image": {"_type": "Image"},
        what: {"dtype": "string", "_type": "Value"} if content.strings else label,
        "seed": {"dtype": "int64", "_type": "Value"},
    }
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    kind = pyarrow.string() if content.strings else pyarrow.int64()
    columns = [("image", image), (what, kind), ("seed", pyarrow.int64())]
    schema = pyarrow.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
    for k, part in enumerate(content.parts):
        images = [
            {"bytes": png(image), "path": f"{number:06}.png"}
            for image, number in zip(part.pictures, part.numbers, strict=True)
        ]
        name = f"data/train-{k:05}-of-{content.shards:05}.parquet"
        with replacing(folder / name) as temporary:
            rows = {"image": images, what: part.texts if content.strings else part.labels, "seed": part.seeds}
            parquet.write_table(pyarrow.table(rows, schema), temporary)
        yield name


def _webdataset(folder: Path, content: Content) -> Iterator[str]:
    for k, part in enumerate(content.parts):
        name = f"data/train-{k:06}.tar"
        with replacing(folder / name) as temporary, tarfile.open(temporary, "w") as archive:
            for k, (image, seed, number) in enumerate(zip(part.pictures, part.seeds, part.numbers, strict=True)):
                about: dict[str, object] = {"seed": seed}
                if content.strings:
                    said = {"txt": part.texts[k]}
                else:
                    said = {"cls": str(part.labels[k])}
                    about |= {"label": part.labels[k], "name": content.names[part.labels[k]]}
                texts = {ending: text.encode() for ending, text in (said | {"json": json.dumps(about)}).items()}
                for ending, data in ({"png": png(image)} | texts).items():
                    entry = tarfile.TarInfo(f"{number:06}.{ending}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
        yield name


def _npz(folder: Path, content: Content) -> Iterator[str]:
    with replacing(folder / "digits.npz") as temporary, zipfile.ZipFile(temporary, "w") as archive:
        export.npz(archive, content.parts, content.count)
    yield "digits.npz"


def _images(folder: Path, content: Content) -> Iterator[str]:
    if content.strings:
        yield from _images_of_strings(folder, content)
        return
    digits = len(str(len(content.names) - 1))
    for part in content.parts:
        for image, label, number in zip(part.images, part.labels, part.numbers, strict=True):
            write_bytes(folder / f"{label:0{digits}}" / f"{number:06}.png", png(image))
    yield from (f"{label:0{digits}}/" for label in range(len(content.names)))


def _images_of_strings(folder: Path, content: Content) -> Iterator[str]:
    """The texts are in a file beside them, as the folders of images that `datasets` reads have it.

    It is JSON, for in a CSV file 0042 would be read as 42.
    """
    lines: list[str] = []
    for part in content.parts:
        for image, text, seed, number in zip(part.pictures, part.texts, part.seeds, part.numbers, strict=True):
            write_bytes(folder / "data" / f"{number:06}.png", png(image))
            lines.append(json.dumps({"file_name": f"{number:06}.png", "text": text, "seed": seed}))
    write_text(folder / "data" / "metadata.jsonl", "\n".join(lines))
    yield "data/"


def _idx(folder: Path, content: Content) -> Iterator[str]:
    names = []

    @contextmanager
    def opened(name: str) -> Iterator[IO[bytes]]:
        names.append(name)
        with replacing(folder / name) as temporary, temporary.open("wb") as file:
            yield file

    export.idx(opened, content.parts, content.count)
    yield from names


def one_file(stem: Path, name: str, content: Content) -> Path:
    """The same as one file, whose path begins with `stem`: where a format has several, or a folder, a .zip of them."""
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        for _ in FORMATS[name].write(folder, content):
            pass
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if len(files) == 1:
            return Path(shutil.copy(files[0], f"{stem}{files[0].suffix}"))
        path = Path(f"{stem}.zip")
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for file in files:
                name = file.relative_to(folder).as_posix()
                archive.writestr(export.entry(name, zipfile.ZIP_STORED), file.read_bytes())
        return path


def png(image: np.ndarray) -> bytes:
    """An image uint8 (H, W[, 3]) as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


FORMATS = {
    "parquet": Format(_parquet, needs="pyarrow"),
    "webdataset": Format(_webdataset),
    "npz": Format(_npz, strings=False),
    "images": Format(_images),
    "idx": Format(_idx, grey=True, strings=False),
}
"""By name, the usual one first."""


def check_guidance(guidance: float) -> None:
    """BadInput where the network is not told the labels of a data set."""
    if guidance == 0:
        raise BadInput(
            "At guidance 0 the labels of a data set would mean nothing: raise the guidance, or name what to draw "
            "instead of any."
        )


def check(name: str, count: int, classes: int, *, colour: bool, strings: bool = False) -> None:
    """BadInput where a format cannot be written here, or cannot hold so many images of so many classes."""
    needs = FORMATS[name].needs
    if not FORMATS[name].installed:
        raise BadInput(f"The format {name} needs {needs}: install it with `pip install {needs}`, or choose another.")
    if strings and not FORMATS[name].strings:
        able = ", ".join(each for each in FORMATS if FORMATS[each].strings)
        raise BadInput(f"The format {name} holds no texts: choose one of {able} for strings.")
    if FORMATS[name].grey and colour:
        raise BadInput("MNIST's files hold grey images: choose another format for colour ones.")
    if name == "idx" and count < 2:
        raise BadInput("Draw at least 2 images: of an IDX data set, some are for training and some for testing.")
    if name == "idx" and classes > 256:
        raise BadInput("MNIST's files hold labels up to 255: choose another format.")
