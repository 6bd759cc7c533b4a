"""The figures of quality: each a number for a crowd of images, or of their features.

The reader (reader.py) tells whether a digit is the one asked for, and its features tell how the crowd of drawn digits
lies to the crowd of real ones. A reader forgives blur and haze, so the strictest figure asks a fresh classifier to tell
drawn digits from real ones.
"""

import numpy as np
import torch
from torch import Tensor

from diffusion.evaluation.reader import BATCH, train_reader

ENOUGH = 10_000  # images that a classifier is shown in all, at least: few digits are shown more often


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Frechet distance of two Gaussians fitted to features (N, D) and (M, D).

    |mu_a - mu_b|^2 + tr(A + B - 2 (A B)^(1/2)), Heusel et al. 2017, https://arxiv.org/abs/1706.08500, equation 6.
    The trace of the square root is the sum of the square roots of the eigenvalues of A B, which are never negative.
    """
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    eigenvalues = np.linalg.eigvals(covariance_a @ covariance_b).real.clip(min=0)
    means = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(means + np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(eigenvalues).sum())


def precision_recall(drawn: np.ndarray, real: np.ndarray, k: int = 3) -> tuple[float, float]:
    """The share of drawn features (N, D) that lie among real ones (M, D), and of real ones among drawn ones.

    "Among" means within the distance from some member of the other crowd to its own k-th neighbour: Kynkaanniemi et
    al. 2019, https://arxiv.org/abs/1904.06991, equation 1.
    """
    a, b = torch.from_numpy(drawn).float(), torch.from_numpy(real).float()

    def covered(points: Tensor, crowd: Tensor) -> float:
        radii = torch.cat([torch.cdist(part, crowd).kthvalue(k + 1).values for part in crowd.split(BATCH)])
        inside = [(torch.cdist(part, crowd) <= radii).any(dim=1) for part in points.split(BATCH)]
        return torch.cat(inside).float().mean().item()

    return covered(a, b), covered(b, a)


def nearest_distances(images: Tensor, crowd: Tensor) -> np.ndarray:
    """For each uint8 image (N, H, W[, C]), the root mean square distance, in grey levels, to the nearest of a crowd."""
    pixels, others = images.flatten(1).float(), crowd.flatten(1).float()
    nearest = [torch.cdist(part, others).min(dim=1).values for part in pixels.split(BATCH)]
    return (torch.cat(nearest) / pixels.shape[1] ** 0.5).numpy()


def told_apart(drawn: Tensor, real: Tensor, *, seed: int = 0, progress: bool = False) -> float:
    """The two-sample test: how often a fresh classifier is right on unseen images, drawn or real.

    uint8 (N, H, W[, C]) each. 0.5 means that nobody can tell (Lopez-Paz & Oquab 2017,
    https://arxiv.org/abs/1610.06545). Four fifths train it and the rest judge it. Not every classifier finds what is
    there to find: where two ways of drawing are compared, ask several, each with a seed of its own.
    """
    count = min(len(drawn), len(real))
    seen = count * 4 // 5
    random = torch.Generator().manual_seed(0)
    drawn, real = (
        images[torch.randperm(len(images), generator=random, device="cpu")[:count]] for images in (drawn, real)
    )
    kinds = torch.arange(2, device="cpu")
    images, labels = torch.cat([drawn[:seen], real[:seen]]), kinds.repeat_interleave(seen)
    epochs = max(10, ENOUGH // len(images))
    judge = train_reader(images, labels, epochs=epochs, classes=2, jitter=False, seed=seed, progress=progress)
    unseen = torch.cat([drawn[seen:], real[seen:]])
    return judge.accuracy(unseen, kinds.repeat_interleave(count - seen))
