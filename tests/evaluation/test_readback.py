"""Reading back: captions say what the reader sees, and drawing until it reads right can be done again exactly."""

import numpy as np
import pytest
import torch

from diffusion import Pipeline, Recipe
from diffusion.data import DATASETS, to_float
from diffusion.evaluation.readback import MAX_TRIES, Reading, read, trying, until_right
from diffusion.evaluation.reader import load_reader
from diffusion.lab import Anagram
from diffusion.networks.unet import UNetConfig

RECIPE = Recipe((7, 3, 0, 9, 5), steps=1, seed=40)


class CornerReader:
    """Reads the grey of the first pixel, in ten classes: which seeds it reads right is a matter of luck."""

    dataset = "mnist"

    def read(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        distance = np.abs(images[:, 0, 0, None] / 25.6 - 0.5 - np.arange(10))
        likely = 1 / (distance + 0.1)
        return likely / likely.sum(1, keepdims=True), None


@pytest.fixture
def pipe(tiny_denoiser) -> Pipeline:
    return Pipeline(tiny_denoiser)


@pytest.fixture(scope="module")
def reader():
    return load_reader()


def test_captions_say_what_the_reader_sees(pipe, reader, digits):
    images, labels = digits
    wanted = labels.clone()
    wanted[:2] = (labels[:2] + 1) % 10
    result = pipe(wanted.tolist(), steps=1)
    object.__setattr__(result, "images", images.numpy())
    readings = read(pipe, reader, result)
    likely = torch.softmax(reader(to_float(images)), 1)
    assert [reading.read for reading in readings] == likely.argmax(1).tolist()
    assert [reading.label for reading in readings] == wanted.tolist()
    for reading, each in zip(readings, likely, strict=True):
        name, share = reading.caption.split(", ")
        assert name == str(reading.read)
        assert abs(float(share.removesuffix(" %")) - 100 * each.max()) < 0.06
        assert reading.likely_label == pytest.approx(each[reading.label].item(), abs=1e-5)
    misses = [k for k, reading in enumerate(readings) if not reading.right]
    assert misses[:2] == [0, 1]
    assert len(misses) < 10


def test_an_anagram_is_right_where_it_is_so_upright_and_turned(pipe):
    recipe = pipe.recipe([5] * 100, activity=Anagram((5,), ("rotate-180",), inner=0), steps=1, guidance=1)
    result = pipe.run(recipe).result()
    corners = result.images[:, [0, -1], [0, -1]]
    readings = read(pipe, CornerReader(), result)
    both = ((corners > 5 * 25.6) & (corners < 6 * 25.6)).all(1)
    assert [reading.right for reading in readings] == both.tolist()
    one = until_right(pipe, CornerReader(), recipe.alone(0), 100)
    corners = one.result.images[0, [0, -1], [0, -1]]
    assert one.readings[0].right == bool(((corners > 5 * 25.6) & (corners < 6 * 25.6)).all())


def test_a_caption_names_the_class():
    assert Reading(8, 9, 0.7251, 0.2, "Ankle boot").caption == "Ankle boot, 72.5 %"


def test_each_digit_is_drawn_until_it_reads_right(pipe):
    tried = until_right(pipe, CornerReader(), RECIPE, MAX_TRIES)
    assert all(reading.right for reading in tried.readings)
    assert tried.drawn > len(RECIPE.digits)
    assert tried.result.recipe.redrawn
    assert tried.readings == read(pipe, CornerReader(), tried.result)

    again = pipe.run(Recipe.from_json(tried.result.recipe.to_json())).result()
    assert np.array_equal(again.images, tried.result.images)
    assert np.array_equal(again.frames, tried.result.frames)


def test_what_reads_right_at_once_is_left_alone(pipe):
    tried = until_right(pipe, CornerReader(), RECIPE, 1)
    assert (tried.drawn, tried.result.recipe) == (5, RECIPE)
    right = [k for k, reading in enumerate(tried.readings) if reading.right]
    more = until_right(pipe, CornerReader(), RECIPE, 10)
    assert [more.result.seeds[k] for k in right] == [RECIPE.seeds[k] for k in right]

    done = until_right(pipe, CornerReader(), more.result.recipe, MAX_TRIES)
    finished = until_right(pipe, CornerReader(), done.result.recipe, MAX_TRIES)
    assert (finished.drawn, finished.result.recipe) == (5, done.result.recipe)


def test_where_none_reads_right_the_nearest_is_kept(pipe, reader):
    """A random network draws no digits: the best of n is what the reader takes for the digit the most."""
    tries = 4
    tried = until_right(pipe, reader, RECIPE, tries)
    missed = [k for k, reading in enumerate(tried.readings) if not reading.right]
    assert missed
    candidates = [(RECIPE.seeds[k] + n * 2654435761) % 2**32 for k in missed for n in range(tries)]
    digits = [RECIPE.digits[k] for k in missed for _ in range(tries)]
    drawn = pipe.run(Recipe(digits, steps=1, redrawn=tuple(enumerate(candidates)))).result()
    likely = np.array([reading.likely_label for reading in read(pipe, reader, drawn)]).reshape(len(missed), tries)
    found = [tried.readings[k].likely_label for k in missed]
    np.testing.assert_allclose(found, likely.max(1), atol=0.02)


def test_as_many_are_drawn_as_it_says(pipe, monkeypatch):
    sizes = []
    run = Pipeline.run
    monkeypatch.setattr(Pipeline, "run", lambda self, recipe: sizes.append(len(recipe.digits)) or run(self, recipe))
    tried = until_right(pipe, CornerReader(), RECIPE, 5)
    assert sizes[0] == sizes[-1] == 5
    assert sum(sizes[:-1]) == tried.drawn
    assert len(sizes) <= 6
    assert sorted(sizes[1:-1], reverse=True) == sizes[1:-1]


def test_it_can_be_followed_and_stopped(pipe, monkeypatch):
    steps, runs = [], []
    run = Pipeline.run
    monkeypatch.setattr(Pipeline, "run", lambda self, recipe: runs.append(1) or run(self, recipe))
    until_right(pipe, CornerReader(), Recipe(RECIPE.digits, steps=3, seed=40), 2, lambda: steps.append(1))
    assert len(steps) == 3 * len(runs) > 3

    following = trying(pipe, CornerReader(), Recipe(RECIPE.digits, steps=3, seed=40), 2)
    *between, tried = following
    assert between == [None] * len(steps)
    assert tried.result.recipe.digits == RECIPE.digits

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        until_right(pipe, CornerReader(), RECIPE, 2, stop)


@pytest.mark.parametrize("tries", [0, 101, 1.5, None, "3"])
def test_other_counts_of_tries_are_refused(pipe, tries, refuses):
    with refuses("tries must be a whole number from 1 to 100"):
        until_right(pipe, CornerReader(), RECIPE, tries)


def test_a_reader_of_something_else_is_refused(make_denoiser, reader, refuses):
    unet = UNetConfig((8,), 1, (), 16, image_channels=3, image_size=32)
    pipe = Pipeline(make_denoiser(unet, names=DATASETS["cifar10"].names))
    with refuses("reads mnist"):
        until_right(pipe, reader, RECIPE, 2)
    with refuses("reads mnist"):
        read(pipe, reader, pipe([7], steps=1))
