"""The checks of everything that comes from outside: one place, one tone, for library, CLI and page alike."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

MAX_SEED = 2**32 - 1
MAX_GUIDANCE = 20.0
MAX_IMAGES = 1_000_000
MAX_CLASSES = 1000


class BadInput(ValueError):
    """A request that cannot be met. Its message is one sentence that says what to do instead."""


class Newer(BadInput):
    """A recipe, or a part of one, that only a later version of this project knows."""

    def __init__(self) -> None:
        super().__init__("This recipe is of a newer version: update the project to read it.")


def number(name: str, value: Any, low: float, high: float, also: tuple[float, ...] = ()) -> float:
    """`value` as a float in [low, high], or one of `also`, or BadInput.

    Text and None are refused, numpy and torch scalars are not.
    """
    other = "".join(f" or {each:g}" for each in also)
    wanted = f"{name} must be a number from {low:,g} to {high:,g}{other}"
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{wanted}, not {shown(value)}.")
    if not (low <= value <= high or value in also):  # false for NaN as well
        raise BadInput(f"{wanted}, not {shown(value)}.")
    return float(value)


def whole(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int in [low, high], or BadInput. 20.0 passes (a slider sends floats), 20.5 does not."""
    wanted = f"{name} must be a whole number from {low:,} to {high:,}"
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{wanted}, not {shown(value)}.")
    if not low <= value <= high or value != int(value):
        raise BadInput(f"{wanted}, not {shown(value)}.")
    return int(value)


def interval(name: str, value: Any, low: int, high: int) -> tuple[int, int]:
    """`value` as two whole numbers in [low, high], the lower one first, or BadInput."""
    wanted = f"{name} must be two whole numbers from {low:,} to {high:,}, the lower one first"
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise BadInput(f"{wanted}, not {shown(value)}.")
    try:
        first, last = (whole(name, end, low, high) for end in value)
    except BadInput:
        raise BadInput(f"{wanted}, not {shown(value)}.") from None
    if first > last:
        raise BadInput(f"{wanted}, not {shown(value)}.")
    return first, last


def choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """The one of `choices`, all texts or all numbers, that `value` is, or BadInput. 2.0 is 2, True is not 1."""
    choices, value = list(choices), _plain(value)
    for each in choices:
        if not isinstance(value, bool) and isinstance(value, str | int | float | tuple) and value == each:
            return each
    wanted = f"one of {', '.join(map(written, choices))}" if len(choices) > 1 else written(choices[0])
    raise BadInput(f"{name} must be {wanted}, not {shown(value)}.")


def ending(path: str | Path, endings: Iterable[str]) -> str:
    """Which of `endings` a path has, in whatever case, or BadInput."""
    *others, last = endings
    name = Path(path).name.lower()
    for known in sorted([*others, last], key=len, reverse=True):  # .idx.zip before .zip
        if name.endswith(known) and name != known:
            return known
    raise BadInput(f"{path} must end in {', '.join(others) + ' or ' if others else ''}{last}.")


def typed(text: str) -> float | str:
    """What somebody wrote, as a number; what is none stays text, for the other checks to refuse in their own words."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def several(value: Any) -> list[Any]:
    """What somebody wrote as one value or as several, like "0.4,0.6", as a list, for the other checks."""
    if isinstance(value, str):
        return [typed(part.strip()) for part in value.split(",")]
    return list(value) if isinstance(value, list | tuple) else [value]


def labels(name: str, value: Any, classes: int) -> list[int]:
    """`value`, one digit or several, as a non-empty list of ints in [0, classes), or BadInput."""
    wanted = f"{name} must be one or more whole numbers from 0 to {classes - 1}"
    value = value.tolist() if hasattr(value, "tolist") else value
    items = [value] if isinstance(value, int | float) else value
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise BadInput(f"{wanted}, not {shown(value)}.")
    plain = isinstance(items, list | tuple) and 0 < len(items) <= MAX_IMAGES and set(map(type, items)) == {int}
    if plain and min(items) >= 0 and max(items) < classes:
        return list(items)  # as it nearly always is, and a million of them take no time
    checked = []
    for item in items:
        try:
            checked.append(whole(name, item, 0, classes - 1))
        except BadInput:
            raise BadInput(f"{wanted}, not {shown(item)}.") from None
        if len(checked) > MAX_IMAGES:
            raise BadInput(f"Ask for at most {MAX_IMAGES:,} images at once.")
    if not checked:
        raise BadInput(f"{wanted}: choose at least one.")
    return checked


def is_fingerprint(text: object) -> bool:
    """Whether `checkpoint.fingerprint` may have made this name for weights."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{8}", text) is not None


def written(value: Any) -> str:
    """A value as people write it and the checks reads it: "2.5", "20", "ddim", "400,700"."""
    if isinstance(value, tuple):
        return ",".join(map(written, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _plain(value: Any) -> Any:
    """The Python number inside a numpy or torch scalar; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def unusable(error: OSError) -> str:
    """A sentence on a file that cannot be read or written, or whose name no file can have."""
    if error.filename is None:
        return f"This computer refuses that: {error.strerror or error}. Free space or try again."
    return f"Cannot use {shown(error.filename)}: {error.strerror or error}. Choose another path."


def shown(value: Any) -> str:
    """`value` for a message: short whatever it is."""
    pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(each, int | float) for each in value)
    text = "nothing" if value is None else written(value) if pair else " ".join(repr(value).split())
    return text if len(text) <= 40 else text[:37] + "..."
