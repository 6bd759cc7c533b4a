"""What samplers, guidance and pipeline know of a network: the model contract, and what its weights offer.

A model is anything with a few facts and one call, `model(x, i, condition) -> x0`: the U-Nets of this project
(denoiser.py), or a closed form in a test. How many classes there are, and of what shape the images, is its affair.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from diffusion import checks
from diffusion.activity import Activity
from diffusion.recipe import SETTINGS, Recipe
from diffusion.scheduler import Scheduler
from diffusion.settings import Choice, Maybe, Number, Setting
from diffusion.style import ANY, ATTRIBUTES, HOW, MANY, Styles


def style_settings(styles: Styles | None) -> dict[str, Setting]:
    """What weights offer of the settings that say how digits are written: those of the styles that they know."""
    if styles is None:
        return {name: SETTINGS[name].only(Choice((ANY,)), ANY) for name in HOW}
    ends = zip(ATTRIBUTES, styles.low, styles.high, strict=True)
    return {name: SETTINGS[name].only(Maybe((ANY,), Number(low, high)), ANY) for name, low, high in ends}


@dataclass(frozen=True)
class Offer:
    """What weights can draw, and with which settings.

    Attributes:
        names: of the classes: label k draws names[k].
        settings: those of SETTINGS, by name; where these weights can do less, narrower ones with other defaults.
        takes_guidance: whether the network takes the guidance scale, and the level where a step ends, as inputs: it
            then runs once a step.
        instant: whether a drawing is over before one has let go of the control.
        knows_labels: whether the network is told what to draw; else there is one class, of anything.
        level: the only noise level that the network was trained for, where there is only one.
        styles: how the digits that they learned from are written, where that can be asked for.
        takes_text: whether the names are prompts in free text, which the weights are told before a run.
        upscales: whether they only make pictures larger that other weights drew.
        thresholding: the share of the pixels, and the largest value, of dynamic thresholding, where guided guesses are
            not clipped: see guidance.py.
    """

    names: tuple[str, ...]
    settings: Mapping[str, Setting] = field(default_factory=lambda: SETTINGS | style_settings(None))
    takes_guidance: bool = False
    instant: bool = False
    knows_labels: bool = True
    level: int | None = None
    styles: Styles | None = None
    takes_text: bool = False
    upscales: bool = False
    thresholding: tuple[float, float] | None = None

    @property
    def prompts(self) -> tuple[str, ...]:
        """What a recipe says that its labels mean: nothing, unless they are prompts."""
        return self.names if self.takes_text else ()

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings that these weights draw with unless others are asked for."""
        return {name: setting.default for name, setting in self.settings.items()}

    def defaults_for(self, activity: Activity | None) -> dict[str, Any]:
        """Those that these weights do an activity with: its own, where the weights can do all that others can."""
        wanted = {} if activity is None else activity.defaults
        free = {name: value for name, value in wanted.items() if self.settings[name].values is SETTINGS[name].values}
        return self.defaults | free

    def labels(self, digits: Any) -> list[int]:
        """The labels of some digits, or BadInput for those that these weights do not know."""
        try:
            return checks.labels("digits", digits, len(self.names))
        except checks.BadInput:
            checks.labels("digits", digits, checks.MAX_CLASSES)
            if self.knows_labels:
                raise
        raise checks.BadInput(
            "These weights know no labels and draw whatever comes: leave the digits out or ask for any, and say how "
            "many images by the count."
        )

    def check_labels(self, what: str) -> None:
        """BadInput for what needs labels, where these weights know none."""
        if not self.knows_labels:
            raise checks.BadInput(
                f"{what} needs labels, and these weights know none: choose weights that do, such as those named "
                "bundled."
            )

    def strange(self, levels: Iterable[int]) -> str:
        """A sentence where some noise level is none that these weights were trained for, or else no text."""
        if self.level is None or set(levels) <= {self.level}:
            return ""
        return (
            f"These weights were trained for one guess at noise level {self.level} and for no other: what they draw "
            "elsewhere is not to be trusted."
        )

    def check_style(self, settings: Mapping[str, Any]) -> None:
        """BadInput for a thickness, slant or width among some settings that these weights were not trained on."""
        for name in ATTRIBUTES if self.styles else ():
            if name in settings:
                self._check_setting(name, settings[name])

    def _check_setting(self, name: str, value: Any) -> None:
        try:
            self.settings[name].check(value)
        except checks.BadInput as error:
            raise checks.BadInput(f"With these weights, {error}") from None

    def check(self, recipe: Recipe) -> None:
        """BadInput for a recipe that these weights cannot draw."""
        if self.upscales:
            raise checks.BadInput("These weights only make pictures larger: choose a first stage of DeepFloyd IF.")
        if recipe.prompts != self.prompts:
            raise checks.BadInput(
                "This recipe has other prompts than these weights were told: tell them first."
                if self.takes_text
                else "This recipe is of prompts, and these weights draw classes: choose text-to-image weights."
            )
        self.labels(recipe.digits)
        if recipe.asks_for_style and not self.styles:
            raise checks.BadInput(
                "These weights know what to write and not how: choose weights that were trained with styles, or leave "
                "thickness, slant, width, hand and words like thick out."
            )
        if recipe.asks_for_style and recipe.guidance == 0:
            raise checks.BadInput(
                "Guidance 0, or any, draws whatever comes, in any style: say what to draw, or leave thickness, slant, "
                "width, hand and words like thick out."
            )
        if recipe.hand == MANY and recipe.activity is not None and recipe.activity.one_hand:
            raise checks.BadInput(f"A {recipe.activity.name} is by one hand: choose a number, or any.")
        for name, setting in self.settings.items():
            if setting is not SETTINGS[name] and setting.counts(recipe):
                self._check_setting(name, getattr(recipe, name))
        if self.takes_guidance and recipe.activity is not None and recipe.activity.any_level:
            raise checks.BadInput(
                "These weights know only a few steps from noise to images, and with these settings "
                f"{recipe.activity.name} needs more: choose the weights named bundled, which the page calls Quality."
            )


class Model(Protocol):
    """A denoiser of images.

    Attributes:
        scheduler: its noise levels.
        shape: (C, H, W) of an image.
        device: where it computes.
        offer: what it can draw.
    """

    scheduler: Scheduler

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def offer(self) -> Offer: ...

    def null(self, condition: Tensor) -> Tensor:
        """What says "no condition", shaped like a condition for a batch: labels (B,), or labels and style (B, 4)."""

    def __call__(self, x: Tensor, i: int, condition: Tensor, *steering: float) -> Tensor:
        """The guess of the clean images (B, C, H, W) for noisy ones at level i.

        Steering is what `Offer.takes_guidance` announces: the level where the step ends, and the guidance scale.
        """


class TextModel(Model, Protocol):
    """A model that is told prompts, which are its classes.

    Attributes:
        name: where it is from: a folder, or user/repo on the Hub.
        known: the embeddings of those that were encoded, by prompt.
    """

    known: Mapping[str, Tensor]

    @property
    def name(self) -> str: ...

    def told(self, prompts: Sequence[str], embeddings: Mapping[str, Tensor] | None = None) -> "TextModel":
        """The same model with other prompts; embeddings by prompt, where these were encoded before."""

    def seeing(self, pictures: Tensor, noise: Tensor) -> "TextModel":
        """A model that makes these small pictures (B, C, h, w) large; the noise is (B, C, H, W)."""

    def free(self) -> None:
        """Let go of what takes memory, until it is needed again."""


class Idle:
    """Stands in for a model and only counts how often, and for how many images, it is run."""

    device = torch.device("cpu")

    def __init__(self, model: Model):
        self.scheduler, self.shape, self.offer, self.null = model.scheduler, model.shape, model.offer, model.null
        self.evaluations = 0

    def __call__(self, x: Tensor, i: int, condition: Tensor, *steering: float) -> Tensor:
        self.evaluations += len(x)
        return torch.zeros_like(x)
