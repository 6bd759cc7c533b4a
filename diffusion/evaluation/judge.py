"""How good are the digits? Numbers, each beside its floor: the same number for real digits.

The reader (reader.py) tells whether a digit is the one asked for, and its features tell how the crowd of drawn digits
lies to the crowd of real ones. A reader forgives blur and haze, so the strictest figure asks a fresh classifier to tell
drawn digits from real ones.
"""

import json
from collections import Counter
from collections.abc import Sequence
from math import ceil, gcd
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffusion.checks import BadInput
from diffusion.evaluation.reader import BATCH, Reader, load_reader, train_reader
from diffusion.files import render
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe

FEWEST = 200  # digits under which no figure means anything
ENOUGH = 10_000  # images that a classifier is shown in all, at least: few digits are shown more often

Images = tuple[Tensor, Tensor]
"""Real images: uint8 (N, H, W), or (N, H, W, C) in colour, and int64 labels (N,)."""


class Judge:
    """Measures drawn images beside real ones.

    Args:
        asked: the labels that the drawn images will have, in order.
        train, test: real images. The test set is what the drawn crowd should be like.
        reader: the judge's eyes, by default the one that ships.
        full: also the figures that train classifiers of their own, minutes on a CPU.

    Attributes:
        floor: every figure for as many real training images of the same classes, in place of the drawn ones; accuracy
            and the distances to training images for test images. The reader was trained on the training images: a
            floor in its features is, if anything, a little too low.
    """

    def __init__(
        self,
        asked: Sequence[int],
        *,
        train: Images,
        test: Images,
        reader: Reader | None = None,
        full: bool = True,
        progress: bool = True,
    ):
        if len(asked) < FEWEST:
            raise BadInput(
                f"Evaluation needs at least {FEWEST} digits to mean anything, not {len(asked)}: ask for more."
            )
        self.asked = torch.tensor(asked, device="cpu")
        self.full, self.progress = full, progress
        self.reader = reader or load_reader()
        self.train = train
        like, others = _two_crowds(self.asked, train[1])
        self.others = train[0][others]
        same_classes = torch.isin(test[1], self.asked)
        if same_classes.sum() < FEWEST or len(test[1][same_classes].unique()) < len(self.asked.unique()):
            raise BadInput(
                f"Evaluation needs at least {FEWEST} test images, of every class asked for: choose other data."
            )
        self.test = test[0][same_classes], test[1][same_classes]
        self.test_features = self.reader.read(self.test[0])[1]
        some = torch.randperm(len(self.test[0]), generator=torch.Generator().manual_seed(0), device="cpu")[: len(asked)]
        self.some_features = self.test_features[some.numpy()]  # where crowds should be of one size
        if full:
            self.distances = nearest_distances(self.test[0][some], train[0])
            self.copy = float(np.quantile(self.distances, 0.01))  # nearer than all but one in a hundred test images

        self.floor = self.figures(train[0][like], train[1][like], drawn=False)

    def figures(self, images: Tensor, labels: Tensor, *, drawn: bool = True) -> dict[str, float]:
        """Every figure of uint8 images (N, H, W[, C]) with their labels (N,)."""
        features = self.reader.read(images)[1]
        precision, recall = precision_recall(features, self.some_features)
        # Of the training digits, which it has seen, the reader reads all right: the floor is of the test digits.
        accuracy = self.accuracies(images, labels) if drawn else self.accuracies(*self.test)
        figures = accuracy | {
            "frechet_distance": frechet_distance(features, self.test_features),
            "precision": precision,
            "recall": recall,
            "black_pixels": float((images == 0).float().mean()),
        }
        if self.full:
            distances = nearest_distances(images, self.train[0]) if drawn else self.distances
            epochs = max(20, ENOUGH // len(images))
            student = train_reader(images, labels, epochs=epochs, classes=self.classes, progress=self.progress)
            figures |= {
                "nearest_training_digit": float(np.median(distances)),
                "near_copies": float((distances < self.copy).mean()),
                "told_apart": told_apart(images, self.others, progress=self.progress),
                "classification_accuracy_score": student.accuracy(*self.test),
            }
        return figures

    def accuracies(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """The share read as their labels, overall and by class."""
        right = self.reader.read(images)[0].argmax(axis=1) == labels.numpy()
        by_class = {int(label): right[labels.numpy() == label] for label in labels.unique()}
        return {"accuracy": float(right.mean())} | {
            f"accuracy_of_{label}": float(of_class.mean()) for label, of_class in by_class.items()
        }

    @property
    def classes(self) -> int:
        return self.reader.head.out_features

    def __call__(self, drawn: np.ndarray) -> dict[str, dict[str, float]]:
        """Each figure of the drawn images, uint8 (N, H, W[, C]), as {"value", "floor"}."""
        values = self.figures(torch.from_numpy(drawn), self.asked)
        return {name: {"value": value, "floor": self.floor[name]} for name, value in values.items()}

    def extremes(self, drawn: np.ndarray, each: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The best and the worst images of every class, as the reader sees them: two pictures, a row per class."""
        likely = self.reader.read(drawn)[0][np.arange(len(drawn)), self.asked.numpy()]
        order = np.argsort(-likely, kind="stable")
        ranked = [order[self.asked.numpy()[order] == label] for label in self.asked.unique().tolist()]
        each = min(each, *map(len, ranked))
        best, worst = (
            np.concatenate([some[choice] for some in ranked]) for choice in (slice(each), slice(-each, None))
        )
        return render.picture(drawn[best], each), render.picture(drawn[worst], each)


def _two_crowds(asked: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of two crowds of real images with as many of each class as were asked for, none in both."""
    random = torch.Generator().manual_seed(0)
    crowds: list[tuple[Tensor, Tensor]] = []
    for label, count in zip(*(part.tolist() for part in asked.unique(return_counts=True)), strict=True):
        indices = (labels == label).nonzero().flatten()
        if len(indices) < 2 * count:
            raise BadInput(
                f"Evaluating {count:,} images of class {label} needs {2 * count:,} real ones to compare with, not "
                f"{len(indices):,}: lower --count."
            )
        indices = indices[torch.randperm(len(indices), generator=random, device="cpu")]
        crowds.append((indices[:count], indices[count : 2 * count]))
    return torch.cat([crowd[0] for crowd in crowds]), torch.cat([crowd[1] for crowd in crowds])


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


def told_apart(drawn: Tensor, real: Tensor, *, progress: bool = True) -> float:
    """The two-sample test: how often a fresh classifier is right on unseen images, drawn or real.

    uint8 (N, H, W[, C]) each. 0.5 means that nobody can tell (Lopez-Paz & Oquab 2017,
    https://arxiv.org/abs/1610.06545). Four fifths train it and the rest judge it.
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
    judge = train_reader(images, labels, epochs=epochs, classes=2, jitter=False, progress=progress)
    unseen = torch.cat([drawn[seen:], real[seen:]])
    return judge.accuracy(unseen, kinds.repeat_interleave(count - seen))


def draw(pipe: Pipeline, recipe: Recipe, *, progress: bool = True) -> np.ndarray:
    """Draw a recipe of any length, a batch at a time: uint8 (N, H, W[, C])."""
    steps = ceil(len(recipe.digits) / BATCH) * recipe.steps
    with tqdm(total=steps, unit="step", desc="draw", disable=not progress) as bar:
        return np.concatenate([result.images for result in pipe.batches(recipe, BATCH, bar.update)])


def evaluate(
    pipe: Pipeline,
    recipe: Recipe,
    *,
    train: Images,
    test: Images,
    reader: Reader | None = None,
    full: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Draw a recipe and judge it beside real images; the arguments are those of `Judge`.

    Returns:
        A dict fit for JSON: the recipe, the count, and each figure as {"value", "floor"}.
    """
    judge = Judge(recipe.digits, train=train, test=test, reader=reader, full=full, progress=progress)
    return about(pipe, recipe) | judge(draw(pipe, recipe, progress=progress))


def about(pipe: Pipeline, recipe: Recipe) -> dict[str, Any]:
    """What is evaluated: the recipe with as few digits as have its shares, how many there are, and the cost of one."""
    of_each = gcd(*Counter(recipe.digits).values())
    values = json.loads(recipe.to_json()) | {"digits": sorted(recipe.digits)[::of_each]}
    return {"recipe": values, "count": len(recipe.digits), "evaluations": pipe.evaluations(recipe)}
