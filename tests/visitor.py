"""What visitors of the page do, for its tests."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Route, expect

expect.set_options(timeout=30_000)  # for a busy machine

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


def visit(browser: Browser, url: str, viewport: dict = DESKTOP, scheme: str = "light") -> Page:
    page = browser.new_context(viewport=viewport, color_scheme=scheme).new_page()
    open_page(page, url)
    return page


def open_page(page: Page, url: str) -> None:
    """Go there, and wait until the page answers to clicks."""
    with page.expect_response(re.compile("/run/")):  # what the address asks for, once all is connected
        page.goto(url)
    page.wait_for_selector("#player .tile")


def say(page: Page, prompt: str) -> None:
    """Write a prompt, and wait until it is understood, or not."""
    field = page.locator("#prompt input, #prompt textarea")
    if field.input_value() == prompt:
        return
    page.locator("#hint p").evaluate("p => p.textContent = 'an older hint'")
    field.fill(prompt)
    expect(page.locator("#hint")).not_to_contain_text("an older hint")


def choose(page: Page, digits: set[int]) -> None:
    for digit in range(10):
        page.locator("#digits .wrap").get_by_label(str(digit), exact=True).set_checked(digit in digits)


def picked(page: Page) -> list[int]:
    boxes = page.locator("#digits .wrap input")
    return [digit for digit in range(10) if boxes.nth(digit).is_checked()]


def set_number(page: Page, label: str, value: str) -> None:
    field = number(page, label)
    field.fill(value)
    field.press("Tab")


def number(page: Page, label: str) -> Locator:
    """The box of a number, by itself or beside its slider."""
    return page.get_by_label(f"number input for {label}").or_(page.get_by_label(label, exact=True))


def set_seed(page: Page, value: str) -> None:
    page.get_by_label("Random seed").set_checked(False)
    page.locator("#seed input").fill(value)
    page.locator("#seed input").press("Tab")


def more(page: Page) -> None:
    page.get_by_role("button", name="More settings").click()
    page.wait_for_timeout(500)  # until its controls, made only now, answer


def forget_status(page: Page, status: str = "#status") -> None:
    """Take away what an earlier run left there, so that it is not waited for."""
    page.locator(f"{status} p").evaluate("p => p.textContent = 'an older run'")


def wait_for_run(page: Page) -> None:
    expect(page.locator("#status")).to_contain_text(re.compile(r"in \d+\.\d s"), timeout=60_000)
    expect(page.locator("#player .time input")).to_be_enabled()


def generate(page: Page) -> None:
    forget_status(page)
    page.click("#generate")
    wait_for_run(page)


@contextmanager
def late_answers(page: Page) -> Iterator[Callable[[], None]]:
    """Answers to what is asked for first come late: one at each call of what this gives, the others at the end."""
    held: list[Route] = []
    asked: list[int] = []  # the number of its function

    def hold(route: Route) -> None:
        asked.append(route.request.post_data_json["fn_index"])
        held.append(route) if asked[-1] == asked[0] else route.continue_()

    def answer() -> None:
        with page.expect_request("**/run/**"):  # the next one, which comes after this answer
            held.pop(0).continue_()

    page.route("**/run/**", hold)
    yield answer
    assert asked, "nothing was asked"
    asked[0] = -1
    for route in held:
        route.continue_()


def tiles(page: Page, track: int = 1) -> list[str]:
    """The pixels of a track's tiles as the browser shows them, each as a data URI."""
    return (
        page.locator("#player .tiles").nth(track).locator("canvas").evaluate_all("all => all.map(c => c.toDataURL())")
    )


def download(page: Page, selector: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(selector)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path
