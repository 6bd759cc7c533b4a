"""Few-step students: the jump they learn is the one that two half jumps make, and learning it brings them there."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from diffusion import Pipeline, Recipe, checkpoint
from diffusion.__main__ import main
from diffusion.denoiser import Denoiser, FewStep
from diffusion.evaluation.sheet import Sheet
from diffusion.guidance import guided, taking_guidance
from diffusion.networks.unet import UNetConfig
from diffusion.samplers import ddim
from diffusion.training.distillation import Distillation, student_of

FEW_STEP = FewStep(8, guidance=(1.0, 4.0), guidance_interval=(200, 500))


@pytest.fixture
def teacher(make_denoiser) -> Denoiser:
    return make_denoiser()


@pytest.fixture
def student(teacher) -> Denoiser:
    return student_of(teacher, FEW_STEP)


def clean(count: int) -> tuple[Tensor, Tensor]:
    """Images (the network takes small ones as well) and labels, the null label among them."""
    random = torch.Generator().manual_seed(1)
    return torch.rand((count, 1, 16, 16), generator=random) * 2 - 1, torch.arange(count) % 11


def test_a_student_starts_as_its_teacher(teacher, student):
    x, labels = clean(4)
    for i, end, guidance in [(999, 499, 1.0), (124, -1, 4.0)]:
        assert torch.equal(student(x, i, labels, end, guidance), teacher(x, i, labels))
    assert student.config == replace(teacher.config, few_step=FEW_STEP)


class TestDraw:
    def test_jumps_are_whole_steps_of_every_run_the_student_takes(self, teacher, student):
        loss = Distillation(student, student, teacher)
        start, end, guidance, eps, short = loss.draw(torch.zeros(8000, 1, 1, 1), torch.Generator().manual_seed(0))
        drawn = {(int(a), int(b)) for a, b in zip(start, end, strict=True)}
        assert drawn == {(k, k + length) for length in (2, 4, 8, 16) for k in range(0, 16, length)}
        for steps in (1, 2, 4, 8):  # the levels of such a run are those on the path
            walked = [level.index for level in student.scheduler.levels(steps)]
            assert loss.path[:: 16 // steps].tolist() == walked
        assert 1 <= guidance.min() < 1.01
        assert 3.99 < guidance.max() <= 4
        assert eps.std().item() == pytest.approx(1, abs=0.05)
        assert torch.equal(short, end - start == 2)

    def test_half_are_of_the_shortest_wherever_a_batch_is_cut(self, teacher, student):
        loss = Distillation(student, student, teacher)
        start, end, *_ = loss.draw(torch.zeros(64, 1, 1, 1), torch.Generator().manual_seed(0))
        assert (end - start)[18:36].sort().values.tolist() == [2] * 9 + [4] * 3 + [8] * 3 + [16] * 3

    def test_most_of_the_shortest_start_where_guidance_is_on(self, teacher, student):
        loss = Distillation(student, student, teacher)
        start, end, *_ = loss.draw(torch.zeros(8000, 1, 1, 1), torch.Generator().manual_seed(0))
        levels = loss.path[start[end - start == 2]]
        assert ((levels >= 200) & (levels <= 500)).float().mean().item() == pytest.approx(3 / 4 + 3 / 8 / 4, abs=0.02)


class TestTarget:
    """What the student is asked to say leads straight to where two DDIM steps lead."""

    @staticmethod
    def arguments_of_loss(loss: Distillation, monkeypatch, *drawn: Tensor) -> tuple[Tensor, ...]:
        """What Denoiser.loss is called with."""
        calls: list[tuple[Tensor, ...]] = []
        monkeypatch.setattr(loss.student, "loss", lambda *arguments, **_: calls.append(arguments) or arguments[0].sum())
        loss(*drawn)
        return calls[0]

    def test_black_that_both_halves_agree_on_is_exactly_black(self, teacher, student, monkeypatch):
        for model in (teacher, student):  # rounding on the way would make it almost black, which the loss resents
            monkeypatch.setattr(model, "guess", lambda x, *_: torch.full_like(x, -1.0))
        x0, labels = clean(40)
        loss = Distillation(student, student, teacher)
        drawn = loss.draw(x0, torch.Generator().manual_seed(0))
        target, *_ = self.arguments_of_loss(loss, monkeypatch, x0, labels, *drawn)
        assert (target == -1).all()

    @pytest.mark.parametrize("start", [0, 8, 14])
    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    def test_over_the_shortest_jumps_it_is_the_guided_teacher_that_steps(
        self, teacher, student, monkeypatch, start, guidance
    ):
        x0, labels = clean(3)
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
        loss = Distillation(student, student, teacher)
        path = [student.scheduler.level(int(i)) for i in loss.path]
        where = [torch.full((3,), place) for place in (start, start + 2)]
        target, _, levels, noise, ends, scale = self.arguments_of_loss(
            loss, monkeypatch, x0, labels, *where, torch.full((3,), guidance), eps, torch.tensor([True] * 3)
        )
        x = path[start].alpha * x0 + path[start].sigma * eps
        denoise = guided(teacher, labels, guidance, (200, 500))
        *_, last = ddim(denoise, x, path[start : start + 3], lambda: x)
        now, then = path[start], path[start + 2]
        straight = then.alpha * target + then.sigma * (x - now.alpha * target) / now.sigma
        torch.testing.assert_close(straight, last.x, atol=2e-5, rtol=0)
        torch.testing.assert_close(now.alpha * target + now.sigma * noise, x, atol=2e-5, rtol=0)
        assert (levels.tolist(), ends.tolist(), scale.tolist()) == ([now.index] * 3, [then.index] * 3, [guidance] * 3)

    def test_over_longer_ones_it_is_the_average_that_steps(self, teacher, student, monkeypatch, make_denoiser):
        average = make_denoiser(few_step=FEW_STEP)
        x0, labels = clean(2)
        loss = Distillation(student, average, teacher)
        eps, guidance = torch.randn(x0.shape), torch.tensor([2.0, 2.0])
        where = torch.tensor([0, 0]), torch.tensor([16, 16])
        target, *_ = self.arguments_of_loss(
            loss, monkeypatch, x0, labels, *where, guidance, eps, torch.tensor([False] * 2)
        )
        levels = student.scheduler.levels(2)
        *_, last = ddim(taking_guidance(average, labels, 2.0, levels), eps, levels, lambda: eps)
        # A jump to the clean image is its x0, and an x0 that is almost black or white counts as black or white.
        inside = last.x.abs() <= 1 - 1e-4
        torch.testing.assert_close(target[inside], last.x[inside], atol=2e-5, rtol=0)
        assert torch.equal(target[~inside], last.x[~inside].sign())

    def test_jumps_of_all_kinds_share_a_batch(self, teacher, student, make_denoiser):
        x0, labels = clean(8)
        loss = Distillation(student, make_denoiser(few_step=FEW_STEP), teacher)
        drawn = loss.draw(x0, torch.Generator().manual_seed(0))
        alone = [loss(x0[k : k + 1], labels[k : k + 1], *(part[k : k + 1] for part in drawn)).item() for k in range(8)]
        assert loss(x0, labels, *drawn).item() == pytest.approx(sum(alone) / 8, rel=1e-5)

    def test_only_the_student_learns(self, teacher, student):
        average = student_of(teacher, FEW_STEP)
        loss = Distillation(student, average, teacher)
        x0, labels = clean(4)
        loss(x0, labels, *loss.draw(x0, torch.Generator().manual_seed(0))).backward()
        assert {id(p) for p in loss.parameters()} == {id(p) for p in student.parameters()}
        assert any(p.grad is not None and p.grad.any() for p in student.unet.steering.parameters())
        assert all(p.grad is None for model in (average, teacher) for p in model.parameters())

    def test_nothing_waits_for_what_a_gpu_works_out(self, teacher, student):
        x0, labels = clean(12)
        average = student_of(teacher, FEW_STEP)
        *drawn, short = Distillation(student, average, teacher).draw(x0, torch.Generator().manual_seed(0))
        parts = [part.to("meta") for part in (x0, labels, *drawn)]  # without values: who asks for one gets an error
        loss = Distillation(*(model.to("meta") for model in (student, average, teacher)))
        loss(*parts, short).backward()

    def test_its_cost_is_counted(self, teacher, student, monkeypatch):
        seen = []
        for network in (teacher, student):
            monkeypatch.setattr(network, "guess", lambda x, *_: seen.append(len(x)) or x)
        monkeypatch.setattr(student, "loss", lambda *arguments, **_: arguments[0].sum())
        loss = Distillation(student, student, teacher)
        x0 = torch.zeros(4000, 1, 1, 1)
        loss(x0, torch.zeros(4000, dtype=torch.int64), *loss.draw(x0, torch.Generator().manual_seed(0)))
        assert sum(seen) / 4000 == pytest.approx(loss.evaluations, abs=0.02)


@pytest.mark.training
def test_learning_brings_it_closer_to_its_teacher(teacher, make_denoiser):
    student = make_denoiser(few_step=FEW_STEP).requires_grad_()  # from anywhere
    loss = Distillation(student, student_of(teacher, FEW_STEP), teacher)
    x0, labels = clean(32)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(x0.shape, generator=random)
    levels = teacher.scheduler.levels(2)

    def distance() -> float:
        *_, here = ddim(taking_guidance(student, labels, 2.0, levels), x, levels, lambda: x)
        *_, there = ddim(guided(teacher, labels, 2.0, (200, 500)), x, teacher.scheduler.levels(16), lambda: x)
        return (here.x - there.x).square().mean().item()

    before = distance()
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
    for _ in range(40):
        loss(x0, labels, *loss.draw(x0, random)).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert distance() < before / 2


class TestDrawing:
    def test_it_is_told_where_each_step_ends_and_the_guidance(self, monkeypatch, student):
        calls = []
        monkeypatch.setattr(
            student.unet, "forward", lambda x, *steering: calls.append([int(t[0]) for t in steering]) or x
        )
        Pipeline(student)([7], steps=4, guidance=3.0)
        assert calls == [[999, 7, 749, 3], [749, 7, 499, 3], [499, 7, 249, 3], [249, 7, -1, 3]]
        calls.clear()
        Pipeline(student)([7], steps=1, guidance=0)
        assert calls == [[999, 10, -1, 1]]  # 0 ignores the digits

    def test_two_guided_steps_are_its_default(self, student):
        pipe = Pipeline(student)
        recipe = pipe([1]).recipe
        assert (recipe.steps, recipe.guidance) == (2, 2.5)
        assert pipe.evaluations(recipe) == 2  # guided, and yet one a step
        assert pipe([1], steps=8, guidance=3.0).recipe.steps == 8
        assert FewStep(guidance=(1.0, 2.0)).settings["guidance"].default == 2

    @pytest.mark.parametrize(
        ("settings", "sentence"),
        [
            ({"steps": 3}, "steps must be one of 1, 2, 4, 8"),
            ({"steps": 20}, "steps must be one of 1, 2, 4, 8"),
            ({"guidance": 0.5}, "from 1 to 4"),
            ({"guidance": 4.1}, "from 1 to 4"),
            ({"guidance_interval": (0, 999)}, "guidance_interval must be 200,500"),
            ({"sampler": "ddpm"}, "sampler must be ddim"),
            ({"eta": 1.0}, "eta must be 0"),
            ({"spacing": "karras"}, "spacing must be trailing"),
        ],
    )
    def test_what_it_has_not_learned_is_refused(self, student, settings, sentence, refuses):
        with refuses(sentence):
            Pipeline(student)([1], **settings)

    def test_what_it_cannot_draw_is_refused_before_a_sheet_is_begun(self, student, refuses):
        with refuses("steps must be one of 1, 2, 4, 8"):
            Sheet(Pipeline(student), Recipe((7,), steps=1, sampler="ddim"), ("steps", [1, 2, 3]), ("guidance", [1, 2]))

    def test_it_survives_a_checkpoint(self, student, tmp_path):
        Pipeline(student).save_pretrained(tmp_path)
        again = Pipeline.from_pretrained(tmp_path)
        assert again.model.config == student.config
        assert again([3]).images.shape == (1, 28, 28)

    @pytest.mark.parametrize(
        "values",
        [
            {"steps": 3},
            {"steps": 0},
            {"steps": 512},
            {"guidance": [1]},
            {"guidance": "ab"},
            {"guidance": [4, 1]},
            {"other": 1},
        ],
    )
    def test_a_hostile_config_is_refused(self, student, tmp_path, values, refuses, monkeypatch):
        import diffusion.checkpoint

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(diffusion.checkpoint, "asdict", lambda _: config | {"few_step": values})
        config = {"unet": vars(UNetConfig()), "schedule": "flow", "prediction": "flow", "bounded": True}
        checkpoint.save(student, "model.safetensors")
        with refuses("carries no config"):
            checkpoint.load("model.safetensors")


def test_the_shipped_student_is_found_again_by_its_recipe(tmp_path, capsys) -> None:
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    main(["sample", "--weights", "few-step", "--digits", "7", "--steps", "1", "--seed", "3", "--out", str(first)])
    main(["sample", "--recipe", str(first), "--out", str(again)])
    assert first.read_bytes() == again.read_bytes()
    assert "other weights" not in capsys.readouterr().err
    assert checkpoint.name_of("00000000") is None
