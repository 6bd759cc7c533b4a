"""Images as text, in a terminal and anywhere else."""

import io
import re

import numpy as np
import pytest

from diffusion.cli.terminal_pictures import picture, shows_colours

BLOCK = "\N{UPPER HALF BLOCK}"


@pytest.fixture
def corner() -> np.ndarray:
    """Two images of 4 by 4 pixels: a white corner with a grey pixel in it, and all white."""
    images = np.full((2, 4, 4), 255, np.uint8)
    images[0] = [[255, 255, 255, 0], [255, 128, 0, 0], [255, 0, 0, 0], [0, 0, 0, 0]]
    return images


def test_plain_characters(corner: np.ndarray) -> None:
    assert picture(corner, 9, colours=False) == "@#=  @@@@\n=    @@@@"
    assert picture(corner, 8, colours=False) == "@#=\n=\n\n@@@@\n@@@@"
    assert picture(corner, 1, colours=False) == picture(corner, 8, colours=False)


def test_half_blocks_in_colours(corner: np.ndarray) -> None:
    white, black = "\x1b[38;5;231;48;5;231m", "\x1b[38;5;16;48;5;16m"
    over = "\x1b[38;5;231;48;5;16m"
    assert picture(corner[:1], 4, colours=True).splitlines() == [
        f"{white}{BLOCK}\x1b[38;5;231;48;5;244m{BLOCK}{over}{BLOCK}{black}{BLOCK}\x1b[0m",
        f"{over}{BLOCK}{black}{BLOCK * 3}\x1b[0m",
    ]
    assert picture(corner[1:], 4, colours=True) == f"{white}{BLOCK * 4}\x1b[0m\n{white}{BLOCK * 4}\x1b[0m"


def test_images_that_do_not_fit_in_a_row_are_halved(corner: np.ndarray) -> None:
    grey, dark = f"\x1b[38;5;254;48;5;238m{BLOCK}", f"\x1b[38;5;238;48;5;16m{BLOCK}"
    white = f"\x1b[38;5;231;48;5;231m{BLOCK * 2}\x1b[0m"
    assert picture(corner, 8, colours=True) == f"{grey}{dark}\x1b[0m {white}"


def test_colour_images() -> None:
    image = np.zeros((1, 2, 3, 3), np.uint8)
    image[0, 0] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    expected = "".join(f"\x1b[38;5;{code};48;5;16m{BLOCK}" for code in (196, 46, 21))
    assert picture(image, 80, colours=True) == expected + "\x1b[0m"
    assert picture(image, 80, colours=False) == ":::"


@pytest.mark.parametrize("width", [1, 20, 28, 79, 200])
@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("colours", [True, False])
def test_as_many_side_by_side_as_fit(digits, width: int, count: int, colours: bool) -> None:
    text = picture(digits[0][:count].numpy(), width, colours=colours)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.split("\n")]
    size = 14 if colours and count * 29 - 1 > width else 28
    assert max(map(len, lines)) <= max(width, size)
    columns = min(count, max(1, (width + 1) // (size + 1)))
    rows = -(-count // columns)
    assert len(lines) == rows * size // 2 + rows - 1


@pytest.mark.parametrize(
    ("terminal", "encoding", "environment", "expected"),
    [
        (True, "utf-8", {"TERM": "xterm"}, True),
        (True, "utf-8", {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, "utf-8", {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, "utf-8", {"TERM": "dumb"}, False),
        (True, "latin-1", {"TERM": "xterm"}, False),
        (True, "ascii", {"TERM": "xterm"}, False),
        (False, "utf-8", {"TERM": "xterm"}, False),
    ],
)
def test_where_colours_are_shown(monkeypatch, terminal, encoding, environment, expected) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    assert shows_colours(stream) is expected
