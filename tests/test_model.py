"""The model contract: whatever keeps it is drawn with like the networks of this project.

The model here is no U-Net: it knows the best guess in closed form, has three classes, and draws 12x20 images in colour.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from diffusion import Pipeline, Recipe
from diffusion.evaluation.sheet import Sheet
from diffusion.model import Model, Offer
from diffusion.pipeline import Setup
from diffusion.recipe import SETTINGS
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import CLEAN, Scheduler
from diffusion.settings import Choice

SHAPE = (3, 12, 20)
NAMES = ("red", "green", "blue")
NULL = 3


class ClosedForm:
    """Every class is one picture, so that the guess is the mean of the pictures that x may have come from."""

    shape, device, offer = SHAPE, torch.device("cpu"), Offer(NAMES)

    def __init__(self, schedule: str = "flow"):
        self.scheduler = Scheduler(schedule)
        self.pictures = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def null(self, condition: Tensor) -> Tensor:
        return torch.full_like(condition, NULL)

    def __call__(self, x: Tensor, i: int, condition: Tensor, *steering: float) -> Tensor:
        level = self.scheduler.level(i)
        distance = (x[:, None] - level.alpha * self.pictures).square().flatten(2).sum(2)  # (B, 3)
        wrong = (condition[:, None] != torch.arange(3)) & (condition[:, None] != NULL)
        weights = (-distance / (2 * level.sigma**2)).masked_fill(wrong, -torch.inf).softmax(1)
        return torch.einsum("bp,pchw->bchw", weights, self.pictures)


@pytest.fixture
def pipe() -> Pipeline:
    model: Model = ClosedForm()
    return Pipeline(model)


def pixels(pictures: Tensor) -> np.ndarray:
    return ((pictures + 1) * 127.5).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_what_is_asked(pipe, sampler, tmp_path):
    result = pipe([2, 0, 1, 1], sampler=sampler, guidance=1.5, steps=6)
    assert result.images.shape == (4, 12, 20, 3)
    wanted = pixels(pipe.model.pictures[[2, 0, 1, 1]])
    assert np.abs(result.images.astype(int) - wanted).max() <= 1
    assert pipe.evaluations(result.recipe) >= 6
    result.save(tmp_path / "drawn.gif", track="both", scale=2)
    with Image.open(tmp_path / "drawn.gif") as animation:
        assert animation.n_frames > 1
    assert np.array_equal(pipe.run(Recipe.from_file(tmp_path / "drawn.gif")).result().images, result.images)


def test_without_a_label_it_draws_any_class(pipe):
    drawn = pipe([0] * 40, guidance=0, steps=6).images
    wanted = pixels(pipe.model.pictures).astype(int)
    nearest = np.abs(drawn[:, None] - wanted).mean((2, 3, 4)).argmin(1)
    assert set(nearest) == {0, 1, 2}


def test_other_classes_are_refused_and_sheets_have_its_names(pipe, refuses):
    with refuses("from 0 to 2"):
        pipe([3])
    with refuses("from 0 to 2"):
        pipe.run(Recipe((9,)))
    sheet = Sheet(pipe, Recipe((0,), steps=2), x=("digits", [0, 1, 2]), y=("guidance", [1, 2]))
    for _ in sheet:
        pass
    assert sheet.picture.shape[2] == 3


class TestOffer:
    @pytest.fixture
    def narrow(self) -> Pipeline:
        """A model whose weights take one sampler and three numbers of steps."""
        model = ClosedForm()
        narrower: dict[str, tuple[Sequence[object], object]] = {"steps": ((2, 4, 8), 4), "sampler": (("ddim",), "ddim")}
        settings = {
            name: SETTINGS[name].only(Choice(tuple(some)), default) for name, (some, default) in narrower.items()
        }
        model.offer = Offer(NAMES, SETTINGS | settings)
        return Pipeline(model)

    def test_what_is_not_said_is_the_weights_own(self, narrow):
        recipe = narrow([1]).recipe
        assert (recipe.steps, recipe.sampler, recipe.guidance) == (4, "ddim", SETTINGS["guidance"].default)

    def test_what_they_cannot_do_is_refused_in_a_sentence(self, narrow, refuses):
        with refuses("With these weights, steps must be one of 2, 4, 8, not 3."):
            narrow([1], steps=3)
        with refuses("With these weights, sampler must be ddim, not 'heun'."):
            narrow.run(Recipe((1,), steps=2, sampler="heun"))


class TestEdit:
    def test_the_start_the_levels_and_the_denoise_function_can_be_changed(self, pipe):
        recipe = pipe.recipe([0, 1], steps=10, sampler="ddim")
        seen: list[int] = []

        def edit(setup: Setup) -> Setup:
            def denoise(x: Tensor, i: int) -> Tensor:
                seen.append(i)
                return -setup.denoise(x, i)

            return replace(setup, denoise=denoise, levels=setup.levels[6:], start=torch.zeros(2, *SHAPE))

        result = pipe.run(recipe, edit).result()
        path = pipe.model.scheduler.indices(10)
        assert seen == path[6:]
        assert result.levels == [*path[6:], -1]
        assert len(result.frames) == len(result.guesses) == 5
        assert (result.frames[0] == 128).all()
        assert np.abs(result.images.astype(int) - pixels(-pipe.model.pictures[[0, 1]])).max() <= 1

    def test_a_path_without_a_step_returns_its_start(self, pipe):
        start = pipe.model.pictures[[2]]
        run = pipe.run(pipe.recipe(2), lambda setup: replace(setup, levels=[CLEAN], start=start))
        assert np.array_equal(run.result().images, pixels(start))
        assert run.result().levels == [-1]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_a_sampler_yields_can_be_learned_from(pipe, sampler):
    network = torch.nn.Conv2d(3, 1, 3)
    for step in pipe.stream([0], sampler=sampler, steps=3):
        network(step.x + step.x0).sum().backward()
    assert network.weight.grad is not None
