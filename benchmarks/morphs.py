"""Do morphs jump, and what are their frames read as? All pairs of digits, as the command `morph` draws them.

    python -m benchmarks.morphs
    python -m benchmarks.morphs --pairs 5 --seed 1000

A row for each pair says how far the farthest two neighbouring frames lie apart, as a multiple of the median, and how
many frames the reader reads as one of the two digits.

Prints a Markdown table, and writes it with a picture of the pairs whose frames read worst.
"""

import argparse
import sys
from itertools import combinations
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, checks
from diffusion.evaluation.reader import load_reader
from diffusion.files import render
from diffusion.files.atomic import write_text
from diffusion.hardware import PRECISIONS, use_allowed_cores
from diffusion.lab import morph

SHOWN = 5  # pairs in the picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS])
    parser.add_argument("--out", default="benchmarks/morphs", type=Path)
    parser.add_argument("--pairs", default=45, type=checks.typed, help="how many pairs of digits (default: all 45)")
    parser.add_argument("--frames", default=morph.FRAMES, type=checks.typed, help=f"default: {morph.FRAMES}")
    parser.add_argument("--seed", default=0, type=checks.typed, help="of the first pair (default: 0)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        study(Pipeline.from_pretrained(flags.weights, precision=flags.precision), flags)
    except BadInput as error:
        sys.exit(f"morphs.py: {error}")


def study(pipe: Pipeline, flags: argparse.Namespace) -> None:
    pairs = list(combinations(range(len(pipe.names)), 2))
    pairs = pairs[: checks.whole("--pairs", flags.pairs, 1, len(pairs))]
    reader, rows, drawn = load_reader(), [], []
    for number, pair in enumerate(pairs):
        start = perf_counter()
        recipe = morph.recipe(pipe, pair, flags.frames, flags.seed + 2 * number)
        images = pipe.run(morph.smooth(pipe, recipe)).result().images
        seconds = perf_counter() - start
        read = np.isin(reader.read(images)[0].argmax(1), pair)
        rows.append((pair, jump(images), float(read.mean()), seconds))
        drawn.append(images)
        print(*rows[-1], file=sys.stderr, flush=True)
    lines = [[f"{a}, {b}", f"{far:.2f}", f"{read:.0%}", f"{seconds:.1f}"] for (a, b), far, read, seconds in rows]
    figures = np.array([row[1:] for row in rows])  # (pairs, 3)
    mean, (farthest, _, longest), (_, fewest, _) = figures.mean(0), figures.max(0), figures.min(0)
    lines.append(["all, mean", f"{mean[0]:.2f}", f"{mean[1]:.1%}", f"{mean[2]:.1f}"])
    lines.append(["all, worst", f"{farthest:.2f}", f"{fewest:.0%}", f"{longest:.1f}"])
    compared = table(["digits", "largest step / median", "frames read as one of them", "seconds"], lines)
    print(compared)
    write_text(flags.out / "table.md", compared + "\n")
    worst = sorted(range(len(rows)), key=lambda k: rows[k][2])[:SHOWN]
    render.save_png(flags.out / "worst.png", render.picture(np.concatenate([drawn[k] for k in worst]), flags.frames, 2))


def jump(images: np.ndarray) -> float:
    """The largest distance of two neighbouring frames, as a multiple of the median: uint8 (N, H, W)."""
    steps = np.linalg.norm(np.diff(images.astype(float).reshape(len(images), -1), axis=0), axis=1)
    return float(steps.max() / np.median(steps))


if __name__ == "__main__":
    main()
