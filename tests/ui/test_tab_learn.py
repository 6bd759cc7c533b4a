"""The tour of the tab Learn: what each step draws, for whatever weights; and a walk through it in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect
from test_accessible import violations
from visitor import PHONE, picked

from diffusion import Pipeline
from diffusion.data import DATASETS
from ui.canvas import holding
from ui.lessons import lessons
from ui.terms import TERMS
from ui.tour import Tour
from ui.work import Work

STEPS = ["noise", "guess", "steps", "guidance", "same", "scribble"]


@pytest.fixture(params=["digits", "clothes", "colour"])
def tour(request: pytest.FixtureRequest, make_denoiser) -> Tour:
    """That of very small weights; of the last there are no real images and no names."""
    from diffusion.networks.unet import UNetConfig

    small = UNetConfig(
        channels=(8, 8), blocks=1, attention=(1,), embedding=16, stem=4, image_size=16, image_channels=3, classes=2
    )
    settings = {
        "digits": {},
        "clothes": {"names": DATASETS["fashion-mnist"].names},
        "colour": {"unet": small, "names": ("sun", "moon")},
    }[request.param]
    return Tour(Work({"bundled": Pipeline(make_denoiser(**settings))}))


def test_every_step_is_drawn_from_its_recipe_and_speaks_of_what_the_weights_draw(tour: Tour) -> None:
    every, last = lessons(tour), len(tour.work.names) - 1
    assert [*every] == STEPS
    scribble = holding(tour.picture)
    asked = {"noise": 700, "guess": 3, "steps": 2, "guidance": 2, "same": 3}
    for name, lesson in every.items():
        draw = getattr(tour, name)
        shown = draw(scribble, last) if name == "scribble" else draw(asked[name])
        tour.pipe.check(shown.recipe)
        assert shown.recipe.weights == tour.pipe.weights
        assert re.search(r" in \d+\.\d+ s\.", shown.said)
        text = f"{lesson.title} {lesson.text} {lesson.todo}"
        assert tour.work.things == "digits" or "digit" not in text.casefold()


def test_the_formulas_hold_the_numbers_of_the_moment(tour: Tour) -> None:
    at = tour.pipe.model.scheduler.level(700)
    assert f"= {at.alpha:.2f} · x<sub>0</sub> + {at.sigma:.2f} · noise" in tour.noise(700).view
    assert "u + 2.5 · (c &minus; u) = 2.5 · c &minus; 1.5 · u" in tour.guidance(2.5).view
    captions = tour.steps(2).view["captions"]
    at = tour.pipe.model.scheduler.level(499)
    assert captions == [
        "Pure noise, x999",
        f"Step 1 of 2: x499 = {at.alpha:.2f} · guess + {at.sigma:.2f} · noise",
        captions[2],
    ]
    assert captions[2] == "Step 2 of 2: x = guess"


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("noise", [None], "each of levels must be a whole number"),
        ("guess", [-1], "seed"),
        ("steps", [0], "steps"),
        ("guidance", [9], "guidance must be"),
        ("same", ["x"], "seed"),
        ("scribble", [None, 3], "There is no picture"),
        ("scribble", [{"picture": "data:,x"}, 3], "damaged"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(make_denoiser, refuses, name: str, values: list, said: str) -> None:
    with refuses(said):
        getattr(Tour(Work({"bundled": Pipeline(make_denoiser())})), name)(*values)


@pytest.fixture
def learn(page: Page) -> Page:
    page.get_by_role("tab", name="Learn", exact=True).click()
    expect(page.locator("#learn-1 img")).to_have_count(3)
    return page


def onward(page: Page, number: int, images: int) -> None:
    """Press Next, and wait for the pictures of that step."""
    page.locator(f"#learn-{number - 1}").get_by_role("button", name="Next").click()
    expect(page.locator(f"#learn-{number} .see").locator("img:not(.film), .tile")).to_have_count(images)


def go(page: Page, number: int) -> None:
    """Go on elsewhere with what that step drew."""
    page.locator(f"#learn-{number}").get_by_role("button", name="Do it").click()


def test_the_tour_is_walked_through_and_goes_on_in_draw_and_in_the_lab(learn: Page) -> None:
    learn.locator("#learn-1").get_by_label("number input for Noise level").fill("700")
    expect(learn.locator("#learn-1 .numbers")).to_contain_text("x700 = 0.30 · x0 + 0.70 · noise")
    go(learn, 1)
    expect(learn.locator("#noised")).to_contain_text("x700 = 0.299 · x0 + 0.701 · noise")
    learn.get_by_role("tab", name="Learn", exact=True).click()

    onward(learn, 2, 4)
    shown = [image.get_attribute("src") for image in learn.locator("#learn-2 img").all()]
    other = learn.locator("#learn-2").get_by_role("button", name="Other noise")
    other.evaluate("button => { for (let n = 0; n < 50; n++) button.click(); }")  # fifty at once break nothing
    expect(learn.locator("#learn-2 img").last).not_to_have_attribute("src", shown[-1] or "")

    onward(learn, 3, 2)
    learn.locator("#learn-3").get_by_label("5", exact=True).check()
    expect(learn.locator("#learn-player .time input")).to_have_attribute("max", "5")
    learn.locator("#learn-player .time input").fill("1")
    expect(learn.locator("#learn-player output")).to_have_text("Step 1 of 5: x799 = 0.20 · guess + 0.80 · noise")

    onward(learn, 4, 13)
    expect(learn.locator("#learn-4 .numbers")).to_have_text(re.compile(r"u \+ 3\.0 · \(c . u\) = 3\.0 · c . 2\.0 · u"))

    learn.locator("#learn-4").get_by_role("button", name="Back").click()
    expect(learn.locator("#learn-player .tile")).to_have_count(2)
    onward(learn, 4, 13)

    onward(learn, 5, 11)
    go(learn, 5)  # the same ten, by the same weights and from one seed
    expect(learn.locator("#status")).to_contain_text(re.compile(r"10 digits in .* seed 5\."))
    assert picked(learn) == [*range(10)]
    expect(learn.locator("#weights").get_by_label("Instant")).to_be_checked()
    learn.get_by_role("tab", name="Learn", exact=True).click()

    onward(learn, 6, 5)
    learn.set_viewport_size(PHONE)
    assert violations(learn) == []
    assert learn.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    learn.click("#learn-pad [data-do=clear]")
    expect(learn.locator("#learn-status [role=alert]")).to_contain_text("There is no picture")


def test_a_term_is_explained_by_keyboard(page: Page) -> None:
    term, meaning = page.locator("#settings .term").first, page.get_by_text(TERMS["seed"])
    term.focus()
    expect(meaning).to_be_hidden()
    page.keyboard.press("Enter")
    expect(meaning).to_be_visible()
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()
    expect(term).to_be_focused()
