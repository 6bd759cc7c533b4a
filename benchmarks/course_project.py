"""Ten digits the way of a course project, and the way of this one: how many times quicker?

    python -m benchmarks.course_project            # a minute on two CPU cores

The course project: a U-Net with 64, 128 and 256 channels at full size, linear betas, eps-prediction, DDPM over all 1000
levels, guidance at each of them. Its time does not depend on its weights, which are random here, nor does any step
differ from any other: a stretch of the 1000 is timed, and the rest is extrapolated. This project: the shipped weights,
and the defaults of page and command line, drawn whole.
"""

import argparse
import sys
from itertools import pairwise
from time import perf_counter

import torch

from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, Recipe
from diffusion.denoiser import Denoiser, DenoiserConfig
from diffusion.guidance import EVERYWHERE
from diffusion.hardware import use_allowed_cores
from diffusion.scheduler import T
from diffusion.unet import UNetConfig

DIGITS = tuple(range(10))
COURSE = DenoiserConfig(
    UNetConfig(channels=(64, 128, 256), attention=(2,), stem=1), schedule="linear", prediction="eps", bounded=False
)
COURSE_RECIPE = Recipe(DIGITS, guidance=2.0, steps=T, sampler="ddpm", guidance_interval=EVERYWHERE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="of this project's way; default: the bundled ones")
    parser.add_argument("--stretch", default=10, type=int, help=f"steps of the {T} that are timed (default: 10)")
    parser.add_argument("--rounds", default=5, type=int, help="how often they take turns (default: 5)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        print(compared(flags.weights, flags.stretch, flags.rounds))
    except BadInput as error:
        sys.exit(f"course_project.py: {error}")


def compared(weights: str | None, stretch: int, rounds: int) -> str:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    course = Pipeline(Denoiser(COURSE).to(device).eval().requires_grad_(False))
    ours = {precision: Pipeline.from_pretrained(weights, precision=precision) for precision in ("fp32", "auto")}
    runs: dict[str, list[float]] = {name: [] for name in ("course", *ours)}
    for _ in range(rounds):  # in turns, so that a machine that is busy for a while is so for all of them
        runs["course"] += step_seconds(course, COURSE_RECIPE, stretch)
        for name, pipe in ours.items():
            runs[name].append(sum(step_seconds(pipe, recipe_of(pipe))))
    evaluations = {"course": course.evaluations(COURSE_RECIPE)} | {
        name: pipe.evaluations(recipe_of(pipe)) for name, pipe in ours.items()
    }
    seconds = {name: min(times) * (T if name == "course" else 1) for name, times in runs.items()}
    called = {"course": f"course project (extrapolated from {stretch} of {T:,} steps)"} | {
        name: f"this project, {name}" for name in ours
    }
    rows = [
        [called[name], evaluations[name], f"{time:.2f}", f"{seconds['course'] / time:,.0f}"]
        for name, time in seconds.items()
    ]
    return table(["way", "evaluations", "seconds for ten digits", "times quicker"], rows)


def recipe_of(pipe: Pipeline) -> Recipe:
    """The defaults with these weights."""
    return pipe.stream(DIGITS).recipe


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
