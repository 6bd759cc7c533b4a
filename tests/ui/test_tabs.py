"""The page's other tabs, and reading back, in a real browser."""

import json
import re
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visitor import download, forget_status, generate, say, set_number, tiles, visit, wait_for_run

from diffusion import Pipeline, Recipe


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def example(page: Page, name: str) -> None:
    page.locator("#example input").click()
    page.get_by_role("option", name=name).click()


def compare(page: Page, across: str, down: str) -> None:
    """Start a sheet with these values on its two axes."""
    values = page.locator("#compare").get_by_label("Values")
    values.nth(0).fill(across)
    values.nth(1).fill(down)
    page.click("#compare-start")


def box(page: Page, selector: str) -> dict[str, float]:
    """Where the first of some elements lies."""
    found = page.locator(selector).first.bounding_box()
    assert found is not None
    return dict(found)


def test_the_reader_says_what_it_reads(page: Page) -> None:
    say(page, "73")
    set_number(page, "Steps", "4")
    generate(page)
    captions = page.locator("#player button.tile small")
    assert captions.all_inner_texts() == ["", ""]
    page.get_by_label("Read back").check()
    expect(captions.first).to_have_text(re.compile(r"^\d, \d+\.\d\s%$"))
    digit, caption = box(page, "#player button.tile canvas"), box(page, "#player button.tile small")
    assert caption["y"] >= digit["y"] + digit["height"] - 0.5, "it lies over nothing"
    assert round(digit["width"]) == round(digit["height"])
    page.get_by_label("Read back").uncheck()
    expect(captions.first).to_have_text("")


def test_misses_are_flagged_and_drawn_until_they_read_right(page: Page) -> None:
    say(page, "ten 8s")
    set_number(page, "Steps", "1")  # one step is a blur, which often reads as something else
    page.get_by_label("Random seed").uncheck()
    page.get_by_label("Read back").check()
    generate(page)
    found = re.search(r"(\d+) of 10 read as asked\.", page.inner_text("#status"))
    assert found is not None
    assert page.locator("#player .miss").count() == 10 - int(found[1])
    before = tiles(page)
    page.get_by_label("Until it reads right").check()
    generate(page)
    found_again = re.search(r"(\d+) of 10 read as asked, (\d+) drawn\.", page.inner_text("#status"))
    assert found_again is not None
    assert int(found_again[1]) >= int(found[1])
    assert int(found_again[2]) >= 10
    kept = sum(a == b for a, b in zip(before, tiles(page), strict=True))
    assert kept >= int(found[1]), "what read right stays"


def test_two_settings_are_compared_on_a_sheet(page: Page, tmp_path: Path) -> None:
    tab(page, "Compare")
    values = page.locator("#compare").get_by_label("Values")
    values.nth(0).fill("1, 2")
    values.nth(1).fill("0, 1, 2")
    page.click("#compare-start")
    expect(page.locator("#compare-status")).to_contain_text(re.compile(r"\b6 cells in \d+\.\d s"), timeout=60_000)
    path = download(page, "#keep-sheet", tmp_path)
    assert path.name == "compare-steps-guidance.png"
    with Image.open(path) as sheet:
        assert json.loads(sheet.info["axes"]) == {"x": {"steps": [1, 2]}, "y": {"guidance": [0, 1, 2]}}
        assert sheet.width > 2 * 112
    assert Recipe.from_file(path).digits == (7,)
    content = path.read_bytes()
    page.set_input_files("#keeping input[type=file]", path)
    wait_for_run(page)
    assert download(page, "#keep-sheet", tmp_path).read_bytes() == content, "opening it took nothing away"


def test_an_example_is_filled_in_without_the_server_and_so_over_nothing_that_is_typed_later(page: Page) -> None:
    tab(page, "Compare")
    page.route(re.compile("/(run|queue/join)"), lambda route: None)  # it never answers
    digits = page.locator("#compare").get_by_role("textbox", name="Digits")
    digits.fill("3")
    example(page, "samplers against steps")
    values = page.locator("#compare").get_by_label("Values")
    expect(values.nth(0)).to_have_value("2, 4, 8, 16, 32")
    expect(values.nth(1)).to_have_value("ddim, dpm++2m, ddpm")
    expect(page.locator("#compare").get_by_label("Down")).to_have_value("sampler")
    expect(digits).to_have_value("3")


def test_a_sheet_is_stopped_in_the_middle_of_a_cell(page: Page) -> None:
    tab(page, "Compare")
    page.locator("#compare").get_by_label("Digits").fill("0-9")
    compare(page, "1000", "1, 1.5, 2")
    expect(page.locator("#compare-status")).to_contain_text("Cell 0 of 3")
    page.click("#compare-stop")
    expect(page.locator("#compare-status")).to_contain_text("No sheet was finished", timeout=10_000)
    tab(page, "Draw")
    set_number(page, "Steps", "1")
    started = time.monotonic()
    generate(page)  # it would wait for the cell if that still ran
    assert time.monotonic() - started < 10


def test_the_cells_of_a_stopped_sheet_can_be_downloaded(page: Page, tmp_path: Path) -> None:
    tab(page, "Compare")
    compare(page, "1, 1000", "1")
    expect(page.locator("#compare-status")).to_contain_text("Cell 1 of 2")
    page.click("#compare-stop")
    expect(page.locator("#compare-status")).to_contain_text("1 of 2 cells are drawn", timeout=10_000)
    path = download(page, "#keep-sheet", tmp_path)
    assert Recipe.from_file(path).digits == (7,)
    with Image.open(path) as sheet:
        first, second = np.split(np.asarray(sheet.convert("L"))[-112:], 2, axis=1)
    assert (first == 255).any()
    assert not (second == 255).any(), "only one cell is drawn"
    button, picture = box(page, "#sheet .icon-button-wrapper"), box(page, "#sheet img")
    assert button["y"] + button["height"] <= picture["y"], "it lies over no heading"


def test_a_sheet_that_is_stopped_in_line_is_not_the_one_before(page: Page, browser: Browser, url: str) -> None:
    tab(page, "Compare")
    compare(page, "1", "1")
    expect(page.locator("#compare-status")).to_contain_text("1 cells in", timeout=30_000)
    other = visit(browser, url)
    set_number(other, "Steps", "1000")
    other.click("#generate")
    expect(other.locator("#status")).to_contain_text("of 1000", timeout=30_000)
    page.click("#compare-start")
    expect(page.locator("#compare-status")).to_contain_text("place 1")
    page.click("#compare-stop")
    expect(page.locator("#compare-status")).to_contain_text("No sheet was finished")
    expect(page.locator("#keep-sheet")).to_be_enabled()
    other.context.close()


def test_instant_weights_are_compared_too(page: Page, few_step: Pipeline, tmp_path: Path) -> None:
    tab(page, "Compare")
    example(page, "digits against few steps")
    expect(page.locator("#compare-weights").get_by_label("Instant")).to_be_checked()
    page.click("#compare-start")
    expect(page.locator("#compare-status")).to_contain_text(re.compile(r"40 cells in \d+\.\d s"), timeout=60_000)
    assert Recipe.from_file(download(page, "#keep-sheet", tmp_path)).weights == few_step.weights
    page.locator("#compare").get_by_label("Values").nth(1).fill("3")
    page.click("#compare-start")
    expect(page.locator("#compare-status [role=alert]")).to_contain_text("steps must be one of 1, 2, 4, 8, not 3")


def test_a_sheet_of_nonsense_is_refused_in_a_sentence(page: Page) -> None:
    tab(page, "Compare")
    values = page.locator("#compare").get_by_label("Values")
    for text, sentence in (("1, <b>", "steps must be a whole number"), ("", "Give 1 to 20 values of steps")):
        values.nth(0).fill(text)
        page.click("#compare-start")
        expect(page.locator("#compare-status [role=alert]")).to_contain_text(sentence)


def test_a_data_set_is_made_in_the_background(page: Page, tmp_path: Path) -> None:
    set_number(page, "Steps", "1")
    tab(page, "Data set")
    page.locator("#dataset").get_by_label("Which digits").fill("3, 7")
    set_number(page, "Images of each digit", "30")
    page.click("#make")
    expect(page.locator("#dataset-status")).to_contain_text(re.compile(r"60 digits, \d+ kB, seed"), timeout=60_000)
    expect(page.locator("#make")).to_be_enabled()
    path = download(page, "#dataset-file a[download]", tmp_path)
    with np.load(path) as file:
        assert file["images"].shape == (60, 28, 28)
        assert sorted(set(file["labels"])) == [3, 7]
        assert len(set(file["seeds"])) == 60

    page.locator("#dataset").get_by_label("MNIST's own files (IDX)").check()
    forget_status(page, "#dataset-status")
    page.click("#make")
    expect(page.locator("#dataset-status")).to_contain_text("kB, seed", timeout=60_000)
    other = download(page, "#dataset-file a[download]", tmp_path)
    with zipfile.ZipFile(other) as archive:
        assert "MNIST/raw/train-images-idx3-ubyte" in archive.namelist()
    assert other.name.split(".")[0] != path.name.split(".")[0], "another seed, as the box says"


def test_nothing_of_an_earlier_request_is_left_beside_a_new_one(page: Page) -> None:
    """However slow the way to the server is: here it does not answer at all."""
    set_number(page, "Steps", "1")
    tab(page, "Compare")
    for values in page.locator("#compare").get_by_label("Values").all():
        values.fill("1")
    page.click("#compare-start")
    expect(page.locator("#compare-status")).to_contain_text("1 cells in")
    tab(page, "Data set")
    page.click("#make")
    expect(page.locator("#dataset-file a[download]")).to_be_visible()
    page.route(re.compile("/(run|queue/join)"), lambda route: None)
    page.click("#make")
    expect(page.locator("#dataset-status")).to_contain_text("Waiting")
    expect(page.locator("#dataset-file")).to_be_hidden()
    tab(page, "Compare")
    page.click("#compare-start")
    expect(page.locator("#compare-status")).to_contain_text("Waiting")
    expect(page.locator("#keep-sheet")).to_be_disabled()


def test_what_was_made_before_stays_where_a_request_comes_to_nothing(page: Page) -> None:
    set_number(page, "Steps", "1")
    tab(page, "Data set")
    page.click("#make")
    expect(page.locator("#dataset-file a[download]")).to_be_visible()
    page.locator("#dataset").get_by_label("Which digits").fill("sevn")
    page.click("#make")
    expect(page.locator("#dataset-status [role=alert]")).to_contain_text("Cannot read 'sevn'")
    expect(page.locator("#dataset-file a[download]")).to_be_visible()
    page.locator("#dataset").get_by_label("Which digits").fill("0-9")
    set_number(page, "Images of each digit", "1000")
    page.click("#make")
    expect(page.locator("#dataset-status")).to_contain_text("of 10,000 digits")
    expect(page.locator("#dataset-file")).to_be_hidden()
    page.click("#cancel")
    expect(page.locator("#dataset-status")).to_contain_text("No file was made")
    expect(page.locator("#dataset-file a[download]")).to_be_visible()


def test_a_data_set_can_be_cancelled_and_lets_others_draw(page: Page) -> None:
    set_number(page, "Steps", "100")
    tab(page, "Data set")
    page.click("#make")
    expect(page.locator("#dataset-status")).to_contain_text("of 100 digits", timeout=30_000)
    tab(page, "Draw")
    say(page, "7")
    set_number(page, "Steps", "1")
    generate(page)
    tab(page, "Data set")
    page.click("#cancel")
    expect(page.locator("#make")).to_be_enabled()
    expect(page.locator("#dataset-status")).to_contain_text("No file was made")


def test_a_data_set_is_drawn_by_the_weights_that_are_chosen(page: Page, few_step: Pipeline, tmp_path: Path) -> None:
    page.get_by_label("Instant").check()
    wait_for_run(page)
    tab(page, "Data set")
    page.locator("#dataset").get_by_label("PNGs of single images").check()
    page.locator("#dataset").get_by_label("Which digits").fill("5")
    page.click("#make")
    expect(page.locator("#dataset-status")).to_contain_text("kB, seed", timeout=60_000)
    with zipfile.ZipFile(download(page, "#dataset-file a[download]", tmp_path)) as archive:
        recipe = Recipe.from_json(archive.read("recipe.json").decode())
    assert (recipe.digits, recipe.steps, recipe.weights) == ((5,) * 10, 2, few_step.weights)


def test_a_data_set_that_cannot_be_is_refused(page: Page) -> None:
    tab(page, "Data set")
    page.locator("#dataset").get_by_label("Which digits").fill("twenty 7s")
    set_number(page, "Images of each digit", "1000")
    page.click("#make")
    refused = page.locator("#dataset-status [role=alert]")
    expect(refused).to_contain_text("That is 20,000 images: ask for at most 10,000 at once.")
    page.locator("#dataset").get_by_label("Which digits").fill("any")
    expect(refused).to_have_count(0)  # it was about other digits
    page.click("#make")
    expect(refused).to_contain_text("At guidance 0 the labels in an .npz file would mean nothing")
    page.locator("#dataset").get_by_label("Which digits").fill("")
    expect(refused).to_have_count(0)
    page.locator("#dataset").get_by_label("Which digits").fill("7")
    for guidance, told in (("0", 1), ("1.5", 0)):  # the settings of the tab Draw count, and are changed there
        tab(page, "Draw")
        set_number(page, "Guidance", guidance)
        tab(page, "Data set")
        if told:
            page.click("#make")
        expect(refused).to_have_count(told)
    page.locator("#dataset").get_by_label("Which digits").fill("7")
    set_number(page, "Images of each digit", "1")
    page.locator("#dataset").get_by_label("MNIST's own files (IDX)").check()
    page.click("#make")
    expect(refused).to_contain_text("Draw at least 2 images")


def test_a_data_set_may_hold_more_than_the_player_shows(page: Page) -> None:
    set_number(page, "Steps", "1")
    tab(page, "Data set")
    page.locator("#dataset").get_by_label("Which digits").fill("90 7s and 40 3s")
    set_number(page, "Images of each digit", "1")
    page.click("#make")
    expect(page.locator("#dataset-status")).to_contain_text(re.compile(r"130 digits, \d+ kB"), timeout=60_000)


def test_how_it_learned_can_be_looked_at_epoch_by_epoch(page: Page) -> None:
    tab(page, "How it learned")
    evolution = page.locator("#evolution")
    expect(evolution.locator(".tile canvas").first).to_be_visible()
    evolution.locator(".time input").fill("0")
    expect(evolution.locator(".time output")).to_have_text(re.compile(r"Epoch 1 of \d+"))
    first = evolution.locator("canvas").nth(7).evaluate("canvas => canvas.toDataURL()")
    evolution.locator(".time input").press("End")
    expect(evolution.locator(".time output")).to_have_text(re.compile(r"Epoch (\d+) of \1"))
    assert evolution.locator("canvas").nth(7).evaluate("canvas => canvas.toDataURL()") != first
    expect(page.locator("#loss img")).to_be_visible()
