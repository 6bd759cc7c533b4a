"""The reader: a small classifier, trained here on real images only, that judges what was drawn."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from diffusion.checkpoint import BUNDLED, write_weights
from diffusion.checks import BadInput
from diffusion.cores import sharing
from diffusion.data import DATASETS, DEFAULT, to_float, with_classes
from diffusion.hardware import CPU_FLOAT32, best_device, quickest_precision

READER = BUNDLED / "reader.safetensors"  # of MNIST
READERS = {DEFAULT: READER, "fashion-mnist": BUNDLED / "fashion-reader.safetensors"}  # by data set: those that ship
BATCH = 500  # images read at once
DROPPED = 0.2  # share of the features that are hidden in training
MAKING = threading.Lock()  # how a network is made depends on random numbers that all threads share


class Reader(nn.Module):
    """A small classifier: images (B, C, H, W) in [-1, 1] -> logits (B, classes).

    In training a share of the features is hidden by `train_reader` (dropout, with random numbers of its own).
    """

    def __init__(self, classes: int, channels: int, dataset: str) -> None:
        super().__init__()
        self.dataset = dataset  # whose images it was trained on
        shapes = [(channels, 24, 1), (24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1)]  # channels in and out, stride
        layers: list[nn.Module] = []
        for channels, out, stride in shapes:
            layers += [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False, **CPU_FLOAT32)]
            layers += [nn.BatchNorm2d(out, **CPU_FLOAT32), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(96, classes, **CPU_FLOAT32)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees: (B, 96)."""
        return self.body(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    @torch.inference_mode()
    def read(self, images: np.ndarray | Tensor) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (N, H, W[, C]) -> how likely each class is, float32 (N, classes), and float64 features (N, 96)."""
        features = self.seen(images)
        return self.head(features).softmax(dim=1).cpu().numpy(), features.double().cpu().numpy()

    @torch.inference_mode()
    def seen(self, images: np.ndarray | Tensor) -> Tensor:
        """The features of images uint8 (N, H, W[, C]): float32 (N, 96)."""
        device = self.head.weight.device
        parts = (images if isinstance(images, Tensor) else torch.from_numpy(images)).split(BATCH)
        found = []
        for part in parts:
            with sharing.step():
                found.append(self.features(to_float(part.to(device))))
        return torch.cat(found)

    def accuracy(self, images: np.ndarray | Tensor, labels: Tensor) -> float:
        """The share of images (N, H, W[, C]) read as their labels (N,) say."""
        return float((self.read(images)[0].argmax(axis=1) == labels.numpy()).mean())


def reader_of(names: Sequence[str]) -> Path:
    """The reader that ships for classes of these names; where there is none, that of MNIST."""
    file = READERS.get(with_classes(names) or DEFAULT, READER)
    return file if file.is_file() else READER


def load_reader(path: str | Path = READER) -> Reader:
    """The reader that ships, or one that `save_reader` wrote. Raises BadInput where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            dataset = (file.metadata() or {}).get("dataset", DEFAULT)
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - it is no dict
        reader = Reader(weights["head.weight"].shape[0], weights["body.0.weight"].shape[1], dataset)
        reader.load_state_dict(weights)
    except FileNotFoundError:
        raise BadInput(f"There is no reader at {path}: check the path, or train one.") from None
    except (SafetensorError, RuntimeError, OSError, KeyError, IndexError):
        raise BadInput(f"{path} does not hold a reader: choose another file, or train one.") from None
    return reader.to(best_device()).eval().requires_grad_(False)


def save_reader(reader: Reader, path: str | Path) -> None:
    """Write a reader's weights in half precision, and whose images it reads."""
    write_weights(reader, path, dataset=reader.dataset)


def train_reader(
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    classes: int | None = None,
    dataset: str = DEFAULT,
    jitter: bool = True,
    seed: int = 0,
    precision: str | None = None,
    progress: bool = False,
) -> Reader:
    """Train a reader on uint8 images (N, H, W[, C]) and labels (N,), with small random turns and shifts if `jitter`.

    Without `classes`, there are as many as the data set has. Without a `precision`, fp32 or bf16, it is the one that is
    quicker here: in bf16 a reader's figures differ by less than from seed to seed. Its random numbers are its own:
    several readers may be trained at once, each in a thread.
    """
    device = best_device()
    classes = classes or len(DATASETS[dataset].names)
    with MAKING, torch.random.fork_rng():  # the caller's random numbers stay as they were
        precision = precision or quickest_precision(device)
        torch.manual_seed(seed)
        reader = Reader(classes, 1 if images.ndim == 3 else images.shape[-1], dataset).to(device)
    random = torch.Generator(device).manual_seed(seed)
    return _train(reader, images.to(device), labels.to(device), epochs, jitter, random, precision, progress)


def _train(
    reader: Reader,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    jitter: bool,
    random: torch.Generator,
    precision: str,
    progress: bool,
) -> Reader:
    reader.train().to(memory_format=torch.channels_last)
    batch = min(128, len(images))
    steps = len(images) // batch
    optimizer = torch.optim.AdamW(reader.parameters(), lr=3e-3, weight_decay=0.05)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * steps)
    bar = tqdm(total=epochs * steps, unit="step", desc="reader", disable=not progress)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=random, device=images.device)
        for chosen in order[: steps * batch].split(batch):
            with sharing.step():
                x = to_float(images[chosen])
                x = (jittered(x, random) if jitter else x).to(memory_format=torch.channels_last)
                with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                    features = reader.features(x)
                    kept = torch.rand(features.shape, generator=random, device=x.device, dtype=torch.float32) >= DROPPED
                    loss = F.cross_entropy(reader.head(features * kept / (1 - DROPPED)), labels[chosen])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                with images.device:  # AdamW keeps its count of steps on the default device
                    optimizer.step()
                decay.step()
            bar.update()
    bar.close()
    return reader.eval().requires_grad_(False)


def jittered(x: Tensor, random: torch.Generator | None = None) -> Tensor:
    """Each image turned by up to 12 degrees, scaled by up to a tenth and shifted by up to two pixels."""
    n = len(x)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=random, device=x.device, dtype=torch.float32) * 2 - 1) * limit

    angle, scale = uniform(0.21), 1 + uniform(0.1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    affine = torch.stack([cos, -sin, uniform(2 / 14), sin, cos, uniform(2 / 14)], dim=1).view(n, 2, 3)
    where = F.affine_grid(affine, list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, where, align_corners=False) - 1  # what comes in from outside is black
