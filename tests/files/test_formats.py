"""Data sets in a folder: what is written comes back from each format, by the reader that people use."""

from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import MNIST, ImageFolder

from diffusion.files import formats
from diffusion.files.formats import FORMATS, Content
from diffusion.files.plan import Part

NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "nine")


@pytest.fixture
def parts(digits) -> list[Part]:
    """30 digits in two shards, of which the reader has left two out."""
    images, labels = digits[0].numpy()[:300:10], digits[1].tolist()[:300:10]

    def part(numbers: list[int]) -> Part:
        return Part(images[numbers], [labels[k] for k in numbers], [k + 5 for k in numbers], numbers)

    return [part([*range(0, 7), *range(8, 20)]), part([*range(20, 29)])]


@pytest.fixture
def written(parts, tmp_path, monkeypatch):
    """Writes them in a format, and returns the folder and what is in it by number: image, label, seed."""

    def write(name: str) -> tuple[Path, list[tuple[bytes, int, int]]]:
        files = [*FORMATS[name].write(tmp_path / "out", Content(iter(parts), 28, 2, NAMES))]
        there = {f"{path.relative_to(tmp_path / 'out')}" for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert there == set(files) or all(any(name.startswith(folder) for folder in files) for name in there)
        rows = [
            (image.tobytes(), label, seed)
            for part in parts
            for image, label, seed in zip(part.images, part.labels, part.seeds, strict=True)
        ]
        return tmp_path / "out", rows

    return write


@pytest.mark.process  # it takes seconds to import datasets
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_parquet_by_datasets(written, tmp_path):
    import datasets

    folder, rows = written("parquet")
    found = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert found.features["label"].names == list(NAMES)
    assert [(np.asarray(row["image"]).tobytes(), row["label"], row["seed"]) for row in found] == rows
    assert found[0]["image"].mode == "L"


@pytest.mark.process  # as long, nearly
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_tar_files_by_webdataset(written):
    import webdataset

    folder, rows = written("webdataset")
    tars = sorted(str(path) for path in folder.glob("data/*.tar"))
    found = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    assert [(np.asarray(row["png"].convert("L")).tobytes(), row["cls"], row["json"]["seed"]) for row in found] == rows
    assert {row["json"]["name"] for row in found if row["cls"] == 9} <= {"nine"}


def test_image_folder_by_torchvision(written):
    folder, rows = written("images")
    (folder / "index.json").write_text("{}")  # beside it lies what is no folder
    found = ImageFolder(str(folder))
    assert found.classes == [str(label) for label in range(10)]
    assert sorted((np.asarray(image.convert("L")).tobytes(), label) for image, label in found) == sorted(
        (image, label) for image, label, _ in rows
    )


def test_idx_by_torchvision(written):
    folder, rows = written("idx")
    sets = [MNIST(str(folder), train=train) for train in (True, False)]
    assert [len(each) for each in sets] == [24, 4]
    found = [
        (image.numpy().tobytes(), int(label))
        for each in sets
        for image, label in zip(each.data, each.targets, strict=True)
    ]
    assert sorted(found) == sorted((image, label) for image, label, _ in rows)


def test_npz_by_numpy(written):
    folder, rows = written("npz")
    with np.load(folder / "digits.npz") as file:
        found = zip(file["images"], file["labels"].tolist(), file["seeds"].tolist(), strict=True)
        assert [(image.tobytes(), label, seed) for image, label, seed in found] == rows


@pytest.mark.process
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["parquet", "images"])
def test_strings_by_datasets(digits, tmp_path, name):
    import datasets

    pictures = digits[0].numpy()[:4].reshape(2, 2, 28, 28).swapaxes(1, 2).reshape(2, 28, 56)
    part = Part(pictures, [], [5, 7], [0, 1], ["07", "4"], [56, 28])
    list(FORMATS[name].write(tmp_path / "out", Content([part], 2, 1, NAMES, strings=True)))
    found = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [(row["image"].size, row["text"], row["seed"]) for row in found] == [((56, 28), "07", 5), ((28, 28), "4", 7)]


@pytest.mark.parametrize(
    ("name", "count", "classes", "colour", "sentence"),
    [
        ("idx", 1, 10, False, "Draw at least 2 images"),
        ("idx", 9, 10, True, "MNIST's files hold grey images"),
        ("idx", 9, 300, False, "labels up to 255"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(refuses, name, count, classes, colour, sentence):
    formats.check(name, 9, 10, colour=False)
    with refuses(sentence):
        formats.check(name, count, classes, colour=colour)


def test_a_library_that_is_missing_is_named(refuses, monkeypatch):
    formats.check("parquet", 9, 10, colour=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refuses("needs pyarrow: install it with `pip install pyarrow`"):
        formats.check("parquet", 9, 10, colour=True)
