import numpy as np
import pytest
import torch

from diffusion import Pipeline
from diffusion.checkpoint import ONE_GUESS
from diffusion.data import to_float
from diffusion.lab import forward, recipes
from diffusion.scheduler import SCHEDULES


@pytest.fixture
def clean(model) -> torch.Tensor:
    return model.images[:4]


@pytest.mark.parametrize("level", [0, 500, 999])
def test_noisy_images_are_what_the_formula_says(exact, clean, level):
    eps = torch.randn_like(clean)
    noisy = forward.noisy(exact, clean, level, eps)
    assert torch.equal(noisy.x, noisy.level.alpha * clean + noisy.level.sigma * eps)
    assert noisy.snr == pytest.approx((noisy.level.alpha / noisy.level.sigma) ** 2)
    assert f"{noisy.level.sigma:.3f} * noise" in noisy.formula


def test_no_blur_is_better_than_the_best_and_it_grows_with_the_noise(exact, clean):
    eps = torch.randn_like(clean)
    noisy = [forward.noisy(exact, clean, level, eps) for level in (100, 400, 700)]
    radii = [each.radius for each in noisy]
    assert radii == sorted(set(radii))
    for each in noisy:
        best = each.error(each.blur)
        assert best < each.error(each.x)
        assert all(best <= each.error(each.blurred(radius)) for radius in (0.5, 1, 2, 4))


def test_many_steps_find_a_digit_where_one_guess_is_a_mean(exact, model, clean):
    recipe = exact.recipe(model.labels[:4].tolist(), guidance=1)
    noisy = forward.noisy(exact, clean, 900, torch.randn_like(clean))
    guess = forward.one_step(exact, recipe, noisy)
    run = forward.many_steps(exact, recipe, noisy)
    result = run.result()
    assert result.levels[0] == 900
    assert len(result.levels) == 32
    nearest = [
        (image - model.images).square().flatten(1).mean(1).min().item()
        for image in (*guess, *(torch.from_numpy(result.images)[:, None].float() / 127.5 - 1))
    ]
    assert max(nearest[4:]) < 0.001 < np.mean(nearest[:4])
    assert noisy.error(guess) < noisy.error(noisy.blur)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_network_with_another_schedule_guesses_the_same_of_the_same_images(exact, model, clean, schedule):
    """What the images may have been depends on the ratio of signal to noise alone."""
    other = Pipeline(type(model)(model.images, model.labels, schedule))
    recipe = exact.recipe([0] * len(clean), guidance=0)
    for level in (300, 999):
        noisy = forward.noisy(exact, clean, level, torch.randn_like(clean))
        same, guess = forward.one_step(exact, recipe, noisy), forward.guess_of(other, noisy)
        assert (guess - same).abs().mean() < 0.01


def test_one_guess_is_good_at_the_noise_it_was_trained_for_and_many_steps_beyond(pipe, digits, wide, refuses):
    images = digits[0][::30]
    recipe = recipes.denoise(pipe, images.numpy(), levels=[499, 799], one_step=ONE_GUESS)
    trained, beyond = forward.denoised(pipe, recipe)
    own = Pipeline.from_pretrained(ONE_GUESS, device="cpu")
    clean, sigma = to_float(images), 1.0  # 0.5 of pixels from 0 to 1
    eps = (trained.noisy.x - 0.5 * clean) / 0.5
    wanted = own.model(clean + sigma * eps, 499, torch.zeros(10).long()).clamp(-1, 1)
    torch.testing.assert_close(trained.one_step, wanted, rtol=0, atol=1e-4)
    error = trained.noisy.error(trained.one_step)
    assert error < 0.6 * trained.noisy.error(trained.noisy.blur)
    many = beyond.noisy.error(to_float(torch.from_numpy(beyond.result.images)))
    assert many < beyond.noisy.error(beyond.one_step)
    with refuses("knows images of another shape"):
        wide.check(recipes.denoise(wide, np.zeros((12, 20, 3), np.uint8), levels=[499], one_step=ONE_GUESS))


def test_bad_input(exact, few_step, clean, refuses):
    with refuses("level must be a whole number from 0 to 999"):
        forward.noisy(exact, clean, 1000, clean)
    assert forward.rising([250, 500]) == [250, 500]
    for levels in ([], [500, 250], [250, 250]):
        with refuses("levels must be one or more that rise"):
            forward.rising(levels)
    noisy = forward.noisy(exact, clean, 500, clean)
    with refuses("stride must be"):
        forward.many_steps(exact, exact.recipe([0]), noisy, -1)
    with refuses("choose the weights"):
        forward.one_step(few_step, few_step.recipe([0] * 4), noisy)
