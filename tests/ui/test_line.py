"""Those who wait are told how long: what is left of the run under way, and the runs before theirs."""

from types import SimpleNamespace

import gradio as gr
import pytest
from test_model import ClosedForm

from diffusion import Pipeline
from ui import endpoint, work
from ui.events import MODEL
from ui.line import tell_waits
from ui.work import Work


class Clock:
    """A time that goes on by as many seconds as it is told."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(work, "time", clock)
    monkeypatch.setattr("ui.line.time", clock)
    return clock


@pytest.fixture
def page() -> endpoint.Page:
    with endpoint.Page(Work({"bundled": Pipeline(ClosedForm())})) as page:
        for _ in range(2):
            gr.Button().click(lambda: None, **MODEL)
    return page


def told(page: endpoint.Page, monkeypatch, took: dict[int, float], started: float) -> list[float | None]:
    """What two are told who wait for the two functions of the page.

    Args:
        took: the seconds of a run of each of them that is done.
        started: when the first one was started.
    """
    line, runs = page._queue, [*page.fns.values()]
    for run in runs:
        line.create_event_queue_for_fn(run)
    mine = line.event_queue_per_concurrency_id["model"]
    mine.current_concurrency = 1
    mine.start_times_per_fn[runs[0]] = {started}
    mine.queue = [SimpleNamespace(fn=run) for run in runs]
    for run, seconds in took.items():
        line.process_time_per_fn[runs[run]].add(seconds)
    messages = []
    monkeypatch.setattr(line, "send_message", lambda event, message: messages.append(message))
    line.broadcast_estimations("model")
    assert [(message.rank, message.queue_size) for message in messages] == [(0, 2), (1, 2)]
    return [message.rank_eta for message in messages]


@pytest.mark.parametrize(
    ("steps", "more", "took", "expected"),
    [
        (0, 0, {}, [None, None]),
        (0, 0, {0: 6.0, 1: 3.0}, [10.0, 13.0]),  # the mean, of which two seconds have passed
        (0, 0, {0: 1.0, 1: 3.0}, [2.0, 5.0]),  # which it has outlasted
        (1, 0, {}, [198.0, 198.0]),  # 2 of 200 seconds have passed
        (1, 0, {1: 3.0}, [201.0, 204.0]),
        (1, 2, {0: 6.0, 1: 3.0}, [604.0, 607.0]),
        (50, 0, {0: 6.0, 1: 3.0}, [8.0, 11.0]),
    ],
)
def test_a_long_run_ahead_is_waited_for_as_its_steps_tell(
    page, clock, monkeypatch, steps: int, more: int, took, expected
) -> None:
    pipe = page.work.pipe("bundled")
    run = page.work.run(pipe.recipe([1], steps=100, guidance=1), more=more)
    for _ in range(1 + steps):
        next(run)
    clock.now += 2
    assert told(page, monkeypatch, took, clock.now - 2) == pytest.approx(expected)
    run.close()
    assert page.work.left is None


def test_the_wait_for_a_gpu_is_no_work(clock) -> None:
    def gpu(function):
        def later(*arguments):
            clock.now += 60
            yield from function(*arguments)

        return later

    work = Work({"bundled": Pipeline(ClosedForm())}, gpu)
    run = work.run(work.pipe("bundled").recipe([1], steps=100, guidance=1))
    next(run)
    clock.now += 2
    next(run)
    assert work.left == pytest.approx(198)


@pytest.mark.parametrize(
    "change", [lambda mine: delattr(mine, "start_times_per_fn"), lambda mine: mine.queue.append(1)]
)
def test_another_version_of_the_queue_tells_what_it_always_told(change) -> None:
    with endpoint.Page(Work({"bundled": Pipeline(ClosedForm())})) as page:
        gr.Button().click(lambda: None, **MODEL)
    queue, (run,), told = gr.Blocks()._queue, page.fns.values(), []
    queue.create_event_queue_for_fn(run)
    queue.broadcast_estimations = lambda *arguments: told.append(arguments)
    queue.send_message = lambda *_: told.append("half of it")
    mine = queue.event_queue_per_concurrency_id["model"]
    mine.queue = [SimpleNamespace(fn=run)]
    change(mine)
    tell_waits(queue, page.work)
    queue.broadcast_estimations("model", 0)
    assert told == [("model", 0)]


def test_the_queue_takes_its_rate_and_its_size_as_gradio_does(page) -> None:
    assert (page._queue.update_intervals, page._queue.max_size) == (endpoint.TOLD_SECONDS, endpoint.MOST_WAITING)
    page.queue(3)
    assert (page._queue.update_intervals, page._queue.max_size) == (3, endpoint.MOST_WAITING)
    page.queue("auto", None, 2)
    assert (page._queue.live_updates, page._queue.max_size) == (True, 2)
