"""The map: real digits lie in the crowds of their classes, blurs between them, and a way ends where its image is."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion import Recipe
from diffusion.data import DATASETS
from diffusion.evaluation.map import Map, load_map, make_map, map_file, save_map
from diffusion.evaluation.reader import READER, Reader, load_reader, save_reader
from diffusion.files.map_picture import LARGE


@pytest.fixture(scope="module")
def drawn() -> Map:
    return load_map()


def nearest(drawn: Map, images) -> np.ndarray:
    return ((drawn.places(images)[:, None] - drawn.crowds) ** 2).sum(2).argmin(1)


def test_real_digits_lie_nearest_to_their_own_crowd(drawn, digits) -> None:
    images, labels = digits
    assert (nearest(drawn, images) == labels.numpy()).mean() >= 0.95
    assert np.linalg.norm(drawn.crowds, axis=1).min() > 0.8


def test_what_may_be_any_digit_lies_in_the_middle_and_what_may_be_two_between(drawn, digits) -> None:
    images, labels = (part.numpy() for part in digits)
    anything = images.mean(0).round().astype(np.uint8)[None]
    assert np.linalg.norm(drawn.places(anything)) < 0.3
    blurs = np.stack([images[labels == label].mean(0).round() for label in range(10)]).astype(np.uint8)
    inside = np.linalg.norm(drawn.places(blurs), axis=1) < np.linalg.norm(drawn.crowds, axis=1)
    assert inside.mean() >= 0.8


def test_a_way_ends_where_the_image_is(drawn, pipe) -> None:
    result = pipe([7, 3], steps=3)
    way = drawn.way(result)
    assert way.shape == (4, 2, 2)
    assert np.allclose(way[-1], drawn.places(result.images), atol=1e-5)
    assert np.allclose(way[0, 1], drawn.places(result.guesses[0])[1], atol=1e-5)
    path = drawn.path(result)
    assert np.array_equal(path[0], np.zeros((2, 2)))
    assert np.array_equal(path[1:], way)


def test_pictures_show_the_map_and_hold_the_recipe(drawn, pipe, tmp_path) -> None:
    result = pipe([7, 3], steps=3)
    for ending in (".png", ".gif"):
        content = drawn.picture(result, ending)
        (tmp_path / f"map{ending}").write_bytes(content)
        assert Recipe.from_file(tmp_path / f"map{ending}") == result.recipe
    with Image.open(tmp_path / "map.png") as png, Image.open(io.BytesIO(result.picture(".gif"))) as plain:
        assert png.mode == "RGB"
        with Image.open(tmp_path / "map.gif") as gif:
            assert (gif.n_frames, gif.width > plain.width) == (plain.n_frames, True)


def test_beside_large_frames_the_map_stays_of_its_size(drawn) -> None:
    frames = [np.full((3 * LARGE, 8), 200, np.uint8)]
    [shown] = drawn.ground.beside(frames, np.zeros((1, 1, 2)), np.zeros((1, 1, 28, 28), np.uint8), [7])
    assert shown.shape == (3 * LARGE, 8 + LARGE, 3)
    assert (shown[:, :8] == 200).all()


def test_a_map_lies_beside_its_reader_and_belongs_to_no_other(tmp_path, digits, monkeypatch, refuses) -> None:
    for name, value in {"REAL": 300, "BLENDS": 300, "POOL": 300, "EPOCHS": 2, "POINTS": 50}.items():
        monkeypatch.setattr(f"diffusion.evaluation.map.{name}", value)
    file = tmp_path / "own.safetensors"
    file.write_bytes(READER.read_bytes())
    with refuses("has no map"):
        load_map(file)
    made = make_map(load_reader(file), *digits, *digits)
    assert save_map(made, file) == map_file(file) == tmp_path / "own-map.safetensors"
    again = load_map(file)
    assert (again.points.shape, again.names) == ((50, 2), DATASETS["mnist"].names)
    assert np.abs(again.places(digits[0]) - made.places(digits[0])).max() < 0.02  # half precision
    assert np.array_equal(again.labels, made.labels)

    torch.manual_seed(1)
    save_reader(Reader(10, 1, "mnist"), file)
    with refuses("another reader"):
        load_map(file)
    map_file(file).write_bytes(b"no map")
    with refuses("does not hold a map"):
        load_map(file)


def test_images_of_another_size_are_refused(drawn, refuses) -> None:
    with refuses("of that size and colour"):
        drawn.places(np.zeros((1, 32, 32, 3), np.uint8))
