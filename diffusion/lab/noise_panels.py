"""What is shown of the forward process, and of the ways back from it: pictures at noise levels, side by side."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from diffusion.data import to_uint8
from diffusion.files import render
from diffusion.files.figure import Column, figure
from diffusion.lab import forward
from diffusion.lab.forward import Denoised, Denoising, Forward, Noisy
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe
from diffusion.scheduler import T


def forward_picture(
    ending: str, pipe: Pipeline, recipe: Recipe, *, scale: int | None = None, fps: float | None = None
) -> bytes:
    """The pictures of `Forward` at its noise levels, side by side; or, as an animation, at all of them."""
    assert isinstance(recipe.activity, Forward)
    every = [round(k * (T - 1) / (render.FRAMES - 2)) for k in range(render.FRAMES - 1)]
    shown = forward.at_levels(pipe, recipe, recipe.activity.levels if ending == ".png" else every)
    clean, text = shown[0].clean, recipe.to_json()
    columns = [Column(_levels(noisy), pixels(noisy.x)) for noisy in shown]
    if ending == ".png":
        return render.png(figure([Column("picture", pixels(clean)), *columns], scale=scale), text)
    columns.insert(0, Column("clean\nalpha 1\nsigma 0\n", pixels(clean)))
    room = "\n".join(each.title for each in columns)  # all frames are as wide as the longest words need
    frames = [figure([replace(each, room=room)], scale=scale, frame=True) for each in columns]
    return render.animated(ending, frames, text, fps=fps)


def denoised_picture(
    ending: str,
    rows: Sequence[Denoised],
    recipe: Recipe,
    read: Callable[[np.ndarray], Sequence[str]] | None = None,
    *,
    scale: int | None = None,
    fps: float | None = None,
) -> bytes:
    """Three ways back from each noise level, side by side, with their errors; an animation shows the last at work.

    Args:
        read: what is read in images, to be told below them.
    """

    assert isinstance(recipe.activity, Denoising)
    by = recipe.activity.one_step
    one_step = "one step" if by == forward.OWN else f"one step of\n{by}"

    def picture(frame: float, animated: bool) -> np.ndarray:
        columns = []
        for title, images in {
            "noisy": [pixels(row.noisy.x) for row in rows],
            "blurred": [pixels(row.noisy.blur) for row in rows],
            one_step: [pixels(row.one_step) for row in rows],
            "many steps": [row.result.frames[round(frame * (len(row.result.frames) - 1))] for row in rows],
            "picture": [pixels(row.noisy.clean) for row in rows],
        }.items():
            errors = [
                f"error {error:.3f}" for row, each in zip(rows, images, strict=True) for error in row.errors(each)
            ]
            stacked = np.concatenate(images)
            read_in = read(stacked) if read and not animated else [""] * len(stacked)
            if title == "picture":
                errors = [""] * len(stacked)
            words = [f"{error}\n{text}".strip() for error, text in zip(errors, read_in, strict=True)]
            columns.append(Column(title, stacked, words))
        labels = [_levels(row.noisy) for row in rows for _ in row.noisy.clean]
        return figure(columns, labels, scale=scale, frame=animated)

    if ending == ".png":
        return render.png(picture(1, False), recipe.to_json())
    count = max(len(row.result.frames) for row in rows)
    frames = [picture(k / max(count - 1, 1), True) for k in range(count)]
    return render.animated(ending, frames, recipe.to_json(), fps=fps)


def _levels(noisy: Noisy) -> str:
    level = noisy.level
    return f"level {level.index}\nalpha {level.alpha:.3f}\nsigma {level.sigma:.3f}\nSNR {noisy.ratio}"


def pixels(x: Tensor) -> np.ndarray:
    """Images (B, C, H, W) as uint8 (B, H, W[, 3])."""
    return to_uint8(x).cpu().numpy()
