"""Whatever PyTorch's global defaults are, the same seed gives the same numbers, and everything works."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from diffusion import Pipeline, Recipe
from diffusion.denoiser import FewStep
from diffusion.evaluation.judge import Judge
from diffusion.evaluation.reader import load_reader, train_reader
from diffusion.hardware import quickest_precision
from diffusion.scheduler import SCHEDULES, SPACINGS, Scheduler
from diffusion.training.config import TrainConfig
from diffusion.training.distillation import Distillation, student_of
from diffusion.training.folder import saved_state
from diffusion.training.trainer import Trainer

DEFAULTS = (torch.float64, torch.float16, torch.device("meta"))  # numbers forgotten on "meta" are no numbers


@contextmanager
def default(kind: torch.dtype | torch.device) -> Iterator[None]:
    before = torch.get_default_dtype()
    try:
        if isinstance(kind, torch.dtype):
            torch.set_default_dtype(kind)
        else:
            torch.set_default_device(kind)
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)


@pytest.fixture
def same_everywhere(monkeypatch) -> Callable[[Callable[[], list[np.ndarray]]], None]:
    """Checks that work gives the same arrays under other defaults."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def check(work: Callable[[], list[np.ndarray]]) -> None:
        wanted = work()
        for kind in DEFAULTS:
            with default(kind):
                found = work()
            for a, b in zip(wanted, found, strict=True):
                assert a.dtype == b.dtype, kind
                assert np.array_equal(a, b), kind

    return check


@pytest.mark.parametrize(
    ("weights", "settings"),
    [
        ("bundled", {"steps": 2}),
        ("bundled", {"steps": 2, "sampler": "ddpm", "spacing": "karras"}),
        ("few-step", {"steps": 1}),
    ],
    ids=str,
)
def test_digits_are_the_same(same_everywhere, weights, settings):
    same_everywhere(lambda: [Pipeline.from_pretrained(weights, device="cpu")([7], **settings).frames])


@pytest.mark.training
def test_the_quickest_precision_is_found():
    for kind in DEFAULTS:
        with default(kind):
            assert quickest_precision.__wrapped__(torch.device("cpu")) in ("fp32", "bf16")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_tables_are_the_same(same_everywhere, schedule):
    def tables() -> list[np.ndarray]:
        scheduler = Scheduler(schedule)
        return [scheduler.alpha.numpy(), *(np.array(scheduler.indices(7, spacing)) for spacing in SPACINGS)]

    same_everywhere(tables)


@pytest.mark.training
@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "level_spread": 0.0}], ids=str)
def test_training_and_its_resumption_are_the_same(same_everywhere, mnist_folder, tmp_path, monkeypatch, changes):
    monkeypatch.setattr("diffusion.training.folder.show", lambda *_: None)
    monkeypatch.setattr("diffusion.training.trainer.matrix_rate", lambda *_: 1e11)
    shape = {"channels": (8,), "blocks": 1, "attention": (), "embedding": 16, "stem": 4, "precision": "fp32"}
    config = TrainConfig(data=str(mnist_folder), out=str(tmp_path), batch_size=100, epochs=1, **shape | changes)

    def weights() -> list[np.ndarray]:
        Trainer(config).run()
        trainer = Trainer(dataclasses.replace(config, epochs=2))
        trainer.resume(saved_state(config))
        trainer.run()
        return [tensor.numpy() for tensor in trainer.ema.model.state_dict().values()]

    same_everywhere(weights)


def test_distillation_is_the_same(same_everywhere, tiny_denoiser, digits):
    def loss() -> list[np.ndarray]:
        torch.manual_seed(0)
        student = student_of(tiny_denoiser, FewStep())
        objective = Distillation(student, student, tiny_denoiser)
        x0 = digits[0][:8, None].float() / 127.5 - 1
        drawn = objective.draw(x0, torch.Generator("cpu").manual_seed(0))
        return [part.numpy() for part in drawn] + [objective(x0, digits[1][:8], *drawn).detach().numpy()]

    same_everywhere(loss)


@pytest.mark.training
def test_readers_and_judgements_are_the_same(same_everywhere, digits, real):
    images, labels = digits

    def judged() -> list[np.ndarray]:
        reader = train_reader(images[:32], labels[:32], epochs=1)
        judge = Judge(Recipe(tuple(range(10)) * 20).digits, **real, reader=load_reader(), full=False)
        return [*(tensor.numpy() for tensor in reader.state_dict().values()), np.array(list(judge.floor.values()))]

    same_everywhere(judged)
