"""Line plots, with axes and a legend, as uint8 pictures: loss curves, and quality against steps or guidance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]

COLORS = ["#1f6feb", "#d1570a", "#1a7f37", "#8250df", "#bf3989", "#6e5c00", "#0f9aa8", "#8c959f"]
COLORS += ["#111111", "#c9a100", "#5ab4e0", "#8b3a1a", "#f083b5", "#7cc45a"]
GREY, INK = "#dddddd", "#444444"
DOTS = 200  # points of a line, at most, that are also drawn as dots


@dataclass(frozen=True)
class Layout:
    """How large a plot is, in pixels.

    Attributes:
        size: width and height of the picture.
        left, right, top, bottom: what is left around the lines.
        beside: whether the legend stands on the right of them; else it stands where falling lines leave room.
        letters: how large they are.
        ticks: about so many numbers on the axis across.
        stroke: how thick a line is.
    """

    size: tuple[int, int] = (1020, 460)
    left: int = 80
    right: int = 330
    top: int = 32
    bottom: int = 56
    beside: bool = True
    letters: int = 14
    ticks: int = 10
    stroke: int = 2


WIDE = Layout()
NARROW = Layout((720, 480), left=84, right=20, top=40, bottom=76, beside=False, letters=24, ticks=8, stroke=4)
"""For a column of a page and for a phone, which show it at half its size."""


def lines(
    series: Mapping[str, Points],
    *,
    x: str,
    y: str,
    log: str = "",
    level: tuple[str, float] | None = None,
    layout: Layout = WIDE,
) -> np.ndarray:
    """A plot of one line per series of (x, y) points, named in a legend: uint8 (H, W, 3).

    Args:
        x, y: what the axes show.
        log: the axes with a logarithmic scale: "", "x", "y" or "xy".
        level: the name and height of a dashed line right across.
        layout: how large all of it is.
    """
    level_points = [(points[0][0], level[1]) for points in series.values()] if level else []
    everything = [point for points in series.values() for point in points] + level_points
    width, height = layout.size
    left, right, bottom = layout.left, width - layout.right, height - layout.bottom
    across = _Axis([point[0] for point in everything], left, right, "x" in log)
    up = _Axis([point[1] for point in everything], bottom, layout.top, "y" in log)
    picture = Image.new("RGB", layout.size, "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(layout.letters)

    for value in up.ticks(6):
        draw.line([(left, up(value)), (right, up(value))], fill=GREY)
        draw.text((left - 8, up(value)), f"{value:.4g}", fill=INK, font=font, anchor="rm")
    for value in across.ticks(layout.ticks):
        draw.text((across(value), bottom + 8), f"{value:.4g}", fill=INK, font=font, anchor="mt")
    draw.text(((left + right) / 2, height - 8), x, fill=INK, font=font, anchor="mb")
    draw.text((8, 4), y, fill=INK, font=font, anchor="lt")

    if level:
        for start in range(left, right, 12):
            draw.line([(start, up(level[1])), (start + 6, up(level[1]))], fill=INK)
        draw.text((left + 6, up(level[1]) - 4), level[0], fill=INK, font=font, anchor="lb")
    beside, anchor = (right + 12, "lt") if layout.beside else (right - 4, "rt")
    radius, pitch = layout.stroke + 1, round(1.4 * layout.letters)
    for number, (name, points) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        spots = [(across(point[0]), up(point[1])) for point in points]
        draw.line(spots, fill=color, width=layout.stroke)
        for column, row in spots if len(spots) <= DOTS else []:
            draw.ellipse([column - radius, row - radius, column + radius, row + radius], fill=color)
        draw.text((beside, layout.top + pitch * number), name, fill=color, font=font, anchor=anchor)
    return np.asarray(picture)


class _Axis:
    """Values to pixels, along one side of the plot."""

    def __init__(self, values: Sequence[float], start: int, end: int, logarithmic: bool):
        self.logarithmic = logarithmic
        scaled = [self.scale(value) for value in values]
        self.low, self.high = min(scaled), max(scaled)
        margin = 0.04 * (self.high - self.low) or 0.5 * abs(self.high) or 1.0
        self.low, self.high = self.low - margin, self.high + margin
        self.start, self.end = start, end

    def scale(self, value: float) -> float:
        return log10(max(value, 1e-12)) if self.logarithmic else value

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (self.scale(value) - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[float]:
        """Round numbers within the axis, about `most` of them."""
        low, high = self.low, self.high
        if self.logarithmic:
            decades = range(floor(low), ceil(high) + 1)
            for digits in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
                values = [digit * 10.0**decade for decade in decades for digit in digits]
                within = [value for value in values if low <= log10(value) <= high]
                if len(within) > 3:
                    return within
            low, high = 10**low, 10**high  # too short a stretch for those: steps as on a linear axis
        rough = (high - low) / most
        unit = 10.0 ** floor(log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        return [round(number * step, 12) for number in range(ceil(low / step), floor(high / step) + 1)]
