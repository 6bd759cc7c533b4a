"""The page in a real browser, and its endpoint through gradio_client."""

import json
import re
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from browser import launch
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image, ImageSequence
from playwright.sync_api import Browser, Page, expect, sync_playwright

import app
from diffusion import Pipeline, Recipe, render

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return Pipeline.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def url(pipe: Pipeline) -> Iterator[str]:
    page = app.build(pipe)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield address
    page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def visit(browser: Browser, url: str, viewport: dict = DESKTOP, scheme: str = "light") -> Page:
    page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
    page.goto(url)
    page.wait_for_selector("#generate")
    page.wait_for_timeout(1000)  # until the page answers to clicks
    return page


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = visit(browser, url)
    yield page
    page.context.close()


def choose(page: Page, digits: set[int]) -> None:
    for digit in range(10):
        page.locator("#digits .wrap").get_by_label(str(digit), exact=True).set_checked(digit in digits)


def set_number(page: Page, label: str, value: str) -> None:
    field = page.get_by_label(f"number input for {label}")
    field.fill(value)
    field.press("Tab")


def set_seed(page: Page, value: str) -> None:
    page.get_by_label("New seed each time").set_checked(False)
    page.locator("#seed input").fill(value)
    page.locator("#seed input").press("Tab")


def generate(page: Page) -> None:
    page.locator("#status p").evaluate("p => p.textContent = 'an older run'")
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text(re.compile(r"in \d+\.\d s"), timeout=60_000)


def download(page: Page, selector: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(selector)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_digits_form_before_ones_eyes_and_both_files_can_be_kept(page: Page, pipe: Pipeline, tmp_path: Path) -> None:
    choose(page, {3, 7})
    set_number(page, "How many of each", "2")
    set_number(page, "Steps", "60")
    set_seed(page, "42")
    page.click("#generate")
    frames = set()
    while " in " not in page.inner_text("#status"):
        frames.add(page.get_attribute("#picture img", "src"))
        page.wait_for_timeout(50)
    assert len(frames) >= 3, "frames arrive while it draws"

    png, gif = (download(page, f"#keep-{ending}", tmp_path) for ending in ("png", "gif"))
    assert (png.name, gif.name) == ("digits-37-seed42.png", "digits-37-seed42.gif")
    recipe = Recipe.from_file(gif)
    assert recipe == Recipe((3, 7, 3, 7), steps=60, seed=42, weights=pipe.weights)
    expected = render.picture(pipe.run(recipe).result().images, 2)
    np.testing.assert_allclose(np.asarray(Image.open(png)), expected, atol=2)
    with Image.open(gif) as animation:
        assert animation.info["loop"] == 0
        assert 10 < len(list(ImageSequence.Iterator(animation))) <= render.FRAMES


def test_the_seed_shown_is_the_seed_used(page: Page) -> None:
    set_number(page, "Steps", "2")
    generate(page)
    seed = page.input_value("#seed input")
    assert f"seed {seed}." in page.inner_text("#status")
    generate(page)
    assert page.input_value("#seed input") != seed, "a new seed each time"
    page.get_by_label("New seed each time").set_checked(False)
    kept = page.input_value("#seed input")
    generate(page)
    assert page.input_value("#seed input") == kept


def test_stop_frees_the_machine(page: Page) -> None:
    set_number(page, "Steps", "1000")
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text("left", timeout=30_000)
    expect(page.locator("#generate")).to_be_disabled()
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped")
    expect(page.locator("#stop")).to_be_disabled()
    set_number(page, "Steps", "1")
    started = time.monotonic()
    generate(page)  # it would wait for the thousand steps if they still ran
    assert time.monotonic() - started < 20


def test_a_visitor_who_waits_is_told_and_may_give_up(page: Page, browser: Browser, url: str) -> None:
    set_number(page, "Steps", "1000")
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text(re.compile(r"Step \d+ of 1000, \d+\.\d s left"), timeout=30_000)
    second = visit(browser, url)
    second.click("#generate")
    expect(second.locator("#status")).to_contain_text("Waiting for the runs before yours")
    expect(second.locator("#generate")).to_be_disabled()
    second.click("#stop")
    expect(second.locator("#status")).to_contain_text("Stopped")
    second.context.close()
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped")


def test_a_run_leaves_no_temporary_files(page: Page) -> None:
    def left() -> set[Path]:
        return {path for path in Path(tempfile.gettempdir()).glob("tmp*") if list(path.glob("digits-*"))}

    before = left()
    set_number(page, "Steps", "2")
    generate(page)
    assert left() <= before


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda page: choose(page, set()), "choose at least one"),
        (lambda page: set_seed(page, ""), "seed must be a whole number from 0 to 4,294,967,295, not nothing."),
        (lambda page: set_seed(page, "1.5"), "seed must be a whole number from 0 to 4,294,967,295, not 1.5."),
        (lambda page: set_seed(page, "-1"), "seed must be a whole number from 0 to 4,294,967,295, not -1."),
        (lambda page: set_seed(page, "1e30"), "seed must be a whole number from 0 to 4,294,967,295"),
    ],
    ids=["no digit", "no seed", "half a seed", "negative seed", "huge seed"],
)
def test_bad_input_gets_a_sentence_and_loses_nothing(page: Page, break_it, sentence: str) -> None:
    set_number(page, "Steps", "1")
    generate(page)
    before = page.get_attribute("#picture img", "src")
    break_it(page)
    page.click("#generate")
    expect(page.locator("#status [role=alert]")).to_contain_text(sentence)
    assert page.get_attribute("#picture img", "src") == before
    expect(page.locator("#keep-png")).to_be_enabled()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_and_asks_for_nothing_outside(browser: Browser, url: str, viewport, scheme) -> None:
    page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
    hosts, complaints = set(), []
    page.on("request", lambda request: hosts.add(urlparse(request.url).hostname))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#generate")
    page.wait_for_timeout(1000)
    height = page.locator("#status").bounding_box()["height"]
    set_number(page, "Steps", "3")
    generate(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.locator("#status").bounding_box()["height"] == height, "nothing jumps"
    assert ("dark" in (page.get_attribute("body", "class") or "").split()) == (scheme == "dark")
    assert hosts - {None} == {urlparse(url).hostname}
    assert complaints == []
    page.context.close()


def test_pictures_and_controls_have_names(page: Page) -> None:
    for image in page.locator("#page img:visible").all():
        assert image.get_attribute("alt")
    for name in ("Generate", "Stop"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    for label in ("How many of each", "Guidance", "Steps"):
        expect(page.get_by_label(f"range slider for {label}")).to_be_visible()
    for label in ("Seed", "New seed each time", "ddim", "ddpm"):
        expect(page.get_by_label(label, exact=True).first).to_be_visible()


def test_the_pictures_are_enlarged_crisply(page: Page) -> None:
    assert page.locator("#picture img").evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"


@pytest.fixture(scope="module")
def client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def test_the_endpoint_returns_both_files_and_the_seed(client: Client, pipe: Pipeline) -> None:
    png, gif, seed = client.predict(digits=[7], count=4, steps=2, seed=42, api_name="/generate")
    assert (Path(png).name, Path(gif).name, seed) == ("digits-7-seed42.png", "digits-7-seed42.gif", 42)
    expected = render.picture(pipe([7] * 4, steps=2, seed=42).images, 4)
    np.testing.assert_allclose(np.asarray(Image.open(png)), expected, atol=2)


def test_the_endpoint_takes_digits_as_its_description_shows_them(client: Client) -> None:
    png, _, _ = client.predict(digits=["7", "3"], steps=1, seed=5, api_name="/generate")
    assert Path(png).name == "digits-73-seed5.png"


def test_the_endpoint_is_the_only_public_one(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/generate"]


@pytest.mark.parametrize(
    "bad",
    [
        {"digits": []},
        {"digits": [10]},
        {"digits": ["<b>7</b>"]},
        {"digits": None},
        {"digits": [1] * 11},
        {"count": 0},
        {"count": 11},
        {"count": None},
        {"guidance": -1},
        {"guidance": 1e308},
        {"guidance": None},
        {"guidance": "two"},
        {"steps": 0},
        {"steps": 1001},
        {"steps": 2.5},
        {"steps": None},
        {"sampler": "euler"},
        {"sampler": None},
        {"seed": -1},
        {"seed": 2**32},
        {"seed": "<script>"},
        {"guide_from": 500, "guide_to": 200},
        {"guide_to": 1000},
        {"guide_from": None},
    ],
    ids=json.dumps,
)
def test_the_endpoint_refuses_bad_input_in_one_sentence(client: Client, bad: dict) -> None:
    with pytest.raises(AppError) as refusal:
        client.predict(**{"steps": 1} | bad, api_name="/generate")
    sentence = str(refusal.value)
    assert sentence.endswith((".", "once"))
    assert "Traceback" not in sentence
    assert "<" not in sentence
    assert "&#" not in sentence
    assert len(sentence) < 200


def call(url: str, *values: str) -> str:
    """Put a run of the endpoint in the queue, with raw JSON values; returns its address."""
    body = f'{{"data": [{", ".join(values)}]}}'.encode()
    address = f"{url}gradio_api/call/generate"
    with urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": "application/json"})) as answer:
        return f"{address}/{json.load(answer)['event_id']}"


def test_where_to_guide_is_the_callers_choice(client: Client) -> None:
    drawn = []
    for interval in ({}, {"guide_from": 0, "guide_to": 999}, {"guide_from": 200, "guide_to": 500}):
        png, *_ = client.predict(digits=[7], steps=4, seed=3, guidance=5, **interval, api_name="/generate")
        drawn.append(np.asarray(Image.open(png)))
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])


@pytest.mark.parametrize("guidance", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(url: str, guidance: str) -> None:
    with urllib.request.urlopen(call(url, "[7]", "1", guidance, "1", '"ddim"', "0", "0", "999")) as answer:
        told = answer.read().decode()
    assert "guidance must be a number from 0 to 20, not " in told
    assert "Traceback" not in told


def test_a_full_queue_is_told(url: str) -> None:
    long = call(url, "[1]", "1", "1", "500", '"ddim"', "0", "0", "999")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        _ = [call(url, "[1]", "1", "1", "1", '"ddim"', "0", "0", "999") for _ in range(30)]
    assert "Queue is full" in refusal.value.read().decode()
    refusal.value.close()
    with urllib.request.urlopen(long) as answer:  # and the runs in the queue are not hurt
        assert "event: complete" in answer.read().decode()
