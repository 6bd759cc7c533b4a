"""Which average of the weights is best, and is it worth an output that says what is exactly black?

    python -m benchmarks.black --weights runs/style/average-0.05.safetensors runs/style/average-0.1.safetensors
    python -m benchmarks.black --count 20     # a first look at the bundled weights

The same digits are drawn with and without what the network says of black (where it says it), and judged beside real
digits; the second ones also after the cheap rule: values below a threshold are set to 0.

Prints a Markdown table.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopwatch import table
from benchmarks.style import images
from diffusion import BadInput, Pipeline, checks, data
from diffusion.denoiser import Denoiser
from diffusion.evaluation.judge import Judge
from diffusion.hardware import PRECISIONS, use_allowed_cores

FIGURES = ("told_apart", "frechet_distance", "precision", "recall", "black_pixels", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data")
    parser.add_argument("--weights", nargs="+", default=["bundled"], help="default: the bundled ones")
    parser.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS])
    parser.add_argument("--count", default=200, type=int, help="how many of each digit (default: 200)")
    parser.add_argument("--thresholds", default=[8], type=int, nargs="*", help="of the cheap rule (default: 8)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        print(study(flags))
    except BadInput as error:
        sys.exit(f"black.py: {error}")


def study(flags: argparse.Namespace) -> str:
    labels = [k for k in range(10) for _ in range(checks.whole("--count", flags.count, 1, 1000))]
    train, test = (data.load("mnist", flags.data, train=train) for train in (True, False))
    judge = Judge(labels, train=train, test=test, full=True)
    rows = []
    for weights in flags.weights:
        pipe = Pipeline.from_pretrained(weights, precision=flags.precision)
        for way, shown in drawn(pipe, labels, flags.thresholds):
            figures = judge.figures(torch.from_numpy(shown), judge.labels)
            rows.append([Path(weights).stem, way, *(f"{figures[name]:.4f}" for name in FIGURES)])
            print(*rows[-1], file=sys.stderr, flush=True)
    rows.append(["", "real", *(f"{judge.floor[name]:.4f}" for name in FIGURES)])
    return table(["weights", "black", *(name.replace("_", " ") for name in FIGURES)], rows)


def drawn(pipe: Pipeline, labels: list[int], thresholds: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    """The same digits, uint8 (N, H, W), by each way to make pixels black."""
    model, recipe = pipe.model, pipe.recipe(labels)
    if not isinstance(model, Denoiser):
        raise BadInput("These weights are no network of this project: choose others with --weights.")
    if model.config.black:
        yield "as the network says", images(pipe, recipe).numpy()
        model.guess = partial(grey_guess, model)  # type: ignore[method-assign]
    grey = images(pipe, recipe).numpy()
    yield "as the pixels are", grey
    for threshold in thresholds:
        yield f"0 below {threshold}", np.where(grey < threshold, 0, grey).astype(np.uint8)


def grey_guess(model: Denoiser, x: Tensor, levels: Tensor, *rest: Tensor) -> Tensor:
    """`Denoiser.guess` without what the network says of black."""
    prediction, _ = model.predict(x, levels, *rest)
    return model.to_x0(x, prediction, levels)
