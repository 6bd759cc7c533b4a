"""Images with words and signs around them, as HTML: figures, rows of them, and formulas. All words are HTML already."""

from collections.abc import Iterable

import numpy as np

from ui.player import png


def figure(pixels: np.ndarray, about: str, title: str = "", over: str = "") -> str:
    """An image, uint8 (H, W[, 3]), with what a screen reader says, and what stands below and above it."""
    above = f'<span class="over">{over}</span>' if over else ""
    below = f"<figcaption>{title}</figcaption>" if title else ""
    return f'<figure>{above}<img src="{png(pixels)}" alt="{about}">{below}</figure>'


def summed(*parts: str) -> str:
    """Figures in a row, with signs between them."""
    shown = (part if part.startswith("<") else f"<b>{part}</b>" for part in parts)
    return f'<div class="sum">{"".join(shown)}</div>'


def many(figures: Iterable[str]) -> str:
    """Small figures beside and below each other."""
    return f'<div class="many">{"".join(figures)}</div>'


def become(one: str, others: str, kind: str = "") -> str:
    """A figure, and what became of it."""
    return f'<div class="from-one {kind}">{one}<b aria-hidden="true">→</b>{others}</div>'


def formula(*parts: str) -> str:
    return f'<p class="numbers">{"".join(f"<span>{part}</span>" for part in parts)}</p>'
