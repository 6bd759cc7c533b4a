"""What the benchmarks share: a stopwatch that is fair on a busy machine, Markdown tables, and lists of numbers."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

import torch

from diffusion import checks


def seconds(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The shortest time of each work.

    They take turns, so that a machine that is busy for a while is so for all of them. The first round warms up.
    """
    best = dict.fromkeys(works, float("inf"))
    for number in range(rounds + 1):
        for name, work in works.items():
            started = perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                best[name] = min(best[name], perf_counter() - started)
    return best


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def numbers(flag: str, text: str, most: int) -> list[int]:
    """The whole numbers from 1 to `most` in a flag like "1,10,100", or BadInput."""
    return [checks.whole(flag, checks.typed(part), 1, most) for part in text.split(",")]
