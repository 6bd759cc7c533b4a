"""How good are the digits? Numbers, each beside its floor: the same number for real digits.

The judge is the reader, a small convolutional classifier trained here on real training digits only. Its accuracy tells
whether a digit is the one asked for; the Frechet distance in its features tells how far the crowd is from the real one.
"""

import json
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


class Reader(nn.Module):
    """A small classifier of digits: images (B, 1, 28, 28) in [-1, 1] -> logits (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(1, 24, 1), (24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1)]  # channels in and out, stride
        layers: list[nn.Module] = []
        for channels, out, stride in shapes:
            layers += [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(96, 10)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees: (B, 96)."""
        return self.body(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.features(x), 0.2, self.training))

    @torch.inference_mode()
    def read(self, images: np.ndarray | Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """uint8 (N, 28, 28) -> the digit read (N,), how sure in 0..1 (N,), and float64 features (N, 96)."""
        device = self.head.weight.device
        features = torch.cat(
            [self.features(to_float(part.to(device))) for part in torch.as_tensor(images).split(BATCH)]
        )
        sure, digit = self.head(features).softmax(dim=1).max(dim=1)
        return digit.cpu().numpy(), sure.cpu().numpy(), features.double().cpu().numpy()


def load_reader(path: str | Path = READER) -> Reader:
    """The reader that ships, or one trained by `train_reader`. Raises BadInput where there is none."""
    reader = Reader()
    try:
        reader.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    except FileNotFoundError:
        raise BadInput(f"There is no reader at {path}: make one with python -m diffusion train-reader.") from None
    except (SafetensorError, RuntimeError, OSError):
        raise BadInput(f"{path} is no reader's weights: make one with python -m diffusion train-reader.") from None
    return reader.eval().requires_grad_(False)


def train_reader(images: Tensor, labels: Tensor, *, epochs: int, seed: int = 0, progress: bool = True) -> Reader:
    """Train a reader on uint8 (N, 28, 28) and labels (N,), with small random shifts, turns and scalings."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images, labels = images.to(device), labels.to(device)
    reader = Reader().to(device).train()
    batch = min(128, len(images))
    steps = len(images) // batch
    optimizer = torch.optim.AdamW(reader.parameters(), lr=3e-3, weight_decay=0.05)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * steps)
    bar = tqdm(total=epochs * steps, unit="step", disable=not progress)
    for _ in range(epochs):
        order = torch.randperm(len(images), device=device)
        for chosen in order[: steps * batch].split(batch):
            loss = F.cross_entropy(reader(_jittered(to_float(images[chosen]))), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            decay.step()
            bar.update()
    bar.close()
    return reader.eval().requires_grad_(False)


def save_reader(reader: Reader, path: str | Path) -> None:
    """Write a reader's weights in half precision."""
    with replacing(path) as temporary:
        save_file({name: t.half() if t.is_floating_point() else t for name, t in _state(reader)}, temporary)


def _state(reader: Reader) -> list[tuple[str, Tensor]]:
    return [(name, tensor.cpu().contiguous()) for name, tensor in reader.state_dict().items()]


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


def draw(pipe: Pipeline, recipe: Recipe, *, progress: bool = True) -> np.ndarray:
    """Draw a recipe of any length, a batch at a time: uint8 (N, 28, 28)."""
    parts = list(recipe.split(BATCH))
    bar = tqdm(total=len(parts) * recipe.steps, unit="step", disable=not progress)
    images = []
    for part in parts:
        run = pipe.run(part)
        for _ in run:
            bar.update()
        images.append(run.result().images)
    bar.close()
    return np.concatenate(images)


def evaluate(
    pipe: Pipeline, recipe: Recipe, *, real: tuple[Tensor, Tensor, Tensor, Tensor], progress: bool = True
) -> dict[str, Any]:
    """Draw a recipe and judge it beside real digits.

    Args:
        real: training images and labels, test images and labels.

    Returns:
        A dict fit for JSON: accuracy as asked (overall and by digit), Frechet distance to the test set and the share
        of exactly black pixels, each with its floor for real digits.
    """
    count = len(recipe.digits)
    if count < 200:
        raise BadInput(f"Evaluation needs at least 200 digits to mean anything, not {count}: raise --count.")
    reader = load_reader()
    train_images, _, test_images, test_labels = real
    images = draw(pipe, recipe, progress=progress)
    asked = np.array(recipe.digits)
    read, _, features = reader.read(images)
    read_real, _, features_real = reader.read(test_images)
    some = torch.randperm(len(train_images), generator=torch.Generator().manual_seed(0))[:count]
    _, _, features_train = reader.read(train_images[some])
    return {
        "recipe": json.loads(recipe.to_json()) | {"digits": sorted(set(recipe.digits))},
        "count": count,
        "accuracy": float((read == asked).mean()),
        "accuracy_floor": float((read_real == test_labels.numpy()).mean()),
        "accuracy_by_digit": {str(d): float((read == asked)[asked == d].mean()) for d in sorted(set(recipe.digits))},
        "frechet_distance": frechet_distance(features, features_real),
        "frechet_distance_floor": frechet_distance(features_train, features_real),
        "black_pixels": float((images == 0).mean()),
        "black_pixels_floor": float((test_images == 0).float().mean()),
    }
