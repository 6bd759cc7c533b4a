"""Runs of the course's presets at a tiny width: their figures, their settings, and the mean digit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from diffusion import Pipeline
from diffusion.data import to_float
from diffusion.training.config import PRESETS, TrainConfig
from diffusion.training.folder import prepare, saved_config, saved_state
from diffusion.training.optimizers import learning_rate_factor, optimizers_of
from diffusion.training.trainer import Trainer
from train import parse

KINDS = [name for name in PRESETS if name.startswith("course")]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("diffusion.training.trainer.matrix_rate", lambda *_: 1e11)
    monkeypatch.chdir(tmp_path)


def config(preset: str, **changes: object) -> TrainConfig:
    small = {"preset": preset, "width": 4, "batch_size": 50, "precision": "fp32", "out": "run", "data": "data"}
    return TrainConfig(**PRESETS[preset] | small | changes)


def test_the_settings_are_the_published_ones():
    one = {"width": 128, "batch_size": 256, "learning_rate": 1e-4, "decay": "constant", "epochs": 5}
    flow = {"width": 64, "batch_size": 64, "learning_rate": 1e-2, "decay": "staircase", "epochs": 10}
    for preset in KINDS:
        settings, _ = parse(["--preset", preset])
        published = {"optimizer": "adamw", "weight_decay": 0, "beta2": 0.999, "ema": 0, "level_spread": 0, "warmup": 0}
        for name, value in ((flow if "flow" in preset else one) | published).items():
            assert getattr(settings, name) == value, (preset, name)
    plain, _ = parse(["--preset=course-flow-class", "--decay=constant", "--learning-rate=1e-4", "--weight-decay=1e-4"])
    assert (plain.decay, plain.learning_rate, plain.label_dropout) == ("constant", 1e-4, 0.1)
    network = torch.nn.Linear(2, 2)
    [adamw] = optimizers_of(network, optimizer="adamw", learning_rate=1e-4, beta2=0.999, weight_decay=1e-4)
    assert type(adamw) is torch.optim.AdamW
    assert adamw.defaults["weight_decay"] == 1e-4


def test_the_staircase_is_the_course_s_exponential_decay():
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters(), 1.0)
    theirs = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.1 ** (1 / 10))
    optimizer.step()
    for epoch in range(10):
        for step in (0, 6):
            ours = learning_rate_factor(7 * epoch + step, 0, 70, "staircase", 7)
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
        theirs.step()


@pytest.mark.training
@pytest.mark.parametrize("preset", KINDS)
def test_a_run_leaves_the_figures_of_the_course_and_can_be_resumed(preset, mnist_folder):
    first = config(preset, epochs=1, batch_size=100)
    Trainer(first).run()
    trainer = Trainer(replace(first, epochs=2))
    trainer.resume(saved_state(first))
    trainer.run()
    assert len(trainer.losses) == 6
    wanted = {
        "course-denoiser": {"noising.png", "out-of-distribution.png", "results-001.png", "results-002.png"},
        "course-pure-noise": {"results-001.png", "results-002.png"},
    }.get(preset, {"digits-001.png", "digits-002.png"})
    found = {path.name for path in Path("run").glob("*.png")}
    assert found == wanted | {"loss.png", "loss-steps.png"}
    if "flow" in preset:  # four of each digit
        with Image.open("run/digits-001.png") as picture:
            assert picture.size == (2 * (10 * 30 - 2), 2 * (4 * 30 - 2))
    assert Pipeline.from_pretrained("run").offer.knows_labels == (preset == "course-flow-class")


def test_a_run_from_before_there_were_course_networks_goes_on(mnist_folder, monkeypatch):
    monkeypatch.setattr("diffusion.training.folder.show", lambda *_: None)
    shape = {"channels": (8,), "blocks": 1, "attention": (), "embedding": 16, "stem": 4, "precision": "fp32"}
    run = TrainConfig(data="data", out="run", epochs=1, batch_size=100, **shape)
    prepare(run)
    Trainer(run).run()
    file = Path("run/config.json")
    since = ("network", "width", "condition", "level")
    file.write_text(
        json.dumps({name: value for name, value in json.loads(file.read_text()).items() if name not in since})
    )
    state = torch.load("run/state.pt", weights_only=True)
    for name in since:
        del state["config"][name]
    del state["losses"]
    torch.save(state, "run/state.pt")
    longer = TrainConfig(**saved_config("run") | {"epochs": 2})
    trainer = Trainer(longer)
    trainer.resume(saved_state(longer))
    trainer.run()
    assert (trainer.epoch, len(trainer.losses)) == (2, 3)


@pytest.mark.training
def test_from_pure_noise_it_learns_the_mean_digit(mnist_folder, digits, monkeypatch):
    """The best guess of an image that nothing is seen of is the mean of all: in closed form, of the training images."""
    for figures in ("course", "folder"):
        monkeypatch.setattr(f"diffusion.training.{figures}.show", lambda *_: None)
    run = config("course-pure-noise", learning_rate=2e-2, decay="exponential", epochs=20)
    Trainer(run).run()
    pipe = Pipeline.from_pretrained("run", device="cpu")
    drawn = to_float(torch.from_numpy(pipe([0] * 20).images))
    images = to_float(digits[0])
    mean = images.mean(0)
    spread = (images - mean).square().mean().sqrt()
    error = (drawn - mean).square().mean().sqrt()
    assert error < 0.15 * spread
    assert (mean.max() - mean.min()) > 5 * error  # it is no grey


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dataset": "cifar10"}, "grey images of 28 x 28"),
        ({"optimizer": "muon"}, "optimizer adamw"),
        ({"condition": "none"}, "choose a level"),
        ({"width": 0}, "width"),
        ({"network": "unet", "level": 499}, "level is for the course's networks"),
        ({"schedule": "cosine"}, "The course's networks predict"),
    ],
    ids=str,
)
def test_what_a_course_network_cannot_do_is_refused(changes, text, refuses):
    with refuses(text):
        config("course-flow-class", **changes)
