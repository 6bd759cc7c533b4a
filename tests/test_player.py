"""The film of a run: what the browser gets, pixel by pixel."""

import base64
import io

import numpy as np
from PIL import Image

from diffusion import Recipe, Result
from ui import player
from ui.tabs.learned import evolution


def pixels(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_every_tile_of_every_frame_is_where_the_browser_looks_for_it() -> None:
    tracks = np.random.default_rng(0).integers(0, 256, (2, 5, 3, 28, 28), dtype=np.uint8)  # two tracks, 5 frames
    recipe = Recipe((7, 7, 3), steps=4, seed=8)
    film = player.trajectory(Result(tracks[0, -1], *tracks, [999, 749, 499, 249, -1], recipe))
    sprite = pixels(film["sprite"]).astype(int)
    assert sprite.shape == (5 * 28, 2 * 3 * 28)
    for track in range(2):
        for frame in range(5):
            for tile in range(3):
                x, y = (track * 3 + tile) * 28, frame * 28
                found, put = sprite[y : y + 28, x : x + 28], tracks[track, frame, tile]
                assert abs(found - put).max() <= (0 if frame == 4 else player.GREYS // 2)  # the last one is exact


def test_a_film_says_where_in_the_run_each_frame_is() -> None:
    images = np.zeros((5, 1, 28, 28), np.uint8)
    recipe = Recipe((7,), steps=4, seed=8)
    film = player.trajectory(Result(images[-1], images, images, [999, 749, 499, 249, -1], recipe))
    assert film["captions"] == [
        "Step 0 of 4, noise level 999",
        "Step 1 of 4, noise level 749",
        "Step 2 of 4, noise level 499",
        "Step 3 of 4, noise level 249",
        "Step 4 of 4, no noise left",
    ]
    assert film["tiles"] == [{"name": "7, seed 8"}]
    live = player.live(recipe, player.Moment(3, 249, images[0], images[0]))
    assert (live["captions"], live["live"]) == (["Step 3 of 4, noise level 249"], {"done": 3, "of": 4})


def test_a_digit_that_nobody_asked_for_is_not_named() -> None:
    assert player.names(Recipe((4,), guidance=0, seed=5)) == ["any, seed 5"]


def test_the_film_that_plays_at_first_is_of_the_ten_digits() -> None:
    film = player.example()
    assert film is not None
    assert [tile["name"][0] for tile in film["tiles"]] == list("0123456789")
    assert pixels(film["sprite"]).shape == (len(film["captions"]) * 28, 20 * 28)


def test_the_evolution_is_cut_out_of_the_grids_that_training_made() -> None:
    film = evolution()
    sprite = pixels(film["sprite"])
    assert sprite.shape == (len(film["captions"]) * 28, len(film["tiles"]) * 28)
    last = sprite[-28:].reshape(28, -1, 28)
    assert (last[:, :, 0] < 128).all(), "digits are centred: a tile cut off by one shows its neighbour's border"
    assert last.mean(axis=(0, 2)).min() > 5, "and every tile has a digit"
