"""Work that tells of its steps by a callback, as an iterator that can be closed."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """Nobody waits for the work any more."""


def steps(work: Callable[[Callable[[], None]], T]) -> Iterator[T | None]:
    """Run `work(on_step)` in a thread: None after each of its steps, and at last what it returns.

    Closing the iterator stops the work at its next step. What the work raises is raised here.
    """
    events: SimpleQueue[tuple[bool, Any]] = SimpleQueue()  # whether it is the end, and the outcome
    closed = threading.Event()

    def on_step() -> None:
        if closed.is_set():
            raise Closed
        events.put((False, None))

    def run() -> None:
        try:
            events.put((True, work(on_step)))
        except BaseException as error:
            events.put((True, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            ended, outcome = events.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
            if ended:
                return
    finally:
        closed.set()
        thread.join()
