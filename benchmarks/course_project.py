"""Ten digits the way of a course project, and the way of this one: how many times quicker?

    python -m benchmarks.course_project            # two minutes on two CPU cores

The course project: the network of the preset "ddpm-cosine", DDPM over all 1000 levels, guidance at each of them. Its
time does not depend on its weights, which are random here, nor does any step differ from any other: a stretch of the
1000 is timed, and the rest is extrapolated. This project: the shipped weights and the defaults of page and command
line, drawn whole; also in fewer steps, and by the few-step weights. The last column is the time in products of
matrices: how many GFLOP of them this machine does meanwhile, in fp32, measured in the same run.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from time import perf_counter
from typing import Any

import torch

from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, Recipe, checks
from diffusion.denoiser import Denoiser
from diffusion.guidance import EVERYWHERE
from diffusion.hardware import best_device, matrix_rate, use_allowed_cores
from diffusion.scheduler import T
from diffusion.training.config import PRESETS, TrainConfig

DIGITS = tuple(range(10))
COURSE = TrainConfig(**PRESETS["ddpm-cosine"]).denoiser()
COURSE_RECIPE = Recipe(DIGITS, guidance=2.0, steps=T, sampler="ddpm", guidance_interval=EVERYWHERE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="bundled,few-step", help="of this project's way (default: both that ship)")
    parser.add_argument("--stretch", default=10, type=int, help=f"steps of the {T} that are timed (default: 10)")
    parser.add_argument("--rounds", default=5, type=int, help="how often they take turns (default: 5)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        stretch = checks.whole("--stretch", flags.stretch, 1, T)
        rounds = checks.whole("--rounds", flags.rounds, 1, 1000)
        print(compared(flags.weights.split(","), stretch, rounds))
    except BadInput as error:
        sys.exit(f"course_project.py: {error}")


def compared(weights: Sequence[str], stretch: int, rounds: int) -> str:
    device = best_device()
    course = Pipeline(Denoiser(COURSE).to(device).eval().requires_grad_(False))
    name = f"course project (extrapolated from {stretch} of {T:,} steps)"
    ways = {name: (course, COURSE_RECIPE)}
    for source in weights:
        for precision in ("fp32", "auto"):
            pipe = Pipeline.from_pretrained(source, precision=precision)
            for settings in settings_of(pipe):
                recipe = pipe.stream(DIGITS, **settings).recipe
                ways[f"{source}, {recipe.steps} {'step' if recipe.steps == 1 else 'steps'}, {precision}"] = pipe, recipe
    seconds, rate = dict.fromkeys(ways, float("inf")), 0.0
    for _ in range(rounds):  # in turns, so that a machine that is busy for a while is so for all of them
        rate = max(rate, matrix_rate(device, "fp32"))
        for way, (pipe, recipe) in ways.items():
            time = min(step_seconds(pipe, recipe, stretch)) * T if pipe is course else sum(step_seconds(pipe, recipe))
            seconds[way] = min(seconds[way], time)
    rows = [
        [
            way,
            pipe.evaluations(recipe),
            f"{seconds[way]:.3f}",
            f"{seconds[name] / seconds[way]:,.0f}",
            f"{seconds[way] * rate / 1e9:,.1f}",
        ]
        for way, (pipe, recipe) in ways.items()
    ]
    head = ["way", "evaluations", "seconds for ten digits", "times quicker", "GFLOP of matrix products meanwhile"]
    return f"Matrix product in fp32: {rate / 1e9:.0f} GFLOP/s\n\n" + table(head, rows)


def settings_of(pipe: Pipeline) -> list[dict[str, Any]]:
    """The defaults of these weights, and what takes no more than ten evaluations; for a student, 1, 2 and 4 steps."""
    if pipe.offer.instant:
        return [{"steps": steps} for steps in (1, 2, 4)]
    return [{}, {"steps": 8}]


def step_seconds(pipe: Pipeline, recipe: Recipe, most: int | None = None) -> list[float]:
    """The seconds of each step, of the first `most` of them."""
    times = [perf_counter()]
    for step in pipe.run(recipe):
        if step.x.is_cuda:
            torch.cuda.synchronize()
        times.append(perf_counter())
        if len(times) - 1 == most:
            break
    return [end - start for start, end in pairwise(times)]


if __name__ == "__main__":
    main()
