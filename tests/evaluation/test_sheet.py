"""The X/Y sheet: every cell what its recipe draws, every label beside its cells and over nothing else."""

import json
from copy import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from diffusion import Pipeline, Recipe
from diffusion.__main__ import main
from diffusion.evaluation.sheet import DARK, GAP, Sheet, axis
from diffusion.files import render
from diffusion.networks.unet import UNetConfig

RECIPE = Recipe((7,), steps=2, seed=5)


@pytest.fixture
def pipe(tiny_denoiser) -> Pipeline:
    return Pipeline(tiny_denoiser, "0123abcd")


def cells(sheet: Sheet) -> list[np.ndarray]:
    """The cells of a sheet, found where the same sheet is black before anything is drawn."""
    blank = copy(sheet)
    blank._cells = []
    black = (blank.picture == 0).all(-1)
    height, width = sheet._size
    rows, columns = (np.flatnonzero(np.diff(black.any(axis).astype(int), prepend=0) == 1) for axis in (1, 0))
    assert black.sum() == len(rows) * len(columns) * height * width
    return [sheet.picture[row : row + height, column : column + width] for row in rows for column in columns]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (("steps", [1, 2, 3]), ("guidance", [1, 2.5])),
        (("sampler", ["ddim", "dpm++2m"]), ("steps", [1, 2])),
        (("digits", [0, 9]), ("guidance", [0, 4])),
        (("seed", [5, 2**32 - 1]), ("sampler", ["ddpm"])),
    ],
    ids=str,
)
def test_every_cell_is_what_its_settings_draw(pipe, x, y):
    sheet = Sheet(pipe, RECIPE, x, y)
    assert list(sheet) == list(range(1, len(x[1]) * len(y[1]) + 1))
    wanted = []
    for value_y in y[1]:
        for value_x in x[1]:
            changes = {x[0]: value_x, y[0]: value_y}
            changes = {name: (value,) if name == "digits" else value for name, value in changes.items()}
            wanted.append(pipe.run(replace(RECIPE, **changes)).result().images[0])
    scale = sheet._size[0] // 28
    for found, image in zip(cells(sheet), wanted, strict=True):
        assert np.array_equal(found[::scale, ::scale, 0], image)
        assert np.array_equal(found[..., 0], found[..., 2])


def test_all_cells_start_from_one_noise(pipe):
    sheet = Sheet(pipe, replace(RECIPE, digits=(7, 3)).with_seed(1, 9), ("steps", [1, 2]), ("digits", [0, 1]))
    assert {tuple(cell.seeds) for cell in sheet.recipes} == {(5, 9)}
    assert [cell.digits for cell in sheet.recipes] == [(0, 0), (0, 0), (1, 1), (1, 1)]


def test_the_picture_grows_cell_by_cell_and_keeps_its_size(pipe):
    sheet = Sheet(pipe, RECIPE, ("steps", [1, 2]), ("guidance", [1, 2]))
    pictures = [sheet.picture, *(sheet.picture for _ in sheet)]
    assert len({picture.shape for picture in pictures}) == 1
    assert len(pictures) == 5
    assert all((before != after).any() for before, after in pairwise(pictures))


def test_the_share_of_the_work_counts_evaluations(pipe):
    sheet = Sheet(pipe, RECIPE, ("steps", [1, 9]), ("guidance", [1]))
    assert [sheet.share, *(sheet.share for _ in sheet)] == [0, 0.1, 1]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (("steps", [1, 1000]), ("guidance", [1, 12.75])),
        (("sampler", ["dpm++2m"] * 3), ("seed", [2**32 - 1, 0])),
        (("seed", [4294967295] * 4), ("digits", [0, 1])),
    ],
    ids=str,
)
def test_labels_are_written_beside_the_cells_and_touch_nothing(pipe, x, y):
    sheet = Sheet(pipe, RECIPE, x, y)
    ink = sheet.picture.max(-1) > DARK[0] + 30  # cells are still black
    height, _ = sheet._size
    rows = len(y[1])
    head = sheet.picture.shape[0] - rows * (height + GAP)
    names = ink[:head].any(0)
    assert ink[0].sum() == ink[head - 1].sum() == 0
    assert not names[[0, -1]].any()
    gaps = np.diff(np.flatnonzero(names))
    assert (gaps >= GAP).sum() == len(x[1]) - 1  # between two labels, and nowhere within one
    for k in range(rows):
        assert ink[head + k * (height + GAP) : head + k * (height + GAP) + height].any()
    assert not ink[head:, 0].any()


def test_colour_and_names_are_shown(make_denoiser):
    names = ("T-shirt/top", *"bcdefgh", "Bag", "Ankle boot with a very long name")
    pipe = Pipeline(make_denoiser(UNetConfig((8,), 1, (), 16, image_channels=3, image_size=32), names=names))
    sheet = Sheet(pipe, RECIPE, ("digits", [0, 9]), ("steps", [1]))
    list(sheet)
    image = pipe.run(replace(RECIPE, digits=(9,), steps=1)).result().images[0]
    scale = sheet._size[0] // 32
    assert np.array_equal(cells(sheet)[1][::scale, ::scale], image)


def test_the_file_is_drawn_to_its_end_and_says_what_was_compared(pipe, tmp_path):
    sheet = Sheet(pipe, RECIPE, ("steps", [1, 2.0]), ("guidance", [1, 2.5]))
    next(sheet)
    sheet.save(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as file:
        assert np.array_equal(np.asarray(file), sheet.picture)
        assert json.loads(file.text["axes"]) == {"x": {"steps": [1, 2]}, "y": {"guidance": [1, 2.5]}}
    assert Recipe.from_file(tmp_path / "sheet.png") == replace(RECIPE, weights="0123abcd")
    assert len(cells(sheet)) == 4


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (("steps", [1]), ("steps", [2]), "Both axes are 'steps'"),
        (
            ("colour", [1]),
            ("steps", [2]),
            "An axis must be one of digits, guidance, steps, sampler, eta, seed, spacing",
        ),
        (("steps", []), ("guidance", [2]), "Give 1 to 20 values of steps"),
        (("steps", "12"), ("guidance", [2]), "Give 1 to 20 values of steps"),
        (("seed", range(21)), ("guidance", [2]), "Give 1 to 20 values of seed"),
        (("steps", [0]), ("guidance", [2]), "steps must be a whole number from 1 to 1,000, not 0"),
        (("sampler", ["euler"]), ("guidance", [2]), "sampler must be one of"),
        (("digits", [10]), ("guidance", [2]), "digits must be one or more whole numbers from 0 to 9"),
        (("seed", list(range(20))), ("guidance", list(range(20))), "at most 400 images, not 800"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_other_axes_are_refused_before_anything_is_drawn(pipe, x, y, sentence, refuses):
    with refuses(sentence):
        Sheet(pipe, replace(RECIPE, digits=(7, 3)), x, y)


def test_a_cell_at_guidance_0_is_of_any_style(make_denoiser, styles):
    recipe = Recipe((7,), steps=1, hand=5, words=((0, "thick"),))
    sheet = Sheet(Pipeline(make_denoiser(styles=styles)), recipe, ("guidance", [0, 1]), ("seed", [1]))
    assert [(cell.hand, cell.words) for cell in sheet.recipes] == [("any", ()), (5, recipe.words)]


def test_a_word_that_says_what_is_compared_is_refused(pipe, refuses):
    with refuses("thick says the thickness already"):
        Sheet(pipe, replace(RECIPE, words=((0, "thick"),)), ("thickness", [2, 3]), ("steps", [1]))


class TestCommand:
    """python -m diffusion compare"""

    @pytest.fixture
    def weights(self, tiny_denoiser, tmp_path) -> str:
        Pipeline(tiny_denoiser).save_pretrained(tmp_path / "weights")
        return str(tmp_path / "weights")

    def test_it_writes_the_sheet(self, weights, tmp_path):
        flags = ["--x", "steps=1,2", "--y", "sampler=ddim,dpm++2m", "--digits", "7", "--out", str(tmp_path / "a.png")]
        main(["compare", "--weights", weights, *flags])
        pipe = Pipeline.from_pretrained(weights)
        sheet = Sheet(pipe, Recipe((7,)), ("steps", [1, 2]), ("sampler", ["ddim", "dpm++2m"]))
        list(sheet)
        with Image.open(tmp_path / "a.png") as file:
            assert np.array_equal(np.asarray(file), sheet.picture)

    def test_digits_are_written_as_everywhere(self, weights, tmp_path):
        flags = ["--x", "digits=0-2", "--y", "guidance=1", "--steps", "1", "--count", "2"]
        main(["compare", "--weights", weights, *flags, "--out", str(tmp_path / "a.png")])
        with Image.open(tmp_path / "a.png") as file:
            assert json.loads(file.text["axes"])["x"] == {"digits": [0, 1, 2]}
        assert len(Recipe.from_file(tmp_path / "a.png").digits) == 2

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            (["--x", "steps", "--y", "guidance=1"], "--x must be like steps=4,10,50, not 'steps'."),
            (["--x", "steps=a", "--y", "guidance=1"], "steps must be a whole number from 1 to 1,000, not 'a'."),
            (["--x", "steps=1", "--y", "digits=ten"], "Cannot read 'ten' as digits"),
            (["--x", "steps=1", "--y", "guidance=1", "--out", "a.gif"], "a.gif must end in .png."),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_bad_input_is_one_sentence(self, weights, tmp_path, capsys, flags, sentence):
        with pytest.raises(SystemExit) as exit:
            main(["compare", "--weights", weights, "--out", str(tmp_path / "a.png"), *flags])
        assert exit.value.code == 2
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "a.png").exists()


def test_cells_of_many_digits_are_grids(pipe):
    sheet = Sheet(pipe, replace(RECIPE, digits=tuple(range(5))), ("steps", [1]), ("guidance", [1]))
    list(sheet)
    images = pipe.run(sheet.recipes[0]).result().images
    [cell] = cells(sheet)
    scale = sheet._size[0] // render.grid(images, 3, 1).shape[0]
    assert np.array_equal(cell[..., 0], render.grid(images, 3, scale))


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("steps", "4, 10,50", [4, 10, 50]),
        ("sampler", "ddim, dpm++2m,", ["ddim", "dpm++2m"]),
        ("digits", "7 and two 3s", [7, 3, 3]),
    ],
)
def test_an_axis_is_read_as_it_is_written(name, text, values):
    assert axis(name, text) == (name, values)
