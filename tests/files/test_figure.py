import numpy as np
import pytest

from diffusion.files.figure import Column, figure

IMAGES = np.arange(4 * 6 * 6, dtype=np.uint8).reshape(4, 6, 6)


def found(picture: np.ndarray, image: np.ndarray, scale: int) -> bool:
    """Whether an image stands somewhere in a picture, enlarged."""
    wanted = image.repeat(scale, 0).repeat(scale, 1)
    windows = np.lib.stride_tricks.sliding_window_view(picture, wanted.shape)
    return bool((windows == wanted).all(tuple(range(picture.ndim, 2 * picture.ndim))).any())


@pytest.mark.parametrize("colour", [False, True])
def test_every_image_stands_in_it_whole(colour) -> None:
    images = IMAGES[..., None].repeat(3, -1) if colour else IMAGES
    picture = figure([Column("one\nof all", images[:1]), Column("each", images, list("abcd"))], scale=2)
    assert picture.ndim == (3 if colour else 2)
    assert all(found(picture, image, 2) for image in images)


def test_frames_of_one_room_are_of_one_size() -> None:
    sizes = {
        figure([Column(title, IMAGES, room="the longest title of all")], scale=2).shape
        for title in (" ", "short", "the longest title of all")
    }
    assert len(sizes) == 1


def test_many_rows_are_parted(refuses) -> None:
    height, width = figure([Column("", IMAGES[:1].repeat(100, 0))], scale=2).shape
    assert height < 2 * width
    with refuses("at most 1,000 images"):
        figure([Column("", IMAGES[:1].repeat(1001, 0))])
    with refuses("pixels at scale 16"):
        figure([Column("", np.zeros((900, 28, 28), np.uint8))], scale=16, frame=True)
