"""The network: a U-Net that sees a noisy image, its noise level and a label, and makes one raw prediction.

Its shape is one frozen config, which travels inside every checkpoint. What the prediction means (noise, velocity,
the clean image) is not its business: see denoiser.py.

The file is longer than others, so that the whole network is read from top to bottom: the shape, the U-Net, its blocks.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.checks import MAX_CLASSES, BadInput, shown, whole
from diffusion.hardware import CPU_FLOAT32
from diffusion.style import parts


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a U-Net.

    The default is made for two CPU cores: at full size it has eight channels only, and attention only at 7x7. The usual
    course-project shape is `UNetConfig(channels=(64, 128, 256), blocks=2)`.
    """

    channels: tuple[int, ...] = (8, 48, 96)  # per level, each level at half the size of the one before
    blocks: int = 1  # residual blocks per level on the way down; one more on the way up
    attention: tuple[int, ...] = (2,)  # levels, from 0, with self-attention in every block; the middle always has it
    embedding: int = 192  # width of the embedding of time and label
    stem: int = 1  # the image enters as stem x stem patches; 1 is a plain convolution at full size
    image_channels: int = 1
    image_size: int = 28
    classes: int = 10  # the null label is the next number, so 10 for digits

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if name in ("channels", "attention"):  # JSON has lists
                if not isinstance(value, list | tuple) or len(value) > 6:
                    raise BadInput(f"{name} must be a list of at most six whole numbers, not {shown(value)}.")
                object.__setattr__(self, name, tuple(whole(name, item, low, high) for item in value))
            else:
                object.__setattr__(self, name, whole(name, value, low, high))
        if not self.channels or any(channels % GROUPS for channels in self.channels):
            raise BadInput(f"channels must be one to six multiples of {GROUPS}, not {self.channels}.")
        if any(level >= len(self.channels) for level in self.attention):
            raise BadInput(f"attention must name levels from 0 to {len(self.channels) - 1}, not {self.attention}.")
        if self.embedding % 2:
            raise BadInput(f"embedding must be even, not {self.embedding}.")
        if self.image_size % self.stem:
            raise BadInput(f"image_size {self.image_size} must be a multiple of stem {self.stem}.")
        if sum(channels**2 for channels in self.channels) * self.blocks > 4_000_000:  # about a gigabyte of weights
            raise BadInput(f"channels {self.channels} with {self.blocks} blocks are too large: choose fewer.")

    @property
    def null_label(self) -> int:
        """The label that means "no label": trained by label dropout, used by guidance."""
        return self.classes


GROUPS = 8  # of every GroupNorm
LIMITS = {  # a config comes with every foreign checkpoint, and must not fill the memory
    "channels": (GROUPS, 2048),
    "blocks": (1, 16),
    "attention": (0, 5),
    "embedding": (2, 2048),
    "stem": (1, 8),
    "image_channels": (1, 4),
    "image_size": (4, 256),
    "classes": (1, MAX_CLASSES),
}


# The layers, whose weights are made in float32 on the CPU, whatever PyTorch's global defaults are.
Conv2d = partial(nn.Conv2d, device="cpu", dtype=torch.float32)
Embedding = partial(nn.Embedding, device="cpu", dtype=torch.float32)
GroupNorm = partial(nn.GroupNorm, device="cpu", dtype=torch.float32)
Linear = partial(nn.Linear, device="cpu", dtype=torch.float32)

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class UNet(nn.Module):
    """Residual blocks down and up with skip connections between (Ho et al. 2020, https://arxiv.org/abs/2006.11239).

    Call it with images (B, C, H, W), levels (B,) in 0..T-1 and int64 labels (B,) in 0..classes, where `classes` is the
    null label. It returns a raw prediction (B, C, H, W). H and W need not be `image_size`, but multiples of `stem`.

    With `few_step` it also sees two numbers that steer it: the level (B,), -1..T-1, where the step under way ends, and
    the guidance scale (B,).

    With `style` it takes so many numbers of each image as well: labels are then float (B, 1 + style), the label first,
    with NaN for a number that is not told, or still (B,) where none is. With `black` it also says of each pixel how
    sure it is that it is exactly black, as a logit: these are the last channels, and it returns (B, 2 * C, H, W).

    What a trained network may be given besides, style and black, has no effect at first: all that leads from them to
    the prediction starts at zero.
    """

    def __init__(self, config: UNetConfig, *, few_step: bool = False, style: int = 0, black: bool = False):
        super().__init__()
        self.config = config
        width = config.embedding
        self.time_embedding = TimeEmbedding(width)
        self.label_embedding = Embedding(config.classes + 1, width)
        self.steering = nn.ModuleList([TimeEmbedding(width), TimeEmbedding(width)] if few_step else [])
        self.style_embedding = StyleEmbedding(style, width) if style else None

        channels = config.channels[0]
        self.stem = Conv2d(config.image_channels * config.stem**2, channels, 3, padding=1)
        skips = [channels]  # the channels of what the way down leaves for the way up
        self.down = nn.ModuleList()
        for level, out in enumerate(config.channels):
            if level > 0:
                self.down.append(Downsample(channels))
                skips.append(channels)
            for _ in range(config.blocks):
                self.down.append(Block(channels, out, width, attention=level in config.attention))
                channels = out
                skips.append(channels)

        self.middle = nn.ModuleList(
            [Block(channels, channels, width, attention=True), Block(channels, channels, width, attention=False)]
        )

        self.up = nn.ModuleList()
        for level, out in reversed(list(enumerate(config.channels))):
            for _ in range(config.blocks + 1):
                self.up.append(Block(channels + skips.pop(), out, width, attention=level in config.attention))
                channels = out
            if level > 0:
                self.up.append(Upsample(channels))

        outputs = config.image_channels * config.stem**2
        self.head = nn.Sequential(
            GroupNorm(GROUPS, channels), nn.SiLU(), _zeroed(Conv2d(channels, outputs, 3, padding=1))
        )
        self.black = _zeroed(Conv2d(channels, outputs, 3, padding=1)) if black else None

    def forward(self, x: Tensor, i: Tensor, labels: Tensor, *steering: Tensor) -> Tensor:
        labels, style = parts(labels)
        embedding = self.time_embedding(i) + self.label_embedding(labels)  # (B, width)
        if self.style_embedding is not None:
            embedding = embedding + self.style_embedding(len(labels), style)
        for embed, number in zip(self.steering, steering, strict=True):
            embedding = embedding + embed(number)
        embedding = F.silu(embedding)

        x = F.pixel_unshuffle(x, self.config.stem).to(self.stem.weight.dtype)
        x = self.stem(x)  # (B, channels[0], H / stem, W / stem)
        skips = [x]
        for layer in self.down:
            x = layer(x, embedding)
            skips.append(x)

        for layer in self.middle:
            x = layer(x, embedding)

        for layer in self.up:
            if isinstance(layer, Upsample):
                x = layer(x, skips[-1].shape[-2:])
            else:
                x = layer(torch.cat([x, skips.pop()], dim=1), embedding)

        if self.black is None:
            return F.pixel_shuffle(self.head(x), self.config.stem)  # (B, C, H, W)
        x = self.head[:2](x)
        outputs = (F.pixel_shuffle(layer(x), self.config.stem) for layer in (self.head[2], self.black))
        return torch.cat(list(outputs), 1)  # (B, 2 * C, H, W)


class TimeEmbedding(nn.Module):
    """Sines and cosines of a number, like the level's index, then two linear layers.

    The frequencies are made for 0..1000 (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5): on 0..1
    they would be nearly constant.
    """

    frequencies: Tensor

    def __init__(self, width: int):
        super().__init__()
        frequencies = torch.exp(-math.log(10_000) * torch.arange(width // 2, **CPU_FLOAT32) / (width // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(Linear(width, width), nn.SiLU(), Linear(width, width))

    def forward(self, i: Tensor) -> Tensor:
        angles = i[:, None].float() * self.frequencies  # (B, width / 2)
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1))


class StyleEmbedding(nn.Module):
    """Some numbers of an image, each about 0 to 1 or NaN where it is not told, together.

    Each becomes sines and cosines, whose shortest wave is a fifth of the range: fine enough to steer by, and too coarse
    to know a training image by its figures. One that is not told becomes a learned vector.
    """

    frequencies: Tensor
    WAVES = 16

    def __init__(self, numbers: int, width: int):
        super().__init__()
        self.register_buffer("frequencies", 2 ** torch.linspace(0, 5, self.WAVES, **CPU_FLOAT32), persistent=False)
        self.absent = nn.Parameter(torch.zeros(numbers, 2 * self.WAVES, **CPU_FLOAT32))
        self.mlp = nn.Sequential(Linear(numbers * 2 * self.WAVES, width), nn.SiLU(), _zeroed(Linear(width, width)))

    def forward(self, count: int, style: Tensor | None) -> Tensor:
        known = self.absent.repeat(count, 1, 1)  # (B, numbers, 2 * waves)
        if style is not None:
            angles = style.nan_to_num()[..., None] * self.frequencies
            waves = torch.cat([angles.sin(), angles.cos()], dim=2)
            known = torch.where(style.isnan()[..., None], known, waves)
        return self.mlp(known.flatten(1))


class Block(nn.Module):
    """A residual block whose second norm is scaled and shifted by the embedding, and self-attention where wanted."""

    def __init__(self, channels: int, out: int, width: int, *, attention: bool):
        super().__init__()
        self.norm1 = GroupNorm(GROUPS, channels)
        self.conv1 = Conv2d(channels, out, 3, padding=1)
        self.scale_shift = Linear(width, 2 * out)
        self.norm2 = GroupNorm(GROUPS, out)
        self.conv2 = _zeroed(Conv2d(out, out, 3, padding=1))
        self.skip = Conv2d(channels, out, 1) if channels != out else nn.Identity()
        self.attention = SelfAttention(out) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        scale, shift = self.scale_shift(embedding).to(h.dtype)[:, :, None, None].chunk(2, dim=1)  # (B, out, 1, 1) each
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), 1 + scale), inplace=True))
        return self.attention(self.skip(x) + h)


class SelfAttention(nn.Module):
    """Every pixel looks at every other, with about 32 channels a head."""

    def __init__(self, channels: int):
        super().__init__()
        self.heads = math.gcd(channels // GROUPS, max(1, channels // 32))
        self.norm = GroupNorm(GROUPS, channels)
        self.qkv = Conv2d(channels, 3 * channels, 1)
        self.out = _zeroed(Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2)
        if not torch.is_grad_enabled():  # a CPU then takes its fused kernel: quick forward, but slow backward
            qkv = qkv.contiguous()
        q, k, v = qkv.unbind(1)  # (B, heads, H * W, C / heads) each
        attended = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(b, c, h, w)
        return x + self.out(attended)


class Downsample(nn.Module):
    """Half the size, by a strided convolution. The embedding is unused: it makes the way down one plain loop."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """To the given size, by nearest neighbours and a convolution (an odd size comes back exactly)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


def _zeroed(layer: Layer) -> Layer:
    """The layer that starts at zero, so that every residual branch, and the network, starts as doing nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
