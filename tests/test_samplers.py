"""Samplers against three judges: diffusers on the same levels, equations with a known solution, and the data itself."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise, product
from math import sqrt

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    IPNDMScheduler,
)
from diffusers.schedulers import scheduling_ddpm
from torch import Tensor

from diffusion.data import to_float
from diffusion.samplers import SAMPLERS, Denoise, Step, abm, ddim, ddpm, dpmpp_2m, heun, ipndm
from diffusion.scheduler import CLEAN, SCHEDULES, SPACINGS, Level, Scheduler

COUNTS = [1, 2, 7, 1000]
VARIANTS = {
    "ddim": ddim,
    "ddim half eta": partial(ddim, eta=0.5),
    "ddim full eta": partial(ddim, eta=1.0),
    "ddpm": ddpm,
    "dpm++2m": dpmpp_2m,
    "heun": heun,
    "ipndm": ipndm,
    "abm": abm,
}

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)
both_kinds = pytest.mark.parametrize("schedule", ["cosine", "flow"])  # curved with very noisy levels, and straight
every_variant = pytest.mark.parametrize("sampler", VARIANTS.values(), ids=VARIANTS.keys())


def normal(seed: int = 0, shape: tuple[int, ...] = (2, 1, 28, 28)) -> Callable[[], Tensor]:
    """A float64 noise stream that starts anew wherever it is made."""
    random = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=random, dtype=torch.float64)


def last(steps: Iterator[Step]) -> Step:
    *_, step = steps
    return step


def assert_same(found: Tensor, wanted: Tensor, tolerance: float = 1e-5) -> None:
    assert found.dtype == wanted.dtype == torch.float64
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


@pytest.fixture
def points(digits) -> Tensor:
    """A data set of three digits: float64 (3, 1, 28, 28)."""
    images, _ = digits
    return to_float(images[[0, 100, 200]]).double()


class TestAgainstDiffusers:
    """Its schedulers get our noise levels in float64, our denoiser's x0 and our noise."""

    SETTINGS = {  # noqa: RUF012
        "clip_sample": False,
        "timestep_spacing": "trailing",
        "prediction_type": "sample",
    }

    @pytest.mark.parametrize(
        ("schedule", "steps", "eta"),
        [*product(["linear", "cosine"], [1, 2, 7], [0.0, 0.5]), ("cosine", 1000, 0.5)],
        ids=str,
    )
    def test_ddim(self, schedule, steps, eta, closed_form, points):
        scheduler = Scheduler(schedule)
        denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps), normal(0)()
        theirs = DDIMScheduler(**self.SETTINGS, set_alpha_to_one=True)
        theirs.alphas_cumprod = scheduler.alpha**2
        theirs.set_timesteps(steps)
        noise = normal(1)
        x = start
        for now, then in pairwise(levels):
            # It goes down by T // N levels wherever it is: right only where N divides T. This makes it our jump.
            theirs.register_to_config(num_train_timesteps=(now.index - then.index) * steps)
            fresh = noise() if eta and then.index >= 0 else torch.zeros_like(x)
            x = theirs.step(denoise(x, now.index), now.index, x, eta=eta, variance_noise=fresh if eta else None)[0]
        assert_same(last(ddim(denoise, start, levels, normal(1), eta=eta)).x, x)

    @pytest.mark.parametrize(
        ("schedule", "steps"), [*product(["linear", "cosine"], [1, 2, 7]), ("cosine", 1000)], ids=str
    )
    def test_ddpm(self, schedule, steps, closed_form, points, monkeypatch):
        scheduler = Scheduler(schedule)
        denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps), normal(0)()
        theirs = DDPMScheduler(**self.SETTINGS, variance_type="fixed_small")
        theirs.alphas_cumprod = scheduler.alpha**2
        theirs.set_timesteps(steps)
        assert theirs.timesteps.tolist() == [level.index for level in levels[:-1]]
        noise = normal(1)
        monkeypatch.setattr(scheduling_ddpm, "randn_tensor", lambda *_, **__: noise())
        x = start
        for t in theirs.timesteps:
            x = theirs.step(denoise(x, int(t)), t, x)[0]
        assert_same(last(ddpm(denoise, start, levels, normal(1))).x, x)

    @pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # theirs, of numpy
    @pytest.mark.parametrize(("schedule", "steps"), [*product(SCHEDULES, [1, 2, 7]), ("cosine", 1000)], ids=str)
    def test_dpmpp_2m(self, schedule, steps, closed_form, points):
        scheduler = Scheduler(schedule)
        denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps), normal(0)()
        flow = schedule == "flow"
        theirs = DPMSolverMultistepScheduler(
            prediction_type="flow_prediction" if flow else "sample",
            use_flow_sigmas=flow,
            final_sigmas_type="zero",
            lower_order_final=False,
        )
        theirs.set_timesteps(steps)
        theirs.timesteps = torch.tensor([level.index for level in levels[:-1]])
        theirs.num_inference_steps = steps
        theirs.sigmas = torch.tensor(
            [level.sigma if flow else level.sigma / level.alpha for level in levels], dtype=torch.float64
        )

        def scale(level: Level) -> float:  # of ours to theirs, whose variance is preserved
            return 1 if flow else (level.alpha**2 + level.sigma**2) ** 0.5

        x = start / scale(levels[0])
        for t, now in zip(theirs.timesteps, levels, strict=False):
            x0 = denoise(x * scale(now), now.index)
            x = theirs.step((x - x0) / now.sigma if flow else x0, t, x)[0]
        assert_same(last(dpmpp_2m(denoise, start, levels, normal(1))).x, x)

    @pytest.mark.parametrize("steps", COUNTS)
    def test_flow(self, steps, closed_form, points):
        scheduler = Scheduler("flow")
        denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps), normal(0)()
        theirs = FlowMatchEulerDiscreteScheduler()
        theirs.set_timesteps(sigmas=[level.sigma for level in levels[:-1]])
        x = start
        for t, now in zip(theirs.timesteps, levels, strict=False):
            velocity = (x - denoise(x, now.index)) / now.sigma
            x = theirs.step(velocity, t, x)[0]
        assert_same(last(ddim(denoise, start, levels, normal(1))).x, x)

    @every_schedule
    @pytest.mark.parametrize("spacing", ["trailing", "shifted"])
    @pytest.mark.parametrize("steps", COUNTS[:-1])  # theirs rounds to float32, which adds up over 1000 steps
    def test_heun(self, schedule, spacing, steps, closed_form, points):
        scheduler = Scheduler(schedule)
        denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps, spacing), normal(0)()
        theirs = FlowMatchHeunDiscreteScheduler()
        theirs.set_timesteps(steps)
        theirs.set_begin_index(0)
        times = torch.tensor([flow_time(level) for level in levels], dtype=torch.float64)
        theirs.sigmas = torch.cat([times[:1], times[1:-1].repeat_interleave(2), times[-1:]])
        z = start / (levels[0].alpha + levels[0].sigma)
        for step, (now, then) in zip(heun(denoise, start, levels, normal(1)), pairwise(levels), strict=True):
            z = theirs.step(flow_velocity(denoise, z, now), 0.0, z)[0]
            if then is not CLEAN:
                z = theirs.step(flow_velocity(denoise, z, then), 0.0, z)[0]
            assert_same(step.x / (then.alpha + then.sigma), z)

    @pytest.mark.parametrize(
        ("schedule", "steps", "spacing"),
        [
            *product(SCHEDULES, [1, 2, 7], ["trailing"]),
            *product(SCHEDULES, [7], ["karras"]),
            ("cosine", 1000, "trailing"),
        ],
    )
    def test_ipndm(self, schedule, spacing, steps, closed_form, points):
        scheduler = Scheduler(schedule)
        denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps, spacing), normal(0)()
        theirs = IPNDMScheduler()
        theirs.set_timesteps(steps)
        theirs.set_begin_index(0)
        theirs.betas = torch.tensor([flow_time(level) for level in levels], dtype=torch.float64)
        theirs.alphas = torch.ones_like(theirs.betas)  # then it follows its sum of ets, here the velocities, in a line
        z = start / (levels[0].alpha + levels[0].sigma)
        for step, (now, then) in zip(ipndm(denoise, start, levels, normal(1)), pairwise(levels), strict=True):
            if then is CLEAN:  # our last step ends on its guess
                z = denoise((now.alpha + now.sigma) * z, now.index)
            else:
                t = flow_time(now)
                z = theirs.step(flow_velocity(denoise, z, now) - t * z, t, z)[0]
            assert_same(step.x / (then.alpha + then.sigma), z)


def flow_time(level: Level) -> float:
    """The t at which flow matching has this ratio of noise to signal."""
    return level.sigma / (level.alpha + level.sigma)


def flow_velocity(denoise: Denoise, z: Tensor, level: Level) -> Tensor:
    """dz / dt at z = (1 - t) * x0 + t * eps, by a denoise function of another schedule."""
    return (z - denoise((level.alpha + level.sigma) * z, level.index)) / flow_time(level)


@pytest.mark.parametrize("steps", COUNTS)
def test_ddim_on_flow_is_euler_s_method(steps, closed_form, points):
    scheduler = Scheduler("flow")
    denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps), normal()()
    x = start
    for now, then in pairwise(levels):
        velocity = (x - denoise(x, now.index)) / now.sigma  # dx / dt, as x = (1 - t) * x0 + t * eps
        x = x + (then.sigma - now.sigma) * velocity
    assert_same(last(ddim(denoise, start, levels, normal())).x, x, 1e-10)


@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_ddim_with_full_eta_is_ddpm(schedule, steps, closed_form, points):
    scheduler = Scheduler(schedule)
    denoise, levels, start = closed_form(points, scheduler), scheduler.levels(steps), normal(0)()
    ours = ddim(denoise, start, levels, normal(1), eta=1.0)
    for mine, other in zip(ours, ddpm(denoise, start, levels, normal(1)), strict=True):
        assert_same(mine.x, other.x, 1e-8)


class Gaussian:
    """Data that is normal with standard deviation s: the optimal denoiser is linear and all solutions are known."""

    s = 0.5

    def __init__(self, scheduler: Scheduler):
        self.scheduler = scheduler

    def denoise(self, x: Tensor, i: int) -> Tensor:
        level = self.scheduler.level(i)
        return level.alpha * self.s**2 / self.variance(level) * x

    def variance(self, level: Level) -> float:
        return (level.alpha * self.s) ** 2 + level.sigma**2

    def solution(self, x: Tensor, level: Level) -> Tensor:
        """Where the probability flow leads x from the last level: each level's x is the last one's, scaled."""
        return x * sqrt(self.variance(level) / self.variance(self.scheduler.level(999)))


@every_schedule
def test_ddim_converges_to_the_exact_solution(schedule):
    scheduler = Scheduler(schedule)
    data, start = Gaussian(scheduler), normal(0, (50,))()
    errors = []
    for steps in (10, 20, 40, 80, 160):
        step = last(ddim(data.denoise, start, scheduler.levels(steps), normal()))
        errors.append(float((step.x - data.solution(start, scheduler.level(-1))).abs().max()))
    assert all(fine < 0.7 * coarse for coarse, fine in pairwise(errors)), errors
    assert errors[-1] < 0.1 * errors[0], errors


def error(sampler, schedule: str, steps: int, first: int, end: int) -> float:
    """Against the exact solution for normal data, over equal steps in the index from one level to another."""
    scheduler = Scheduler(schedule)
    data, start = Gaussian(scheduler), normal(0, (50,))()
    levels = [scheduler.level(first + (end - first) * k // steps) for k in range(steps + 1)]
    found = last(sampler(data.denoise, start, levels, normal())).x
    wanted = start * sqrt(data.variance(levels[-1]) / data.variance(levels[0]))
    return float((found - wanted).abs().max())


@every_schedule
@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (dpmpp_2m, 2), (heun, 2), (ipndm, 2)])
def test_the_error_falls_with_the_order(schedule, sampler, order):
    """Twice the steps halve the error of first order and quarter that of second."""
    errors = [error(sampler, schedule, steps, 799, 399) for steps in (50, 100, 200)]
    assert [coarse / fine for coarse, fine in pairwise(errors)] == pytest.approx([2**order] * 2, rel=0.1)


@pytest.mark.parametrize("evaluations", [10, 20, 40])
def test_ipndm_gets_most_from_its_evaluations(evaluations):
    """Its first step is DDIM's, which keeps the whole of it at second order, but with an error far below Heun's."""
    way = ("flow", evaluations, 899, 99)
    half = ("flow", evaluations // 2, 899, 99)
    assert error(ipndm, *way) < 0.1 * error(heun, *half)
    assert error(heun, *half) < 0.3 * error(ddim, *way)


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_ipndm_is_exact_where_the_velocity_is_a_cubic_of_time(power):
    """That is fourth order, from the fourth step on; the first three know fewer velocities, and the last uses one."""
    levels = [Level(k, 1 - t, t) for k in range(11) for t in [1 - k / 10]]

    def denoise(x: Tensor, i: int) -> Tensor:  # eps - x0 = t**power
        t = levels[i].sigma
        return x - t * t**power

    xs = [
        torch.ones(1, dtype=torch.float64),
        *(step.x for step in ipndm(denoise, torch.ones(1).double(), levels, normal())),
    ]
    for k, (now, then) in enumerate(pairwise(levels)):
        wanted = (then.sigma ** (power + 1) - now.sigma ** (power + 1)) / (power + 1)
        exact = abs(float(xs[k + 1] - xs[k]) - wanted) < 1e-12
        assert exact == (power <= (k if k < 9 else 0)), k


@every_schedule
def test_abm_is_of_third_order(schedule):
    """Its first step is DDIM's as well, but corrected: twice the steps leave an eighth of the error (linear: less)."""
    errors = [error(abm, schedule, steps, 799, 399) for steps in (50, 100, 200)]
    ratios = [coarse / fine for coarse, fine in pairwise(errors)]
    assert min(ratios) > 0.95 * 2**3
    assert schedule == "linear" or ratios == pytest.approx([2**3] * 2, rel=0.1)


def test_abm_has_the_weights_of_textbooks_on_equal_steps(closed_form, points):
    """Adams-Bashforth of order 1 and 2 predicts, Adams-Moulton of one order more corrects (Hairer et al., III.1)."""
    bashforth = [[1], [3 / 2, -1 / 2]]
    moulton = [[1 / 2, 1 / 2], [5 / 12, 8 / 12, -1 / 12]]
    scheduler = Scheduler("flow")
    denoise, levels = closed_form(points, scheduler), scheduler.levels(10)[:-1]  # t = 1, 0.9, ... 0.1
    x = corrected = normal(0)()
    velocities: list[Tensor] = []
    for step, now in zip(abm(denoise, x, levels, normal(1)), levels, strict=False):
        velocities = [(x - denoise(x, now.index)) / now.sigma, *velocities]
        if len(velocities) > 1:
            weights = moulton[min(len(velocities), 3) - 2]
            corrected = corrected - 0.1 * sum(w * v for w, v in zip(weights, velocities, strict=False))
        weights = bashforth[min(len(velocities), 2) - 1]
        x = corrected - 0.1 * sum(w * v for w, v in zip(weights, velocities, strict=False))
        assert_same(step.x, x, 1e-10)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("power", [0, 1, 2])
def test_abm_follows_polynomials_of_time_exactly_on_steps_of_any_length(spacing, power):
    """A velocity t**power: a step takes a line exactly, and its correction a parabola."""
    levels = Scheduler("flow").levels(12, spacing)[:-1]
    start = torch.ones(1, dtype=torch.float64)
    steps = abm(lambda x, i: x - ((i + 1) / 1000) ** (power + 1), start, levels, normal())
    way = [(level.sigma ** (power + 1) - levels[0].sigma ** (power + 1)) / (power + 1) for level in levels[1:]]
    errors = [float(step.x - start) - exact for step, exact in zip(steps, way, strict=True)]
    if power == 0:
        assert errors == pytest.approx([0] * 11, abs=1e-12)
    elif power == 1:  # the first step knows one velocity only, and is corrected by the second
        assert errors[1:] == pytest.approx([0] * 10, abs=1e-12)
        assert abs(errors[0]) > 1e-4
    else:  # correcting the first step by a line left an error, and only the newest step is not corrected yet
        times = [level.sigma for level in levels]
        left = (times[1] - times[0]) ** 3 / 6  # of the trapezoidal rule, for t**2
        for a, b, c, error in zip(times, times[1:], times[2:], errors[1:], strict=False):
            line = (c - b) * (b**2 + (a + b) * (c - b) / 2) - (c**3 - b**3) / 3
            assert error == pytest.approx(left + line, abs=1e-12)


@every_schedule
def test_ddim_follows_the_exact_solution_on_its_way(schedule):
    scheduler = Scheduler(schedule)
    data, start = Gaussian(scheduler), normal(0, (50,))()
    for step in ddim(data.denoise, start, scheduler.levels(1000), normal()):
        assert (step.x - data.solution(start, scheduler.level(step.level))).abs().max() < 0.05


@both_kinds
@every_variant
def test_samples_spread_like_the_data(schedule, sampler):
    scheduler = Scheduler(schedule)
    data, shape = Gaussian(scheduler), (20_000,)
    start = scheduler.start * normal(0, shape)()
    step = last(sampler(data.denoise, start, scheduler.levels(250), normal(1, shape)))
    assert float(step.x.mean()) == pytest.approx(0, abs=0.02)
    assert float(step.x.std()) == pytest.approx(data.s, rel=0.03)


@every_schedule
@every_variant
def test_samples_are_the_digits_that_the_data_holds(schedule, sampler, closed_form, points):
    scheduler = Scheduler(schedule)
    shape = (8, 1, 28, 28)
    start = scheduler.start * normal(0, shape)()
    step = last(sampler(closed_form(points, scheduler), start, scheduler.levels(50), normal(1, shape)))
    distances = torch.cdist(step.x.flatten(1), points.flatten(1))
    assert distances.min(dim=1).values.max() < 1e-3
    assert distances.argmin(dim=1).unique().numel() > 1


@every_schedule
@every_variant
def test_one_digit_comes_back_exactly(schedule, sampler, closed_form, points):
    scheduler = Scheduler(schedule)
    denoise = closed_form(points[:1], scheduler)
    for steps in (1, 2, 7):  # 1000: against diffusers, above
        step = last(sampler(denoise, normal(0)(), scheduler.levels(steps), normal(1)))
        assert_same(step.x, points[:1].expand(2, -1, -1, -1), 1e-12)


@every_variant
@pytest.mark.parametrize(("schedule", "steps"), [("linear", 1), ("additive", 7), ("flow", 7), ("cosine", 1000)])
def test_each_step_reports_where_it_is(schedule, sampler, steps):
    levels = Scheduler(schedule).levels(steps)
    shape = (2, 1, 1, 1)
    seen: list[int] = []

    def denoise(x: Tensor, i: int) -> Tensor:
        seen.append(i)
        return 0.3 * x

    found = list(sampler(denoise, normal(0, shape)(), levels, normal(1, shape)))
    assert [step.index for step in found] == list(range(steps))
    assert [step.level for step in found] == [level.index for level in levels[1:]]
    assert seen == SAMPLERS["heun" if sampler is heun else "ddim"].asks([level.index for level in levels[:-1]])
    assert found[-1].level == -1
    assert all(step.x.shape == step.x0.shape == shape and step.x.isfinite().all() for step in found)


@both_kinds
@every_variant
def test_each_step_shows_the_guess_that_it_made(schedule, sampler, closed_form, points):
    levels = Scheduler(schedule).levels(12)
    guesses: list[Tensor] = []
    denoise = closed_form(points, Scheduler(schedule))
    x = normal(0)()
    steps = list(sampler(lambda x, i: guesses.append(denoise(x, i)) or guesses[-1], x, levels, normal(1)))
    if sampler not in (heun, ipndm):
        assert all(torch.equal(step.x0, guess) for step, guess in zip(steps, guesses, strict=True))
        return
    for step, (now, then) in zip(steps, pairwise(levels), strict=True):  # a straight line leads to it by way of x
        kept = then.sigma / now.sigma
        assert_same(kept * x + (then.alpha - kept * now.alpha) * step.x0, step.x, 1e-9)
        x = step.x


@pytest.mark.parametrize("schedule", ["cosine", "additive"])
@every_variant
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_spacing_ends_at_a_digit_of_the_data(schedule, sampler, spacing, closed_form, points):
    scheduler = Scheduler(schedule)
    for steps in (1, 2, 25):
        step = last(sampler(closed_form(points, scheduler), normal(0)(), scheduler.levels(steps, spacing), normal(1)))
        assert step.x.isfinite().all()
    assert torch.cdist(step.x.flatten(1), points.flatten(1)).min(dim=1).values.max() < 0.1


@both_kinds
@every_variant
def test_the_last_step_lands_on_its_guess_without_noise(schedule, sampler, closed_form, points):
    scheduler = Scheduler(schedule)
    for steps in (1, 7):
        step = last(sampler(closed_form(points, scheduler), normal(0)(), scheduler.levels(steps), normal(1)))
        assert_same(step.x, step.x0, 1e-12)


@pytest.mark.parametrize(
    ("name", "draws"),
    [
        ("ddim", 0),
        ("ddim half eta", 19),
        ("ddim full eta", 19),
        ("ddpm", 19),
        ("dpm++2m", 0),
        ("heun", 0),
        ("ipndm", 0),
        ("abm", 0),
    ],
)
def test_noise_is_drawn_once_a_step_but_not_on_the_last(name, draws):
    calls = []

    def noise() -> Tensor:
        calls.append(1)
        return torch.zeros(1)

    last(VARIANTS[name](lambda x, i: 0.3 * x, torch.ones(1), Scheduler("cosine").levels(20), noise))
    assert len(calls) == draws


@every_variant
def test_a_call_leaves_nothing_behind(sampler, closed_form, points):
    scheduler = Scheduler("flow")
    start = normal(0)()
    kept = start.clone()

    def draw(steps: int) -> Sequence[Step]:
        return list(sampler(closed_form(points, scheduler), start, scheduler.levels(steps), normal(1)))

    first = draw(7)
    draw(3)
    for mine, other in zip(first, draw(7), strict=True):
        assert torch.equal(mine.x, other.x)
    assert torch.equal(start, kept)


@every_variant
def test_two_runs_may_be_stepped_in_turns(sampler, closed_form, points):
    scheduler = Scheduler("linear")

    def run(seed: int) -> Iterator[Step]:
        return sampler(closed_form(points, scheduler), normal(seed)(), scheduler.levels(9), normal(seed + 10))

    alone = [last(run(0)), last(run(1))]
    *_, (first, second) = zip(run(0), run(1), strict=True)
    assert torch.equal(first.x, alone[0].x)
    assert torch.equal(second.x, alone[1].x)


@every_variant
def test_sampling_records_no_gradient(sampler):
    weight = torch.ones(1, requires_grad=True)
    seen: list[Tensor] = []

    def denoise(x: Tensor, i: int) -> Tensor:
        seen.append(weight * x)
        return seen[-1]

    last(sampler(denoise, torch.ones(1), Scheduler("linear").levels(3), lambda: torch.zeros(1)))
    assert not any(x0.requires_grad for x0 in seen)


def test_every_sampler_has_its_name_and_one_signature(closed_form, points):
    assert set(SAMPLERS) == {"ddim", "ddpm", "dpm++2m", "heun", "ipndm", "abm"}
    scheduler = Scheduler("cosine")
    denoise: Denoise = closed_form(points, scheduler)
    for sampler in SAMPLERS.values():
        assert last(sampler(denoise, normal(0)(), scheduler.levels(4), normal(1))).level == -1
