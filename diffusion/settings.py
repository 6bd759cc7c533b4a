"""How a setting is declared: what it may be, what it is by default, what it does, and when it counts.

The settings of a drawing are fields of `Recipe` (recipe.py), those of a training of `TrainConfig` (training/config.py).
Flags, prompt commands, the page's controls, links, tables and checks are made of these declarations, so that each
range, default and sentence stands in one place. Weights that can do less than others offer narrower declarations
(model.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from diffusion import checks


class Values(Protocol):
    """What a setting may be."""

    def __str__(self) -> str:
        """In words, like "1 to 1,000"."""

    def check(self, name: str, value: Any) -> Any:
        """The value as its own type, or BadInput, which calls it by `name`."""

    def read(self, text: str) -> Any:
        """The value that somebody wrote, not checked yet."""


@dataclass(frozen=True)
class Number:
    """A number in [low, high], or one of `also`."""

    low: float
    high: float
    also: tuple[float, ...] = ()

    def __str__(self) -> str:
        return " or ".join([*(f"{value:g}" for value in self.also), f"{self.low:,g} to {self.high:,g}"])

    def check(self, name: str, value: Any) -> float:
        return checks.number(name, value, self.low, self.high, self.also)

    def read(self, text: str) -> Any:
        return checks.typed(text)


@dataclass(frozen=True)
class Whole:
    """A whole number in [low, high]."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"

    def check(self, name: str, value: Any) -> int:
        return checks.whole(name, value, self.low, self.high)

    def read(self, text: str) -> Any:
        return checks.typed(text)


@dataclass(frozen=True)
class Choice:
    """One of some words, numbers or pairs of numbers."""

    choices: tuple[Any, ...]

    def __str__(self) -> str:
        *others, last = map(checks.written, self.choices)
        return f"{', '.join(others)} or {last}" if others else last

    def check(self, name: str, value: Any) -> Any:
        return checks.choice(name, tuple(value) if isinstance(value, list) else value, self.choices)

    def read(self, text: str) -> Any:
        word = text.strip().casefold()
        return next((choice for choice in self.choices if checks.written(choice) == word), checks.typed(text))


@dataclass(frozen=True)
class Interval:
    """Two whole numbers in [low, high], the lower one first."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"two from {self.low:,} to {self.high:,}"

    def check(self, name: str, value: Any) -> tuple[int, int]:
        return checks.interval(name, value, self.low, self.high)

    def read(self, text: str) -> Any:
        return tuple(checks.typed(part) for part in text.split(","))


@dataclass(frozen=True)
class Wholes:
    """Some whole numbers, each in [low, high], or none."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"whole numbers from {self.low:,} to {self.high:,}"

    def check(self, name: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, list | tuple):
            raise checks.BadInput(f"{name} must be a list of {self}, not {checks.shown(value)}.")
        return tuple(checks.whole(f"each of {name}", item, self.low, self.high) for item in value)

    def read(self, text: str) -> Any:
        return tuple(checks.typed(part) for part in text.split(",") if part.strip())


@dataclass(frozen=True)
class Several:
    """Some values of one kind."""

    of: Values
    least: int = 0
    most: int = 1000

    def __str__(self) -> str:
        return f"some, each {self.of}"

    def check(self, name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise checks.BadInput(f"{name} must be a list, not {checks.shown(value)}.")
        if not self.least <= len(value) <= self.most:
            raise checks.BadInput(f"{name} must be {self.least:,} to {self.most:,} of a kind, not {len(value):,}.")
        return tuple(self.of.check(f"each of {name}", item) for item in value)

    def read(self, text: str) -> Any:
        return tuple(self.of.read(part.strip()) for part in text.split(",") if part.strip())


@dataclass(frozen=True)
class Maybe:
    """A word that leaves it open, or a value of some kind."""

    words: tuple[str, ...]
    of: Values

    def __str__(self) -> str:
        return f"{', '.join(self.words)} or {self.of}"

    def check(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and value in self.words:
            return value
        try:
            return self.of.check(name, value)
        except checks.BadInput:
            raise checks.BadInput(f"{name} must be {self}, not {checks.shown(value)}.") from None

    def read(self, text: str) -> Any:
        word = text.strip().casefold()
        return word if word in self.words else self.of.read(text)


@dataclass(frozen=True)
class Text:
    """Some text, such as a path."""

    def __str__(self) -> str:
        return "a text"

    def check(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise checks.BadInput(f"{name} must be {self}, not {checks.shown(value)}.")
        return value

    def read(self, text: str) -> Any:
        return text


@dataclass(frozen=True)
class YesNo:
    """True or False."""

    def __str__(self) -> str:
        return "yes or no"

    def check(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise checks.BadInput(f"{name} must be true or false, not {checks.shown(value)}.")
        return value

    def read(self, text: str) -> Any:
        return {"yes": True, "no": False}.get(text.strip().casefold(), text)


@dataclass(frozen=True)
class Setting:
    """One declaration.

    Attributes:
        name: as in a recipe and the library; flags write "-" for "_".
        values: what it may be.
        default: what it is by default.
        help: what it does, in one line.
        counts: whether it makes a difference to a recipe.
        advice: what to choose, where there is room for a second sentence.
        meaning: what the word means, in a sentence, for somebody who meets it here.
    """

    name: str
    values: Values
    default: Any
    help: str
    counts: Callable[[Any], bool] = lambda recipe: True
    advice: str = ""
    meaning: str = ""

    def check(self, value: Any) -> Any:
        """The value as its own type, or BadInput."""
        return self.values.check(self.name, value)

    def only(self, values: Values, default: Any) -> "Setting":
        """The same setting, where it may be less and the advice does not hold."""
        return replace(self, values=values, default=default, advice="")


def setting(
    values: Values,
    default: Any,
    help: str,
    counts: Callable[[Any], bool] = lambda recipe: True,
    advice: str = "",
    meaning: str = "",
) -> Any:
    """A field of a dataclass that declares a setting."""
    metadata = {"values": values, "help": help, "counts": counts, "advice": advice, "meaning": meaning}
    return field(default=default, metadata=metadata)


def declared(fields: Sequence[Any]) -> dict[str, Setting]:
    """The settings among the fields of a dataclass, by name."""
    return {each.name: Setting(each.name, default=each.default, **each.metadata) for each in fields if each.metadata}
