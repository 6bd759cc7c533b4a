"""Training: averages and schedules by hand, whole runs on 60 digits, and all that may go wrong on the way."""

import contextlib
import gzip
import itertools
import json
import math
import os
import pickle
import re
import signal
import subprocess
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from machines import ENVIRONMENT, fail, torchrun, two_machines
from PIL import Image
from torch import Tensor, nn

from diffusion import BadInput, Pipeline, Recipe, checkpoint
from diffusion.data import DATASETS, to_float
from diffusion.denoiser import Denoiser, FewStep
from diffusion.files import render
from diffusion.hub import push as hub
from diffusion.networks.unet import UNet
from diffusion.scheduler import T
from diffusion.team import Team
from diffusion.training.config import PRESETS, TrainConfig
from diffusion.training.folder import alone, prepare, saved_config, saved_state
from diffusion.training.optimizers import EMA, PowerEMA, learning_rate_factor, optimizers_of
from diffusion.training.trainer import Trainer
from train import main, parse

ROOT = Path(__file__).parents[2]
STEPS = 6  # an epoch: 60 digits, 10 at a time


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def signal_handlers():
    kept = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield
    for name, handler in kept.items():
        signal.signal(name, handler)


@pytest.fixture
def digits(digits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Six of each are enough here."""
    images, labels = digits
    return images[::5], labels[::5]


@pytest.fixture
def config(mnist_folder: Path) -> TrainConfig:
    """A run of one short epoch with a tiny network, in the current folder."""
    shape = {"channels": (8, 8), "blocks": 1, "attention": (), "embedding": 16, "stem": 2, "precision": "fp32"}
    return TrainConfig(data="data", out="run", epochs=1, batch_size=10, learning_rate=0.01, warmup=2, **shape)


@pytest.fixture
def quiet(monkeypatch) -> None:
    """Runs without what takes most of a tiny run's time: the pictures after each epoch, and how fast it could be."""
    monkeypatch.setattr("diffusion.training.folder.show", lambda *_: None)
    monkeypatch.setattr("diffusion.training.trainer.matrix_rate", lambda *_: 1e11)


def flags(config: TrainConfig, **changes: object) -> list[str]:
    """The command line of a config."""
    arguments = []
    for name, value in (asdict(config) | changes).items():
        flag = name.replace("_", "-")
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            arguments.append(f"--{flag}={text}")
    return arguments


def weights(module: nn.Module) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in module.state_dict().values()])


def optimizers(unet: UNet, config: TrainConfig) -> list[torch.optim.Optimizer]:
    settings = ("optimizer", "learning_rate", "beta2", "weight_decay")
    return optimizers_of(unet, **{name: getattr(config, name) for name in settings})


class TestPowerEMA:
    def test_the_average_is_as_long_as_it_is_named(self):
        """The standard deviation of the steps, as it weighs them, is that share of the run."""
        for length in (0.05, 0.1, 0.2):
            ema, kept = PowerEMA(nn.Linear(1, 1), length), torch.zeros(2000, dtype=torch.float64)
            for step in range(2000):
                decay = ema.decay_now()
                kept *= decay
                kept[step] = 1 - decay
                ema.updates += 1
            steps = torch.arange(2000.0) / 2000
            mean = (kept * steps).sum()
            assert kept.sum() == pytest.approx(1)
            assert (kept * (steps - mean) ** 2).sum().sqrt() == pytest.approx(length, rel=0.02)


class TestEMA:
    @pytest.mark.parametrize("decay", [0.0, 0.2, 0.5, 0.999])
    def test_parameters_are_averaged_with_a_decay_that_warms_up(self, decay):
        model = nn.Linear(3, 2)
        ema = EMA(model, decay)
        wanted = model.weight.detach().clone()
        for n in range(30):
            nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(n))
            ema.update(model)
            d = min(decay, (1 + n) / (10 + n))
            wanted = d * wanted + (1 - d) * model.weight.detach()
            torch.testing.assert_close(ema.model.weight, wanted)

    def test_buffers_are_copied(self):
        model = nn.BatchNorm1d(4)
        ema = EMA(model, 0.999)
        for n in range(3):
            model(torch.randn(8, 4, generator=torch.Generator().manual_seed(n)))
            ema.update(model)
            for mine, other in zip(ema.model.buffers(), model.buffers(), strict=True):
                assert torch.equal(mine, other)
        assert ema.model.num_batches_tracked == 3

    def test_it_is_a_copy_that_neither_trains_nor_follows_by_itself(self):
        model = nn.Linear(3, 2)
        ema = EMA(model, 0.999)
        before = ema.model.weight.clone()
        nn.init.zeros_(model.weight)
        assert torch.equal(ema.model.weight, before)
        assert not ema.model.training
        assert not any(parameter.requires_grad for parameter in ema.model.parameters())

    def test_its_state_goes_on_where_it_was(self):
        model, other = nn.Linear(3, 2), nn.Linear(3, 2)
        first, second = EMA(model, 0.999), EMA(other, 0.999)
        for _ in range(5):
            first.update(other)
        second.load_state_dict(first.state_dict())
        for ema in (first, second):
            ema.update(model)
        assert torch.equal(first.model.weight, second.model.weight)


@pytest.mark.parametrize(("decay", "end"), [("cosine", 0), ("exponential", 0.1), ("constant", 1)])
def test_every_decay_ends_where_it_should(decay, end):
    factors = [learning_rate_factor(step, 10, 110, decay) for step in range(111)]
    assert factors[10] == 1
    assert factors[110] == pytest.approx(end)
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_the_exponential_decay_falls_by_the_same_factor_every_step():
    factors = [learning_rate_factor(step, 0, 100, "exponential") for step in range(101)]
    assert [b / a for a, b in itertools.pairwise(factors)] == pytest.approx([0.1**0.01] * 100)


def test_the_learning_rate_rises_in_a_line_and_falls_along_a_cosine():
    factors = [learning_rate_factor(step, warmup=10, total=110) for step in range(111)]
    assert factors[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert factors[10:] == pytest.approx([0.5 * (1 + math.cos(math.pi * k / 100)) for k in range(101)])
    assert (max(factors), factors[110]) == (1, pytest.approx(0))


@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (0, 100), (100, 10), (10, 10)])
def test_the_learning_rate_stays_between_0_and_1(warmup, total):
    factors = [learning_rate_factor(step, warmup, total) for step in range(200)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0


class TestCommandLine:
    def test_its_defaults_are_those_of_the_config(self):
        assert parse([])[0] == TrainConfig()

    def test_each_data_set_has_a_folder_and_a_model_of_its_own(self):
        config, _ = parse(["--dataset", "cifar10"])
        assert config.out == "runs/cifar10"
        model = config.denoiser()
        assert (model.unet.image_channels, model.unet.image_size, model.names[3]) == (3, 32, "cat")

    def test_every_field_is_a_flag(self, config):
        other = replace(
            config, channels=(8, 16), attention=(0, 1), stem=1, schedule="cosine", prediction="v", bounded=False, seed=7
        )
        assert parse(flags(other))[0] == other

    def test_every_field_has_a_help_text(self, capsys):
        with pytest.raises(SystemExit) as stopped:
            parse(["--help"])
        assert stopped.value.code == 0
        shown = " ".join(capsys.readouterr().out.split())
        for field in fields(TrainConfig):
            flag = "--" + field.name.replace("_", "-")
            assert re.search(
                rf"{flag}( [A-Z0-9]+(, --recipe PRESET)?|, --no-{flag[2:]}) \w[^()]{{5,}}.*? \(default: ", shown
            ), flag

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--bounded=maybe"],
            ["--colour", "red"],
            ["--epochs"],
            ["mnist"],
        ],
        ids=" ".join,
    )
    def test_a_line_that_cannot_be_parsed_exits_with_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        shown = capsys.readouterr().err
        assert "error: " in shown
        assert "Traceback" not in shown
        assert "_whole_numbers" not in shown  # names of functions help nobody

    @pytest.mark.parametrize(
        ("flag", "value"),
        [
            ("epochs", "0"),
            ("epochs", "many"),
            ("epochs", "1.5"),
            ("learning-rate", "fast"),
            ("channels", "wide"),
            ("channels", "8;16"),
            ("batch-size", "0"),
            ("optimizer", "sgd"),
            ("learning-rate", "-1"),
            ("learning-rate", "nan"),
            ("learning-rate", "inf"),
            ("warmup", "-1"),
            ("weight-decay", "-0.1"),
            ("clip", "0"),
            ("ema", "1.5"),
            ("beta2", "1"),
            ("min-snr", "-1"),
            ("loss-of", "score"),
            ("decay", "linear"),
            ("precision", "fp8"),
            ("preset", "worst"),
            ("dataset", "imagenet"),
            ("label-dropout", "1"),
            ("level-spread", "-1"),
            ("seed", "-1"),
            ("seed", str(2**32)),
            ("channels", "7"),
            ("channels", ""),
            ("channels", "-8"),
            ("blocks", "0"),
            ("attention", "3"),
            ("embedding", "15"),
            ("stem", "3"),
            ("schedule", "sigmoid"),
            ("prediction", "score"),
            ("prediction", "eps"),  # on the default schedule, flow
        ],
    )
    def test_values_out_of_range_are_refused_in_a_sentence(self, flag, value, refuses):
        with refuses(flag.replace("-", "_"), SystemExit):
            main([f"--{flag}={value}"])

    def test_a_run_ends_with_its_upload_where_it_is_asked_for(self, config, monkeypatch, capsys):
        monkeypatch.setattr(Trainer, "run", lambda self, tell: None)
        pushed = []
        monkeypatch.setattr(hub, "check_push", lambda repo, tag: pushed.append(repo))
        monkeypatch.setattr(hub, "push", lambda folder, repo, **how: f"https://example.org/{repo} {how}")
        main([*flags(config), "--push-to-hub", "user/repo", "--private", "--tag", "v1"])
        assert pushed == ["user/repo"]
        assert "https://example.org/user/repo {'private': True, 'tag': 'v1'}" in capsys.readouterr().out

    @pytest.mark.training
    def test_a_run_that_is_done_is_uploaded_from_any_machine(self, config, quiet, monkeypatch, capsys):
        main(flags(config))
        state = torch.load("run/state.pt", weights_only=True)
        torch.save(state | {"device": "cuda"}, "run/state.pt")
        Path("data").rename("elsewhere")
        monkeypatch.setattr(hub, "check_push", lambda repo, tag: None)
        monkeypatch.setattr(hub, "push", lambda folder, repo, **how: f"https://example.org/{repo} from {folder}")
        main(["--resume", "--out", "run", "--push-to-hub", "user/repo"])
        assert "https://example.org/user/repo from run" in capsys.readouterr().out

    def test_a_push_that_cannot_be_is_refused_before_the_training(self, config, monkeypatch, refuses):
        def refuse(repo: str, tag: str) -> None:
            raise BadInput("Log in first.")

        monkeypatch.setattr(hub, "check_push", refuse)
        monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained"))
        with refuses("Log in first", SystemExit):
            main([*flags(config), "--push-to-hub", "user/repo"])

    @pytest.mark.parametrize("arguments", [["--private"], ["--tag", "v1"]], ids=" ".join)
    def test_flags_of_a_push_need_one(self, arguments, refuses):
        with refuses("belong to --push-to-hub", SystemExit):
            main(arguments)

    def test_the_weights_of_a_loss_need_that_loss(self, refuses):
        with refuses("set loss_of to prediction", SystemExit):
            main(["--min-snr", "5", "--loss-of", "velocity"])

    def test_missing_data_is_told(self, config, monkeypatch, refuses):
        def download(self) -> None:
            raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried https://example.org")

        monkeypatch.setattr("torchvision.datasets.MNIST.download", download)
        with refuses("MNIST is not in elsewhere", SystemExit):
            main(flags(config, data="elsewhere"))


class TestRecipes:
    def test_the_default_is_the_best(self):
        assert parse(["--preset", "best"])[0] == parse([])[0]

    @pytest.mark.parametrize("name", PRESETS)
    def test_a_preset_makes_a_config_that_flags_change_further(self, name):
        config, _ = parse(["--preset", name])
        assert config.preset == name
        assert all(getattr(config, field) == value for field, value in PRESETS[name].items())
        assert parse(["--preset", name, "--epochs", "3"])[0] == replace(config, epochs=3)

    def test_the_classic_ones_are_of_the_size_they_are_known_for(self):
        linear = Denoiser(parse(["--preset", "ddpm-linear"])[0].denoiser())
        assert sum(p.numel() for p in linear.parameters()) == pytest.approx(6.1e6, rel=0.05)
        cosine = parse(["--preset", "ddpm-cosine"])[0]
        assert (cosine.channels[0], cosine.embedding, cosine.epochs) == (64, 128, 5)

    @pytest.mark.training
    @pytest.mark.parametrize("name", PRESETS)
    def test_every_preset_takes_a_step(self, config, name):
        small = {
            "channels": (8, 8),
            "blocks": 1,
            "attention": (),
            "embedding": 16,
            "precision": "fp32",
            "batch_size": 10,
        }
        wanted = replace(parse(["--preset", name])[0], data="data", **small)
        if wanted.teacher:
            wanted = replace(wanted, teacher="teacher.safetensors", style=False)
            checkpoint.save(Denoiser(wanted.denoiser()), "teacher.safetensors")
        trainer = Trainer(wanted)
        loss = trainer.train_step(torch.zeros(4, 1, 28, 28), torch.arange(4))
        assert loss.isfinite()


@pytest.mark.training
class TestRun:
    def test_epochs_leave_weights_state_pictures_and_metrics(self, config, capsys):
        main(flags(config, epochs=2))
        assert {path.name for path in Path("run").iterdir()} == {
            "model.safetensors",
            "state.pt",
            "digits-001.png",
            "digits-002.png",
            "training.gif",
            "loss.png",
            "config.json",
            "metrics.jsonl",
        }
        [_, line] = Path("run/metrics.jsonl").read_text().splitlines()
        entry = json.loads(line)
        assert entry["epoch"] == 2
        assert all(math.isfinite(value) and value >= 0 for value in entry.values())
        for name in ("digits-001.png", "loss.png", "training.gif"):
            with Image.open(f"run/{name}") as picture:
                assert np.ptp(np.asarray(picture)) > 0
        first, second = (Recipe.from_file(f"run/digits-00{k}.png") for k in (1, 2))
        assert first == second  # from the same noise
        drawn = render.grid(Pipeline.from_pretrained("run", device="cpu").run(second).result().images, 10, scale=2)
        with Image.open("run/digits-002.png") as picture:  # by the weights that are kept, in half precision
            assert np.abs(np.asarray(picture).astype(int) - drawn).mean() < 0.5
        with Image.open("run/training.gif") as gif, Image.open("run/digits-002.png") as last:
            assert gif.n_frames == 2
            gif.seek(1)
            difference = np.asarray(gif.convert("L")).astype(int) - np.asarray(last.convert("L"))
        assert np.abs(difference).max() <= 2
        out = capsys.readouterr().out
        assert "60 images" in out
        assert re.search(r"[1-9][\d,]* images/s, \d+% of the matrix rate in fp32", out)

    def test_its_weights_are_the_averaged_ones_and_draw(self, config, quiet):
        trainer = Trainer(config)
        trainer.run()
        loaded = checkpoint.load("run/model.safetensors")
        assert loaded.config == config.denoiser()
        torch.testing.assert_close(weights(loaded), weights(trainer.ema.model), rtol=1e-3, atol=1e-6)
        assert (weights(loaded) - weights(trainer.denoiser)).abs().max() > 1e-3
        assert Pipeline.from_pretrained("run", device="cpu")([7], steps=2).images.shape == (1, 28, 28)

    def test_training_images_are_learnt_and_test_images_held_out(self, config, monkeypatch):
        split = {
            True: torch.full((60, 28, 28), 7, dtype=torch.uint8),
            False: torch.full((60, 28, 28), 9, dtype=torch.uint8),
        }
        monkeypatch.setattr("diffusion.data.load", lambda *_, train: (split[train], torch.zeros(60, dtype=torch.int64)))
        trainer = Trainer(config)
        assert torch.equal(trainer.images, split[True])
        assert torch.equal(trainer.held_out[0], split[False])

    def test_the_loss_falls(self, config, quiet):
        trainer = Trainer(replace(config, epochs=5))
        trainer.run()
        for name in ("loss", "held_out_loss"):
            losses = [entry[name] for entry in trainer.history]
            assert len(losses) == 5
            assert losses[-1] < 0.7 * losses[0], name
        assert [entry["epoch"] for entry in trainer.history] == [1, 2, 3, 4, 5]

    def test_the_same_seed_trains_the_same_weights(self, config, quiet):
        found = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            trainer = Trainer(replace(config, out=name, seed=seed))
            trainer.run()
            found.append(weights(trainer.denoiser))
        assert torch.equal(found[0], found[1])
        assert not torch.equal(found[0], found[2])

    @pytest.mark.parametrize(
        "change",
        [
            {"schedule": "linear", "prediction": "eps", "bounded": False, "decay": "exponential", "warmup": 0},
            {"schedule": "cosine", "prediction": "v", "level_spread": 0.0, "decay": "constant", "ema": 0.0},
            {"prediction": "x0", "loss_of": "velocity", "attention": (1,), "label_dropout": 0.0, "optimizer": "adamw"},
            {"min_snr": 5.0, "beta2": 0.999, "weight_decay": 0.0, "precision": "bf16"},
            {"precision": "auto"},
        ],
        ids=str,
    )
    def test_every_kind_of_model_trains(self, config, quiet, change):
        trainer = Trainer(replace(config, **change))
        before = weights(trainer.denoiser)
        trainer.run()
        assert math.isfinite(trainer.history[0]["loss"])
        assert not torch.equal(weights(trainer.denoiser), before)

    def test_muon_takes_the_inner_convolutions_and_adamw_the_rest(self, config):
        unet = UNet(replace(config, attention=(1,)).denoiser().unet)
        groups = [
            {id(p) for group in optimizer.param_groups for p in group["params"]}
            for optimizer in optimizers(unet, config)
        ]
        names = [{name for name, parameter in unet.named_parameters() if id(parameter) in group} for group in groups]
        kernels = {f"{name}.weight" for name, module in unet.named_modules() if isinstance(module, nn.Conv2d)}
        assert names[1] == kernels - {"stem.weight", "head.2.weight"}
        assert names[0] == {name for name, _ in unet.named_parameters()} - names[1]

    def test_adamw_alone_takes_everything(self, config):
        unet = UNet(config.denoiser().unet)
        (adamw,) = optimizers(unet, replace(config, optimizer="adamw"))
        assert [id(p) for group in adamw.param_groups for p in group["params"]] == [id(p) for p in unet.parameters()]

    def test_what_the_config_says_reaches_the_optimizers_and_the_average(self, config):
        trainer = Trainer(replace(config, weight_decay=0.3, beta2=0.5, ema=0.0, min_snr=5.0))
        adamw, muon = (optimizer.param_groups[0] for optimizer in trainer.optimizers)
        assert (adamw["weight_decay"], muon["weight_decay"], adamw["betas"]) == (0.3, 0.3, (0.9, 0.5))
        assert trainer.objective.min_snr == 5
        trainer.train_step(torch.zeros(10, 1, 28, 28), torch.arange(10))
        assert torch.equal(weights(trainer.ema.model), weights(trainer.denoiser))  # after the step, not before it

    def test_the_average_of_a_student_takes_its_half_jumps(self, config, quiet):
        main(flags(config))
        trainer = Trainer(replace(config, out="student", teacher="run"))
        average, teacher = trainer.objective.fixed
        assert average is trainer.ema.model
        assert torch.equal(weights(teacher), weights(checkpoint.load("run/model.safetensors")))

    def test_both_optimizers_follow_the_learning_rate(self, config):
        trainer = Trainer(replace(config, learning_rate=0.01, warmup=4))
        for done in (1, 2, 3):
            rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
            assert rates == pytest.approx([0.01 * done / 4, 0.04 * done / 4])
            trainer.train_step(torch.zeros(10, 1, 28, 28), torch.arange(10))

    @pytest.mark.parametrize("clip", [1e-3, 1e6])
    def test_the_gradient_is_clipped_to_its_norm(self, config, clip):
        trainer = Trainer(replace(config, clip=clip))
        gradients = []

        def keep(*_: object) -> None:
            gradients.append(torch.cat([p.grad.flatten() for p in trainer.denoiser.parameters()]))

        trainer.optimizers[0].register_step_pre_hook(keep)
        trainer.train_step(torch.full((10, 1, 28, 28), 0.5), torch.arange(10))
        norm = gradients[0].norm().item()
        assert norm == pytest.approx(1e-3, rel=1e-2) if clip == 1e-3 else norm > 0.01

    def test_an_epoch_shows_every_digit_once_with_its_label(self, config, monkeypatch):
        trainer = Trainer(config)
        seen = []
        monkeypatch.setattr(trainer, "train_step", lambda *batch: seen.extend(pairs(*batch)) or torch.zeros(()))

        def pairs(x0: Tensor, labels: Tensor) -> list[tuple[bytes, int]]:
            return [(image.numpy().tobytes(), int(label)) for image, label in zip(x0, labels, strict=True)]

        trainer.train_epoch()
        trainer.step = 0
        trainer.train_epoch()
        first, second = seen[:60], seen[60:]
        assert first != second
        assert sorted(first) == sorted(second) == sorted(pairs(to_float(trainer.images), trainer.conditions))

    def test_colour_images_are_learnt_and_shown_too(self, config, monkeypatch):
        images = torch.randint(256, (60, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        monkeypatch.setattr("diffusion.data.load", lambda *_, train: (images, torch.arange(60) % 10))
        main(flags(config, dataset="cifar10", epochs=2, batch_size=30))
        for name in ("digits-002.png", "training.gif"):
            with Image.open(f"run/{name}") as picture:
                assert picture.convert("RGB").size == (2 * (10 * 34 - 2), 2 * (5 * 34 - 2))
        assert checkpoint.load("run/model.safetensors").config.names[0] == "airplane"

    @pytest.mark.parametrize("size", [0, 61])
    def test_a_batch_larger_than_the_data_is_refused(self, config, refuses, size):
        with refuses("batch", SystemExit):
            main(flags(config, batch_size=size))

    @pytest.mark.parametrize(
        "error",
        [
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\n..."),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        ],
        ids=["GPU", "CPU"],
    )
    def test_a_full_memory_is_told(self, config, monkeypatch, error):
        def fail(self, tell) -> None:
            raise error

        monkeypatch.setattr(Trainer, "run", fail)
        with pytest.raises(SystemExit, match="smaller --batch-size"):
            main(flags(config))

    def test_a_compiled_run_trains_and_saves_plain_weights(self, config, quiet, monkeypatch):
        compiled = []
        monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
        main(flags(config, compile=True))
        assert compiled == ["UNet"]
        assert checkpoint.load("run/model.safetensors").config == config.denoiser()

    def test_a_machine_that_cannot_compile_is_told(self, config, monkeypatch):
        monkeypatch.setenv("CXX", "/bin/false")
        monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/bin/false"))
        with pytest.raises(SystemExit, match=r"could not be compiled \(.*compiler.*\): leave --compile out\.$"):
            main(flags(config, compile=True, channels=(8,), stem=4))

    def test_a_run_can_start_from_trained_weights(self, config, quiet, refuses):
        main(flags(config))
        trainer = Trainer(replace(config, out="second", init="run"))
        trainer.start_from_init()
        first = checkpoint.load("run/model.safetensors")
        assert torch.equal(weights(trainer.denoiser), weights(first))
        assert torch.equal(weights(trainer.ema.model), weights(first))
        with refuses("another shape", SystemExit):
            main(flags(config, out="third", init="run", channels=(8, 16)))
        with refuses("nowhere", SystemExit):
            main(flags(config, out="fourth", init="nowhere.safetensors"))
        main(flags(config, out="fifth", init="run"))
        Path("run").rename("moved")
        main(["--resume", "--out", "fifth", "--epochs", "2"])  # all it needs is in its own state

    def test_a_run_can_start_from_weights_that_predict_something_else(self, config, quiet):
        main(flags(config))
        trainer = Trainer(replace(config, out="second", prediction="x0", init="run"))
        trainer.start_from_init()
        first, mine = checkpoint.load("run/model.safetensors").unet, trainer.denoiser.unet
        assert torch.equal(mine.up[0].conv1.weight, first.up[0].conv1.weight)
        assert first.head[-1].weight.any()
        assert not mine.head[-1].weight.any()  # what it said meant something else
        assert not mine.head[-1].bias.any()
        assert torch.equal(weights(trainer.ema.model), weights(trainer.denoiser))

    def test_a_run_that_learns_styles_starts_from_weights_that_know_none_and_resumes(self, config, quiet):
        main(flags(config))
        first = checkpoint.load("run/model.safetensors")
        styled = replace(config, out="second", init="run", style=True, black=True, averages=(0.05, 0.2))
        trainer = Trainer(styled)
        trainer.start_from_init()
        x = torch.randn(2, 1, 28, 28)
        asked = trainer.conditions[:2]
        for condition in (asked, asked[:, 0].long(), trainer.denoiser.null(asked)):  # none of it has an effect yet
            labels = condition if condition.ndim == 1 else condition[:, 0].long()
            assert torch.equal(trainer.denoiser(x, 50, condition), first(x, 50, labels))

        main(flags(styled, epochs=2, out="whole", decay="constant"))
        main(flags(styled, decay="constant"))
        assert parse(["--resume", "--out", "second"])[0].style
        main(["--resume", "--out", "second", "--epochs", "2"])
        files = ("model", "average-0.05", "average-0.2")
        models = [checkpoint.load(f"second/{name}.safetensors") for name in files]
        for name, model in zip(files, models, strict=True):
            assert torch.equal(weights(model), weights(checkpoint.load(f"whole/{name}.safetensors")))
        assert not torch.equal(weights(models[1]), weights(models[2]))
        thin, thick = (models[0](x, 50, torch.tensor([[7, width, 0.1, 12.0]] * 2)) for width in (1.5, 3.0))
        assert not torch.equal(thin, thick)
        assert np.load("data/mnist-train-style.npz")["style"].shape == (60, 3)

        main(flags(config, preset="few-step", teacher="second", out="student", style=True, black=True))
        assert checkpoint.load("student/model.safetensors").config.styles == models[0].config.styles

    def test_styles_are_hidden_whole_and_one_by_one_and_with_the_label(self, config):
        trainer = Trainer(replace(config, style=True))
        hidden = trainer.hidden(torch.tensor([[3, 2.0, 0.1, 12.0]]).repeat(20_000, 1))
        no_label, absent = hidden[:, 0] == 10, hidden[:, 1:].isnan()
        assert no_label.float().mean() == pytest.approx(0.1, abs=0.01)
        assert absent[no_label].all()
        told = absent[~no_label]
        assert told.all(1).float().mean() == pytest.approx(0.3 + 0.7 * 0.3**3, abs=0.02)
        assert (~told).all(1).float().mean() == pytest.approx(0.7 * 0.7**3, abs=0.02)

    def test_a_run_from_before_there_were_styles_resumes(self, config, quiet):
        main(flags(config))
        new = ("style", "black", "style_dropout", "averages")
        saved = json.loads(Path("run/config.json").read_text())
        Path("run/config.json").write_text(json.dumps({name: saved[name] for name in saved if name not in new}))
        state = torch.load("run/state.pt")
        del state["averages"]
        state["config"] = {name: value for name, value in state["config"].items() if name not in new}
        torch.save(state, "run/state.pt")
        main(["--resume", "--out", "run", "--epochs", "2"])
        assert saved_config("run")["epochs"] == 2

    def test_a_student_of_few_steps_learns_from_a_teacher(self, config, monkeypatch, refuses):
        main(flags(config))
        main(flags(config, out="student", preset="few-step", teacher="run"))
        student = checkpoint.load("student/model.safetensors")
        assert student.config == replace(checkpoint.load("run/model.safetensors").config, few_step=FewStep())
        metrics = json.loads(Path("student/metrics.jsonl").read_text())
        assert 0 < metrics["held_out_loss"] < 1
        with refuses("leave init out", SystemExit):
            main(flags(config, out="other", teacher="run", init="run"))
        with refuses("like its teacher, but run has another channels", SystemExit):
            main(flags(config, out="other", teacher="run", channels=(8, 16)))
        with refuses("leave min_snr and level_spread out", SystemExit):
            main(flags(config, out="other", teacher="run", level_spread=1.0))
        with refuses("name its teacher", SystemExit):
            main(flags(config, out="other", preset="few-step", teacher=""))
        with refuses("choose another teacher, or leave prediction out", SystemExit):
            main(flags(config, out="other", teacher="run", prediction="x0"))
        with refuses("or leave bounded out", SystemExit):
            main(flags(config, out="other", teacher="run", bounded=False))
        with monkeypatch.context() as other:
            other.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], names=tuple("abcdefghij")))
            with refuses("draws other things than mnist", SystemExit):
                main(flags(config, out="other", teacher="run"))
            unet = replace(config.denoiser().unet, image_channels=3)
            checkpoint.save(Denoiser(replace(config.denoiser(), unet=unet)), "colour.safetensors")
            with refuses("colour.safetensors draws other images than mnist: choose another teacher", SystemExit):
                main(flags(config, out="other", teacher="colour.safetensors"))
        with refuses("student of few steps itself", SystemExit):
            main(flags(config, out="other", teacher="student"))
        Path("run").rename("moved")
        with refuses("no checkpoint at run", SystemExit):
            main(["--resume", "--out", "student", "--epochs", "2"])
        main(flags(config, out="second", seed=1))
        with refuses("has no teacher: leave teacher out", SystemExit):
            main(["--resume", "--out", "second", "--epochs", "2", "--teacher", "moved"])
        with refuses("name its own teacher", SystemExit):
            main(["--resume", "--out", "student", "--epochs", "2", "--teacher", "second"])
        main(["--resume", "--out", "student", "--epochs", "2", "--teacher", "moved"])
        assert len(Path("student/metrics.jsonl").read_text().splitlines()) == 2

    def test_a_student_is_like_its_teacher_unless_told_otherwise(self, config, refuses):
        like = replace(config, channels=(8, 16, 24), blocks=2, attention=(0, 2), embedding=32, stem=1)
        like = replace(like, schedule="cosine", prediction="v", bounded=False)
        checkpoint.save(Denoiser(like.denoiser()), "teacher.safetensors")
        student, _ = parse(["--teacher", "teacher.safetensors"])
        assert student.denoiser() == like.denoiser()
        assert (student.preset, student.loss_of, student.epochs) == ("few-step", "velocity", 6)
        bundled, _ = parse(["--preset", "few-step"])
        theirs = checkpoint.load(checkpoint.find("bundled")).config
        assert (bundled.denoiser(), bundled.style) == (replace(theirs, styles=None), theirs.styles is not None)
        assert parse(["--teacher", "teacher.safetensors", "--prediction", "eps"])[0].prediction == "eps"
        with refuses("no checkpoint at nowhere", SystemExit):
            main(["--teacher", "nowhere.safetensors"])

    def test_out_that_cannot_be_written_is_told(self, config, refuses):
        Path("file").write_text("in the way")
        with refuses("Cannot write", SystemExit):
            main(flags(config, out="file/run"))

    def test_a_full_disk_is_told_and_leaves_the_last_state(self, config, quiet, monkeypatch, refuses):
        trainer = Trainer(replace(config, epochs=2))
        trainer.run()
        before = Path("run/state.pt").read_bytes()

        def fail(state: object, path: Path) -> None:
            Path(path).write_bytes(b"half")
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 907776 vs 907664")

        monkeypatch.setattr(torch, "save", fail)
        with refuses("Cannot write"):
            trainer.save()
        assert Path("run/state.pt").read_bytes() == before
        assert not list(Path("run").glob(".*"))


class TestDraws:
    @pytest.mark.parametrize("loss_of", ["prediction", "velocity"])
    @pytest.mark.parametrize("teacher", ["", "run"])
    def test_the_loss_is_of_what_the_config_says(self, config, quiet, monkeypatch, loss_of, teacher):
        if teacher:
            main(flags(config))
        seen = []
        monkeypatch.setattr(Denoiser, "loss", lambda self, x0, *_, **how: seen.append(how["loss_of"]) or 0 * x0.sum())
        trainer = Trainer(replace(config, out="second", teacher=teacher, loss_of=loss_of))
        trainer.objective(
            torch.zeros(4, 1, 28, 28),
            torch.arange(4),
            *trainer.objective.draw(torch.zeros(4, 1, 28, 28), trainer.random),
        )
        assert seen == [loss_of]

    @pytest.mark.parametrize("options", [{"min_snr": 5.0}, {"loss_of": "velocity"}])
    def test_the_loss_never_waits_for_what_a_gpu_works_out(self, config, options):
        trainer = Trainer(replace(config, **options))
        x0, labels = torch.zeros(4, 1, 28, 28), torch.arange(4)
        parts = [part.to("meta") for part in (x0, labels, *trainer.objective.draw(x0, trainer.random))]
        trainer.objective.to("meta")(*parts).backward()  # without values: who asks for one gets an error

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
    def test_a_share_of_the_labels_is_hidden_each_on_its_own(self, config, monkeypatch, share):
        trainer = Trainer(replace(config, label_dropout=share))
        seen = []

        def loss(x0: Tensor, labels: Tensor, levels: Tensor, eps: Tensor, loss_of: str, min_snr: float) -> Tensor:
            seen.append(labels)
            return 0 * next(trainer.denoiser.parameters()).sum()

        monkeypatch.setattr(trainer.denoiser, "loss", loss)
        labels = torch.arange(4000) % 10
        for _ in range(5):
            trainer.train_step(torch.zeros(4000, 1, 1, 1), labels)
        hidden = torch.stack(seen) == 10
        assert hidden.float().mean(dim=1).tolist() == pytest.approx([share] * 5, abs=0.02)
        assert torch.equal(torch.stack(seen)[~hidden], labels.expand(5, -1)[~hidden])
        together = (hidden[:, 1:] & hidden[:, :-1]).float().mean()
        assert together.item() == pytest.approx(share**2, abs=0.02 * share)  # neighbours do not know of each other
        assert not (share and torch.equal(hidden[0], hidden[1]))

    @pytest.mark.parametrize("spread", [0.0, 0.5, 1.5, 10.0])
    def test_levels_follow_their_distribution(self, config, spread):
        trainer = Trainer(replace(config, level_spread=spread))
        levels, eps = trainer.objective.draw(torch.zeros(40_000, 1, 1, 1), trainer.random)
        assert levels.dtype == torch.int64
        assert 0 <= levels.min() <= levels.max() <= T - 1
        t = torch.arange(1, T) / T  # the share of levels below level t * T is known
        wanted = torch.special.ndtr(torch.logit(t) / spread) if spread else t
        found = torch.bincount(levels, minlength=T).cumsum(0)[:-1] / len(levels)
        assert (found - wanted).abs().max() < 0.012
        assert eps.mean().item() == pytest.approx(0, abs=0.02)
        assert eps.std().item() == pytest.approx(1, abs=0.02)

    def test_uniform_levels_reach_both_ends(self, config):
        trainer = Trainer(replace(config, level_spread=0.0))
        levels, _ = trainer.objective.draw(torch.zeros(40_000, 1, 1, 1), trainer.random)
        assert (levels.min(), levels.max()) == (0, T - 1)

    def test_the_held_out_loss_is_the_same_each_time(self, config):
        trainer = Trainer(config)
        before = trainer.held_out_loss()
        nn.init.ones_(trainer.denoiser.unet.head[-1].bias)
        assert trainer.held_out_loss() == before  # that of the averaged weights


@pytest.mark.training
class TestStopAndResume:
    @staticmethod
    def signal_at(monkeypatch, step: int, number: int = signal.SIGTERM) -> None:
        """The process gets a signal in the run's step of that number."""
        train_step, steps = Trainer.train_step, itertools.count(1)

        def signalled(self, *batch: Tensor) -> Tensor:
            if next(steps) == step:
                os.kill(os.getpid(), number)
            return train_step(self, *batch)

        monkeypatch.setattr(Trainer, "train_step", signalled)

    @staticmethod
    def stop_after(trainer: Trainer, monkeypatch, steps: int) -> None:
        train_step, taken = trainer.train_step, itertools.count(1)

        def counted(*batch: Tensor) -> Tensor:
            trainer.stopping = next(taken) >= steps
            return train_step(*batch)

        monkeypatch.setattr(trainer, "train_step", counted)

    @pytest.mark.parametrize(
        ("stopped_at", "optimizer"),
        [(STEPS - 1, "adamw"), (STEPS, "muon"), (STEPS + 1, "muon"), (2 * STEPS, "muon")],
    )
    def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
        self, config, quiet, monkeypatch, stopped_at, optimizer
    ):
        config = replace(config, epochs=2, optimizer=optimizer)
        whole = Trainer(replace(config, out="whole"))
        whole.run()

        interrupted = Trainer(config)
        self.stop_after(interrupted, monkeypatch, stopped_at)
        interrupted.run()
        assert (interrupted.epoch, interrupted.step) == divmod(stopped_at, STEPS)

        resumed = Trainer(config)
        resumed.resume(saved_state(config))
        assert (resumed.epoch, resumed.step) == divmod(stopped_at, STEPS)
        resumed.run()
        assert torch.equal(weights(resumed.denoiser), weights(whole.denoiser))
        assert torch.equal(weights(resumed.ema.model), weights(whole.ema.model))
        assert [entry["loss"] for entry in resumed.history] == [entry["loss"] for entry in whole.history]
        assert [entry["learning_rate"] for entry in resumed.history] == [e["learning_rate"] for e in whole.history]
        first, second = (Path(out, "model.safetensors").read_bytes() for out in ("run", "whole"))
        assert first == second

    def test_a_stop_between_two_epochs_can_be_resumed_too(self, config, quiet, monkeypatch):
        whole = Trainer(replace(config, epochs=2, out="whole"))
        whole.run()
        interrupted = Trainer(replace(config, epochs=2))
        train_epoch = interrupted.train_epoch

        def signalled() -> float:
            interrupted.stopping = interrupted.epoch == 1  # after it was asked, and before the first step
            return train_epoch()

        monkeypatch.setattr(interrupted, "train_epoch", signalled)
        interrupted.run()
        resumed = Trainer(replace(config, epochs=2))
        resumed.resume(saved_state(resumed.config))
        resumed.run()
        assert torch.equal(weights(resumed.denoiser), weights(whole.denoiser))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
    def test_a_signal_stops_the_run_with_a_word_on_how_to_go_on(self, config, quiet, monkeypatch, refuses, number):
        self.signal_at(monkeypatch, STEPS + 1, number)
        with refuses("Stopped and saved in run: go on with --resume", SystemExit):
            main(flags(config, epochs=2))
        assert checkpoint.load("run/model.safetensors").config == config.denoiser()
        main([*flags(config, epochs=2), "--resume"])

    def test_a_run_that_is_under_way_is_left_alone(self, config, quiet, refuses):
        main(flags(config))
        before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
        under_way = "run holds a run already, which is under way: wait for its end, or choose another out folder"
        with alone(config):
            for again in ([], ["--resume"]):
                with refuses(under_way, SystemExit):
                    main([*flags(config, epochs=2), *again])
        assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before
        main([*flags(config, epochs=2), "--resume"])

    def test_a_run_is_not_overwritten_by_another(self, config, quiet, refuses):
        main(flags(config))
        before = Path("run/model.safetensors").read_bytes()
        with refuses("run holds a run already: resume it, or choose another out folder", SystemExit):
            main(flags(config, seed=1))
        assert Path("run/model.safetensors").read_bytes() == before
        Path("run/state.pt").unlink()
        with refuses("run holds weights already: choose another out folder", SystemExit):
            main(flags(config, init="run"))
        assert Path("run/model.safetensors").read_bytes() == before

    def test_a_finished_run_says_so_on_any_machine(self, config, quiet, capsys):
        main(flags(config, epochs=2))
        before = {path: path.read_bytes() for path in Path("run").iterdir()}
        Path("data").rename("elsewhere")
        for epochs in (2, 1):
            capsys.readouterr()
            main([*flags(config, epochs=epochs), "--resume"])
            printed = capsys.readouterr().out
            assert printed.startswith(
                "All epochs of the run in run are done, 2 in number: add --epochs 3 or more to train on"
            )
        assert {path: path.read_bytes() for path in Path("run").iterdir()} == before

    def test_a_run_whose_preset_is_called_recipe_as_it_was_once_is_resumed(self, config, quiet):
        assert parse(["--recipe", "flow"])[0] == parse(["--preset", "flow"])[0]
        main(flags(config, preset="flow"))

        def as_before(saved: dict[str, object]) -> dict[str, object]:
            return {"recipe" if name == "preset" else name: value for name, value in saved.items()}

        file = Path("run/config.json")
        file.write_text(json.dumps(as_before(json.loads(file.read_text()))))
        state = torch.load("run/state.pt", weights_only=True)
        torch.save(state | {"config": as_before(state["config"])}, "run/state.pt")
        main(["--resume", "--out", "run", "--epochs", "2"])
        assert saved_state(replace(config, preset="flow", epochs=2))["epoch"] == 2
        assert json.loads(file.read_text())["preset"] == "flow"

    def test_an_epoch_is_saved_before_it_is_told(self, config):
        def tell(line: str) -> None:
            assert line.startswith("loss ")
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            Trainer(replace(config, epochs=2)).run(tell)
        assert saved_state(replace(config, epochs=2))["epoch"] == 1
        assert {path.name for path in Path("run").iterdir()} > {"metrics.jsonl", "digits-001.png", "loss.png"}

    def test_a_run_may_resume_from_another_place(self, config, quiet):
        main(flags(config))
        Path("run").rename("moved")
        Path("data").rename("digits")
        main([*flags(config, out="moved", data="digits", epochs=2), "--resume"])

    def test_a_run_resumes_with_its_own_flags(self, config, quiet):
        main(flags(config, epochs=2))
        state, config_file = Path("run/state.pt").read_bytes(), Path("run/config.json").read_bytes()
        resumed, _ = parse(["--resume", "--out", "run"])
        assert resumed == replace(config, epochs=2)
        main(["--resume", "--out", "run"])
        assert Path("run/config.json").read_bytes() == config_file
        assert Path("run/state.pt").read_bytes() == state

    @pytest.mark.parametrize("decay", ["cosine", "exponential", "constant"])
    def test_a_longer_run_goes_on_along_the_longer_curve(self, config, quiet, decay):
        Trainer(replace(config, decay=decay)).run()
        longer = Trainer(replace(config, decay=decay, epochs=2))
        longer.resume(saved_state(longer.config))
        factor = learning_rate_factor(STEPS, config.warmup, 2 * STEPS, decay)
        rates = [optimizer.param_groups[0]["lr"] for optimizer in longer.optimizers]
        assert rates == pytest.approx([0.01 * factor, 0.04 * factor])

    def test_a_run_may_be_lengthened(self, config, quiet):
        main(flags(config, decay="constant"))
        main(["--resume", "--out", "run", "--epochs", "2"])
        main(flags(config, decay="constant", out="long", epochs=2))
        assert parse(["--resume", "--out", "run"])[0].epochs == 2
        short, long = (checkpoint.load(f"{out}/model.safetensors") for out in ("run", "long"))
        assert torch.equal(weights(short), weights(long))

    def test_a_config_that_is_none_is_told(self, config, refuses):
        prepare(config)
        for text, sentence in (
            ("", "damaged"),
            ("[1]", "damaged"),
            ("{}x", "damaged"),
            ('{"size": 3}', "another version"),
            ('{"epochs": 3}', "another version"),
        ):
            Path("run/config.json").write_text(text)
            with refuses(sentence, SystemExit):
                main(["--resume", "--out", "run"])

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_a_config_is_read_as_an_editor_saved_it(self, config, encoding):
        prepare(config)
        path = Path(config.out) / "config.json"
        path.write_text(path.read_text(), encoding)
        assert TrainConfig(**saved_config(config.out)) == config

    def test_without_a_run_there_is_nothing_to_resume(self, config, refuses):
        with refuses("There is no run to resume in run", SystemExit):
            main([*flags(config), "--resume"])

    def test_other_data_and_another_kind_of_device_are_refused(self, config, quiet, refuses):
        main(flags(config))
        state = torch.load("run/state.pt", weights_only=True)
        torch.save(state | {"order": torch.arange(7)}, "run/state.pt")
        with refuses("data holds other images", SystemExit):
            main(["--resume", "--out", "run", "--epochs", "2"])
        torch.save(state | {"device": "cuda"}, "run/state.pt")
        with refuses("begun on a cuda: resume it on one", SystemExit):
            main(["--resume", "--out", "run", "--epochs", "2"])

    def test_a_stop_before_the_first_step_can_be_resumed_too(self, config, quiet, monkeypatch, refuses):
        with monkeypatch.context() as early:
            early.setattr(
                "diffusion.training.trainer.matrix_rate", lambda *_: os.kill(os.getpid(), signal.SIGTERM) or 1e9
            )
            with refuses("Stopped and saved", SystemExit):
                main(flags(config))
        main(["--resume", "--out", "run"])
        assert torch.load("run/state.pt", weights_only=True)["epoch"] == 1

    def test_signals_mean_what_they_meant_once_the_training_is_done(self, config, quiet, monkeypatch):
        before = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
        main(flags(config))
        assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == before

    def test_other_flags_are_refused_by_name(self, config, refuses):
        main(flags(config))
        with refuses("batch_size and learning_rate", SystemExit):
            main([*flags(config, learning_rate=0.02, batch_size=12), "--resume"])
        with refuses("channels", SystemExit):
            main([*flags(config, channels=(8, 16)), "--resume"])
        with refuses("preset", SystemExit):
            main(["--preset", "ddpm-cosine", "--out", "run", "--resume"])

    def test_a_damaged_state_is_told(self, config, refuses):
        prepare(config)
        Trainer(config).save()
        path = Path("run/state.pt")
        state = path.read_bytes()
        cut = [state[: len(state) // 2], state[:-10]]
        pickles = [pickle.dumps({"config": {}}), pickle.dumps(Path("of a class that no state has"))]
        for damaged in (b"", b"just text", *cut, *pickles):
            path.write_bytes(damaged)
            with refuses("state.pt is damaged", SystemExit):
                main([*flags(config), "--resume"])

    @pytest.mark.parametrize(
        ("place", "error", "sentence"),
        [
            (
                "torch.load",
                PermissionError(13, "Permission denied", "run/state.pt"),
                "Permission denied. Choose another",
            ),
            ("torch.load", MemoryError(), "The memory is full"),
            ("diffusion.training.trainer.EMA.load_state_dict", MemoryError(), "The memory is full"),
        ],
        ids=["unreadable", "memory while reading", "memory while taking over"],
    )
    def test_a_state_that_is_not_to_blame_is_not_called_damaged(
        self, config, refuses, monkeypatch, place, error, sentence
    ):
        prepare(config)
        Trainer(config).save()

        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(place, fail)
        with refuses(sentence, SystemExit):
            main([*flags(config), "--resume"])

    def test_a_state_with_a_part_missing_is_told(self, config, refuses):
        prepare(config)
        trainer = Trainer(config)
        trainer.save()
        state = torch.load("run/state.pt")
        for missing in sorted(state.keys() - {"config"}):
            with refuses("state.pt is damaged"):
                trainer.resume({name: part for name, part in state.items() if name != missing})
        for missing in ("config", "ema"):
            torch.save({name: part for name, part in state.items() if name != missing}, "run/state.pt")
            with refuses("state.pt is damaged", SystemExit):
                main([*flags(config), "--resume"])

    def test_a_state_of_something_else_is_told(self, config, refuses):
        prepare(config)
        for state in ([], {}, {"config": None}, {"config": {}}, torch.zeros(3)):
            torch.save(state, "run/state.pt")
            with refuses("", SystemExit):
                main([*flags(config), "--resume"])


@pytest.mark.training
class TestDivergence:
    @staticmethod
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path("run").iterdir()}

    @pytest.fixture
    def trained(self, config) -> Trainer:
        """A run of three epochs after its first."""
        trainer = Trainer(replace(config, epochs=3))
        trainer.config = replace(config, epochs=1)
        trainer.run()
        trainer.config = replace(config, epochs=3)
        return trainer

    @pytest.mark.parametrize("after", [STEPS - 1, STEPS])
    def test_weights_gone_wrong_stop_the_run_and_leave_the_last_good_checkpoint(
        self, trained, after, monkeypatch, refuses
    ):
        before = self.files()
        train_step, taken = trained.train_step, itertools.count(1)

        def poison() -> None:
            next(trained.denoiser.parameters()).detach().fill_(torch.nan)
            trained.ema.update(trained.denoiser)

        def poisoned(*batch: Tensor) -> Tensor:
            loss = train_step(*batch)
            if next(taken) == after:
                poison()
            return loss

        monkeypatch.setattr(trained, "train_step", poisoned)
        with refuses("no longer finite in epoch 2"):
            trained.run()
        assert self.files() == before
        assert checkpoint.load("run/model.safetensors").config == trained.config.denoiser()

    def test_whoever_sees_it_first_stops_the_whole_team(self, trained, monkeypatch, refuses):
        flags_of_all = []
        monkeypatch.setattr(Team, "any", lambda _, flag: flags_of_all.append(flag) or flag)
        monkeypatch.setattr("time.perf_counter", itertools.count(step=2).__next__)  # it looks after every step
        monkeypatch.setattr(trained, "train_step", lambda *_: torch.tensor(torch.nan))
        with refuses("no longer finite in epoch 2"):
            trained.run()
        assert flags_of_all == [False, True]

    def test_an_absurd_learning_rate_stops_the_run(self, trained, refuses):
        before = self.files()
        for decay in trained.decays:
            decay.base_lrs = [1e30]
        with refuses("learning_rate"):
            trained.run()
        assert self.files() == before

    def test_a_run_that_diverges_at_once_promises_no_checkpoint(self, config, refuses, monkeypatch):
        trainer = Trainer(config)
        monkeypatch.setattr(trainer, "train_step", lambda *_: torch.tensor(torch.nan))
        with refuses("no longer finite in epoch 1") as caught:
            trainer.run()
        assert "The checkpoint of" not in str(caught.value)
        assert not Path("run/model.safetensors").exists()


@pytest.mark.training
def test_training_is_reproducible_in_its_own_random_streams(config, quiet):
    state = torch.get_rng_state()
    trainer = Trainer(config)
    torch.manual_seed(123)  # someone else draws in between
    trainer.run()
    torch.set_rng_state(state)
    again = Trainer(replace(config, out="again"))
    again.run()
    assert torch.equal(weights(again.denoiser), weights(trainer.denoiser))


@pytest.mark.process
class TestTeam:
    """Several processes, one batch: what torchrun starts."""

    def two_machines(self, config, mnist_folder):
        """A run on two machines. Each has a folder of its own, where the data are still to be unpacked."""
        for rank in range(2):
            raw = Path(f"machine-{rank}/data/MNIST/raw")
            raw.mkdir(parents=True)
            for file in (mnist_folder / "MNIST/raw").iterdir():
                (raw / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        return two_machines([str(ROOT / "train.py"), *flags(config)], "machine-0", "machine-1")

    def test_two_machines_train_what_one_process_trains_and_either_resumes_the_other(self, config, quiet, mnist_folder):
        config = replace(config, epochs=2, ema=0.5)
        alone = Trainer(config)
        alone.run()
        with self.two_machines(config, mnist_folder) as machines:
            said = [machine.communicate(timeout=240)[0] for machine in machines]
        assert [machine.returncode for machine in machines] == [0, 0], said
        assert not Path("machine-1/run").exists()  # one of them writes
        assert len(list(Path("machine-1/data/MNIST/raw").glob("*-ubyte"))) == 4

        team = torch.load("machine-0/run/state.pt", weights_only=True)
        assert [entry["loss"] for entry in team["history"]] == pytest.approx(
            [e["loss"] for e in alone.history], rel=1e-3
        )
        start = weights(Trainer(config).denoiser)
        for mine, theirs in ((alone.denoiser, team["denoiser"]), (alone.ema.model, team["ema"]["model"])):
            found = torch.cat([tensor.flatten() for tensor in theirs.values()])
            # Sums in another order differ in the last bit, which Adam enlarges where a gradient is nearly zero.
            assert (found - weights(mine)).norm() < 0.05 * (weights(mine) - start).norm()
        assert Path("machine-0/run/training.gif").exists()

        longer = replace(config, out="machine-0/run", epochs=3)
        main([*flags(longer), "--resume"])
        assert torch.load("machine-0/run/state.pt", weights_only=True)["epoch"] == 3

    def test_when_a_machine_fails_the_other_ends_in_a_sentence(self, config, mnist_folder):
        with self.two_machines(replace(config, epochs=1000), mnist_folder) as machines:
            deadline = time.monotonic() + 120
            while not Path("machine-0/run/metrics.jsonl").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            assert Path("machine-0/run/metrics.jsonl").exists()
            fail(machines[1])
            said = machines[0].communicate(timeout=120)[0]
        assert "train.py: Another process of this run has ended or cannot be reached" in said
        assert "RuntimeError" not in said

    def test_a_team_stops_at_a_signal_and_is_saved(self, config):
        Path("run").mkdir()
        with Path("run/log").open("w+") as log:
            epochs = 1000  # an end, should nobody stop it
            command = [*torchrun(2), str(ROOT / "train.py"), *flags(config, epochs=epochs)]
            team = subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
            try:
                deadline = time.monotonic() + 120
                while not Path("run/metrics.jsonl").exists() and time.monotonic() < deadline:
                    time.sleep(0.1)
                team.send_signal(signal.SIGINT)
                team.wait(90)
            finally:
                with contextlib.suppress(ProcessLookupError):  # all have ended
                    os.killpg(team.pid, signal.SIGKILL)
        assert "Stopped and saved in run: go on with --resume" in Path("run/log").read_text()
        before = len(Path("run/metrics.jsonl").read_text().splitlines())
        main(["--resume", "--out", "run", "--epochs", str(before + 1)])
        assert torch.load("run/state.pt", weights_only=True)["epoch"] == before + 1


def test_a_batch_that_a_team_cannot_share_is_refused_in_a_sentence(config, refuses, monkeypatch):
    monkeypatch.setattr(Team, "wait", lambda self: None)
    monkeypatch.setattr(Team, "agree", lambda self, choice: choice)
    with refuses("multiple of the 2 process(es)"):
        Trainer(replace(config, batch_size=49), Team(0, 2, torch.device("cpu")))
