"""The map beside the player: it follows the run and the slider, and a way and its tile go together."""

import re

from PIL import Image
from playwright.sync_api import Page, expect
from visitor import download, generate, say, set_number

from diffusion import Pipeline, Recipe
from diffusion.data import DATASETS
from diffusion.networks.unet import UNetConfig
from ui import player, ways
from ui.work import Work


def corners(page: Page, n: int = 0) -> int:
    """How many places the way of a tile has so far."""
    return len(re.findall("[ML]", page.locator("#player .ways path:not(.wide-line)").nth(n).get_attribute("d") or ""))


def test_the_ways_follow_the_slider_and_their_tiles(page: Page, tmp_path) -> None:
    say(page, "73")
    set_number(page, "Steps", "6")
    generate(page)
    expect(page.locator("#player .sky canvas")).to_have_count(2)
    keep = page.get_by_role("button", name="Download the map")
    expect(keep).to_be_visible()  # now the whole way is known
    assert corners(page) == 8  # the middle, and seven frames
    end = page.locator("#player .sky canvas").first.bounding_box()
    page.locator("#player .time input").fill("2")
    assert corners(page) == 4
    assert page.locator("#player .sky canvas").first.bounding_box() != end

    tile, other = (page.locator("#player .tiles").last.locator(".tile").nth(k) for k in range(2))
    lines = page.locator("#player .ways path:not(.wide-line)")
    tile.hover()
    expect(lines.nth(1)).to_have_class("far")
    expect(lines.nth(0)).not_to_have_class("far")
    page.locator("#player .sky canvas").nth(1).hover()
    expect(other).to_have_class(re.compile("near"))
    expect(lines.nth(0)).to_have_class("far")
    page.locator("#player .sky canvas").nth(1).click()
    expect(page.locator("#player .note")).to_have_text(re.compile("^3, seed"))
    page.keyboard.press("Escape")

    kept = []
    for moment, name in (("2", r"seed\d+-step2-map\.png"), ("6", r"seed\d+-map\.png")):
        page.locator("#player .time input").fill(moment)
        kept.append(download(page, "#player .sky button", tmp_path))
        assert re.search(f"{name}$", kept[-1].name)
        with Image.open(kept[-1]) as picture:
            assert picture.mode == "RGB"
    assert kept[0].read_bytes() != kept[1].read_bytes(), "each shows the ways as the page did"
    more_downloads = page.get_by_role("button", name="More downloads")
    more_downloads.click()
    page.get_by_label("With the map").check()
    page.locator("#kind").get_by_label("GIF", exact=True).check()
    path = download(page, "#keep", tmp_path)
    assert Recipe.from_file(path).digits == (7, 3)
    with Image.open(path) as film:
        assert film.width > film.height


def test_without_a_reader_there_is_no_map(make_denoiser) -> None:
    unet = UNetConfig((8,), 1, (), 16, image_channels=3, image_size=32)
    work = Work({"bundled": Pipeline(make_denoiser(unet, names=DATASETS["cifar10"].names))})
    assert work.map is None
    assert "sky" not in player.player(None, player.TRACKS, "player", map=work.map).html_template
    assert ways.figure(work.map) == ""
