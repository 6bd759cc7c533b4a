"""The processes that work together: on one training, or on one data set."""

import hashlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from diffusion.checks import BadInput
from diffusion.cores import sharing
from diffusion.hardware import best_device

ENDED = "Another process of this run has ended or cannot be reached: what is written stays; start all of them again."
LOST = ("closed", "reset", "refused", "Broken pipe", "No route", "Timed out")  # as gloo says it of a connection,
LATE = "caused pair closure"  # and of one that it gave up
TASKS = "tasks"  # what the leading process tells the others before all of them do tasks `together`
BEAT = 5.0  # seconds between two signs of life
SILENCE = 60.0  # seconds without one after which a process is taken for dead


@dataclass(frozen=True)
class Team:
    """The processes that work together: those that torchrun started, or this one alone."""

    rank: int
    size: int
    device: torch.device
    _counts: Counter[str] = field(default_factory=Counter, compare=False)  # this process's own
    _watches: list[Callable[[], None]] = field(default_factory=list, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)
    _own_threads: int = field(default_factory=torch.get_num_threads, compare=False)

    @classmethod
    def join(cls) -> "Team":
        """The team that torchrun's environment variables describe. BadInput where not all run the same code."""
        size = cls.started()
        if size == 1:
            return cls(0, 1, best_device())
        device = best_device()
        if device.type == "cuda":
            rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if rank >= count:
                raise BadInput(f"Each process needs a GPU of its own: start {count} or fewer on this machine.")
            device = torch.device("cuda", rank)
            torch.cuda.set_device(device)
            distributed.init_process_group("nccl", device_id=device)
        else:
            distributed.init_process_group("gloo")
        team = cls(distributed.get_rank(), size, device)
        if len(set(team.gather(_fingerprint_of_code()))) > 1:
            team.part()
            raise BadInput("The processes run different code: bring all machines to one version of this project.")
        return team

    @staticmethod
    def started() -> int:
        """How many processes torchrun started, of which this is one."""
        return int(os.environ.get("WORLD_SIZE", 1))

    @property
    def leads(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch that all of them hold."""
        return batch.chunk(self.size)[self.rank]

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number, or of each of several, over the processes."""
        if self.size > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value / self.size

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device, dtype=torch.float32)) > 0)

    def agree(self, choice: str) -> str:
        """The leading process's choice."""
        choices = [choice]
        if self.size > 1:
            distributed.broadcast_object_list(choices)
        return choices[0]

    def wait(self) -> None:
        """Until every process has come this far."""
        if self.size > 1:
            distributed.barrier()

    def count(self, name: str, more: int = 0) -> int:
        """Add to a count that all processes share, and say how far it has come. None waits for another."""
        if self.size == 1:
            with self._lock:
                self._counts[name] += more
                return self._counts[name]
        return int(distributed.distributed_c10d._get_default_store().add(name, more))

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leading process do this first, and the others when it is through.

        What it refuses is refused once, then, for torchrun ends those that wait; and what it downloads is there.
        """
        self._counts["turns to lead"] += 1
        led = f"led {self._counts['turns to lead']}"
        self._until(lambda: self.leads or self.count(led) > 0)
        yield
        if self.leads:
            self.count(led, 1)

    def tell(self, text: str) -> None:
        """Say something to the others, who `hear` it in this order, whenever they come to that."""
        if self.size > 1:
            distributed.distributed_c10d._get_default_store().set(f"told {self.count('told')}", text)
            self.count("told", 1)

    def hear(self) -> str:
        """Wait for the next that the leading process says, and do this process's share of what is done `together`."""
        while True:
            self._counts["heard"] += 1
            self._until(lambda: self.count("told") >= self._counts["heard"])
            store = distributed.distributed_c10d._get_default_store()
            text: str = store.get(f"told {self._counts['heard'] - 1}").decode()
            if text != TASKS:
                return text
            self.together()

    def gather(self, own: Any) -> list[Any]:
        """What each process has, in the order of their ranks."""
        every = [own] * self.size
        if self.size > 1:
            self._counts["gathered"] += 1
            come = f"come to gather {self._counts['gathered']}"
            self.count(come, 1)
            self._until(lambda: self.count(come) == self.size)
            distributed.all_gather_object(every, own)
        return every

    def _until(self, come: Callable[[], bool]) -> None:
        """Wait for what may take its time, as a collective may not: half an hour after the first has come, it fails."""
        while not come():
            for check in self._watches:
                check()
            time.sleep(0.05)

    def together(self, tasks: Sequence[Callable[..., Any]] = (), **own: Any) -> list[Any]:
        """What the leading process's tasks return, in their order. The others bring none, and come as they `hear`.

        Each core of each process takes the next task that nobody has, and does it alone: on equal hardware the result
        is the same for any number of cores and processes. A task is a function that can be pickled; `own` is what this
        process gives it.
        """
        if self.leads:
            self.tell(TASKS)
        if self.size > 1:
            box = [list(tasks)]
            distributed.broadcast_object_list(box)
            tasks = box[0]
        self._counts["times together"] += 1
        taken = f"tasks taken {self._counts['times together']}"
        done: dict[int, Any] = {}
        over = threading.Event()
        gpu = torch.cuda.current_device() if self.device.type == "cuda" else None

        def work() -> None:
            sharing.stay_on_one(over)
            if gpu is not None:
                torch.cuda.set_device(gpu)  # which each thread chooses for itself
            while not over.is_set() and (k := self.count(taken, 1) - 1) < len(tasks):
                done[k] = tasks[k](**own)

        with self.using_own_cores(), futures.ThreadPoolExecutor(self._own_threads) as pool:
            try:
                workers = [pool.submit(work) for _ in range(self._own_threads)]
                for worker in futures.wait(workers, return_when=futures.FIRST_EXCEPTION).done:
                    worker.result()
            except BaseException:  # Ctrl-C, or what went wrong in a task: the others end theirs
                over.set()
                raise
        for others in self.gather(done):
            done |= others
        return [done[k] for k in range(len(tasks))]

    def use_cores_of_all(self) -> None:
        """Compute on the cores of all processes of this machine, while the others wait."""
        torch.set_num_threads(self._own_threads * int(os.environ.get("LOCAL_WORLD_SIZE", 1)))

    @contextmanager
    def using_own_cores(self) -> Iterator[None]:
        """Compute on this process's own cores, while the others compute too."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._own_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @contextmanager
    def watched(self) -> Iterator[Callable[[], None]]:
        """Give signs of life meanwhile; what it yields raises BadInput where another process gives none any more.

        Meanwhile all that waits for others raises it, too. torchrun ends all processes of a machine when one of them
        dies, but knows nothing of those of another machine.
        """
        over = threading.Event()

        def beat() -> None:
            with suppress(RuntimeError):  # the leading process has ended: who draws is told at the next shard
                while not over.wait(BEAT):
                    self.count(f"beats of {self.rank}", 1)

        heard = {rank: (0, time.monotonic()) for rank in range(self.size) if rank != self.rank}

        def check() -> None:
            for rank, (beats, when) in heard.items():
                now = self.count(f"beats of {rank}")
                if now != beats or self.count(f"{rank} is through"):
                    heard[rank] = now, time.monotonic()
                elif time.monotonic() - when > SILENCE:
                    raise BadInput(ENDED)

        thread = threading.Thread(target=beat, daemon=True)
        if self.size > 1:
            thread.start()
        self._watches.append(check)
        try:
            yield check
            self.count(f"{self.rank} is through", 1)
        finally:
            self._watches.remove(check)
            over.set()
            if self.size > 1:
                thread.join()

    def part(self) -> None:
        """End the team."""
        if self.size > 1:
            distributed.destroy_process_group()


def out_of_touch(error: BaseException) -> bool:
    """Whether an error says that another process cannot be reached: the store says it by its type, gloo by its text.

    NCCL says it to nobody: it ends the process itself, with its own words.
    """
    if distributed.is_available() and isinstance(error, distributed.DistNetworkError | distributed.DistStoreError):
        return True
    return ("gloo/transport" in str(error) and any(how in str(error) for how in LOST)) or LATE in str(error)


def _fingerprint_of_code() -> str:
    """What is the same where the program that runs and this package are."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    if sys.argv[0].endswith(".py"):
        files.append(Path(sys.argv[0]))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
