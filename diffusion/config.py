"""All that rebuilds a Denoiser, its weights apart. Every checkpoint carries it, and it says what the weights offer."""

from dataclasses import dataclass, field, replace
from typing import Any

from diffusion import checks
from diffusion.model import Offer, style_settings
from diffusion.networks.course import ALL_LEVELS, CourseConfig
from diffusion.networks.unet import UNetConfig
from diffusion.recipe import SETTINGS
from diffusion.scheduler import SCHEDULES, T
from diffusion.settings import Choice, Number, Setting, Values
from diffusion.style import Styles

PREDICTIONS = ("eps", "x0", "v", "flow")
MAX_NAME = 40  # characters of a class name


@dataclass(frozen=True)
class FewStep:
    """What a student of few steps has learned: see distillation.py."""

    steps: int = 8  # the most steps it takes; half of them, a quarter and so on work as well
    guidance: tuple[float, float] = (1.0, 3.0)  # the range of the guidance scale that it takes as an input
    guidance_interval: tuple[int, int] = (400, 700)  # the levels at which its teacher was guided

    def __post_init__(self) -> None:
        if checks.whole("few_step.steps", self.steps, 2, 256) & (self.steps - 1):
            raise checks.BadInput(f"few_step.steps must be a power of two, not {self.steps}.")
        low, high = (checks.number("few_step.guidance", end, 1, checks.MAX_GUIDANCE) for end in self.guidance)
        if low > high:
            raise checks.BadInput(
                f"few_step.guidance must have its lower end first, not {checks.shown(self.guidance)}."
            )
        object.__setattr__(self, "guidance", (low, high))
        interval = checks.interval("few_step.guidance_interval", self.guidance_interval, 0, T - 1)
        object.__setattr__(self, "guidance_interval", interval)

    @property
    def choices(self) -> tuple[int, ...]:
        """The step counts it can take: 1, 2, 4, ..., steps."""
        return tuple(2**k for k in range(self.steps.bit_length()))

    @property
    def settings(self) -> dict[str, Setting]:
        """What it offers of the settings: a few step counts, one way to take them, the guidance that it was taught."""
        low, high = self.guidance
        narrow: dict[str, tuple[Values, Any]] = {
            "steps": (Choice(self.choices), 2),
            "guidance": (Number(low, high, also=(0,)), min(max(2.5, low), high)),
            "guidance_interval": (Choice((self.guidance_interval,)), self.guidance_interval),
            "sampler": (Choice(("ddim",)), "ddim"),
            "eta": (Choice((0.0,)), 0.0),
            "spacing": (Choice(("trailing",)), "trailing"),
        }
        less = {name: SETTINGS[name].only(values, default) for name, (values, default) in narrow.items()}
        does = "1 is off, more is clearer" if low == 1 else "more is clearer"  # 0, for any, lies outside the range
        return SETTINGS | less | {"guidance": replace(less["guidance"], help=does)}


@dataclass(frozen=True)
class DenoiserConfig:
    """All that rebuilds a Denoiser, its weights apart: this is the config that every checkpoint carries."""

    unet: UNetConfig | CourseConfig = field(default_factory=UNetConfig)
    schedule: str = "flow"
    prediction: str = "flow"
    # Pixels lie in [-1, 1] and most of MNIST lies exactly at -1. A bounded denoiser clamps its x0 to that range, and
    # its loss forgives overshooting where the truth is at the bound: it learns to say "black" and mean it, where a
    # plain one is always off by a little, which shows as grey haze.
    bounded: bool = True
    names: tuple[str, ...] = ()  # of the classes, label k is names[k]; none given means "0", "1", "2", ...
    few_step: FewStep | None = None  # for a student of few steps
    styles: Styles | None = None  # what it was trained on, where it takes the style as an input: see style.py
    # Four pixels in five of MNIST are exactly black. With this the network also says which: see Denoiser.guess.
    black: bool = False

    def __post_init__(self) -> None:
        checks.choice("schedule", self.schedule, SCHEDULES)
        checks.choice("prediction", self.prediction, PREDICTIONS)
        for name in ("bounded", "black"):
            if not isinstance(getattr(self, name), bool):
                raise checks.BadInput(f"{name} must be true or false, not {checks.shown(getattr(self, name))}.")
        if self.prediction == "eps" and self.schedule == "flow":
            raise checks.BadInput(
                "prediction eps does not give x0 at the flow schedule's last level, where no signal is left: "
                "choose prediction flow, v or x0, or schedule linear or cosine."
            )
        if isinstance(self.unet, CourseConfig) and (self.schedule, self.prediction) not in COURSE:
            raise checks.BadInput(
                "The course's networks predict flow or x0 on the schedule flow, or x0 with additive noise: choose one "
                f"of these, not {self.prediction} with {self.schedule}."
            )
        if self.styles and len(self.styles.spread) != self.unet.classes:
            raise checks.BadInput(
                f"styles must be of the {self.unet.classes} classes, not of {len(self.styles.spread)}."
            )
        object.__setattr__(self, "names", _names(self.names, self.unet.classes))

    @property
    def offer(self) -> Offer:
        """What weights of this config can draw, and with which settings."""
        if isinstance(self.unet, CourseConfig):
            return course_offer(self)
        few = self.few_step
        settings = (SETTINGS if few is None else few.settings) | style_settings(self.styles)
        return Offer(self.names, settings, takes_guidance=bool(few), instant=bool(few), styles=self.styles)


COURSE = (("flow", "flow"), ("flow", "x0"), ("additive", "x0"))
"""The pairs of schedule and prediction that the course's networks are made for."""


def course_offer(config: DenoiserConfig) -> Offer:
    """What weights of the course offer: guidance at all levels and Euler's steps, as the course draws; or one guess."""
    assert isinstance(config.unet, CourseConfig)
    settings = SETTINGS | style_settings(None)
    labels = config.unet.condition == "class"
    if not labels:
        settings["guidance"] = SETTINGS["guidance"].only(Choice((0.0,)), 0.0)
    narrow: dict[str, Any] = {"sampler": "ddim", "guidance_interval": (0, T - 1)}
    level = config.unet.level
    if level == ALL_LEVELS:
        narrow |= {"steps": 50, "spacing": "shifted"} | ({"guidance": 5.0} if labels else {})
    elif level == T - 1:
        settings["steps"] = SETTINGS["steps"].only(Choice((1,)), 1)
    else:
        narrow |= {"steps": 1}
    settings |= {name: replace(settings[name], default=default) for name, default in narrow.items()}
    return Offer(config.names, settings, knows_labels=labels, level=None if level == ALL_LEVELS else level)


def _names(value: Any, classes: int) -> tuple[str, ...]:
    """The class names as a tuple (JSON has lists), or BadInput: they come with every foreign checkpoint."""
    if not isinstance(value, list | tuple):
        raise checks.BadInput(f"names must be a list of class names, not {checks.shown(value)}.")
    if not value:
        return tuple(str(label) for label in range(classes))
    if len(value) != classes:
        raise checks.BadInput(f"names must be one for each of the {classes} classes, not {len(value)}.")
    for name in value:
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
            wanted = f"names must be texts of 1 to {MAX_NAME} printable characters"
            raise checks.BadInput(f"{wanted}, not {checks.shown(name)}.")
    return tuple(value)
