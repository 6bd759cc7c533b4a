"""Processes and cores that share work: what comes of it is the same for any number of them."""

import threading
from functools import partial

import pytest
import torch

from diffusion.checks import BadInput
from diffusion.cores import sharing
from diffusion.team import Team


def team(cores: int) -> Team:
    return Team(0, 1, torch.device("cpu"), _own_threads=cores)


def square(number: int, more: int = 0) -> tuple[int, int]:
    return number**2 + more, torch.get_num_threads()


@pytest.mark.parametrize("cores", [1, 3])
def test_tasks_are_done_once_each_on_one_core_and_kept_in_order(cores) -> None:
    before = torch.get_num_threads()
    assert team(cores).together([partial(square, k) for k in range(50)], more=1) == [(k * k + 1, 1) for k in range(50)]
    assert team(cores).together() == []
    assert torch.get_num_threads() == before


def test_what_goes_wrong_in_a_task_ends_the_others() -> None:
    started = threading.Event()

    def wrong() -> None:
        started.wait()
        raise BadInput("no such digit")

    def endless() -> None:
        while True:
            with sharing.step():
                started.set()

    with pytest.raises(BadInput, match="no such digit"):
        team(2).together([wrong, endless])
    with sharing.step():  # this thread goes on
        pass
