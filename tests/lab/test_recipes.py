"""What the builders make of plain values: the recipes of activities made by hand, and one sentence for bad input."""

import numpy as np
import pytest

from diffusion import Pipeline
from diffusion.lab import Anagram, Denoising, Forward, Hybrid, ImageToImage, Inpainting, recipes
from diffusion.lab.edit import CLASSIC, METHODS, mask
from diffusion.lab.picture import packed
from diffusion.lab.recipes import RECIPES, again

SHAPE = (1, 28, 28)
LONG = {"steps": 4, "sampler": "heun", "guidance": 2.0, "guidance_interval": (300, 700)}


@pytest.fixture(scope="session")
def picture(digits) -> np.ndarray:
    return digits[0][7].numpy()


def test_each_activity_has_a_builder(exact, picture):
    text = packed(picture)
    top = mask("top", SHAPE)
    made = {
        "forward": (recipes.forward(exact, picture, levels=(9, 99), count=2), [0, 0], Forward((text,), (9, 99))),
        "denoise": (recipes.denoise(exact, text, levels=(9,), steps=3), [0], Denoising((text,), (9,), 0)),
        "edit": (recipes.edit(exact, [picture], 4, 0.5, seed=3), [4], ImageToImage((text,), 0.5)),
        "inpaint": (recipes.inpaint(exact, picture, [1, 2], "top", inner=1), [1, 2], Inpainting((text,), top, inner=1)),
        "anagram": (recipes.anagram(exact, [6, 9], ["flip"], count=2), [6, 6], Anagram((9,), ("flip",))),
        "hybrid": (recipes.hybrid(exact, (3, 8), radius=2), [3], Hybrid(8, 2)),
        "morph": (recipes.morph(exact, [3, 8], frames=3, seed=None), [3, 8, 8], None),
    }
    assert list(made) == list(RECIPES)
    for name, (recipe, labels, activity) in made.items():
        assert recipe.activity.name == name
        assert list(recipe.digits) == labels
        assert activity in (None, recipe.activity)
        exact.check(recipe)
    assert made["denoise"][0].guidance == made["forward"][0].guidance == 0
    assert made["anagram"][0].guidance == Anagram.defaults["guidance"]
    assert made["edit"][0].seed == 3


def test_pictures_and_digits_go_with_each_other(exact, digits):
    batch = digits[0][:3].numpy()
    recipe = recipes.edit(exact, batch, 4, CLASSIC, count=2, seed=5)
    assert recipe.digits == (4,) * 36
    assert recipe.seeds == [5 + k // 6 for k in range(36)]  # a strip has one noise
    assert recipe.activity.images[:7] == (packed(batch[0]),) * 6 + (packed(batch[1]),)
    assert again(recipe, seed=8, steps=3).seeds == [8 + k // 6 for k in range(36)]
    white = np.zeros((28, 28), bool)
    white[3:9] = True
    assert np.array_equal(recipes.inpaint(exact, batch, [1, 2, 3], white).activity.hidden, white)


def test_bad_values_are_one_sentence(exact, picture, refuses):
    with refuses("There is no picture: draw one or choose a file."):
        recipes.forward(exact, None)
    with refuses("A picture must be whole numbers from 0 to 255"):
        recipes.forward(exact, picture / 255)
    with refuses("Say what to draw: choose a digit, or guidance 0"):
        recipes.edit(exact, picture)
    with refuses("Say what to draw anew: paint a mask, or choose one of top"):
        recipes.inpaint(exact, picture, 7)
    with refuses("There is no mask 'middle'"):
        recipes.inpaint(exact, picture, 7, "middle")
    with refuses("A morph needs two pictures"):
        recipes.morph(exact, [3, 8], picture)
    with refuses("Ask for at most 1,000,000 images at once."):
        recipes.edit(exact, picture, [1, 2], count=600_000)
    with refuses("A morph has a seed for each of its digits"):
        again(recipes.morph(exact, [3, 8]), seed=4)


@pytest.mark.parametrize(
    "asked",
    [
        ("forward", {"steps": 4}),
        ("edit", {"digits": 4, "strength": 0.5} | LONG),
        *(("inpaint", {"digits": 4, "mask": "top", "method": method, "inner": 2} | LONG) for method in METHODS),
        ("anagram", {"digits": [6, 9, 2], "views": ["flip", "mirror"], "inner": 1, "count": 3} | LONG),
        ("anagram", {"digits": [6, 9], "reduction": "alternate"} | LONG),
        ("hybrid", {"digits": [3, 8], "inner": 2} | LONG),
        ("morph", {"digits": [3, 8], "frames": 6} | LONG),
        ("morph", {"digits": [3, 8], "frames": 3, "images": True} | LONG),
    ],
    ids=lambda asked: " ".join(
        [asked[0], *(str(asked[1][name]) for name in ("method", "reduction") if name in asked[1])]
    ),
)
def test_evaluations_are_counted_as_an_activity_makes_them(model, digits, asked):
    name, settings = asked
    counted = Counted(model)
    pipe = Pipeline(counted)
    if name in ("forward", "edit", "inpaint") or settings.get("images"):
        settings = settings | {"images": digits[0][: 2 if name == "morph" else 1].numpy()}
    recipe = RECIPES[name](pipe, **settings)
    done = [0]
    for _ in pipe.run(recipe):
        done.append(counted.made)
    work = np.diff(done) / len(recipe.digits)
    assert pipe.work(recipe) == pytest.approx(work)
    assert pipe.evaluations(recipe) == pytest.approx(work.sum())
    assert pipe.steps(recipe) == len(work)
    assert (work.sum() == 0) == (name == "forward")


class Counted:
    """A model that counts for how many images it is run."""

    def __init__(self, model):
        self.model, self.made = model, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x, *asked):
        self.made += len(x)
        return self.model(x, *asked)
