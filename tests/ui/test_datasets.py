"""The page with weights of two data sets: each has a page of its own, and all of them share the work."""

import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Browser, Page, expect
from visitor import DESKTOP, PHONE, download, say, set_number, set_seed

import app
from diffusion import Pipeline, Recipe, checkpoint
from diffusion.data import DATASETS
from diffusion.denoiser import FewStep
from diffusion.evaluation import reader as readers
from diffusion.evaluation.reader import Reader, reader_of, save_reader
from ui.links import from_link
from ui.prompt import Prompt
from ui.tabs.compare import Compare
from ui.tabs.draw import Draw
from ui.work import Work
from ui.work import reader as loaded_reader

CLOTHES = DATASETS["fashion-mnist"].names


@pytest.fixture(scope="module")
def shipped(pipe, few_step, make_denoiser, tmp_path_factory) -> Iterator[Path]:
    """A folder of weights that ship, very small ones of digits and clothes.

    Those that all tests share are loaded first: they are not of this folder.
    """
    folder = tmp_path_factory.mktemp("checkpoints")
    for names, prefix in (((), ""), (CLOTHES, "fashion-")):
        student = {"few_step": FewStep(4, (1.0, 2.5), (300, 600))}
        for name, settings in (("model", {}), ("few-step", student)):
            file = "fashion" if prefix and name == "model" else prefix + name
            checkpoint.save(make_denoiser(names=names, **settings), folder / f"{file}.safetensors")
    save_reader(Reader(10, 1, "fashion-mnist").eval(), folder / "fashion-reader.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "BUNDLED", folder)
        patch.setitem(readers.READERS, "fashion-mnist", folder / "fashion-reader.safetensors")
        yield folder
    loaded_reader.cache_clear()


@pytest.fixture
def work(shipped) -> Work:
    return Work({name: Pipeline.from_pretrained(name, device="cpu") for name in checkpoint.shipped()})


def test_weights_are_offered_by_what_they_draw(work) -> None:
    assert [(part.things, [*part.pipes]) for part in work.parts] == [
        ("digits", ["bundled", "few-step"]),
        ("clothes", ["fashion", "fashion-few-step"]),
    ]
    _, clothes = work.parts
    with gr.Blocks():
        draw = Draw(clothes)
        compare = Compare(clothes, draw.settings)
    assert [name for name, _ in draw.prompt.picker.choices] == list(CLOTHES)
    assert [name for name, _ in draw.settings.weights.choices] == ["Quality", "Instant"]
    assert draw.examples.value[0]["name"] == "three sneakers and a bag"
    assert compare.values("digits against few steps")[-1] == "fashion-few-step"


def test_the_page_of_clothes_speaks_of_no_digits(work) -> None:
    with gr.Blocks() as page:
        app._add_tabs(page, work.parts[1], ["clothes"])
    with gr.Blocks():
        prompt = Prompt(work.parts[1])
    for component in page.config["components"]:
        props = component["props"]
        texts = [props.get(name) for name in ("label", "info", "placeholder", "alt_text")]
        texts += [label for label, _ in props.get("choices") or ()]
        texts += [props.get("value")] if component["type"] in ("html", "markdown", "textbox", "button") else []
        assert "digit" not in str(texts).replace("Digit Diffusion", "").casefold() or props.get("visible") is False, (
            texts
        )
    for asked in [*prompt.text.placeholder.split(", "), "", "blorp", "random", "two hundred bags"]:
        answer = prompt.understand(asked)
        assert "digit" not in answer["hint"], answer
        assert (answer["digits"] is None) == (asked in ("", "blorp", "two hundred bags"))


def test_all_are_busy_while_one_draws(work) -> None:
    digits, clothes = work.parts
    run = clothes.run(clothes.pipe("fashion").recipe([7], steps=2, weights=clothes.pipe("fashion").weights))
    next(run)
    assert digits.busy
    assert list(run)[-1].recipe.weights == clothes.pipe("fashion").weights
    assert not digits.busy


def test_what_is_for_the_weights_of_another_data_set_is_refused(work, refuses) -> None:
    digits, clothes = work.parts
    sentence = "That is for the weights {}, which draw {}: choose {} above first."
    with refuses(sentence.format("fashion", *["clothes"] * 2)):
        from_link("?digits=bag&weights=fashion", digits)
    with refuses(sentence.format("few-step", *["digits"] * 2)):
        clothes.of(Recipe((7,), weights=digits.pipe("few-step").weights))
    with refuses("weights must be one of fashion, fashion-few-step"):
        from_link("?digits=bag&weights=mine", clothes)


def test_each_data_set_has_its_reader(work, shipped) -> None:
    assert reader_of(CLOTHES).parent == shipped
    assert reader_of(DATASETS["kmnist"].names) == readers.READER, "which then says that it reads others"
    clothes = work.parts[1]
    [[reading]] = clothes.read(clothes.pipe("fashion")([7], steps=1))
    assert reading.name in CLOTHES


@pytest.fixture(scope="module")
def both_url(shipped) -> Iterator[str]:
    page = app.build()
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield address
    page.close()


def drawn(page: Page) -> None:
    expect(page.locator("#status")).to_contain_text(re.compile(r"in \d+\.\d s"))


@pytest.mark.browser
def test_one_switches_to_clothes_and_back(browser: Browser, both_url: str, tmp_path: Path) -> None:
    page = browser.new_context(viewport=DESKTOP).new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{both_url}?weights=fashion&digits=a+bag&steps=1")  # a link goes where its weights are
    page.wait_for_url("**/clothes?*")
    drawn(page)
    expect(page.get_by_role("link", name="Clothes")).to_have_attribute("aria-current", "page")
    say(page, "three sneakers and a bag")
    expect(page.locator("#digits").get_by_label("Sneaker", exact=True)).to_be_checked()
    set_number(page, "Steps", "2")
    set_seed(page, "5")
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text("4 images in")
    page.get_by_label("Read back").check()
    expect(page.locator("#player button.tile small").first).to_have_text(re.compile(r"^[A-Z].*, \d+\.\d\s%$"))
    file = download(page, "#keep-png", tmp_path)
    recipe = Recipe.from_file(file)
    assert recipe.digits == (7, 7, 7, 8)
    for name in ("Lab", "Compare", "Data set", "How it learned"):
        page.get_by_role("tab", name=name).click()
    page.get_by_role("link", name="Digits").click()
    expect(page.locator("#digits")).to_contain_text("7")
    page.locator("#keeping input[type=file]").set_input_files(file)
    expect(page.locator("#status")).to_contain_text("choose clothes above first")
    page.get_by_role("link", name="Clothes").click()
    page.wait_for_url("**/clothes")
    expect(page.locator("#digits")).to_contain_text("Ankle boot")
    page.locator("#keeping input[type=file]").set_input_files(file)
    expect(page.locator("#status")).to_contain_text("4 images in")
    assert Recipe.from_file(download(page, "#keep-png", tmp_path)) == recipe
    assert complaints == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.context.close()


def test_weights_of_one_data_set_need_no_switch(pipe) -> None:
    page = app.build(pipe)
    assert [name for name, *_ in page.pages] == [""]
    assert "datasets" not in [block.elem_id for block in page.blocks.values() if hasattr(block, "elem_id")]
