import numpy as np
import pytest
import torch

from diffusion.lab import forward


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
