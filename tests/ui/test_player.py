"""The animation of a run: what the browser gets, pixel by pixel."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diffusion import Recipe, Result
from diffusion.lab import ImageToImage
from diffusion.lab.picture import packed
from ui import player
from ui.tabs.learned import EVOLUTION, evolution
from ui.work import Moment

DIGITS = tuple("0123456789")


def pixels(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("shape", [(28, 28), (12, 20, 3)], ids=["MNIST", "in colour"])
def test_every_tile_of_every_frame_is_where_the_browser_looks_for_it(shape) -> None:
    tracks = np.random.default_rng(0).integers(0, 256, (2, 5, 3, *shape), dtype=np.uint8)  # two tracks, 5 frames
    recipe = Recipe((7, 7, 3), steps=4, seed=8)
    animation = player.trajectory(Result(tracks[0, -1], *tracks, [999, 749, 499, 249, -1], recipe), DIGITS)
    sprite = pixels(animation["sprite"]).astype(int)
    width, height = animation["size"]
    assert (height, width) == shape[:2]
    assert sprite.shape == (5 * height, 2 * 3 * width, *shape[2:])
    for track in range(2):
        for frame in range(5):
            for tile in range(3):
                x, y = (track * 3 + tile) * width, frame * height
                found, put = sprite[y : y + height, x : x + width], tracks[track, frame, tile]
                assert abs(found - put).max() <= (0 if frame == 4 else player.GREYS // 2)  # the last one is exact


def test_an_animation_says_where_in_the_run_each_frame_is() -> None:
    images = np.zeros((5, 1, 28, 28), np.uint8)
    recipe = Recipe((7,), steps=4, seed=8)
    animation = player.trajectory(Result(images[-1], images, images, [999, 749, 499, 249, -1], recipe), DIGITS)
    assert animation["captions"] == [
        "Step 0 of 4, noise level 999",
        "Step 1 of 4, noise level 749",
        "Step 2 of 4, noise level 499",
        "Step 3 of 4, noise level 249",
        "Step 4 of 4, no noise left",
    ]
    assert animation["tiles"] == [{"name": "7, seed 8", "label": 7}]
    live = player.live(recipe, DIGITS, Moment(3, 4, 249, images[0], images[0]))
    assert (live["captions"], live["live"]) == (["Step 3 of 4, noise level 249"], {"done": 3, "of": 4})


def test_a_digit_that_nobody_asked_for_is_not_named() -> None:
    assert player.titles(Recipe((4,), guidance=0, seed=5), DIGITS) == ["any, seed 5"]


def test_the_animation_that_plays_at_first_is_of_the_ten_digits(pipe) -> None:
    result = player.first_result(pipe)
    assert result is not None
    animation = player.trajectory(result, DIGITS, example=True)
    assert [tile["name"][0] for tile in animation["tiles"]] == list("0123456789")
    asked = pipe.recipe(range(10))
    assert result.recipe == replace(asked, weights=pipe.weights), "what the controls ask for at first"
    assert animation["captions"][-1] == f"Step {asked.steps} of {asked.steps}, no noise left"
    assert pixels(animation["sprite"]).shape == (len(animation["captions"]) * 28, 20 * 28)


def test_the_evolution_is_cut_out_of_the_grids_that_training_made(pipe) -> None:
    animation = evolution(pipe, player.asset(EVOLUTION, "digits"))
    assert animation is not None
    sprite = pixels(animation["sprite"])
    assert sprite.shape == (len(animation["captions"]) * 28, len(animation["tiles"]) * 28)
    last = sprite[-28:].reshape(28, -1, 28)
    assert (last[:, :, 0] < 128).all(), "digits are centred: a tile cut off by one shows its neighbour's border"
    assert last.mean(axis=(0, 2)).min() > 5, "and every tile has a digit"


def test_captions_count_the_steps_of_a_path_that_is_cut_short(pipe):
    picture = packed(np.eye(28, dtype=np.uint8))
    for strength, words in (
        (0.5, ["Step 0 of 2, noise level 499", "Step 1 of 2", "Step 2 of 2, no"]),
        (0, ["Step 0 of 0"]),
    ):
        result = pipe([7], steps=4, activity=ImageToImage((picture,), strength))
        captions = player.trajectory(result.alone(0), DIGITS)["captions"]
        assert len(captions) == len(words)
        assert all(caption.startswith(word) for caption, word in zip(captions, words, strict=True))
