"""What is shown of an activity: its pictures, what it drew, and each way to look at that, side by side."""

from collections.abc import Sequence
from math import ceil, cos, pi
from textwrap import fill

import numpy as np
from PIL import Image

from diffusion.activity import Look
from diffusion.files import render
from diffusion.files.figure import Column, figure
from diffusion.lab.edit import ImageToImage, WithPictures
from diffusion.lab.illusions import Anagram
from diffusion.lab.morph import Morph
from diffusion.recipe import Recipe
from diffusion.result import Result

TURN_MS = 250  # a frame of a picture that turns
SEEN_MS = 1500  # time to read it
MORPH_MS = 80  # a frame of a morph
MORPH_COLUMNS = 8
LETTERS = 24  # in a line of words beside or above pictures: prompts are long
MOST_ACROSS = 8  # drawings of one picture, as one digit, in a row


def picture(
    ending: str,
    result: Result,
    names: Sequence[str],
    captions: Sequence[Sequence[str]] = (),
    *,
    track: str = "noisy",
    scale: int | None = None,
    fps: float | None = None,
) -> bytes:
    """The file with an ending .png, .gif, .webp or .apng that shows a result of an activity, with its recipe.

    An animation is the trajectory; the images of an anagram then turn, and a morph goes there and back.

    Args:
        names: of the classes.
        captions: what was read in each image, for each look.
        track: noisy or guess, of a trajectory.
    """
    recipe, activity = result.recipe, result.recipe.activity
    if ending == ".png":
        return render.png(_figure(recipe, result.images, names, captions, scale=scale), recipe.to_json())
    if isinstance(activity, Morph):
        first, after = _loop(result.images, scale, fps)
        return render.animated(ending, first, recipe.to_json(), after=after)
    [frames] = result.tracks(track)
    after = []
    if isinstance(activity, Anagram):
        pictures = [_seen(result.looks, 0, images, names, scale) for images in frames]
        after = _turning(result.looks, names, scale)
    else:
        pictures = [_figure(recipe, images, names, (), scale=scale, frame=True) for images in frames]
    return render.animated(ending, pictures, recipe.to_json(), fps=fps, after=after)


def columns(
    recipe: Recipe, images: np.ndarray, names: Sequence[str], captions: Sequence[Sequence[str]] = ()
) -> tuple[list[Column], list[str]]:
    """What stands side by side for images uint8 (N, H, W[, 3]) of a recipe, and what is written beside each row.

    What was drawn of one picture, as one digit, is one row, unless that is too much for it.
    """
    activity = recipe.activity
    assert activity is not None
    looks = activity.looks(images, recipe.digits)
    captions = captions or [()] * len(looks)
    if not isinstance(activity, WithPictures):
        return [Column(_title(look, names), look.images, read) for look, read in zip(looks, captions, strict=True)], []
    titles = ["drawn"]
    if isinstance(activity, ImageToImage):
        titles = [f"strength {each:.2g}" for each in dict.fromkeys(activity.strengths or [activity.strength])]
    across = len(titles)
    wanted = list(zip(_each(activity.images, len(images)), recipe.digits, strict=True))[::across]
    rows = next(n for n in range(1, len(wanted) + 1) if wanted[:n] * (len(wanted) // n) == wanted)
    times = len(wanted) // rows  # that each row is drawn
    if times > 1 and across * times > MOST_ACROSS:
        rows, times = len(wanted), 1
    drawn = []
    for k in range(times * across):
        chosen = [(k // across * rows + row) * across + k % across for row in range(rows)]
        read = [captions[0][n] for n in chosen] if captions[0] else []
        drawn.append(Column(titles[k % across] if k < across or across > 1 else "", images[chosen], read))
    shown = [Column(title, each[::across][:rows]) for title, each in activity.inputs()]
    return [*shown, *drawn], [
        fill(f"as {names[digit]}", LETTERS) for _, digit in wanted[:rows]
    ] if recipe.guidance else []


def _each(pictures: Sequence[str], count: int) -> list[str]:
    """A picture for each image, where there may be one for all."""
    return list(pictures) * (count // len(pictures))


def _figure(
    recipe: Recipe,
    images: np.ndarray,
    names: Sequence[str],
    captions: Sequence[Sequence[str]],
    *,
    scale: int | None,
    frame: bool = False,
) -> np.ndarray:
    if isinstance(recipe.activity, Morph):
        moments = [f"{100 * moment / (len(recipe.activity.digits) - 1):.0f} %" for moment in recipe.activity.moments]
        read = captions[0] if captions else moments
        down = ceil(len(images) / MORPH_COLUMNS)
        padded = np.zeros((down * MORPH_COLUMNS, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        words = [*read, *[""] * (len(padded) - len(images))]
        return figure(
            [Column("", padded[k::MORPH_COLUMNS], words[k::MORPH_COLUMNS]) for k in range(MORPH_COLUMNS)],
            scale=scale,
            frame=frame,
        )
    shown, rows = columns(recipe, images, names, captions)
    return figure(shown, rows, scale=scale, frame=frame)


def _title(look: Look, names: Sequence[str]) -> str:
    wanted = set(look.labels)
    return fill(f"{look.title}: {names[look.labels[0]]}", LETTERS) if len(wanted) == 1 else look.title


def _seen(
    looks: Sequence[Look], k: int | None, images: np.ndarray, names: Sequence[str], scale: int | None
) -> np.ndarray:
    """Images as they are seen in look k, or between two; all such pictures are of one size."""
    titles = [_title(look, names) for look in looks]
    lines = max(title.count("\n") for title in titles)
    title = " " if k is None else titles[k]
    title += "\n" * (lines - title.count("\n"))
    return figure([Column(title, images, room=max(titles, key=len))], scale=scale, frame=True)


def _turning(looks: Sequence[Look], names: Sequence[str], scale: int | None) -> list[render.Held]:
    """The finished images, turned into each of their other looks and back."""
    frames: list[render.Held] = []
    first = looks[0].images
    for k, look in enumerate(looks[1:], 1):
        there = [(_seen(looks, None, images, names, scale), TURN_MS) for images in _between(first, look)]
        frames += [*there, (_seen(looks, k, look.images, names, scale), SEEN_MS), *reversed(there)]
        frames.append((_seen(looks, 0, first, names, scale), SEEN_MS))
    return frames


def _between(first: np.ndarray, look: Look) -> list[np.ndarray]:
    """Some moments of the way from images uint8 (N, H, W[, 3]) to what they look like through a view."""

    def turned(angle: float) -> np.ndarray:
        return np.stack(
            [np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BILINEAR)) for image in first]
        )

    def squeezed(images: np.ndarray, share: float, axis: int) -> np.ndarray:
        size = images.shape[1 + axis]
        at = np.round((np.arange(size) - (size - 1) / 2) / share + (size - 1) / 2).astype(int)
        inside = (at >= 0) & (at < size)
        made = images.take(at.clip(0, size - 1), 1 + axis)
        shape = [1] * images.ndim
        shape[1 + axis] = size
        return made * inside.reshape(shape).astype(np.uint8)

    if look.title.startswith("rotate-"):
        angle = {"rotate-180": 180, "rotate-90": 90, "rotate-270": -90}[look.title]
        count = abs(angle) // 45
        return [turned(angle * k / count) for k in range(1, count)]
    if look.title in ("flip", "mirror"):
        axis = 0 if look.title == "flip" else 1
        shares = [(k, cos(pi * k / 4)) for k in (1, 2, 3)]
        return [squeezed(first if k < 2 else look.images, max(abs(share), 0.15), axis) for k, share in shares]
    return [((1 - share) * first + share * look.images).astype(np.uint8) for share in (0.25, 0.5, 0.75)]


def _loop(images: np.ndarray, scale: int | None, fps: float | None) -> tuple[list[np.ndarray], list[render.Held]]:
    """A morph there and back, a picture at a time: its first frame, and those after it. Both ends are held."""
    pictures = render.animation([images[:, None]], 1, scale)
    time = MORPH_MS if fps is None else max(render.GIF_UNIT_MS, round(100 / fps) * render.GIF_UNIT_MS)
    there = [(each, time) for each in pictures[1:-1]]
    return pictures[:1], [*there, (pictures[-1], SEEN_MS), *reversed(there)]
