"""The line of those who wait for the network, and how long each of them is told that it takes."""

import time
from typing import Any

from gradio.queueing import Queue
from gradio.server_messages import EstimationMessage

from ui.events import MODEL
from ui.work import Work


class Line(Queue):
    """Gradio's queue, which takes every run to be as long as the mean of those that are done.

    Here the one under way counts with what is left of it, however long it is.

    Args:
        queue: as Gradio made it.
    """

    def __init__(self, queue: Queue, work: Work):
        super().__init__(
            queue.live_updates,
            queue.max_thread_count,
            queue.update_intervals,
            queue.max_size,
            queue.blocks,
            queue.default_concurrency_limit,
        )
        self.work = work

    def broadcast_estimations(self, concurrency_id: str, after: int | None = None) -> None:
        """Tell those who wait their places, from 0, and the seconds until their own runs are done.

        Args:
            after: the first place that is told.
        """
        if concurrency_id != MODEL["concurrency_id"]:
            super().broadcast_estimations(concurrency_id, after)
            return
        waiting = self.event_queue_per_concurrency_id[concurrency_id].queue
        wait = self._left()
        for place, event in enumerate(waiting):
            takes = self._usual(event.fn)
            wait = takes if wait is None else wait + (takes or 0)
            if after is None or place >= after:
                self.send_message(event, EstimationMessage(rank=place, rank_eta=wait, queue_size=len(waiting)))

    def _left(self) -> float | None:
        """The seconds until the run under way is done, as its steps tell, or else the mean; None where neither does."""
        left = self.work.left
        if left is not None:
            return left
        started = self.event_queue_per_concurrency_id[MODEL["concurrency_id"]].start_times_per_fn
        means = [(self._usual(run), time.time() - begun) for run, times in started.items() for begun in times]
        known = [max(0.0, mean - passed) for mean, passed in means if mean is not None]
        return max(known, default=None if means else 0.0)

    def _usual(self, run: Any) -> float | None:
        """The mean seconds of such a run, or else of any; None where none is done yet."""
        done = [each for kind, each in self.process_time_per_fn.items() if kind.concurrency_id == run.concurrency_id]
        if run in self.process_time_per_fn:
            done = [self.process_time_per_fn[run]]
        count = sum(each.count for each in done)
        return sum(each.process_time for each in done) / count if count else None
