"""How long is one evaluation of the network, and how much of it is the arithmetic that it cannot do without?

    python -m benchmarks.network

For 1, 10 and 100 images, in every precision and memory layout, beside the convolutions alone (on inputs of the same
shapes, the plainest way), the network as plain as it can be written, and two changes that show what they cost: constant
embeddings, which they are for a level, a label and a guidance scale, and norms that only copy what comes in. The share
is that of the rate of a matrix product in fp32, measured in the same run: above 1 where bf16 is quicker than any fp32
could be.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.stopwatch import numbers, seconds, table
from diffusion import BadInput, checkpoint
from diffusion.denoiser import Denoiser
from diffusion.hardware import best_device, matrix_rate, use_allowed_cores
from diffusion.networks.unet import Block, SelfAttention
from diffusion.precision import LAYOUTS, flops, variant

IMAGES = 300  # of each size, at least, that each variant is timed with


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--sizes", default="1,10,100", help="images at once (default: 1,10,100)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        print(
            measured(
                checkpoint.load(checkpoint.find(flags.weights)).to(best_device()),
                numbers("--sizes", flags.sizes, 10_000),
            )
        )
    except BadInput as error:
        sys.exit(f"network.py: {error}")


@torch.inference_mode()
def measured(denoiser: Denoiser, sizes: list[int]) -> str:
    device = next(denoiser.parameters()).device
    rate = max(matrix_rate(device, "fp32") for _ in range(3))
    work = flops(denoiser)  # of one image
    networks = {"written plainly": plain(denoiser)} | {
        f"{precision} {layout}": variant(denoiser, precision, layout)
        for precision, layout in product(("fp32", "bf16"), LAYOUTS)
    }
    rows = []
    for size in sizes:
        unet = denoiser.config.unet
        x = torch.randn(size, unet.image_channels, unet.image_size, unet.image_size, device=device)
        inputs: tuple[Any, ...] = (x, 500, torch.arange(size, device=device) % unet.classes)
        if denoiser.offer.takes_guidance:
            inputs += (0, 1.0)  # where the step ends, and the guidance scale
        works: dict[str, Callable[[], object]] = {"its convolutions alone": convolutions(denoiser, *inputs)}
        works |= {name: partial(network, *inputs) for name, network in networks.items()}
        works["fp32 channels_last, constant embeddings"] = partial(folded(denoiser, *inputs), *inputs)
        works["fp32 channels_last, norms only copy"] = partial(normless(denoiser), *inputs)
        times = seconds(works, max(5, min(50, IMAGES // size)))
        rows += [(size, name, time, times["written plainly"]) for name, time in times.items()]
        rate = max(rate, matrix_rate(device, "fp32"))
    lines = [
        [size, name, f"{1000 * time:.1f}", f"{size * work / time / rate:.0%}", f"{plainest / time:.2f}"]
        for size, name, time, plainest in rows
    ]
    head = ["images", "network", "ms", "share of the matrix rate", "times as quick as written plainly"]
    return f"Matrix product in fp32: {rate / 1e9:.0f} GFLOP/s\n\n" + table(head, lines)


def convolutions(denoiser: Denoiser, *inputs: Any) -> Callable[[], None]:
    """Every convolution of one evaluation, one after another, with nothing between."""
    calls: list[tuple[nn.Conv2d, Tensor]] = []
    layers = [layer for layer in denoiser.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: calls.append((layer, inputs[0].clone())))
        for layer in layers
    ]
    denoiser(*inputs)
    for hook in hooks:
        hook.remove()

    def run() -> None:
        for layer, image in calls:
            layer(image)

    return run


def folded(denoiser: Denoiser, *inputs: Any) -> Denoiser:
    """A copy in which the embeddings, and what the blocks make of them, are what they are for these inputs."""
    copy = variant(denoiser, "fp32", "channels_last")
    parts = [copy.unet.time_embedding, copy.unet.label_embedding, *copy.unet.steering]
    parts += [layer.scale_shift for layer in copy.modules() if isinstance(layer, Block)]
    values: dict[nn.Module, Tensor] = {}
    hooks = [part.register_forward_hook(lambda part, _, value: values.update({part: value})) for part in parts]
    copy(*inputs)
    for part, hook in zip(parts, hooks, strict=True):
        hook.remove()
        part.forward = partial(lambda value, *_: value, values[part])
    return copy


def normless(denoiser: Denoiser) -> Denoiser:
    """A copy whose norms only copy what comes in, which costs one reading and one writing."""
    copy = variant(denoiser, "fp32", "channels_last")
    for layer in copy.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.forward = torch.clone  # type: ignore[method-assign]
    return copy


def plain(denoiser: Denoiser) -> Denoiser:
    """A copy whose blocks and attention are written as in the papers, a line for an operation."""

    def block(self: Block, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.scale_shift(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        attended: Tensor = self.attention(self.skip(x) + h)
        return attended

    def attention(self: SelfAttention, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2)
        q, k, v = qkv.unbind(1)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(b, c, h, w)
        return x + self.out(attended)

    copy = variant(denoiser, "fp32", "contiguous")
    for layer in copy.modules():
        if isinstance(layer, Block):
            layer.forward = MethodType(block, layer)  # type: ignore[method-assign]
        elif isinstance(layer, SelfAttention):
            layer.forward = MethodType(attention, layer)  # type: ignore[method-assign]
    return copy


if __name__ == "__main__":
    main()
