"""Images as text: half blocks in the colours of a terminal, or plain characters."""

import os
from itertools import groupby
from typing import TextIO

import numpy as np

SHADES = " .:-=+*#%@"
HALF_BLOCK = "\N{UPPER HALF BLOCK}"


def picture(images: np.ndarray, width: int, *, colours: bool) -> str:
    """Images as text, as many side by side as fit.

    Args:
        images: uint8 (N, H, W), or (N, H, W, 3) in colour.
        width: of the text, in characters.
        colours: half blocks in the 256 colours of a terminal, two pixels each, and at half their size the images that
            do not fit in one row; or else plain characters, from " " for black to "@" for white.
    """
    n, h, w = images.shape[:3]
    images = images.reshape(n, h, w, -1)
    if colours and n * (w + 1) - 1 > width:
        h, w = h // 2, w // 2
        images = images[:, : 2 * h, : 2 * w].reshape(n, h, 2, w, 2, -1).mean((2, 4))
    columns = max(1, (width + 1) // (w + 1))
    drawn = [_half_blocks(image) if colours else _shades(image) for image in images]
    rows = [drawn[at : at + columns] for at in range(0, n, columns)]
    return "\n\n".join("\n".join(" ".join(line).rstrip() for line in zip(*row, strict=True)) for row in rows)


def shows_colours(stream: TextIO) -> bool:
    """Whether half blocks in colour can be shown there: on a terminal that has both, without NO_COLOR."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        HALF_BLOCK.encode(stream.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _half_blocks(image: np.ndarray) -> list[str]:
    """The lines of an image (H, W, C): the block is the upper pixel, its background the lower one."""
    lines = []
    colours = _colours(image)
    for pair in zip(colours[::2], colours[1::2], strict=False):  # two rows to a line
        line = ""
        for (top, bottom), run in groupby(zip(*pair, strict=True)):
            line += f"\x1b[38;5;{top};48;5;{bottom}m" + HALF_BLOCK * len(list(run))
        lines.append(line + "\x1b[0m")
    return lines


def _colours(image: np.ndarray) -> np.ndarray:
    """The nearest of a terminal's 256 colours for each pixel of an image (H, W, C): (H, W)."""
    if image.shape[2] == 1:  # black, 24 greys, white
        levels, codes = np.array([0, *range(8, 239, 10), 255]), np.array([16, *range(232, 256), 231])
        return codes[np.abs(image - levels).argmin(-1)]
    levels = np.array([0, 95, 135, 175, 215, 255])  # of red, green and blue, in a cube of 216 colours
    return 16 + np.abs(image[..., None] - levels).argmin(-1) @ [36, 6, 1]


def _shades(image: np.ndarray) -> list[str]:
    """The lines of an image (H, W, C), of which each shows the mean of two rows: a character is about twice as high."""
    h = len(image) // 2
    grey = image[: 2 * h].reshape(h, 2, image.shape[1], -1).mean((1, 3))
    return ["".join(SHADES[shade] for shade in line) for line in (grey / 255 * (len(SHADES) - 1)).round().astype(int)]
