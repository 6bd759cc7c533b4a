"""The recipe: it says the same after any journey, and other JSON is refused."""

import json

import numpy as np
import pytest
import torch

from diffusion import Recipe


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe((7,)),
        Recipe(tuple(range(10)) * 30, guidance=0, steps=1000, seed=2**32 - 1),
        Recipe((0, 9), guidance=1 / 3, steps=1, sampler="ddim", eta=0.1 + 0.2),
        Recipe((1,), guidance=20, sampler="ddpm"),
        Recipe((1, 2, 3), redrawn=((2, 0), (0, 2**32 - 1)), weights="0123abcd"),
    ],
)
def test_it_comes_back_from_its_json(recipe):
    text = recipe.to_json()
    assert "\n" not in text
    assert Recipe.from_json(text) == recipe
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize(
    ("digits", "name"),
    [
        ((2, 0, 2, 6), "2026"),
        ((7, 7, 7), "777"),
        (tuple(range(10)) * 10, "0123456789x10"),
        ((7,) * 13, "7x13"),
        ((*range(10), 0, 0, 0, 1), "012345678900-and-2-more"),
        ((1, 0), "10"),
    ],
)
def test_its_name_tells_every_digit_and_stays_short(digits, name):
    assert Recipe(digits, seed=5).name == f"digits-{name}-seed5"


@pytest.mark.parametrize(
    ("labels", "name"),
    [((10,), "10"), ((1, 0, 10), "1-0-10"), ((10, 25) * 7, "10-25x7"), ((3,) * 12 + (10,), "3-" * 12)],
)
def test_its_name_keeps_labels_above_9_apart(labels, name):
    assert Recipe(labels, seed=5).name.startswith(f"labels-{name}")


def test_its_json_says_no_more_than_it_must():
    assert "redrawn" not in Recipe(tuple(range(10)) * 100).to_json()
    assert "weights" not in Recipe((7,)).to_json()
    assert len(Recipe(tuple(range(10)) * 100).with_seed(7, 5).to_json()) < 3500


def test_it_holds_plain_values_whatever_it_was_given():
    recipe = Recipe(np.array([7, 3]), np.float32(2), torch.tensor(20.0), "ddim", np.int64(0), np.uint32(5))
    assert recipe == Recipe((7, 3), 2.0, 20, "ddim", 0.0, 5)
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    "text",
    [
        "",
        "digits",
        "null",
        "7",
        "[]",
        '"text"',
        "{}",
        "{",
        '{"digits": [7]}',
        '{"version": 1}',
        '{"version": 2, "digits": [7]}',
        '{"version": null, "digits": [7]}',
        '{"version": 1, "digits": [7], "colour": "red"}',
        '{"version": 1, "digits": "7"}',
        '{"version": 1, "digits": [7], "steps": NaN}',
        '{"version": 1, "digits": [7], "guidance": Infinity}',
        '{"version": 1, "digits": [-1]}',
        '{"version": 1, "digits": {"7": 1}}',
        '{"version": 1, "digits": [7], "sampler": ["ddim"]}',
        "[" * 100_000,
        '{"version": 1, "digits": [' + "9" * 10_000 + "]}",
        '{"version": 1, "digits": [7], "redrawn": [[1, 5]]}',
        '{"version": 1, "digits": [7], "redrawn": [5]}',
        '{"version": 1, "digits": [7], "redrawn": {"0": 5}}',
        '{"version": 1, "digits": [7], "redrawn": [[0, -1]]}',
        '{"version": 1, "digits": [7], "redrawn": [[0.5, 1]]}',
        '{"version": 1, "digits": [7], "weights": "../../etc"}',
        '{"version": 1, "digits": [7], "weights": ["0123abcd"]}',
        '{"version": 1, "digits": [7], "weights": null}',
        '{"version": 5, "digits": [0], "upscale": "some/where"}',
        '{"version": 5, "digits": [0], "prompts": ["a cat"], "upscale": 7}',
        '{"version": 4, "digits": [0], "prompts": ["a cat"], "upscale": "some/where"}',
    ],
    ids=lambda text: text[:40],
)
def test_other_json_is_refused(text, refuses):
    with refuses():
        Recipe.from_json(text)


class TestStyle:
    RECIPE = Recipe((7, 3, 7), thickness=3, slant=-0.25, hand=5, words=((2, "wide"), (0, "upright")))

    def test_it_comes_back_and_says_that_it_is_newer(self):
        text = self.RECIPE.to_json()
        assert Recipe.from_json(text) == self.RECIPE
        assert json.loads(text)["version"] == 3
        assert self.RECIPE.words == ((0, "upright"), (2, "wide"))
        assert not {"thickness", "slant", "width", "hand", "words"} & json.loads(Recipe((7,)).to_json()).keys()

    def test_the_words_go_along_with_their_image(self):
        assert self.RECIPE.alone(2).words == ((0, "wide"),)
        assert [part.words for part in self.RECIPE.split(2)] == [((0, "upright"),), ((0, "wide"),)]
        assert self.RECIPE.some([2, 1, 0], [4, 5, 6]).words == ((0, "wide"), (2, "upright"))

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"thickness": 99}, "thickness must be any or 0 to 28, not 99"),
            ({"slant": "left"}, "slant must be any or"),
            ({"hand": "mine"}, "hand must be any, many or 0 to"),
            ({"hand": -1}, "hand must be any, many or 0 to"),
            ({"words": ((0, "thick"), (0, "thin"))}, "thick and thin at once"),
            ({"words": ((1, "thick"),)}, "from 0 to 0"),
            ({"words": ((0, "pretty"),)}, "A word must be one of thin, thick"),
            ({"words": "thick"}, "pairs of an image and a word"),
        ],
    )
    def test_what_no_digit_can_look_like_is_refused(self, wrong, told, refuses):
        with refuses(told):
            Recipe((7,), **wrong)
