"""The pictures of docs/how-it-works.md, drawn by the project itself: half a minute on two CPU cores.

python -m docs.pictures
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from diffusion import Pipeline
from diffusion.data import to_uint8
from diffusion.denoiser import Denoiser
from diffusion.evaluation.map import load_map
from diffusion.evaluation.sheet import Sheet
from diffusion.files import plot, render
from diffusion.guidance import EVERYWHERE
from diffusion.hardware import CPU_FLOAT32, use_allowed_cores
from diffusion.networks.unet import Block, Downsample, SelfAttention, Upsample
from diffusion.scheduler import Scheduler, T

HERE = Path(__file__).parent
LEVELS = [0, *range(99, T, 100)]  # from nearly clean to nearly pure noise
SCHEDULES = ("linear", "cosine", "flow")  # additive noise is that of flow, divided by its alpha
COLORS = {
    "convolution": "#e6e6e6",
    "block": "#a8c7fa",
    "block with attention": "#f6c177",
    "half or twice the size": "#ccdfae",
}
INK = "#333333"


def main() -> None:
    use_allowed_cores()
    pipe = Pipeline.from_pretrained()
    assert isinstance(pipe.model, Denoiser)
    render.save_png(HERE / "schedules.png", schedules())
    render.save_png(HERE / "noise.png", noisy(pipe))
    render.save_png(HERE / "unet.png", sketch(pipe.model))
    render.save_png(HERE / "map.png", ways(pipe))
    Sheet(
        pipe,
        pipe.recipe([0] * 12, guidance_interval=EVERYWHERE),
        x=("guidance", [0, 1, 1.5, 3, 8]),
        y=("digits", [2, 7]),
    ).save(HERE / "guidance.png")
    render.save_png(HERE / "thumbnail.png", thumbnail(pipe))


def thumbnail(pipe: Pipeline) -> np.ndarray:
    """Five digits on their way, as large as the picture that the Hub shows of a Space."""
    result = pipe([3, 1, 4, 1, 5], steps=39, seed=2)
    moments = [0, 8, 14, 18, 22, 26, 30, 34, 39]  # more of them where the digits form
    way = result.frames[moments].swapaxes(0, 1).reshape(-1, *result.images.shape[1:])
    picture = render.grid(way, len(moments), scale=4)
    down, across = ((whole - part) // 2 for whole, part in zip((648, 1200), picture.shape, strict=True))
    return np.pad(picture, ((down, down), (across, across)))


def schedules() -> np.ndarray:
    """The three tables of (alpha, sigma) as a plot."""
    lines = {}
    for name in SCHEDULES:
        for part in ("alpha", "sigma"):
            table = getattr(Scheduler(name), part)
            lines[f"{name}: {part}"] = [(level, float(table[level])) for level in LEVELS]
    return plot.lines(lines, x="noise level i", y="share of the image (alpha) and of the noise (sigma)")


def noisy(pipe: Pipeline) -> np.ndarray:
    """One digit under the same noise: a row for each schedule, a column for each of LEVELS."""
    x0 = torch.from_numpy(pipe([7], seed=7).images)[None] / 127.5 - 1  # (1, 1, H, W)
    eps = torch.randn(x0.shape, generator=torch.Generator("cpu").manual_seed(0), **CPU_FLOAT32)
    levels = torch.tensor(LEVELS, device="cpu")
    rows = [Scheduler(name).add_noise(x0.expand(len(LEVELS), -1, -1, -1), eps, levels) for name in SCHEDULES]
    return render.grid(to_uint8(torch.cat(rows)).numpy(), columns=len(LEVELS), scale=3)


def ways(pipe: Pipeline) -> np.ndarray:
    """Three maps: the ways of ten digits, of ten guesses in one step, and of ten digits that nobody asked for."""
    drawn = load_map()
    runs: list[dict[str, Any]] = [{}, {"steps": 1}, {"guidance": 0}]
    return np.concatenate([drawn.pixels(pipe(range(10), seed=0, **settings), 480) for settings in runs], 1)


def sketch(denoiser: Denoiser) -> np.ndarray:
    """The U-Net from left to right, as it runs: a box per layer, as high as its images, with its channels below."""
    seen: list[tuple[str, int, int]] = []  # kind, channels and size of what each layer makes

    def note(layer: nn.Module, _: object, made: Tensor) -> None:
        seen.append((kind(layer), made.shape[1], made.shape[2]))

    unet = denoiser.unet
    layers = [unet.stem, *unet.down, *unet.middle, *unet.up, unet.head]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    denoiser(torch.zeros(1, *denoiser.shape, **CPU_FLOAT32), 0, torch.tensor([0]))
    for hook in hooks:
        hook.remove()
    return _boxes(seen, len(unet.down) + 1)


def kind(layer: nn.Module) -> str:
    """What a layer of the U-Net is, one of COLORS."""
    if isinstance(layer, Downsample | Upsample):
        return "half or twice the size"
    if isinstance(layer, Block):
        return "block with attention" if isinstance(layer.attention, SelfAttention) else "block"
    return "convolution"


def _boxes(layers: list[tuple[str, int, int]], skips: int) -> np.ndarray:
    """The sketch: the first `skips` layers leave a copy each, which the blocks on the way up take in reverse order."""
    width, gap, top, scale = 50, 14, 150, 6
    floor = top + layers[0][2] * scale
    picture = Image.new("RGB", (2 * 20 + len(layers) * (width + gap) - gap, floor + 100), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    lefts = [20 + k * (width + gap) for k in range(len(layers))]
    middle = (top + floor) / 2
    pen.line([(lefts[0], middle), (lefts[-1], middle)], fill=INK)  # the way through
    for left, (name, channels, size) in zip(lefts, layers, strict=True):
        upper, lower = middle - size * scale / 2, middle + size * scale / 2
        pen.rectangle([left, upper, left + width, lower], fill=COLORS[name], outline=INK)
        pen.text((left + width / 2, lower + 4), str(channels), INK, font, "mt")
        pen.text((left + width / 2, lower + 20), f"{size}x{size}", INK, font, "mt")
    takers = [k for k, (name, *_) in enumerate(layers) if k >= skips + 2 and name.startswith("block")]
    for number, (giver, taker) in enumerate(zip(range(skips), reversed(takers), strict=True)):
        height = 14 + 15 * number  # the outermost skip is the highest
        ends = [lefts[k] + width / 2 for k in (giver, taker)]
        tops = [middle - layers[k][2] * scale / 2 for k in (giver, taker)]
        pen.line([(ends[0], tops[0]), (ends[0], height), (ends[1], height), (ends[1], tops[1])], fill="#8250df")
        pen.polygon([(ends[1] - 4, tops[1] - 8), (ends[1] + 4, tops[1] - 8), (ends[1], tops[1])], fill="#8250df")
    edge = 20.0
    for name, color in [*COLORS.items(), ("skip connection", "#8250df")]:
        pen.rectangle([edge, floor + 66, edge + 14, floor + 80], fill=color, outline=INK)
        pen.text((edge + 20, floor + 73), name, INK, font, "lm")
        edge += 20 + font.getlength(name) + 30
    return np.asarray(picture)


if __name__ == "__main__":
    main()
