"""Drawing as quickly as this machine can: the network's precision and memory layout, chosen in a short trial.

Where a processor computes in bf16, convolutions take half the time; where it only imitates that, several times as
long. Which memory layout is quicker depends on the precision and on how many images are drawn at once. So nothing is
assumed: every variant draws a little, and the quickest of those that draw the same wins.

A stopwatch does not always say the same, and bf16 rounds. Over 20 steps that moves the pixels of a hundred digits by
one or two grey levels of 255 (root mean square), and one in 2,000 by more than 16: nearly all of it in a digit or two
that end a little differently. They are as good, but files differ. So it is for where people wait; where the same seed
shall give the same pixels, the precision is fp32.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import inf, log

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffusion.checks import choice
from diffusion.denoiser import Denoiser
from diffusion.hardware import PRECISIONS

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
SIZES = (10, 1)  # batches that are tried; any other goes the way of the nearest, in ratio
PATIENCE = 0.4  # seconds for the whole trial; what it has not come to by then is not chosen
TOLERANCE = 0.02  # the largest error of a variant: root mean square over pixels in [-1, 1], so 2.5 of 255 grey levels

Draw = Callable[[Denoiser, int], Iterator[Tensor]]
"""A trial run, whatever the weights are for: (denoiser, how many images) -> the images (B, C, H, W) after each step."""


def prepared(denoiser: Denoiser, precision: str, draw: Draw) -> Denoiser:
    """The denoiser as it shall draw.

    Args:
        precision: "fp32", which is the denoiser itself; "bf16"; or "auto": for small and for large batches the quickest
            precision and layout of those that draw the same within TOLERANCE.
        draw: the trial run, of at least two steps. The first warms up; the quickest of the others counts.
    """
    choice("precision", precision, ["auto", *PRECISIONS])
    one_guess = denoiser.offer.level is not None  # where there are no steps to try, nor many to save time at
    if precision == "fp32" or (precision == "auto" and one_guess):
        return denoiser
    if precision == "bf16":
        return variant(denoiser, "bf16", "contiguous")
    deadline = time.perf_counter() + PATIENCE
    variants = [variant(denoiser, *names) for names in product(("fp32", "bf16"), LAYOUTS)]
    quick = copy.deepcopy(denoiser)
    quick.add_module("unet", BySize({size: quickest(variants, size, draw, deadline).unet for size in SIZES}))
    return quick


def variant(denoiser: Denoiser, precision: str, layout: str) -> Denoiser:
    """A copy whose convolutions, and all between them, compute in that precision and layout.

    The embeddings stay in fp32: the eight bits of bf16 cannot tell neighbouring levels apart. So do the weights of a
    CPU's norms, whose images alone are in bf16. In channels_last such norms take up to ten times as long, so their
    images are made contiguous first.
    """
    denoiser = copy.deepcopy(denoiser)
    for layer in denoiser.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.to(PRECISIONS[precision]).to(memory_format=LAYOUTS[layout])
        elif isinstance(layer, nn.GroupNorm) and precision == "bf16":
            if layer.weight.device.type == "cpu":
                layer.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous())
            else:
                layer.to(PRECISIONS[precision])
    return denoiser


def quickest(variants: Sequence[Denoiser], size: int, draw: Draw, deadline: float = inf) -> Denoiser:
    """The variant that draws `size` images in the least time, of those that draw the same as the first one."""
    best, shortest, wanted = variants[0], inf, None
    for candidate in variants:
        if time.perf_counter() > deadline:
            break
        seconds, images = _timed(draw(candidate, size))
        wanted = images if wanted is None else wanted
        error = (images - wanted).square().mean().sqrt()
        if seconds < shortest and error <= TOLERANCE:  # which no NaN is
            best, shortest = candidate, seconds
    return best


class BySize(nn.Module):
    """Variants of one network, each for batches of about the size that it is named by."""

    def __init__(self, networks: dict[int, nn.Module]):
        super().__init__()
        self.sizes = list(networks)
        self.networks = nn.ModuleList(networks.values())

    def forward(self, x: Tensor, *inputs: Tensor) -> Tensor:
        nearest = min(range(len(self.sizes)), key=lambda k: abs(log(len(x) / self.sizes[k])))
        prediction: Tensor = self.networks[nearest](x, *inputs)
        return prediction


def flops(denoiser: Denoiser) -> int:
    """The arithmetic operations of one evaluation for one image."""
    from torch.utils.flop_counter import FlopCounterMode  # brings Triton along, 70 MB, for which drawing has no use

    unet = denoiser.config.unet
    x = next(denoiser.parameters()).new_zeros(1, unet.image_channels, unet.image_size, unet.image_size)
    zero = torch.zeros(1, dtype=torch.int64, device=x.device)
    # Attention as plain matrix products: PyTorch 2.14, for one, does not count the fused kernel of a CPU.
    training = denoiser.training
    denoiser.eval()  # so that no batch norm learns from it
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        denoiser.guess(x, zero, zero, *([zero] * 2 if denoiser.offer.takes_guidance else []))
    denoiser.train(training)
    return counter.get_total_flops()


def _timed(run: Iterator[Tensor]) -> tuple[float, Tensor]:
    """The seconds of a run's shortest step after the first, and what it drew."""
    times = [time.perf_counter()]
    for images in run:
        if images.device.type == "cuda":
            torch.cuda.synchronize(images.device)
        times.append(time.perf_counter())
    return min(end - start for start, end in pairwise(times[1:])), images
