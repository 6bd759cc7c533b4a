"""Which average of the weights is best, and is it worth an output that says what is exactly black?

    python -m benchmarks.black --weights runs/style/average-0.05.safetensors runs/style/average-0.1.safetensors
    python -m benchmarks.black --count 1000   # the bundled weights, some twenty minutes on two CPU cores
    python -m benchmarks.black --count 1000 --sampler abm --steps 10 --thresholds
    python -m benchmarks.black --count 1000 --classifiers 9 --thresholds --weights bundled few-step
    python -m benchmarks.black --count 20     # a first look

The same digits are drawn with and without what the network says of black (where it says it), and judged beside real
digits; the second ones also after the cheap rule: values below a threshold are set to 0. Several classifiers try to
tell them from real digits, for one alone may miss what gives them away; and once more where the rule is applied to the
real digits as well, so that only the strokes are left to tell by.

Prints a Markdown table. Its last column is how many pixels of a digit have values of 1 to 3.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.stopwatch import table
from benchmarks.style import images
from diffusion import BadInput, Pipeline, checks, data
from diffusion.denoiser import Denoiser
from diffusion.evaluation.figures import told_apart
from diffusion.evaluation.judge import CLASSIFIERS, Judge
from diffusion.hardware import PRECISIONS, best_device, quickest_precision, use_allowed_cores
from diffusion.recipe import Recipe

HAZE = 4  # grey values below which a pixel looks black and is not
FIGURES = ("frechet_distance", "precision", "recall", "black_pixels", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data")
    parser.add_argument("--weights", nargs="+", default=["bundled"], help="default: the bundled ones")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=["auto", *PRECISIONS],
        help="of drawing and of the classifiers (default: what is quicker here)",
    )
    parser.add_argument("--count", default=200, type=int, help="how many of each digit (default: 200)")
    parser.add_argument("--sampler", help="default: that of the weights")
    parser.add_argument("--steps", type=int, help="default: that of the weights")
    parser.add_argument("--thresholds", default=[8], type=int, nargs="*", help="of the cheap rule (default: 8)")
    parser.add_argument(
        "--classifiers", default=CLASSIFIERS, type=int, help=f"how many try to tell them apart (default: {CLASSIFIERS})"
    )
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        print(study(flags))
    except BadInput as error:
        sys.exit(f"black.py: {error}")


def study(flags: argparse.Namespace) -> str:
    labels = [k for k in range(10) for _ in range(checks.whole("--count", flags.count, 1, 1000))]
    seeds = range(checks.whole("--classifiers", flags.classifiers, 1, 100))
    train, test = (data.load("mnist", flags.data, train=train) for train in (True, False))
    judge = Judge(labels, train=train, test=test, full=False)
    given = {name: getattr(flags, name) for name in ("sampler", "steps") if getattr(flags, name) is not None}
    precision = quickest_precision(best_device()) if flags.precision == "auto" else flags.precision
    rows = []

    def add(weights: str, way: str, shown: Tensor, figures: Mapping[str, float], real: Tensor = judge.others) -> None:
        seen = judge.team.together([partial(told_apart, shown, real, seed=seed, precision=precision) for seed in seeds])
        told = f"{sum(seen) / len(seen):.3f} ({', '.join(f'{each:.3f}' for each in seen)})"
        haze = f"{((shown > 0) & (shown < HAZE)).float().sum((1, 2)).mean():.2f}"
        measured = [f"{figures[name]:.4f}" if name in figures else "" for name in FIGURES]
        rows.append([weights, way, told, *measured, haze])
        print(*rows[-1], file=sys.stderr, flush=True)

    for weights in flags.weights:
        name, pipe = Path(weights).stem, Pipeline.from_pretrained(weights, precision=precision)
        for way, shown in drawn(pipe, pipe.recipe(labels, **given)):
            add(name, way, shown, judge.figures(shown, judge.labels))
        for threshold in flags.thresholds:
            cut = zero_below(threshold, shown)
            add(name, f"0 below {threshold}", cut, judge.figures(cut, judge.labels))
            add(name, f"0 below {threshold}, in real digits too", cut, {}, zero_below(threshold, judge.others))
    add("", "real", judge.real[0], judge.floor)
    return table(["weights", "black", "told apart", *(name.replace("_", " ") for name in FIGURES), "haze"], rows)


def drawn(pipe: Pipeline, recipe: Recipe) -> Iterator[tuple[str, Tensor]]:
    """The same digits, uint8 (N, H, W), with what the network says of black where it does, and without it."""
    model = pipe.drawing
    if not isinstance(model, Denoiser):
        raise BadInput("These weights are no network of this project: choose others with --weights.")
    ways = {"as the network says": True} if model.config.black else {}
    for way, said in (ways | {"as the pixels are": False}).items():
        model.guess = lambda *seen, exact, said=said: Denoiser.guess(model, *seen, exact=said)  # type: ignore[method-assign]
        yield way, images(pipe, recipe)


def zero_below(threshold: int, images: Tensor) -> Tensor:
    """The cheap rule, for uint8 images."""
    return torch.where(images < threshold, 0, images)


if __name__ == "__main__":
    main()
