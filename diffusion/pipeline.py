"""The pipeline: what to draw -> a stream of steps -> a result. The one way in, for library, CLI and page alike."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion import checkpoint, checks, export, render
from diffusion.cores import sharing
from diffusion.data import to_uint8
from diffusion.denoiser import Denoiser
from diffusion.guidance import evaluations, few_step, guided
from diffusion.hardware import best_device
from diffusion.inference import prepared
from diffusion.noise import Noise
from diffusion.recipe import Recipe
from diffusion.samplers import SAMPLERS, Step, asked, ddim
from diffusion.scheduler import T

ENDINGS = (".png", *render.ANIMATIONS, *export.ENDINGS)  # of the files that a result can be saved to
TRACKS = ("noisy", "guess", "both")  # what an animation shows
BATCH = 250  # images drawn at once for a file of single digits: memory stays small however many are asked for


def check_options(track: str = "noisy", scale: int | None = None, fps: float | None = None) -> None:
    """BadInput for options that no file can be saved with: `Result.save` asks it, and so does who is about to draw."""
    checks.choice("track", track, TRACKS)
    if scale is not None:
        checks.whole("scale", scale, 1, render.MAX_SCALE)
    if fps is not None:
        checks.number("fps", fps, 1, render.MAX_FPS)


@dataclass(frozen=True)
class Result:
    """What a run drew.

    Attributes:
        images: uint8 (N, H, W), or (N, H, W, 3) in colour: (N, 28, 28), white on black, for MNIST.
        frames: uint8 (F, N, H, W[, 3]), the trajectory from noise to images, evenly thinned to at most 40 frames.
        guesses: uint8 like the frames: what the network takes each frame for, its guess of the clean images.
        levels: the noise level of each frame, F of them, from 999 down to 0, and -1 at the end, which is clean.
        recipe: what was asked.
    """

    images: np.ndarray
    frames: np.ndarray
    guesses: np.ndarray
    levels: list[int]
    recipe: Recipe

    @property
    def labels(self) -> list[int]:
        return list(self.recipe.digits)

    @property
    def seeds(self) -> list[int]:
        return self.recipe.seeds

    def alone(self, k: int) -> "Result":
        """Image k, counted from 0, with its own trajectory and its own recipe."""
        recipe = self.recipe.alone(k)
        return Result(self.images[[k]], self.frames[:, [k]], self.guesses[:, [k]], self.levels, recipe)

    def with_image(self, k: int, other: "Result") -> "Result":
        """The same, but image k is that of `other`, drawn alone by the same recipe from another seed. Else BadInput."""
        recipe = self.recipe.with_seed(k, other.recipe.seed)
        if recipe.alone(k) != other.recipe:
            raise checks.BadInput("Draw the image alone by the same recipe, all but its seed.")
        images, frames, guesses = self.images.copy(), self.frames.copy(), self.guesses.copy()
        images[k], frames[:, k], guesses[:, k] = other.images[0], other.frames[:, 0], other.guesses[:, 0]
        return Result(images, frames, guesses, self.levels, recipe)

    def save(
        self,
        path: str | Path,
        *,
        track: str = "noisy",
        scale: int | None = None,
        fps: float | None = None,
        columns: int | None = None,
    ) -> None:
        """Write .png (a grid), .gif, .webp or .apng (the trajectory), or a file of single digits (export.py).

        The options count where they apply. Another ending is BadInput, and so are options out of range.

        Args:
            track: what an animation shows: the "noisy" images, the network's "guess" of the clean ones, or "both".
            scale: pixels per pixel, 1 to 16; by default what suits a screen.
            fps: frames of an animation per second, 1 to 50; by default it takes about five seconds.
            columns: how many images stand side by side; by default a row per repetition, or about a square.
        """
        check_options(track, scale, fps)
        ending = checks.ending(path, ENDINGS)
        if ending not in export.ENDINGS:
            render.check_tiles(len(self.images))
        if columns is None:
            columns = render.columns_for(self.labels)
        checks.whole("columns", columns, 1, render.MAX_TILES)
        if ending == ".png":
            render.save_png(path, render.picture(self.images, columns, scale), self.recipe.to_json())
        elif ending in render.ANIMATIONS:
            frames = render.animation(self.tracks(track), columns, scale)
            render.save_animation(path, frames, self.recipe.to_json(), fps=fps)
        else:
            export.write(path, [self], self.recipe, scale=scale)

    def tracks(self, track: str) -> list[np.ndarray]:
        """The frames of one of TRACKS."""
        return {"noisy": [self.frames], "guess": [self.guesses], "both": [self.frames, self.guesses]}[track]


class Run(Iterator[Step]):
    """One run under way: an iterator over its steps that keeps the trajectory for `result`.

    Args:
        start, level: the noise that it starts from (B, C, H, W), and its level.
    """

    def __init__(self, recipe: Recipe, steps: Iterator[Step], start: Tensor, level: int = T - 1):
        self.recipe = recipe
        self._steps = steps
        count = min(render.FRAMES, recipe.steps + 1)
        self._kept = {round(k * recipe.steps / (count - 1)) - 1 for k in range(count)}  # -1 is the start
        self._x, self._x0 = start, torch.full_like(start, -1)
        self._frames, self._levels = [self.frame], [level]
        self._guesses: list[np.ndarray] = []

    def __next__(self) -> Step:
        with sharing.step():
            step = next(self._steps)
        self._x, self._x0 = step.x, step.x0
        if step.index - 1 in self._kept:  # this step's guess was made from what the last one left
            self._guesses.append(self.guess)
        if step.index in self._kept:
            self._frames.append(self.frame)
            self._levels.append(step.level)
        return step

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
        return Result(self._frames[-1], np.stack(self._frames), np.stack(guesses), self._levels, self.recipe)


class Pipeline:
    """Draws digits with a trained denoiser.

    >>> pipe = Pipeline.from_pretrained()
    >>> pipe([7, 7, 3], guidance=2.0, steps=20, seed=0).save("digits.png")
    """

    def __init__(self, denoiser: Denoiser, weights: str = "", drawing: Denoiser | None = None):
        self.denoiser = denoiser
        self.weights = weights  # the fingerprint of their file, where there is one
        self.drawing = drawing or denoiser  # the same network, prepared for this machine: see inference.py

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        precision: str = "fp32",
    ) -> "Pipeline":
        """Load weights: the bundled ones, "few-step" for their student, or a file, a folder, or "user/repo" on the Hub.

        The device is the GPU where there is one. The precision is fp32; bf16, which visibly changes the odd digit
        only; or auto, whatever is quickest here (inference.py). Raises BadInput where there are no such weights.
        """
        device = device or best_device()
        file = checkpoint.find(source, revision)
        denoiser = checkpoint.load(file).to(device)
        return cls(denoiser, checkpoint.fingerprint(file), prepared(denoiser, precision, _trial))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the weights to a folder that `from_pretrained` reads."""
        checkpoint.save(self.denoiser, Path(folder) / checkpoint.WEIGHTS)

    @property
    def names(self) -> tuple[str, ...]:
        """What each digit stands for: digit k asks for an image of names[k]; for MNIST they are the digits."""
        return self.denoiser.config.names

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings of a Recipe that depend on the weights."""
        student = self.denoiser.config.few_step
        if student:
            return student.usual
        return {name: getattr(Recipe, name) for name in ("steps", "guidance", "guidance_interval", "sampler")}

    def differs(self, recipe: Recipe) -> str:
        """A sentence for a recipe that was drawn by other weights than these, or else no text."""
        if recipe.weights in ("", self.weights):
            return ""
        mine = f"these are {self.weights}" if self.weights else "these have no name"
        return f"This recipe was drawn by the weights {recipe.weights}, and {mine}: the digits will look different."

    def __call__(self, digits: int | Iterable[int], **settings: Any) -> Result:
        """Draw one image per digit. The settings are those of `Recipe`: guidance, steps, sampler, eta, ..."""
        return self.stream(digits, **settings).result()

    def stream(self, digits: int | Iterable[int], **settings: Any) -> Run:
        """The same run, step by step."""
        return self.run(Recipe(tuple(checks.labels("digits", digits, 10)), **self.defaults | settings))

    def batches(
        self, recipe: Recipe, size: int = BATCH, on_step: Callable[[], object] = lambda: None
    ) -> Iterator[Result]:
        """A recipe of any length, drawn `size` images at a time so that memory stays small."""
        for part in recipe.split(size):
            run = self.run(part)
            for _ in run:
                on_step()
            yield run.result()

    def evaluations(self, recipe: Recipe) -> int:
        """How often the network is run for one image."""
        if self.denoiser.config.few_step:
            return recipe.steps
        path = self.denoiser.scheduler.indices(recipe.steps, recipe.spacing)
        return evaluations(recipe.guidance, recipe.guidance_interval, asked(recipe.sampler, path))

    def run(self, recipe: Recipe) -> Run:
        """The run of a recipe, step by step. The recipe of its result names the weights of this pipeline."""
        recipe = replace(recipe, weights=self.weights)
        unet = self.denoiser.config.unet
        self.check(recipe)
        device = next(self.denoiser.parameters()).device
        labels = torch.tensor(recipe.digits, device=device)
        noise = Noise(recipe.seeds, (unet.image_channels, unet.image_size, unet.image_size), device)
        sampler = partial(ddim, eta=recipe.eta) if recipe.sampler == "ddim" else SAMPLERS[recipe.sampler]
        levels = self.denoiser.scheduler.levels(recipe.steps, recipe.spacing)
        start = noise()
        if self.denoiser.config.few_step:
            denoise = few_step(self.drawing, labels, recipe.guidance, levels)
        else:
            denoise = guided(self.drawing, labels, recipe.guidance, recipe.guidance_interval)
        return Run(recipe, sampler(denoise, start, levels, noise), start, levels[0].index)

    def check(self, recipe: Recipe) -> None:
        """BadInput for a recipe that these weights cannot draw."""
        checks.labels("digits", recipe.digits, self.denoiser.config.unet.classes)
        student = self.denoiser.config.few_step
        if not student:
            return
        low, high = student.guidance
        if recipe.steps not in student.choices:
            choices = ", ".join(map(str, student.choices))
            raise checks.BadInput(f"These few-step weights take {choices} steps, not {recipe.steps:,}.")
        if recipe.guidance != 0 and not low <= recipe.guidance <= high:
            raise checks.BadInput(
                f"These few-step weights know guidance from {low:g} to {high:g}, and 0: choose one of these, not "
                f"{recipe.guidance:g}."
            )
        if recipe.guidance > 1 and recipe.guidance_interval != student.guidance_interval:
            raise checks.BadInput(
                f"These few-step weights were taught guidance at levels {student.guidance_interval[0]} to "
                f"{student.guidance_interval[1]}: leave the guidance interval at that."
            )
        if (recipe.sampler, recipe.eta, recipe.spacing) != ("ddim", 0, "trailing"):
            raise checks.BadInput("Few-step weights take the sampler ddim with eta 0 and the spacing trailing.")


def _trial(denoiser: Denoiser, count: int) -> Iterator[Tensor]:
    """The shortest run with a step to time after one that warms up."""
    return (step.x for step in Pipeline(denoiser).stream([0] * count, steps=2, guidance=1))
