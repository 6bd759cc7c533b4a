"""A run under way, and its result: the images, how they came about, and the files that they are saved to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion import checks
from diffusion.activity import Look
from diffusion.cores import sharing
from diffusion.data import to_uint8
from diffusion.files import export, render
from diffusion.files.atomic import write_bytes
from diffusion.files.figure import Column, figure
from diffusion.files.render import Options
from diffusion.recipe import Recipe
from diffusion.samplers import Step
from diffusion.scheduler import Level, T

ENDINGS = (".png", *render.ANIMATIONS, *export.ENDINGS)  # of the files that a result can be saved to
INK = 127  # pixels above are part of a stroke


@dataclass(frozen=True)
class Result:
    """What a run drew.

    Attributes:
        images: uint8 (N, H, W), or (N, H, W, 3) in colour: (N, 28, 28), white on black, for MNIST.
        frames: uint8 (F, N, H, W[, 3]), the trajectory from noise to images, evenly thinned to at most 40 frames.
        guesses: uint8 like the frames: the network's guess of the clean images, made from each frame.
        levels: the noise level of each frame, F of them, from 999 down to 0, and -1 at the end, which is clean.
        recipe: what was asked.
        steps: how many steps led to each frame; by default those of the recipe, evenly.
    """

    images: np.ndarray
    frames: np.ndarray
    guesses: np.ndarray
    levels: list[int]
    recipe: Recipe
    steps: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not self.steps:
            last = max(len(self.levels) - 1, 1)
            object.__setattr__(self, "steps", [round(k * self.recipe.steps / last) for k in range(len(self.levels))])

    @classmethod
    def blank(cls, recipe: Recipe, shape: tuple[int, int, int]) -> "Result":
        """One as large as that of a recipe, with images of (C, H, W), which goes from black to white in two frames."""
        channels, height, width = shape
        frames = np.zeros((2, len(recipe.digits), height, width, *([] if channels == 1 else [channels])), np.uint8)
        frames[1] = 255
        return cls(frames[1], frames, frames, [T - 1, -1], recipe)

    @property
    def labels(self) -> list[int]:
        return list(self.recipe.digits)

    @property
    def seeds(self) -> list[int]:
        return self.recipe.seeds

    @property
    def looks(self) -> list[Look]:
        """All the ways in which the images are to be looked at: one, unless its activity knows more."""
        activity = self.recipe.activity
        return activity.looks(self.images, self.labels) if activity else [Look("", self.images, tuple(self.labels))]

    @property
    def viewed(self) -> np.ndarray | None:
        """What all but the first of them show: uint8 (N, H, W[, 3]), or (N, ways, H, W[, 3]) where there are more."""
        others = [look.images for look in self.looks[1:]]
        if len(others) < 2:
            return others[0] if others else None
        return np.stack(others, 1)

    def alone(self, k: int) -> "Result":
        """Image k, counted from 0, with its own trajectory and its own recipe."""
        images, frames, guesses = self.images[[k]], self.frames[:, [k]], self.guesses[:, [k]]
        return replace(self, images=images, frames=frames, guesses=guesses, recipe=self.recipe.alone(k))

    def with_image(self, k: int, other: "Result") -> "Result":
        """The same, but image k is that of `other`, drawn alone by the same recipe from another seed. Else BadInput."""
        recipe = self.recipe.with_seed(k, other.recipe.seed)
        if recipe.alone(k) != other.recipe:
            raise checks.BadInput("Draw the image alone by the same recipe, all but its seed.")
        images, frames, guesses = self.images.copy(), self.frames.copy(), self.guesses.copy()
        images[k], frames[:, k], guesses[:, k] = other.images[0], other.frames[:, 0], other.guesses[:, 0]
        return replace(self, images=images, frames=frames, guesses=guesses, recipe=recipe)

    def save(self, path: str | Path, **options: Any) -> None:
        """Write .png (a grid), .gif, .webp or .apng (the trajectory), or a file of single digits (export.py).

        The options are those of `render.Options`: track, scale, fps, columns, panel. Another ending is BadInput, and so
        are options out of range.
        """
        chosen = Options(**options)
        ending = checks.ending(path, ENDINGS)
        if ending in export.ENDINGS:
            export.write(path, [self], self.recipe, scale=chosen.scale)
        else:
            write_bytes(path, self.picture(ending, **options))

    def picture(self, ending: str, **options: Any) -> bytes:
        """What `save` writes to a .png, .gif, .webp or .apng file."""
        chosen = Options(**options)
        if chosen.panel is not None and ending == ".png":
            return render.png(self._panel(chosen.panel, chosen.track, chosen.scale), self.recipe.to_json())
        if ending == ".png":
            picture = render.picture(self.on_one_line(self.images), self._columns(chosen), chosen.scale)
            return render.png(picture, self.recipe.to_json())
        return render.animated(ending, self.grids(chosen), self.recipe.to_json(), fps=chosen.fps)

    def until(self, k: int) -> "Result":
        """The way as far as frame k, counted from 0. Before the end, its images are the guesses of then."""
        end = checks.whole("frame", k, 0, len(self.frames) - 1) + 1
        if end == len(self.frames):
            return self
        frames, guesses = self.frames[:end], self.guesses[:end]
        levels, steps = self.levels[:end], self.steps[:end]
        return Result(guesses[-1], frames, guesses, levels, self.recipe, steps)

    def moment(self, k: int, columns: int | None = None) -> bytes:
        """A PNG of frame k, counted from 0: its noisy images, and beside them the guesses that were made from them."""
        k, columns = checks.whole("frame", k, 0, len(self.frames) - 1), self._columns(Options(columns=columns))
        images = [self.on_one_line(track[k]) for track in self.tracks("both")]
        return render.png(render.moment(images, columns), self.recipe.to_json())

    def grids(self, options: Options) -> list[np.ndarray]:
        """The frames of its animation, uint8 (H, W[, 3]) each."""
        columns = self._columns(options)
        return render.animation([self.on_one_line(each) for each in self.tracks(options.track)], columns, options.scale)

    def _columns(self, options: Options) -> int:
        """Of a grid of its images, or BadInput where they are too many for one."""
        render.check_tiles(len(self.images))
        return render.columns_for(self.labels) if options.columns is None else options.columns

    def on_one_line(self, several: np.ndarray) -> np.ndarray:
        """Images or frames ([F,] N, H, W); where one hand writes them all, moved down until the digits stand level.

        MNIST's digits lie around their centre of mass, so that a 6 stands higher than a 9.
        """
        if not isinstance(self.recipe.hand, int):
            return several
        inked: np.ndarray = self.images.max(axis=2) > INK  # (N, H)
        height = inked.shape[1]
        foot = np.where(inked.max(axis=1), height - inked[:, ::-1].argmax(1), 0)  # the row below each digit
        down = np.where(foot > 0, foot.max() - foot, 0)
        moved = [np.roll(several.take(k, axis=-3), by, axis=-2) for k, by in enumerate(down)]
        return np.stack(moved, axis=-3)

    def _panel(self, moments: int, track: str, scale: int | None) -> np.ndarray:
        """A row for each image, with the noise levels above: of each of the tracks, if there are two."""
        render.check_tiles(moments * len(self.images))
        last = len(self.levels) - 1
        chosen = sorted({round(k * last / (moments - 1)) for k in range(moments)})
        shown = np.concatenate(self.tracks(track), 1)
        titles = ["clean" if self.levels[k] < 0 else f"level {self.levels[k]}" for k in chosen]
        return figure([Column(title, shown[k]) for title, k in zip(titles, chosen, strict=True)], scale=scale)

    def tracks(self, track: str) -> list[np.ndarray]:
        """The frames of one of render.TRACKS."""
        return {"noisy": [self.frames], "guess": [self.guesses], "both": [self.frames, self.guesses]}[track]


class Run(Iterator[Step]):
    """One run under way: an iterator over its steps that keeps the trajectory for `result`.

    Args:
        steps: one for each way from a level to the next.
        start: the noisy images that it starts from (B, C, H, W).
        levels: the path that it walks, from that of the start on. It may be shorter than the recipe's.
    """

    def __init__(self, recipe: Recipe, steps: Iterator[Step], start: Tensor, levels: Sequence[Level]):
        self.recipe = recipe
        self._steps = steps
        self.length = last = len(levels) - 1  # steps in all
        count = min(render.FRAMES, last + 1)
        self._kept = {round(k * last / (count - 1)) - 1 for k in range(count)} if last else set()  # -1 is the start
        self._x, self._x0 = start, torch.full_like(start, -1)
        self._level = levels[0].index
        self._frames, self._levels = [self.frame], [self._level]
        self._guesses: list[np.ndarray] = []

    def __next__(self) -> Step:
        with sharing.step():
            step = next(self._steps)
        self._x, self._x0, self._level = step.x, step.x0, step.level
        if step.index - 1 in self._kept:  # this step's guess was made from what the last one left
            self._guesses.append(self.guess)
        if step.index in self._kept:
            self._frames.append(self.frame)
            self._levels.append(step.level)
        return step

    @property
    def level(self) -> int:
        """The noise level of the images as they are now, -1 at the end."""
        return self._level

    @property
    def frame(self) -> np.ndarray:
        """The images as they are now: uint8 (N, H, W), or (N, H, W, 3) in colour."""
        return to_uint8(self._x).cpu().numpy()

    @property
    def guess(self) -> np.ndarray:
        """The newest guess of the clean images, uint8 like `frame`: black before the first step."""
        return to_uint8(self._x0).cpu().numpy()

    def result(self) -> Result:
        """What was drawn; the steps that are left are run first."""
        for _ in self:
            pass
        guesses = [*self._guesses, self._frames[-1]]  # the last frame is clean
        steps = sorted(kept + 1 for kept in self._kept) or [0]
        images, frames = self._frames[-1], np.stack(self._frames)
        return Result(images, frames, np.stack(guesses), self._levels, self.recipe, steps)
