"""The pipeline: the same seed draws the same digits however they are asked for, and nonsense is refused in words."""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion import Pipeline, Recipe, Step, checkpoint, prompts
from diffusion.config import FewStep
from diffusion.data import DATASETS, to_uint8
from diffusion.files.render import FRAMES, PADDING
from diffusion.lab import Hybrid
from diffusion.networks.unet import UNetConfig
from diffusion.noise import Noise
from diffusion.result import Result, Run
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import Level

STOCHASTIC = [{"sampler": "ddim"}, {"sampler": "ddim", "eta": 1.0}, {"sampler": "ddpm"}]

each_sampler = pytest.mark.parametrize("sampling", STOCHASTIC, ids=["ddim", "ddim full eta", "ddpm"])


@pytest.fixture
def pipe(tiny_denoiser) -> Pipeline:
    return Pipeline(tiny_denoiser)


@pytest.fixture
def colour_pipe(make_denoiser) -> Pipeline:
    unet = UNetConfig(channels=(8,), blocks=1, attention=(), embedding=16, stem=2, image_channels=3, image_size=32)
    return Pipeline(make_denoiser(unet, names=DATASETS["cifar10"].names))


def final(run: Run) -> torch.Tensor:
    *_, step = run
    return step.x


class TestSeeds:
    @each_sampler
    def test_the_same_seed_draws_the_same_images(self, pipe, sampling):
        first, second = (pipe([7, 3], steps=4, seed=5, **sampling).images for _ in range(2))
        assert np.array_equal(first, second)

    def test_other_seeds_digits_guidance_and_steps_draw_others(self, pipe):
        base = {"digits": [7, 3], "guidance": 2.0, "steps": 4, "sampler": "ddim", "seed": 5, "eta": 0.0}
        images = pipe(**base).images
        for change in ({"seed": 7}, {"digits": [1, 2]}, {"guidance": 4.0}, {"steps": 5}, {"eta": 1.0}):
            others = pipe(**base | change).images
            for mine, other in zip(images, others, strict=True):
                assert not np.array_equal(mine, other), change

    @each_sampler
    def test_an_image_does_not_depend_on_the_batch_around_it(self, pipe, sampling):
        digits = [k % 10 for k in range(130)]
        whole = final(pipe.stream(digits, steps=3, seed=5, **sampling))
        for size in (1, 3):
            part = final(pipe.stream(digits[:size], steps=3, seed=5, **sampling))
            torch.testing.assert_close(part, whole[:size], rtol=0, atol=1e-4)

    @each_sampler
    def test_an_image_drawn_alone_with_its_own_seed_is_the_same(self, pipe, sampling):
        digits = [7, 3, 3, 0]
        run = pipe.stream(digits, steps=4, seed=2**32 - 2, **sampling)
        whole = final(run)
        assert run.recipe.seeds == [2**32 - 2, 2**32 - 1, 0, 1]
        for k, seed in enumerate(run.recipe.seeds):
            alone = final(pipe.stream(digits[k], steps=4, seed=seed, **sampling))
            torch.testing.assert_close(alone[0], whole[k], rtol=0, atol=1e-4)

    @pytest.mark.parametrize("size", [1, 3, 10])
    def test_a_recipe_split_into_parts_draws_the_same(self, pipe, size):
        recipe = Recipe((7, 3, 0, 1, 2), steps=3, sampler="ddpm", seed=2**32 - 2)
        parts = list(recipe.split(size))
        assert [len(part.digits) for part in parts] == [len(recipe.digits[k : k + size]) for k in range(0, 5, size)]
        assert [seed for part in parts for seed in part.seeds] == recipe.seeds
        drawn = torch.cat([final(pipe.run(part)) for part in parts])
        torch.testing.assert_close(drawn, final(pipe.run(recipe)), rtol=0, atol=1e-4)

    @each_sampler
    def test_one_image_can_be_drawn_again_and_the_others_stay(self, pipe, sampling):
        recipe = Recipe((7, 3, 3, 0), steps=3, seed=2**32 - 2, **sampling)
        again = recipe.with_seed(1, 99)
        assert again.seeds == [2**32 - 2, 99, 0, 1]
        before, after = (final(pipe.run(each)) for each in (recipe, again))
        torch.testing.assert_close(after[[0, 2, 3]], before[[0, 2, 3]], rtol=0, atol=1e-4)
        assert not torch.allclose(after[1], before[1], atol=0.1)
        for k in range(4):
            alone = again.alone(k)
            assert (alone.digits, alone.seeds) == ((again.digits[k],), [again.seeds[k]])
            torch.testing.assert_close(final(pipe.run(alone))[0], after[k], rtol=0, atol=1e-4)

    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    def test_seeds_of_their_own_survive_a_split(self, size):
        recipe = Recipe((7, 3, 0, 1, 2), seed=5, redrawn=((4, 11), (1, 12), (2, 13)))
        assert recipe.seeds == [5, 12, 13, 8, 11]
        assert [seed for part in recipe.split(size) for seed in part.seeds] == recipe.seeds

    def test_the_last_seed_of_an_image_counts(self):
        assert Recipe((7, 3)).with_seed(1, 5).with_seed(1, 6) == Recipe((7, 3)).with_seed(1, 6)

    def test_sampling_leaves_the_global_random_state_alone(self, pipe):
        state = torch.get_rng_state()
        pipe([7], steps=2, sampler="ddpm")
        assert torch.equal(torch.get_rng_state(), state)


class TestStream:
    @each_sampler
    @pytest.mark.parametrize("steps", [1, 2, 7])
    def test_it_yields_every_step_and_its_result_is_the_call_s(self, pipe, sampling, steps):
        run = pipe.stream([7, 3], steps=steps, seed=1, **sampling)
        found = list(run)
        assert [step.index for step in found] == list(range(steps))
        assert found[-1].level == -1
        result, called = run.result(), pipe([7, 3], steps=steps, seed=1, **sampling)
        assert np.array_equal(result.images, called.images)
        assert np.array_equal(result.frames, called.frames)
        assert np.array_equal(result.guesses, called.guesses)
        assert result.levels == called.levels
        assert result.recipe == called.recipe
        assert np.array_equal(result.images, to_uint8(found[-1].x).numpy())

    @pytest.mark.parametrize("seen", [0, 1, 4])
    def test_a_result_runs_the_steps_that_are_left(self, pipe, seen):
        run = pipe.stream([7], steps=5)
        for _ in range(seen):
            next(run)
        assert np.array_equal(run.result().frames, pipe([7], steps=5).frames)
        assert np.array_equal(run.result().images, pipe([7], steps=5).images)

    def test_frame_and_guess_are_those_of_the_newest_step(self, pipe):
        run = pipe.stream([7, 3], steps=50)
        start = run.frame
        assert run.guess.shape == start.shape
        assert not run.guess.any()
        for step in run:
            assert np.array_equal(run.frame, to_uint8(step.x).numpy())
            assert np.array_equal(run.guess, to_uint8(step.x0).numpy())
        assert np.array_equal(run.result().frames[0], start)

    def test_the_network_runs_once_a_step(self, pipe, monkeypatch):
        calls = []
        forward = pipe.model.unet.forward
        monkeypatch.setattr(pipe.model.unet, "forward", lambda *inputs: calls.append(1) or forward(*inputs))
        pipe([7, 3], steps=6)
        assert len(calls) == 6


class TestResult:
    @pytest.mark.parametrize(("digits", "labels"), [(7, [7]), ([7, 7, 3], [7, 7, 3]), (np.arange(3), [0, 1, 2])])
    def test_its_fields(self, pipe, digits, labels):
        result = pipe(digits, steps=2, seed=40)
        assert result.images.dtype == np.uint8
        assert result.images.shape == (len(labels), 28, 28)
        assert result.frames.shape == (3, len(labels), 28, 28)
        assert result.labels == labels
        assert result.seeds == [40 + k for k in range(len(labels))]
        assert result.recipe == Recipe(tuple(labels), steps=2, seed=40)

    def test_one_image_alone_has_its_own_trajectory_and_recipe(self, pipe):
        result = pipe([7, 3, 0], steps=3, seed=9)
        alone, drawn = result.alone(1), pipe(3, steps=3, seed=10)
        assert alone.recipe == drawn.recipe
        assert alone.levels == drawn.levels
        for name in ("images", "frames", "guesses"):
            found, expected = getattr(alone, name), getattr(drawn, name)
            assert found.shape == expected.shape
            assert np.abs(found.astype(int) - expected).max() <= 1
        assert np.array_equal(result.images[1], alone.images[0])

    def test_one_image_is_replaced_and_the_others_stay(self, pipe, refuses):
        result = pipe([7, 3, 0], steps=3, seed=9)
        before = result.images.copy()
        changed = result.with_image(1, pipe.run(result.recipe.with_seed(1, 77).alone(1)).result())
        assert changed.seeds == [9, 77, 11]
        again = pipe.run(changed.recipe).result()
        for name in ("images", "frames", "guesses"):
            found, expected = getattr(changed, name), getattr(again, name)
            assert np.abs(found.astype(int) - expected).max() <= 1
        assert np.array_equal(changed.images[[0, 2]], before[[0, 2]])
        assert not np.array_equal(changed.images[1], before[1])
        assert np.array_equal(result.images, before)
        for other in (pipe(7, steps=3, seed=77), pipe(3, steps=4, seed=77), pipe([3, 3], steps=3)):
            with refuses("Draw the image alone"):
                result.with_image(1, other)

    @pytest.mark.parametrize("name", ["a.png", "a.gif", "a.npz"])
    def test_colour_models_draw_and_save_colour_images(self, colour_pipe, tmp_path, name):
        result = colour_pipe([7, 3], steps=5, seed=9)
        assert result.images.dtype == np.uint8
        assert result.images.shape == (2, 32, 32, 3)
        assert result.frames.shape == (6, 2, 32, 32, 3)
        assert np.ptp(result.images, axis=3).any()  # it is not grey
        path = tmp_path / name
        result.save(path)
        if name == "a.npz":
            with np.load(path) as file:
                assert np.array_equal(file["images"], result.images)
            return
        with Image.open(path) as file:
            file.seek(getattr(file, "n_frames", 1) - 1)
            pixels = np.asarray(file.convert("RGB"))
        scale = pixels.shape[0] // 32
        error = np.abs(pixels[::scale, : 32 * scale : scale].astype(int) - result.images[0])
        assert error.mean() < (10 if name == "a.gif" else 1e-9)
        assert Recipe.from_file(path) == result.recipe

    def test_a_colour_run_goes_step_by_step_and_in_batches(self, colour_pipe):
        run = colour_pipe.stream([7, 3, 1], steps=2)
        assert run.frame.shape == (3, 32, 32, 3)
        assert [step.x0.shape for step in run] == [(3, 3, 32, 32)] * 2
        parts = [part.images for part in colour_pipe.batches(run.recipe, size=2)]
        assert [part.shape for part in parts] == [(2, 32, 32, 3), (1, 32, 32, 3)]
        assert np.abs(np.concatenate(parts).astype(int) - run.result().images).max() <= 1

    @pytest.mark.parametrize("name", ["a.png", "a.PNG"])
    def test_a_png_is_a_grid_with_its_recipe(self, pipe, tmp_path, name):
        result = pipe([7, 7, 3], steps=2, seed=9)
        result.save(tmp_path / name)
        with Image.open(tmp_path / name) as file:
            pixels = np.asarray(file)
        scale = pixels.shape[0] // 28
        assert np.array_equal(pixels[: 28 * scale : scale, : 28 * scale : scale], result.images[0])
        assert Recipe.from_file(tmp_path / name) == result.recipe

    @pytest.mark.parametrize("name", ["sevens.png", "sevens.gif"])
    def test_too_many_images_for_a_picture_are_refused(self, pipe, tmp_path, refuses, name):
        with refuses("at most 1,000 images"):
            pipe([7] * 1001, steps=1).save(tmp_path / name)

    def test_a_picture_is_as_many_columns_wide_as_asked(self, pipe, tmp_path, refuses):
        result = pipe([2, 0, 2, 6, 1, 2, 3], steps=1)
        result.save(tmp_path / "row.png", scale=1, columns=7)
        for columns in (-1, 0, 2.5):
            with refuses("columns must be a whole number from 1 to 1,000"):
                result.save(tmp_path / "wrong.png", columns=columns)
        with Image.open(tmp_path / "row.png") as file:
            assert file.size == (7 * 30 - 2, 28)

    @pytest.mark.parametrize("name", ["a.gif", "a.GIF"])
    def test_a_gif_ends_with_the_images_and_has_its_recipe(self, pipe, tmp_path, name):
        result = pipe([7], steps=6, seed=9)
        result.save(tmp_path / name)
        with Image.open(tmp_path / name) as file:
            assert file.n_frames == len(result.frames) == 7
            file.seek(6)
            pixels = np.asarray(file.convert("L"))
        scale = pixels.shape[0] // 28
        assert np.array_equal(pixels[::scale, ::scale], result.images[0])
        assert Recipe.from_file(tmp_path / name) == result.recipe

    @pytest.mark.parametrize("track", ["noisy", "guess", "both"])
    def test_a_gif_shows_the_track_asked_for(self, pipe, tmp_path, track):
        result = pipe([7], steps=6, seed=9)
        result.save(tmp_path / "a.gif", track=track)
        with Image.open(tmp_path / "a.gif") as file:
            assert file.n_frames == 7
            file.seek(2)
            pixels = np.asarray(file.convert("L")).astype(int)
        scale = pixels.shape[0] // 28
        expected = {"noisy": [result.frames], "guess": [result.guesses], "both": [result.frames, result.guesses]}[track]
        assert pixels.shape[1] // scale == (28 if len(expected) == 1 else 28 + 8 + 28)
        for place, frames in zip((np.s_[:28], np.s_[-28:]), expected, strict=False):
            assert np.abs(pixels[::scale, ::scale][:, place] - frames[2]).max() <= 9

    def test_a_moment_of_the_way_is_one_picture_and_has_its_recipe(self, pipe, tmp_path, refuses):
        result = pipe([7, 3, 1], steps=6, seed=9)
        (tmp_path / "moment.png").write_bytes(result.moment(2))
        with Image.open(tmp_path / "moment.png") as file:
            scale = file.width // (3 * 30 - 2)
            pixels = np.asarray(file)[::scale, ::scale]
        for k in range(3):
            found = pixels[:, 30 * k : 30 * k + 28]
            assert np.array_equal(found[:28], result.frames[2, k])
            assert np.array_equal(found[-28:], result.guesses[2, k])
        assert Recipe.from_file(tmp_path / "moment.png") == result.recipe
        there = result.until(2)
        assert (there.levels, list(there.steps)) == (result.levels[:3], [0, 1, 2])
        assert np.array_equal(there.images, result.guesses[2])
        assert np.array_equal(result.until(6).images, result.images)
        for cut in (result.moment, result.until):
            with refuses("frame must be a whole number from 0 to 6"):
                cut(7)

    def test_other_tracks_are_refused(self, pipe, tmp_path, refuses):
        with refuses("track must be one of noisy, guess, both"):
            pipe([7], steps=1).save(tmp_path / "a.gif", track="x0")

    @pytest.mark.parametrize("name", ["a.npz", "a.NPZ"])
    def test_an_npz_holds_images_labels_and_seeds(self, pipe, tmp_path, name):
        result = pipe([7, 7, 3], steps=2, seed=9)
        result.save(str(tmp_path / name))
        assert [path.name for path in tmp_path.iterdir()] == [name]
        with np.load(tmp_path / name) as file:
            assert sorted(file) == ["images", "labels", "seeds"]
            assert file["images"].dtype == np.uint8
            assert np.array_equal(file["images"], result.images)
            assert file["labels"].tolist() == [7, 7, 3]
            assert file["seeds"].tolist() == [9, 10, 11]

    @pytest.mark.parametrize("name", ["a.webp", "a.apng"])
    def test_webp_and_apng_are_exact_in_every_frame_and_have_their_recipe(self, pipe, tmp_path, name):
        result = pipe([7], steps=6, seed=9)
        result.save(tmp_path / name, scale=3, fps=10)
        with Image.open(tmp_path / name) as file:
            assert file.n_frames == 7
            for k in range(7):
                file.seek(k)
                assert np.array_equal(np.asarray(file.convert("L"))[::3, ::3], result.frames[k, 0])
        assert Recipe.from_file(tmp_path / name) == result.recipe

    @pytest.mark.parametrize(
        "option", [{"scale": 0}, {"scale": 17}, {"fps": 0}, {"fps": "x"}, {"track": "x0"}], ids=str
    )
    @pytest.mark.parametrize("name", ["a.png", "a.gif", "a.npz"])
    def test_options_out_of_range_are_refused_for_every_kind(self, pipe, tmp_path, refuses, option, name):
        with refuses(next(iter(option))):
            pipe([7], steps=1).save(tmp_path / name, **option)
        assert not list(tmp_path.iterdir())

    def test_files_of_the_same_run_are_the_same(self, pipe, tmp_path):
        for name in ("a.png", "a.gif", "a.webp", "a.apng"):
            pipe([7], steps=2).save(tmp_path / name)
            first = (tmp_path / name).read_bytes()
            pipe([7], steps=2).save(tmp_path / name)
            assert (tmp_path / name).read_bytes() == first

    @pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.txt", ".png", ""])
    def test_other_endings_are_refused(self, pipe, tmp_path, name, refuses, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with refuses("must end in .png, .gif, .webp, .apng, .npz, .zip or .idx.zip"):
            pipe([7], steps=1).save(name)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("ending", ["png", "gif", "npz"])
    def test_paths_that_cannot_be_written_are_refused(self, pipe, tmp_path, ending, refuses):
        (tmp_path / "file").write_text("in the way")
        (tmp_path / f"folder.{ending}").mkdir()
        result = pipe([7], steps=1)
        for path in (tmp_path / "file" / f"a.{ending}", tmp_path / f"folder.{ending}"):
            with refuses("Cannot write"):
                result.save(path)


class TestFrames:
    @staticmethod
    def counting_run(steps: int) -> Run:
        """A run whose images say, in binary, after how many updates they are, and its guesses from which image."""

        def image(count: int) -> torch.Tensor:
            bits = [count >> bit & 1 for bit in range(16)]
            return torch.tensor(bits).view(1, 1, 4, 4) * 2.0 - 1

        def stepping() -> Iterator[Step]:
            for index in range(steps):
                yield Step(index, steps - 2 - index, image(index + 1), image(index))

        levels = [Level(index, 1.0, 1.0) for index in range(steps - 1, -2, -1)]
        return Run(Recipe((7,), steps=steps), stepping(), image(0), levels)

    @pytest.mark.parametrize("steps", [1, 2, 5, 38, 39, 40, 41, 100, 999, 1000])
    def test_they_go_evenly_from_noise_to_the_images(self, steps):
        result = self.counting_run(steps).result()
        bits = result.frames.reshape(-1, 16) // 255
        counts = (bits.astype(int) << np.arange(16)).sum(1)
        assert len(counts) == min(FRAMES, steps + 1)
        assert (counts[0], counts[-1]) == (0, steps)
        gaps = np.diff(counts)
        assert gaps.min() >= 1
        assert np.ptp(gaps) <= 1
        assert np.array_equal(result.frames[-1], result.images)
        assert np.array_equal(result.guesses, result.frames)  # each guess is the one made from its frame
        assert result.levels == [steps - 1 - count for count in counts]

    @each_sampler
    def test_each_frame_has_the_guess_that_the_network_makes_of_it(self, pipe, sampling):
        result = pipe([7, 3], steps=5, guidance=1, **sampling)
        assert result.levels == [999, 799, 599, 399, 199, -1]
        noisy = Noise(result.seeds, (1, 28, 28))()
        assert np.array_equal(result.frames[0], to_uint8(noisy).numpy())
        guess = pipe.model(noisy, 999, torch.tensor([7, 3]))
        assert np.abs(result.guesses[0].astype(int) - to_uint8(guess).numpy()).max() <= 1
        assert np.array_equal(result.guesses[-1], result.images)


class TestPretrained:
    def test_a_saved_pipeline_draws_the_same(self, pipe, tmp_path):
        pipe.save_pretrained(tmp_path / "model")
        drawn = pipe([7, 3], steps=3).images.astype(int)
        for source in (tmp_path / "model", str(tmp_path / "model"), tmp_path / "model" / "model.safetensors"):
            loaded = Pipeline.from_pretrained(source, device="cpu")
            difference = np.abs(loaded([7, 3], steps=3).images - drawn)
            assert difference.mean() < 0.5  # the weights are kept in half precision
            assert difference.max() < 20

    def test_a_loaded_pipeline_saves_the_same_weights(self, pipe, tmp_path):
        pipe.save_pretrained(tmp_path / "a")
        Pipeline.from_pretrained(tmp_path / "a", device="cpu").save_pretrained(tmp_path / "b")
        first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
        assert first == second

    def test_the_names_of_the_classes_travel_with_the_weights(self, pipe, colour_pipe, tmp_path):
        assert pipe.names == tuple("0123456789")
        colour_pipe.save_pretrained(tmp_path)
        loaded = Pipeline.from_pretrained(tmp_path, device="cpu")
        assert loaded.names == DATASETS["cifar10"].names
        result = loaded(prompts.digits("frog, cat", loaded.names), steps=1)
        assert result.labels == [6, 3]
        assert result.images.shape == (2, 32, 32, 3)

    def test_a_result_says_which_weights_drew_it(self, pipe, colour_pipe, tmp_path, refuses):
        for name, each in (("a", pipe), ("b", colour_pipe)):
            each.save_pretrained(tmp_path / name)
        mine, other = (Pipeline.from_pretrained(tmp_path / name, device="cpu") for name in "ab")
        recipe = mine([7], steps=1).recipe
        assert recipe.weights == mine.weights == checkpoint.fingerprint(tmp_path / "a" / checkpoint.WEIGHTS)
        assert Recipe.from_json(recipe.to_json()) == recipe
        assert mine.differs(recipe) == mine.differs(Recipe((7,))) == ""
        for others in (other, pipe):  # the last one was never in a file
            warning = others.differs(recipe)
            assert recipe.weights in warning
            assert warning.endswith(".")
            assert others.run(recipe).recipe.weights == others.weights != recipe.weights

    def test_missing_weights_are_refused(self, tmp_path, refuses):
        with refuses("There is no checkpoint"):
            Pipeline.from_pretrained(tmp_path)


BAD_SETTINGS = [
    *({"digits": value} for value in (-1, [], None, "7", 1.5, math.nan, 2**70, [[7]], b"7", {})),
    *({"guidance": value} for value in (None, "x", "2", math.nan, math.inf, -math.inf, -1, 1e9, [2.0], True)),
    *({"steps": value} for value in (0, -1, 1001, 2.5, None, "20", math.nan, math.inf, 2**70)),
    *({"seed": value} for value in (-1, 2**32, 1.5, None, "0", math.nan, 10**400)),
    *({"sampler": value} for value in ("euler", "DDIM", "", None, 0, ["ddim"])),
    *({"spacing": value} for value in ("even", "Trailing", "", None, 0, ["trailing"])),
    *({"eta": value} for value in (-1, -0.01, 1.01, 2, None, "0", math.nan)),
]


def test_settings_that_no_run_can_have_are_refused_before_it_starts(pipe, refuses):
    for bad in BAD_SETTINGS:
        [name] = bad
        with refuses(name):
            pipe.stream(**{"digits": [7]} | bad)
        with refuses(name):
            pipe(**{"digits": [7]} | bad)
        with refuses(name):
            Recipe(**{"digits": (7,)} | bad)


@pytest.mark.parametrize("digits", [10, [7, 10]])
def test_a_class_that_the_weights_do_not_have_is_refused(digits, pipe, refuses):
    for draw in (pipe, pipe.stream):
        with refuses("digits must be one or more whole numbers from 0 to 9"):
            draw(digits)
    with refuses("digits must be one or more whole numbers from 0 to 9"):
        pipe.run(Recipe((10,)))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("schedule", "spacing"), [("cosine", "karras"), ("flow", "trailing")])
def test_evaluations_are_counted_as_they_are_made(schedule, spacing, sampler, make_denoiser, monkeypatch):
    denoiser = make_denoiser(schedule=schedule, prediction="v")
    pipe = Pipeline(denoiser)
    made = []
    monkeypatch.setattr(denoiser, "forward", lambda x, i, labels: made.append(len(x)) or torch.zeros_like(x))
    for steps, guidance, interval in product((1, 2, 9), (0.0, 1.0, 2.0), ((0, 999), (200, 500), (990, 999))):
        recipe = Recipe((3, 7), guidance, steps, sampler, guidance_interval=interval, spacing=spacing)
        made.clear()
        pipe.run(recipe).result()
        assert pipe.evaluations(recipe) == sum(made) / 2, recipe


def test_eta_is_refused_where_it_has_no_effect(pipe, refuses):
    with refuses("eta belongs to the sampler ddim"):
        pipe.stream([7], sampler="ddpm", eta=0.5)
    assert pipe.stream([7], sampler="ddpm", eta=0).recipe.eta == 0


@pytest.mark.parametrize(
    "limit", [{"guidance": 0}, {"guidance": 20}, {"steps": 1}, {"seed": 2**32 - 1}, {"sampler": "ddim", "eta": 1}]
)
def test_settings_at_their_limits_run(limit, pipe):
    assert pipe([0, 9], **{"steps": 2} | limit).images.shape == (2, 28, 28)


class TestStyle:
    @pytest.fixture
    def styled(self, make_denoiser, styles) -> Pipeline:
        return Pipeline(make_denoiser(styles=styles, black=True))

    def test_each_way_to_ask_for_a_style_draws_another_image(self, styled):
        how = {"steps": 3, "seed": 5, "guidance": 2.0}
        asked = [{}, {"thickness": 3.0}, {"slant": 0.3}, {"width": 12.0}, {"hand": 1}, {"hand": 2}, {"hand": "many"}]
        asked += [{"thickness": 3.0, "slant": 0.3}, {"words": ((0, "thin"),)}]
        images = [styled([7], **how, **one).images.tobytes() for one in asked]
        assert len(set(images)) == len(images)
        assert (
            styled([7], **how, words=((0, "upright"),)).images.tobytes() == styled([7], **how, slant=0).images.tobytes()
        )

    def test_an_image_keeps_its_hand_wherever_it_is_drawn(self, styled):
        recipe = styled.recipe([7, 3, 7, 1], hand="many", words=((3, "thick"),), steps=3, seed=5)
        whole = styled.run(recipe).result()
        parts = np.concatenate([result.images for result in styled.batches(recipe, 3)])
        np.testing.assert_allclose(parts.astype(int), whole.images.astype(int), atol=1)
        alone = styled.run(recipe.alone(3)).result().images
        np.testing.assert_allclose(alone[0].astype(int), whole.images[3].astype(int), atol=1)

    def test_a_style_out_of_the_trained_range_is_refused_and_so_is_any_by_weights_that_know_none(
        self, styled, pipe, refuses
    ):
        low, high = styled.offer.styles.low[0], styled.offer.styles.high[0]
        with refuses(f"With these weights, thickness must be any or {low:g} to {high:g}, not 9"):
            styled([7], thickness=9)
        for asked in ({"thickness": 3}, {"hand": 0}, {"words": ((0, "thick"),)}):
            with refuses("know what to write and not how"):
                pipe([7], **asked)
            with refuses("Guidance 0, or any, draws whatever comes"):
                styled([7], guidance=0, **asked)
        with refuses(f"With these weights, thickness must be any or {low:g} to {high:g}, not 99"):
            styled([7], thickness=99)  # which no weights have

    def test_the_hand_is_that_of_the_digit_which_is_guessed(self, styled, monkeypatch):
        asked, forward = [], styled.model.forward
        monkeypatch.setattr(styled.model, "forward", lambda x, i, how: asked.append(how) or forward(x, i, how))
        hybrid = Hybrid(digit=1)
        styled.run(styled.recipe([0], steps=1, hand=5, guidance=1, activity=hybrid)).result()
        theirs = styled.offer.styles.hand(5)
        for label, *style in torch.cat(asked).tolist():
            assert style == pytest.approx(theirs[int(label)])
        assert {int(how[0, 0]) for how in asked} == {0, 1}

    @pytest.mark.parametrize("few_step", [None, FewStep()], ids=["many steps", "few-step"])
    def test_what_the_network_calls_black_is_black_at_the_end_and_not_before(self, make_denoiser, few_step):
        """`guess` draws it so, and so does a student; a run of many steps leaves pixels as they are."""
        model = make_denoiser(black=True, few_step=few_step)
        x, labels = torch.randn(4, 1, 28, 28), torch.arange(4)
        ends = ((20, -1), (500, 400)) if few_step is None else ((20, -1), (500, -1), (20, 10), (500, 400))
        for i, end in ends:
            levels, steering = torch.full((4,), i), [] if few_step is None else [end, 2.0]
            steered = [torch.full((4,), float(value)) for value in steering]
            called = model.predict(x, levels, labels, *steered)[1] > 0
            assert 0.05 < called.float().mean() < 0.95
            exactly = [model.guess(x, levels, labels, *steered)[called] == -1]
            exactly += [model(x, i, labels, *steering)[called] == -1]
            at_the_end = i == 20 if few_step is None else end == -1
            assert [bool(some.all()) for some in exactly] == [at_the_end, at_the_end and few_step is not None]

    def test_such_weights_come_back_from_their_file(self, styled, tmp_path):
        styled.save_pretrained(tmp_path)
        again = Pipeline.from_pretrained(tmp_path, device="cpu")
        assert again.offer == styled.offer

    @pytest.mark.parametrize(("hand", "feet"), [("any", [20, 24]), (5, [24, 24])])
    def test_digits_of_one_hand_stand_on_one_line_in_a_picture(self, hand, feet, tmp_path):
        images = np.zeros((3, 28, 28), np.uint8)
        images[0, 5:20, 10], images[1, 5:24, 10] = 255, 255  # and one that is black
        frames = np.stack([images, images])
        result = Result(images, frames, frames, [999, -1], Recipe((7, 3, 1), hand=hand))
        result.save(tmp_path / "out.png", scale=1, columns=3)
        result.save(tmp_path / "out.gif", scale=1, columns=3)
        for name in ("out.png", "out.gif"):
            with Image.open(tmp_path / name) as file:
                picture = np.asarray(file.convert("L")) > 200
            cells = [picture[:, k * (28 + PADDING) :][:, :28] for k in range(3)]
            assert [int(cell.any(1).nonzero()[0].max()) + 1 for cell in cells[:2]] == feet
            assert not cells[2].any()
