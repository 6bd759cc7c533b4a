"""The lab on the command line: files as promised, recipes that do the same again, one sentence for bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion import Pipeline, Recipe
from diffusion.__main__ import main
from diffusion.cli.lab import COMMANDS
from diffusion.lab import ImageToImage, Inpainting, Morph
from diffusion.lab.edit import CLASSIC
from diffusion.lab.picture import unpacked
from diffusion.networks.unet import UNetConfig

FLAGS = {
    "forward": ["--levels", "250,750"],
    "denoise": ["--levels", "250,750", "--stride", "200"],
    "edit": ["--digits", "7", "--strength", "0.5,1"],
    "inpaint": ["--digits", "7", "--mask", "bottom", "--method", "replacement"],
    "anagram": ["--digits", "6,9", "--inner", "0"],
    "hybrid": ["--digits", "3,8"],
    "morph": ["--digits", "3,8", "--frames", "4"],
}
STEPS = {name: ["--steps", "2"] for name in FLAGS if name not in ("forward", "denoise")}
TAKES_PICTURES = ("forward", "denoise", "edit", "inpaint")


@pytest.fixture
def photo(tmp_path: Path, digits) -> str:
    """A digit on grey paper, as a JPEG."""
    pixels = 200 - 0.6 * digits[0][0].numpy()
    Image.fromarray(pixels.astype(np.uint8)).resize((200, 200)).save(tmp_path / "photo.jpg")
    return str(tmp_path / "photo.jpg")


@pytest.fixture
def lab(weights: str, photo: str, tmp_path: Path):
    """Runs a command into a file of that name: lab("edit", "a.png", *flags)."""

    def run(name: str, file: str, *flags: str, usual: bool = True) -> Path:
        given = [*FLAGS[name], *STEPS.get(name, [])] if usual else []
        given += ["--image", photo] if usual and name in TAKES_PICTURES and "--image" not in flags else []
        main([name, "--weights", weights, "--out", str(tmp_path / file), *given, *flags])
        return tmp_path / file

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", FLAGS)
def test_a_recipe_does_the_same_again(lab, tmp_path, capsys, name) -> None:
    first = lab(name, "a.png", "--seed", "5")
    again = lab(name, "again.png", "--recipe", str(first), usual=False)
    assert np.array_equal(pixels(again), pixels(first))
    recipe = Recipe.from_file(first)
    assert recipe == Recipe.from_file(again)
    capsys.readouterr()
    main(["recipe", str(first)])
    said = json.loads(capsys.readouterr().out)
    assert said["activity"]["name"] == name
    assert said["version"] == 2  # who knows no activities calls it newer


@pytest.mark.parametrize("name", FLAGS)
def test_animations_and_arrays(lab, name) -> None:
    with Image.open(lab(name, "a.gif", "--scale", "1")) as film:
        assert film.n_frames > 2
    assert Recipe.from_file(lab(name, "a.webp", "--scale", "1")).activity.name == name
    with np.load(lab(name, "a.npz")) as file:
        images = file["images"]
        assert images.dtype == np.uint8
        assert images.shape[1:] == (28, 28)
        assert "seeds" in file
        assert ("viewed" in file) == (name in ("anagram", "hybrid"))
        if name == "anagram":
            assert np.array_equal(file["viewed"], images[:, ::-1, ::-1])


def test_sample_draws_the_same_anagram(lab, weights, tmp_path) -> None:
    with np.load(lab("anagram", "a.npz", "--count", "2")) as file:
        images = file["images"]
    flags = ["--recipe", str(lab("anagram", "a.png", "--count", "2")), "--out", str(tmp_path / "b.npz")]
    main(["sample", "--weights", weights, *flags])
    with np.load(tmp_path / "b.npz") as file:
        assert np.array_equal(file["images"], images)


def test_the_finished_anagram_turns_in_its_animation(lab) -> None:
    with Image.open(lab("anagram", "a.gif", "--scale", "8")) as film:
        frames = []
        for k in range(film.n_frames):
            film.seek(k)
            frames.append((np.asarray(film.convert("L"))[-234:-10, 10:234], film.info["duration"]))
    upright = frames[2]  # two steps after noise
    turned = next(k for k, (frame, _) in enumerate(frames) if np.array_equal(frame, upright[0][::-1, ::-1]))
    assert [time for _, time in frames[3:turned]] == [250] * 3
    assert frames[turned][1] >= 1000


def test_a_morph_loops(lab) -> None:
    with np.load(lab("morph", "a.npz")) as file, Image.open(lab("morph", "a.gif", "--scale", "2")) as film:
        images, shown = file["images"], []
        for k in range(film.n_frames):
            film.seek(k)
            shown.append(np.asarray(film.convert("L"))[::2, ::2])
    assert all(np.array_equal(frame, images[k]) for frame, k in zip(shown, [0, 1, 2, 3, 2, 1], strict=True))


def test_a_strip_has_a_column_for_each_strength_all_from_one_noise(lab, digits) -> None:
    recipe = Recipe.from_file(lab("edit", "a.png", "--strength", "classic", "--count", "2", "--digits", "7"))
    assert isinstance(recipe.activity, ImageToImage)
    assert recipe.activity.strengths == CLASSIC * 2
    assert recipe.seeds == [0] * 6 + [1] * 6
    other = lab("edit", "b.png", "--recipe", str(lab("edit", "a.png")), "--seed", "7", usual=False)
    assert Recipe.from_file(other).seeds == [7, 7]
    with np.load(lab("edit", "a.npz", "--strength", "0,1", "--sampler", "ddim")) as file:
        assert np.array_equal(file["images"][0], unpacked(recipe.activity.images[0]))
        assert not np.array_equal(file["images"][1], file["images"][0])


def test_a_batch_of_digits_is_a_picture_each(lab, tmp_path, digits) -> None:
    np.savez(tmp_path / "batch.npz", images=digits[0][:3].numpy())
    with np.load(lab("inpaint", "a.npz", "--image", str(tmp_path / "batch.npz"), "--digits", "1,2,3")) as file:
        assert file["labels"].tolist() == [1, 2, 3]
        assert np.array_equal(file["images"][:, :14], digits[0][:3, :14].numpy())


def test_a_mask_may_be_a_picture(lab, tmp_path) -> None:
    mask = np.zeros((28, 28), np.uint8)
    mask[5:9, 3:7] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    activity = Recipe.from_file(lab("inpaint", "a.png", "--mask", str(tmp_path / "mask.png"))).activity
    assert isinstance(activity, Inpainting)
    assert np.array_equal(activity.hidden, mask > 0)


def test_two_pictures_are_morphed_as_what_they_are_read_as(lab, tmp_path, digits, capsys) -> None:
    files = []
    for label in (3, 8):
        files += ["--image", str(tmp_path / f"{label}.png")]
        Image.fromarray(digits[0][digits[1] == label][1].numpy()).save(files[-1])
    path = lab("morph", "a.png", "--as-is", "--frames", "3", "--steps", "2", *files, usual=False)
    activity = Recipe.from_file(path).activity
    assert isinstance(activity, Morph)
    assert activity.digits == (3, 8)
    assert "come back with errors of" in capsys.readouterr().out


def test_both_readings_are_told(lab, tmp_path, capsys) -> None:
    lab("anagram", "a.png", "--until-right", "2")
    said = capsys.readouterr().out
    assert "image 0, seed" in said
    assert "upright" in said
    assert "; rotate-180" in said


def test_a_panel_has_a_row_for_each_digit(weights, tmp_path) -> None:
    out = tmp_path / "panel.png"
    main(["sample", "--weights", weights, "--steps", "5", "--digits", "012", "--panel", "4", "--out", str(out)])
    last = Pipeline.from_pretrained(weights)([0, 1, 2], steps=5).images
    assert Recipe.from_file(out).digits == (0, 1, 2)
    height, width = pixels(out).shape
    scale = 8
    for row, image in enumerate(last):  # the last column is clean
        top = height - (3 - row) * (28 * scale + 10)
        seen = pixels(out)[top : top + 28 * scale : scale, width - 10 - 28 * scale : width - 10 : scale]
        assert np.abs(seen.astype(int) - image).max() <= 1


def test_in_colour(make_denoiser, tmp_path) -> None:
    unet = UNetConfig((8, 8), 1, (), 16, image_channels=3, image_size=32)
    Pipeline(make_denoiser(unet)).save_pretrained(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    flags = ["--weights", str(tmp_path), "--image", str(tmp_path / "a.png"), "--digits", "7", "--mask", "left"]
    main(["inpaint", *flags, "--steps", "2", "--out", str(tmp_path / "b.gif")])
    assert pixels(tmp_path / "b.gif").shape[0] > 64


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        ("edit", ["--digits", "7"], "There is no picture: name one with --image."),
        ("edit", ["--image", "nowhere.png", "--digits", "7"], "Cannot read 'nowhere.png'"),
        ("edit", ["--image", "PHOTO"], "Say what to draw: add --digits"),
        ("edit", ["--image", "PHOTO", "--digits", "7", "--strength", "1.5"], "strength must be a number from 0 to 1"),
        ("edit", ["--image", "PHOTO", "--digits", "7", "--strength", "0.5,0.5"], "A strip needs strengths that differ"),
        ("edit", ["--image", "PHOTO", "--digits", "7", "--as-is"], "A picture that is left as it is must be 28 x 28"),
        ("edit", ["--image", "EMPTY", "--digits", "7"], "There is no digit on this picture"),
        ("inpaint", ["--image", "PHOTO", "--digits", "7"], "Say what to draw anew: add --mask"),
        ("inpaint", ["--image", "PHOTO", "--digits", "7", "--mask", "middle"], "There is no mask 'middle'"),
        ("inpaint", ["--image", "PHOTO", "--digits", "7", "--mask", "PHOTO"], "The mask must be 28 x 28"),
        ("inpaint", ["--image", "PHOTO", "--digits", "7", "--mask", "BLACK"], "None of the picture is white in the"),
        ("forward", ["--image", "PHOTO", "--levels", "500,250"], "levels must be one or more that rise"),
        ("denoise", ["--image", "PHOTO", "--levels", "x"], "each of levels must be a whole number from 0 to 999"),
        ("anagram", ["--digits", "6"], "An anagram needs 2 digits"),
        ("anagram", ["--digits", "6,9", "--view", "sideways"], "each of views must be one of rotate-180"),
        ("hybrid", ["--digits", "3,3"], "A hybrid needs two digits that differ"),
        ("morph", ["--digits", "3"], "A morph needs two digits"),
        ("morph", ["--digits", "3,8", "--seed", "x"], "seed must be a whole number"),
        ("morph", ["--image", "PHOTO"], "A morph needs two pictures"),
        ("denoise", ["--weights", "few-step", "--image", "PHOTO"], "These weights know only a few steps"),
        (
            "anagram",
            ["--digits", "6,9", "--inner", "2", "--weights", "few-step"],
            "These weights know only a few steps",
        ),
        ("edit", ["--recipe", "NEWER"], "This recipe is of a newer version"),
        ("edit", ["--recipe", "PLAIN"], "This recipe is one of sample"),
        ("morph", ["--recipe", "MORPH", "--seed", "3"], "A recipe has all that --seed tells"),
        ("edit", ["--recipe", "EDIT", "--digits", "3"], "A recipe has all that --digits tells"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_writes_nothing(weights, tmp_path, photo, capsys, name, flags, sentence) -> None:
    (tmp_path / "PLAIN.json").write_text(Recipe((1,)).to_json())
    newer = {"version": 2, "digits": [1], "activity": {"name": "sculpture"}}
    (tmp_path / "NEWER.json").write_text(json.dumps(newer))
    Image.fromarray(np.full((90, 90), 190, np.uint8)).save(tmp_path / "EMPTY.png")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "BLACK.png")
    for made in {"EDIT", "MORPH"} & set(flags):
        given = FLAGS[made.lower()] + (["--image", photo] if made == "EDIT" else [])
        main([made.lower(), "--weights", weights, *given, "--steps", "1", "--out", str(tmp_path / f"{made}.png")])
    places = {"PHOTO": photo} | {path.stem: str(path) for path in tmp_path.glob("[A-Z]*.*")}
    capsys.readouterr()
    chosen = [] if "--weights" in flags else ["--weights", weights]
    with pytest.raises(SystemExit) as exit:
        main([name, *chosen, "--out", str(tmp_path / "out" / "a.png"), *(places.get(flag, flag) for flag in flags)])
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"diffusion: {sentence}"), said
    assert said.endswith(".\n")
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_shows_an_example(capsys, command) -> None:
    with pytest.raises(SystemExit):
        main([command.name, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"example: python -m diffusion {command.name} {command.example}" in said


def test_one_guess_is_left_to_the_network_that_was_trained_for_it(lab, photo, tmp_path, capsys) -> None:
    flags = ["denoise", "--image", photo, "--stride", "500"]
    own = lab("denoise", "own.npz", "--levels", "499")
    other = lab("denoise", "other.npz", "--levels", "499", "--one-step", "course-denoiser")
    main([*flags, "--weights", "course-denoiser", "--levels", "499", "--out", str(tmp_path / "alone.npz")])
    one_step = {}
    for path in (own, other, tmp_path / "alone.npz"):
        with np.load(path) as file:
            one_step[path.stem] = file["one_step"].astype(int)
    assert abs(one_step["other"] - one_step["alone"]).max() <= 1
    assert abs(one_step["other"] - one_step["own"]).max() > 100
    assert "trained for one guess" not in capsys.readouterr().err
    main([*flags, "--weights", "course-denoiser", "--levels", "250,499", "--out", str(tmp_path / "a.png")])
    assert "trained for one guess at noise level 499 and for no other" in capsys.readouterr().err
