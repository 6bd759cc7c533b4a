"""What only a GPU can show. Skipped where there is none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diffusion import Pipeline, checkpoint
from diffusion.training.config import TrainConfig
from diffusion.training.folder import saved_state
from diffusion.training.pretrained import like_teacher
from diffusion.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def config(mnist_folder: Path, tmp_path: Path, monkeypatch) -> TrainConfig:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("diffusion.training.folder.show", lambda *_: None)
    return TrainConfig(data="data", out="run", epochs=2, batch_size=50, warmup=2)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Any wait of the host for the device is an error."""
    yield
    torch.cuda.set_sync_debug_mode("default")


def weights(module: nn.Module) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in module.state_dict().values()]).cpu()


def test_everything_lives_on_the_device_in_bf16(config):
    trainer = Trainer(config)
    assert {trainer.images.device.type, trainer.labels.device.type, trainer.total.device.type} == {"cuda"}
    assert trainer.precision == "bf16"


@pytest.mark.parametrize("teacher", ["", "bundled"])
def test_a_training_step_never_waits_for_the_device(config, no_waiting, teacher):
    if teacher:
        config = replace(config, teacher=teacher, **like_teacher(checkpoint.load(checkpoint.find(teacher))))
    trainer = Trainer(config)
    x0, labels = torch.zeros(50, 1, 28, 28, device="cuda"), torch.arange(50, device="cuda") % 10
    trainer.train_step(x0, labels)
    torch.cuda.set_sync_debug_mode("error")
    trainer.train_step(x0, labels)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(config):
    whole = Trainer(replace(config, out="whole"))
    whole.run()
    first = Trainer(config)
    first.train_epoch()
    first.epoch, first.step = 1, 0
    first.save()
    resumed = Trainer(config)
    resumed.resume(saved_state(config))
    resumed.run()
    difference = (weights(resumed.denoiser) - weights(whole.denoiser)).abs().max()
    assert difference < 1e-3  # atomic additions on a GPU come in any order


def test_a_compiled_run_trains_and_saves_plain_weights(config):
    Trainer(replace(config, compile=True)).run()
    assert Pipeline.from_pretrained("run")([7], steps=2).images.shape == (1, 28, 28)


def test_the_gpu_draws_what_the_cpu_draws():
    wanted = Pipeline.from_pretrained(device="cpu")(range(10), steps=10, seed=3).images
    for precision in ("fp32", "bf16", "auto"):
        drawn = Pipeline.from_pretrained(device="cuda", precision=precision)(range(10), steps=10, seed=3).images
        assert (abs(drawn.astype(int) - wanted) > 16).mean() < 0.01, precision
