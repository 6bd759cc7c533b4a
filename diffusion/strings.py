"""Strings: some digits in a row as one picture with its text, what a reader of meters or CAPTCHAs is trained on."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain

import numpy as np
import torch

from diffusion import checks
from diffusion.activity import Setup
from diffusion.recipe import Recipe
from diffusion.style import ATTRIBUTES, Styles, conditions

LONGEST = 40  # digits in a row: the pictures of a batch stay small


@dataclass(frozen=True)
class Strings:
    """Some strings, each of several labels.

    Attributes:
        labels: of each string.
        longest: of all that could have been picked: every picture is as wide, and black at its end.
    """

    labels: tuple[tuple[int, ...], ...]
    longest: int

    @classmethod
    def by_lot(cls, count: int, lengths: range, pool: Sequence[int], seed: int) -> "Strings":
        """So many strings, the length of each and its labels picked by a lot that falls the same with the same seed."""
        lot = random.Random(f"strings {seed}")
        labels = tuple(tuple(lot.choices(pool, k=lot.choice(lengths))) for _ in range(count))
        return cls(labels, lengths[-1])

    @cached_property
    def flat(self) -> tuple[int, ...]:
        """The labels of all strings, one after another."""
        return tuple(chain.from_iterable(self.labels))

    @cached_property
    def starts(self) -> list[int]:
        """Where each string begins in `flat`, and the end of the last one."""
        return [0, *accumulate(map(len, self.labels))]

    def rows(self, numbers: range, images: np.ndarray) -> np.ndarray:
        """The pictures of some strings: images of their labels (N, H, W[, 3]) -> (strings, H, longest * W[, 3])."""
        _, height, width, *colour = images.shape
        rows = np.zeros((len(numbers), height, self.longest * width, *colour), images.dtype)
        for row, part in zip(rows, self.divided(numbers, range(len(images))), strict=True):
            row[:, : len(part) * width] = np.concatenate(images[part.start : part.stop], 1)
        return rows

    def divided(self, numbers: range, several: range) -> list[range]:
        """A range over the labels of some strings, as a range for each of them."""
        first = self.starts[numbers.start]
        return [several[self.starts[k] - first : self.starts[k + 1] - first] for k in numbers]

    def in_one_hand(self, styles: Styles, numbers: range, recipe: Recipe, setup: Setup) -> Setup:
        """The run that draws these strings, each in the hand of its first seed, but for what the recipe says itself."""
        seeds, fixed = recipe.seeds, [getattr(recipe, name) for name in ATTRIBUTES]
        rows = [
            styles.targets(self.labels[k], seeds[part.start : part.stop], fixed, seeds[part.start], ())
            for k, part in zip(numbers, self.divided(numbers, range(len(seeds))), strict=True)
        ]
        style = torch.cat([row for row in rows if row is not None])  # none is, with a hand
        return replace(setup, denoise=setup.guide(conditions(setup.labels, style)))


def lengths(text: str) -> range:
    """The lengths that a text like "4-6" or "5" asks for, or BadInput."""
    found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", checks.written(text).strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        raise checks.BadInput(f"length must be like 5 or 4-6, not {checks.shown(text)}.")
    if last > LONGEST:
        raise checks.BadInput(f"A row holds at most {LONGEST} digits, not {last:,}: ask for shorter strings.")
    return range(first, last + 1)
