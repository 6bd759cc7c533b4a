"""The U-Nets of a well-known course project (CS180/280A at Berkeley, project 5, part B), block by block as published.

The course has a language of its own: pixels lie in [0, 1], time runs from noise (0) to image (1), and the network sees
x_t = t * image + (1 - t) * eps. Where one guess is all, it sees image + sigma * eps, or eps alone. CourseUNet speaks
that language; Translated, below it, is the one place where it is translated to that of this project.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.checks import MAX_CLASSES, choice, whole
from diffusion.scheduler import Scheduler, T

CONDITIONS = ("none", "time", "class")  # what a network is told besides the image; "class" is time and class
ALL_LEVELS = -1  # in place of the only level that a network was trained for


@dataclass(frozen=True)
class CourseConfig:
    """The shape of one of the course's networks, and what it was trained for."""

    width: int = 64  # the course's D: channels at full size
    condition: str = "class"
    classes: int = 10  # of the images; a network that is not told the class draws one kind of them, "any"
    level: int = ALL_LEVELS  # the only noise level that it was trained for

    image_channels = 1
    image_size = 28  # the middle of the network is one pixel, the mean of 7 x 7 at a quarter of this size

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", whole("width", self.width, 1, 512))
        choice("condition", self.condition, CONDITIONS)
        object.__setattr__(self, "classes", whole("classes", self.classes, 1, MAX_CLASSES))
        object.__setattr__(self, "level", whole("level", self.level, ALL_LEVELS, T - 1))

    @property
    def null_label(self) -> int:
        """The label that means "no label"."""
        return self.classes


# The layers, whose weights are made in float32 on the CPU, whatever PyTorch's global defaults are.
Conv2d = partial(nn.Conv2d, device="cpu", dtype=torch.float32)
ConvTranspose2d = partial(nn.ConvTranspose2d, device="cpu", dtype=torch.float32)
BatchNorm2d = partial(nn.BatchNorm2d, device="cpu", dtype=torch.float32)
Linear = partial(nn.Linear, device="cpu", dtype=torch.float32)


def conv(channels: int, out: int) -> nn.Sequential:
    """Conv: the same size."""
    return nn.Sequential(Conv2d(channels, out, 3, 1, 1), BatchNorm2d(out), nn.GELU())


def down_conv(channels: int, out: int) -> nn.Sequential:
    """DownConv: half the size."""
    return nn.Sequential(Conv2d(channels, out, 3, 2, 1), BatchNorm2d(out), nn.GELU())


def up_conv(channels: int, out: int) -> nn.Sequential:
    """UpConv: twice the size."""
    return nn.Sequential(ConvTranspose2d(channels, out, 4, 2, 1), BatchNorm2d(out), nn.GELU())


def flatten() -> nn.Sequential:
    """Flatten: 7 x 7 to one pixel."""
    return nn.Sequential(nn.AvgPool2d(7), nn.GELU())


def unflatten(channels: int) -> nn.Sequential:
    """Unflatten: one pixel to 7 x 7."""
    return nn.Sequential(ConvTranspose2d(channels, channels, 7, 7, 0), BatchNorm2d(channels), nn.GELU())


def conv_block(channels: int, out: int) -> nn.Sequential:
    """ConvBlock."""
    return nn.Sequential(conv(channels, out), conv(out, out))


def down_block(channels: int, out: int) -> nn.Sequential:
    """DownBlock."""
    return nn.Sequential(down_conv(channels, out), conv_block(out, out))


def up_block(channels: int, out: int) -> nn.Sequential:
    """UpBlock."""
    return nn.Sequential(up_conv(channels, out), conv_block(out, out))


def fc_block(numbers: int, out: int) -> nn.Sequential:
    """FCBlock: what the network is told, as one number for each channel."""
    return nn.Sequential(Linear(numbers, out), nn.GELU(), Linear(out, out))


class CourseUNet(nn.Module):
    """The course's U-Net, in the course's language.

    Call it with images (B, 1, 28, 28), times (B,) in 0..1, and one-hot classes (B, classes) that are zeros where the
    class is not told. It returns (B, 1, 28, 28): the clean image, or the velocity image - eps.
    """

    def __init__(self, config: CourseConfig):
        super().__init__()
        width = config.width
        self.enter = conv_block(1, width)
        self.down1 = down_block(width, width)
        self.down2 = down_block(width, 2 * width)
        self.flatten = flatten()
        self.unflatten = unflatten(2 * width)
        self.up1 = up_block(4 * width, width)
        self.up2 = up_block(2 * width, width)
        self.leave = nn.Sequential(conv_block(2 * width, width), Conv2d(width, 1, 3, 1, 1))
        timed, classed = config.condition != "none", config.condition == "class"
        self.t1 = fc_block(1, 2 * width) if timed else None
        self.t2 = fc_block(1, width) if timed else None
        self.c1 = fc_block(config.classes, 2 * width) if classed else None
        self.c2 = fc_block(config.classes, width) if classed else None

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        full = self.enter(x)  # (B, D, 28, 28)
        half = self.down1(full)  # (B, D, 14, 14)
        quarter = self.down2(half)  # (B, 2D, 7, 7)
        x = self.unflatten(self.flatten(quarter))  # (B, 2D, 7, 7)
        x = scaled(x, self.t1, t, self.c1, c)
        x = self.up1(torch.cat([x, quarter], dim=1))  # (B, D, 14, 14)
        x = scaled(x, self.t2, t, self.c2, c)
        x = self.up2(torch.cat([x, half], dim=1))  # (B, D, 28, 28)
        return self.leave(torch.cat([x, full], dim=1))


def scaled(x: Tensor, of_time: nn.Module | None, t: Tensor, of_class: nn.Module | None, c: Tensor) -> Tensor:
    """Features (B, C, H, W), modulated: times t where the time alone is told, else times c and plus t."""
    if of_time is None:
        return x
    time = of_time(t[:, None]).to(x.dtype)[:, :, None, None]
    if of_class is None:
        return x * time
    return of_class(c).to(x.dtype)[:, :, None, None] * x + time


class Translated(nn.Module):
    """A CourseUNet that is called as any other network is, and answers as such.

    Call it with images (B, 1, 28, 28) in [-1, 1] at levels (B,), and labels (B,). It returns the raw prediction of this
    project: x0, or eps - x0.

    With an image of the course, which is (x0 + 1) / 2, this project's x = alpha * x0 + sigma * eps is

        (x + alpha) / 2 = alpha * image + sigma / 2 * eps.

    Over alpha, that is image + sigma_course * eps: noise as the course adds it, with sigma_course = sigma / 2 where
    alpha = 1. Over alpha + sigma / 2, it is x_t with t = alpha / (alpha + sigma / 2): the course's pixels span half as
    much as ours while its noise is the same, so that its time is not 1 - sigma. An answer is translated back by
    x0 = 2 * image - 1, and, for the velocity u = image - eps on the flow schedule, by

        eps - x0 = (1 - x - 2 * u) / (2 - sigma).

    Its squared error times (2 - sigma)**2 / 4 is that of u. As dt = -2 / (2 - sigma)**2 dsigma, the course's mean over
    even times t is half of the mean over even levels here: the same loss, whose figure is twice as large. Likewise that
    of one guess is four times the course's.
    """

    def __init__(self, config: CourseConfig, schedule: str, prediction: str):
        super().__init__()
        self.config = config
        self.scheduler = Scheduler(schedule)
        self.prediction = prediction
        self.unet = CourseUNet(config)

    def forward(self, x: Tensor, i: Tensor, labels: Tensor) -> Tensor:
        alpha, sigma = self.scheduler.coefficients(i)
        scale = alpha + sigma / 2 if self.scheduler.name == "flow" else alpha
        seen = (x + alpha) / (2 * scale)
        t = (alpha / scale).flatten()
        c = F.one_hot(labels, self.config.classes + 1)[:, :-1].float() if self.config.condition == "class" else t
        out = self.unet(seen.to(next(self.unet.parameters()).dtype), t, c).to(x.dtype)
        if self.prediction == "flow":
            return (1 - x - 2 * out) / (2 - sigma)
        return 2 * out - 1
