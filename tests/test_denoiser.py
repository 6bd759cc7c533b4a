"""What a prediction means: conversions there and back, the loss by hand, and the bounded loss's one exception."""

import json
from dataclasses import asdict
from itertools import product

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import diffusion.denoiser
from diffusion import checkpoint
from diffusion.data import DATASETS
from diffusion.denoiser import PREDICTIONS, DenoiserConfig, predicted_x0, target
from diffusion.networks.unet import UNetConfig
from diffusion.scheduler import SCHEDULES, Scheduler, T

PAIRS = [(p, s) for p, s in product(PREDICTIONS, SCHEDULES) if (p, s) != ("eps", "flow")]
CIFAR = DATASETS["cifar10"].names
LEVELS = [0, 1, 10, 500, 998, 999]

every_pair = pytest.mark.parametrize(("prediction", "schedule"), PAIRS)


def coefficients(schedule: str, i: int) -> tuple[Tensor, Tensor]:
    scheduler = Scheduler(schedule)
    return scheduler.alpha[i], scheduler.sigma[i]


def clean_and_noise(seed: int = 0, batch: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    shape = (batch, 1, 28, 28)
    return torch.rand(shape, generator=random).double() * 2 - 1, torch.randn(shape, generator=random).double()


def allowed(prediction: str, alpha: Tensor, sigma: Tensor) -> float:
    """The rounding error that a level's own division leaves: large where that level hardly shows what is asked."""
    divisor = {"eps": alpha, "x0": sigma, "v": alpha**2 + sigma**2, "flow": alpha + sigma}[prediction]
    return 1e-14 / min(1, float(divisor))


class Says(nn.Module):
    """A network that always predicts the same."""

    def __init__(self, prediction: Tensor):
        super().__init__()
        self.prediction = nn.Parameter(prediction.float())

    def forward(self, x: Tensor, i: Tensor, labels: Tensor) -> Tensor:
        return self.prediction


class Counted(nn.Module):
    """A network that keeps the size of each batch it sees."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.batches: list[int] = []

    def forward(self, x: Tensor, i: Tensor, labels: Tensor) -> Tensor:
        self.batches.append(len(x))
        return self.network(x, i, labels)


@every_pair
def test_a_target_gives_back_the_image(prediction, schedule):
    x0, eps = clean_and_noise()
    for i in LEVELS:
        alpha, sigma = coefficients(schedule, i)
        x = alpha * x0 + sigma * eps
        p = target(prediction, x0, eps, alpha, sigma)
        tolerance = {"rtol": 0, "atol": 2 * allowed(prediction, alpha, sigma)}
        torch.testing.assert_close(predicted_x0(prediction, x, p, alpha, sigma), x0, **tolerance)


def test_targets_are_those_of_the_papers():
    x0, eps = clean_and_noise()
    alpha, sigma = coefficients("linear", 300)
    for prediction, wanted in {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0, "flow": eps - x0}.items():
        torch.testing.assert_close(target(prediction, x0, eps, alpha, sigma), wanted, rtol=0, atol=1e-15)


@every_pair
def test_all_predictions_tell_the_same(prediction, schedule):
    guess, x = clean_and_noise(1)
    for i in (0, 500, 998):
        alpha, sigma = coefficients(schedule, i)
        eps = (x - alpha * guess) / sigma
        p = target(prediction, guess, eps, alpha, sigma)
        x0 = predicted_x0(prediction, x, p, alpha, sigma)
        for other, other_schedule in PAIRS:
            if other_schedule == schedule:
                same = target(other, x0, eps, alpha, sigma)
                torch.testing.assert_close(predicted_x0(other, x, same, alpha, sigma), guess, rtol=0, atol=1e-9)


@every_pair
def test_a_perfect_network_gives_back_the_clean_image(prediction, schedule, make_denoiser):
    denoiser = make_denoiser(schedule=schedule, prediction=prediction)
    x0, eps = clean_and_noise()
    for i in LEVELS:
        alpha, sigma = coefficients(schedule, i)
        denoiser.unet = Says(target(prediction, x0, eps, alpha, sigma))
        found = denoiser((alpha * x0 + sigma * eps).float(), i, torch.tensor([1, 2, 3]))
        tolerance = max(2e-6, 4e-7 * max(1, float(sigma)) / float(alpha)) if i < 999 else 0.02
        torch.testing.assert_close(found, x0.float(), rtol=0, atol=tolerance, msg=lambda why, i=i: f"level {i}: {why}")


@every_pair
def test_the_loss_is_the_mean_squared_error(prediction, schedule, make_denoiser):
    denoiser = make_denoiser(schedule=schedule, prediction=prediction, bounded=False)
    x0, eps = (tensor.float() for tensor in clean_and_noise())
    levels, labels = torch.tensor([3, 500, 999]), torch.tensor([0, 9, 10])
    wanted = 0.0
    for k, i in enumerate(levels.tolist()):
        alpha, sigma = coefficients(schedule, i)
        x = (alpha * x0[k : k + 1] + sigma * eps[k : k + 1]).float()
        seen = x / (1 + sigma) if schedule == "additive" else x
        error = denoiser.unet(seen.float(), levels[k : k + 1], labels[k : k + 1]) - target(
            prediction, x0[k], eps[k], alpha, sigma
        )
        wanted += float(error.double().square().sum()) / x0.numel()
    assert denoiser.loss(x0, labels, levels, eps).item() == pytest.approx(wanted, rel=1e-4)


@every_pair
def test_the_loss_can_be_that_of_the_velocity(prediction, schedule, make_denoiser):
    denoiser = make_denoiser(schedule=schedule, prediction=prediction, bounded=False)
    (x0, eps), (guess, _) = clean_and_noise(), clean_and_noise(1)
    for i in LEVELS:
        alpha, sigma = coefficients(schedule, i)
        implied = (alpha * (x0 - guess) + sigma * eps) / sigma  # the noise that goes with the guess
        predicted = target(prediction, guess, implied, alpha, sigma)
        denoiser.unet = Says(predicted.float())
        error = (implied - guess) - (eps - x0)
        most = 20 * (predicted - target(prediction, x0, eps, alpha, sigma)).abs()
        wanted = torch.minimum(error.abs(), most).square().mean().item()
        loss = denoiser.loss(x0.float(), torch.tensor([1, 2, 3]), torch.full((3,), i), eps.float(), loss_of="velocity")
        assert loss.item() == pytest.approx(wanted, rel=1e-3), i


@every_pair
def test_the_loss_can_count_the_error_in_x0_as_the_snr_says(prediction, schedule, make_denoiser):
    denoiser = make_denoiser(schedule=schedule, prediction=prediction, bounded=False)
    (x0, eps), (guess, _) = clean_and_noise(), clean_and_noise(1)
    for i in (1, 500, 900):
        alpha, sigma = coefficients(schedule, i)
        implied = (alpha * (x0 - guess) + sigma * eps) / sigma  # the noise that goes with the guess
        denoiser.unet = Says(target(prediction, guess, implied, alpha, sigma).float())
        wanted = min(float(alpha / sigma) ** 2, 5.0) * (guess - x0).square().mean().item()
        loss = denoiser.loss(x0.float(), torch.tensor([1, 2, 3]), torch.full((3,), i), eps.float(), min_snr=5.0)
        assert loss.item() == pytest.approx(wanted, rel=1e-3), i


@every_pair
def test_overshooting_the_bound_is_free_and_nothing_else_is(prediction, schedule, make_denoiser):
    denoiser = make_denoiser(schedule=schedule, prediction=prediction, bounded=True)
    alpha, sigma = coefficients(schedule, 300)
    for truth, guess, costs in (
        (-1.0, -1.5, False),  # beyond black where the truth is black
        (1.0, 1.5, False),
        (-1.0, -0.5, True),  # not black enough
        (1.0, 0.5, True),
        (-1.0, 1.5, True),  # beyond the wrong bound
        (1.0, -1.5, True),
        (0.0, -1.5, True),  # the truth is not at a bound
        (-0.99, -1.5, True),
    ):
        x0, eps = torch.full((1, 1, 2, 2), truth), torch.full((1, 1, 2, 2), 0.3)
        implied = (alpha * x0 + sigma * eps - alpha * guess) / sigma  # the noise that goes with the guess
        p = target(prediction, torch.full_like(x0, guess), implied, alpha, sigma).float()
        wanted = (p - target(prediction, x0, eps, alpha, sigma)).square().mean()

        denoiser.unet = Says(p)
        of_velocity = denoiser.loss(x0, torch.tensor([1]), torch.tensor([300]), eps, loss_of="velocity")
        assert bool(of_velocity > 0) == costs, (truth, guess)
        loss = denoiser.loss(x0, torch.tensor([1]), torch.tensor([300]), eps)
        loss.backward()
        assert loss.item() == pytest.approx(wanted.item() if costs else 0.0, rel=1e-4), (truth, guess)
        assert bool(denoiser.unet.prediction.grad.any()) == costs, (truth, guess)


def test_the_bounded_loss_is_a_mean_over_all_pixels(make_denoiser):
    denoiser = make_denoiser(schedule="flow", prediction="x0", bounded=True)
    denoiser.unet = Says(torch.tensor([[-2.0, 0.5], [-1.0, 0.0]]).view(1, 1, 2, 2))
    x0 = torch.tensor([[-1.0, 1.0], [-1.0, 0.5]]).view(1, 1, 2, 2)
    loss = denoiser.loss(x0, torch.tensor([1]), torch.tensor([300]), torch.zeros_like(x0))
    assert loss.item() == pytest.approx((0 + 0.25 + 0 + 0.25) / 4)


@pytest.mark.parametrize(("bounded", "low", "high"), [(True, -1, 1), (False, -3, 3)])
def test_a_bounded_denoiser_clamps_its_guess(bounded, low, high, make_denoiser):
    denoiser = make_denoiser(schedule="flow", prediction="x0", bounded=bounded)
    denoiser.unet = Says(torch.linspace(-3, 3, 784).view(1, 1, 28, 28))
    x0 = denoiser(torch.zeros(1, 1, 28, 28), 500, torch.tensor([1]))
    assert (x0.min().item(), x0.max().item()) == (low, high)


def test_micro_batches_change_nothing(make_denoiser, monkeypatch):
    denoiser = make_denoiser(schedule="additive", prediction="v", bounded=False)  # which scales what it sees
    denoiser.unet = Counted(denoiser.unet)
    x = clean_and_noise(2, batch=7)[1].float()
    labels = torch.arange(7)
    whole = denoiser(x, 400, labels)
    alone = [denoiser(x[k : k + 1], 400, labels[k : k + 1]) for k in range(7)]
    monkeypatch.setattr(diffusion.denoiser, "MICRO_BATCH", 3)
    for same in (denoiser(x, 400, labels), torch.cat(alone)):
        torch.testing.assert_close(same, whole, rtol=0, atol=1e-4)
    assert denoiser.unet.batches == [7, *[1] * 7, 3, 3, 1]


def test_the_denoiser_sees_its_level_and_labels(tiny_denoiser):
    x = clean_and_noise(3)[1].float()
    labels = torch.tensor([1, 2, 3])
    base = tiny_denoiser(x, 400, labels)
    assert (tiny_denoiser(x, 401, labels) - base).abs().max() > 1e-4
    assert (tiny_denoiser(x, 400, labels + 1) - base).abs().amax(dim=(1, 2, 3)).min() > 1e-4


def test_a_loss_of_something_else_is_refused(tiny_denoiser, refuses):
    x0, eps = (tensor.float() for tensor in clean_and_noise(4, batch=2))
    with refuses("loss_of must be one of prediction, velocity, not 'score'."):
        tiny_denoiser.loss(x0, torch.tensor([0, 1]), torch.tensor([1, 2]), eps, loss_of="score")


def test_every_level_may_be_trained(tiny_denoiser):
    x0, eps = (tensor.float() for tensor in clean_and_noise(4, batch=2))
    for i in (0, T - 1):
        assert tiny_denoiser.loss(x0, torch.tensor([0, 10]), torch.tensor([i, i]), eps).isfinite()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"prediction": "eps", "schedule": "flow"}, "prediction eps"),
        ({"prediction": "score"}, "prediction"),
        ({"prediction": None}, "prediction"),
        ({"schedule": "sigmoid"}, "schedule"),
        ({"schedule": ["flow"]}, "schedule"),
        ({"names": "0123456789"}, "names must be a list"),
        ({"names": None}, "names must be a list"),
        ({"names": {"cat": 0}}, "names must be a list"),
        ({"names": ["cat", "dog"]}, "names must be one for each of the 10 classes, not 2"),
        ({"names": (*CIFAR[:9], "")}, "printable"),
        ({"names": (*CIFAR[:9], "  ")}, "printable"),
        ({"names": (*CIFAR[:9], "two\nlines")}, "printable"),
        ({"names": (*CIFAR[:9], "\x1b[31m")}, "printable"),
        ({"names": (*CIFAR[:9], "\ud800")}, "printable"),
        ({"names": (*CIFAR[:9], "x" * 41)}, "printable"),
        ({"names": (*CIFAR[:9], 9)}, "printable"),
        ({"names": list(range(10))}, "printable"),
    ],
    ids=str,
)
def test_configs_that_mean_nothing_are_refused(settings, text, refuses):
    with refuses(text):
        DenoiserConfig(**settings)


def test_classes_have_names():
    assert DenoiserConfig().names == tuple("0123456789")
    assert DenoiserConfig(UNetConfig(classes=3)).names == ("0", "1", "2")
    config = DenoiserConfig(names=list(CIFAR))
    assert config.names == CIFAR
    assert config == DenoiserConfig(names=CIFAR)
    assert hash(config) == hash(DenoiserConfig(names=CIFAR))
    assert DenoiserConfig(names=["x" * 40, "Straße", *CIFAR[2:]]).names[:2] == ("x" * 40, "Straße")


def test_names_come_back_from_a_checkpoint(make_denoiser, tmp_path):
    denoiser = make_denoiser(names=CIFAR)
    checkpoint.save(denoiser, tmp_path / "a.safetensors")
    assert checkpoint.load(tmp_path / "a.safetensors").config == denoiser.config


@pytest.mark.parametrize("classes", [10, 4])
def test_checkpoints_from_before_there_were_names_are_read(make_denoiser, tmp_path, classes):
    denoiser = make_denoiser(UNetConfig(channels=(8,), blocks=1, attention=(), embedding=16, stem=2, classes=classes))
    config = asdict(denoiser.config)
    del config["names"]
    weights = {name: tensor.contiguous() for name, tensor in denoiser.state_dict().items()}
    save_file(weights, tmp_path / "old.safetensors", metadata={"config": json.dumps(config)})
    assert checkpoint.load(tmp_path / "old.safetensors").config.names == tuple(map(str, range(classes)))


@pytest.mark.parametrize(
    "names", ["0123456789", None, {"cat": 0}, ["cat"], [["cat"]] * 10, [None] * 10, ["x" * 999] * 10]
)
def test_names_of_foreign_checkpoints_are_checked(make_denoiser, tmp_path, refuses, names):
    denoiser = make_denoiser()
    weights = {name: tensor.contiguous() for name, tensor in denoiser.state_dict().items()}
    config = json.dumps(asdict(denoiser.config) | {"names": names})
    save_file(weights, tmp_path / "a.safetensors", metadata={"config": config})
    with refuses("(names must be "):
        checkpoint.load(tmp_path / "a.safetensors")
