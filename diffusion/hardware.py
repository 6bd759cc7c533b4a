"""The hardware: its cores, its quickest precision and its best rate."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}

# How weights and noise are made, whatever PyTorch's global defaults are, so that a seed always means the same.
CPU_FLOAT32: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}


def best_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_allowed_cores() -> int:
    """Let torch use as many threads as the process's quota allows, which it does not see for itself; returns them.

    A container, systemd (CPUQuota) or Slurm sets the quota, on the process's own control group or on one above it.
    What the user chose by OMP_NUM_THREADS stays as it is.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads()
    for folder in _control_groups():
        for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # of cgroup v2, and of v1
            try:
                quota, period = (int(word) for file in files for word in (folder / file).read_text().split())
            except (OSError, ValueError):  # no such file, or no quota ("max")
                continue
            if quota > 0:  # v1 says -1 for none
                torch.set_num_threads(max(1, min(torch.get_num_threads(), quota // period)))
    return torch.get_num_threads()


def _control_groups() -> Iterator[Path]:
    """The folders, where there are such, of the process's control groups that share out cores, and of all above them.

    Inside a container /proc may name groups that only the host sees; then the root is the container's own.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()  # like "4:cpu,cpuacct:/slurm/job_7", or "0::/" of v2
    except OSError:
        lines = ["0::/", "1:cpu:/"]
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        names = [] if ".." in group else group.strip("/").split("/")  # "..": outside of what this container sees
        for mount in (controllers, "cpu") if controllers else ("", "unified"):
            for depth in range(len(names), -1, -1):
                yield Path("/sys/fs/cgroup", mount, *names[:depth])


def free_memory(device: torch.device) -> float:
    """The bytes that programs may still take, of the GPU's memory as well where that is the device.

    Infinite where the system does not say.
    """
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024.0 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        return math.inf
    return free + (torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory is full: a CPU and a GPU say it in different ways."""
    return isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def matrix_rate(device: torch.device, precision: str) -> float:
    """Multiply-adds a second, counted as two operations, of a large matrix product: what the device reaches at best."""
    size = 8192 if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=PRECISIONS[precision])
    return 2 * size**3 / _seconds([lambda: a @ a], device)[0]


@cache
def quickest_precision(device: torch.device) -> str:
    """The precision in which a typical convolution of the U-Net trains faster, by a stopwatch.

    A processor without bf16 arithmetic takes bf16 too, and is slow at it. A program looks at the stopwatch once: it
    does not always say the same, and the same seed should.
    """
    x = torch.randn(64, 96, 14, 14, device=device, dtype=torch.float32)
    weight = torch.randn(96, 96, 3, 3, device=device, dtype=torch.float32, requires_grad=True)

    def train(precision: str) -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = F.conv2d(x, weight, padding=1).float().sum()
        torch.autograd.grad(loss, weight)

    seconds = _seconds([partial(train, precision) for precision in PRECISIONS], device)
    return min(zip(seconds, PRECISIONS, strict=True))[1]


def _seconds(works: Sequence[Callable[[], object]], device: torch.device) -> list[float]:
    """The shortest of five timings of each, after one that warms up: in turns, so that all meet what else runs here."""

    def once(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    rounds = [[once(work) for work in works] for _ in range(6)]
    return [min(times) for times in zip(*rounds[1:], strict=True)]
