"""Processes and cores that share work: what comes of it is the same for any number of them."""

import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from machines import ENVIRONMENT, torchrun

from diffusion.checks import BadInput
from diffusion.cores import sharing
from diffusion.team import Team


def team(cores: int) -> Team:
    return Team(0, 1, torch.device("cpu"), _own_threads=cores)


@pytest.mark.parametrize("cores", [1, 3])
def test_tasks_are_done_once_each_on_one_core_and_kept_in_order(cores) -> None:
    calls = []

    def square(number: int, more: int) -> tuple[int, int]:
        calls.append(number)
        return number**2 + more, torch.get_num_threads()

    before = torch.get_num_threads()
    assert team(cores).together([partial(square, k) for k in range(50)], more=1) == [(k * k + 1, 1) for k in range(50)]
    assert sorted(calls) == list(range(50))
    assert team(cores).together() == []
    assert torch.get_num_threads() == before


def test_what_goes_wrong_in_a_task_ends_the_others() -> None:
    started, start = threading.Event(), time.monotonic()

    def wrong() -> None:
        started.wait(10)
        raise BadInput("no such digit")

    def endless() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with sharing.step():
                started.set()

    with pytest.raises(BadInput, match="no such digit"):
        team(2).together([wrong, endless])
    assert time.monotonic() < start + 10
    with sharing.step():  # this thread goes on
        pass


def test_a_task_computes_on_the_gpu_of_its_process(monkeypatch) -> None:
    chosen = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert Team(0, 1, torch.device("cuda"), _own_threads=2).together([list]) == [[]]
    assert chosen == [3, 3]


LATE = """
import time
from datetime import timedelta
from torch.distributed import distributed_c10d
from diffusion.team import Team

team = Team.join()
distributed_c10d._set_pg_timeout(timedelta(seconds=1))  # of collectives, in place of half an hour
with team.watched():
    time.sleep(3 * team.rank)
    assert team.gather(team.rank) == [0, 1]
team.part()
"""


@pytest.mark.process
def test_a_process_may_come_late(tmp_path) -> None:
    program = tmp_path / "late.py"
    program.write_text(LATE)
    done = subprocess.run(
        [*torchrun(2), program],
        env=ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
