"""What the tab Lab asks for: examples, the way from controls to recipes and back, links, and the canvas."""

import html
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from diffusion import Recipe
from diffusion.files import render
from diffusion.lab import recipes
from ui import ambigrams, experiments, links
from ui.canvas import Canvas, holding, real_digit
from ui.drawing import Drawing
from ui.experiments import EXPERIMENTS
from ui.session import Plan, Session
from ui.tabs.lab import Lab
from ui.work import Moment, Work

SEEDED = {"seed": 5}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_example_can_be_drawn_and_comes_back_from_its_recipe(pipe, name) -> None:
    recipe = experiments.recipe(experiments.example(name, pipe) | SEEDED, pipe)
    assert recipe.activity.name == name
    assert experiments.recipe(experiments.values(recipe), pipe) == recipe


def test_a_digit_is_left_to_the_network_where_that_can_be(pipe, refuses) -> None:
    values = experiments.example("edit", pipe) | {"digits": [None]}
    assert experiments.recipe(values, pipe).guidance == 0
    with refuses("needs 2 digits"):
        experiments.recipe(experiments.example("anagram", pipe) | {"digits": [6, None]}, pipe)


@pytest.mark.parametrize("name", ["anagram", "hybrid", "morph"])
def test_what_needs_no_picture_goes_into_a_link(pipe, few_step, name) -> None:
    work = Work({"bundled": pipe, "few-step": few_step})
    recipe = experiments.recipe(experiments.example(name, pipe) | SEEDED | {"steps": 7, "guidance": 2.5}, pipe)
    if name != "morph":
        recipe = recipe.with_seed(1, 99)
    query = links.link(recipe, "", work)
    assert f"activity={name}" in query
    found = links.activity_from_link(query, work)
    assert replace(found, weights=recipe.weights) == recipe
    assert links.from_link(query, work) is None, "it is none for the tab Draw"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?activity=edit&digits=7", "activity must be one of"),
        ("?activity=anagram&digits=6", "needs 2 digits"),
        ("?activity=anagram&digits=6,9&views=sideways", "must be one of"),
        ("?activity=hybrid&digits=3,3", "two digits that differ"),
    ],
)
def test_a_link_to_the_lab_that_means_nothing_is_refused(pipe, refuses, query, sentence) -> None:
    work = Work({"bundled": pipe})
    with refuses(sentence):
        work.of(found := links.activity_from_link(query, work)).check(found)


def test_a_picture_has_no_room_in_a_link(pipe, refuses) -> None:
    recipe = recipes.edit(pipe, real_digit(3, 0), 8)
    with refuses("no room for pictures"):
        links.link(recipe, "", Work({"bundled": pipe}))


def test_a_picture_of_the_network_s_own_size_is_left_as_it_is(pipe, refuses) -> None:
    with gr.Blocks():
        canvas = Canvas(pipe)
    digit, mask = real_digit(4, 1), np.zeros((28, 28), np.uint8)
    mask[14:] = 255
    value = holding(digit, mask)
    assert (canvas.pixels(value) == digit).all()
    assert (canvas.mask(value) == mask).all()
    with refuses("no picture"):
        canvas.pixels({"picture": "", "exact": False, "mask": ""})
    with refuses("paint a mask"):
        canvas.mask(holding(digit))
    with refuses("no digit on this picture"):
        canvas.pixels(holding(np.zeros((280, 280), np.uint8)) | {"exact": False})
    with refuses("damaged"):
        canvas.pixels(value | {"picture": "data:image/png;base64,%%%"})


def test_noise_is_taken_away_from_the_level_that_is_asked_for(pipe) -> None:
    recipe = recipes.denoise(pipe, real_digit(2, 5), levels=[700], seed=1)
    *moments, result = Work({"bundled": pipe}).run(recipe)
    assert isinstance(moments[0], Moment)
    assert (moments[0].level, moments[0].done, moments[-1].done) == (700, 0, moments[-1].steps)
    assert result.recipe == replace(recipe, weights=pipe.weights)


def test_the_share_that_is_done_counts_the_work_of_each_step(pipe) -> None:
    recipe = recipes.anagram(pipe, [6, 9], inner=1, steps=4, guidance=1)
    *moments, _ = Work({"bundled": pipe}).run(recipe)
    asks = np.cumsum([2, 4, 4, 2])  # two digits a guess; inner steps, but for the first level and the last
    assert [moment.share for moment in moments] == [0, *asks / 12]


def test_some_images_are_drawn_again_with_their_own_pictures(pipe) -> None:
    recipe = recipes.edit(pipe, [real_digit(3, 0), real_digit(4, 0)], [8, 9], seed=3)
    part = Plan(recipe, "", 0, base=pipe.run(replace(recipe, steps=2)).result(), again=(1,)).part
    assert (part.digits, part.seeds, part.activity) == ((9,), [4], recipe.alone(1).activity)


def test_each_look_is_read_once_for_status_player_and_file(pipe, monkeypatch) -> None:
    images_read = []

    class Counting:
        dataset = "mnist"

        def read(self, images):
            images_read.append(len(images))
            return np.eye(10)[[6] * len(images)], None

    monkeypatch.setattr("ui.work.reader", lambda *_: Counting())
    monkeypatch.setattr("ui.work.map_of", lambda *_: None)  # that of the real one reads by itself
    work, session = Work({"bundled": pipe}), Session()
    recipe = recipes.anagram(pipe, [6, 9], count=2, steps=1)
    drawing = Drawing(work, session, Plan(recipe, "", 0), reading=True, until_right=False)
    assert all(line for line, _ in drawing)
    drawn = session.shown
    assert [[each.read for each in look] for look in drawn.looks] == [[6, 6], [6, 6]]
    assert not any(reading.right for reading in drawn.readings), "turned, neither is a 9"
    assert work.picture(drawn.result, ".png", drawn.looks).startswith(b"\x89PNG")
    assert images_read == [2, 2]


def test_an_edit_says_how_many_of_the_steps_it_takes_and_from_where(pipe) -> None:
    work, edit = Work({"bundled": pipe}), experiments.example("edit", pipe) | SEEDED | {"steps": 10}
    for strength, told in (
        ((0.4,), "The last 4 of 10 steps, from noise level 399. Step 0 of 4,"),
        ((0.2, 0.4), "At most the last 4 of 10 steps, from noise level 399. Step 0 of 4,"),
        ((1.0,), "Step 0 of 10,"),
    ):
        recipe = experiments.recipe(edit | {"strength": strength}, pipe)
        drawing = Drawing(work, Session(), Plan(recipe, "", 0), reading=False, until_right=False)
        assert f"<p>{told}" in drawing.begun
        assert f"<p>{told}" in next(iter(drawing))[0]


@pytest.fixture(scope="module")
def lab(pipe) -> Lab:
    with gr.Blocks(), gr.Tab("Lab") as tab:
        return Lab(Work({"bundled": pipe}), tab)


def of_a_later_version(recipe: Recipe) -> bytes:
    text = recipe.to_json().replace('"version": 2', '"version": 99')
    return render.png(np.zeros((28, 28), np.uint8), text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda pipe: b"a letter", "no picture that can be read"),
        (lambda pipe: b"", "is empty"),
        (lambda pipe: render.png(np.full((90, 90), 200, np.uint8), ""), "no digit on this picture"),
        (lambda pipe: render.png(np.zeros((10_000, 10_000), np.uint8), ""), "megapixels"),
        (lambda pipe: of_a_later_version(recipes.anagram(pipe, [6, 9])), "newer version"),
        (lambda pipe: pipe([1, 2], steps=1).picture(".png"), "several images"),
    ],
    ids=["text", "empty", "blank", "huge", "later version", "several"],
)
def test_a_file_that_is_of_no_use_is_refused_and_the_canvas_stays(lab, pipe, tmp_path, content, sentence) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content(pipe))
    for activity in ("edit", "anagram"):
        update = lab.open_file(
            {lab.session: Session(), lab.controls.canvas.open: path, lab.controls.activity: activity}
        )
        assert sentence in html.unescape(update.pop(lab.bench.status))
        assert update == {lab.ready: ""}


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("inpaint", {"mask": np.zeros((28, 28), np.uint8)}, "None of the picture is white in the mask"),
        ("inpaint", {"mask": np.full((28, 28), 255, np.uint8)}, "All of the picture is white in the mask"),
        ("inpaint", {"mask": np.eye(20, dtype=np.uint8) * 255}, "The mask must be as large as the picture"),
        ("edit", {"strength": -0.1}, "strength must be a number from 0 to 1"),
        ("anagram", {"views": ("sideways",)}, "must be one of"),
        ("anagram", {"digits": (6,)}, "An anagram needs 2 digits"),
        ("hybrid", {"digits": (3, 3)}, "two digits that differ"),
        ("forward", {"levels": (500, 250)}, "levels must be one or more that rise"),
    ],
    ids=str,
)
def test_what_the_controls_ask_for_is_refused_where_no_run_can_have_it(pipe, refuses, name, given, sentence) -> None:
    with refuses(sentence):
        experiments.recipe(experiments.example(name, pipe) | given, pipe)


def test_each_cell_of_the_table_has_its_recipe(pipe, refuses) -> None:
    recipe = ambigrams.cell(pipe, 6, 9)
    assert (recipe.digits, recipe.activity.digits) == ((6,), (9,))
    assert isinstance(recipe, Recipe)
    with refuses("row must be"):
        ambigrams.cell(pipe, 10, 0)
