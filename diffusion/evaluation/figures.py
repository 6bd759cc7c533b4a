"""The figures of quality: each a number for a crowd of images, or of their features.

The reader (reader.py) tells whether a digit is the one asked for, and its features tell how the crowd of drawn digits
lies to the crowd of real ones. A reader forgives blur and haze, so the strictest figure asks a fresh classifier to tell
drawn digits from real ones.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from diffusion.cores import sharing
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


def share_among(points: np.ndarray, crowd: np.ndarray, k: int = 3) -> float:
    """The share of features (N, D) that lie within the distance from one of a crowd (M, D) to its own k-th neighbour.

    Of drawn ones among real ones it is their precision, of real ones among drawn ones the recall: Kynkaanniemi et al.
    2019, https://arxiv.org/abs/1904.06991, equation 1.
    """
    a, b = torch.from_numpy(points).float(), torch.from_numpy(crowd).float()

    def by_part(some: Tensor, found: Callable[[Tensor], Tensor]) -> Tensor:
        parts = []
        for part in some.split(BATCH):
            with sharing.step():
                parts.append(found(torch.cdist(part, b)))
        return torch.cat(parts)

    radii = by_part(b, lambda distances: distances.kthvalue(k + 1).values)
    return by_part(a, lambda distances: (distances <= radii).any(dim=1)).float().mean().item()


def nearest_distances(images: Tensor, crowd: Tensor) -> np.ndarray:
    """For each uint8 image (N, H, W[, C]), the root mean square distance, in grey levels, to the nearest of a crowd."""
    pixels = images.flatten(1).float()
    nearest = torch.full([len(pixels)], torch.inf, device=pixels.device, dtype=torch.float32)
    for some in crowd.split(20 * BATCH):
        others = some.flatten(1).float()
        found = [torch.cdist(part, others).min(dim=1).values for part in pixels.split(BATCH)]
        nearest = torch.minimum(nearest, torch.cat(found))
    return (nearest / pixels.shape[1] ** 0.5).numpy()


def told_apart(
    drawn: Tensor, real: Tensor, *, seed: int = 0, precision: str | None = None, progress: bool = False
) -> float:
    """The two-sample test: how often a fresh classifier is right on unseen images, drawn or real.

    uint8 (N, H, W[, C]) each. 0.5 means that nobody can tell (Lopez-Paz & Oquab 2017,
    https://arxiv.org/abs/1610.06545). Four fifths train it and the rest judge it. Not every classifier finds what is
    there to find: ask several, each with a seed of its own, and see how far they agree.
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
    judge = train_reader(
        images, labels, epochs=epochs, classes=2, jitter=False, seed=seed, precision=precision, progress=progress
    )
    unseen = torch.cat([drawn[seen:], real[seen:]])
    return judge.accuracy(unseen, kinds.repeat_interleave(count - seen))
