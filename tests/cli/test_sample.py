"""python -m diffusion: files as promised, one sentence for bad input, memory that does not grow."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion import Pipeline, Recipe
from diffusion.__main__ import main
from diffusion.checkpoint import find, fingerprint
from diffusion.checks import written
from diffusion.evaluation.reader import load_reader, save_reader
from diffusion.networks.unet import UNetConfig
from diffusion.recipe import SETTINGS

ROOT = Path(__file__).parents[2]


def sample(weights: str, out: Path, *flags: str) -> None:
    main(["sample", "--weights", weights, "--steps", "2", "--out", str(out), *flags])


def test_npz_holds_images_labels_and_seeds(weights: str, tmp_path: Path) -> None:
    sample(weights, tmp_path / "out.npz", "--digits", "0-9", "--count", "3", "--seed", "5")
    with np.load(tmp_path / "out.npz") as file:
        assert sorted(file) == ["images", "labels", "seeds"]
        images, labels, seeds = file["images"], file["labels"], file["seeds"]
    assert (images.shape, images.dtype) == ((30, 28, 28), np.uint8)
    assert labels.tolist() == list(range(10)) * 3
    assert seeds.tolist() == list(range(5, 35))


def test_batches_draw_what_one_run_draws(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion.cli.sample.BATCH", 7)
    sample(weights, tmp_path / "out.npz", "--digits", "0-9", "--count", "2", "--seed", "3", "--sampler", "ddpm")
    with np.load(tmp_path / "out.npz") as file:
        images = file["images"]
    whole = Pipeline.from_pretrained(weights)(list(range(10)) * 2, steps=2, seed=3, sampler="ddpm")
    np.testing.assert_allclose(images.astype(int), whole.images.astype(int), atol=1)


def test_the_largest_batch_does_not_depend_on_the_count(weights: str, tmp_path: Path, monkeypatch) -> None:
    sizes = []
    run = Pipeline.run
    monkeypatch.setattr(Pipeline, "run", lambda self, recipe: sizes.append(len(recipe.digits)) or run(self, recipe))
    sample(weights, tmp_path / "out.npz", "--digits", "0-9", "--count", "60", "--steps", "1")
    assert sum(sizes) == 600
    assert max(sizes) <= 250


def test_colour_and_names_come_out_as_they_should(make_denoiser, tmp_path: Path) -> None:
    names = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    unet = UNetConfig((8, 8), 1, (), 16, image_channels=3, image_size=32)
    Pipeline(make_denoiser(unet, names=names)).save_pretrained(tmp_path)
    sample(str(tmp_path), tmp_path / "out.npz", "--digits", "cat, 8, Deer")
    with np.load(tmp_path / "out.npz") as file:
        assert file["images"].shape == (3, 32, 32, 3)
        assert file["labels"].tolist() == [3, 8, 4]


@pytest.mark.parametrize(("ending", "format"), [(".png", "PNG"), (".gif", "GIF"), (".webp", "WEBP"), (".apng", "PNG")])
def test_pictures_open(weights: str, tmp_path: Path, ending: str, format: str) -> None:
    sample(weights, tmp_path / f"out{ending}", "--digits", "2026")
    with Image.open(tmp_path / f"out{ending}") as image:
        assert image.format == format


class TestRecipe:
    """A picture's own settings, printed and used again."""

    @pytest.fixture
    def drawn(self, weights: str, tmp_path: Path) -> Path:
        sample(weights, tmp_path / "a.gif", "--digits", "2026", "--seed", "42", "--sampler", "ddpm")
        sample(weights, tmp_path / "a.png", "--digits", "2026", "--seed", "42", "--sampler", "ddpm")
        return tmp_path / "a.gif"

    def test_it_is_printed(self, drawn: Path, capsys) -> None:
        capsys.readouterr()
        main(["recipe", str(drawn)])
        printed = json.loads(capsys.readouterr().out)
        assert (printed["version"], printed["digits"], printed["seed"], printed["sampler"]) == (
            1,
            [2, 0, 2, 6],
            42,
            "ddpm",
        )

    def test_it_draws_the_same_pixels_again(self, drawn: Path, weights: str, tmp_path: Path, capsys) -> None:
        main(["sample", "--weights", weights, "--recipe", str(drawn), "--out", str(tmp_path / "again.png")])
        with Image.open(tmp_path / "a.png") as first, Image.open(tmp_path / "again.png") as again:
            assert np.array_equal(np.asarray(again), np.asarray(first))
        assert "weights" not in capsys.readouterr().err
        assert Recipe.from_file(tmp_path / "again.png") == Recipe.from_file(drawn)

    def test_single_images_keep_seeds_of_their_own(self, drawn: Path, weights: str, tmp_path: Path) -> None:
        recipe = Recipe.from_file(drawn).with_seed(2, 7)
        (tmp_path / "a.json").write_text(recipe.to_json())
        flags = ["sample", "--weights", weights, "--recipe", str(tmp_path / "a.json"), "--out"]
        main([*flags, str(tmp_path / "again.npz")])
        with np.load(tmp_path / "again.npz") as file:
            assert file["seeds"].tolist() == [42, 43, 7, 45]
        for change in (["--seed", "8"], ["--digits", "7"], ["--count", "2"]):
            main([*flags, str(tmp_path / "other.npz"), *change])
            with np.load(tmp_path / "other.npz") as file:
                assert np.ptp(np.diff(file["seeds"])) == 0 if len(file["seeds"]) > 1 else True

    def test_flags_beside_it_change_that_and_no_more(self, drawn: Path, weights: str, tmp_path: Path) -> None:
        flags = ["--recipe", str(drawn), "--out", str(tmp_path / "other.png")]
        main(["sample", "--weights", weights, *flags, "--steps", "1"])
        assert Recipe.from_file(tmp_path / "other.png") == replace(Recipe.from_file(drawn), steps=1)

    def test_other_weights_are_told(self, drawn: Path, make_denoiser, tmp_path: Path, capsys) -> None:
        Pipeline(make_denoiser(schedule="cosine", prediction="v")).save_pretrained(tmp_path / "other")
        sample(str(tmp_path / "other"), tmp_path / "other.png", "--recipe", str(drawn))
        assert f"drawn by the weights {Recipe.from_file(drawn).weights}, and these are" in capsys.readouterr().err

    @pytest.mark.parametrize("command", [["recipe"], ["sample", "--out", "a.png", "--recipe"]], ids=" ".join)
    def test_a_file_without_one_is_answered_in_a_sentence(self, tmp_path, capsys, command) -> None:
        (tmp_path / "notes.txt").write_text("hello")
        with pytest.raises(SystemExit) as exit:
            main([*command, str(tmp_path / "notes.txt")])
        assert exit.value.code == 2
        printed = capsys.readouterr().err
        assert printed == "diffusion: 'notes.txt' is no PNG, GIF or WebP: choose a picture made by this project.\n"


class TestRead:
    """What the reader makes of the digits, told and acted on."""

    @pytest.mark.parametrize("ending", [".png", ".npz"])
    def test_every_image_has_a_caption(self, tmp_path: Path, capsys, ending: str) -> None:
        out = str(tmp_path / f"out{ending}")
        main(["sample", "--digits", "77", "--seed", "5", "--sampler", "ddim", "--steps", "8", "--read", "--out", out])
        first, second, total, *_ = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"image 0, seed 5: 7, \d+\.\d %", first)
        assert re.fullmatch(r"image 1, seed 6: 7, \d+\.\d %", second)
        assert total == "2 of 2 read as asked, 2 drawn"

    def test_misses_are_flagged_and_drawn_again(self, weights: str, tmp_path: Path, capsys) -> None:
        sample(weights, tmp_path / "out.npz", "--digits", "0-9", "--until-right", "2")
        *lines, total, _ = capsys.readouterr().out.splitlines()
        missed = [line for line in lines if re.search(r"%, but \d was asked for$", line)]
        assert 0 < len(missed) <= 10  # these weights are random
        right, drawn = map(int, re.fullmatch(r"(\d+) of 10 read as asked, (\d+) drawn", total).groups())
        assert right + len(missed) == 10
        assert 10 + len(missed) <= drawn <= 20
        with np.load(tmp_path / "out.npz") as file:
            assert [f"seed {seed}:" in line for seed, line in zip(file["seeds"], lines, strict=True)] == [True] * 10

    def test_another_reader_may_read(self, weights: str, tmp_path: Path, capsys) -> None:
        reader = load_reader()
        torch.nn.init.zeros_(reader.head.weight)
        save_reader(reader, tmp_path / "reader.safetensors")
        sample(
            weights, tmp_path / "out.npz", "--digits", "7", "--read", "--reader", str(tmp_path / "reader.safetensors")
        )
        assert float(re.search(r"(\d+\.\d) %", capsys.readouterr().out)[1]) < 20  # it knows nothing

    def test_what_was_found_is_in_the_picture(self, weights: str, tmp_path: Path, capsys) -> None:
        sample(weights, tmp_path / "a.png", "--digits", "0-9", "--until-right", "3")
        sample(weights, tmp_path / "again.png", "--recipe", str(tmp_path / "a.png"))
        assert Recipe.from_file(tmp_path / "a.png").redrawn
        with Image.open(tmp_path / "a.png") as first, Image.open(tmp_path / "again.png") as again:
            assert np.array_equal(np.asarray(again), np.asarray(first))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--until-right", "0"], "--until-right must be a whole number from 1 to 100, not 0"),
        (["--digits", "ten"], "Cannot read 'ten' as digits"),
        (["--digits", ""], "No digits asked for"),
        (["--digits", "0-12"], "Cannot read '0-12' as digits"),
        (["--count", "0"], "--count must be a whole number from 1"),
        (["--count", "1e9"], "--count must be a whole number from 1"),
        (["--count", "x"], "--count must be a whole number from 1"),
        (["--steps", "0"], "steps must be a whole number from 1 to 1,000, not 0"),
        (["--steps", "2.5"], "steps must be a whole number from 1 to 1,000, not 2.5"),
        (["--steps", "nan"], "steps must be a whole number from 1 to 1,000"),
        (["--guidance", "inf"], "guidance must be a number from 0 to 20"),
        (["--guidance", "two"], "guidance must be a number from 0 to 20, not 'two'"),
        (["--guidance-interval", "700,200"], "guidance_interval must be two whole numbers from 0 to 999, the lower"),
        (["--guidance-interval", "5"], "guidance_interval must be two whole numbers from 0 to 999, the lower one"),
        (["--guidance-interval", "0,x"], "guidance_interval must be two whole numbers from 0 to 999, the lower one"),
        (["--guidance-interval", "0,1000"], "guidance_interval must be two whole numbers from 0 to 999, the"),
        (["--sampler", "euler"], "sampler must be one of ddim, ddpm"),
        (["--spacing", "even"], "spacing must be one of trailing, log-snr, karras, shifted, not 'even'"),
        (["--seed", "4294967296"], "seed must be a whole number from 0 to 4,294,967,295"),
        (["--eta", "0.5", "--sampler", "ddpm"], "eta belongs to the sampler ddim"),
        (["--scale", "17"], "scale must be a whole number from 1 to 16, not 17"),
        (["--fps", "x"], "fps must be a number from 1 to 50, not 'x'"),
        (["--track", "clean"], "track must be one of noisy, guess, both, not 'clean'"),
        (["--weights", "nowhere/at/all"], "There is no checkpoint at nowhere/at/all"),
        (["--weights", "x" * 300], "Cannot use 'xxx"),
        (["--recipe", '{"digits": 7}' * 30], "Cannot use '{"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_writes_nothing(weights, tmp_path, capsys, flags, sentence) -> None:
    out = tmp_path / "out" / "digits.npz"
    with pytest.raises(SystemExit) as exit:
        sample(weights, out, *flags)
    assert exit.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"diffusion: {sentence}")
    assert printed.endswith(".\n")
    assert printed.count("\n") == 1
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(("ending", "scale"), [(".gif", "3"), (".png", "16")])
def test_a_picture_that_is_too_large_is_refused_before_it_is_drawn(
    weights, tmp_path, capsys, monkeypatch, ending, scale
) -> None:
    monkeypatch.setattr(Pipeline, "run", lambda *_, **__: pytest.fail("It draws."))
    with pytest.raises(SystemExit):
        sample(weights, tmp_path / f"digits{ending}", "--count", "100", "--scale", scale)
    assert "pixels at scale" in capsys.readouterr().err
    assert not list(tmp_path.glob("digits*"))


@pytest.mark.parametrize("out", ["new/digits.npz", "new/digits.idx.zip"])
def test_labels_that_would_mean_nothing_are_refused_before_anything_is_drawn(weights, tmp_path, capsys, out) -> None:
    with pytest.raises(SystemExit):
        sample(weights, tmp_path / out, "--guidance", "0")
    err = capsys.readouterr().err
    assert err.startswith("diffusion: At guidance 0 the labels")  # and no bar of progress
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("out", ["digits.jpg", "digits", ".npz"])
def test_an_unknown_ending_is_refused_before_anything_is_drawn(weights, tmp_path, capsys, out) -> None:
    with pytest.raises(SystemExit):
        sample(weights, tmp_path / out)
    told = "must end in .png, .gif, .webp, .apng, .npz, .zip or .idx.zip, and the folder of a data set in /."
    assert told in capsys.readouterr().err


def test_colour_in_mnist_s_files_is_refused_before_anything_is_drawn(
    make_denoiser, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(Pipeline, "run", lambda *_: pytest.fail("drawn"))
    unet = UNetConfig((8,), 1, (), 16, image_channels=3)
    Pipeline(make_denoiser(unet)).save_pretrained(tmp_path / "weights")
    with pytest.raises(SystemExit):
        sample(str(tmp_path / "weights"), tmp_path / "a.idx.zip")
    assert "MNIST's files hold grey images: write colour ones to an .npz file." in capsys.readouterr().err


def test_a_path_that_cannot_be_written_is_refused(weights, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        sample(weights, tmp_path / "file" / "digits.png")
    assert "Cannot write" in capsys.readouterr().err


def test_the_picture_in_the_readme_is_what_its_command_draws(tmp_path) -> None:
    shown, drawn = ROOT / "docs/digits.png", tmp_path / "digits.png"
    main(["sample", "--digits", "0-9", "--steps", "40", "--out", str(drawn)])
    assert Recipe.from_file(drawn) == Recipe.from_file(shown)
    with Image.open(drawn) as mine, Image.open(shown) as theirs:
        assert np.abs(np.asarray(mine).astype(int) - theirs).mean() < 0.5


def test_what_is_not_said_is_what_the_weights_draw_with(make_denoiser, few_step, tmp_path) -> None:
    main(["sample", "--weights", "few-step", "--out", str(tmp_path / "digits.png")])
    recipe = Recipe.from_file(tmp_path / "digits.png")
    assert replace(recipe, weights="") == few_step.recipe(range(10))
    unet = UNetConfig((8, 8), 1, (), 16, classes=3)
    Pipeline(make_denoiser(unet)).save_pretrained(tmp_path)
    sample(str(tmp_path), tmp_path / "three.png")
    assert Recipe.from_file(tmp_path / "three.png").digits == (0, 1, 2)


@pytest.mark.parametrize("command", ["sample", "compare", "evaluate"])
def test_help_tells_each_setting_as_it_is_declared(capsys, command) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    printed = re.sub(r"[-\s]+", "", capsys.readouterr().out)  # wherever the lines are broken
    for setting in SETTINGS.values():
        line = f"{setting.help}: {setting.values} (default: {written(setting.default)})"
        assert printed.count(re.sub(r"[-\s]+", "", line)) == 1


def test_a_map_is_a_picture_of_its_own_and_stands_beside_an_animation(weights, tmp_path: Path) -> None:
    for name in ("map.png", "map.gif"):
        sample(weights, tmp_path / name, "--digits", "7,3", "--map")
        assert Recipe.from_file(tmp_path / name).digits == (7, 3)
        with Image.open(tmp_path / name) as picture:
            frames = getattr(picture, "n_frames", 1)
            assert (picture.width > picture.height, frames) == ((True, 3) if name == "map.gif" else (False, 1))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--panel", "3"), "leave --panel out"),
        (("--reader", "own.safetensors"), "has no map"),
        (("--weights", "colour"), "which these weights do not draw"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused_before_the_digits_are(
    weights, tmp_path, capsys, make_denoiser, monkeypatch, flags, sentence
) -> None:
    monkeypatch.chdir(tmp_path)
    save_reader(load_reader(), "own.safetensors")
    unet = UNetConfig((8, 8), 1, (), 16, image_channels=3, image_size=32)
    Pipeline(make_denoiser(unet, names=tuple("abcdefghij"))).save_pretrained("colour")
    with pytest.raises(SystemExit):
        sample(weights, Path("map.png"), "--map", *flags)
    assert sentence in capsys.readouterr().err
    assert not Path("map.png").exists()


def test_too_large_a_picture_is_refused(weights, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        sample(weights, tmp_path / "digits.png", "--count", "101")
    assert "at most 1,000 images, an .npz file more: choose that, or fewer images." in capsys.readouterr().err


def test_help_names_every_command(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(command in printed for command in ("sample", "evaluate", "train-reader"))


@pytest.mark.parametrize("command", ["sample", "compare", "evaluate"])
def test_help_names_the_flag_of_every_setting(capsys, command: str) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    printed = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} " in printed for name in SETTINGS)


def test_a_recipe_of_clothes_is_not_drawn_as_digits(tmp_path, capsys) -> None:
    fashion = fingerprint(find("fashion-few-step"))
    (tmp_path / "shirt.json").write_text(Recipe((6,), steps=2, sampler="ddim", weights=fashion).to_json())
    with pytest.raises(SystemExit):
        sample("few-step", tmp_path / "no.png", "--recipe", str(tmp_path / "shirt.json"))
    told = "This recipe is of the weights fashion-few-step, which draw other things: name those, or none."
    assert told in capsys.readouterr().err
    sample("few-step", tmp_path / "seven.png", "--recipe", str(tmp_path / "shirt.json"), "--digits", "7")
    assert Recipe.from_file(tmp_path / "seven.png").digits == (7,)  # its settings, and digits of one's own


def test_styles_by_flags_by_words_and_from_a_picture(make_denoiser, styles, tmp_path, capsys) -> None:
    Pipeline(make_denoiser(styles=styles)).save_pretrained(tmp_path)
    flags = ("--thickness", "3", "--slant", "-0.2", "--width", "any", "--hand", "5", "--count", "2")
    sample(str(tmp_path), tmp_path / "first.png", "--digits", "a thick 7, 3", *flags)
    recipe = Recipe.from_file(tmp_path / "first.png")
    assert (recipe.thickness, recipe.slant, recipe.width, recipe.hand) == (3, -0.2, "any", 5)
    assert recipe.words == ((0, "thick"), (2, "thick"))
    sample(str(tmp_path), tmp_path / "again.png", "--recipe", str(tmp_path / "first.png"))
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "first.png").read_bytes()
    sample(str(tmp_path), tmp_path / "more.png", "--recipe", str(tmp_path / "first.png"), "--count", "2")
    assert Recipe.from_file(tmp_path / "more.png").words == tuple((k, "thick") for k in (0, 2, 4, 6))
    sample(str(tmp_path), tmp_path / "two.png", "--prompts", "3", "a thin 7")
    assert Recipe.from_file(tmp_path / "two.png").words == ((1, "thin"),)
    for wrong, told in (
        (("--thickness", "99"), "thickness must be any or 1"),
        (("--digits", "a thick thin 7"), "thick and thin at once"),
        (("--weights", str(ROOT / "tests" / "fixtures" / "before"), "--hand", "3"), "know what to write and not how"),
    ):
        with pytest.raises(SystemExit):
            sample(str(tmp_path), tmp_path / "no.png", *wrong)
        assert told in capsys.readouterr().err
