import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffusion import Pipeline, Recipe
from diffusion.lab import Morph, morph
from diffusion.lab.picture import packed
from diffusion.samplers import SAMPLERS


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_ends_are_exactly_the_two_digits(exact, sampler):
    settings = Morph.defaults | {"sampler": sampler, "steps": 4}
    drawn = exact.run(morph.recipe(exact, [3, 8], 5, seed=7, **settings)).result()
    ends = [exact([digit], seed=seed, **settings).images[0] for digit, seed in ((3, 7), (8, 8))]
    assert np.array_equal(drawn.images[[0, -1]], ends)
    assert drawn.labels in ([3, 3, 8, 8, 8], [3, 3, 3, 8, 8])


def test_noise_on_the_way_is_as_long_as_noise():
    a, b = torch.randn(2, 1, 1, 28, 28)
    shares = torch.linspace(0, 1, 9).view(-1, 1, 1, 1)
    way = morph.slerp(a.expand(9, 1, 28, 28), b.expand(9, 1, 28, 28), shares)
    assert torch.equal(way[0], a[0])
    assert torch.allclose(way[-1], b[0], atol=1e-6)
    assert (way.flatten(1).norm(dim=1) / 28 - 1).abs().max() < 0.1


def test_three_stops_and_some_of_their_frames(exact):
    recipe = morph.recipe(exact, [3, 8, 1], 7, steps=3)
    assert recipe.activity.moments[::3] == (0, 1, 2)
    whole = exact.run(Recipe.from_json(recipe.to_json())).result()
    alone = exact.run(recipe.alone(4)).result()
    assert np.abs(alone.images[0].astype(int) - whole.images[4]).max() <= 1


def test_evened_frames_lie_equally_far_apart(exact):
    recipe = morph.recipe(exact, [3, 8], 9, steps=4)
    drawn = exact.run(recipe).result()

    def unevenness(result):
        images = result.images.astype(float).reshape(9, -1)
        return np.linalg.norm(np.diff(images, axis=0), axis=1).std()

    once = exact.run(morph.evened(recipe, drawn)).result()
    assert unevenness(once) < unevenness(drawn)
    assert np.array_equal(once.images[[0, -1]], drawn.images[[0, -1]])


def test_away_from_the_middle_an_image_is_guessed_as_one_digit_alone(exact):
    def drawn(digits, blend):
        moments = (0.0, 0.25, 0.5, 0.75, 1.0)
        activity = Morph(digits=digits, seeds=(5, 6), moments=moments, blend=blend)
        return exact([3] * 5, activity=activity, steps=4).images.astype(int)

    mixed = drawn((3, 8), 0.4)
    for k, digit in ((0, 3), (1, 3), (3, 8), (4, 8)):
        assert np.abs(mixed[k] - drawn((digit, digit), 0.4)[k]).max() <= 1
    assert all(np.abs(mixed[2] - drawn((digit, digit), 0.4)[2]).max() > 1 for digit in (3, 8))
    assert np.abs(drawn((3, 8), 0)[2] - drawn((8, 8), 0)[2]).max() <= 1


def test_recipes_made_before_blend_on_the_whole_way(exact):
    recipe = morph.recipe(exact, [3, 8], 4, blend=1)
    values = json.loads(recipe.to_json())
    del values["activity"]["blend"]
    assert Recipe.from_json(json.dumps(values)) == recipe != morph.recipe(exact, [3, 8], 4)


def test_a_new_morph_is_smoothed_in_the_steps_that_draw_it(exact):
    recipe, steps = morph.recipe(exact, [3, 8], 5, steps=12), []
    smooth = morph.smooth(exact, recipe, lambda: steps.append(1))
    assert len(steps) == morph.EVENED * recipe.steps
    assert smooth.steps == recipe.steps
    assert smooth.activity.moments[0] == 0
    assert smooth.activity.moments[-1] == 1
    assert smooth.activity.moments != recipe.activity.moments


def test_pictures_are_morphed_without_the_guidance_that_digits_want(exact):
    images = (packed(np.eye(28, dtype=np.uint8)),) * 2
    assert morph.recipe(exact, [3, 8]).guidance == Morph.defaults["guidance"]
    assert morph.recipe(exact, [3, 8], images=images).guidance == Recipe.guidance
    assert morph.recipe(exact, [3, 8], images=images, guidance=2).guidance == 2


def test_inversion_finds_the_noise_that_draws_a_picture(exact, digits):
    images = [image.numpy() for image, label in zip(digits[0][::5], digits[1][::5], strict=True) if label in (3, 8)]
    ends = images[0], images[-1]
    recipe = morph.recipe(exact, [3, 8], 3, images=tuple(map(packed, ends)), steps=50, sampler="ddim", guidance=1)
    drawn = exact.run(recipe).result().images
    assert np.abs(drawn[0].astype(int) - ends[0]).mean() < 2
    assert np.abs(drawn[-1].astype(int) - ends[1]).mean() < 2


def test_every_guess_is_asked_for_the_style(make_denoiser, styles, monkeypatch):
    denoiser = make_denoiser(styles=styles)
    pipe, asked = Pipeline(denoiser), []
    forward = denoiser.forward
    monkeypatch.setattr(
        denoiser, "forward", lambda x, i, condition: asked.append(condition) or forward(x, i, condition)
    )
    for images in ((), (packed(np.eye(28, dtype=np.uint8) * 255),) * 2):
        pipe.run(morph.recipe(pipe, [3, 8], 5, images=images, steps=2, guidance=1, thickness=2.5)).result()
    assert len(asked) > 4
    assert all((condition[:, 1] == 2.5).all() for condition in asked)


def test_bad_input(exact, refuses):
    with refuses("two digits"):
        morph.recipe(exact, [3])
    with refuses("two digits that differ"):
        Morph(digits=(3, 3), seeds=(1, 1))
    with refuses("frames must be a whole number from 2 to 240"):
        morph.recipe(exact, [3, 8], 1)
    with refuses("go from 0 to 1"):
        Morph(moments=(0, 1.5))
    with refuses("as many digits"):
        exact.run(replace(morph.recipe(exact, [3, 8], 4), digits=(3,)))
    with refuses("a picture for each"):
        Morph(images=(packed(np.zeros((28, 28), np.uint8)),))
