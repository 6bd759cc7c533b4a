"""What a data set is made of, and how it is divided into shards.

Which images a shard holds, and which of them are drawn at once, follows from the plan alone. So any process on any
machine may draw any shard, and the images are the same.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from diffusion import checks
from diffusion.checks import BadInput

VERSION = 1  # of how the images of a shard follow from a plan, and of its file
USUAL = 10_000  # images of a shard, in a large data set
FEWEST = 16  # shards where there are enough images: as many processes can share the work
MOST_IMAGES = 50_000  # in a shard, which is held in memory
LISTS: dict[str, Any] = {"labels": np.int64, "seeds": np.int64, "numbers": np.int64, "texts": str, "widths": np.int64}


@dataclass(frozen=True)
class Part:
    """Some images of a data set.

    Attributes:
        images: uint8 (N, H, W), or (N, H, W, 3) in colour.
        numbers: which of the data set they are, counted from 0.
        texts: of strings, which have no labels.
        widths: of the pictures of strings, which are black at their ends.
    """

    images: np.ndarray
    labels: list[int]
    seeds: list[int]
    numbers: list[int]
    texts: list[str] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    viewed = None  # no other views: see export.py

    def some(self, chosen: Sequence[int]) -> "Part":
        """Some of the images, counted from 0."""
        lists = {name: [getattr(self, name)[k] for k in chosen] for name in LISTS if getattr(self, name)}
        return replace(self, images=self.images[list(chosen)], **lists)

    @property
    def pictures(self) -> list[np.ndarray]:
        """The images, each as wide as it is."""
        return [image[:, :width] for image, width in zip(self.images, self.widths or repeat(None), strict=False)]


@dataclass(frozen=True)
class Plan:
    """What a data set is made of, and how it is divided.

    Attributes:
        recipe: all that decides what the images are, in JSON.
        count: of the images.
        batch: how many are drawn at once. Shards begin between batches.
        shards: how many there are; by default one for 10,000 images, but at least 16 if there are as many batches.
    """

    recipe: str
    count: int
    batch: int
    shards: int = 0

    def __post_init__(self) -> None:
        most = ceil(self.count / self.batch)
        shards = self.shards or min(most, max(FEWEST, ceil(self.count / USUAL)))
        object.__setattr__(self, "shards", checks.whole("shards", shards, ceil(self.count / MOST_IMAGES), most))

    def images(self, shard: int) -> range:
        """The numbers of the images in a shard, which is counted from 0."""
        batches = ceil(self.count / self.batch)
        first, last = (batches * k // self.shards * self.batch for k in (shard, shard + 1))
        return range(first, min(last, self.count))

    def batches(self, shard: int) -> Iterator[range]:
        """The same, as they are drawn."""
        images = self.images(shard)
        for start in range(0, len(images), self.batch):
            yield images[start : start + self.batch]

    @property
    def identity(self) -> dict[str, Any]:
        """What all shards of one data set have in common."""
        recipe = hashlib.sha256(self.recipe.encode()).hexdigest()[:16]
        return {"version": VERSION, "images": self.count, "shards": self.shards, "recipe": recipe}

    def check(self, path: Path, other: Mapping[str, Any]) -> None:
        """BadInput where a file belongs to another data set than this one, whose identity it tells."""
        if all(other.get(name) == value for name, value in self.identity.items()):
            return
        if other.get("version") != VERSION:
            reason = "was made by another version of this project"
        elif other.get("images") != self.count:
            reason = f"is of a data set of {other.get('images')} images, not {self.count}"
        elif other.get("shards") != self.shards:
            reason = f"is of a data set in {other.get('shards')} shards, not {self.shards}"
        else:
            reason = "was drawn by another recipe, or by other weights"
        raise BadInput(f"{path} {reason}: choose another folder, or ask for the same again.")
