"""The course's weights in this project's language: the translation, what they offer, and what they are kept as."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffusion import Pipeline, checkpoint
from diffusion.denoiser import Denoiser, DenoiserConfig
from diffusion.hub.card import model_card
from diffusion.lab import picture as pictures
from diffusion.lab import recipes
from diffusion.lab.forward import Denoising, Forward
from diffusion.networks.course import CourseConfig
from diffusion.samplers import ddim
from diffusion.scheduler import CLEAN, T
from diffusion.training.config import PRESETS, TrainConfig

KINDS = [name for name in PRESETS if name.startswith("course")]


def course(preset: str, width: int = 2) -> Denoiser:
    """A small random network of a preset, whose batch norms have seen something."""
    denoiser = Denoiser(TrainConfig(**PRESETS[preset] | {"preset": preset, "width": width}).denoiser())
    level = max(denoiser.config.unet.level, 0) or 500
    for _ in range(3):
        denoiser.guess(*clean_and_noise(8)[:1], torch.full((8,), level), torch.arange(8) % denoiser.config.unet.classes)
    return denoiser.eval().requires_grad_(False)


def clean_and_noise(count: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    shape = (count, 1, 28, 28)
    return torch.rand(shape, generator=random) * 2 - 1, torch.randn(shape, generator=random)


class Heard(nn.Module):
    """In place of the course's network: keeps what it is asked, and answers as it is told."""

    def __init__(self, answer: Tensor):
        super().__init__()
        self.answer = nn.Parameter(answer)

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        self.x, self.t, self.c = x, t, c
        return self.answer


@pytest.mark.parametrize("i", [0, 1, 499, 998, 999])
def test_the_flow_is_translated_to_the_course_s_time_and_pixels(i):
    denoiser, (x0, eps) = course("course-flow-class"), clean_and_noise(3)
    level, image = denoiser.scheduler.level(i), (x0 + 1) / 2
    denoiser.unet.unet = network = Heard(image - eps)
    guess = denoiser(level.alpha * x0 + level.sigma * eps, i, torch.tensor([0, 9, 10]))
    t = network.t[:, None, None, None]
    assert (float(t[0]), 1 - float(t[0])) == pytest.approx(
        (2 * level.alpha / (2 - level.sigma), level.sigma / (2 - level.sigma)), abs=1e-6
    )
    torch.testing.assert_close(network.x, t * image + (1 - t) * eps, rtol=0, atol=2e-6)
    torch.testing.assert_close(guess, x0, rtol=0, atol=1e-5)
    assert network.c.tolist() == [[1, *[0] * 9], [*[0] * 9, 1], [0] * 10]  # the null label is zeros


def test_one_guess_sees_the_image_plus_sigma_times_noise():
    denoiser, (x0, eps) = course("course-denoiser"), clean_and_noise(2)
    denoiser.unet.unet = network = Heard((x0 + 1) / 2)
    guess = denoiser(x0 + eps, 499, torch.tensor([0, 0]))
    torch.testing.assert_close(network.x, (x0 + 1) / 2 + 0.5 * eps, rtol=0, atol=2e-6)
    torch.testing.assert_close(guess, x0, rtol=0, atol=2e-6)


def test_pure_noise_is_seen_as_it_is():
    denoiser, (x0, eps) = course("course-pure-noise"), clean_and_noise(2)
    denoiser.unet.unet = network = Heard((x0 + 1) / 2)
    torch.testing.assert_close(denoiser(eps, 999, torch.tensor([0, 0])), x0, rtol=0, atol=2e-6)
    torch.testing.assert_close(network.x, eps, rtol=0, atol=2e-6)


def test_the_loss_over_all_levels_is_twice_the_course_s_over_all_times():
    """Of a network that is wrong in its own way at each time."""
    denoiser, (x0, eps) = course("course-flow-time"), clean_and_noise(1)
    image, count = (x0 + 1) / 2, 2000

    def said(x: Tensor, t: Tensor) -> Tensor:
        return 0.5 * x - t**2

    t = ((torch.arange(count) + 0.5) / count).view(-1, 1, 1, 1)
    theirs = (said(t * image + (1 - t) * eps, t) - (image - eps)).square().mean()
    network = Heard(image)
    network.forward = lambda x, t, c: said(x, t.view(-1, 1, 1, 1))
    denoiser.unet.unet = network
    network.to(torch.float32)
    every = torch.arange(T)
    ours = denoiser.loss(x0.expand(T, -1, -1, -1), torch.zeros_like(every), every, eps.expand(T, -1, -1, -1))
    assert ours.item() == pytest.approx(2 * theirs.item(), rel=2e-3)


def test_ddim_takes_the_course_s_euler_steps():
    denoiser, (_, start) = course("course-flow-class"), clean_and_noise(2)
    labels, c = torch.tensor([3, 10]), torch.zeros(2, 10)
    c[0, 3] = 1
    levels = denoiser.scheduler.levels(7, "shifted")
    *_, step = ddim(lambda x, i: denoiser(x, i, labels), start, levels, lambda: start)
    times = [2 * level.alpha / (2 - level.sigma) for level in levels[:-1]] + [1.0]
    x = start
    for t, after in pairwise(times):
        x = x + (after - t) * denoiser.unet.unet(x, torch.full((2,), t), c)
    assert levels[-1] == CLEAN
    torch.testing.assert_close(step.x, 2 * x - 1, rtol=0, atol=1e-3)


@pytest.mark.parametrize("preset", KINDS)
def test_weights_are_kept_and_draw_in_every_precision(preset, tmp_path):
    denoiser = course(preset)
    checkpoint.save(denoiser, tmp_path / "model.safetensors")
    pipe = Pipeline.from_pretrained(tmp_path)
    assert pipe.model.config == denoiser.config
    steps = min(3, pipe.offer.defaults["steps"])
    images = pipe([0, 0], steps=steps).images
    assert images.shape == (2, 28, 28)
    wanted = Pipeline(denoiser)([0, 0], steps=steps).images
    assert abs(images.astype(int) - wanted).mean() < 3
    for precision in ("bf16", "auto"):
        rough = Pipeline.from_pretrained(tmp_path, precision=precision)([0, 0], steps=steps).images
        assert abs(rough.astype(int) - wanted).mean() < 10


def test_weights_without_labels_refuse_them_in_a_sentence(refuses):
    pipe = Pipeline(course("course-flow-time"))
    assert pipe([0, 0, 0], steps=2).images.shape == (3, 28, 28)
    for asked in (7, [0, 7]):
        with refuses("know no labels"):
            pipe(asked)
    picture = np.zeros((28, 28), np.uint8)
    assert pipe.run(recipes.edit(pipe, picture, strength=0.1)).result().images.shape == (1, 28, 28)
    with refuses("know no labels"):
        recipes.edit(pipe, picture, 7)
    for ask in (recipes.anagram, recipes.hybrid, recipes.morph):  # there is nothing to leave out
        for digits in ([3, 8], []):
            with refuses("choose weights that do, such as those named bundled"):
                ask(pipe, digits)
    assert pipe.run(recipes.morph(pipe, images=[picture] * 2, frames=2, steps=2)).result().images.shape == (2, 28, 28)
    with refuses("guidance"):
        pipe([0], guidance=2)
    with refuses("digits"):
        pipe(["seven"])
    assert "class-conditional" not in model_card("user/repo", "tag", ".", pipe.model.config)


def test_weights_of_one_level_say_so_elsewhere():
    one, noise, flow = (Pipeline(course(preset)) for preset in ("course-denoiser", "course-pure-noise", KINDS[-1]))
    assert "level 499" in one.strange(one.recipe([0]))  # a run begins at 999
    picture = (pictures.packed(np.zeros((28, 28), np.uint8)),)
    for activity, told in ((Denoising(picture, (499,)), False), (Denoising(picture, (250, 499)), True)):
        assert bool(one.strange(one.recipe([0], activity=activity))) == told
    assert one.strange(one.recipe([0], activity=Forward(picture, (250,)))) == ""
    assert one.offer.strange([499]) == noise.strange(noise.recipe([0])) == flow.strange(flow.recipe([0])) == ""


def test_pure_noise_is_one_guess_only(refuses):
    with refuses("steps"):
        Pipeline(course("course-pure-noise"))([0], steps=2)


@pytest.mark.parametrize(("schedule", "prediction"), [("additive", "flow"), ("cosine", "x0"), ("flow", "v")])
def test_only_what_the_course_has_can_be_predicted(schedule, prediction, refuses):
    with refuses("The course's networks predict"):
        DenoiserConfig(CourseConfig(width=2), schedule, prediction)
