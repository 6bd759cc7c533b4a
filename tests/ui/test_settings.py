"""The page's controls follow from what is declared and offered, whatever the weights."""

import gradio as gr
import numpy as np
import pytest
from test_model import NAMES, SHAPE, ClosedForm

import app
from diffusion import Pipeline
from diffusion.model import Offer
from diffusion.recipe import SETTINGS
from diffusion.settings import Choice, Interval, Number, Setting, Whole
from diffusion.style import HOW
from ui import request
from ui.settings import Settings
from ui.tabs.dataset import DataSet
from ui.tabs.draw import Draw
from ui.work import Work


def panel(pipes: dict[str, Pipeline]) -> Settings:
    with gr.Blocks():
        return Settings(Work(pipes))


def offering(**settings: Setting) -> Pipeline:
    """A pipeline whose weights offer these settings instead of the usual ones."""
    model = ClosedForm()
    model.offer = Offer(NAMES, SETTINGS | settings)
    return Pipeline(model)


@pytest.mark.parametrize(
    ("values", "default", "kinds"),
    [
        (Number(0, 3), 1.0, [gr.Slider]),
        (Whole(1, 50), 4, [gr.Slider]),
        (Whole(1, 1000), 20, [gr.Number]),
        (Whole(0, 10**9), 4, [gr.Number]),
        (Choice((1, 2, 4)), 2, [gr.Radio]),
        (Interval(0, 9), (2, 5), [gr.Slider, gr.Slider]),
        (Choice(("only",)), "only", []),
    ],
    ids=str,
)
def test_a_new_setting_gets_the_control_that_suits_its_values(values, default, kinds) -> None:
    settings = panel({"bundled": offering(glow=Setting("glow", values, default, "how it glows"))})
    control = settings.controls["bundled"].get("glow")
    assert [type(part) for part in (control.inputs if control else [])] == kinds
    data = {part: part.value for part in settings.inputs}
    assert settings.values(data, "bundled")["glow"] == default
    if control:
        put = settings.put({"glow": default}, "bundled")
        assert [put[part]["value"] for part in control.inputs] == list(default if len(kinds) > 1 else [default])


def test_weights_have_controls_for_what_they_offer_and_share_the_others(pipe, few_step) -> None:
    settings = panel({"bundled": pipe, "few-step": few_step})
    usual, few = settings.controls["bundled"], settings.controls["few-step"]
    assert set(usual) == set(SETTINGS)
    assert set(few) == {"guidance", "steps", "seed", *(HOW if few_step.offer.styles else ())}
    assert few["seed"] is usual["seed"]
    guidance, (least, most) = few["guidance"].inputs[0], few_step.model.config.few_step.guidance
    assert (guidance.minimum, guidance.maximum) == (least, most)
    assert "0 draws anything" in usual["guidance"].inputs[0].info
    assert "0" not in guidance.info, "it does not go there"
    assert [value for _, value in few["steps"].inputs[0].choices] == [1, 2, 4, 8]
    data = {part: part.value for part in settings.inputs}
    assert request.recipe(settings.values(data, "few-step"), few_step).steps == few_step.offer.defaults["steps"]
    update = settings.use(data | {settings.weights: "few-step", usual["guidance"].inputs[0]: 9.0})
    assert update[few["guidance"].inputs[0]]["value"] == most, "as far as they go"
    assert update[settings.new_seed] is False
    assert not update[usual["steps"].inputs[0]]["visible"]
    assert update[few["steps"].inputs[0]]["visible"]


def test_a_model_of_other_images_is_drawn_on_the_page() -> None:
    pipe = Pipeline(ClosedForm())
    with gr.Blocks():
        draw = Draw(Work({"bundled": pipe}))
    assert draw.prompt.text.value == "red, green, blue"
    assert [name for name, _ in draw.prompt.picker.choices] == list(NAMES)
    data = {part: part.value for part in {draw.session, draw.reading, draw.until_right, *draw.settings.inputs}}
    *_, last = draw.draw(data | {draw.prompt.text: "blue and two reds"})
    shown = last[draw.player]
    assert shown["size"] == [SHAPE[2], SHAPE[1]]
    assert [tile["name"].split(",")[0] for tile in shown["tiles"]] == ["blue", "red", "red"]
    drawn = draw.session.value.shown.result.images
    wanted = ((pipe.model.pictures[[2, 0, 0]] + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(drawn - wanted).max() <= 1
    app.build(pipe)  # with all of its tabs


def test_colour_in_mnist_s_files_is_refused_before_anything_is_drawn(monkeypatch) -> None:
    with gr.Blocks():
        work = Work({"bundled": Pipeline(ClosedForm())})
        dataset = DataSet(work, Settings(work))
    monkeypatch.setattr(work, "steps", lambda *_: pytest.fail("drawn"))
    data = {part: part.value for part in {dataset.prompt, dataset.count, dataset.file, *dataset.settings.inputs}}
    [answer] = dataset.make(data | {dataset.kind: "MNIST's own files (IDX)"})
    assert "MNIST&#x27;s files hold grey images" in answer[dataset.status]


def test_what_cannot_be_read_is_refused_in_a_sentence_and_stays() -> None:
    with gr.Blocks():
        draw = Draw(Work({"bundled": Pipeline(ClosedForm())}))
    data = {part: part.value for part in {draw.session, draw.until_right, *draw.settings.inputs}}
    *_, last = draw.draw(data | {draw.prompt.text: "red", draw.reading: True})
    assert "which these weights do not draw" in last[draw.status]
    assert len(last[draw.player]["tiles"]) == 1
