"""What the tab Lab offers: each activity with a sentence, what it needs, an example, and the recipe it comes to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from diffusion import BadInput, Pipeline, Recipe, checks
from diffusion.activity import Activity
from diffusion.lab import Anagram, Denoising, Forward, Hybrid, ImageToImage, Inpainting, Morph, edit, morph, picture
from diffusion.recipe import SETTINGS
from diffusion.settings import Setting, declared
from ui import request
from ui.canvas import real_digit

MOST = 100  # images at once, as in the tab Draw
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """An activity as the page has it.

    Attributes:
        activity: what it does; the page calls it by its name.
        about: what it does, in a sentence.
        recipe: what is asked for: values by name, and the weights.
        example: values that show it at one click; `picture` is a real digit and its number.
        digits: what each digit that it needs is for.
        free: whether the first of them may be left to the network.
        own: settings of the activity that have controls.
        picture: whether it begins from one.
        reads: whether the reader may read, and may have images drawn again.
        counts: whether there may be several of each.
    """

    activity: type[Activity]
    about: str
    recipe: Callable[[Values, Pipeline], Recipe]
    example: Values
    digits: tuple[str, ...] = ()
    free: bool = False
    own: tuple[str, ...] = ()
    picture: bool = False
    reads: tuple[bool, bool] = (True, True)
    counts: bool = True

    @property
    def name(self) -> str:
        return self.activity.name

    @property
    def draws(self) -> bool:
        """Whether there is a run to wait for: noise is added at once."""
        return self.activity is not Forward

    @property
    def declared(self) -> dict[str, Setting]:
        """The settings of the activity that have controls, by name."""
        found = declared(fields(self.activity))  # type: ignore[arg-type]  # all activities are dataclasses
        return {name: found[name] for name in self.own}


def settings(values: Values, pipe: Pipeline) -> dict[str, Any]:
    """The settings of a recipe among some values."""
    return {name: values[name] for name in pipe.offer.settings if name in values}


def _own(values: Values) -> dict[str, Any]:
    """The settings of the activity that have controls."""
    return {name: values[name] for name in EXPERIMENTS[values["activity"]].own if name in values}


def _digits(values: Values, pipe: Pipeline, count: int, what: str) -> list[int]:
    """So many digits, or BadInput."""
    asked = [digit for digit in values["digits"] if digit is not None]
    if len(asked) != count:
        raise BadInput(f"{what} needs {count} digits: choose {'another one' if asked else 'them'}.")
    return checks.labels("digits", asked, len(pipe.names))


def _told(values: Values, pipe: Pipeline) -> tuple[list[int], dict[str, Any]]:
    """The digit that is asked for; guidance 0 where it is left to the network."""
    chosen = values["digits"][0]
    if chosen is None:
        return [0], settings(values, pipe) | {"guidance": 0.0}
    return checks.labels("digits", chosen, len(pipe.names)), settings(values, pipe)


def _count(values: Values) -> int:
    return checks.whole("count", values.get("count", 1), 1, request.MAX_COUNT)


def _noised(values: Values, pipe: Pipeline) -> Recipe:
    kind = Forward if values["activity"] == Forward.name else Denoising
    digits, given = _told(values, pipe)
    activity = kind((picture.packed(values["picture"]),), (values["level"],), **_own(values))
    return pipe.recipe(digits, activity=activity, **given)


def _edit(values: Values, pipe: Pipeline) -> Recipe:
    digits, given = _told(values, pipe)
    strengths = tuple(edit.CLASSIC) if values.get("strip") else ()
    count, across = _count(values), max(len(strengths), 1)
    activity = ImageToImage((picture.packed(values["picture"]),), values["strength"], strengths * count)
    recipe = pipe.recipe(digits * across * count, activity=activity, **given)
    return recipe.drawn_from([recipe.seeds[k // across] for k in range(across * count)], "")


def _inpaint(values: Values, pipe: Pipeline) -> Recipe:
    digits, given = _told(values, pipe)
    activity = Inpainting((picture.packed(values["picture"]),), picture.packed(values["mask"]), **_own(values))
    return pipe.recipe(digits * _count(values), activity=activity, **given)


def _anagram(values: Values, pipe: Pipeline) -> Recipe:
    upright, turned = _digits(values, pipe, 2, "An anagram")
    activity = Anagram((turned,), (values["view"],), **_own(values))
    return pipe.recipe([upright] * _count(values), activity=activity, **settings(values, pipe))


def _hybrid(values: Values, pipe: Pipeline) -> Recipe:
    near, far = _digits(values, pipe, 2, "A hybrid")
    return pipe.recipe([near] * _count(values), activity=Hybrid(far, **_own(values)), **settings(values, pipe))


def _morph(values: Values, pipe: Pipeline) -> Recipe:
    digits = _digits(values, pipe, 2, "A morph")
    given = settings(values, pipe)
    return morph.recipe(pipe, digits, values["frames"], given.pop("seed", 0), **given)


EXPERIMENTS = {
    each.name: each
    for each in (
        Experiment(
            Forward,
            "Add noise to a picture, as in training, and see what a blur and a single guess make of it.",
            _noised,
            {"picture": (7, 0), "level": 500, "seed": 0},
            picture=True,
            reads=(False, False),
            counts=False,
        ),
        Experiment(
            Denoising,
            "Take noise away in three ways: a blur, one guess, and many steps. Only the last draws a digit.",
            _noised,
            {"picture": (2, 5), "level": 700, "digits": (None,)},
            digits=("The network is told",),
            free=True,
            own=("stride",),
            picture=True,
            reads=(True, False),
            counts=False,
        ),
        Experiment(
            ImageToImage,
            "Turn a picture into a digit: it is noised to a level and denoised from there, so that its strokes stay.",
            _edit,
            {"picture": (3, 2), "digits": (8,), "strip": True},
            digits=("Draw it as",),
            free=True,
            own=("strength",),
            picture=True,
        ),
        Experiment(
            Inpainting,
            "Draw what the mask covers anew, and keep the rest of the picture bit for bit.",
            _inpaint,
            {"picture": (7, 3), "mask": "bottom", "digits": (9,), "count": 4},
            digits=("Draw it as",),
            free=True,
            own=("method", "inner"),
            picture=True,
        ),
        Experiment(
            Anagram,
            "Draw one picture that reads as two digits: upright, and turned.",
            _anagram,
            {"digits": (6, 9), "view": "rotate-180", "count": 4, "until_right": True},
            digits=("Upright", "Turned"),
            own=("reduction", "inner"),
        ),
        Experiment(
            Hybrid,
            "Draw one picture that reads as two digits: from near, and from afar.",
            _hybrid,
            {"digits": (3, 8), "count": 4, "until_right": True},
            digits=("From near", "From afar"),
            own=("radius", "inner"),
        ),
        Experiment(
            Morph,
            "Go from one digit to another through digits, and back.",
            _morph,
            {"digits": (3, 8), "frames": 24},
            digits=("From", "To"),
            reads=(True, False),
            counts=False,
        ),
    )
}


def recipe(values: Values, pipe: Pipeline) -> Recipe:
    """The recipe that some values ask for, or BadInput.

    Args:
        values: by name: `activity`; `picture` and `mask` as uint8 arrays, `digits`, of which one may be None, `level`,
            `strip`, `view` and `frames`, where it needs them; and settings, its own and those of the recipe.
    """
    wanted = EXPERIMENTS[checks.choice("activity", values["activity"], EXPERIMENTS)].recipe(values, pipe)
    request.check_number(len(wanted.digits), MOST)
    return request.drawn_with(wanted, pipe)


def values(recipe: Recipe) -> dict[str, Any]:
    """What asks for a recipe, as far as the page's controls go."""
    activity = recipe.activity
    assert activity is not None
    found: dict[str, Any] = {"activity": activity.name}
    found |= {name: getattr(recipe, name) for name in SETTINGS if name != "guidance" or recipe.guidance}
    found |= {name: getattr(activity, name) for name in EXPERIMENTS[activity.name].own}
    first = None if recipe.guidance == 0 else recipe.digits[0]
    count = len(recipe.digits)
    match activity:
        case Forward() | Denoising():
            found |= {"digits": (first,), "level": activity.levels[-1], "count": 1}
        case ImageToImage():
            strip = len(set(activity.strengths)) > 1
            found |= {"digits": (first,), "strip": strip, "count": count // (len(set(activity.strengths)) or 1)}
        case Inpainting():
            found |= {"digits": (first,), "count": count, "mask": picture.unpacked(activity.mask)}
        case Anagram():
            found |= {"digits": (first, activity.digits[0]), "view": activity.views[0], "count": count}
        case Hybrid():
            found |= {"digits": (first, activity.digit), "count": count}
        case Morph():
            found |= {"digits": (activity.digits[0], activity.digits[-1]), "frames": count, "count": 1}
    if isinstance(activity, edit.WithPictures):
        found["picture"] = picture.unpacked(activity.images[0])
    return found


def defaults(name: str, pipe: Pipeline) -> dict[str, Any]:
    """The settings of a recipe that these weights do an activity with, all but the seed."""
    found = pipe.offer.defaults_for(EXPERIMENTS[name].activity)  # type: ignore[arg-type]  # the class has them, too
    del found["seed"]
    return found


def example(name: str, pipe: Pipeline) -> dict[str, Any]:
    """The values of an example: what it does not say is as these weights do it by default."""
    each = EXPERIMENTS[name]
    found = defaults(name, pipe) | {"activity": name, "count": 1, "strip": False}
    found |= {name: setting.default for name, setting in each.declared.items()} | dict(each.example)
    if "picture" in found:
        found["picture"] = real_digit(*found["picture"])
    if "mask" in found:
        found["mask"] = picture.unpacked(edit.mask(found["mask"], pipe.model.shape))
    return found
