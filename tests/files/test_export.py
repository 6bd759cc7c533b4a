"""Files of single digits: what is drawn comes back from each, by the readers that others use."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import MNIST

from diffusion import Pipeline, Recipe, data
from diffusion.files import export
from diffusion.networks.unet import UNetConfig

RECIPE = Recipe((7, 3, 0) * 5, steps=2, seed=40).with_seed(4, 99)


@pytest.fixture
def pipe(tiny_denoiser) -> Pipeline:
    return Pipeline(tiny_denoiser)


def unpacked(path: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(path.parent / "data")
    return path.parent / "data"


def test_npz_is_the_same_in_parts_and_whole(pipe, tmp_path):
    result = pipe.run(RECIPE).result()
    result.save(tmp_path / "whole.npz")
    export.write(tmp_path / "parts.npz", pipe.batches(RECIPE, 4), RECIPE)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "parts.npz") as parts:
        assert sorted(whole) == sorted(parts) == ["images", "labels", "seeds"]
        assert np.array_equal(whole["images"], result.images)
        np.testing.assert_allclose(parts["images"].astype(int), result.images, atol=1)
        for file in (whole, parts):
            assert file["images"].dtype == np.uint8
            assert file["labels"].tolist() == list(RECIPE.digits)
            assert file["seeds"].tolist() == RECIPE.seeds


@pytest.mark.parametrize("count", [2, 3, 15])
def test_idx_is_read_by_torchvision_and_by_training(pipe, tmp_path, count):
    recipe = replace(RECIPE, digits=RECIPE.digits[:count], redrawn=())
    result = pipe.run(recipe).result()
    result.save(tmp_path / "drawn.idx.zip")
    folder = unpacked(tmp_path / "drawn.idx.zip")
    sets = [MNIST(str(folder), train=train) for train in (True, False)]
    assert [len(each) for each in sets] == [count - max(1, round(count / 7)), max(1, round(count / 7))]
    drawn = [(image.tobytes(), label) for image, label in zip(result.images, recipe.digits, strict=True)]
    places = [
        [
            drawn.index((image.numpy().tobytes(), int(label)))
            for image, label in zip(each.data, each.targets, strict=True)
        ]
        for each in sets
    ]
    assert sorted(places[0] + places[1]) == list(range(count))  # each image once, with its label
    assert all(each == sorted(each) for each in places)  # and in the order of the drawing
    images, labels = data.load("mnist", folder, train=True)
    assert torch.equal(images, sets[0].data)
    assert torch.equal(labels, sets[0].targets)


@pytest.mark.parametrize("digits", [(0,) * 70 + (1,) * 70, (0, 1, 2, 3, 4, 5, 6) * 20], ids=["sorted", "by sevens"])
def test_idx_tests_every_digit_that_it_trains_on(pipe, tmp_path, digits):
    pipe(digits, steps=1).save(tmp_path / "drawn.idx.zip")
    tests = MNIST(str(unpacked(tmp_path / "drawn.idx.zip")), train=False)
    assert set(tests.targets.tolist()) == set(digits)


def test_idx_in_parts_is_the_same(pipe, tmp_path):
    pipe.run(RECIPE).result().save(tmp_path / "whole.idx.zip")
    export.write(tmp_path / "parts.idx.zip", pipe.batches(RECIPE, 4), RECIPE)
    with zipfile.ZipFile(tmp_path / "whole.idx.zip") as whole, zipfile.ZipFile(tmp_path / "parts.idx.zip") as parts:
        assert whole.namelist() == parts.namelist()
        for name in whole.namelist():
            first, second = (np.frombuffer(file.read(name), np.uint8).astype(int) for file in (whole, parts))
            np.testing.assert_allclose(first, second, atol=1)


@pytest.mark.parametrize("scale", [None, 3])
def test_zip_holds_every_digit_under_its_name_with_its_recipe(pipe, tmp_path, scale):
    result = pipe.run(RECIPE).result()
    result.save(tmp_path / "digits.zip", scale=scale)
    with zipfile.ZipFile(tmp_path / "digits.zip") as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        contents = [archive.read(name) for name in names]
    assert names[:5] == [
        "00-digit-7-seed-40.png",
        "01-digit-3-seed-41.png",
        "02-digit-0-seed-42.png",
        "03-digit-7-seed-43.png",
        "04-digit-3-seed-99.png",
    ]
    assert names[-1] == "recipe.json"
    assert Recipe.from_json(contents[-1].decode()) == result.recipe
    for k, content in enumerate(contents[:-1]):
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert np.array_equal(pixels, result.images[k].repeat(scale or 1, 0).repeat(scale or 1, 1))
    (tmp_path / "one.png").write_bytes(contents[4])
    assert Recipe.from_file(tmp_path / "one.png") == result.recipe.alone(4)


def test_a_zip_does_not_name_digits_that_were_not_asked_for(pipe, tmp_path):
    pipe.run(replace(RECIPE, guidance=0)).result().save(tmp_path / "digits.zip")
    with zipfile.ZipFile(tmp_path / "digits.zip") as archive:
        assert archive.namelist()[0] == "00-any-seed-40.png"


def test_zip_in_parts_has_one_recipe(pipe, tmp_path):
    export.write(tmp_path / "digits.zip", pipe.batches(RECIPE, 4), RECIPE)
    with zipfile.ZipFile(tmp_path / "digits.zip") as archive:
        assert Recipe.from_json(archive.read("recipe.json").decode()) == RECIPE
        assert len(archive.namelist()) == len(RECIPE.digits) + 1


@pytest.mark.parametrize("ending", export.ENDINGS)
def test_the_same_digits_make_the_same_file(pipe, tmp_path, ending):
    result = pipe([7, 3], steps=1)
    for name in "ab":
        result.save(tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


@pytest.mark.parametrize("ending", export.ENDINGS)
def test_a_drawing_that_breaks_off_leaves_nothing(pipe, tmp_path, ending):
    def breaking():
        yield pipe.run(next(RECIPE.split(4))).result()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.write(tmp_path / f"a{ending}", breaking(), RECIPE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", export.ENDINGS)
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_drawn(tmp_path, ending, refuses):
    def drawing():
        pytest.fail("drawn")
        yield

    (tmp_path / "file").write_text("in the way")
    with refuses("Cannot write"):
        export.write(tmp_path / "file" / f"a{ending}", drawing(), RECIPE)


@pytest.mark.parametrize("ending", export.LABELLED)
def test_labels_that_would_mean_nothing_are_refused_before_anything_is_drawn(pipe, tmp_path, ending, refuses):
    def drawing():
        pytest.fail("drawn")
        yield

    recipe = replace(RECIPE, guidance=0)
    with refuses("At guidance 0 the labels"):
        export.write(tmp_path / f"a{ending}", drawing(), recipe)
    with refuses("At guidance 0 the labels"):
        pipe.run(recipe).result().save(tmp_path / f"a{ending.upper()}")
    assert not list(tmp_path.iterdir())


def test_what_a_kind_cannot_hold_is_refused(pipe, make_denoiser, tmp_path, refuses):
    with refuses("at least 2 images"):
        pipe([7], steps=1).save(tmp_path / "a.idx.zip")
    unet = UNetConfig((8,), 1, (), 16, image_channels=3, image_size=32)
    with refuses("grey images"):
        Pipeline(make_denoiser(unet))([7, 3], steps=1).save(tmp_path / "a.idx.zip")
    with refuses("labels up to 255"):
        export.write(tmp_path / "a.idx.zip", iter(()), Recipe((0, 256)))
    with refuses("at most 10,000 single digits"):
        export.write(tmp_path / "a.zip", iter(()), Recipe((7,) * 10_001))
    assert not list(tmp_path.iterdir())
