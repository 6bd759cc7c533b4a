"""Do time and memory a digit stay the same from one digit to ten thousand?

    python -m benchmarks.growth            # two minutes on two CPU cores

Each size is a process of its own, which draws its digits as `python -m diffusion sample --out digits.npz` does, a batch
at a time, and tells the most memory that it ever held. Few steps, no guidance: it is about growth, not about digits.
"""

import argparse
import json
import resource
import subprocess
import sys
from time import perf_counter

from benchmarks.stopwatch import numbers, table
from diffusion import BadInput, Pipeline, Recipe, checks
from diffusion.hardware import use_allowed_cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--sizes", default="1,10,100,1000,10000", help="default: 1,10,100,1000,10000")
    parser.add_argument("--steps", default=2, type=int, help="default: 2")
    parser.add_argument("--one", type=int, help="draw that many in this process, and tell as JSON")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        if flags.one:
            print(json.dumps(drawn(flags.weights, flags.one, flags.steps)))
        else:
            print(grown(flags))
    except BadInput as error:
        sys.exit(f"growth.py: {error}")


def grown(flags: argparse.Namespace) -> str:
    rows = []
    for size in numbers("--sizes", flags.sizes, checks.MAX_IMAGES):
        command = [sys.executable, "-m", "benchmarks.growth", "--one", str(size), "--steps", str(flags.steps)]
        command += ["--weights", flags.weights] if flags.weights else []
        child = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        if child.returncode:  # and has said why
            sys.exit(child.returncode)
        found = json.loads(child.stdout)
        rows.append([f"{size:,}", f"{1000 * found['seconds'] / size:.1f}", f"{found['bytes'] / 2**20:.0f}"])
    return table(["digits", "ms a digit", "peak memory, MiB"], rows)


def drawn(weights: str | None, count: int, steps: int) -> dict[str, float]:
    """Draw; returns the seconds, without the loading, and the most memory of this process in bytes."""
    pipe = Pipeline.from_pretrained(weights)
    pipe(0, steps=steps, guidance=1)  # what only the first run does
    recipe = Recipe(tuple(k % 10 for k in range(count)), steps=steps, guidance=1)
    started = perf_counter()
    for result in pipe.batches(recipe):
        result.images.tobytes()
    seconds = perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": seconds, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


if __name__ == "__main__":
    main()
