"""Pictures: grids, and animated GIFs of a trajectory, with the recipe written inside the file."""

from collections.abc import Sequence
from math import ceil, isqrt, sqrt
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, PngImagePlugin

from diffusion.files import replacing

FRAMES = 40  # of an animation, at most
MOTION_MS = 2800  # from noise to digits, however many frames there are
FIRST_FRAME_MS = 400  # time to see that it is noise
LAST_FRAME_MS = 1600  # time to see what it became
GREYS = 16  # of every frame but the last; noise hides it, and it makes the file four times smaller
SHADES = 6  # of red, green and blue each, likewise: the same colours in every frame, so that nothing flickers
PADDING = 2  # pixels between tiles, before scaling
BORDER = 51  # their grey, one of the 16 and of the 6 above
MAX_TILES = 1000  # of one picture or animation


def columns_for(labels: Sequence[int]) -> int:
    """How wide to lay images out: a column per digit where the digits repeat in order, else about a square."""
    n = len(labels)
    period = next(p for p in range(1, n + 1) if n % p == 0 and list(labels) == list(labels[:p]) * (n // p))
    if 1 < period < n and period <= 10:
        return period
    square = ceil(sqrt(n))
    return n if n <= 5 else next((c for c in range(square, 2 * square) if n % c == 0), square)


def picture(images: np.ndarray, columns: int) -> np.ndarray:
    """A grid of uint8 images (N, H, W[, 3]), enlarged to about 1,200 pixels on its longer side."""
    height, width = grid(images, columns, scale=1).shape[:2]
    return grid(images, columns, scale=min(16, max(2, 1200 // max(height, width))))


def animation(tracks: Sequence[np.ndarray], columns: int) -> list[np.ndarray]:
    """A picture for each frame of one or two tracks, uint8 (F, N, H, W[, 3]) each: their grids, side by side.

    They are enlarged to about 240,000 pixels together, a moderate download. Grids that are wider than high lie one
    below the other.
    """
    height, width = grid(tracks[0][0], columns, scale=1).shape[:2]
    scale = min(12, max(2, isqrt(240_000 // (height * width * len(tracks)))))
    return [_beside([grid(frame, columns, scale) for frame in frames], scale) for frames in zip(*tracks, strict=True)]


def _beside(grids: Sequence[np.ndarray], scale: int) -> np.ndarray:
    """Grids of one size as one picture, with a wider border between them."""
    height, width = grids[0].shape[:2]
    axis = 0 if width > height else 1
    border = np.full_like(np.take(grids[0], range(4 * PADDING * scale), axis, mode="clip"), BORDER)
    parts = [part for each in grids for part in (border, each)][1:]
    return np.concatenate(parts, axis)


def grid(images: np.ndarray, columns: int, scale: int) -> np.ndarray:
    """Lay uint8 images (N, H, W), or (N, H, W, 3) in colour, out in rows, enlarged by whole pixels: one picture."""
    n, h, w = images.shape[:3]
    rows = ceil(n / columns)
    canvas = np.zeros((rows * columns, *images.shape[1:]), np.uint8)
    canvas[:n] = images
    border = ((0, 0), (0, PADDING), (0, PADDING)) + ((0, 0),) * (images.ndim - 3)
    canvas = np.pad(canvas, border, constant_values=BORDER)
    canvas = canvas.reshape(rows, columns, h + PADDING, w + PADDING, *images.shape[3:]).swapaxes(1, 2)
    canvas = canvas.reshape(rows * (h + PADDING), columns * (w + PADDING), *images.shape[3:])
    canvas = canvas[:-PADDING, :-PADDING]
    return canvas.repeat(scale, axis=0).repeat(scale, axis=1)


def save_png(path: str | Path, picture: np.ndarray, recipe: str = "") -> None:
    """Write a uint8 picture (H, W), or (H, W, 3) in colour, as PNG, with the recipe (JSON) as its text "recipe"."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("recipe", recipe)
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", pnginfo=info)


def save_gif(path: str | Path, frames: Sequence[np.ndarray], recipe: str = "") -> None:
    """Write uint8 frames (H, W), or (H, W, 3) in colour, as a looping GIF with the recipe (JSON) as its comment.

    The first and the last frame are held longer. The last one is exact in grey, and as close as 256 colours of its own
    come in colour; the others keep 16 greys, or 216 colours.
    """
    step = 255 // ((GREYS if frames[0].ndim == 2 else SHADES) - 1)
    coarse = ((np.arange(256) + step // 2) // step * step).astype(np.uint8)
    frames = [coarse[frame] for frame in frames[:-1]] + [frames[-1]]
    durations = [min(200, max(40, MOTION_MS // len(frames)))] * len(frames)
    durations[0] = FIRST_FRAME_MS
    durations[-1] = LAST_FRAME_MS
    with replacing(path) as temporary:
        iio.imwrite(
            temporary, frames, extension=".gif", plugin="pillow", duration=durations, loop=0, comment=recipe.encode()
        )
