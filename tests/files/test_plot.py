"""Line plots: every point where its axes say, in linear and in logarithmic scale."""

import numpy as np
import pytest

from diffusion.files import plot


def spots(picture: np.ndarray, color: str) -> np.ndarray:
    """The (row, column) of every pixel of exactly that color."""
    wanted = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    return np.argwhere((picture == wanted).all(axis=2))


@pytest.mark.parametrize("layout", [plot.WIDE, plot.NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_a_falling_line_falls_from_one_side_to_the_other(log, layout):
    points = [(1, 9.0), (10, 3.0), (100, 1.0)]
    picture = plot.lines({"": points}, x="steps", y="distance", log=log, layout=layout)
    found = spots(picture, plot.COLORS[0])
    left, right = found[found[:, 1].argmin()], found[found[:, 1].argmax()]
    width, height = layout.size
    assert left[0] < layout.top + 30
    assert right[0] > height - layout.bottom - 44
    assert left[1] < layout.left + 40
    assert right[1] > width - layout.right - 40


@pytest.mark.parametrize("most", [0.6, 0.16, 900.0])
def test_a_logarithmic_axis_has_numbers_enough_to_read_it(most):
    axis = plot._Axis([0.13, most], 0, 100, logarithmic=True)
    assert len(axis.ticks(6)) > 3


def test_a_power_law_is_straight_on_logarithmic_axes():
    found = spots(plot.lines({"": [(10**k, 10.0**-k) for k in range(5)]}, x="", y="", log="xy"), plot.COLORS[0])
    slope, offset = np.polyfit(found[:, 1], found[:, 0], 1)
    assert np.abs(slope * found[:, 1] + offset - found[:, 0]).max() < 6


def test_every_series_has_a_colour_and_a_place_in_the_legend():
    picture = plot.lines({f"line {k}": [(0, k), (1, k)] for k in range(len(plot.COLORS))}, x="", y="")
    assert all(len(spots(picture, color)) > 500 for color in plot.COLORS)


def test_the_level_is_a_dashed_line_within_the_plot():
    picture = plot.lines({"a": [(1, 5.0), (2, 4.0)]}, x="", y="", level=("floor", 1.0))
    rows, counts = np.unique(spots(picture, plot.INK)[:, 0], return_counts=True)
    dashed = rows[counts.argmax()]
    assert counts.max() > 300
    assert dashed > spots(picture, plot.COLORS[0])[:, 0].max() + 100


@pytest.mark.parametrize(
    "points",
    [
        [(k, 1.0) for k in range(1, 1001)],
        [(1, 1e-12), (2, 2e-12)],
        [(1, 0.0)],
        [(1, 2.0), (2, 2.0)],
        [(1, 1e-9), (2, 1e9)],
        [(5, -3.0), (5, -3.0)],
    ],
)
@pytest.mark.parametrize("log", ["", "xy"])
def test_odd_data_is_drawn_too(points, log):
    picture = plot.lines({"a": points}, x="x", y="y", log=log)
    assert picture.shape == (*plot.WIDE.size[::-1], 3)
    assert len(spots(picture, plot.COLORS[0])) > 0


def test_ticks_are_round_and_few():
    for low, high in ((0, 1), (0.1234, 0.1301), (-5, 1000), (3, 3)):
        for log in (False, True):
            axis = plot._Axis([low, high], 0, 100, log and low > 0)
            ticks = axis.ticks(6)
            assert 1 <= len(ticks) <= 30
            assert all(0 <= axis(tick) <= 100 for tick in ticks)
