"""Pictures: grids, and animations of a trajectory, with the recipe written inside the file."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from itertools import accumulate, pairwise
from math import ceil, floor, isqrt, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from diffusion import checks
from diffusion.files.atomic import write_bytes
from diffusion.files.metadata import exif
from diffusion.settings import Choice, Number, Whole, declared, setting

FRAMES = 40  # of an animation, at most
MOTION_MS = 2800  # from noise to digits, however many frames there are
FIRST_FRAME_MS = 400  # time to see that it is noise
LAST_FRAME_MS = 1600  # time to see what it became
GREYS = 16  # of every frame but the last; noise hides it, and it makes the file four times smaller
SHADES = 6  # of red, green and blue each, likewise: the same colours in every frame, so that nothing flickers
PADDING = 2  # pixels between tiles, before scaling
BORDER = 51  # their grey, one of the 16 and of the 6 above
MAX_TILES = 1000  # of one picture or animation
MAX_SCALE = 16  # pixels per pixel
MAX_PIXELS = 64_000_000  # of a picture, at a scale that is asked for
MAX_FRAME_PIXELS = 4_000_000  # of each frame of an animation, likewise
MAX_FPS = 50  # browsers slow down what is quicker
GIF_UNIT_MS = 10  # a GIF counts in hundredths of a second; the others in thousandths
MAX_WEBP = 16_383  # pixels in a row or column
ANIMATIONS = (".gif", ".webp", ".apng")
TRACKS = ("noisy", "guess", "both")  # what an animation shows


@dataclass(frozen=True)
class Options:
    """How pictures and animations are laid out. They count where they apply; BadInput for what no file can have."""

    track: str = setting(
        Choice(TRACKS), "noisy", 'the "noisy" images, the network\'s "guess" of the clean ones, or "both"'
    )
    scale: int | None = setting(Whole(1, MAX_SCALE), None, "pixels per pixel; by default what suits a screen")
    fps: float | None = setting(
        Number(1, MAX_FPS), None, "frames per second of an animation; by default as many as make some seconds"
    )
    columns: int | None = setting(
        Whole(1, MAX_TILES), None, "images side by side; by default a row per repetition, or about a square"
    )
    panel: int | None = setting(
        Whole(2, FRAMES), None, "of a .png: so many moments from noise to image, in a row for each image"
    )

    def __post_init__(self) -> None:
        for name, each in OPTIONS.items():
            if getattr(self, name) is not each.default:  # None of most, which no check knows
                object.__setattr__(self, name, each.check(getattr(self, name)))


OPTIONS = declared(fields(Options))


def check_tiles(count: int) -> None:
    """BadInput for more images than a picture holds."""
    if count > MAX_TILES:
        raise checks.BadInput(
            f"A picture holds at most {MAX_TILES:,} images, an .npz file more: choose that, or fewer images."
        )


def columns_for(labels: Sequence[int]) -> int:
    """How wide to lay images out: a column per digit where the digits repeat in order, else about a square."""
    n = len(labels)
    period = next(p for p in range(1, n + 1) if n % p == 0 and list(labels) == list(labels[:p]) * (n // p))
    if 1 < period < n and period <= 10:
        return period
    square = ceil(sqrt(n))
    return n if n <= 5 else next((c for c in range(square, 2 * square) if n % c == 0), square)


def picture(images: np.ndarray, columns: int, scale: int | None = None) -> np.ndarray:
    """A grid of uint8 images (N, H, W[, 3]).

    Args:
        scale: pixels per pixel, 1 to 16, or BadInput; by default about 1,200 pixels on the longer side.
    """
    height, width = grid(images, columns, scale=1).shape[:2]
    usual = _usual_scale(height, width)
    return grid(images, columns, usual if scale is None else checked_scale(scale, height * width, MAX_PIXELS))


def moment(tracks: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """One picture of one or two tracks at one moment, uint8 (N, H, W[, 3]) each, laid out like `animation`."""
    scale = _usual_scale(*grid(tracks[0], columns, scale=1).shape[:2])
    return _beside([grid(images, columns, scale) for images in tracks], scale)


def _usual_scale(height: int, width: int) -> int:
    """Of a grid of so many pixels, for about 1,200 on its longer side."""
    return min(MAX_SCALE, max(2, 1200 // max(height, width)))


def animation(tracks: Sequence[np.ndarray], columns: int, scale: int | None = None) -> list[np.ndarray]:
    """A picture for each frame of one or two tracks, uint8 (F, N, H, W[, 3]) each: their grids, side by side.

    Grids that are wider than high lie one below the other.

    Args:
        scale: pixels per pixel, 1 to 16, or BadInput; by default about 240,000 pixels in all, a moderate download.
    """
    height, width = grid(tracks[0][0], columns, scale=1).shape[:2]
    pixels = height * width * len(tracks)
    usual = min(12, max(2, isqrt(240_000 // pixels)))
    scale = usual if scale is None else checked_scale(scale, pixels, MAX_FRAME_PIXELS)
    return [_beside([grid(frame, columns, scale) for frame in frames], scale) for frames in zip(*tracks, strict=True)]


def _beside(grids: Sequence[np.ndarray], scale: int) -> np.ndarray:
    """Grids of one size as one picture, with a wider border between them."""
    height, width = grids[0].shape[:2]
    axis = 0 if width > height else 1
    shape = list(grids[0].shape)
    shape[axis] = 4 * PADDING * scale
    border = np.full(shape, BORDER, np.uint8)
    parts = [part for each in grids for part in (border, each)][1:]
    return np.concatenate(parts, axis)


def checked_scale(scale: int, pixels: int, most: int) -> int:
    """The scale of a picture that has so many pixels at scale 1, and may have so many in the end, or BadInput."""
    scale = checks.whole("scale", scale, 1, MAX_SCALE)
    if pixels * scale**2 > most:
        advice = f"choose at most {max(1, isqrt(most // pixels))}, or fewer images."
        raise checks.BadInput(f"The picture has more than {most:,} pixels at scale {scale}: {advice}")
    return scale


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


def png(picture: np.ndarray, recipe: str = "", **texts: str) -> bytes:
    """A uint8 picture (H, W), or (H, W, 3) in colour, as PNG, with the recipe (JSON) as its text "recipe"."""
    file = BytesIO()
    Image.fromarray(picture).save(file, format="PNG", pnginfo=_text(recipe=recipe, **texts))
    return file.getvalue()


def save_png(path: str | Path, picture: np.ndarray, recipe: str = "", **texts: str) -> None:
    """Write a picture as PNG, with the recipe and other texts by name."""
    write_bytes(path, png(picture, recipe, **texts))


Held = tuple[np.ndarray, int]
"""A frame, and how many milliseconds it is shown."""


def animated(
    kind: str,
    frames: Sequence[np.ndarray],
    recipe: str = "",
    *,
    fps: float | None = None,
    after: Sequence[Held] = (),
) -> bytes:
    """Uint8 frames (H, W), or (H, W, 3) in colour, as a looping animation with the recipe (JSON) in it.

    The first and the last frame are held longer. WebP and animated PNG are exact, and carry the recipe as image
    description and as text "recipe".

    Args:
        kind: .gif, .webp or .apng.
        fps: frames per second, 1 to 50, or BadInput; by default as many as make 2.8 seconds, or 5 to 25.
        after: more frames, which follow the last one.
    """
    if kind == ".gif":
        return gif(frames, recipe, fps=fps, after=after)
    durations = _durations(len(frames), fps) + [time for _, time in after]
    frames = [*frames, *(frame for frame, _ in after)]
    if kind == ".webp" and max(frames[0].shape) > MAX_WEBP:
        raise checks.BadInput(f"A WebP is at most {MAX_WEBP:,} pixels wide and high: choose .gif, or fewer images.")
    how: dict[str, Any] = {"format": "PNG", "pnginfo": _text(recipe=recipe)}
    if kind == ".webp":
        how = {"format": "WEBP", "exif": exif(recipe), "lossless": True, "quality": 30, "method": 2}  # of effort
    first, *others = map(Image.fromarray, frames)
    file = BytesIO()
    first.save(file, save_all=True, append_images=others, duration=durations, loop=0, **how)
    return file.getvalue()


def save_gif(path: str | Path, frames: Sequence[np.ndarray], recipe: str = "", *, fps: float | None = None) -> None:
    """Write frames as a GIF."""
    write_bytes(path, gif(frames, recipe, fps=fps))


def gif(
    frames: Sequence[np.ndarray], recipe: str = "", *, fps: float | None = None, after: Sequence[Held] = ()
) -> bytes:
    """Frames as a GIF, with the recipe as its comment.

    The last frame, and those after it, are exact in grey, and as close as 256 colours of their own come in colour; the
    others keep 16 greys, or 216 colours.
    """
    grey = frames[0].ndim == 2
    step = 255 // ((GREYS if grey else SHADES) - 1)
    coarse = ((np.arange(256) + step // 2) // step * step).astype(np.uint8)
    frames = [coarse[frame] for frame in frames[:-1]] + [frames[-1]]
    durations = _durations(len(frames), fps, GIF_UNIT_MS) + [time for _, time in after]
    frames += [frame for frame, _ in after]
    first, *others = (
        map(_changed, frames, [None, *frames], [*frames[1:], frames[-1]]) if grey else map(Image.fromarray, frames)
    )
    how: dict[str, Any] = {"duration": durations, "loop": 0, "comment": recipe.encode()}
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, optimize=not grey, **how)
    return file.getvalue()


def _changed(frame: np.ndarray, before: np.ndarray | None, after: np.ndarray) -> Image.Image:
    """A grey frame of a GIF, transparent where it is as the one before: Pillow finds that out as well, but slowly.

    What means transparent is no grey of the next frame either: Pillow would take that for unchanged there.
    """
    counts = np.bincount(frame.ravel(), minlength=256) + np.bincount(after.ravel(), minlength=256)
    free = int(counts.argmin())
    if before is None or counts[free]:  # there is no grey left to mean that
        return Image.fromarray(frame)
    image = Image.fromarray(np.where(frame == before, np.uint8(free), frame))
    image.info["transparency"] = free
    return image


def _durations(count: int, fps: float | None, unit: int = 1) -> list[int]:
    """Of so many frames, in milliseconds: each a whole number of units, and all together the time that was asked for.

    What is rounded is when each frame ends, so that no error adds up: at 34 frames per second, frames of a GIF take 20
    or 30 milliseconds, and 34 of them a second.
    """
    usual = min(200, max(40, MOTION_MS / count))
    step = usual if fps is None else 1000 / checks.number("fps", fps, 1, MAX_FPS)
    exact = [max(step, FIRST_FRAME_MS), *[step] * (count - 2), max(step, LAST_FRAME_MS)][-count:]
    ends = [floor(end / unit + 0.5) * unit for end in accumulate(exact, initial=0.0)]
    return [end - start for start, end in pairwise(ends)]


def _text(**texts: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    return info
