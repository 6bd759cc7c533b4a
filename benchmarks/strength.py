"""How much must change until a picture reads as another digit? Image to image on real test digits.

    python -m benchmarks.strength
    python -m benchmarks.strength --count 200 --strengths 0.7,0.75,0.8

Each digit is edited into another one, which is drawn by lot, with every strength from the same noise. A row says how
often the reader reads what was asked for, how often still what the digit was, and how far the picture is from the one
that it was made from: the root of the mean square, where black to white is 1.

Prints a Markdown table, and writes it with plots of it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.inpainting import Digits
from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, checks
from diffusion.evaluation.reader import load_reader
from diffusion.files import plot, render
from diffusion.files.atomic import write_text
from diffusion.hardware import PRECISIONS, use_allowed_cores
from diffusion.lab import ImageToImage
from diffusion.lab.picture import packed

STRENGTHS = "0.5,0.6,0.7,0.8,0.9"
ASKED, STILL, FAR = "read as asked", "still read as it was", "distance to the source"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data")
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS])
    parser.add_argument("--out", default="benchmarks/strength", type=Path)
    parser.add_argument("--part", default="test", choices=["test", "train"], help="where the digits come from")
    parser.add_argument("--count", default=1000, type=int, help="digits (default: 1,000)")
    parser.add_argument("--strengths", default=STRENGTHS, help=f"default: {STRENGTHS}")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        study(Pipeline.from_pretrained(flags.weights, precision=flags.precision), flags)
    except BadInput as error:
        sys.exit(f"strength.py: {error}")


def study(pipe: Pipeline, flags: argparse.Namespace) -> None:
    strengths = [checks.number("--strengths", checks.typed(part), 0, 1) for part in flags.strengths.split(",")]
    checks.whole("--count", flags.count, 1, 10_000)
    digits = Digits.load(flags.data, flags.part, flags.count)
    rows, lines = {}, []
    for strength in strengths:
        row = rows[strength] = measured(pipe, digits, strength)
        lines.append([f"{strength:g}", f"{row[ASKED]:.1%}", f"{row[STILL]:.1%}", f"{row[FAR]:.3f}"])
        print(*lines[-1], file=sys.stderr, flush=True)
    compared = table(["strength", ASKED, STILL, FAR], lines)
    print(compared)
    write_text(flags.out / "table.md", compared + "\n")
    curves = {name: [(strength, row[name]) for strength, row in rows.items()] for name in (ASKED, STILL, FAR)}
    render.save_png(flags.out / "strength.png", plot.lines(curves, x="strength", y="share of the digits, and distance"))


def measured(pipe: Pipeline, digits: Digits, strength: float) -> dict[str, float]:
    """How often edited digits read as asked and as they were, and how far they went."""
    activity = ImageToImage(tuple(packed(image.numpy()) for image in digits.images), strength)
    wanted = another(digits.labels, len(pipe.names))
    drawn = np.concatenate([result.images for result in pipe.batches(pipe.recipe(wanted.tolist(), activity=activity))])
    reader = load_reader()
    off = (drawn.astype(float) - digits.images.numpy()) / 255
    return {
        ASKED: reader.accuracy(drawn, wanted),
        STILL: reader.accuracy(drawn, digits.labels),
        FAR: float(np.sqrt((off**2).mean(axis=(1, 2))).mean()),
    }


def another(labels: Tensor, classes: int) -> Tensor:
    """A label for each that is not its own, drawn by lot, always the same."""
    lot = torch.Generator("cpu").manual_seed(1)
    return (labels + torch.randint(1, classes, labels.shape, generator=lot, device="cpu")) % classes


if __name__ == "__main__":
    main()
