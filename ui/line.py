"""The line of those who wait for the network, and how long each of them is told that it takes."""

import time
from typing import Any

from gradio.queueing import Queue
from gradio.server_messages import EstimationMessage

from ui.events import MODEL
from ui.work import Work

Waits = list[tuple[Any, EstimationMessage]]  # who waits, and what each of them is told


def tell_waits(queue: Queue, work: Work) -> None:
    """Let a queue tell those who wait for the network how long the runs before theirs still take.

    Gradio takes every run to be as long as the mean of those that are done. Here the one under way counts with what is
    left of it, however long it is. The queue's insides are Gradio's own affair: where they are not as they are known
    here, it tells what it always told.
    """
    gradios = getattr(queue, "broadcast_estimations", None)
    if gradios is None:
        return

    def broadcast_estimations(concurrency_id: str, after: int | None = None) -> None:
        """Tell those who wait their places, from `after` on, and the seconds until their own runs are done."""
        try:
            told = waits(queue, work, after) if concurrency_id == MODEL["concurrency_id"] else None
        except (AttributeError, KeyError, TypeError):
            told = None
        if told is None:
            gradios(concurrency_id, after)
            return
        for event, message in told:
            queue.send_message(event, message)

    queue.broadcast_estimations = broadcast_estimations  # type: ignore[method-assign]


def waits(queue: Queue, work: Work, after: int | None = None) -> Waits:
    """The places, from 0, of those who wait for the network, and the seconds until their own runs are done.

    Args:
        after: the first place that is told.
    """
    waiting = queue.event_queue_per_concurrency_id[MODEL["concurrency_id"]].queue
    wait = _left(queue, work)
    told = []
    for place, event in enumerate(waiting):
        takes = _usual(queue, event.fn)
        wait = takes if wait is None else wait + (takes or 0)
        told.append((event, EstimationMessage(rank=place, rank_eta=wait, queue_size=len(waiting))))
    return told[after or 0 :]


def _left(queue: Queue, work: Work) -> float | None:
    """The seconds until the run under way is done, as its steps tell, or else the mean; None where neither does."""
    left = work.left
    if left is not None:
        return left
    started = queue.event_queue_per_concurrency_id[MODEL["concurrency_id"]].start_times_per_fn
    means = [(_usual(queue, run), time.time() - begun) for run, times in started.items() for begun in times]
    # One that has outlasted the mean, such as what is drawn until it reads right, may well take that long again.
    known = [mean - passed if passed < mean else mean for mean, passed in means if mean is not None]
    return max(known, default=None if means else 0.0)


def _usual(queue: Queue, run: Any) -> float | None:
    """The mean seconds of such a run, or else of any; None where none is done yet."""
    done = [each for kind, each in queue.process_time_per_fn.items() if kind.concurrency_id == run.concurrency_id]
    if run in queue.process_time_per_fn:
        done = [queue.process_time_per_fn[run]]
    count = sum(each.count for each in done)
    return sum(each.process_time for each in done) / count if count else None
