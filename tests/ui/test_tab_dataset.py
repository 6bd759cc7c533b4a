"""The tab Data set: each kind of file that it offers is read back by what people read it with."""

import tarfile
import zipfile

import gradio as gr
import numpy as np
import pytest
from pyarrow import parquet
from torchvision.datasets import ImageFolder

from diffusion import Pipeline
from ui.settings import Settings
from ui.tabs.dataset import KINDS, DataSet
from ui.work import Work


@pytest.fixture
def dataset(tiny_denoiser) -> DataSet:
    with gr.Blocks():
        work = Work({"bundled": Pipeline(tiny_denoiser)})
        return DataSet(work, Settings(work))


def asked(dataset: DataSet, kind: str) -> dict[object, object]:
    """What the page sends for two of each of three digits."""
    parts = {dataset.count, dataset.hands, dataset.file, *dataset.settings.inputs}
    values = {part: part.value for part in parts} | {dataset.prompt: "3, 7, 1", dataset.kind: kind}
    return values | {dataset.count: 2}


def labels_of(path: str, folder) -> list[int]:
    """The labels in a file of any kind."""
    if path.endswith(".parquet"):
        return parquet.read_table(path)["label"].to_pylist()
    if path.endswith(".npz"):
        return np.load(path)["labels"].tolist()
    if path.endswith(".tar"):
        with tarfile.open(path) as archive:
            return [int(archive.extractfile(name).read()) for name in archive.getnames() if name.endswith(".cls")]
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return [int(ImageFolder(str(folder)).classes[label]) for label in ImageFolder(str(folder)).targets]


@pytest.mark.parametrize("kind", ["NumPy (.npz)", "Parquet", "WebDataset (.tar)", "A folder of each label (.zip)"])
def test_a_file_holds_the_labels_that_were_asked_for(dataset, kind, tmp_path) -> None:
    assert kind in [name for name, _ in dataset.kind.choices]
    for answer in dataset.make(asked(dataset, kind)):  # the file is there until the next one
        if dataset.file in answer:
            assert sorted(labels_of(answer[dataset.file]["value"], tmp_path)) == [1, 1, 3, 3, 7, 7]
            break
    else:
        pytest.fail(str(answer))


def test_what_needs_a_library_that_is_missing_is_not_offered(tiny_denoiser, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with gr.Blocks():
        work = Work({"bundled": Pipeline(tiny_denoiser)})
        dataset = DataSet(work, Settings(work))
    assert [name for name, _ in dataset.kind.choices] == [name for name in KINDS if name != "Parquet"]
    [answer] = dataset.make(asked(dataset, "Parquet"))
    assert "install it with" in answer[dataset.status]
