"""What the tab Lab offers: each activity with a sentence, what it needs and an example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffusion import Pipeline, Recipe, checks
from diffusion.activity import Activity
from diffusion.lab import Anagram, Denoising, Forward, Hybrid, ImageToImage, Inpainting, Morph, edit, morph, picture
from diffusion.lab.recipes import RECIPES
from diffusion.recipe import SETTINGS
from diffusion.settings import Setting
from ui import request
from ui.canvas import real_digit
from ui.work import things_of

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """An activity as the page has it.

    Attributes:
        activity: what it does; the page calls it by its name.
        about: what it does, in a sentence.
        example: values that show it at one click, of which `images` is a real digit and its number.
        takes: what else than digits and settings lab/recipes.py is told.
        digits: what each digit that it needs is for.
        free: whether that may be left to the network.
    """

    activity: type[Activity]
    about: str
    example: Values
    takes: tuple[str, ...]
    digits: tuple[str, ...] = ()
    free: bool = False

    @property
    def name(self) -> str:
        return self.activity.name

    @property
    def draws(self) -> bool:
        """Whether there is a run to wait for: noise is added at once."""
        return self.activity is not Forward

    @property
    def declared(self) -> dict[str, Setting]:
        """The settings of the activity that have controls as they are declared, by name."""
        found = self.activity.settings()
        return {name: found[name] for name in self.activity.options if name not in self.takes}


EXPERIMENTS = {
    each.name: each
    for each in (
        Experiment(
            Forward,
            "Add noise to a picture, as in training, and see what a blur and a single guess make of it.",
            {"images": (7, 0), "levels": (500,)},
            takes=("images", "levels"),
        ),
        Experiment(
            Denoising,
            "Take noise away in three ways: a blur, one guess, and many steps. Only the last draws a digit.",
            {"images": (2, 5), "levels": (700,), "digits": (None,)},
            takes=("images", "levels"),
            digits=("The network is told",),
            free=True,
        ),
        Experiment(
            ImageToImage,
            "Turn a picture into a digit: it is noised to a level and denoised from there, so that its strokes stay.",
            {"images": (3, 2), "digits": (8,), "strength": edit.CLASSIC},
            takes=("images", "count"),
            digits=("Draw it as",),
            free=True,
        ),
        Experiment(
            Inpainting,
            "Draw what the mask covers anew, and keep the rest of the picture bit for bit.",
            {"images": (3, 0), "mask": "left", "digits": (8,), "count": 4},
            takes=("images", "mask", "count"),
            digits=("Draw it as",),
            free=True,
        ),
        Experiment(
            Anagram,
            "Draw one picture that reads as two digits: upright, and turned.",
            {"digits": (6, 9), "views": ("rotate-180",), "count": 4},
            takes=("views", "count"),
            digits=("Upright", "Turned"),
        ),
        Experiment(
            Hybrid,
            "Draw one picture that reads as two digits: from near, and from afar.",
            {"digits": (3, 8), "count": 4},
            takes=("count",),
            digits=("From near", "From afar"),
        ),
        Experiment(
            Morph,
            "Go from one digit to another through digits, and back.",
            {"digits": (3, 8), "frames": 24},
            takes=("frames",),
            digits=("From", "To"),
        ),
    )
}


def recipe(values: Values, pipe: Pipeline) -> Recipe:
    """The recipe that some values ask for, or BadInput.

    Args:
        values: by name: `activity`; `digits`, where None leaves one to the network; what lab/recipes.py is told
            besides; and settings, of the activity and of the recipe.
    """
    each = EXPERIMENTS[checks.choice("activity", values["activity"], EXPERIMENTS)]
    given = {name: values[name] for name in (*SETTINGS, *each.declared, *each.takes) if name in values}
    digits = [digit for digit in values.get("digits", ()) if digit is not None]
    if digits:
        given["digits"] = digits
    elif each.free:
        given["guidance"] = 0.0
    given |= {"images": values["images"]} if each.name == Morph.name and "images" in values else {}
    if not each.draws:  # noise has no settings but its seed
        given = {name: value for name, value in given.items() if name not in SETTINGS or name == "seed"}
    wanted = RECIPES[each.name](pipe, **{"digits": []} | given if each.digits and not each.free else given)
    request.check_number(len(wanted.digits) * len(getattr(wanted.activity, "levels", [0])))
    return request.drawn_with(wanted, pipe)


def rounds(recipe: Recipe) -> int:
    """How often to draw a new morph to even it: one that was evened already is drawn as it is."""
    activity = recipe.activity
    if not isinstance(activity, Morph):
        return 0
    new = np.linspace(0, len(activity.digits) - 1, len(activity.moments))
    return morph.EVENED if np.allclose(activity.moments, new) else 0


def values(recipe: Recipe) -> dict[str, Any]:
    """What asks for a recipe, as far as the page's controls go."""
    activity, count = recipe.activity, len(recipe.digits)
    assert activity is not None
    found: dict[str, Any] = {"activity": activity.name, "count": count}
    found |= {name: getattr(recipe, name) for name in SETTINGS if name != "guidance" or recipe.guidance}
    found |= {name: getattr(activity, name) for name in EXPERIMENTS[activity.name].declared}
    first = None if recipe.guidance == 0 else recipe.digits[0]
    match activity:
        case Forward() | Denoising():
            found |= {"digits": (first,), "levels": activity.levels}
        case ImageToImage():
            strengths = tuple(dict.fromkeys(activity.strengths)) or (activity.strength,)
            found |= {"digits": (first,), "strength": strengths, "count": count // len(strengths)}
        case Inpainting():
            found |= {"digits": (first,), "mask": picture.unpacked(activity.mask)}
        case Anagram():
            found |= {"digits": (first, activity.digits[0]), "views": activity.views}
        case Hybrid():
            found |= {"digits": (first, activity.digit)}
        case Morph():
            found |= {"digits": (activity.digits[0], activity.digits[-1]), "frames": count}
    if isinstance(activity, edit.WithPictures):
        found["images"] = picture.unpacked(activity.images[0])
    return found


def defaults(name: str, pipe: Pipeline) -> dict[str, Any]:
    """The settings of a recipe that these weights do an activity with, all but the seed."""
    found = pipe.offer.defaults_for(EXPERIMENTS[name].activity)  # type: ignore[arg-type]  # the class has them, too
    del found["seed"]
    return found


def example(name: str, pipe: Pipeline) -> dict[str, Any]:
    """The values of an example: what it does not say is as these weights do it by default."""
    each = EXPERIMENTS[name]
    found = defaults(name, pipe) | {"activity": name, "count": 1}
    found |= {name: setting.default for name, setting in each.declared.items()} | dict(each.example)
    if "images" in found:
        label, number = found["images"]
        found["images"] = real_digit(label, number, things_of(pipe.names))
    if "mask" in found:
        found["mask"] = picture.unpacked(edit.mask(found["mask"], pipe.model.shape))
    return found
