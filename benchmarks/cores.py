"""Two programs on the same cores: how much each of them draws, and how much a program draws alone.

    python -m benchmarks.cores                  # on cores that are idle otherwise

Each program draws ten digits at the defaults, over and over; what counts is its runs in so many seconds.
"""

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from itertools import product
from statistics import median
from time import perf_counter

from diffusion import cores

WAYS = {
    "PyTorch's threads as they are": "",
    "`OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0`": "OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0",
    "`OMP_NUM_THREADS=1`": "OMP_NUM_THREADS=1",
    "shared, as this project does": "",
}
SHARED = list(WAYS)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default=12, type=float, help="of each measurement (default: 12)")
    parser.add_argument("--rounds", default=3, type=int, help="default: 3, of which the median counts")
    parser.add_argument("--program", help=argparse.SUPPRESS)  # be one of the programs, in this way
    flags = parser.parse_args()
    if flags.program:
        return print(runs(flags.program, flags.seconds))
    from benchmarks.stopwatch import table  # imports torch, which in a program has to wait for its way

    seen: dict[tuple[str, int], list[list[float]]] = {key: [] for key in product(WAYS, (1, 2))}
    for _ in range(flags.rounds):  # taking turns, so that a machine that is busy for a while is so for all of them
        for way, count in seen:
            seen[way, count].append(measured(way, count, flags.seconds))
    rows = []
    for way in WAYS:
        alone = median(sum(programs) for programs in seen[way, 1])
        both = sorted(seen[way, 2], key=sum)[flags.rounds // 2]
        rows.append([way, f"{alone:.1f}", " + ".join(f"{program:.1f}" for program in both), f"{sum(both):.1f}"])
    print(table([f"runs in {flags.seconds:g} s", "alone", "two at once", "sum"], rows))


def measured(way: str, count: int, seconds: float) -> list[float]:
    """The runs of each of so many programs at once."""
    environment = {name: value for name, value in os.environ.items() if name not in cores.CHOICES}
    environment |= dict(setting.split("=") for setting in WAYS[way].split())
    command = [sys.executable, "-m", "benchmarks.cores", "--program", way, "--seconds", str(seconds)]
    programs = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    ends = [(program.stdin, program.stdout) for program in programs if program.stdin and program.stdout]
    for _, output in ends:
        output.readline()  # it is ready
    for start, _ in ends:
        with suppress(BrokenPipeError):  # it is there no more, which its empty answer shows
            start.write("\n")
            start.flush()
    found = [output.readline() for _, output in ends]
    for program in programs:
        program.communicate()
    if not all(found):
        raise SystemExit("A program ended before its time: what it wrote above says why.")
    return [float(runs) for runs in found]


def runs(way: str, seconds: float) -> float:
    """Draw for so long, from the moment on at which a line comes in; returns the runs done, to the twentieth."""
    if way == SHARED:
        cores.share()
    import torch  # which reads the environment

    from diffusion import Pipeline

    pipe = Pipeline.from_pretrained(device="cpu")
    with torch.no_grad():
        pipe.model(torch.zeros(10, 1, 28, 28), 0, torch.arange(10))  # warms up
    print("ready", flush=True)
    sys.stdin.readline()
    end = perf_counter() + seconds
    steps = 0
    while perf_counter() < end:
        run = pipe.stream(range(10))
        for _ in run:
            steps += 1
            if perf_counter() >= end:
                break
    return steps / run.recipe.steps


if __name__ == "__main__":
    main()
