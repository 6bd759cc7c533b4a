"""Classifier-free guidance: its formula, its clip, and how often it runs the network."""

import pytest
import torch
from torch import Tensor

from diffusion.guidance import EVERYWHERE, evaluations, guided
from diffusion.scheduler import Scheduler

NULL = 10


class FakeDenoiser:
    """Guesses a constant picture per label, a tenth of it, and keeps what it was asked."""

    def __init__(self, scale: float = 0.1):
        self.scale = scale
        self.calls: list[tuple[Tensor, int, list[int]]] = []

    def null(self, labels: Tensor) -> Tensor:
        return torch.full_like(labels, NULL)

    def __call__(self, x: Tensor, i: int, labels: Tensor) -> Tensor:
        self.calls.append((x, i, labels.tolist()))
        return (self.scale * (labels - 5.0))[:, None, None, None].expand_as(x) + 0 * x


def noisy(batch: int) -> Tensor:
    return torch.randn(batch, 1, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("guidance", "labels"), [(1, [3, 7, 0]), (1.0, [3, 7, 0]), (0, [NULL] * 3), (0.0, [NULL] * 3)])
def test_no_guidance_runs_the_network_once_on_the_batch(guidance, labels):
    denoiser = FakeDenoiser()
    x = noisy(3)
    x0 = guided(denoiser, torch.tensor([3, 7, 0]), guidance)(x, 123)
    [(seen, i, seen_labels)] = denoiser.calls
    assert torch.equal(seen, x)
    assert (i, seen_labels) == (123, labels)
    torch.testing.assert_close(x0[:, 0, 0, 0], 0.1 * (torch.tensor(labels) - 5.0))


@pytest.mark.parametrize("guidance", [0.5, 2.0, 7.5, -1.0])
def test_guidance_runs_the_network_once_on_the_doubled_batch(guidance):
    denoiser = FakeDenoiser()
    x = noisy(3)
    guided(denoiser, torch.tensor([3, 7, 0]), guidance)(x, 123)
    [(seen, i, labels)] = denoiser.calls
    assert torch.equal(seen, torch.cat([x, x]))
    assert i == 123
    assert sorted(zip(seen[:, 0, 0, 0].tolist(), labels, strict=True)) == sorted(
        (value, label) for k, value in enumerate(x[:, 0, 0, 0].tolist()) for label in ([3, 7, 0][k], NULL)
    )


@pytest.mark.parametrize("guidance", [0, 0.5, 1, 1.5, 2, 4])
def test_the_formula_is_uncond_plus_w_times_the_difference(guidance):
    labels = torch.tensor([3, 7, 0])
    x0 = guided(FakeDenoiser(scale=0.01), labels, guidance)(noisy(3), 500)
    cond, uncond = 0.01 * (labels - 5.0), 0.01 * (NULL - 5.0)
    torch.testing.assert_close(x0, (uncond + guidance * (cond - uncond))[:, None, None, None].expand_as(x0))


@pytest.mark.parametrize("guidance", [0, 1, 2, 20])
def test_the_clip_comes_after_guidance(guidance):
    labels = torch.tensor([3, 7, 0])
    cond, uncond = 0.5 * (labels - 5.0), torch.tensor(0.5 * (NULL - 5.0))  # both partly beyond [-1, 1]
    x0 = guided(FakeDenoiser(scale=0.5), labels, guidance)(noisy(3), 500)
    wanted = (uncond + guidance * (cond - uncond)).clamp(-1, 1)
    torch.testing.assert_close(x0, wanted[:, None, None, None].expand_as(x0))


@pytest.mark.parametrize("special", [0, 1])
@torch.no_grad()
def test_the_quick_ways_are_limits_of_the_formula(special, make_denoiser):
    denoiser = make_denoiser(bounded=False)
    labels = torch.tensor([3, 7])
    x = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    exact, near = (guided(denoiser, labels, w)(x, 500) for w in (special, special + 1e-6))
    torch.testing.assert_close(exact, near, rtol=0, atol=1e-4)


@torch.no_grad()
def test_guidance_moves_a_real_denoiser(make_denoiser):
    denoiser = make_denoiser(bounded=False)
    labels = torch.tensor([3, 7])
    x = 0.1 * torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    pictures = [guided(denoiser, labels, w)(x, 100) for w in (0, 1, 3)]
    assert (pictures[0] - pictures[1]).abs().max() > 1e-3
    assert (pictures[1] - pictures[2]).abs().max() > 1e-3


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0])
def test_less_than_full_conditioning_knows_no_interval(guidance):
    labels, x = torch.tensor([3, 7, 0]), noisy(3)
    for i in (0, 300, 999):
        found, wanted = (guided(FakeDenoiser(), labels, guidance, where)(x, i) for where in ((200, 500), EVERYWHERE))
        assert torch.equal(found, wanted)


def test_guidance_is_off_outside_its_interval_and_the_second_evaluation_is_spared():
    denoiser = FakeDenoiser(scale=0.01)
    labels = torch.tensor([3, 7, 0])
    x = noisy(3)
    interval = guided(denoiser, labels, 4.0, (200, 700))
    for i in (0, 199, 200, 450, 700, 701, 999):
        wanted = guided(FakeDenoiser(scale=0.01), labels, 4.0 if 200 <= i <= 700 else 1.0)(x, i)
        assert torch.equal(interval(x, i), wanted)
    assert [len(seen) for seen, _, _ in denoiser.calls] == [3, 3, 6, 6, 6, 3, 3]


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("interval", [EVERYWHERE, (200, 700), (999, 999), (0, 0)])
def test_evaluations_are_counted_as_they_are_made(guidance, interval):
    for steps in (1, 7, 50):
        denoiser = FakeDenoiser()
        denoise = guided(denoiser, torch.tensor([3]), guidance, interval)
        indices = Scheduler("flow").indices(steps)
        for i in indices:
            denoise(noisy(1), i)
        made = sum(len(seen) for seen, _, _ in denoiser.calls)
        assert evaluations(guidance, interval, indices) == made
