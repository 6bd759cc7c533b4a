"""What torchrun starts: several processes, or two machines on one, each in a folder of its own, over gloo."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ENVIRONMENT = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def torchrun(processes: int) -> list[str]:
    """The command that starts a program, to be named next, so many times on this machine."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]


@contextmanager
def two_machines(program: list[str], *folders: str | Path) -> Iterator[list[subprocess.Popen]]:
    """The program as torchrun starts it on each of two machines; all that one says is its standard output."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    start += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    how = {"env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with ExitStack() as all_end:
        machines = []
        for rank, folder in enumerate(folders):
            command = [*start, "--node-rank", str(rank), *program]
            machines.append(all_end.enter_context(subprocess.Popen(command, cwd=folder, **how)))
            all_end.callback(fail, machines[-1])
        yield machines


def fail(machine: subprocess.Popen) -> None:
    """Kill torchrun and its process, which is in a session of its own."""
    if machine.poll() is None:
        workers = Path(f"/proc/{machine.pid}/task/{machine.pid}/children").read_text().split()
        machine.kill()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)
