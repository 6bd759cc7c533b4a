"""A Denoiser is a network that knows what its prediction means. Training and sampling both go through it.

The four prediction types are one idea. With x_i = alpha * x0 + sigma * eps, each predicts p = a * x0 + b * eps:

    type    a        b        source
    eps     0        1        Ho et al. 2020, https://arxiv.org/abs/2006.11239
    x0      1        0
    v       -sigma   alpha    Salimans & Ho 2022, https://arxiv.org/abs/2202.00512, appendix D
    flow    -1       1        Lipman et al. 2022, https://arxiv.org/abs/2210.02747 (noise minus clean)

Two equations, two unknowns: x0 = (b * x - sigma * p) / (alpha * b - sigma * a). That is every conversion there is.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion import checks, style
from diffusion.model import Offer, style_settings
from diffusion.networks.course import ALL_LEVELS, CourseConfig, Translated
from diffusion.networks.unet import UNet, UNetConfig
from diffusion.recipe import SETTINGS
from diffusion.scheduler import SCHEDULES, Scheduler, T
from diffusion.settings import Choice, Number, Setting, Values
from diffusion.style import ATTRIBUTES, Styles

PREDICTIONS = ("eps", "x0", "v", "flow")

MICRO_BATCH = 100  # images that go through the network at once: bounds memory, costs no speed
LOSSES = ("prediction", "velocity")  # whose error a loss may be
MAX_WEIGHT = 20.0  # of an error of the prediction, as one of the velocity: next to the clean image, x0 cannot be told
MAX_NAME = 40  # characters of a class name
BLACK_WEIGHT = 0.1  # of the loss of what is exactly black: it shall not pull at what it shares with the prediction
NEARLY_CLEAN = 100  # levels below which a guess is the last of its run, where that has ten steps or more


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
        return SETTINGS | {name: SETTINGS[name].only(values, default) for name, (values, default) in narrow.items()}


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


class Denoiser(nn.Module):
    """UNet + scheduler + prediction type.

    Call it with images (B, C, H, W), one level index for all, and a condition: labels (B,), or labels and style (B, 4)
    as `style.conditions` has them. It returns its guess of x0.
    """

    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.config = config
        self.scheduler = Scheduler(config.schedule)
        self.unet: Any = (  # a network is a network: who asks for its parts knows which one it is
            Translated(config.unet, config.schedule, config.prediction)
            if isinstance(config.unet, CourseConfig)
            else UNet(
                config.unet,
                few_step=config.few_step is not None,
                style=len(ATTRIBUTES) if config.styles else 0,
                black=config.black,
            )
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        unet = self.config.unet
        return unet.image_channels, unet.image_size, unet.image_size

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def offer(self) -> Offer:
        """What these weights can draw, and with which settings."""
        return self.config.offer

    def null(self, condition: Tensor) -> Tensor:
        """The null label, which was trained to mean "no label", for each condition of a batch, and no style."""
        null = torch.full_like(condition, self.config.unet.null_label)
        if condition.ndim > 1:
            null[:, 1:] = torch.nan
        return null

    def forward(self, x: Tensor, i: int, condition: Tensor, *steering: float) -> Tensor:
        """The guess. A student of few steps is steered by the level where the step ends, and the guidance scale."""
        guesses = []
        for part, part_condition in zip(x.split(MICRO_BATCH), condition.split(MICRO_BATCH), strict=True):
            levels, *others = (
                torch.full((len(part),), value, device=x.device, dtype=torch.float32) for value in (i, *steering)
            )
            guesses.append(self.guess(part, levels.long(), part_condition, *others))
        return torch.cat(guesses)

    def guess(self, x: Tensor, levels: Tensor, condition: Tensor, *steering: Tensor) -> Tensor:
        """The same, each image at a level of its own: levels and steering are (B,).

        Where the network also says what is exactly black, its word counts at the end, when a pixel that is almost
        black is either black or not: further up x0 is a mean over what may come. (Sparsity bits,
        https://arxiv.org/abs/2502.02448, are a bit of each pixel that is diffused as well. Here it is told, not drawn.)
        """
        prediction, black = self.predict(x, levels, condition, *steering)
        x0 = self.to_x0(x, prediction, levels)
        if black is not None:
            last = steering[0] < 0 if steering else levels < NEARLY_CLEAN
            x0 = torch.where((black > 0) & last.view(-1, 1, 1, 1), -1, x0)
        return x0

    def predict(self, x: Tensor, levels: Tensor, condition: Tensor, *steering: Tensor) -> tuple[Tensor, Tensor | None]:
        """The raw prediction (B, C, H, W), and the logits of "exactly black" where there are any."""
        labels, wanted = style.parts(condition)
        if wanted is not None and self.config.styles:
            condition = style.conditions(labels, self.config.styles.scaled(wanted))
        else:
            condition = labels
        out = self.unet(self.seen(x, levels), levels, condition, *steering)
        return out.chunk(2, dim=1) if self.config.black else (out, None)

    def seen(self, x: Tensor, levels: Tensor) -> Tensor:
        """The noisy images as the network sees them: a U-Net sees additive noise as large as on the flow schedule."""
        if self.config.schedule != "additive" or isinstance(self.config.unet, CourseConfig):
            return x
        alpha, sigma = self.scheduler.coefficients(levels)
        return x / (alpha + sigma)

    def to_x0(self, x: Tensor, prediction: Tensor, levels: Tensor) -> Tensor:
        """The x0 that a raw prediction (B, C, H, W) means for noisy images x at levels (B,)."""
        alpha, sigma = self.scheduler.coefficients(levels)
        x0 = predicted_x0(self.config.prediction, x, prediction.float(), alpha, sigma)
        return x0.clamp(-1, 1) if self.config.bounded else x0

    def loss(
        self,
        x0: Tensor,
        condition: Tensor,
        levels: Tensor,
        eps: Tensor,
        *steering: Tensor,
        loss_of: str = "prediction",
        min_snr: float = 0.0,
    ) -> Tensor:
        """The training loss, a scalar: a mean squared error, and the cross entropy of what is black where that is told.

        Args:
            x0: clean images (B, C, H, W) in [-1, 1].
            condition: labels (B,), or labels and style (B, 4), some of them already hidden.
            levels: (B,) in 0..T-1.
            eps: standard normal noise, shaped like x0.
            steering: for a student of few steps, where each step ends and the guidance scale, (B,) each.
            loss_of: whose error it is: that of the raw "prediction", or of the "velocity" eps - x0 that it means: x0
                must then be the more precise, the less noise there is (Li & He 2025, https://arxiv.org/abs/2511.13720).
            min_snr: where above 0, weigh each image so that its error in x0 counts min(SNR, min_snr) times (Hang et al.
                2023, https://arxiv.org/abs/2303.09556, section 3.4); only with the loss of the prediction.
        """
        checks.choice("loss_of", loss_of, LOSSES)
        alpha, sigma = self.scheduler.coefficients(levels)
        x = self.scheduler.add_noise(x0, eps, levels)
        raw, black = self.predict(x, levels, condition, *steering)
        prediction = raw.float()
        error = prediction - target(self.config.prediction, x0, eps, alpha, sigma)
        if self.config.bounded:
            guess = predicted_x0(self.config.prediction, x, prediction.detach(), alpha, sigma)
            overshot = ((x0 <= -1) & (guess < -1)) | ((x0 >= 1) & (guess > 1))
            error = error.masked_fill(overshot, 0)
        a, b = _combination(self.config.prediction, alpha, sigma)
        error_in_x0 = sigma / (alpha * b - sigma * a)  # per error of the prediction
        if loss_of == "velocity":
            error = error * (error_in_x0 * (alpha + sigma) / sigma).abs().clamp(max=MAX_WEIGHT)
        elif min_snr:
            error = error * (error_in_x0**2 * (alpha / sigma).square().clamp(max=min_snr)).sqrt()
        loss = error.square().mean()
        if black is not None:
            loss = loss + BLACK_WEIGHT * F.binary_cross_entropy_with_logits(black.float(), (x0 <= -1).float())
        return loss


def target(prediction: str, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What the network should predict: a * x0 + b * eps, with this module's table."""
    a, b = _combination(prediction, alpha, sigma)
    return a * x0 + b * eps


def predicted_x0(prediction: str, x: Tensor, p: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The x0 that prediction p means for the noisy image x."""
    a, b = _combination(prediction, alpha, sigma)
    return (b * x - sigma * p) / (alpha * b - sigma * a)


def _combination(prediction: str, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    zero, one = torch.zeros_like(alpha), torch.ones_like(alpha)
    return {"eps": (zero, one), "x0": (one, zero), "v": (-sigma, alpha), "flow": (-one, one)}[prediction]
