"""Noise levels: the tables against closed forms, and the path of every run from 1 to 1000 steps."""

import math
from itertools import pairwise

import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

from diffusion.scheduler import CLEAN, SCHEDULES, SPACINGS, Level, Scheduler, T

EVERY_COUNT = range(1, T + 1)


def coefficients(name: str, i: int) -> tuple[float, float]:
    level = Scheduler(name).level(i)
    assert level.index == i
    return level.alpha, level.sigma


@pytest.fixture(params=SCHEDULES)
def scheduler(request):
    return Scheduler(request.param)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_variance_is_preserved(name):
    scheduler = Scheduler(name)
    total = scheduler.alpha**2 + scheduler.sigma**2
    torch.testing.assert_close(total, torch.ones(T, dtype=torch.float64), rtol=0, atol=1e-12)


def test_flow_is_a_straight_line():
    scheduler = Scheduler("flow")
    torch.testing.assert_close(scheduler.alpha + scheduler.sigma, torch.ones(T, dtype=torch.float64), rtol=0, atol=0)
    for i in (0, 1, 499, 998, 999):
        assert coefficients("flow", i) == pytest.approx((1 - (i + 1) / 1000, (i + 1) / 1000), abs=1e-15)


def test_the_level_nearest_to_a_ratio_of_signal_to_noise(scheduler):
    for i in (0, 1, 499, 998, 999):
        level = scheduler.level(i)
        assert scheduler.nearest(level.alpha / level.sigma) == i
    assert scheduler.nearest(math.inf) == 0


def test_additive_noise_is_the_flow_over_its_alpha():
    scheduler, flow = Scheduler("additive"), Scheduler("flow")
    assert (scheduler.alpha == 1).all()
    torch.testing.assert_close(scheduler.sigma[:-1], (flow.sigma / flow.alpha)[:-1], rtol=0, atol=0)
    assert coefficients("additive", 499) == (1, 1)
    assert coefficients("additive", 999) == (1, pytest.approx(2 * 999))


@pytest.mark.parametrize(("name", "start"), [("linear", 1), ("cosine", 1), ("flow", 1), ("additive", 1998)])
def test_a_run_starts_with_as_much_noise_as_its_first_level_has(name, start):
    scheduler = Scheduler(name)
    assert scheduler.start == pytest.approx(start, rel=1e-12)
    assert scheduler.start == pytest.approx(float(scheduler.sigma[-1]), rel=1e-4)


def test_tables_are_float64_with_one_entry_per_level(scheduler):
    for table in (scheduler.alpha, scheduler.sigma):
        assert table.shape == (T,)
        assert table.dtype == torch.float64


@pytest.mark.parametrize("i", [0, 1, 10, 500, 999])
def test_linear_is_the_product_of_ddpm_s_betas(i):
    alpha_bar = math.prod(1 - (1e-4 + (0.02 - 1e-4) * j / 999) for j in range(i + 1))
    assert coefficients("linear", i) == pytest.approx((math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)), rel=1e-10)


@pytest.mark.parametrize("i", [0, 1, 10, 500, 998])
def test_cosine_is_a_squared_cosine(i):
    def f(t):
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    alpha_bar = f((i + 1) / 1000) / f(0)
    assert coefficients("cosine", i) == pytest.approx((math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)), rel=1e-9)


def test_the_last_beta_of_cosine_is_clipped():
    alpha = Scheduler("cosine").alpha
    assert float(1 - (alpha[-1] / alpha[-2]) ** 2) == pytest.approx(0.999, abs=1e-12)
    assert float(1 - (alpha[-2] / alpha[-3]) ** 2) < 0.999
    assert float(1 / alpha[-2]) == pytest.approx(642, abs=1)
    assert float(1 / alpha[-1]) == pytest.approx(20_291, abs=1)


@pytest.mark.parametrize(("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_tables_are_those_of_diffusers(name, theirs):
    alpha_bar = DDPMScheduler(beta_schedule=theirs).alphas_cumprod.double()
    torch.testing.assert_close(Scheduler(name).alpha ** 2, alpha_bar, rtol=5e-4, atol=0)  # theirs is float32


def test_signal_to_noise_only_falls(scheduler):
    snr = (scheduler.alpha / scheduler.sigma) ** 2
    assert (snr.diff() < 0).all()
    assert snr.isfinite().all()


def test_the_clean_image_lies_below_level_0(scheduler):
    assert scheduler.level(-1) == CLEAN == Level(-1, 1.0, 0.0)


def test_every_run_goes_strictly_down_from_the_last_level_to_the_clean_image(scheduler):
    for steps in (1, 2, 7, 333, 999, 1000):  # the indices alone are cheap: at every count, below
        levels = scheduler.levels(steps)
        indices = [level.index for level in levels]
        assert len(levels) == steps + 1
        assert indices[0] == T - 1
        assert all(now > then for now, then in pairwise(indices)), steps
        assert levels[-1] == CLEAN
        assert levels[0] == scheduler.level(T - 1)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_spacing_goes_strictly_down_from_the_last_level(scheduler, spacing):
    for steps in (*range(1, 40), *range(40, 950, 37), *range(970, T + 1)):  # levels clash where steps are many
        found = scheduler.indices(steps, spacing)
        assert len(found) == steps
        assert found[0] == T - 1
        assert found[-1] >= 0
        assert found == sorted(set(found), reverse=True), steps
        if steps == T:
            assert found == list(range(T))[::-1]


def test_equal_steps_in_log_snr(scheduler):
    """Between the bounds of EDM, and as equal as whole levels can be."""
    log_snr = (scheduler.alpha / scheduler.sigma).clamp(1 / 80, 1 / 0.002).log()
    path = [float(log_snr[i]) for i in scheduler.indices(8, "log-snr")]
    assert (path[0], path[-1]) == (log_snr[-1], log_snr[0])
    for k, found in enumerate(path):
        wanted = path[0] + k * (path[-1] - path[0]) / 7
        assert abs(found - wanted) == pytest.approx(float((log_snr - wanted).abs().min()), abs=1e-9)


def test_karras_levels_are_those_of_diffusers(scheduler):
    ratio = (scheduler.sigma / scheduler.alpha).clamp(0.002, 80)
    theirs = EDMEulerScheduler(sigma_min=float(ratio[0]), sigma_max=float(ratio[-1]), rho=7.0)
    theirs.set_timesteps(9)
    for index, wanted in zip(scheduler.indices(9, "karras")[1:], theirs.sigmas[1:-1].tolist(), strict=True):
        nearest = min(range(T), key=lambda i: abs(float(ratio[i]) ** (1 / 7) - wanted ** (1 / 7)))
        assert abs(index - nearest) <= 1  # theirs are float32


def test_shifted_levels_are_those_of_diffusers():
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    for steps in (1, 2, 4, 10, 50):
        theirs.set_timesteps(sigmas=[1 - k / steps for k in range(steps)])
        found = [level.sigma for level in Scheduler("flow").levels(steps, "shifted")]
        assert found == pytest.approx(theirs.sigmas.tolist(), abs=0.5 / T + 1e-6)


@pytest.mark.parametrize("spacing", ["even", "Trailing", "", None, 3, ["karras"]])
def test_unknown_spacings_are_refused(spacing, refuses):
    with refuses("spacing"):
        Scheduler("linear").levels(10, spacing)


def test_trailing_timesteps_are_those_of_diffusers():
    ours, theirs = Scheduler("linear"), DDPMScheduler(timestep_spacing="trailing")
    for steps in EVERY_COUNT:
        theirs.set_timesteps(steps)
        expected = theirs.timesteps[theirs.timesteps >= 0]  # some of their runs end in an extra step at -1
        found, halves = torch.tensor(ours.indices(steps)), 2 * T * torch.arange(steps)
        halfway = (halves % steps == 0) & (halves // steps % 2 == 1)  # where their rounding is arbitrary
        assert found.shape == expected.shape
        assert ((found - expected).abs() <= halfway).all(), steps


def test_add_noise_is_its_formula(scheduler):
    x0, eps = torch.randn(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    indices = torch.tensor([0, 1, 500, 998, 999])
    noisy = scheduler.add_noise(x0, eps, indices)
    for k, i in enumerate(indices.tolist()):
        alpha, sigma = coefficients(scheduler.name, i)
        torch.testing.assert_close(noisy[k], alpha * x0[k] + sigma * eps[k], rtol=0, atol=1e-6)


def test_add_noise_agrees_with_diffusers():
    x0, eps = torch.randn(2, T, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    indices = torch.arange(T)
    expected = DDPMScheduler(beta_schedule="linear").add_noise(x0, eps, indices)
    torch.testing.assert_close(Scheduler("linear").add_noise(x0, eps, indices), expected, rtol=0, atol=1e-5)


def test_coefficients_multiply_images(scheduler):
    indices = torch.tensor([3, 999])
    for found, table in zip(scheduler.coefficients(indices), (scheduler.alpha, scheduler.sigma), strict=True):
        assert found.shape == (2, 1, 1, 1)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.flatten(), table[indices].float(), rtol=0, atol=0)


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, None, "x", "20", math.nan, math.inf, -math.inf, True, [5]])
def test_impossible_step_counts_are_refused(steps, refuses):
    with refuses("steps"):
        Scheduler("linear").levels(steps)


@pytest.mark.parametrize("name", ["sigmoid", "", None, 3, ["linear"]])
def test_unknown_schedules_are_refused(name, refuses):
    with refuses("schedule"):
        Scheduler(name)
