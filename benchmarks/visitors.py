"""Is everybody served who comes at once, in order, and told how long it takes?

    python -m benchmarks.visitors          # on Linux

It starts app.py as anyone does. Fifty clients, each of its own, ask for the ten digits, each as soon as the one before
is in the queue, and one of them leaves again. It prints who was served, what they were told, whether the pictures are
those of their seeds, and the most memory that the page took.
"""

import argparse
import re
from concurrent.futures import CancelledError
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
from gradio_client import Client  # type: ignore[import-untyped]
from gradio_client.client import Job  # type: ignore[import-untyped]
from gradio_client.utils import Status  # type: ignore[import-untyped]
from PIL import Image

from benchmarks.page import started
from benchmarks.stopwatch import table
from diffusion import Pipeline
from diffusion.files import render

OFF = 2.0  # greys, on average: another seed is off by more than thirty
POLL = 0.05  # seconds between looks at who is done
PLACE_SECONDS = 2.0  # until the first one who leaves does so: all have been told their places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", default=50, type=int, help="default: 50")
    flags = parser.parse_args()
    count = flags.visitors
    with started() as (address, _, pid):
        clients = [Client(address, verbose=False) for _ in range(count)]
        clients[0].predict(digits="0-9", api_name="/generate")  # so that the page knows how long one takes
        begun = perf_counter()
        jobs = []
        for k, client in enumerate(clients):
            jobs.append(client.submit(digits="0-9", seed=100 * k, api_name="/generate"))
            while jobs[-1].status().code is Status.STARTING:  # it is not in the queue yet
                sleep(POLL / 10)
        ended, told = watched(jobs, leaves=count // 2)
        waited = max(ended.values()) - begun
        memory = int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
        pictures = {k: job.result()[0] for k, job in enumerate(jobs) if served(job)}
        pipe = Pipeline.from_pretrained(device="cpu")
        right = sum(is_right(pipe, path, 100 * k) for k, path in pictures.items())
    order = sorted(pictures, key=lambda k: ended[k])
    later = [k for k in order if k > count // 2]
    rows = [
        ["came at once, and one left", f"{count}"],
        ["served", f"{len(pictures)} of {count - 1}"],
        ["served in the order they came", "yes" if order == sorted(order) else "no"],
        ["told their place", f"{len(told)}"],
        ["told how long", f"{sum(eta is not None for _, eta in told.values())}"],
        ["last one: place, expected and real seconds", f"{told[max(told)][0]}, {told[max(told)][1]}, {waited:.1f}"],
        ["behind the one who left", f"{len(later)} served"],
        ["pictures that are those of their seeds", f"{right} of {len(pictures)}"],
        ["most memory of the page, MB", f"{memory:,.0f}"],
    ]
    print(table(["what", "found"], rows))


def watched(jobs: list[Job], leaves: int) -> tuple[dict[int, float], dict[int, tuple[int, float | None]]]:
    """When each job ended, and the first place in the queue, from 1, and the seconds that it was told.

    Args:
        leaves: the number of the job that is given up meanwhile.
    """
    begun = perf_counter()
    ended: dict[int, float] = {}
    told: dict[int, tuple[int, float | None]] = {}
    left = False
    while len(ended) < len(jobs):
        for k, job in enumerate(jobs):
            status = job.status()
            if status.rank is not None and k not in told:
                told[k] = (status.rank + 1, None if status.eta is None else round(status.eta, 1))
            if job.done():
                ended.setdefault(k, perf_counter())
        if not left and perf_counter() - begun > PLACE_SECONDS:
            jobs[leaves].cancel()
            left = True
        sleep(POLL)
    return ended, told


def served(job: Job) -> bool:
    try:
        return job.exception() is None and bool(job.result()[0])
    except CancelledError:
        return False


def is_right(pipe: Pipeline, path: str, seed: int) -> bool:
    """Whether a picture is what the library draws from the seed, but for the precision that the page chose."""
    expected = render.picture(pipe(range(10), seed=seed).images, 5)
    with Image.open(path) as picture:
        found = np.asarray(picture.convert("L"))
    return found.shape == expected.shape and float(abs(found.astype(int) - expected).mean()) < OFF


if __name__ == "__main__":
    main()
