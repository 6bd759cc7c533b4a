"""The tour of the tab Learn: what each step draws, for whatever weights; and a walk through it in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect
from visitor import PHONE, picked

from diffusion import Pipeline
from diffusion.data import DATASETS
from ui.canvas import holding
from ui.terms import TERMS
from ui.tour import NAMED, Tour
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
    lessons, last = tour.lessons, len(tour.work.names) - 1
    assert [*lessons] == STEPS
    scribble = holding(tour.picture)
    asked = {"noise": 700, "guess": 3, "steps": 2, "guidance": 2, "same": 3}
    for name, lesson in lessons.items():
        shown = lesson.draw(scribble, last) if name == "scribble" else lesson.draw(asked[name])
        tour.pipe.check(shown.recipe)
        assert shown.recipe.weights == tour.pipe.weights
        assert "in 0." in shown.said
        text = f"{lesson.title} {lesson.text} {lesson.todo}"
        assert tour.work.things == "digits" or "digit" not in text.casefold()


def test_the_formulas_hold_the_numbers_of_the_moment(tour: Tour) -> None:
    at = tour.pipe.model.scheduler.level(700)
    assert f"= {at.alpha:.2f} · x<sub>0</sub> + {at.sigma:.2f} · noise" in tour.noise(700).view
    assert "u + 2.5 · (c − u) = 2.5 · c − 1.5 · u" in tour.guidance(2.5).view
    captions = tour.steps(2).view["captions"]
    at = tour.pipe.model.scheduler.level(499)
    assert captions == ["Pure noise, x999", f"Step 1 of 2: x499 = {at.alpha:.2f} · guess + {at.sigma:.2f} · noise", captions[2]]
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
