"""What to draw, in words: "0-9", "7,7,3", "2026" or, where the classes have names, "sneaker, ankle boot" -> labels."""

import re
from collections.abc import Sequence
from textwrap import shorten

from diffusion.checks import BadInput, shown


def digits(text: str, names: Sequence[str] = ()) -> list[int]:
    """The digits that a text asks for, in order, or BadInput.

    Args:
        names: of the classes, names[k] for digit k, such as `Pipeline.names`. They are understood in upper and lower
            case, and the longest first: "ankle boot" is one thing. A digit always means itself.

    >>> digits("0-3"), digits("7,7,3"), digits("2026"), digits("Dog, 0, cat", names=["cat", "dog"])
    ([0, 1, 2, 3], [7, 7, 3], [2, 0, 2, 6], [1, 0, 0])
    """
    named: dict[str, list[int]] = {}
    for label, name in enumerate(names):
        if not re.fullmatch(r"[0-9]+", name):
            named.setdefault(" ".join(_words(name)).casefold(), []).append(label)
    examples = '"0-9", "7,7,3" or "2026"'
    if named:
        listed = shorten(", ".join(names), 110, placeholder=" ...")
        examples += f", or these names: {listed}"
    if len(text) > 10_000:
        raise BadInput(f"That is too long: write digits like {examples}.")

    wanted: list[int] = []
    words = _words(text)
    longest = max((len(name.split()) for name in named), default=0)
    while words:
        used = 1
        if words[0] == ",":
            pass  # it only divides
        elif match := re.fullmatch(r"([0-9])-([0-9])", words[0]):
            first, last = int(match[1]), int(match[2])
            wanted += range(first, last + 1) if first <= last else range(first, last - 1, -1)
        elif re.fullmatch(r"[0-9]+", words[0]):
            wanted += map(int, words[0])
        elif used := next((n for n in range(longest, 0, -1) if " ".join(words[:n]).casefold() in named), 0):
            labels = named[" ".join(words[:used]).casefold()]
            if len(labels) > 1:
                asked = shown(" ".join(words[:used]))
                raise BadInput(f"{asked} names several classes: write one of the digits {shown(labels)} instead.")
            wanted += labels
        else:
            raise BadInput(f"Cannot read {shown(words[0])} as digits: write them like {examples}.")
        words = words[used:]
    if not wanted:
        raise BadInput(f"No digits asked for: write them like {examples}.")
    return wanted


def _words(text: str) -> list[str]:
    """The words of a text, and every comma as a word of its own."""
    return re.findall(r"[^\s,]+|,", text)
