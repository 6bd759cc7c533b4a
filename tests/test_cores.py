"""Cores that are shared with other programs: how many threads a step takes, and what the user decides alone."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import torch
from torch import nn

from diffusion import Pipeline, cores
from diffusion.cores import CHOICES, Sharing, share, sharing
from diffusion.evaluation.reader import Reader, train_reader
from diffusion.team import Team
from diffusion.training.config import TrainConfig
from diffusion.training.trainer import Trainer

ROOT = Path(__file__).parents[1]


def ran(
    sharing: Sharing, seconds: float, works: Callable[[int], float], most: int = 8, step: float = 0.05
) -> list[int]:
    """The threads of each step in so many seconds; a step by n threads works for works(n) of its time."""
    taken = []
    for _ in range(round(seconds / step)):
        taken.append(sharing.threads(most))
        sharing.saw(most, step, step * works(taken[-1]))
    return taken


def crowded(threads: int) -> float:
    """On cores where there is room for two threads."""
    return 0.95 if threads <= 2 else 0.5


def free(threads: int) -> float:
    return 0.9


def test_free_cores_are_all_taken():
    assert set(ran(Sharing(), 10, free)) == {8}


def test_on_shared_cores_steps_take_what_there_is_room_for_and_try_more_now_and_then():
    sharing = Sharing()
    taken = ran(sharing, 1, crowded)
    assert taken[:5] == [8, 8, 4, 4, 2]
    assert set(taken[4:8]) == {2}
    later = ran(sharing, 100, crowded)
    assert set(later) == {2, 4}
    assert 0.01 < later.count(4) / len(later) < 0.08


def test_where_not_even_one_thread_has_a_core_to_itself_one_is_taken():
    assert set(ran(Sharing(), 10, lambda threads: 0.3)[6:]) == {1}


def test_cores_that_become_free_are_taken_soon():
    sharing = Sharing()
    ran(sharing, 100, lambda threads: 0.5)
    assert sharing.threads(8) == 1
    assert ran(sharing, 4, free)[-1] == 8


def test_a_short_disturbance_costs_little():
    sharing = Sharing()
    ran(sharing, 5, free)
    ran(sharing, 0.1, lambda threads: 0.3)
    assert ran(sharing, 1, free)[-1] == 8
    ran(sharing, 0.01, lambda threads: 0, step=0.01)  # a step that is shorter than a time slice says nothing alone
    assert set(ran(sharing, 1, free)) == {8}


@pytest.fixture
def unset(monkeypatch) -> Sharing:
    """An environment in which the user has said nothing of threads; `share` finds a new Sharing."""
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in CHOICES})
    monkeypatch.delitem(os.environ, "WORLD_SIZE", raising=False)
    monkeypatch.setattr(cores, "sharing", Sharing())
    return cores.sharing


def test_a_program_shares_the_cores(unset):
    share()
    assert unset.on
    assert os.environ["GOMP_SPINCOUNT"] == str(cores.SPINS)


@pytest.mark.parametrize("name", [*CHOICES, "WORLD_SIZE"])
def test_what_the_user_set_is_left_alone(unset, name):
    os.environ[name] = "2"
    before = dict(os.environ)
    share()
    assert not unset.on
    assert os.environ == before


@pytest.fixture
def two_threads() -> None:
    torch.set_num_threads(2)


@pytest.mark.usefixtures("two_threads")
class TestSteps:
    def test_the_threads_are_those_of_the_calling_thread_and_afterwards_as_before(self):
        sharing = Sharing()
        sharing.on = True
        sharing.saw(2, 1.0, 0.5)
        seen = []

        def step() -> None:
            with sharing.step():
                seen.append(torch.get_num_threads())
            seen.append(torch.get_num_threads())

        step()
        other = Thread(target=step)
        other.start()
        other.join()
        assert seen == [1, 2, 1, 2]

    def test_a_thread_that_begins_in_the_midst_of_a_step_takes_as_many_as_the_others(self):
        sharing = Sharing()
        sharing.on = True
        sharing.saw(2, 1.0, 0.5)
        seen = []

        def step() -> None:
            seen.append(torch.get_num_threads())  # what it has from the step under way
            sharing._halvings = 0
            with sharing.step():
                seen.append(torch.get_num_threads())

        with sharing.step():
            other = Thread(target=step)
            other.start()
            other.join()
        assert seen == [1, 2]

    def test_a_library_leaves_the_threads_to_its_caller(self, tiny_denoiser):
        seen = []
        tiny_denoiser.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
        Pipeline(tiny_denoiser)([1], steps=2)
        assert set(seen) == {2}

    @pytest.fixture
    def one_is_enough(self, monkeypatch) -> Iterator[list[int]]:
        """The threads that convolutions are run with, where steps shall take one."""
        seen: list[int] = []
        monkeypatch.setattr(sharing, "on", True)
        monkeypatch.setattr(sharing, "threads", lambda most: 1)
        monkeypatch.setattr(sharing, "saw", lambda *_: None)

        def look(layer: nn.Module, *_: object) -> None:
            if isinstance(layer, nn.Conv2d):
                seen.append(torch.get_num_threads())

        hook = nn.modules.module.register_module_forward_hook(look)
        yield seen
        hook.remove()

    def test_of_a_run(self, tiny_denoiser, one_is_enough):
        Pipeline(tiny_denoiser)([1], steps=2)
        assert set(one_is_enough) == {1}

    def test_of_a_training(self, mnist_folder, tmp_path, one_is_enough):
        small = {"channels": (8,), "blocks": 1, "attention": (), "embedding": 8, "stem": 4}
        config = TrainConfig(data=str(mnist_folder), out=str(tmp_path), batch_size=100, precision="fp32", **small)
        trainer = Trainer(config, Team(0, 1, torch.device("cpu")))
        one_is_enough.clear()
        trainer.train_epoch()
        trainer.held_out_loss()
        assert set(one_is_enough) == {1}

    def test_of_a_reader(self, digits, one_is_enough):
        images, labels = digits
        Reader(10, 1, "mnist").eval().read(images)
        train_reader(images, labels, epochs=1, progress=False)
        assert set(one_is_enough) == {1}


FIRST = """
import importlib, os, runpy, sys, tomllib

class Torch:
    def find_spec(self, name, *_):
        if name == "torch":
            sys.exit(f"torch, GOMP_SPINCOUNT={os.environ.get('GOMP_SPINCOUNT')}")

sys.meta_path.insert(0, Torch())
sys.path.insert(0, os.getcwd())
[_, how, what] = sys.argv
sys.argv = [what]
if how == "entry_point":  # as pip's own script does
    with open("pyproject.toml", "rb") as file:
        module, _, function = tomllib.load(file)["project"]["scripts"][what].partition(":")
    getattr(importlib.import_module(module), function)()
else:
    getattr(runpy, how)(what, run_name="__main__")
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("how", "what"),
    [("run_path", "app.py"), ("run_path", "train.py"), ("run_module", "diffusion"), ("entry_point", "digit-diffusion")],
)
def test_a_program_says_so_before_torch_is_loaded(how, what):
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run(
        [sys.executable, "-c", FIRST, how, what], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stderr.strip() == f"torch, GOMP_SPINCOUNT={cores.SPINS}"
