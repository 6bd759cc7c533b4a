"""The digit on a drawing or a photo: its ink is found, cut out, scaled and centred as the digits of MNIST were."""

import numpy as np
from PIL import Image, ImageFilter

from diffusion.checks import BadInput

WORKING = 400  # pixels of the longer side on which a digit is looked for
FAINTEST = 0.08  # contrast of a digit with its paper, from black to white
MIN_INK = 0.0005  # the share of a picture that a digit must cover
BOX = 20  # pixels that a digit of MNIST fits in, of SIDE
SIDE = 28


def ink(image: Image.Image) -> np.ndarray:
    """How much ink is where on a grey picture, float (h, w) in [0, 1], at most 400 pixels wide and high.

    The light on the paper, a smooth surface, is taken away, so that dark on light and light on dark come to the same.
    A threshold between ink and paper is found by Otsu's method, and made gentle so that edges stay soft.
    """
    image.thumbnail((WORKING, WORKING), Image.Resampling.BOX)
    if min(image.size) > 60:
        image = image.filter(ImageFilter.MedianFilter(3))  # takes specks away
    grey = np.asarray(image, dtype=float) / 255
    difference = grey - _paper(grey)
    light, dark = np.quantile(difference, 0.999), -np.quantile(difference, 0.001)
    signed = difference if light >= dark else -difference
    found = signed.clip(0, max(light, dark))
    threshold = _otsu(found)
    if max(light, dark) < FAINTEST or (found > threshold).mean() < MIN_INK:
        raise BadInput("There is no digit on this picture, or too faint or small a one: draw it larger and darker.")
    low, high = 0.5 * threshold, min(1.5 * threshold, found.max())
    return ((found - low) / (high - low)).clip(0, 1)


def _paper(grey: np.ndarray) -> np.ndarray:
    """The paper under the ink: the quadratic surface that fits best, where what is far from it counts no more."""
    rows, columns = (np.linspace(-1, 1, n) for n in grey.shape)
    y, x = (each.ravel() for each in np.meshgrid(rows, columns, indexing="ij"))
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], 1)
    values, border = grey.ravel(), (abs(x) > 0.85) | (abs(y) > 0.85)
    level = np.median(values[border])  # paper is what most of the border is
    surface = np.full_like(values, level)
    for _ in range(4):
        off = abs(values - surface)
        near = off <= max(0.02, 2.5 * float(np.median(off[border])))
        if near.sum() < 10 * terms.shape[1]:
            break
        surface = terms @ np.linalg.lstsq(terms[near], values[near], rcond=None)[0]
    return surface.reshape(grey.shape)


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts values best in two (Otsu 1979)."""
    counts, edges = np.histogram(values, 128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nan_to_num(apart).argmax())])


def centred(ink: np.ndarray) -> np.ndarray:
    """Ink (h, w) in [0, 1] as a digit of MNIST, uint8 (28, 28): scaled into 20 x 20, centred by its mass."""
    rows, columns = (np.flatnonzero((ink > 0.2).any(axis)) for axis in (1, 0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(cut.shape)
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    resized = Image.fromarray((255 * cut).astype(np.uint8)).resize((width, height), Image.Resampling.HAMMING)
    digit = np.asarray(resized, dtype=float)
    digit *= 255 / digit.max()  # thin lines are faint when they are made small
    weight = digit / digit.sum()
    # MNIST's centres of mass lie on pixel 14, counted from 0.
    middle = [(weight.sum(1 - axis) * np.arange(size)).sum() for axis, size in enumerate((height, width))]
    top, left = (
        int(np.clip(round(SIDE // 2 - centre), 0, SIDE - size))
        for centre, size in zip(middle, (height, width), strict=True)
    )
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[top : top + height, left : left + width] = digit.round()
    return canvas
