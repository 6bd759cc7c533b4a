"""What to draw, in words: "0-9", "7,7,3" or "2026" -> digits."""

import re

from diffusion.checks import BadInput, shown


def digits(text: str) -> list[int]:
    """The digits that a text asks for, in order, or BadInput.

    >>> digits("0-3"), digits("7,7,3"), digits("2026")
    ([0, 1, 2, 3], [7, 7, 3], [2, 0, 2, 6])
    """
    if len(text) > 10_000:
        raise BadInput('That is too long: write digits like "0-9", "7,7,3" or "2026".')
    wanted: list[int] = []
    for part in filter(None, re.split(r"[\s,]+", text)):
        if match := re.fullmatch(r"([0-9])-([0-9])", part):
            first, last = int(match[1]), int(match[2])
            wanted += range(first, last + 1) if first <= last else range(first, last - 1, -1)
        elif re.fullmatch(r"[0-9]+", part):
            wanted += map(int, part)
        else:
            raise BadInput(f'Cannot read {shown(part)} as digits: write them like "0-9", "7,7,3" or "2026".')
    if not wanted:
        raise BadInput('No digits asked for: write them like "0-9", "7,7,3" or "2026".')
    return wanted
