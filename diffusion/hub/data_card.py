"""The data card: what the Hub shows of a drawn data set, told from the index in its folder."""

from pathlib import Path
from typing import Any

from diffusion.checks import BadInput, written
from diffusion.files.shards import read_index
from diffusion.hub.card import evaluation_section, read_evaluations
from diffusion.style import HOW

MARK = "<!-- This file is made anew with the data set: delete this line to keep what you write here. -->"
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)  # between the size categories of the Hub
READ = {  # how each format is read
    "parquet": 'from datasets import load_dataset\n\ndata = load_dataset("{repo}", split="train")',
    "webdataset": 'from datasets import load_dataset\n\ndata = load_dataset("{repo}", split="train")',
    "images": 'from torchvision.datasets import ImageFolder\n\ndata = ImageFolder(".")  # in a copy of this folder',
    "images of strings": "from datasets import load_dataset\n\n"
    'data = load_dataset("imagefolder", data_dir="data", split="train")  # in a copy of this folder',
    "idx": 'from torchvision.datasets import MNIST\n\ndata = MNIST(".")  # in a copy of this folder',
    "npz": 'import numpy as np\n\ndata = np.load("digits.npz")  # images, labels, seeds',
}


def data_card(folder: str | Path, repo: str) -> str:
    """The README of a whole data set, named "user/repo" or by its folder: metadata in front, then Markdown.

    It holds the figures of scores.json in the folder, as far as they are those of the same weights and settings. Raises
    BadInput where the folder holds no whole data set, or where one of the two files is damaged.
    """
    index = read_index(folder)
    if index is None:
        raise BadInput(f"{folder} holds no whole data set: draw all its shards first.")
    try:
        sections = [
            MARK,
            f"# {repo.split('/')[-1]}",
            _summary(index),
            f"## Read it\n\n```python\n{_reading(index).format(repo=repo)}\n```",
            _classes(index),
            _making(index),
            _figures(folder, index),
            "## Licence\n\nMIT, as the program that drew it.",
        ]
        metadata = _metadata(index, repo)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadInput(f"{folder} has a damaged index: draw the data set again in another folder.") from None
    return f"---\n{metadata}\n---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _reading(index: dict[str, Any]) -> str:
    """The lines that read it."""
    return READ["images of strings" if index["strings"] and index["format"] == "images" else index["format"]]


def _metadata(index: dict[str, Any], repo: str) -> str:
    from huggingface_hub import DatasetCardData

    ends = ["0", *(f"{size // 1_000_000}M" if size >= 1_000_000 else f"{size // 1_000}K" for size in SIZES)]
    place = sum(index["kept"] >= size for size in SIZES)
    size = f"n<{ends[1]}" if place == 0 else f"{ends[place]}<n<{ends[place + 1]}"
    files = [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}]
    return DatasetCardData(
        license="mit",
        pretty_name=repo.split("/")[-1],
        task_categories=["image-to-text" if index["strings"] else "image-classification"],
        size_categories=[size],
        tags=["synthetic", "diffusion", "digits"],
        configs=files if index["format"] in ("parquet", "webdataset") else None,
    ).to_yaml()


def _summary(index: dict[str, Any]) -> str:
    channels, height, width = index["shape"]
    what = "strings, each a picture of several digits in a row with its text" if index["strings"] else "labelled images"
    size = f"{height} pixels high" if index["strings"] else f"{height} x {width} pixels"
    colour = "grey" if channels == 1 else "in colour"
    return (
        f"{index['kept']:,} {what}, {size}, {colour}. They are synthetic: a diffusion model, Digit Diffusion, drew "
        "them, and nobody wrote or photographed any."
    )


def _classes(index: dict[str, Any]) -> str:
    if index["strings"]:
        return ""
    rows = [f"| {label} | {index['names'][int(label)]} | {count:,} |" for label, count in index["labels"].items()]
    return "\n".join(["| label | name | images |", "| --- | --- | --- |", *rows])


def _making(index: dict[str, Any]) -> str:
    rows = [f"| {name} | {_value(value)} |" for name, value in index["settings"].items() if name != "version"]
    table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
    read = ""
    if "right" in index:
        read = (
            f"\n\nA classifier, trained on real images, read {index['right']:,} of {index['images']:,} as asked. "
            f"Drawn in all: {index['drawn']:,}. Left out: {index['images'] - index['kept']:,}."
        )
    return f"## How it was made\n\n```bash\n{index['command']}\n```\n\n{table}{read}"


def _value(value: Any) -> str:
    return written(tuple(value)) if isinstance(value, list) else written(value)


def _figures(folder: str | Path, index: dict[str, Any]) -> str:
    settings = index["settings"]
    if not index.get("usual", True):  # words, or the hand of each string, say how to write: none was judged
        return ""
    evaluations = [
        evaluation
        for evaluation in read_evaluations(folder, settings["weights"])
        if all(settings.get(name, value) == value for name, value in evaluation.recipe.items() if name not in HOW)
        and all(settings.get(name) == evaluation.recipe.get(name) for name in HOW)
        and evaluation.precision == index.get("precision", "fp32")
    ]
    return evaluation_section(evaluations)
