"""Cores that other programs need too: how long PyTorch's threads spin, and how many of them a step takes.

OpenMP divides the work of a step between threads, one for each core, and a thread that is done spins until the others
are. On idle cores nothing is quicker. Where another program needs a core, the spinning keeps it from the very thread
that is waited for, and two programs at once do less, together, than one of them alone (benchmarks/cores.py). So the
threads spin briefly, and a step takes fewer of them for as long as the steps show that the cores are shared.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = 10_000  # of GNU's OpenMP, which PyTorch brings along on Linux; by itself it takes 300,000, some milliseconds
CHOICES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of the user

WINDOW = 0.1  # seconds of steps that are judged together: several time slices of the scheduler
FREE = 0.7  # share of its time for which the thread that runs the steps works, at least, on cores that are free
RESTS = (4, 16)  # between two tries of more threads, at first and at most, in times of what one in vain took


def share() -> None:
    """Share the cores with other programs, unless the user has a say in it. Call it before torch is imported.

    OpenMP reads the environment once, when it is loaded. Only programs call this: a library leaves its caller's threads
    alone. So do the processes of a team, which wait for each other; torchrun gives each of them one thread anyway.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" and not any(name in os.environ for name in CHOICES):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
        sharing.on = True


class Sharing:
    """How many threads a step takes, by what the last ones have shown.

    The thread that runs the steps works all the time, but for what it waits for a core, or for another thread that
    waits for one: half of the time, where one core of two is shared. Then the next steps take half as many threads, and
    so on down to one. From time to time, twice as many are tried again, more and more rarely while that is in vain.
    Waiting for a GPU looks the same, and one thread is enough there.
    """

    def __init__(self) -> None:
        self.on = False
        self._most: int | None = None  # PyTorch's number of threads, as the first step found it
        self._halvings = 0
        self._rest = 0  # as in RESTS; 0 while nothing is in vain
        self._left = 0.0  # seconds of steps until the next try
        self._seconds = self._worked = 0.0  # of the window under way
        self._lock = threading.Lock()  # a page may run steps in several threads at once
        self._alone = threading.local()  # of a thread that stays on one core: what ends it

    def stay_on_one(self, over: threading.Event) -> None:
        """Let the calling thread's steps take one core each: no number of cores changes what comes of them.

        Once it is over, a step is interrupted before it begins.
        """
        import torch  # not at the top: see `share`

        self._alone.over = over
        torch.set_num_threads(1)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run a step on as many threads as there is room for: at most PyTorch's number, which counts again afterwards.

        It counts for the calling thread alone, and a page runs each step in whichever thread is free. A thread that is
        new takes over the number of the last one that set it, which may be in a step: so it is asked for only once.
        """
        import torch  # not at the top: see `share`

        over = getattr(self._alone, "over", None)
        if over and over.is_set():
            raise KeyboardInterrupt
        if over or not self.on or not torch.backends.openmp.is_available():
            yield
            return
        if self._most is None:
            self._most = torch.get_num_threads()
        most = self._most
        torch.set_num_threads(self.threads(most))
        started, worked = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.saw(most, time.perf_counter() - started, time.thread_time() - worked)
            torch.set_num_threads(most)

    def threads(self, most: int) -> int:
        """How many of so many threads the next step takes."""
        return max(1, most >> self._halvings)

    def saw(self, most: int, seconds: float, worked: float) -> None:
        """Learn from a step: the seconds that it took, and for how many of them its thread worked."""
        with self._lock:
            self._seconds += seconds
            self._worked += worked
            if self._seconds < WINDOW:
                return
            seconds, free = self._seconds, self._worked >= FREE * self._seconds
            self._seconds = self._worked = 0.0
            if not free:
                if self.threads(most) > 1:
                    self._halvings += 1
                    self._rest = min(max(RESTS[0], 2 * self._rest), RESTS[1])
                    self._left = self._rest * seconds
            elif self._left > 0:
                self._left -= seconds
            elif self._halvings:
                self._halvings -= 1
            else:
                self._rest = 0


sharing = Sharing()  # of this process
