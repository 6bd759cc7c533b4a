"""Everybody can use the page: no violation of axe-core's rules on any tab, light and dark, on a desktop and a phone."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from visitor import DESKTOP, PHONE, generate, more, say, set_number

GRADIOS_OWN = {  # what cannot be mended from outside: the rule, the element, and why
    ("image-redundant-alt", 'img[alt="Settings"]'),  # the picture of a button of the footer says what the button says
    ("aria-prohibited-attr", ".empty"),  # a gr.Image with no picture is labelled, but has no role
}


def violations(page: Page) -> list[str]:
    """What breaks a rule: its name, and the first elements that do."""
    return [
        f"{each['id']}: {node['target'][0]} {node['failureSummary']}"
        for each in Axe().run(page).response["violations"]
        for node in each["nodes"]
        if (each["id"], node["target"][0]) not in GRADIOS_OWN
    ]


def test_no_tab_breaks_a_rule_of_accessibility(page: Page) -> None:
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")  # colours half-way
    say(page, "73")
    set_number(page, "Steps", "1")
    generate(page)
    more(page)
    expect(page.locator("#player .film")).to_be_visible()
    found = {}
    for name in page.get_by_role("tab").all_inner_texts():
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.locator("[role=tabpanel]:visible .block:visible").first).to_be_visible()
        for dark in (False, True):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
            for screen in (DESKTOP, PHONE):
                page.set_viewport_size(screen)
                for each in violations(page):
                    found[each] = f"{name}, {'dark' if dark else 'light'}, {screen['width']} pixels"
        page.set_viewport_size(DESKTOP)
    assert not found, "\n".join(f"{where}: {each}" for each, where in found.items())
