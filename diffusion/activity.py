"""What a run is made of, and the activities that change it: pictures edited, filled, turned, blended and morphed.

A run of a recipe is a denoise function, a path of levels, a start and a way to walk. An activity changes these before
the run begins and does nothing else, so that every sampler, seed, animation and sheet works with it. A recipe holds its
activity, input pictures and all. The activities themselves are in lab/.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from diffusion.checks import Newer
from diffusion.samplers import Denoise, Step
from diffusion.scheduler import Level
from diffusion.settings import Setting, declared

Walk = Callable[[Denoise, Tensor, Sequence[Level], Callable[[], Tensor]], Iterator[Step]]
"""A sampler whose options are settled: (denoise, start, levels, noise) -> a Step after each update."""


class Guide(Protocol):
    """Makes the denoise function of other digits, guided as the recipe says or by another scale."""

    def __call__(
        self, labels: Tensor, guidance: float | None = None, clip: bool = True, images: Tensor | None = None
    ) -> Denoise:
        """For labels (B,), or for labels with their style (B, 4): see `style.conditions`.

        Without `clip` the guess may leave [-1, 1], to be clipped after it was combined. Where the labels are not one
        for each image of the run, `images` says of which image each has the hand.
        """


@dataclass(frozen=True)
class Setup:
    """What a run is made of. An edit may change all of it."""

    denoise: Denoise
    levels: Sequence[Level]  # the path, from that of the start to the clean image
    start: Tensor  # the noisy images (B, C, H, W), at the first level
    noise: Callable[[], Tensor]  # fresh noise for samplers that add some
    guide: Guide  # where guesses of other digits are wanted
    labels: Tensor  # those of the recipe, int64 (B,)
    walk: Walk  # how the path is walked: the sampler
    clip: Callable[[Tensor], Tensor]  # what brings guesses that were combined into [-1, 1]

    @property
    def eps(self) -> Tensor:
        """The standard normal noise (B, C, H, W) that the start is made of, where no edit has replaced that yet."""
        return self.start / max(1.0, self.levels[0].sigma)

    def at(self, i: int) -> Level:
        """The level of index i on the path."""
        return next(level for level in self.levels if level.index == i)


@dataclass(frozen=True)
class Look:
    """One way to look at what was drawn.

    Attributes:
        title: how it is looked at, such as "rotate-180".
        images: uint8 (N, H, W[, C]).
        labels: what each should then read as.
    """

    title: str
    images: np.ndarray
    labels: tuple[int, ...]


class Activity:
    """A change to a run, as a frozen dataclass whose fields are declared as settings and checked as it is made.

    A subclass names itself: `class Anagram(Activity, name="anagram")`.
    """

    name: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = {}  # the settings of a recipe that it is best done with
    earlier: ClassVar[Mapping[str, Any]] = {}  # what its later settings are in recipes that do not know them yet
    options: ClassVar[tuple[str, ...]] = ()  # its own settings that command line, page and endpoints ask for
    readable: ClassVar[bool] = True  # whether the reader can say what was drawn
    retried: ClassVar[bool] = True  # whether what reads wrong can be drawn again from another seed
    one_hand: ClassVar[bool] = False  # whether its images are moments of one drawing
    any_level: bool = False  # whether it asks for guesses off the path, or more of them than where a step ends

    def __init_subclass__(cls, name: str = "", **options: Any):
        super().__init_subclass__(**options)
        cls.name = name
        if name:  # what several activities have in common is none itself
            ACTIVITIES[name] = cls

    def __post_init__(self) -> None:
        for name, each in self.settings().items():
            object.__setattr__(self, name, each.check(getattr(self, name)))

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """The declarations of its own settings by name."""
        return declared(fields(cls))  # type: ignore[arg-type]  # subclasses are dataclasses

    def edit(self, setup: Setup) -> Setup:
        """The run, changed."""
        raise NotImplementedError

    def guessed_at(self, path: Sequence[int]) -> Sequence[int]:
        """The noise levels from which the network guesses first, where without an activity it walks this path."""
        return path

    def path(self, levels: Sequence[Level]) -> Sequence[Level]:
        """Those of the levels of a recipe that its run walks: all, or the last ones."""
        return levels

    def check(self, digits: Sequence[int], shape: tuple[int, int, int], classes: int) -> None:
        """BadInput where it cannot be done with these digits, by a model of this (C, H, W) and so many classes."""

    def some(self, chosen: Sequence[int]) -> "Activity":
        """The same for some images of the recipe only, counted from 0."""
        return self

    def inputs(self) -> list[tuple[str, np.ndarray]]:
        """What it works from, to be shown beside what was drawn: titles, and images uint8 (1 or N, H, W[, C])."""
        return []

    def looks(self, images: np.ndarray, labels: Sequence[int]) -> list[Look]:
        """All the ways in which images uint8 (N, H, W[, C]) that were asked for as these labels are to be read."""
        return [Look("", images, tuple(labels))]

    def to_dict(self) -> dict[str, Any]:
        """Its name and settings, as they stand in the JSON of a recipe."""
        return {"name": self.name} | asdict(self)  # type: ignore[call-overload]


ACTIVITIES: dict[str, type[Activity]] = {}
"""Every activity by name, as diffusion.lab has them."""


def from_dict(values: Any) -> Activity:
    """The activity that `to_dict` wrote, or BadInput."""
    values = dict(values)
    name = values.pop("name")
    import_module("diffusion.lab")  # where activities name themselves; who draws without any need not wait for them
    if name not in ACTIVITIES:
        raise Newer
    return ACTIVITIES[name](**{**ACTIVITIES[name].earlier, **values})
