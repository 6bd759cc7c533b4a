from dataclasses import replace

import numpy as np
import pytest
import torch

from diffusion import Recipe
from diffusion.lab import ImageToImage, Inpainting
from diffusion.lab.edit import CLASSIC, MASKS, METHODS, mask, steps_for
from diffusion.lab.picture import packed, unpacked
from diffusion.samplers import SAMPLERS

SHAPE = (1, 28, 28)


@pytest.fixture(scope="session")
def picture(digits) -> np.ndarray:
    return digits[0][7].numpy()


class TestImageToImage:
    def test_strength_0_returns_the_picture_and_1_draws_from_noise(self, exact, picture):
        settings = {"seed": 3, "steps": 5}
        same = exact([4, 5], activity=ImageToImage((packed(picture),), 0), **settings)
        assert (same.images == picture).all()
        new = exact([4, 5], activity=ImageToImage((packed(picture),), 1), **settings)
        assert np.array_equal(new.images, exact([4, 5], **settings).images)

    @pytest.mark.parametrize(("strength", "run"), [(0.01, 1), (0.12, 1), (0.13, 1), (0.25, 3), (0.76, 8)])
    def test_strength_times_steps_is_rounded_to_the_nearest_but_not_to_none(self, exact, picture, strength, run):
        edit = ImageToImage((packed(picture),), strength)
        assert len(list(exact.stream([4], activity=edit, steps=10))) == run

    def test_the_classic_strip_starts_at_these_steps_of_34(self, picture):
        assert [34 - steps_for(strength, 34) for strength in CLASSIC] == [20, 10, 7, 5, 3, 1]

    def test_noise_is_that_of_the_first_level_that_is_run(self, exact, picture):
        seen = []

        def record(setup):
            return replace(setup, denoise=lambda x, i: seen.append((x, i)) or torch.zeros_like(x))

        recipe = exact.recipe([4], steps=10, activity=ImageToImage((packed(picture),), 0.5))
        exact.run(recipe, record).result()
        x, i = seen[0]
        level, noise = exact.model.scheduler.level(i), exact.setup(recipe).start
        assert i == exact.model.scheduler.indices(10)[5]
        clean = (x - level.sigma * noise) / level.alpha
        assert np.abs(((clean[0, 0] + 1) * 127.5).numpy() - picture).max() < 0.01

    def test_one_picture_for_each_image_follows_its_image(self, exact, digits):
        images = tuple(packed(image.numpy()) for image in digits[0][:3])
        result = exact([0, 1, 2], activity=ImageToImage(images, 0.6), steps=5)
        for k in range(3):
            alone = exact.run(result.recipe.alone(k)).result().images
            assert np.abs(alone[0].astype(int) - result.images[k]).max() <= 1
        parts = [part.images for part in exact.batches(result.recipe, 2)]
        assert np.abs(np.concatenate(parts).astype(int) - result.images).max() <= 1

    @pytest.mark.parametrize("ending", [".png", ".gif", ".webp", ".npz"])
    def test_the_recipe_travels_with_its_picture(self, exact, picture, tmp_path, ending):
        drawn = exact([4, 5], activity=ImageToImage((packed(picture),), 0.7), steps=4)
        if ending == ".npz":
            again = Recipe.from_json(drawn.recipe.to_json())
        else:
            drawn.save(tmp_path / f"edited{ending}")
            again = Recipe.from_file(tmp_path / f"edited{ending}")
        assert again == drawn.recipe
        assert np.array_equal(exact.run(again).result().images, drawn.images)
        assert len(drawn.recipe.to_json()) < 1500


class TestInpainting:
    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.parametrize("method", METHODS)
    def test_known_pixels_stay_bit_for_bit(self, exact, picture, method, sampler):
        hole = mask("hole", SHAPE)
        inpainting = Inpainting((packed(picture),), hole, method, inner=1)
        images = exact([3, 8], activity=inpainting, sampler=sampler, steps=4).images
        known = unpacked(hole) == 0
        assert (images[:, known] == picture[known]).all()
        assert not np.array_equal(images[0], images[1])

    @pytest.mark.parametrize("method", METHODS)
    def test_it_finds_the_only_picture_that_fits(self, exact, model, digits, method):
        """With half of one of the model's own images known, only that image is left."""
        truth, label = digits[0][::5][17].numpy(), int(digits[1][::5][17])
        inpainting = Inpainting((packed(truth),), mask("bottom", SHAPE), method, inner=3)
        images = exact([label] * 4, activity=inpainting, sampler="ddpm", steps=30, guidance=1).images
        off = np.abs(images.astype(int) - truth).max((1, 2))
        assert (off <= 2).sum() >= {"replacement": 3}.get(method, 4), off

    def test_an_image_depends_on_its_own_seed_alone(self, exact, picture):
        result = exact([3, 8, 5], activity=Inpainting((packed(picture),), mask("left", SHAPE), inner=2), steps=4)
        alone = exact.run(result.recipe.alone(2)).result().images[0]
        assert np.abs(alone.astype(int) - result.images[2]).max() <= 1

    def test_masks_hide_what_their_names_say(self):
        hidden = {name: make(28, 28) for name, make in MASKS.items()}
        assert hidden["top"][:14].all()
        assert not hidden["top"][14:].any()
        assert (hidden["left"] ^ hidden["right"]).all()
        assert hidden["hole"].sum() == 14 * 14
        assert 0.65 < hidden["random"].mean() < 0.75


@pytest.mark.parametrize("one", [True, False])
def test_other_shapes_and_colours_are_edited_too(wide, one):
    pictures = np.random.default_rng(0).integers(0, 255, (2, 12, 20, 3), dtype=np.uint8)
    images = tuple(map(packed, pictures[: 1 if one else 2]))
    kept = wide([1, 2], activity=Inpainting(images, mask("left", wide.model.shape)), steps=4).images[:, :, 10:]
    assert (kept == pictures[[0, 0] if one else [0, 1], :, 10:]).all()
    assert (wide([1, 2], activity=ImageToImage(images, 0)).images == pictures[[0, 0] if one else [0, 1]]).all()


def test_bad_pictures_and_masks_are_refused_in_a_sentence(exact, picture, refuses):
    image, hole = packed(picture), mask("hole", SHAPE)
    for values in (-0.1, 1.5, "much", None):
        with refuses("strength must be a number from 0 to 1"):
            ImageToImage((image,), values)
    for picture_text in ("", "no picture", "AAAA"):
        with refuses("picture"):
            ImageToImage((picture_text,), 0.5)
    with refuses("images must be"):
        ImageToImage((), 0.5)
    with refuses("28 x 28 pixels in grey"):
        exact([1], activity=ImageToImage((packed(np.zeros((20, 20), np.uint8)),), 0.5))
    with refuses("one picture, or one for each of the 3 digits, not 2"):
        exact([1, 2, 3], activity=ImageToImage((image, image), 0.5))
    with refuses("The mask must be as large as the picture"):
        exact([1], activity=Inpainting((image,), mask("hole", (1, 20, 20))))
    for value, word in ((0, "None"), (255, "All")):
        with refuses(f"{word} of the picture is white"):
            Inpainting((image,), packed(np.full((28, 28), value, np.uint8)))
    with refuses("method must be one of"):
        Inpainting((image,), hole, "magic")


def test_few_step_weights_do_what_they_can(few_step, picture, refuses):
    image, half = packed(picture), mask("top", SHAPE)
    assert few_step([4], activity=ImageToImage((image,), 0.5), steps=4).images.shape == (1, 28, 28)
    kept = few_step([4], activity=Inpainting((image,), half, "repaint", 2)).images[0, 14:]
    assert (kept == picture[14:]).all()
    with refuses("choose the weights"):
        few_step([4], activity=Inpainting((image,), half, "langevin"))


def test_a_recipe_of_a_later_version_is_refused(exact, picture, refuses):
    text = exact.recipe([1], activity=ImageToImage((packed(picture),), 0.5)).to_json()
    with refuses("newer version"):
        Recipe.from_json(text.replace('"name": "edit"', '"name": "painting"'))
    with refuses("newer version"):
        Recipe.from_json(text.replace('"version": 2', '"version": 3'))
    with refuses("no recipe"):
        Recipe.from_json(text.replace('"strength"', '"power"'))
