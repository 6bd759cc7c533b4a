"""How to write, asked for on the page: its controls, links, the endpoint, the other tabs and the player."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from test_player import DIGITS, pixels
from visitor import DESKTOP, PHONE, download, generate, say, set_number

import app
from diffusion import Pipeline, Recipe, Result
from diffusion.config import FewStep
from diffusion.recipe import SETTINGS
from diffusion.settings import Maybe, Number, Whole
from diffusion.style import ATTRIBUTES, HOW
from ui import endpoint, player, request
from ui.control import Control
from ui.links import from_link, link
from ui.prompt import Prompt
from ui.settings import Settings
from ui.tabs.compare import Compare
from ui.tabs.dataset import DataSet
from ui.work import Work


@pytest.fixture
def work(make_denoiser, styles) -> Work:
    styled = Pipeline(make_denoiser(styles=styles), "a" * 8)
    return Work({"bundled": styled, "few-step": Pipeline(make_denoiser(), "b" * 8)})


@pytest.mark.parametrize(
    ("values", "settable"),
    [
        (Maybe(("any",), Number(1.31, 5.19)), ["any", 2.5, 1.31, 5.19]),  # the ends lie beyond the steps of the slider
        (Maybe(("any", "many"), Whole(0, 10**9)), ["any", "many", 7]),
    ],
    ids=str,
)
def test_what_may_be_left_open_says_what_it_is_set_to(values, settable) -> None:
    with gr.Blocks():
        control = Control(SETTINGS["thickness"].only(values, "any"))
    data = {part: part.value for part in control.inputs}
    assert control.value(data) == "any"
    for value in settable:
        for part, update in control.put(value).items():
            data[part] = update.get("value", data[part])
            if isinstance(part, gr.Slider):
                assert update.get("minimum", part.minimum) <= data[part] <= update.get("maximum", part.maximum)
        assert control.value(data) == value


def test_the_prompt_takes_words_where_some_weights_know_them(work, make_denoiser) -> None:
    for there, hint in ((work, "Draws thick 7, 4."), (Work({"bundled": Pipeline(make_denoiser())}), "and not how")):
        with gr.Blocks():
            prompt = Prompt(there)
        answer = prompt.understand("a thick 7 and a 4")
        assert hint in answer["hint"]
        assert answer.get("written") == (["thick 7", "4"] if there is work else None)


def test_only_weights_that_know_styles_have_controls_for_them(work) -> None:
    with gr.Blocks():
        settings = Settings(work)
    assert settings.style.visible
    assert not settings.unstyled.visible
    assert "These weights know no styles: choose Quality to say how" in settings.unstyled.value
    assert set(HOW) <= set(settings.controls["bundled"])
    assert not set(HOW) & set(settings.controls["few-step"])
    data = {part: part.value for part in settings.inputs}
    data |= dict.fromkeys(settings.controls["bundled"]["thickness"].inputs, 3.0)
    assert settings.values(data, "bundled")["thickness"] == 3.0
    assert settings.values(data, "few-step")["thickness"] == "any"
    used = settings.use(data | {settings.weights: "few-step"})
    assert not used[settings.style]["visible"]
    assert used[settings.unstyled]["visible"]


@pytest.mark.parametrize("teacher", [True, False], ids=["with the others", "alone"])
def test_weights_of_few_steps_that_know_styles_have_the_same_controls(make_denoiser, styles, teacher: bool) -> None:
    few_step = FewStep(8, (1.5, 4.0))
    student = Pipeline(make_denoiser(few_step=few_step, styles=styles), "b" * 8)
    with gr.Blocks():
        bundled = Pipeline(make_denoiser(styles=styles if teacher else None), "a" * 8)
        settings = Settings(Work({"bundled": bundled, "few-step": student}))
    assert settings.style.visible == teacher
    few = settings.controls["few-step"]
    assert set(few) == {"seed", "guidance", "steps", *HOW}
    assert not teacher or all(few[name] is settings.controls["bundled"][name] for name in HOW)
    data = {part: part.value for part in settings.inputs}
    used = settings.use(data | {settings.weights: "few-step"})
    assert used[settings.style]["visible"]
    assert not used[settings.unstyled]["visible"]
    guidance = few["guidance"].inputs[0]
    assert (guidance.minimum, guidance.maximum, guidance.info) == (1.5, 4, "More is clearer.")
    asked = settings.values(data | dict.fromkeys(few["thickness"].inputs, 2.5), "few-step") | {"digits": "a slanted 7"}
    recipe = request.recipe(asked, student)
    assert recipe.thickness == 2.5
    assert student.run(recipe).result().images.shape == (1, 28, 28)


@pytest.mark.parametrize(
    ("recipe", "prompt"),
    [
        (Recipe((2, 0, 2, 6), thickness=3.0, slant=-0.25, width=12.5), "2026"),
        (Recipe((7, 3), hand=5, words=((1, "thick"), (1, "upright"))), "7 and a thick upright 3"),
        (Recipe((7, 3), hand="many"), ""),
    ],
    ids=["fixed", "words", "many"],
)
def test_a_link_says_how_to_write(work, recipe: Recipe, prompt: str) -> None:
    found = from_link(link(recipe, prompt, work), work)
    assert found is not None
    assert request.recipe(found[0], work.pipe("bundled")) == request.drawn_with(recipe, work.pipe("bundled"))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("digits=7&thickness=40", "With these weights, thickness must be any or {0:g} to {1:g}, not 40."),
        ("digits=7&thickness=9", "With these weights, thickness must be any or {0:g} to {1:g}, not 9."),
        ("digits=7&hand=me", "hand must be any, many or 0 to 4,294,967,295, not 'me'."),
        ("digits=a+thick+thin+7", "A digit cannot be thick and thin at once: leave one of them out."),
        ("digits=7&thickness=3&weights=few-step", "These weights know what to write and not how"),
        ("digits=a+thick+7&weights=few-step", "These weights know what to write and not how"),
    ],
)
def test_what_weights_cannot_write_is_refused(work, styles, query: str, sentence: str, refuses) -> None:
    with refuses(sentence.format(styles.low[0], styles.high[0])):
        from_link(query, work)


def test_the_endpoint_takes_a_style_as_numbers_or_words(work) -> None:
    generate = endpoint.generate_with(work)
    for given, taken in (
        ({"thickness": 2.5, "hand": 7}, (2.5, 7)),
        ({"thickness": "2.5", "hand": "many"}, (2.5, "many")),
    ):
        for png, _, _ in generate(digits="7", steps=1, seed=0, **given):
            if png:
                recipe = Recipe.from_file(png)
        assert (recipe.thickness, recipe.hand) == taken
    with pytest.raises(gr.Error, match="thickness must be any or"):
        next(generate(digits="7", thickness=20))


def test_a_data_set_is_of_many_hands_where_that_is_wanted(work) -> None:
    with gr.Blocks():
        settings = Settings(work)
        dataset = DataSet(work, settings)
    data = {part: part.value for part in {dataset.prompt, dataset.count, dataset.hands, *settings.inputs}}
    assert dataset.recipe(data).hand == "any"
    assert dataset.recipe(data | {dataset.hands: True}).hand == "many"
    assert dataset.recipe(data | {dataset.hands: True, settings.weights: "few-step"}).hand == "any"
    number, words = settings.controls["bundled"]["hand"].inputs
    assert dataset.recipe(data | {dataset.hands: True, number: 5, words: ""}).hand == 5


def test_styles_are_compared_where_some_weights_know_them(work, make_denoiser) -> None:
    for there, expected in ((work, set(HOW)), (Work({"bundled": Pipeline(make_denoiser())}), set())):
        with gr.Blocks():
            compare = Compare(there, Settings(there))
        assert {name for _, name in compare.axes[0].choices} & set(HOW) == expected
        examples = {name for _, name in compare.example.choices}
        assert ("thickness against slant" in examples) == bool(expected)


def test_digits_of_one_hand_stand_on_one_line_in_the_player() -> None:
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 5:20], images[1, 5:24] = 255, 255
    frames = np.stack([images, images])
    result = Result(images, frames, frames, [999, -1], Recipe((7, 3), steps=1, hand=5))
    last = pixels(player.trajectory(result, DIGITS)["sprite"])[28:]
    assert [int(last[:, 28 * k].nonzero()[0].max()) for k in range(4)] == [23] * 4


@pytest.fixture(scope="module")
def styled_url(make_denoiser, styles) -> Iterator[str]:
    """The address of a page whose usual weights know styles."""
    page = app.build(Pipeline(make_denoiser(styles=styles), "a" * 8), Pipeline(make_denoiser(), "b" * 8))
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield address
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_a_slider_leaves_a_style_open_until_it_is_moved(
    blank: Page, styled_url: str, tmp_path: Path, viewport, scheme
) -> None:
    page = blank
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{styled_url}?digits=73&steps=2&hand=5")  # which is drawn at once
    expect(page.locator("#status")).to_contain_text("2 digits in")
    expect(page.locator("#hand").get_by_label("one", exact=True)).to_be_checked()
    for attribute in ATTRIBUTES:
        expect(page.get_by_label(f"Any {attribute}")).to_be_checked()
    set_number(page, "Thickness", "2.5")
    expect(page.get_by_label("Any thickness")).not_to_be_checked()
    say(page, "a slanted 7")
    generate(page)
    recipe = Recipe.from_file(download(page, "#keep-png", tmp_path))
    assert (recipe.thickness, recipe.slant, recipe.hand, recipe.words) == (2.5, "any", 5, ((0, "slanted"),))
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.locator("#strip button").last.click()
    expect(page.get_by_label("Any thickness")).to_be_checked()
    page.locator("#weights").get_by_label("Quality").last.check()
    expect(page.locator("#thickness")).to_be_hidden()
    expect(page.locator("#unstyled")).to_have_text(
        "These weights know no styles: choose Quality to say how digits are written."
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
