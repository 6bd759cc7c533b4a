"""The page's tab Lab in a real browser: draw, edit, erase, fill, turn, keep, and drop back."""

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect
from visitor import PHONE, download, generate, open_page, say, set_number

from diffusion import Pipeline, Recipe
from diffusion.lab import panels, picture, recipes
from ui.player import GREYS

DONE = re.compile(r"in \d+\.\d s")


def act(page: Page, name: str) -> None:
    page.locator("#activity").get_by_label(name, exact=True).check()
    expect(page.locator("#lab-status")).to_contain_text(re.compile("Press Start|Drag"))
    page.wait_for_timeout(300)  # until the controls that it shows answer


def start(page: Page, button: str = "#lab-start") -> None:
    page.locator("#lab-status p").evaluate("p => p.textContent = 'an older run'")
    page.click(button)
    done(page)


def done(page: Page) -> None:
    expect(page.locator("#lab-status")).to_contain_text(DONE, timeout=60_000)
    expect(page.locator("#lab-start")).to_be_enabled()


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Draw through points of the canvas, in shares of its sides."""
    box = page.locator("#pad .ink").bounding_box()
    assert box is not None
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def seen(page: Page) -> np.ndarray:
    """What the network gets, as the page shows it."""
    source = page.locator("#seen img").get_attribute("src")
    assert source is not None
    return picture.unpacked(source.partition(",")[2])


def lab_tiles(page: Page, track: int = 0) -> list[str]:
    canvases = page.locator("#lab-player .tiles").nth(track).locator("canvas")
    return canvases.evaluate_all("all => all.map(c => c.toDataURL())")


@pytest.fixture
def lab(page: Page) -> Page:
    page.get_by_role("tab", name="Lab").click()
    expect(page.locator("#noised img")).to_have_count(4)
    return page


@pytest.fixture
def phone(blank: Page, url: str) -> Page:
    blank.set_viewport_size(PHONE)
    open_page(blank, url)
    blank.get_by_role("tab", name="Lab").click()
    expect(blank.locator("#noised img")).to_have_count(4)
    return blank


def test_noise_follows_the_slider_and_the_formula_is_filled_in(lab: Page) -> None:
    set_number(lab, "Noise level", "0")
    expect(lab.locator("#noised")).to_contain_text("x0 = 0.999 · x0 + 0.001 · noise")
    set_number(lab, "Noise level", "700")
    expect(lab.locator("#noised")).to_contain_text("x700 = 0.299 · x0 + 0.701 · noise")
    errors = [float(each) for each in re.findall(r"error ([\d.]+)", lab.inner_text("#noised"))]
    assert errors[2] < errors[1] < errors[0], "a guess is better than a blur, and that than noise"


def test_one_guess_falls_apart_where_many_steps_still_find_a_digit(lab: Page) -> None:
    expect(lab.locator("#why img")).to_have_count(0)  # nothing is worked out before somebody asks
    lab.get_by_role("button", name="Why not in one guess?").click()
    expect(lab.locator("#why img")).to_have_count(4)

    def errors() -> list[float]:
        return [float(each) for each in re.findall(r"error ([\d.]+)", lab.inner_text("#why"))]

    noise, guess, _ = errors()
    assert noise == pytest.approx(0.5, abs=0.04), "the noise that was added"
    assert guess < 0.15
    set_number(lab, "Sigma of the noise", "1.5")
    expect(lab.locator("#why")).to_contain_text(re.compile(r"error 1\.[45]"))
    noise, guess, many = errors()
    assert many < guess < noise
    lab.click("#pad [data-do=clear]")
    expect(lab.locator("#why img")).to_have_count(0)
    lab.click("#real")
    expect(lab.locator("#why img")).to_have_count(4)
    act(lab, "edit")
    expect(lab.locator("#why")).to_be_hidden()


def test_a_digit_is_drawn_erased_edited_kept_and_dropped_back(lab: Page, tmp_path: Path) -> None:
    lab.click("#pad [data-do=clear]")
    expect(lab.locator("#seen")).to_contain_text("Draw something")
    stroke(lab, (0.3, 0.2), (0.7, 0.2), (0.4, 0.85))
    expect(lab.locator("#seen img")).to_be_visible()
    whole = seen(lab)
    assert whole.shape == (28, 28)
    assert abs((whole * np.arange(28)).sum() / whole.sum() - 14) < 1, "it is centred as MNIST's digits are"
    source = lab.locator("#seen img").get_attribute("src")
    lab.click("#pad [data-tool=erase]")
    stroke(lab, (0.1, 0.6), (0.9, 0.6))
    lab.wait_for_function("before => document.querySelector('#seen img').src !== before", arg=source)
    assert seen(lab).sum() < whole.sum()
    lab.click("#pad [data-do=undo]")
    lab.wait_for_timeout(500)
    assert (seen(lab) == whole).all()

    act(lab, "edit")
    lab.locator("#first-digit").get_by_label("7", exact=True).check()
    set_number(lab, "Strength", "0.5")
    start(lab)
    drawn = lab_tiles(lab)
    gif = download(lab, "#lab-keep-gif", tmp_path)
    recipe = Recipe.from_file(gif)
    assert recipe.activity is not None
    assert (recipe.activity.name, recipe.digits) == ("edit", (7,))
    assert (recipe.activity.pixels[0] == whole).all()

    act(lab, "hybrid")
    lab.locator("#lab-status p").evaluate("p => p.textContent = 'an older run'")
    lab.set_input_files("#bring input[type=file]", gif)
    done(lab)
    expect(lab.locator("#activity").get_by_label("edit", exact=True)).to_be_checked()
    assert lab_tiles(lab) == drawn, "it draws the same again"
    assert (seen(lab) == whole).all()


def test_what_is_drawn_over_a_real_digit_is_scaled_and_centred_once_it_is_larger_than_one(lab: Page) -> None:
    def drawn(*points: tuple[float, float]) -> np.ndarray:
        source = lab.locator("#seen img").get_attribute("src", timeout=500) if lab.locator("#seen img").count() else ""
        stroke(lab, *points)
        changed = "before => (document.querySelector('#seen img')?.src ?? '') !== before"
        lab.wait_for_function(changed, arg=source)
        return seen(lab)

    def sides(pixels: np.ndarray) -> list[int]:
        return [int(np.ptp(each)) + 1 for each in np.nonzero(pixels > 50)]

    lab.click("#real")
    lab.wait_for_timeout(500)
    real = seen(lab)
    little = drawn((0.45, 0.5), (0.55, 0.5))
    assert (little[:8] == real[:8]).all(), "a small stroke leaves the rest as it is"
    large = drawn((0.5, 0.03), (0.4, 0.99))
    assert max(sides(large)) <= 20
    assert abs((large.sum(1) * np.arange(28)).sum() / large.sum() - 14) < 1
    lab.click("#pad [data-do=undo]")
    lab.wait_for_timeout(500)
    assert (seen(lab) == little).all()
    lab.click("#pad [data-tool=erase]")
    stroke(lab, *((x, y / 20) for y in range(1, 20, 2) for x in (0.02, 0.98)))
    expect(lab.locator("#seen")).to_contain_text("Draw something")
    lab.click("#pad [data-tool=draw]")
    assert max(sides(drawn((0.4, 0.7), (0.5, 0.9)))) == 20, "it is as large as a digit"


def test_what_the_mask_covers_is_filled_and_the_rest_is_kept(lab: Page, tmp_path: Path) -> None:
    act(lab, "inpaint")
    lab.locator("#first-digit").get_by_label("9", exact=True).check()
    start_refused(lab, "paint a mask")
    lab.click("#pad [data-mask=bottom]")
    lab.click("#pad [data-tool=keep]")
    stroke(lab, (0.1, 0.9), (0.9, 0.9))
    lab.click("#pad [data-tool=mask]")
    stroke(lab, (0.5, 0.1), (0.5, 0.2))
    whole = seen(lab)
    start(lab)
    recipe = Recipe.from_file(download(lab, "#lab-keep-png", tmp_path))
    assert recipe.activity is not None
    hidden = recipe.activity.hidden
    assert hidden[15:22].all()
    assert not hidden[25, 5:23].any(), "unmasked by hand"
    assert hidden[4, 14], "masked by hand"
    images = Pipeline.from_pretrained(device="cpu").run(recipe).result().images
    assert (images[0][~hidden] == whole[~hidden]).all()


def start_refused(page: Page, sentence: str) -> None:
    page.click("#lab-start")
    expect(page.locator("#lab-status [role=alert]")).to_contain_text(sentence)
    expect(page.locator("#lab-start")).to_be_enabled()


def test_nonsense_is_refused_in_a_sentence(lab: Page, tmp_path: Path) -> None:
    lab.click("#pad [data-do=clear]")
    act(lab, "edit")
    start_refused(lab, "There is no picture")
    stroke(lab, (0.5, 0.5), (0.5, 0.5))
    (tmp_path / "no.png").write_bytes(b"nothing")
    lab.set_input_files("#bring input[type=file]", tmp_path / "no.png")
    expect(lab.locator("#lab-status [role=alert]")).to_contain_text("no picture that can be read")
    lab.click("#real")
    lab.locator("#lab-weights").get_by_label("Instant").check()
    act(lab, "denoise")
    expect(lab.locator("#lab-status [role=alert]")).to_contain_text("choose the weights named bundled")


def test_a_photo_of_a_digit_is_opened(lab: Page) -> None:
    before = lab.locator("#seen img").get_attribute("src")
    lab.set_input_files("#bring input[type=file]", Path(__file__).parents[2] / "docs" / "photo.jpg")
    lab.wait_for_function("before => document.querySelector('#seen img').src !== before", arg=before)
    assert seen(lab).shape == (28, 28)


def test_a_cell_of_the_table_is_drawn_turned_and_linked(lab: Page) -> None:
    act(lab, "anagram")
    for width in (1240, 1000, PHONE["width"]):
        lab.set_viewport_size({"width": width, "height": 900})
        panel, cell = (lab.locator(each).bounding_box() for each in ("#lab-result", "#ambigrams .cells :last-child"))
        assert panel
        assert cell
        assert cell["x"] + cell["width"] <= panel["x"] + panel["width"], width
        assert min(cell["width"], cell["height"]) > 24, width  # for a finger
    lab.get_by_label("6 upright, 9 when turned").click()
    done(lab)
    expect(lab.locator("#lab-player figcaption").nth(1)).to_have_text("rotate-180: 9")
    assert "1 of 1 read as asked" in lab.inner_text("#lab-status")
    drawn = lab_tiles(lab)
    canvas = lab.locator("#lab-player .tile canvas").first
    lab.get_by_role("button", name="Turn it").click()
    assert canvas.evaluate("canvas => canvas.style.transform") == "rotate(180deg)"
    lab.get_by_role("button", name="Turn it").click()
    assert canvas.evaluate("canvas => canvas.style.transform") == ""
    lab.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    lab.click("#lab-copy")
    expect(lab.locator("#lab-status")).to_contain_text("The link is copied")
    lab.goto(lab.evaluate("window.copied"))
    done(lab)
    assert lab_tiles(lab) == drawn


def test_a_digit_goes_from_draw_to_the_lab_and_back(page: Page) -> None:
    say(page, "7")
    generate(page)
    page.locator("#player button.tile").click()
    page.get_by_role("button", name="Edit it in the Lab").click()
    expect(page.locator("#lab-status")).to_contain_text("Choose what to draw it as")
    drawn = page.locator("#player .tiles").nth(1).locator("canvas").evaluate("c => c.toDataURL()")
    ours = page.evaluate(
        """async (source) => { const image = new Image(); image.src = source; await image.decode();
        const canvas = document.createElement("canvas"); [canvas.width, canvas.height] = [28, 28];
        canvas.getContext("2d").drawImage(image, 0, 0); return canvas.toDataURL(); }""",
        page.locator("#seen img").get_attribute("src"),
    )
    assert ours == drawn
    start(page)
    page.locator("#lab-player").get_by_role("button", name="Send to Draw").click()
    expect(page.locator("#player .note")).to_contain_text("without the Lab", timeout=60_000)
    expect(page.locator("#prompt textarea, #prompt input").first).to_be_visible()


def test_only_the_brush_that_makes_a_picture_larger_has_it_scaled(lab: Page) -> None:
    act(lab, "inpaint")
    lab.click("#real")
    spot = (0.1, 0.1), (0.12, 0.1)
    lab.click("#pad [data-tool=mask]")
    stroke(lab, *spot)
    lab.click("#pad [data-tool=draw]")
    stroke(lab, (0.5, 0.02), (0.5, 0.98))  # with a mask it stays that very picture
    lab.wait_for_timeout(500)
    large = seen(lab)
    assert np.ptp(np.nonzero(large > 50)[0]) > 24
    lab.click("#pad [data-tool=keep]")
    stroke(lab, *spot, (0.08, 0.1), (0.1, 0.14))
    lab.click("#pad [data-tool=erase]")
    stroke(lab, (0.9, 0.5), (0.95, 0.5))
    lab.click("#pad [data-tool=draw]")
    stroke(lab, (0.5, 0.4), (0.5, 0.5))
    lab.wait_for_timeout(500)
    assert np.ptp(np.nonzero(seen(lab) > 50)[0]) > 24


def test_another_activity_ends_the_run_and_what_was_said_of_it(lab: Page) -> None:
    act(lab, "hybrid")
    steps = lab.locator("#lab-settings").get_by_label("Steps", exact=True)
    steps.fill("2")
    start(lab)  # so that there is something that could come back
    steps.fill("1000")
    lab.click("#lab-start")
    expect(lab.locator("#lab-status")).to_contain_text(re.compile(r"Step [1-9]\d* of 1000"), timeout=60_000)
    for name, line in (("morph", "Press Start"), ("forward", "Drag the noise level")):
        lab.locator("#activity").get_by_label(name, exact=True).check()
        expect(lab.locator("#lab-status")).to_contain_text(line)
        lab.wait_for_timeout(1500)  # nothing of the run comes after
        expect(lab.locator("#lab-status")).to_contain_text(line)
        expect(lab.locator("#lab-player")).to_be_hidden()
        expect(lab.locator("#lab-keep-png")).to_be_enabled(enabled=name == "forward")  # which shows noise
    act(lab, "hybrid")
    steps.fill("2")
    start(lab)  # it would wait for the thousand steps if they still ran


@pytest.mark.parametrize("name", ["edit", "anagram", "morph"])
def test_the_gif_itself_and_the_ways_follow_a_run(lab: Page, tmp_path: Path, name: str) -> None:
    act(lab, name)
    if name == "morph":
        set_number(lab, "Frames", "4")
    start(lab)
    film = lab.locator("#lab-player .gif img.film")
    expect(film).to_be_visible()
    first = download(lab, "#lab-keep-gif", tmp_path)
    assert lab.request.get(film.evaluate("film => film.src")).body() == first.read_bytes()
    assert Recipe.from_file(first).activity.name == name
    natural, shown = (film.evaluate(f"film => film.{size}Width / film.{size}Height") for size in ("natural", "client"))
    assert natural == pytest.approx(shown, rel=0.02)
    expect(lab.locator("#lab-player .ways path").first).to_have_attribute("d", re.compile("M.*L"))
    act(lab, "hybrid")
    expect(film).to_be_hidden()


def test_a_morph_is_played_there_and_back(lab: Page) -> None:
    act(lab, "morph")
    set_number(lab, "Frames", "4")
    asked: list[Route] = []

    def hold(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:  # then comes the GIF, and after it the way
            route.continue_()

    lab.route("**/queue/join**", hold)
    start(lab)
    assert "of 4 read as asked" in lab.inner_text("#lab-status")
    slider = lab.locator("#lab-player .time input")
    expect(slider).to_have_attribute("max", "6")
    expect(lab.locator("#lab-player .time output")).to_contain_text("read as")
    way = lab.locator("#lab-player .ways path").first
    expect(way).to_have_attribute("d", "")  # that of the first image as it was drawn is none of the film
    assert len(asked) == 2
    asked[1].continue_()
    expect(lab.locator("#lab-player .gif img.film")).to_be_visible()
    expect(way).to_have_attribute("d", re.compile("M.*L"))
    slider.fill("6")
    first = lab_tiles(lab)
    lab.locator("#lab-player button.tile").click()  # the GIF does not lie over it
    slider.fill("3")
    [other] = lab_tiles(lab)
    assert [other] != first
    pixels = np.asarray(Image.open(BytesIO(b64decode(other.partition(",")[2]))).convert("L"))
    lab.get_by_role("button", name="Use as the picture").click()
    expect(lab.locator("#lab-status")).to_contain_text("Choose what to draw it as")
    lab.wait_for_timeout(500)
    assert abs(seen(lab) - pixels.astype(int)).max() <= GREYS // 2


def test_the_canvas_takes_keys_and_fingers_and_nothing_is_wider_than_a_phone(phone: Page, tmp_path: Path) -> None:
    phone.click("#pad [data-do=clear]")
    canvas = phone.get_by_role("application", name="Canvas")
    canvas.focus()
    phone.keyboard.press("Space")
    for key in ("ArrowDown",) * 8 + ("ArrowLeft",) * 3:
        phone.keyboard.press(key)
    phone.keyboard.press("Space")
    expect(phone.locator("#seen img")).to_be_visible()
    rows, columns = np.nonzero(seen(phone) > 127)
    assert np.ptp(rows) > np.ptp(columns)
    for name in ("inpaint", "anagram", "forward"):
        act(phone, name)
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    png = download(phone, "#lab-keep-png", tmp_path)
    with Image.open(png) as image:
        assert image.width > 100
    assert Recipe.from_file(png).activity.name == "forward"


def test_recipes_of_the_lab_find_their_way_from_the_tab_draw(page: Page, pipe: Pipeline, tmp_path: Path) -> None:
    recipe = recipes.anagram(pipe, [6, 9], seed=4, steps=5)
    path = tmp_path / "turn.png"
    path.write_bytes(panels.picture(".png", pipe.run(recipe).result(), pipe.names))
    page.set_input_files("#keeping input[type=file]", path)
    done(page)
    expect(page.locator("#activity").get_by_label("anagram", exact=True)).to_be_checked()
