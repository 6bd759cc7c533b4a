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


@pytest.mark.parametrize("way", ["slider", "prompt"])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_would_mean_nothing_are_refused_before_anything_is_drawn(dataset, monkeypatch, kind, way) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(dataset, "drawing", lambda recipe, kind: drawn.append(kind) or [{}])
    (guidance,) = dataset.settings.controls["bundled"]["guidance"].inputs
    [answer] = dataset.make(asked(dataset, kind) | ({guidance: 0} if way == "slider" else {dataset.prompt: "any"}))
    if KINDS[kind] == ".zip":  # single images, which are called any
        assert drawn
        return
    assert not drawn
    assert '<p role="alert" class="refused">At guidance 0 the labels' in answer[dataset.status]
    assert "raise the guidance, " in answer[dataset.status]
    assert answer[dataset.start]["interactive"]
    assert not answer[dataset.stop]["interactive"]


def test_what_needs_a_library_that_is_missing_is_not_offered(tiny_denoiser, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with gr.Blocks():
        work = Work({"bundled": Pipeline(tiny_denoiser)})
        dataset = DataSet(work, Settings(work))
    assert [name for name, _ in dataset.kind.choices] == [name for name in KINDS if name != "Parquet"]
    [answer] = dataset.make(asked(dataset, "Parquet"))
    assert "install it with" in answer[dataset.status]
