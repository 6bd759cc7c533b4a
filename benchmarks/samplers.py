"""Which sampler, on which levels, comes nearest to the exact solution in few evaluations?

    python -m benchmarks.samplers                # four minutes on two CPU cores
    python -m benchmarks.samplers --guidance 2

The error is the root mean square distance of the final pixels, in [-1, 1], to those of 500 steps of DDIM from the same
noise. (ddpm is not here: it adds noise of its own, and ends elsewhere.) The same network also runs under the schedulers
of diffusers where that is installed. Then ten digits are timed: how much of it is not the network?

Prints two Markdown tables, and writes the first and pictures of it.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from benchmarks.stopwatch import numbers, table
from diffusion import BadInput, Pipeline, Recipe
from diffusion.denoiser import Denoiser
from diffusion.files import plot, render
from diffusion.files.atomic import write_text
from diffusion.guidance import guided
from diffusion.hardware import use_allowed_cores
from diffusion.noise import Noise
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import SPACINGS, T

OURS = tuple(name for name in SAMPLERS if name != "ddpm")
FLOW: dict[str, Any] = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
THEIRS: dict[str, tuple[str, dict[str, Any], str]] = {  # our name -> their class, its settings, and whom it asks like
    "diffusers Euler": ("FlowMatchEulerDiscreteScheduler", {}, "ddim"),
    "diffusers DPM++(2M)": ("DPMSolverMultistepScheduler", FLOW, "dpm++2m"),
    "diffusers Heun": ("FlowMatchHeunDiscreteScheduler", {}, "heun"),
    "diffusers UniPC-3": ("UniPCMultistepScheduler", FLOW | {"solver_order": 3}, "ddim"),
}
REPEATS = 7  # of each timing, of which the median counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--out", default="benchmarks/samplers", type=Path)
    parser.add_argument("--count", default=40, type=int, help="digits to draw (default: 40)")
    parser.add_argument("--guidance", default=1.0, type=float, help="default: 1, one evaluation for a guess")
    parser.add_argument("--guesses", default="4,6,8,10,14,20", help="default: 4,6,8,10,14,20")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        study(Pipeline.from_pretrained(flags.weights, device="cpu"), flags)
    except BadInput as error:
        sys.exit(f"samplers.py: {error}")


def study(pipe: Pipeline, flags: argparse.Namespace) -> None:
    digits = tuple(k % 10 for k in range(flags.count))
    counts = numbers("--guesses", flags.guesses, T)
    exact = ours(pipe, Recipe(digits, flags.guidance, 500, "ddim"))
    theirs = THEIRS if find_spec("diffusers") else {}
    errors: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, spacing in [(s, spacing) for spacing in SPACINGS for s in OURS] + [(s, "trailing") for s in theirs]:
        for guesses in counts:
            recipe = planned(name, guesses, digits, flags.guidance, spacing)
            drawn = under_diffusers(pipe, name, recipe) if name in theirs else ours(pipe, recipe)
            error = float((drawn - exact).square().mean().sqrt())
            errors.setdefault((name, spacing), []).append((pipe.evaluations(recipe), error))
        print(f"{name}, {spacing}", file=sys.stderr)
    head = ["sampler", "levels", *(f"{guesses} guesses" for guesses in counts)]
    compared = table(head, [[*key, *(f"{error:.4f}" for _, error in row)] for key, row in errors.items()])
    write_text(flags.out / "table.md", compared + "\n")
    print(compared)
    by_sampler = {name: errors[name, Recipe.spacing] for name in OURS}
    by_spacing = {f"abm, {spacing}": row for (name, spacing), row in errors.items() if name == "abm"}
    for file, lines in {"samplers.png": by_sampler, "spacings.png": by_spacing}.items():
        picture = plot.lines(lines, x="evaluations", y="Error, against 500 steps", log="xy")
        render.save_png(flags.out / file, picture)
    head = ["ten digits, ten guesses", "milliseconds", "outside the network"]
    print("\n" + table(head, timings(pipe, list(theirs))))


def planned(
    name: str, guesses: int, digits: tuple[int, ...], guidance: float = 1.0, spacing: str = "trailing"
) -> Recipe:
    """A recipe with so many guesses, or one less where each step but the last takes two."""
    sampler = THEIRS[name][2] if name in THEIRS else name
    steps = (guesses + 1) // 2 if sampler == "heun" else guesses
    return Recipe(digits, guidance, steps, sampler, spacing=spacing)


def ours(pipe: Pipeline, recipe: Recipe) -> Tensor:
    """The final images (N, C, H, W), not rounded to whole greys."""
    *_, step = pipe.run(recipe)
    return step.x


@torch.inference_mode()
def under_diffusers(pipe: Pipeline, name: str, recipe: Recipe) -> Tensor:
    """The same images, by the same network, levels and noise, under a scheduler of diffusers.

    Theirs that know flow matching do for every schedule: z = x / (alpha + sigma) is at t = sigma / (alpha + sigma).
    """
    kind, settings, _ = THEIRS[name]
    model = pipe.model
    labels = torch.tensor(recipe.digits)
    denoise = guided(model, labels, recipe.guidance, recipe.guidance_interval)
    levels = model.scheduler.levels(recipe.steps, recipe.spacing)
    times = torch.tensor([level.sigma / (level.alpha + level.sigma) for level in levels])
    path = SAMPLERS[recipe.sampler].asks([level.index for level in levels[:-1]])
    scheduler = getattr(import_module("diffusers"), kind)(**settings)
    scheduler.set_timesteps(recipe.steps)
    scheduler.set_begin_index(0)
    scheduler.sigmas = times.clamp(max=1 - 1e-6)  # theirs cannot start at 1
    if recipe.sampler == "heun":
        scheduler.sigmas = torch.cat([times[:1], times[1:-1].repeat_interleave(2), times[-1:]])
    first = levels[0]
    z = Noise(recipe.seeds, model.shape)() / (first.alpha + first.sigma)
    for level in map(model.scheduler.level, path):
        scale = level.alpha + level.sigma
        velocity = (z - denoise(scale * z, level.index)) * scale / level.sigma
        z = scheduler.step(velocity, 0.0, z)[0]
    return z


def timings(pipe: Pipeline, theirs: Sequence[str]) -> list[list[str]]:
    """A row for each: the milliseconds, and the share of them in which no network ran."""
    inside: list[float] = []
    assert isinstance(pipe.model, Denoiser)
    begin = pipe.model.unet.register_forward_pre_hook(lambda *_: inside.append(-perf_counter()))
    end = pipe.model.unet.register_forward_hook(lambda *_: inside.append(perf_counter()))
    runs: dict[str, list[tuple[float, float]]] = {}
    for _ in range(REPEATS):
        for name in (*OURS, *theirs):
            recipe = planned(name, 10, tuple(range(10)))
            inside.clear()
            start = perf_counter()
            under_diffusers(pipe, name, recipe) if name in theirs else ours(pipe, recipe)
            total = perf_counter() - start
            runs.setdefault(name, []).append((1000 * total, 1 - sum(inside) / total))
    begin.remove()
    end.remove()
    middle = {name: [median(values) for values in zip(*pairs, strict=True)] for name, pairs in runs.items()}
    return [[name, f"{total:.0f}", f"{outside:.1%}"] for name, (total, outside) in middle.items()]


if __name__ == "__main__":
    main()
