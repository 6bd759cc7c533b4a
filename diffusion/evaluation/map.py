"""The map: a plane in which the kinds stand apart, as a reader sees them, and the way of a run across it.

The crowds of the kinds stand around a circle. What may be any of them lies in its middle, what may be one of two lies
between these: a small network learns that from real images and from blends of them, each the best guess that can be
made of an image under noise. A map belongs to one reader and lies beside its file.
"""

from dataclasses import dataclass
from functools import cached_property
from math import log
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from diffusion import checks
from diffusion.checkpoint import fingerprint, write_weights
from diffusion.cores import sharing
from diffusion.data import DATASETS, to_float, to_uint8
from diffusion.evaluation.reader import BATCH, READER, Reader, load_reader
from diffusion.files import map_picture, render
from diffusion.files.render import Options
from diffusion.hardware import CPU_FLOAT32
from diffusion.result import Result
from diffusion.scheduler import T

CROWD = 0.13  # how far a crowd spreads: one standard deviation along each of its two directions
POINTS = 1500  # real images that are drawn
REAL, BLENDS = 20_000, 20_000  # what the network learns from
POOL = 6000  # of the real images: those that are blended
SIGMA = (0.5, 30.0)  # of the noise, on pixels in [-1, 1]: from where one image is meant to where all may be
WIDTH, EPOCHS, RATE = 128, 40, 3e-3


class Plane(nn.Module):
    """What a reader sees, features (B, 96) -> places (B, 2), and some real images there."""

    points: Tensor
    labels: Tensor

    def __init__(self, features: int, points: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm1d(features, affine=False, **CPU_FLOAT32),
            *(nn.Linear(features, WIDTH, **CPU_FLOAT32), nn.ReLU()),
            *(nn.Linear(WIDTH, WIDTH, **CPU_FLOAT32), nn.ReLU()),
            nn.Linear(WIDTH, 2, **CPU_FLOAT32),
        )
        self.register_buffer("points", torch.zeros(points, 2, **CPU_FLOAT32))
        self.register_buffer("labels", torch.zeros(points, dtype=torch.int64, device="cpu"))

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features)


@dataclass(frozen=True, eq=False)
class Map:
    """Where a reader's images lie: x to the right, y down, the middle at (0, 0), the crowds about 1 away from it.

    Attributes:
        reader: whose map it is.
        plane: from what it sees to places.
    """

    reader: Reader
    plane: Plane

    @property
    def points(self) -> np.ndarray:
        """Where some real images lie: float32 (P, 2)."""
        return self.plane.points.cpu().numpy()

    @property
    def labels(self) -> np.ndarray:
        """What they are: int64 (P,)."""
        return self.plane.labels.cpu().numpy()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return DATASETS[self.reader.dataset].names

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        dataset = DATASETS[self.reader.dataset]
        return dataset.channels, dataset.size, dataset.size

    @property
    def crowds(self) -> np.ndarray:
        """The middle of the points of each class: float32 (classes, 2)."""
        return self.ground.crowds

    @torch.inference_mode()
    def places(self, images: np.ndarray | Tensor) -> np.ndarray:
        """uint8 (N, H, W[, C]) -> where they lie, float32 (N, 2).

        Raises BadInput for images of another size than those of the reader's data set.
        """
        channels, *size = self.shape
        if images.shape[1:] != (*size, *([] if channels == 1 else [channels])):
            title = DATASETS[self.reader.dataset].title
            raise checks.BadInput(f"This map is of {title}: ask it for images of that size and colour.")
        return self.plane(self.reader.seen(images)).cpu().numpy()

    def way(self, result: Result) -> np.ndarray:
        """The way of each image of a result: where the network's guess lay at each frame, and at last the image itself.

        Returns float32 (F, N, 2): F frames as the result has them, N images. Raises BadInput as `places` does.
        """
        guesses = result.guesses
        return self.places(guesses.reshape(-1, *guesses.shape[2:])).reshape(*guesses.shape[:2], 2)

    def path(self, result: Result) -> np.ndarray:
        """The same, and before it the middle, where the run began in pure noise: float32 (F or F + 1, N, 2)."""
        way = self.way(result)
        return np.concatenate([np.zeros_like(way[:1]), way]) if result.levels[0] == T - 1 else way

    def pixels(self, result: Result, size: int = map_picture.LARGE) -> np.ndarray:
        """The map with the ways of a result: uint8 (size, size, 3)."""
        return self.ground.picture(self.path(result), result.images, _asked(result), size)

    def picture(self, result: Result, ending: str, **options: object) -> bytes:
        """The file with the way of a result: a .png of the map, or an animation with the map beside the images.

        Args:
            ending: .png, .gif, .webp or .apng.
            options: those of `render.Options`, of which a .png takes none.
        """
        chosen = Options(**options)  # type: ignore[arg-type]
        if ending == ".png":
            return render.png(self.pixels(result), result.recipe.to_json())
        frames = self.ground.beside(result.grids(chosen), self.path(result), result.guesses, _asked(result))
        return render.animated(ending, frames, result.recipe.to_json(), fps=chosen.fps)

    @cached_property
    def ground(self) -> map_picture.Ground:
        """The map without any way, to be drawn."""
        return map_picture.Ground(self.points, self.labels, self.names)


def _asked(result: Result) -> list[int] | None:
    """The classes that were asked for, whose colours the ways have; None where none were."""
    return result.labels if result.recipe.guidance > 0 else None


def map_file(reader: str | Path = READER) -> Path:
    """Where the map of the reader in a file lies: beside it, with -map added to its name."""
    return Path(reader).with_stem(f"{Path(reader).stem}-map")


def load_map(file: str | Path = READER, reader: Reader | None = None) -> Map:
    """The map of the reader in a file, by default of the one that ships. Raises BadInput where there is none.

    Args:
        reader: that which was loaded from the file already.
    """
    path = map_file(file)
    try:
        with safe_open(path, framework="pt") as opened:
            made_for = (opened.metadata() or {}).get("reader")
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
        plane = Plane(len(weights["body.0.running_mean"]), len(weights["points"]))
        plane.load_state_dict(weights)
    except FileNotFoundError:
        raise checks.BadInput(f"The reader {file} has no map at {path}: make one, or choose another reader.") from None
    except (SafetensorError, RuntimeError, OSError, KeyError, TypeError):
        raise checks.BadInput(f"{path} does not hold a map: make one of the reader {file}.") from None
    if made_for != fingerprint(file):
        raise checks.BadInput(f"{path} is the map of another reader than {file}: make one of this reader.")
    reader = reader or load_reader(file)
    return Map(reader, plane.to(reader.head.weight.device).eval().requires_grad_(False))


def save_map(drawn: Map, file: str | Path) -> Path:
    """Write the map of the reader in a file beside it, in half precision; returns where."""
    path = map_file(file)
    write_weights(drawn.plane, path, reader=fingerprint(file))
    return path


def make_map(
    reader: Reader, images: Tensor, labels: Tensor, points: Tensor, of: Tensor, *, seed: int = 0, progress: bool = False
) -> Map:
    """Fit a map to what a reader sees in real images.

    Args:
        images, labels: uint8 (N, H, W[, C]) and int64 (N,), what it is fitted to.
        points, of: the same of the images to be drawn, of which there may be more than are: better none of the former.
    """
    device = reader.head.weight.device
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        chosen = torch.randperm(len(images))[:REAL]
        images, labels = images[chosen].to(device), labels[chosen].to(device)
        seen = reader.seen(images)
        places = _places(seen, labels, len(reader.head.bias))
        blends, between = _blends(images[:POOL], places[:POOL])
        some = torch.randperm(len(points))[:POINTS]
        plane = Plane(seen.shape[1], len(some)).to(device)
        _fit(plane, torch.cat([seen, reader.seen(blends)]), torch.cat([places, between]), progress)
    drawn = Map(reader, plane)
    plane.points.copy_(torch.from_numpy(drawn.places(points[some])))
    plane.labels.copy_(of[some])
    return drawn


def _places(seen: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Where real images are to lie (N, 2): in the crowds of their classes, like neighbours side by side.

    The crowds stand around the circle in the order in which the means of the classes lie around the mean of all, in the
    plane of their first two principal components; within a crowd are the two of its own.
    """
    means = torch.stack([seen[labels == label].mean(0) for label in range(classes)])
    means -= means.mean(0)
    x, y = (means @ _principal(means)).unbind(1)
    rank = torch.atan2(y, x).argsort().argsort()
    angle = rank * (2 * torch.pi / classes) - torch.pi / 2  # the first one on top
    places = torch.stack([angle.cos(), angle.sin()], 1)[labels]
    for label in range(classes):
        mine = labels == label
        own = seen[mine] - seen[mine].mean(0)
        spread = own @ _principal(own)
        places[mine] += CROWD * (spread / spread.std(0)).clamp(-3, 3)
    return places


def _principal(centred: Tensor) -> Tensor:
    """The directions of the first two principal components (features, 2)."""
    return torch.linalg.svd(centred, full_matrices=False)[2][:2].T


def _blends(images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Best guesses of images under noise, uint8 (BLENDS, H, W[, C]), and where they are to lie (BLENDS, 2).

    Of a finite set of images that guess is known: by Bayes' rule, the mean of all that it may be, each weighted by how
    likely it is. It lies at the mean of their places.
    """
    clean = to_float(images)
    flat = clean.flatten(1)  # (P, pixels)
    under = torch.randint(len(flat), (BLENDS,), device=flat.device)
    sigma = torch.empty(BLENDS, 1, device=flat.device).uniform_(log(SIGMA[0]), log(SIGMA[1])).exp()
    blends, between = [], []
    for chosen, s in zip(under.split(BATCH), sigma.split(BATCH), strict=True):
        noisy = flat[chosen] + s * torch.randn_like(flat[chosen])
        likely = ((noisy @ flat.T - flat.square().sum(1) / 2) / s**2).softmax(1)  # (B, P)
        blends.append(to_uint8((likely @ flat).unflatten(1, clean.shape[1:])))
        between.append(likely @ places)
    return torch.cat(blends), torch.cat(between)


def _fit(plane: Plane, seen: Tensor, places: Tensor, progress: bool) -> None:
    """Teach the plane where what the reader sees is to lie."""
    plane.train()
    batch = min(256, len(seen))
    steps = len(seen) // batch
    optimizer = torch.optim.AdamW(plane.parameters(), lr=RATE, weight_decay=0.05)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=EPOCHS * steps)
    for _ in tqdm(range(EPOCHS), unit="epoch", desc="map", disable=not progress):
        for chosen in torch.randperm(len(seen), device=seen.device)[: steps * batch].split(batch):
            with sharing.step():
                loss = F.mse_loss(plane(seen[chosen]), places[chosen])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                with seen.device:
                    optimizer.step()
                decay.step()
    plane.eval().requires_grad_(False)
