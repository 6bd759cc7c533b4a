"""Do digits look as they were asked to?

    python -m benchmarks.style --weights runs/style              # half an hour on two CPU cores
    python -m benchmarks.style --weights runs/style --count 200  # a first look

Digits are drawn each in a hand of its own, whose styles are spread as real ones are, and measured again. R^2 says how
much of what differs among them was asked for: 1 is all of it. Then digits are drawn in one fixed style each, the median
one of their class: their mean distance, as a share of that between digits of the same class in any style, says how much
they still differ. The reader tells how many are read right. (`python -m diffusion evaluate --hand many` has the other
figures of quality, for digits with a style.)
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, checks, strokes, style
from diffusion.evaluation.reader import load_reader
from diffusion.hardware import use_allowed_cores
from diffusion.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--count", default=2000, type=int, help="digits of each kind (default: 2000)")
    parser.add_argument("--guidance", type=float, help="default: that of the weights")
    parser.add_argument("--steps", type=int, help="default: that of the weights")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        checks.whole("--count", flags.count, 2 * 10, checks.MAX_IMAGES)
        pipe = Pipeline.from_pretrained(flags.weights)
        given = {name: getattr(flags, name) for name in ("guidance", "steps") if getattr(flags, name) is not None}
        print(study(pipe, pipe.recipe([k % len(pipe.names) for k in range(flags.count)], **given)))
    except BadInput as error:
        sys.exit(f"style.py: {error}")


def study(pipe: Pipeline, recipe: Recipe) -> str:
    """The table for digits of a recipe without a style."""
    if not (styles := pipe.offer.styles):
        raise BadInput("These weights know no styles: choose others with --weights.")
    labels, anything = torch.tensor(recipe.digits, device="cpu"), [style.ANY] * len(style.ATTRIBUTES)
    drawn = {name: images(pipe, replace(recipe, hand=name)) for name in (style.ANY, style.MANY)}
    drawn["fixed"] = torch.empty_like(drawn[style.ANY])
    for label in range(len(pipe.names)):
        chosen = (labels == label).nonzero().flatten().tolist()
        median: dict[str, Any] = {name: styles.quantile(name, 0.5, label) for name in style.ATTRIBUTES}
        some = recipe.some(chosen, [recipe.seeds[k] for k in chosen])
        drawn["fixed"][chosen] = images(pipe, replace(some, **median))
    reader = load_reader()
    wanted = styles.targets(recipe.digits, recipe.seeds, anything, style.MANY, ())
    assert wanted is not None
    explained = r_squared(wanted, strokes.measured(drawn["many"]))
    rows = [[f"R^2 of {name}", f"{value:.3f}"] for name, value in zip(style.ATTRIBUTES, explained, strict=True)]
    rows += [[f"read right, style {name}", f"{reader.accuracy(drawn[name], labels):.2%}"] for name in drawn]
    rows += [[f"exactly black, style {name}", f"{(drawn[name] == 0).float().mean():.4f}"] for name in drawn]
    rows += [["distance at a fixed style", f"{distance(drawn['fixed'], labels) / distance(drawn['any'], labels):.0%}"]]
    return table(["figure", f"of {len(labels):,} digits"], rows)


def images(pipe: Pipeline, recipe: Recipe) -> Tensor:
    """What a recipe draws: uint8 (N, H, W)."""
    return torch.from_numpy(np.concatenate([result.images for result in pipe.batches(recipe)]))


def r_squared(wanted: Tensor, got: Tensor) -> list[float]:
    """Of each attribute (N, 3): one minus the squared error, as a share of the variance of what was asked."""
    left = (got - wanted).square().sum(0) / (wanted - wanted.mean(0)).square().sum(0)
    return [float(1 - share) for share in left]


def distance(images: Tensor, labels: Tensor) -> float:
    """The mean root mean square distance of two different images uint8 (N, H, W) of one class."""
    means = [torch.pdist(images[labels == label].flatten(1).float()).mean() for label in labels.unique()]
    return float(torch.stack(means).mean()) / images[0].numel() ** 0.5


if __name__ == "__main__":
    main()
