"""How a digit is written, as weights offer it that can be asked for it; strokes.py measures it on images.

Three attributes, after Morpho-MNIST (Castro et al. 2019, https://arxiv.org/abs/1809.10780, section 3.1):

    thickness   mean width of the strokes, in pixels
    slant       angle of the shear that would set the digit upright, in radians, above 0 when it leans to the right
    width       of the box around the digit once it is upright, in pixels

A style is a float tensor (B, 3) in this order, and NaN stands where an attribute may be anything.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from diffusion import checks

ATTRIBUTES = ("thickness", "slant", "width")
HOW = (*ATTRIBUTES, "hand")  # the settings of a recipe that say how to write

ANY, MANY = "any", "many"  # what is asked for: whatever comes; a hand of its own for each image
WORDS = {  # that say how to write: the attribute, and the share of real hands that are below
    "thin": ("thickness", 0.05),
    "thick": ("thickness", 0.95),
    "slanted": ("slant", 0.95),
    "upright": ("slant", None),  # exactly
    "narrow": ("width", 0.05),
    "wide": ("width", 0.95),
}

KEPT = 100  # styles that weights carry of each class: enough to draw a spread from
OUTSIDE = 0.005  # of the styles trained on, beyond either end of the range that is offered: too rare to be learned

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Styles:
    """The styles of the images that weights have learned from, and so what may be asked of them.

    Attributes:
        low, high: ends of the range of each attribute.
        spread: of each class, some styles as real hands have them, sorted.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    spread: tuple[tuple[tuple[float, ...], ...], ...]

    def __post_init__(self) -> None:
        count = len(ATTRIBUTES)

        def triple(value: Any) -> tuple[float, ...]:
            if not isinstance(value, list | tuple) or len(value) != count:
                raise checks.BadInput(f"styles must be {count} numbers each, not {checks.shown(value)}.")
            return tuple(checks.number("each of styles", number, -1000, 1000) for number in value)

        low, high = triple(self.low), triple(self.high)
        if any(first >= last for first, last in zip(low, high, strict=True)):
            raise checks.BadInput("styles must have the lower end of each range below the higher one.")
        if not isinstance(self.spread, list | tuple) or not all(isinstance(each, list | tuple) for each in self.spread):
            raise checks.BadInput(f"styles must be a list for each class, not {checks.shown(self.spread)}.")
        if not all(1 <= len(each) <= KEPT for each in self.spread):
            raise checks.BadInput(f"styles must be 1 to {KEPT} of each class.")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "spread", tuple(tuple(triple(style) for style in each) for each in self.spread))

    @classmethod
    def of(cls, style: Tensor, labels: Tensor, classes: int) -> "Styles":
        """Those of measured images: style (N, 3), labels (N,), with at least one image of each class."""
        low, high = np.quantile(style.double().numpy(), [OUTSIDE, 1 - OUTSIDE], axis=0).round(2)
        inside = style.double().clamp(torch.from_numpy(low), torch.from_numpy(high))
        spread = []
        for label in range(classes):
            theirs = inside[labels == label]
            theirs = theirs[theirs[:, 0].argsort()]  # evenly along the thickness, and as they come in the rest
            chosen = torch.linspace(0, len(theirs) - 1, min(KEPT, len(theirs))).long()
            spread.append(tuple(tuple(round(number, 2) for number in each) for each in theirs[chosen].tolist()))
        return cls(tuple(low.tolist()), tuple(high.tolist()), tuple(spread))

    def scaled(self, style: Tensor) -> Tensor:
        """A style (B, 3) as numbers that are 0 and 1 at the ends of the range, NaN where it is anything."""
        low, high = style.new_tensor(self.low), style.new_tensor(self.high)
        return (style - low) / (high - low)

    def quantile(self, attribute: str, share: float, label: int) -> float:
        """What so large a share of the real images of a class is below in that attribute."""
        k = ATTRIBUTES.index(attribute)
        return float(np.quantile([style[k] for style in self.spread[label]], share))

    def hand(self, number: int) -> list[tuple[float, ...]]:
        """How one person writes each class: the style of somebody, drawn by lot with the number.

        The pen and the lean are the same in every class. A 1 is narrow whoever writes it, so the width is as far along
        among those of each class as that person's is.
        """
        lot = random.Random(number)
        theirs = _drawn(self.spread, lot)
        thickness, slant, width = _drawn(theirs, lot)
        share = float(np.mean([style[2] < width for style in theirs]))
        return [(thickness, slant, self.quantile("width", share, label)) for label in range(len(self.spread))]

    def targets(
        self,
        labels: Sequence[int],
        seeds: Sequence[int],
        fixed: Sequence[float | str],
        hand: int | str,
        words: Sequence[tuple[int, str]],
    ) -> Tensor | None:
        """The style (B, 3) of some images that is asked for, or None where any will do.

        Args:
            labels, seeds: of the images.
            fixed: each attribute of all images, or ANY.
            hand: whose, as a number, for all images; MANY for one by lot for each image, with its seed; or ANY.
            words: (k, word of WORDS) for image k. They count more than what is fixed, and that more than the hand.
        """
        if hand == MANY:
            rows = [
                list(_drawn(self.spread[label], random.Random(seed))) for label, seed in zip(labels, seeds, strict=True)
            ]
        elif isinstance(hand, int):
            by_label = self.hand(hand)
            rows = [list(by_label[label]) for label in labels]
        else:
            rows = [[math.nan] * len(ATTRIBUTES) for _ in labels]
        for k, value in enumerate(fixed):
            if not isinstance(value, str):
                for row in rows:
                    row[k] = value
        for image, word in words:
            attribute, share = WORDS[word]
            value = 0.0 if share is None else self.quantile(attribute, share, labels[image])
            rows[image][ATTRIBUTES.index(attribute)] = value
        style = torch.tensor(rows, dtype=torch.float32, device="cpu")
        return None if style.isnan().all() else style


def _drawn(several: Sequence[Drawn], lot: random.Random) -> Drawn:
    """One of several, by a lot that falls the same in every version of Python."""
    return several[int(lot.random() * len(several))]


def check_words(words: Any, images: int) -> tuple[tuple[int, str], ...]:
    """Pairs of an image, counted from 0, and a word of WORDS, in order and each once, or BadInput."""
    chosen: dict[tuple[int, str], str] = {}
    for pair in words if isinstance(words, list | tuple) else [words]:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise checks.BadInput(f"words must be pairs of an image and a word, not {checks.shown(pair)}.")
        image, word = (
            checks.whole("The image of a word", pair[0], 0, images - 1),
            checks.choice("A word", pair[1], WORDS),
        )
        before = chosen.setdefault((image, WORDS[word][0]), word)
        if before != word:
            raise contradiction(before, word)
    return tuple(sorted((image, word) for (image, _), word in chosen.items()))


def repeated(words: Sequence[tuple[int, str]], images: int, count: int) -> tuple[tuple[int, str], ...]:
    """The words of so many images, where these come `count` times, one after another."""
    return tuple((k + again * images, word) for again in range(count if words else 0) for k, word in words)


def contradiction(one: str, other: str) -> checks.BadInput:
    """For two words that cannot both be true."""
    return checks.BadInput(f"A digit cannot be {one} and {other} at once: leave one of them out.")


def conditions(labels: Tensor, style: Tensor) -> Tensor:
    """Labels (B,) and their style (B, 3) as one condition: float32 (B, 4)."""
    return torch.cat([labels[:, None].float(), style.to(labels.device).float()], 1)


def parts(condition: Tensor) -> tuple[Tensor, Tensor | None]:
    """The int64 labels (B,) of a condition, and its style (B, 3) where it has one."""
    return (condition, None) if condition.ndim == 1 else (condition[:, 0].long(), condition[:, 1:])
