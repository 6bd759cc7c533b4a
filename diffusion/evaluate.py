"""How good are the digits? Numbers, each beside its floor: the same number for real digits.

The judge is the reader, a small convolutional classifier trained here on real training digits only. It tells whether a
digit is the one asked for, and its features tell how the crowd of drawn digits lies to the crowd of real ones. A reader
forgives blur and haze, so the strictest figure asks a fresh classifier to tell drawn digits from real ones.
"""

import json
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from diffusion.checkpoint import BUNDLED
from diffusion.checks import BadInput
from diffusion.data import to_float
from diffusion.files import replacing
from diffusion.pipeline import Pipeline, Recipe

READER = BUNDLED / "reader.safetensors"
BATCH = 500  # digits drawn or read at once
FEWEST = 200  # digits under which no figure means anything

Digits = tuple[Tensor, Tensor]
"""Real digits: uint8 images (N, 28, 28) and int64 labels (N,)."""


class Reader(nn.Module):
    """A small classifier: images (B, 1, 28, 28) in [-1, 1] -> logits (B, classes)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        shapes = [(1, 24, 1), (24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1)]  # channels in and out, stride
        layers: list[nn.Module] = []
        for channels, out, stride in shapes:
            layers += [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(96, classes)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees: (B, 96)."""
        return self.body(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.features(x), 0.2, self.training))

    @torch.inference_mode()
    def read(self, images: np.ndarray | Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """uint8 (N, 28, 28) -> the class read (N,), how sure in 0..1 (N,), and float64 features (N, 96)."""
        device = self.head.weight.device
        parts = torch.as_tensor(images).split(BATCH)
        features = torch.cat([self.features(to_float(part.to(device))) for part in parts])
        sure, digit = self.head(features).softmax(dim=1).max(dim=1)
        return digit.cpu().numpy(), sure.cpu().numpy(), features.double().cpu().numpy()


def load_reader(path: str | Path = READER) -> Reader:
    """The reader that ships, or one that `save_reader` wrote. Raises BadInput where there is none."""
    reader = Reader()
    try:
        reader.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    except FileNotFoundError:
        raise BadInput(f"There is no reader at {path}: make one with python -m diffusion train-reader.") from None
    except (SafetensorError, RuntimeError, OSError):
        raise BadInput(f"{path} is no reader's weights: make one with python -m diffusion train-reader.") from None
    return reader.eval().requires_grad_(False)


def save_reader(reader: Reader, path: str | Path) -> None:
    """Write a reader's weights in half precision."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in reader.state_dict().items()}
    with replacing(path) as temporary:
        save_file({name: t.half() if t.is_floating_point() else t for name, t in weights.items()}, temporary)


def train_reader(
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    classes: int = 10,
    jitter: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> Reader:
    """Train a reader on uint8 (N, 28, 28) and labels (N,), with small random turns, scalings and shifts if `jitter`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng():  # the caller's random numbers stay as they were
        torch.manual_seed(seed)
        return _trained(images.to(device), labels.to(device), epochs, classes, jitter, progress)


def _trained(images: Tensor, labels: Tensor, epochs: int, classes: int, jitter: bool, progress: bool) -> Reader:
    device = images.device
    reader = Reader(classes).to(device).train()
    batch = min(128, len(images))
    steps = len(images) // batch
    optimizer = torch.optim.AdamW(reader.parameters(), lr=3e-3, weight_decay=0.05)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * steps)
    bar = tqdm(total=epochs * steps, unit="step", desc="reader", disable=not progress)
    for _ in range(epochs):
        order = torch.randperm(len(images), device=device)
        for chosen in order[: steps * batch].split(batch):
            x = to_float(images[chosen])
            loss = F.cross_entropy(reader(_jittered(x) if jitter else x), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            decay.step()
            bar.update()
    bar.close()
    return reader.eval().requires_grad_(False)


def _jittered(x: Tensor) -> Tensor:
    """Each image turned by up to 12 degrees, scaled by up to a tenth and shifted by up to two pixels."""
    n = len(x)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, device=x.device) * 2 - 1) * limit

    angle, scale = uniform(0.21), 1 + uniform(0.1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    affine = torch.stack([cos, -sin, uniform(2 / 14), sin, cos, uniform(2 / 14)], dim=1).view(n, 2, 3)
    where = F.affine_grid(affine, list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, where, align_corners=False) - 1  # what comes in from outside is black


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
    """For each uint8 image (N, H, W), the root mean square distance, in grey levels, to the nearest one of a crowd."""
    pixels, others = images.flatten(1).float(), crowd.flatten(1).float()
    nearest = [torch.cdist(part, others).min(dim=1).values for part in pixels.split(BATCH)]
    return (torch.cat(nearest) / pixels.shape[1] ** 0.5).numpy()


def told_apart(drawn: Tensor, real: Tensor, *, epochs: int = 10, progress: bool = True) -> float:
    """The two-sample test: how often a fresh classifier is right on unseen images, drawn or real.

    uint8 (N, 28, 28) each. 0.5 means that nobody can tell (Lopez-Paz & Oquab 2017, https://arxiv.org/abs/1610.06545).
    Four fifths train it and the rest judge it.
    """
    count = min(len(drawn), len(real))
    seen = count * 4 // 5
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    drawn, real = drawn[order], real[order]
    images, labels = torch.cat([drawn[:seen], real[:seen]]), torch.arange(2).repeat_interleave(seen)
    judge = train_reader(images, labels, epochs=epochs, classes=2, jitter=False, progress=progress)
    drawn_read, real_read = judge.read(drawn[seen:])[0], judge.read(real[seen:])[0]
    return float(((drawn_read == 0).mean() + (real_read == 1).mean()) / 2)


def draw(pipe: Pipeline, recipe: Recipe, *, progress: bool = True) -> np.ndarray:
    """Draw a recipe of any length, a batch at a time: uint8 (N, 28, 28)."""
    steps = ceil(len(recipe.digits) / BATCH) * recipe.steps
    with tqdm(total=steps, unit="step", desc="draw", disable=not progress) as bar:
        return np.concatenate([result.images for result in pipe.batches(recipe, BATCH, bar.update)])


def evaluate(
    pipe: Pipeline, recipe: Recipe, *, train: Digits, test: Digits, full: bool = True, progress: bool = True
) -> dict[str, Any]:
    """Draw a recipe and judge it beside real digits.

    Args:
        train, test: the real training and test digits.
        full: also the figures that train classifiers of their own, minutes on a CPU.

    Returns:
        A dict fit for JSON: the recipe, the count, and each figure as {"value", "floor"}, where the floor is the same
        figure for as many real training digits in place of the drawn ones. The reader was trained on those: a floor in
        its features is, if anything, a little too low.
    """
    count = len(recipe.digits)
    if count < FEWEST:
        raise BadInput(f"Evaluation needs at least {FEWEST} digits to mean anything, not {count}: raise --count.")
    reader = load_reader()
    drawn = torch.from_numpy(draw(pipe, recipe, progress=progress))
    asked = torch.tensor(recipe.digits)
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(len(train[0]), generator=random)
    some = torch.randperm(len(test[0]), generator=random)[:count]  # of the test digits, where counts must be equal
    like, rest = order[:count], order[count:]  # real digits in place of the drawn ones, and those to compare with
    if len(rest) < count:
        raise BadInput(
            f"Evaluation of {count} digits needs {2 * count} training digits, not {len(order)}: lower --count."
        )
    sets = {"value": (drawn, asked), "floor": (train[0][like], train[1][like])}
    real_features = reader.read(test[0])[2]

    def both(figure: Callable[[Tensor, Tensor], float]) -> dict[str, Any]:
        return {name: figure(images, labels) for name, (images, labels) in sets.items()}

    read = {name: reader.read(images) for name, (images, _) in sets.items()}
    right = {name: read[name][0] == labels.numpy() for name, (_, labels) in sets.items()}
    crowds = {name: precision_recall(read[name][2], real_features[some]) for name in sets}
    scores: dict[str, Any] = {
        "recipe": json.loads(recipe.to_json()) | {"digits": sorted(set(recipe.digits))},
        "count": count,
        # Of the training digits, which it has seen, the reader reads all right; so the floor is of the test digits.
        "accuracy": {"value": float(right["value"].mean()), "floor": _accuracy(reader, test)},
        "accuracy_by_digit": {
            str(digit): float(right["value"][asked.numpy() == digit].mean()) for digit in sorted(set(recipe.digits))
        },
        "frechet_distance": {name: frechet_distance(read[name][2], real_features) for name in sets},
        "precision": {name: crowds[name][0] for name in sets},
        "recall": {name: crowds[name][1] for name in sets},
        "black_pixels": both(lambda images, _: float((images == 0).float().mean())),
    }
    if full:
        near = {
            "value": nearest_distances(drawn, train[0]),
            "floor": nearest_distances(test[0][some], train[0]),
        }
        copy = float(np.quantile(near["floor"], 0.01))  # nearer than all but one in a hundred test digits
        scores |= {
            "nearest_training_digit": {name: float(np.median(distances)) for name, distances in near.items()},
            "near_copies": {name: float((distances < copy).mean()) for name, distances in near.items()},
            "told_apart": both(lambda images, _: told_apart(images, train[0][rest[:count]], progress=progress)),
            "classification_accuracy_score": both(
                lambda images, labels: _accuracy(train_reader(images, labels, epochs=20, progress=progress), test)
            ),
        }
    return scores


def _accuracy(reader: Reader, digits: Digits) -> float:
    return float((reader.read(digits[0])[0] == digits[1].numpy()).mean())


def table(scores: dict[str, Any]) -> str:
    """The figures of `evaluate` as a Markdown table."""
    rows = [(name.replace("_", " "), row) for name, row in scores.items() if isinstance(row, dict) and "floor" in row]
    lines = [f"| {name} | {row['value']:.4g} | {row['floor']:.4g} |" for name, row in rows]
    return "\n".join(["| figure | drawn | real |", "| --- | --- | --- |", *lines])
