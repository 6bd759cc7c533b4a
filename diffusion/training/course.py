"""The figures that the course project asks for, in the folder of a run of one of its networks (networks/course.py).

Each epoch leaves loss-steps.png. A run of one guess also leaves results-NNN.png (test images, what the network saw, its
guess) and, with additive noise, noising.png (the images at all sigmas) and out-of-distribution.png (the guesses at all
of them, though it was trained at one). The samples of a run of flow matching are digits-NNN.png, as in other runs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion.data import to_float, to_uint8
from diffusion.denoiser import Denoiser
from diffusion.files import plot, render
from diffusion.files.figure import Column, figure
from diffusion.noise import Noise

SIGMAS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)  # of the noise added to pixels in [0, 1], as the course counts it
SHOWN = 5  # test images of a figure
SCALE = 3  # pixels per pixel


def show(out: Path, model: Denoiser, losses: Sequence[float], images: Tensor, epoch: int) -> None:
    """Write the figures of a run after an epoch.

    Args:
        losses: of each step so far.
        images: that training never sees, uint8 (N, 28, 28).
    """
    unit = 2 if model.config.prediction == "flow" else 4  # times the course's loss: see networks/course.py
    curve = [(step, loss / unit) for step, loss in enumerate(losses, 1)]
    width = f"width {model.config.unet.width}"  # type: ignore[union-attr]
    picture = plot.lines({f"training, {width}": curve}, x="step", y="loss, in the course's units", log="y")
    render.save_png(out / "loss-steps.png", picture)
    level = model.offer.level
    if level is None:
        return
    clean = to_float(images[:SHOWN])
    noise = Noise(range(len(clean)), model.shape, model.device)()
    render.save_png(out / f"results-{epoch:03}.png", results(model, clean, noise, level, images))
    if model.config.schedule == "additive":
        render.save_png(out / "noising.png", noising(model, clean, noise))
        render.save_png(out / "out-of-distribution.png", out_of_distribution(model, clean[:2], noise[:2]))


def results(model: Denoiser, clean: Tensor, noise: Tensor, level: int, images: Tensor) -> np.ndarray:
    """Guesses at the level that the network was trained for."""
    at = model.scheduler.level(level)
    x = at.alpha * clean + at.sigma * noise
    seen = Column("what it sees", _pixels(x))
    guess = Column("its guess", _pixels(model(x, level, _unknown(model, x))))
    if at.alpha > 0:
        return figure([Column("image", _pixels(clean)), seen, guess], scale=SCALE)
    mean = Column("mean image", _pixels(to_float(images).mean(0, keepdim=True)))
    return figure([seen, guess, mean], scale=SCALE)


def noising(model: Denoiser, clean: Tensor, noise: Tensor) -> np.ndarray:
    """Images with the same noise at all sigmas."""
    return figure([Column(f"{sigma:g}", _pixels(_added(model, clean, noise, sigma)[0])) for sigma in SIGMAS], scale=2)


def out_of_distribution(model: Denoiser, clean: Tensor, noise: Tensor) -> np.ndarray:
    """Guesses at all sigmas."""
    columns = []
    for sigma in SIGMAS:
        x, level = _added(model, clean, noise, sigma)
        guess = model(x, level, _unknown(model, x))
        columns.append(Column(f"{sigma:g}", np.stack([_pixels(x), _pixels(guess)], 1).reshape(-1, 28, 28)))
    return figure(columns, ["noisy", "one guess"] * len(clean), scale=2)


def _added(model: Denoiser, clean: Tensor, noise: Tensor, sigma: float) -> tuple[Tensor, int]:
    """Images with noise added, and the nearest level: sigma counts in pixels from 0 to 1, and ours go from -1 to 1."""
    return clean + 2 * sigma * noise, int((model.scheduler.sigma - 2 * sigma).abs().argmin())


def _unknown(model: Denoiser, x: Tensor) -> Tensor:
    return model.null(torch.zeros(len(x), dtype=torch.int64, device=x.device))


def _pixels(x: Tensor) -> np.ndarray:
    return to_uint8(x).cpu().numpy()
