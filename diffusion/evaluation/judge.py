"""How good are the digits? Every figure (figures.py) beside its floor: the same figure for real digits."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffusion.checks import BadInput
from diffusion.denoiser import MICRO_BATCH
from diffusion.evaluation.figures import ENOUGH, frechet_distance, nearest_distances, share_among, told_apart
from diffusion.evaluation.reader import BATCH, Reader, load_reader, train_reader
from diffusion.files import render
from diffusion.files.atomic import write_text
from diffusion.hardware import best_device, quickest_precision
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe
from diffusion.team import Team

VERSION = 3  # of how images are drawn and measured: figures of another version are not compared
CLASSIFIERS = 3  # that try to tell drawn from real: one alone may miss what gives them away
FEWEST = 200  # digits under which no figure means anything

Images = tuple[Tensor, Tensor]
"""Real images: uint8 (N, H, W), or (N, H, W, C) in colour, and int64 labels (N,)."""


class Judge:
    """Measures drawn images beside real ones.

    Args:
        labels: those that the drawn images will have, in order.
        train, test: real images. The test set is what the drawn crowd should be like.
        reader: the judge's eyes, by default the one that ships.
        full: also the figures that train classifiers of their own, minutes on a CPU.
        progress: whether to show bars of progress on the standard error.
        keep: a folder for the full figures of real digits, so that they are measured once: half of the work.
        team: the processes that share the work, of which this is the leading one; the others `help`. On equal
            hardware the figures are the same for any number of them.

    Attributes:
        floor: every figure for as many real training images of the same classes, in place of the drawn ones; accuracy
            and the distances to training images for test images. The reader was trained on the training images: a
            floor in its features is, if anything, a little too low.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        train: Images,
        test: Images,
        reader: Reader | None = None,
        full: bool = True,
        progress: bool = False,
        keep: str | Path | None = None,
        team: Team | None = None,
    ):
        if len(labels) < FEWEST:
            raise BadInput(
                f"Evaluation needs at least {FEWEST} digits to mean anything, not {len(labels)}: ask for more."
            )
        self.labels = torch.tensor(labels, device="cpu")
        self.full, self.progress = full, progress
        self.reader = reader or load_reader()
        self.team = team or Team(0, 1, best_device())
        self.precision = quickest_precision(best_device()) if full else ""  # of the classifiers
        self.train = train
        like, others = _two_crowds(self.labels, train[1])
        self.others = train[0][others]
        same_classes = torch.isin(test[1], self.labels)
        if same_classes.sum() < FEWEST or len(test[1][same_classes].unique()) < len(self.labels.unique()):
            raise BadInput(
                f"Evaluation needs at least {FEWEST} test images, of every class asked for: choose other data."
            )
        self.test = test[0][same_classes], test[1][same_classes]
        likely, self.test_features = self.reader.read(self.test[0])
        self.test_accuracies = _accuracies(likely, self.test[1])
        some = torch.randperm(len(self.test[0]), generator=torch.Generator().manual_seed(0), device="cpu")[
            : len(labels)
        ]
        self.some = self.test[0][some]  # where crowds should be of one size
        self.some_features = self.test_features[some.numpy()]
        self.real = train[0][like], train[1][like]  # as many of each class as will be drawn
        if full and keep:
            self._recall_or_measure(Path(keep), test)
        else:
            self._measure()

    def _measure(self) -> None:
        """The floor, and how near to a training image only one in a hundred test images is."""
        if self.full:
            self.distances = self._nearest(self.some)
            self.copy = float(np.quantile(self.distances, 0.01))
        self.floor = self.figures(*self.real, drawn=False)

    def _recall_or_measure(self, folder: Path, test: Images) -> None:
        """The same, read from a file where it was kept before, and else kept there, if that can be."""
        parts = (*self.train, *test, *self.real, *self.reader.state_dict().values())
        key = hashlib.sha256(f"{VERSION} {self.precision}".encode())
        for part in parts:
            key.update(part.contiguous().cpu().numpy().tobytes())
        path = folder / f"floor-{key.hexdigest()[:16]}.json"
        with suppress(OSError, ValueError, TypeError, KeyError):  # there is none yet, or a damaged one
            kept = json.loads(path.read_bytes())
            self.floor, self.copy = dict(kept["floor"]), float(kept["copy"])
            return
        self._measure()
        with suppress(BadInput, OSError):
            write_text(path, json.dumps({"floor": self.floor, "copy": self.copy}))

    def figures(self, images: Tensor, labels: Tensor, *, drawn: bool = True) -> dict[str, float]:
        """Every figure of uint8 images (N, H, W[, C]) with their labels (N,)."""
        likely, features = self.reader.read(images)
        pairs = [(features, self.some_features), (self.some_features, features)]
        precision, recall = self.team.together([partial(share_among, *pair) for pair in pairs])
        # Of the training digits, which it has seen, the reader reads all right: the floor is of the test digits.
        accuracies = _accuracies(likely, labels) if drawn else self.test_accuracies
        figures = accuracies | {
            "frechet_distance": frechet_distance(features, self.test_features),
            "precision": precision,
            "recall": recall,
            "black_pixels": float((images == 0).float().mean()),
        }
        if self.full:
            distances = self._nearest(images) if drawn else self.distances
            figures |= {
                "nearest_training_digit": float(np.median(distances)),
                "near_copies": float((distances < self.copy).mean()),
                **self._by_classifiers(images, labels),
            }
        return figures

    def _nearest(self, images: Tensor) -> np.ndarray:
        """How far each image (N, H, W[, C]) is from the nearest training image."""
        parts = images.split(BATCH)
        return np.concatenate(
            self.team.together([partial(nearest_distances, part.clone(), self.train[0]) for part in parts])
        )

    def _by_classifiers(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """The figures that train classifiers, in one precision, whatever is quicker for who trains them."""
        tell = partial(told_apart, images, self.others, precision=self.precision)
        classes = self.reader.head.out_features
        learn = partial(_accuracy_after_training_on, images, labels, self.test, classes, self.precision)
        tasks = [*(partial(tell, seed=seed) for seed in range(CLASSIFIERS)), learn]
        *told, learnt = self.team.together(tasks, progress=self.progress)
        return {
            "told_apart": float(np.mean(told)),
            **{f"told_apart_by_{number}": one for number, one in enumerate(told, 1)},
            "classification_accuracy_score": learnt,
        }

    def __call__(self, drawn: np.ndarray) -> dict[str, dict[str, float]]:
        """Each figure of the drawn images, uint8 (N, H, W[, C]), as {"value", "floor"}."""
        values = self.figures(torch.from_numpy(drawn), self.labels)
        return {name: {"value": value, "floor": self.floor[name]} for name, value in values.items()}

    def extremes(self, drawn: np.ndarray, each: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The best and the worst images of every class, as the reader sees them: two pictures, a row per class."""
        likely = self.reader.read(drawn)[0][np.arange(len(drawn)), self.labels.numpy()]
        order = np.argsort(-likely, kind="stable")
        ranked = [order[self.labels.numpy()[order] == label] for label in self.labels.unique().tolist()]
        each = min(each, *map(len, ranked))
        best, worst = (
            np.concatenate([some[choice] for some in ranked]) for choice in (slice(each), slice(-each, None))
        )
        return render.picture(drawn[best], each), render.picture(drawn[worst], each)


def _accuracies(likely: np.ndarray, labels: Tensor) -> dict[str, float]:
    """The share read as their labels (N,), overall and by class, of images whose classes are so likely (N, classes)."""
    right = likely.argmax(axis=1) == labels.numpy()
    by_class = {int(label): right[labels.numpy() == label] for label in labels.unique()}
    return {"accuracy": float(right.mean())} | {
        f"accuracy_of_{label}": float(of_class.mean()) for label, of_class in by_class.items()
    }


def _accuracy_after_training_on(
    images: Tensor, labels: Tensor, test: Images, classes: int, precision: str, progress: bool = False
) -> float:
    """The share of test images read right by a classifier that has seen only these."""
    epochs = max(20, ENOUGH // len(images))
    reader = train_reader(images, labels, epochs=epochs, classes=classes, precision=precision, progress=progress)
    return reader.accuracy(*test)


def _two_crowds(wanted: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of two crowds of real images with as many of each class as are wanted, none in both."""
    random = torch.Generator().manual_seed(0)
    crowds: list[tuple[Tensor, Tensor]] = []
    for label, count in zip(*(part.tolist() for part in wanted.unique(return_counts=True)), strict=True):
        indices = (labels == label).nonzero().flatten()
        if len(indices) < 2 * count:
            raise BadInput(
                f"Evaluating {count:,} images of class {label} needs {2 * count:,} real ones to compare with, not "
                f"{len(indices):,}: ask for fewer."
            )
        indices = indices[torch.randperm(len(indices), generator=random, device="cpu")]
        crowds.append((indices[:count], indices[count : 2 * count]))
    return torch.cat([crowd[0] for crowd in crowds]), torch.cat([crowd[1] for crowd in crowds])


def draw(pipe: Pipeline, recipe: Recipe, *, progress: bool = False, team: Team | None = None) -> np.ndarray:
    """Draw a recipe of any length, a batch at a time: uint8 (N, H, W[, C]).

    Args:
        team: the processes that share the drawing, of which this is the leading one; the others `help`. How many they
            are makes no difference to the images.
    """
    team = team or Team(0, 1, pipe.model.device)
    team.tell(recipe.to_json())
    return _draw_together(pipe, recipe, team, progress)


def help(pipe: Pipeline, team: Team) -> None:
    """What a process does that does not lead: its share of all that the leading one does, until that says nothing."""
    while text := team.hear():
        _draw_together(pipe, Recipe.from_json(text), team)


def _draw_together(pipe: Pipeline, recipe: Recipe, team: Team, progress: bool = False) -> np.ndarray:
    """Each process draws every so many-th part, of as few images as keep the network busy; all come to have all."""
    parts = list(recipe.split(MICRO_BATCH))
    steps = f"steps of drawing {team.count('told')}"
    with tqdm(total=len(parts) * recipe.steps, unit="step", desc="draw", disable=not progress) as bar:

        def step() -> None:
            bar.update(team.count(steps, 1) - bar.n)

        with team.using_own_cores():
            own = parts[team.rank :: team.size]
            mine = [result.images for part in own for result in pipe.batches(part, on_step=step)]
        every = team.gather(mine)
        bar.update(bar.total - bar.n if progress else 0)
    return np.concatenate([every[k % team.size][k // team.size] for k in range(len(parts))])


def evaluate(
    pipe: Pipeline,
    recipe: Recipe,
    *,
    train: Images,
    test: Images,
    reader: Reader | None = None,
    full: bool = True,
    progress: bool = False,
    keep: str | Path | None = None,
    team: Team | None = None,
) -> dict[str, Any]:
    """Draw a recipe and judge it beside real images; the arguments are those of `Judge`.

    Returns:
        A dict fit for JSON: the recipe, the count, and each figure as {"value", "floor"}.
    """
    judge = Judge(
        recipe.digits, train=train, test=test, reader=reader, full=full, progress=progress, keep=keep, team=team
    )
    return about(pipe, recipe) | judge(draw(pipe, recipe, progress=progress, team=team))


def about(pipe: Pipeline, recipe: Recipe) -> dict[str, Any]:
    """What is evaluated: the recipe with as few digits as have its shares, how many there are, and the cost of one."""
    of_each = gcd(*Counter(recipe.digits).values())
    values = json.loads(recipe.to_json()) | {"digits": sorted(recipe.digits)[::of_each]}
    cost = pipe.evaluations(recipe)
    return {"recipe": values, "count": len(recipe.digits), "evaluations": cost, "judge": VERSION}
