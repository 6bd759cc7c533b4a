"""What was made by an earlier version: its checkpoint loads, and its pictures draw the same digits again."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion import Pipeline, Recipe

BEFORE = Path(__file__).parent / "fixtures" / "before"


@pytest.fixture(scope="module")
def old() -> Pipeline:
    return Pipeline.from_pretrained(BEFORE, device="cpu")


@pytest.mark.parametrize("name", ["digits.png", "digits.gif"])
def test_an_old_picture_draws_the_same_digits(old, name, tmp_path):
    recipe = Recipe.from_file(BEFORE / name)
    assert recipe.weights == old.weights
    old.run(recipe).result().save(tmp_path / name, scale=1)
    with Image.open(BEFORE / name) as before, Image.open(tmp_path / name) as now:
        assert getattr(now, "n_frames", 1) == getattr(before, "n_frames", 1)
        for image in (before, now):
            image.seek(getattr(image, "n_frames", 1) - 1)
        pixels = [np.asarray(image.convert("L")).astype(int) for image in (before, now)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1  # rounding, on another processor


def test_old_imports_still_work():
    from diffusion.compare import Sheet
    from diffusion.evaluation import readback, reader, sheet
    from diffusion.readback import read, until_right
    from diffusion.reader import load_reader

    assert (Sheet, read, until_right, load_reader) == (
        sheet.Sheet,
        readback.read,
        readback.until_right,
        reader.load_reader,
    )
