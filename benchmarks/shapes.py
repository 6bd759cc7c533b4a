"""Which shape of the network gives the best digits for its time?

    python -m benchmarks.shapes            # an hour on two CPU cores

Small networks of about the same work, each a change of the first, are trained with the preset "best", but AdamW, for
as many epochs. Each is a run below runs/benchmarks/, and the benchmark continues where it stopped. It prints a Markdown
table: parameters, arithmetic and time of one evaluation for ten images (fp32; the shapes take turns), and the figures
of digits drawn without guidance, as in benchmarks.presets.
"""

import argparse
import sys
from functools import partial
from typing import Any

import torch

from benchmarks.presets import SMALL, arguments, folder, measured, report
from benchmarks.stopwatch import seconds
from diffusion import BadInput
from diffusion.denoiser import Denoiser
from diffusion.hardware import use_allowed_cores
from diffusion.precision import flops, variant
from diffusion.training.config import TrainConfig

SHAPES: dict[str, dict[str, Any]] = {
    "14x14 with 32 channels, 7x7 with 64, one block": {},
    "narrower, two blocks": {"channels": (24, 48), "blocks": 2},
    "more at 7x7 (24, 80)": {"channels": (24, 80)},
    "a third level, 4x4 (32, 56, 80)": {"channels": (32, 56, 80), "attention": (1, 2)},
    "no patches, 28x28 (8, 32, 64)": {"stem": 1, "channels": (8, 32, 64), "attention": (2,)},
    "no patches, and narrower (8, 24, 48)": {"stem": 1, "channels": (8, 24, 48), "attention": (2,)},
    "patches of 4x4, 7x7 alone (80), two blocks": {"stem": 4, "channels": (80,), "attention": (0,), "blocks": 2},
}


def main() -> None:
    flags = arguments(__doc__, epochs=3).parse_args()
    use_allowed_cores()
    try:
        configs = {name: config_of(name, flags) for name in SHAPES if flags.only in name}
        print(report("shape", measured(configs, flags), work(configs)))
    except BadInput as error:
        sys.exit(f"shapes.py: {error}")


def config_of(shape: str, flags: argparse.Namespace) -> TrainConfig:
    out = flags.out / f"shapes-epochs-{flags.epochs}" / folder(shape)
    same = SMALL | {"epochs": flags.epochs, "optimizer": "adamw"}
    return TrainConfig(data=flags.data, out=str(out), **same | SHAPES[shape])


@torch.inference_mode()
def work(configs: dict[str, TrainConfig]) -> dict[str, dict[str, str]]:
    """Parameters, arithmetic and time of each network's evaluation for ten images."""
    denoisers = {name: Denoiser(config.denoiser()).eval() for name, config in configs.items()}
    networks = {name: variant(denoiser, "fp32", "channels_last") for name, denoiser in denoisers.items()}
    inputs = torch.randn(10, 1, 28, 28), 500, torch.arange(10)
    times = seconds({name: partial(network, *inputs) for name, network in networks.items()}, 50)
    return {
        name: {
            "parameters": f"{sum(parameter.numel() for parameter in denoiser.parameters()) / 1e6:.2f} M",
            "MFLOP an image": f"{flops(denoiser) / 1e6:.0f}",
            "ms, ten images": f"{1000 * times[name]:.1f}",
        }
        for name, denoiser in denoisers.items()
    }


if __name__ == "__main__":
    main()
