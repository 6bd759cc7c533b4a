"""Figures: columns of images with words above them and below each, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffusion.files.render import BORDER, MAX_FRAME_PIXELS, MAX_PIXELS, check_tiles, checked_scale

TEXT = 14  # pixels: the height of the letters
LINE = 18  # pixels from line to line
GAP = 10  # pixels around images and words
BETWEEN = 24  # pixels between two stretches of rows
WHITE, GREY = 255, 170  # what is written above images, and below
LONGER_SIDE = 1100  # pixels that a figure is scaled to, about
FRAME_PIXELS = 240_000  # of a frame, likewise
LARGEST = 8  # pixels per pixel, by default


@dataclass(frozen=True)
class Column:
    """Images below each other.

    Attributes:
        title: above them, in one or more lines.
        images: uint8 (N, H, W) or (N, H, W, 3), one for each row; a single one stands in all rows.
        captions: below each, or none.
        room: another title, where the column is to be as wide as that needs.
    """

    title: str
    images: np.ndarray
    captions: Sequence[str] = ()
    room: str = ""


def figure(
    columns: Sequence[Column], rows: Sequence[str] = (), *, scale: int | None = None, frame: bool = False
) -> np.ndarray:
    """A picture uint8 (H, W), or (H, W, 3) in colour. Many rows are parted, and the parts stand side by side.

    Args:
        rows: what is written on the left of each row, or none.
        scale: pixels per pixel of the images; by default about 1,100 pixels in all on the longer side.
        frame: whether it is one of an animation, and by default smaller.

    Raises BadInput for more than 1,000 images.
    """
    count = max(len(column.images) for column in columns)
    check_tiles(count * len(columns))
    height, width = columns[0].images.shape[1:3]
    parts = 1
    while parts < count and ceil(count / parts) * (height + 8) > 1.3 * parts * len(columns) * (width + 8):
        parts += 1
    down = ceil(count / parts)
    parts = ceil(count / down)
    across, high = parts * len(columns) * (width + 6), down * (height + 6)
    if scale is None:
        scale = isqrt(FRAME_PIXELS // (across * high)) if frame else LONGER_SIDE // max(across, high)
        scale = min(LARGEST, max(2, scale))
    else:
        scale = checked_scale(scale, across * high, MAX_FRAME_PIXELS if frame else MAX_PIXELS)
    font = ImageFont.load_default(TEXT)

    def length(text: str) -> int:
        return max(ceil(font.getlength(line)) for line in text.split("\n"))

    widths = [
        max(width * scale, *map(length, [column.title, column.room, *column.captions])) + GAP for column in columns
    ]
    left = max(map(length, rows), default=-GAP) + 2 * GAP
    head = LINE * max(column.title.count("\n") + 1 if column.title else 0 for column in columns) + GAP
    lines = max(text.count("\n") + 1 if text else 0 for column in columns for text in column.captions or [""])
    row = height * scale + lines * LINE + GAP
    part = left + sum(widths) + BETWEEN
    colour = columns[0].images.ndim == 4
    canvas = Image.new("L", (parts * part - BETWEEN, head + down * row), BORDER)
    canvas = canvas.convert("RGB") if colour else canvas
    pen = ImageDraw.Draw(canvas)
    white, grey = ((WHITE,) * 3, (GREY,) * 3) if colour else (WHITE, GREY)
    for k in range(count):
        x, y = k // down * part + left, head + k % down * row
        if rows:
            pen.text((x - GAP, y + height * scale / 2), rows[k], white, font, "rm")
        for column, room in zip(columns, widths, strict=True):
            middle = x + (room - GAP) / 2
            if k % down == 0 and column.title:
                pen.multiline_text((middle, GAP / 2), column.title, white, font, "ma", 4, "center")
            image = column.images[k if len(column.images) > 1 else 0]
            enlarged = image.repeat(scale, 0).repeat(scale, 1)
            canvas.paste(Image.fromarray(enlarged), (int(middle - width * scale / 2), y))
            if column.captions:
                pen.multiline_text((middle, y + height * scale + 2), column.captions[k], grey, font, "ma", 4, "center")
            x += room
    return np.asarray(canvas)
