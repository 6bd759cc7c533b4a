"""The page in a real browser: the tab Draw, and what holds for all of it."""

import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from threading import Event
from urllib.parse import urlparse

import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import Browser, Page, Route, expect
from visitor import (
    DESKTOP,
    PHONE,
    choose,
    download,
    forget_status,
    generate,
    late_answers,
    more,
    number,
    open_page,
    picked,
    say,
    set_number,
    set_seed,
    tiles,
    visit,
    wait_for_run,
)

from diffusion import Pipeline, Recipe
from diffusion.files import render
from ui import request
from ui.downloads import Downloads
from ui.prompt import edit


def quick(page: Page, prompt: str = "73", steps: str = "2") -> None:
    """Draw something small."""
    say(page, prompt)
    set_number(page, "Steps", steps)
    generate(page)


def drawn_digits(page: Page) -> list[str]:
    names = page.locator("#player button.tile").evaluate_all("all => all.map(tile => tile.ariaLabel)")
    return [name[0] for name in names]


# Watch it think


def test_digits_form_before_ones_eyes_and_the_way_can_be_looked_at_again(page: Page) -> None:
    say(page, "7")
    set_number(page, "Steps", "100")
    page.click("#generate")
    seen: set[tuple[str, str]] = set()
    while " in " not in page.inner_text("#status"):
        seen.add((tiles(page, 0)[0], tiles(page, 1)[0]))
        page.wait_for_timeout(50)
    assert len(seen) >= 3, "both tracks move while it draws"
    wait_for_run(page)

    slider, caption = page.locator("#player .time input"), page.locator("#player .time output")
    expect(caption).to_have_text("Step 100 of 100, no noise left")
    assert tiles(page, 0) == tiles(page, 1), "at the end the image is what the network took it for"
    height = page.locator("#player").bounding_box()["height"]
    slider.fill("0")
    expect(caption).to_have_text("Step 0 of 100, noise level 999")
    assert tiles(page, 0) != tiles(page, 1)
    slider.press("ArrowRight")
    expect(caption).to_have_text(re.compile(r"Step [1-9]\d? of 100, noise level \d+"))
    assert page.locator("#player").bounding_box()["height"] == height, "nothing jumps"
    page.click("#player .play")
    expect(caption).to_have_text("Step 100 of 100, no noise left", timeout=10_000)


def test_a_short_number_is_drawn_in_one_row_and_others_fill_the_box(page: Page) -> None:
    for prompt, rows in (("2026", 1), ("0123456789", 2)):
        quick(page, prompt, "1")
        shown = page.locator("#player button.tile")  # asked all at once, for they may be laid out again meanwhile
        assert len(set(shown.evaluate_all("all => all.map(tile => tile.getBoundingClientRect().y)"))) == rows


def test_the_gif_itself_is_seen_when_a_run_is_done_and_gives_way_to_the_slider(page: Page, tmp_path: Path) -> None:
    quick(page, steps="20")  # so that playing them takes a while
    film, noisy = page.locator("#player img.film"), page.locator("#player .track").first
    expect(film).to_be_visible()
    expect(noisy.locator("figcaption")).to_have_text("Animated GIF")
    natural, shown = (film.evaluate(f"film => film.{size}Width / film.{size}Height") for size in ("natural", "client"))
    assert natural == pytest.approx(shown, rel=0.01), "it fills its frame"
    assert page.locator("#player").get_by_role("img", name="Animated GIF, from noise to 7, 3").count() == 1
    first = download(page, "#keep-gif", tmp_path)
    address = film.evaluate("film => film.src")
    assert address.endswith(f"/{first.name}"), "it is saved under a telling name"
    assert page.request.get(address).body() == first.read_bytes()
    assert Recipe.from_file(first).digits == (7, 3)
    slider = page.locator("#player .time input")
    slider.fill("1")
    expect(film).to_be_hidden()
    expect(noisy.locator("figcaption")).to_have_text("Noisy image")
    moment = page.get_by_role("button", name="Download this moment (PNG)")
    expect(moment).to_be_visible()
    kept = download(page, "#player .moment", tmp_path)
    assert kept.name == f"{first.stem}-step1.png"
    assert Recipe.from_file(kept) == Recipe.from_file(first)
    slider.press("End")
    expect(moment).to_be_hidden()  # that is the final grid, and the whole way, which have buttons of their own
    expect(film).to_be_visible()
    page.click("#player .play")
    expect(film).to_be_hidden()
    expect(film).to_be_visible()  # once through

    held: list[Route] = []
    page.route("**/*.gif", lambda route: held.append(route))
    quick(page, "2", "3")
    expect(film).to_have_attribute("src", re.compile(r"/digits-2-seed\d+\.gif$"))
    expect(noisy.locator(".tiles")).to_be_hidden()  # they are those of the final grid, until the GIF is there
    held.pop().continue_()
    expect(film).to_be_visible()
    page.unroute("**/*.gif")
    page.locator("#strip button").last.click()
    expect(film).to_have_attribute("src", re.compile(f"/{first.name}$"))
    expect(film).to_be_visible()


# Say it


def test_the_prompt_and_the_picker_stay_in_step(page: Page) -> None:
    assert picked(page) == list(range(10))
    say(page, "a 4 and two 3s")
    expect(page.locator("#hint")).to_have_text("Draws 4, 3, 3.")
    assert picked(page) == [3, 4]
    page.locator("#digits .wrap").get_by_label("9", exact=True).check()
    expect(page.locator("#prompt input, #prompt textarea")).to_have_value("4, 3, 3, 9")
    choose(page, {7})
    expect(page.locator("#prompt input, #prompt textarea")).to_have_value("7")
    expect(page.locator("#hint")).to_have_text("Draws 7.")
    say(page, "sevn")
    expect(page.locator("#hint .refused")).to_have_text("Cannot read 'sevn': write 'seven' if you mean that.")


def test_the_picker_changes_no_more_of_the_prompt_than_it_must(blank: Page) -> None:
    names = [*map(str, range(11)), "cat"]
    for before, digits, boxes, after in (
        ("0-9", [*range(10)], [3], [3]),
        ("3", [3], [3, 7], [3, 7]),
        ("2026", [2, 0, 2, 6], [0, 2], [2, 0, 2]),
        ("2026", [2, 0, 2, 6], [6, 0, 2], None),  # it stays as it is written
        ("a 4 and two 3s", [4, 3, 3], [9, 4, 3, 8], [4, 3, 3, 8, 9]),
        ("nonsense", None, [1], [1]),
        ("random", [], [1], [1]),
        ("3", [3], [], []),
        ("", None, [4, 2, 3], [2, 3, 4]),
        ("7", [7], [7, 8, 9, 10], [7, 8, 9, 10]),
        ("cat", [11], [11, 0], [11, 0]),
    ):
        understood = {"prompt": before, "digits": digits, "written": [names[digit] for digit in digits or []]}
        edited = blank.evaluate(f"([...asked]) => ({edit(names)})(...asked)", [understood, before, boxes])
        written = request.words(after or [], names)
        told = {"prompt": written, "digits": after, "written": [names[digit] for digit in after or []]}
        assert edited == ([] if after is None else [told, written])
    thick = {"prompt": "a thick 7 and a 4", "digits": [7, 4], "written": ["thick 7", "4"]}
    for boxes, written in (([7, 4, 3], "thick 7, 4, 3"), ([7], "thick 7")):
        edited = blank.evaluate(f"([...asked]) => ({edit(names)})(...asked)", [thick, thick["prompt"], boxes])
        assert edited[1] == written


def test_what_was_picked_and_typed_last_stands_and_is_drawn_however_late_answers_come(page: Page) -> None:
    field, boxes = page.locator("#prompt input, #prompt textarea"), page.locator("#digits .wrap")
    set_number(page, "Steps", "1")
    say(page, "a 4 and two 3s")
    expect(boxes.get_by_label("4", exact=True)).to_be_checked()
    with late_answers(page) as answer:
        for digit in ("9", "7", "8", "7", "4"):
            boxes.get_by_label(digit, exact=True).click()
        generate(page)
        assert drawn_digits(page) == ["3", "3", "9", "8"]
        answer()
        assert picked(page) == [3, 8, 9]
        boxes.get_by_label("2", exact=True).click()
    expect(page.locator("#hint")).to_have_text("Draws 3, 3, 9, 8, 2.")
    expect(field).to_have_value("3, 3, 9, 8, 2")
    assert picked(page) == [2, 3, 8, 9]

    with late_answers(page) as answer:
        field.fill("12")
        field.fill("seven")
        generate(page)
        assert drawn_digits(page) == ["7"]
        answer()
        expect(field).to_have_value("seven")
    expect(page.locator("#hint")).to_have_text("Draws 7.")
    expect(boxes.get_by_label("7", exact=True)).to_be_checked()
    assert picked(page) == [7]


def test_a_choice_stands_however_late_the_answer_to_an_older_one_comes(page: Page) -> None:
    say(page, "7")
    set_number(page, "Steps", "2")
    quality = page.get_by_label("Quality")
    with late_answers(page) as answer:
        page.get_by_label("Instant").check()
        quality.check()
        answer()
        expect(quality).to_be_checked()
    expect(number(page, "Steps")).to_be_visible()
    wait_for_run(page)

    with page.expect_response("**/run/**"):  # it shows noise
        page.get_by_role("tab", name="Lab").click()
    anagram, morph = (page.locator("#activity").get_by_label(name) for name in ("anagram", "morph"))
    with late_answers(page) as answer:
        anagram.check()
        morph.check()
        answer()
        expect(morph).to_be_checked()
    expect(page.get_by_label("number input for Frames")).to_be_visible()
    expect(page.locator("#activity-about")).to_contain_text("Go from one digit to another")


def test_enter_draws_what_is_written(page: Page) -> None:
    set_number(page, "Steps", "1")
    say(page, "a 4 and two 3s")
    forget_status(page)
    page.locator("#prompt input, #prompt textarea").press("Enter")
    wait_for_run(page)
    assert page.locator("#status").inner_text().startswith("3 digits in")
    assert drawn_digits(page) == ["4", "3", "3"]


# Seeds, and the runs of a visit


def test_the_seed_shown_is_the_seed_used(page: Page) -> None:
    quick(page)
    seed = page.input_value("#seed input")
    assert f"seed {seed}." in page.inner_text("#status")
    generate(page)
    assert page.input_value("#seed input") != seed, "a new seed each time"
    page.get_by_label("Random seed").set_checked(False)
    kept, drawn = page.input_value("#seed input"), tiles(page)
    generate(page)
    assert page.input_value("#seed input") == kept
    assert tiles(page) == drawn


def test_one_digit_can_be_seen_large_and_drawn_again_alone(page: Page, pipe: Pipeline, tmp_path: Path) -> None:
    set_seed(page, "42")
    quick(page, "737")
    before = tiles(page)
    page.locator("#player button.tile").nth(1).click()
    expect(page.locator("#player button.tile:visible")).to_have_count(1)
    expect(page.locator("#player .note")).to_have_text("3, seed 43")
    gif = download(page, "#player .keep", tmp_path)
    assert Recipe.from_file(gif) == replace(Recipe((3,), steps=2, seed=43), weights=pipe.weights)

    forget_status(page)
    page.click("#player .redraw")
    wait_for_run(page)
    expect(page.locator("#player .redraw")).to_be_focused()  # to be pressed again
    after = tiles(page)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    seed = int(page.inner_text("#player .note").split()[-1])
    page.keyboard.press("Escape")
    expect(page.locator("#player button.tile:visible")).to_have_count(3)
    png = download(page, "#keep-png", tmp_path)
    recipe = Recipe.from_file(png)
    assert recipe.seeds == [42, seed, 44]
    expected = render.picture(pipe.run(recipe).result().images, 3)
    np.testing.assert_allclose(np.asarray(Image.open(png)), expected, atol=2)

    page.locator("#player button.tile").nth(1).click()
    forget_status(page)
    page.click("#player .reseed")
    wait_for_run(page)
    assert tiles(page) == [after[1]]
    assert page.input_value("#seed input") == str(seed)


def test_a_past_run_is_one_click_away(page: Page) -> None:
    quick(page, "7")
    first, seed = tiles(page), page.input_value("#seed input")
    quick(page, "30", "3")
    expect(page.locator("#strip button")).to_have_count(2)
    page.locator("#strip button").last.click()
    expect(page.locator("#status")).to_contain_text(f"Drawn before, seed {seed}.")
    expect(page.locator("#player button.tile")).to_have_count(1)
    assert tiles(page) == first
    assert page.input_value("#prompt input, #prompt textarea") == "7"
    assert page.input_value("#seed input") == seed
    assert number(page, "Steps").input_value() == "2"
    generate(page)
    assert tiles(page) == first, "the controls are those of that run"


def test_past_runs_survive_a_reload_and_are_drawn_again(page: Page) -> None:
    quick(page, "7")
    first, name = tiles(page), page.locator("#strip button").get_attribute("title")
    open_page(page, page.url)
    expect(page.locator("#strip button")).to_have_text(name)
    forget_status(page)
    page.locator("#strip button").click()
    wait_for_run(page)
    assert tiles(page) == first
    expect(page.locator("#strip button img")).to_have_count(1)


def test_a_browser_that_keeps_nothing_or_nonsense_breaks_nothing(browser: Browser, url: str) -> None:
    full = "Storage.prototype.setItem = () => { throw new DOMException('no', 'QuotaExceededError'); };"
    refused = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });"
    )
    for script in (full, refused, "localStorage.setItem('runs-digits', 'nonsense');"):
        page = browser.new_page()
        page.add_init_script(script)
        open_page(page, url)
        quick(page, "7", "1")
        expect(page.locator("#strip button")).to_have_count(1)
        page.close()


def test_an_example_is_one_click(page: Page) -> None:
    forget_status(page)
    page.get_by_role("button", name="one step").click()
    wait_for_run(page)
    assert number(page, "Steps").input_value() == "1"
    expect(page.locator("#player .note")).to_contain_text("a blur")


def test_a_digit_is_not_drawn_again_alone_while_a_run_is_awaited(page: Page) -> None:
    set_seed(page, "42")
    quick(page, "73")
    before = tiles(page)
    page.locator("#player button.tile").first.click()
    page.evaluate("document.querySelector('#generate').disabled = true")
    page.click("#player .redraw")
    page.wait_for_timeout(500)
    page.evaluate("document.querySelector('#generate').disabled = false")
    page.locator("#player .back").click()
    generate(page)
    assert tiles(page) == before


def test_it_redraws_after_a_pause_where_that_is_wanted(page: Page) -> None:
    quick(page, "7")
    more(page)
    page.get_by_label("Redraw as I change things").check()
    expect(page.get_by_label("Random seed")).not_to_be_checked()
    say(page, "3")  # the switch itself may draw once more before
    expect(page.locator("#player button.tile")).to_have_attribute("aria-label", re.compile("^3, "), timeout=60_000)


def test_usual_steps_are_one_tap_on_a_phone(browser: Browser, url: str) -> None:
    page = browser.new_context(viewport=PHONE, has_touch=True).new_page()
    open_page(page, url)
    usual = page.get_by_role("radiogroup", name="Usual steps").or_(page.locator("#settings .usual")).first
    for steps in ("50", "5", "20"):
        box = usual.get_by_label(steps, exact=True).bounding_box()
        assert min(box["width"], box["height"]) >= 36, "a finger hits it"
        usual.get_by_label(steps, exact=True).tap()
        expect(number(page, "Steps")).to_have_value(steps)
    set_number(page, "Steps", "7")
    expect(usual.locator("input:checked")).to_have_count(0)
    set_number(page, "Steps", "5")
    expect(usual.get_by_label("5", exact=True)).to_be_checked()
    page.context.close()


def test_eta_moves_with_ddim_alone(page: Page) -> None:
    more(page)
    eta = page.get_by_label("number input for Eta")
    expect(eta).to_be_disabled()
    page.get_by_label("ddim", exact=True).check()
    expect(eta).to_be_enabled()
    set_number(page, "Eta", "0.5")
    quick(page, "7")
    page.get_by_label("heun", exact=True).check()
    expect(eta).to_be_disabled()
    expect(eta).to_have_value("0")
    quick(page, "7")


def test_other_weights_wait_for_the_run_under_way(page: Page) -> None:
    say(page, "77")
    set_number(page, "Steps", "40")
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text("Step ")
    page.get_by_label("Instant").check()
    expect(page.locator("#player output")).to_contain_text("Step 2 of 2", timeout=60_000)


def test_a_digit_drawn_again_keeps_its_seed_as_one_drags(page: Page) -> None:
    say(page, "77")
    page.get_by_label("Instant").check()
    wait_for_run(page)
    page.locator("#player button.tile").first.click()
    forget_status(page)
    page.click("#player .redraw")
    wait_for_run(page)
    seed = page.inner_text("#player .note").split()[-1]
    forget_status(page)
    page.locator("#steps").get_by_label("1", exact=True).check()
    wait_for_run(page)
    expect(page.locator("#player button.tile").first).to_have_attribute("aria-label", re.compile(f"seed {seed}$"))


def test_instant_weights_redraw_as_one_drags(page: Page, few_step: Pipeline, tmp_path: Path) -> None:
    say(page, "7")
    forget_status(page)
    page.get_by_label("Instant").check()
    wait_for_run(page)
    expect(page.locator("#player output")).to_contain_text("Step 2 of 2")
    expect(number(page, "Steps")).to_be_hidden()
    guidance = page.get_by_label("range slider for Guidance")
    assert guidance.input_value() == "2.5"
    most = guidance.get_attribute("max")
    assert float(most) == few_step.model.config.few_step.guidance[1]
    first = tiles(page)
    forget_status(page)
    guidance.fill(most)
    wait_for_run(page)
    assert tiles(page) != first
    forget_status(page)
    page.locator("#steps").get_by_label("1", exact=True).check()
    wait_for_run(page)
    expect(page.locator("#player output")).to_contain_text("Step 1 of 1")
    expect(page.locator("#strip button")).to_have_count(1)  # one run, however often it was redrawn
    page.locator("#prompt textarea, #prompt input").press_sequentially(" and three")
    expect(page.locator("#player button.tile")).to_have_count(2, timeout=10_000)
    wait_for_run(page)
    drawn, seed = tiles(page), page.input_value("#seed input")
    kept = download(page, "#keep-png", tmp_path)
    forget_status(page)
    page.get_by_label("Quality").check()
    wait_for_run(page)
    expect(page.locator("#player output")).to_contain_text("Step 20 of 20")
    assert page.input_value("#seed input") == seed  # the same noise, to compare
    forget_status(page)
    page.set_input_files("#keeping input[type=file]", kept)  # says which weights drew it
    wait_for_run(page)
    assert page.get_by_label("Instant").is_checked()
    assert page.input_value("#seed input") == seed
    assert tiles(page) == drawn


# Files and links


def test_both_files_can_be_kept_and_opened_again(page: Page, pipe: Pipeline, tmp_path: Path) -> None:
    choose(page, {3, 7})
    more(page)
    set_number(page, "How many of each", "2")
    set_number(page, "Steps", "5")
    set_seed(page, "42")
    generate(page)
    drawn = tiles(page)
    png, gif = (download(page, f"#keep-{ending}", tmp_path) for ending in ("png", "gif"))
    assert (png.name, gif.name) == ("digits-3737-seed42.png", "digits-3737-seed42.gif")
    recipe = Recipe.from_file(gif)
    assert recipe == Recipe((3, 7, 3, 7), steps=5, seed=42, weights=pipe.weights)
    expected = render.picture(pipe.run(recipe).result().images, 2)
    np.testing.assert_allclose(np.asarray(Image.open(png)), expected, atol=2)
    with Image.open(gif) as animation:
        assert animation.info["loop"] == 0
        assert len(list(ImageSequence.Iterator(animation))) == 6

    quick(page, "0", "1")
    forget_status(page)
    page.locator("input[type=file]").first.set_input_files(gif)
    wait_for_run(page)
    assert tiles(page) == drawn
    assert picked(page) == [3, 7]
    assert page.get_by_label("number input for How many of each").input_value() == "2"
    assert number(page, "Steps").input_value() == "5"
    assert page.input_value("#seed input") == "42"


def test_a_dropped_file_is_opened(page: Page, pipe: Pipeline, tmp_path: Path) -> None:
    pipe([8, 8], steps=1, seed=9).save(tmp_path / "eights.png")
    content = list((tmp_path / "eights.png").read_bytes())
    forget_status(page)
    page.get_by_role("tab", name="Compare").click()
    page.evaluate(
        """(content) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(content)], "eights.png"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        content,
    )
    wait_for_run(page)
    expect(page.locator("#player")).to_be_visible()
    assert "2 digits" in page.inner_text("#status")
    assert page.input_value("#prompt input, #prompt textarea") == "8"


def test_a_file_that_is_opened_during_a_run_is_drawn_after_it(page: Page, pipe: Pipeline, tmp_path: Path) -> None:
    pipe([8, 8], steps=1, seed=9).save(tmp_path / "eights.png")
    say(page, "7")
    set_number(page, "Steps", "100")
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text("Step ")
    page.set_input_files("#keeping input[type=file]", tmp_path / "eights.png")
    expect(page.locator("#status")).to_contain_text("2 digits in", timeout=60_000)
    expect(page.locator("#strip button")).to_have_count(2)


def test_a_wrong_file_is_answered_in_a_sentence(page: Page) -> None:
    for name, content, sentence in (
        ("notes.txt", b"hello", "is no PNG, GIF or WebP"),
        ("empty.png", b"", "choose a"),
        ("<b>.gif", b"GIF89a", "damaged or cut short"),
        ("other.json", b'{"version": 1, "digits": ["<b>"]}', "digits must be"),
    ):
        forget_status(page)
        file = {"name": name, "mimeType": "", "buffer": content}
        page.locator("input[type=file]").first.set_input_files(file)
        expect(page.locator("#status [role=alert]")).to_contain_text(sentence)
        expect(page.locator("#generate")).to_be_enabled()


def test_a_link_draws_and_the_copied_one_draws_the_same(blank: Page, url: str) -> None:
    page = blank
    open_page(page, f"{url}?digits=777&guidance=2.5&seed=42&steps=3")
    wait_for_run(page)
    expect(page.locator("#status")).to_contain_text("3 digits in")
    assert page.get_by_label("number input for Guidance").input_value() == "2.5"
    assert page.input_value("#seed input") == "42"
    drawn = tiles(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy")
    expect(page.locator("#status")).to_contain_text("The link is copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{url}?digits=777&count=1&guidance=2.5&steps=3")
    page.goto(link)
    page.wait_for_selector("#generate")
    wait_for_run(page)
    assert tiles(page) == drawn


def test_a_link_to_instant_weights_keeps_its_seed_as_one_drags(blank: Page, url: str) -> None:
    open_page(blank, f"{url}?digits=7&weights=few-step")
    wait_for_run(blank)
    expect(blank.get_by_label("Random seed")).not_to_be_checked()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("digits=%3Cimg src=x onerror=alert(1)%3E", "Cannot read"),
        ("digits=7&weights=few-step&steps=3", "With these weights, steps must be one of 1, 2, 4, 8, not 3."),
    ],
)
def test_a_broken_link_gets_a_sentence_and_breaks_nothing(blank: Page, url: str, query: str, sentence) -> None:
    open_page(blank, f"{url}?{query}")
    expect(blank.locator("#status [role=alert]")).to_contain_text(sentence)
    quick(blank, "7", "1")


def test_a_link_opens_a_tab_and_one_to_a_tab_that_is_not_there_says_so(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.goto(f"{url}?tab=compare")
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    page.goto(f"{url}?tab=cellar")
    expect(page.locator("#status [role=alert]")).to_contain_text("tab must be one of draw, learn, lab, compare")
    page.close()


def test_nothing_moves_by_itself_where_that_is_not_wanted(browser: Browser, url: str) -> None:
    page = browser.new_context(viewport=PHONE, reduced_motion="reduce").new_page()
    open_page(page, url)
    caption = page.locator("#player output").inner_text()
    quick(page, "7")
    expect(page.get_by_role("button", name="Download the map")).to_be_visible()  # which comes after the GIF
    expect(page.locator("#player .play")).to_have_attribute("aria-label", "Play")
    expect(page.locator("#player .film")).to_be_hidden()
    assert page.locator("#player .film").get_attribute("src") is None, "nobody waits for what is not shown"
    assert caption.startswith("Step 20 of 20")
    expect(page.locator("footer .divider:visible")).to_have_count(0)
    page.context.close()


def test_there_are_more_kinds_of_files(page: Page, tmp_path: Path) -> None:
    quick(page, "73")
    page.get_by_role("button", name="More downloads").click()
    for kind, ending in (("WebP", ".webp"), ("APNG", ".apng"), ("Single images (ZIP)", ".zip")):
        page.locator("#kind").get_by_label(kind, exact=True).check()
        path = download(page, "#keep", tmp_path)
        assert path.suffix == ending
        if ending != ".zip":
            with Image.open(path) as animation:
                assert animation.n_frames == 3
                assert animation.size == ((2 * 28 + 2) * 4, (2 * 28 + 8) * 4), "both tracks, four pixels per pixel"


def test_nothing_is_picked_where_the_network_chooses(page: Page) -> None:
    say(page, "7")
    expect(page.locator("#digits .wrap").get_by_label("7", exact=True)).to_be_checked()
    say(page, "any")
    expect(page.locator("#hint")).to_contain_text("draws what it likes")
    expect(page.locator("#digits .wrap").get_by_label("7", exact=True)).not_to_be_checked()
    assert picked(page) == []
    choose(page, {3})
    expect(page.locator("#prompt input, #prompt textarea")).to_have_value("3")


# Stop, and what goes wrong


def test_stop_frees_the_machine(page: Page) -> None:
    set_number(page, "Steps", "1000")
    page.click("#generate")
    expect(page.locator("#status")).to_contain_text("left", timeout=30_000)
    expect(page.locator("#generate")).to_be_disabled()
    page.click("#stop")
    page.click("#generate")  # as soon as that is possible
    expect(page.locator("#status")).to_contain_text("Step ")
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
    place = re.compile(r"^Others draw first: place 1 of 1, about (\d+) (s|min)\.$")
    expect(second.locator("#status [role=status]")).to_have_text(place)
    number, unit = place.match(second.inner_text("#status [role=status]")).groups()
    left = float(re.search(r"([\d.]+) s left", page.inner_text("#status"))[1])
    assert int(number) * (60 if unit == "min" else 1) > left / 2, "however short the runs before were"
    expect(second.locator("#generate")).to_be_disabled()
    second.click("#stop")
    expect(second.locator("#status")).to_contain_text("Stopped")
    second.context.close()
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped")


def test_a_run_that_ends_while_an_earlier_gif_is_made_gets_its_own(page: Page, tmp_path: Path, monkeypatch) -> None:
    make, ended = Downloads.gif_of, Event()

    def late(self, drawn):
        ended.wait(30)
        return make(self, drawn)

    monkeypatch.setattr(Downloads, "gif_of", late)  # the page is served by this process
    quick(page, "7")
    quick(page, "30")
    ended.set()
    film = page.locator("#player img.film")
    expect(film).to_have_attribute("alt", re.compile("3.*0"))
    assert (
        page.request.get(film.evaluate("film => film.src")).body() == download(page, "#keep-gif", tmp_path).read_bytes()
    )


def test_a_closed_tab_and_a_reload_free_the_machine(page: Page, browser: Browser, url: str) -> None:
    for leave in (lambda visitor: visitor.context.close(), lambda visitor: visitor.reload()):
        visitor = visit(browser, url)
        set_number(visitor, "Steps", "1000")
        visitor.click("#generate")
        expect(visitor.locator("#status")).to_contain_text("left", timeout=30_000)
        leave(visitor)
        quick(page, "7", "1")


def test_visitors_do_not_see_each_others_runs(page: Page, browser: Browser, url: str) -> None:
    quick(page, "7")
    second = visit(browser, url)
    assert second.locator("#strip button").count() == 0
    expect(second.locator("#keep-png")).to_be_disabled()
    quick(second, "30")
    expect(page.locator("#strip button")).to_have_count(1)
    expect(page.locator("#player button.tile")).to_have_count(1)
    second.context.close()


def test_a_run_leaves_no_temporary_files(page: Page, tmp_path: Path, monkeypatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))  # the page is served by this process
    quick(page)
    download(page, "#keep-gif", tmp_path)
    assert not list(temporary.rglob("digits-*"))


def test_bad_input_gets_a_sentence_and_loses_nothing(page: Page) -> None:
    quick(page, "7", "1")
    before = tiles(page)

    def refused(sentence: str) -> None:
        forget_status(page)
        page.click("#generate")
        expect(page.locator("#status [role=alert]")).to_contain_text(sentence)
        expect(page.locator("#generate")).to_be_enabled()
        assert tiles(page) == before
        expect(page.locator("#keep-png")).to_be_enabled()

    choose(page, set())
    refused("No digits asked for")
    for prompt, sentence in (
        ("<img src=x onerror=alert(1)>", "Cannot read"),
        ("a thousand 7s", "That is 1,000 images: ask for at most 100 at once."),
    ):
        say(page, prompt)
        refused(sentence)
    say(page, "7")
    for seed, written in (("", "nothing"), ("1.5", "1.5"), ("-1", "-1")):
        set_seed(page, seed)
        refused(f"seed must be a whole number from 0 to 4,294,967,295, not {written}.")
    set_seed(page, "5")
    expect(page.locator("#status [role=alert]")).to_have_count(0)  # it was about another seed
    expect(page.locator("#status")).to_contain_text("press Generate")
    set_number(page, "Guidance", "3")
    set_number(page, "Guidance", "")
    expect(page.get_by_label("number input for Guidance")).to_have_value("3")  # not 0, the least


# How it looks


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")], ids=["phone, dark", "desktop, light"]
)
def test_it_fits_every_screen_and_asks_for_nothing_outside(browser: Browser, url: str, viewport, scheme) -> None:
    page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
    hosts, complaints = set(), []
    page.on("request", lambda request: hosts.add(urlparse(request.url).hostname))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_page(page, url)
    if viewport is DESKTOP:
        for name in ("#prompt", "#digits", "#generate", "#player", "#seed", "#keep-png"):
            box = page.locator(name).bounding_box()
            assert box["y"] + box["height"] <= viewport["height"], f"{name} is on the first screen"
    quick(page, "7", "3")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.evaluate(
        """() => {
          window.heights = { status: new Set(), player: new Set() };
          const note = (all) => all.forEach(({ target }) => window.heights[target.id].add(target.offsetHeight));
          const observer = new ResizeObserver(note);
          for (const name in window.heights) observer.observe(document.getElementById(name));
        }"""
    )
    assert ("dark" in (page.get_attribute("body", "class") or "").split()) == (scheme == "dark")
    generate(page)
    expect(page.locator("#player .track").last).to_be_in_viewport(ratio=0.9)  # on a phone it is scrolled to
    expect(page.locator("#player .film")).to_be_visible()
    heights = page.evaluate("Object.values(window.heights).map((each) => [...each])")
    assert [len(each) for each in heights] == [1, 1], f"nothing jumps: {heights}"
    result, gif = (page.locator(f"#player {name}").bounding_box() for name in (".track:last-child .screen", ".film"))
    assert (result["y"] < gif["y"]) == (viewport is PHONE), "on a phone the digits come first"
    screen = page.locator("#player .screen").last.bounding_box()
    assert screen["height"] == pytest.approx(screen["width"], abs=1), "one digit fills its frame"
    page.get_by_role("tab", name="How it learned").click()
    expect(page.locator("#evolution .time output")).to_contain_text("Epoch")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert hosts - {None} == {urlparse(url).hostname}
    assert complaints == []
    page.context.close()


def test_pictures_are_enlarged_crisply_and_have_names_as_controls_have(page: Page) -> None:
    drawn = page.locator("#player canvas").first
    assert drawn.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
    quick(page, "73", "1")
    for image in page.locator("img:visible:not([alt])").all():
        raise AssertionError(f"no alternative text: {image}")
    for button in page.locator("button:visible").all():
        assert button.get_attribute("aria-label") or button.inner_text(), button
    for name in ("Generate", "Stop", "Play", "Copy link"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    for label in ("Guidance",):
        expect(page.get_by_label(f"range slider for {label}")).to_be_visible()
    for label in ("What to draw", "Seed", "Random seed", "Steps", "7"):
        expect(page.get_by_label(label, exact=True).first).to_be_visible()
    assert page.locator("#player .time input").get_attribute("aria-valuetext") == "Step 1 of 1, no noise left"


def test_the_digits_can_be_reached_with_the_keyboard(page: Page) -> None:
    quick(page, "737", "1")
    page.locator("#player button.tile").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#player .note")).to_contain_text("3, seed")
    page.locator("#player button.tile:visible").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#player button.tile:visible")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#player button.tile:visible")).to_have_count(3)
    assert page.evaluate("document.activeElement.ariaLabel").startswith("3, ")
