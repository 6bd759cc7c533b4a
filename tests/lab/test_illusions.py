import subprocess
import sys

import numpy as np
import pytest
import torch

from diffusion import Recipe
from diffusion.lab import Anagram, Hybrid
from diffusion.lab.illusions import deviation, high_pass, low_pass, rectified
from diffusion.lab.views import VIEWS
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import Level


class TestViews:
    @pytest.mark.parametrize("name", VIEWS)
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20)])
    def test_each_is_orthogonal(self, name, shape, refuses):
        view = VIEWS[name]
        if view.square and shape[1] != shape[2]:
            with refuses("needs square images"):
                view.check(name, shape)
            return
        view.check(name, shape)
        a, b = torch.randn(2, 2, *shape)
        assert torch.equal(view.inverse_view(view.view(a)), a)
        assert torch.equal(view.view(view.inverse_view(a)), a)
        assert torch.equal(view.view(a + b), view.view(a) + view.view(b))
        assert torch.allclose(view.view(a).norm(), a.norm())
        assert name == "identity" or not torch.equal(view.view(a), a)

    @pytest.mark.parametrize("name", VIEWS)
    def test_white_noise_stays_white(self, name):
        """Every pixel of what is seen is one pixel of the image, and each is seen once."""
        pixels = torch.arange(784.0).view(1, 28, 28)
        assert sorted(VIEWS[name].view(pixels).flatten().tolist()) == list(range(784))

    @pytest.mark.parametrize("name", VIEWS)
    def test_centred_digits_stay_where_the_network_knows_them(self, name):
        """A disc with its centre of mass at row 14 and column 14 has it there through each view, and comes back."""
        rows, columns = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
        disc = ((rows - 14).square() + (columns - 14).square() <= 16).float()[None, None]
        view = VIEWS[name].centred
        assert name == "jigsaw" or torch.equal(view.view(disc), disc)
        x = torch.randn(1, 1, 28, 28)
        assert torch.equal(view.inverse_view(view.view(x)), x)
        assert torch.equal(view.view(x).flatten().sort().values, x.flatten().sort().values)

    def test_a_jigsaw_needs_sides_that_can_be_cut(self, refuses):
        with refuses("multiples of 4"):
            VIEWS["jigsaw"].check("jigsaw", (1, 30, 30))


class TestAnagram:
    @pytest.mark.parametrize("clip", ["inside", "outside"])
    @pytest.mark.parametrize("reduction", ["mean", "alternate"])
    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_with_the_identity_view_it_is_the_plain_run_to_the_last_bit(self, exact, sampler, reduction, clip):
        settings = {"sampler": sampler, "steps": 4, "guidance": 2.0, "guidance_interval": (300, 999)}
        same = Anagram((6,), ("identity",), reduction, clip=clip, rectify=True, inner=0)
        drawn, plain = exact([6, 6], activity=same, **settings), exact([6, 6], **settings)
        assert np.array_equal(drawn.frames, plain.frames)

    @pytest.mark.parametrize("view", ["rotate-180", "flip", "rotate-90", "jigsaw"])
    def test_it_finds_the_picture_that_is_both(self, exact, model, view):
        """The only six is the only nine through the view."""
        nine = model.images[model.labels == 9][:1]
        shown = VIEWS[view].inverse_view(nine)
        pipe = type(exact)(type(model)(torch.cat([shown, nine]), torch.tensor([6, 9])))
        result = pipe([6, 6], activity=Anagram((9,), (view,), centred=False), steps=3, guidance=1)
        wanted = ((shown[0, 0] + 1) * 127.5).round().numpy()
        assert np.abs(result.images - wanted).max() <= 2
        upright, seen = result.recipe.activity.looks(result.images, result.labels)
        assert (upright.labels, seen.labels) == ((6, 6), (9, 9))
        assert np.abs(seen.images[0] - ((nine[0, 0] + 1) * 127.5).numpy()).max() <= 2

    def test_settings_that_nobody_names_are_those_of_the_activity(self, exact, few_step, refuses):
        anagram = Anagram((9,), inner=0)
        recipe = exact.recipe([6], activity=anagram, steps=3)
        assert (recipe.steps, recipe.guidance, recipe.sampler) == (3, Anagram.defaults["guidance"], "ddim")
        narrow = few_step.recipe([6], activity=anagram)
        assert narrow.guidance == few_step.offer.defaults["guidance"]
        assert few_step.run(narrow).result().images.shape == (1, 28, 28)
        with refuses("choose the weights"):
            few_step([6], activity=Anagram((9,), inner=2))

    def test_weights_choose_whom_to_follow(self, exact):
        one_sided = Anagram((9,), ("flip",), weights=(1, 0), inner=0)
        settings = {"steps": 4, "sampler": "ddim", "guidance": 2.0, "guidance_interval": (0, 999)}
        assert np.array_equal(exact([6], activity=one_sided, **settings).images, exact([6], **settings).images)

    def test_rectified_noise_varies_as_the_guessed_noises_do(self):
        level = Level(500, 0.6, 0.8)
        x, *guesses = torch.randn(3, 4, 1, 8, 8)
        noises = [deviation((x - level.alpha * guess) / level.sigma) for guess in guesses]
        x0 = rectified(x, sum(guesses) / 2, guesses, level)
        assert torch.allclose(deviation((x - level.alpha * x0) / level.sigma), sum(noises) / 2, atol=1e-5)

    def test_the_recipe_travels_and_more_than_two_digits_can_be_asked_for(self, exact):
        recipe = exact.recipe([6, 6], activity=Anagram((9, 2, 1), ("rotate-180", "flip", "mirror")), steps=3)
        again = Recipe.from_json(recipe.to_json())
        assert again == recipe
        assert len(exact.run(again).result().recipe.activity.looks(np.zeros((2, 28, 28), np.uint8), [6, 6])) == 4

    def test_a_recipe_from_before_a_setting_draws_as_it_did(self, exact):
        new = exact.recipe([6], activity=Anagram((9,)), steps=3)
        old = Recipe.from_json(new.to_json().replace(', "centred": true', ""))
        assert (new.activity.centred, old.activity.centred) == (True, False)
        assert not np.array_equal(exact.run(new).result().images, exact.run(old).result().images)

    def test_bad_input(self, exact, wide, refuses):
        with refuses("each of views must be one of"):
            Anagram((9,), ("rotate-45",))
        with refuses("a digit for each view"):
            Anagram((9,), ("flip", "mirror"))
        with refuses("name each once"):
            Anagram((9, 1), ("flip", "flip"))
        with refuses("digits must be"):
            Anagram((), ())
        with refuses("weights must be 2 numbers"):
            Anagram((9,), ("flip",), weights=(1,))
        with refuses("from 0 to 9"):
            exact([6], activity=Anagram((12,), ("flip",)))
        with refuses("rotate-90 needs square images"):
            wide([6], activity=Anagram((9,), ("rotate-90",)))
        assert wide([6], activity=Anagram((9,), ("rotate-180",)), steps=2).images.shape == (1, 12, 20, 3)


class TestHybrid:
    @pytest.mark.parametrize("radius", [0.3, 1.5, 8])
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20)])
    def test_low_and_high_pass_add_up_to_the_picture(self, radius, shape):
        x = torch.randn(2, *shape)
        assert torch.allclose(low_pass(x, radius) + high_pass(x, radius), x, atol=1e-6)
        even = torch.full((1, *shape), 0.7)
        assert torch.allclose(low_pass(even, radius), even, atol=1e-6)

    def test_the_low_half_is_that_of_the_far_digit(self, model, exact):
        near, far = (model.images[model.labels == digit][:1] for digit in (3, 8))
        pipe = type(exact)(type(model)(torch.cat([near, far]), torch.tensor([3, 8])))
        image = pipe([3], activity=Hybrid(8, 1.5), guidance=1, steps=3).images
        wanted = (low_pass(far, 1.5) + high_pass(near, 1.5)).clamp(-1, 1)
        assert np.abs(image[0] - ((wanted[0, 0] + 1) * 127.5).numpy()).max() <= 1
        assert [each.labels for each in Hybrid(8).looks(image, [3])] == [(3,), (8,)]

    def test_equal_digits_are_refused(self, exact, refuses):
        with refuses("two digits that differ"):
            exact([3, 8], activity=Hybrid(8))


@pytest.mark.process
def test_a_recipe_is_read_by_who_has_not_seen_the_lab(exact, tmp_path):
    (tmp_path / "anagram.json").write_text(exact.recipe([6], activity=Anagram()).to_json())
    code = "import sys; from diffusion import Recipe; print(Recipe.from_file(sys.argv[1]).activity.digits)"
    told = subprocess.run([sys.executable, "-c", code, tmp_path / "anagram.json"], capture_output=True, text=True)
    assert told.stdout == "(9,)\n", told.stderr
