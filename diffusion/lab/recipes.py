"""What to ask of each activity: pictures, digits and settings as plain values -> a recipe.

A function for each activity, with the name of its command. Each takes, by name, the settings of its activity and those
of a recipe (guidance, steps, seed, ...); what is None is not given, and has the best default for these weights. Each
raises BadInput for what no run can have.

>>> from diffusion.lab import recipes
>>> result = pipe.run(recipes.edit(pipe, picture, 7, [0.4, 0.8], count=3, seed=1)).result()

Pictures are uint8 (H, W), or (H, W, 3) in colour, or the text that picture.packed makes of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diffusion import checks
from diffusion.activity import Activity
from diffusion.lab import morph as morphing
from diffusion.lab import picture
from diffusion.lab.edit import CLASSIC, MASKS, ImageToImage, Inpainting
from diffusion.lab.edit import mask as mask_of
from diffusion.lab.forward import Denoising, Forward
from diffusion.lab.illusions import Anagram, Hybrid
from diffusion.lab.morph import Morph
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS, Recipe

Picture = str | np.ndarray
Pictures = Picture | Sequence[Picture]  # one, several, or a batch in one array
Digits = int | Sequence[int]


def forward(pipe: Pipeline, images: Pictures, *, count: int = 1, **settings: Any) -> Recipe:
    """Pictures at the noise levels `levels`, each with `count` noises."""
    found = _packed(pipe, images)
    own, given = _parted(settings)
    return _recipe(pipe, [0] * len(found), count, {"guidance": 0.0} | given, Forward(_same(found, count), **own))


def denoise(
    pipe: Pipeline, images: Pictures, digits: Digits | None = None, *, count: int = 1, **settings: Any
) -> Recipe:
    """Pictures at the noise levels `levels`, and three ways back. Without digits the network is not told what it sees.

    The many steps are `stride` levels apart, unless `steps` says how many they are.
    """
    own, given = _parted(settings)
    if digits is None:
        given = {"guidance": 0.0} | given
    if "steps" in given:
        own = {"stride": 0} | own
    found, labels = _rows(pipe, images, digits, given)
    return _recipe(pipe, labels, count, given, Denoising(_same(found, count), **own))


def edit(
    pipe: Pipeline,
    images: Pictures,
    digits: Digits | None = None,
    strength: float | str | Sequence[float | str] | None = None,
    *,
    count: int = 1,
    **settings: Any,
) -> Recipe:
    """Image to image: a digit for each picture, or one for all, or none with guidance 0.

    Args:
        strength: how much may change, 0 to 1; several make a strip from one noise, and so does "classic", edit.CLASSIC.
    """
    own, given = _parted(settings)
    found, labels = _rows(pipe, images, digits, given)
    strengths = _strengths(strength)
    across = len(strengths)
    rows = [(image, label) for image, label in zip(found, labels, strict=True) for _ in strengths]
    activity = ImageToImage(
        _same([image for image, _ in rows], count),
        strengths[-1],
        tuple(_repeated(strengths * len(found), count)) if across > 1 else (),
        **own,
    )
    return _from_one_noise(_recipe(pipe, [label for _, label in rows], count, given, activity))


def inpaint(
    pipe: Pipeline,
    images: Pictures,
    digits: Digits | None = None,
    mask: Picture | None = None,
    *,
    count: int = 1,
    **settings: Any,
) -> Recipe:
    """Part of each picture drawn anew: a digit for each, or one for all, or none with guidance 0.

    Args:
        mask: what is drawn anew: one of edit.MASKS by name; or a picture of that size, white there, or bool (H, W).
    """
    own, given = _parted(settings)
    found, labels = _rows(pipe, images, digits, given)
    activity = Inpainting(_same(found, count), _mask(pipe, mask), **own)
    return _recipe(pipe, labels, count, given, activity)


def anagram(
    pipe: Pipeline, digits: Sequence[int], views: Sequence[str] | None = None, *, count: int = 1, **settings: Any
) -> Recipe:
    """A picture that reads as the first digit upright, and as the others through `views`, one each."""
    own, given = _parted(settings)
    views = Anagram.views if views is None else tuple(views)
    own = {"centred": not pipe.offer.takes_text} | own  # only digits have a place of their own
    upright, *viewed = _several(pipe, digits, 1 + len(views), "An anagram", "one for upright and one for each view")
    return _recipe(pipe, [upright], count, given, Anagram(tuple(viewed), views, **own))


def hybrid(pipe: Pipeline, digits: Sequence[int], *, count: int = 1, **settings: Any) -> Recipe:
    """A picture that reads as the first digit from near, and as the second from afar."""
    own, given = _parted(settings)
    near, far = _several(pipe, digits, 2, "A hybrid", "one from near and one from afar")
    return _recipe(pipe, [near], count, given, Hybrid(far, **own))


def morph(
    pipe: Pipeline,
    digits: Sequence[int] | None = None,
    images: Pictures = (),
    *,
    frames: int | None = None,
    **settings: Any,
) -> Recipe:
    """A way through two digits or more, drawn or from a picture for each; `morph.smooth` makes its steps even.

    Weights that know no labels need pictures, and no digits.
    """
    found = _packed(pipe, images) if len(images) else []
    if len(found) == 1:
        raise checks.BadInput("A morph needs two pictures: add another one.")
    if not found:
        pipe.offer.check_labels("A morph of digits")
    if not digits:
        digits = [] if pipe.offer.knows_labels else [0] * len(found)
    own, given = _parted(settings)
    frames = morphing.FRAMES if frames is None else frames
    return morphing.recipe(pipe, digits, frames, images=tuple(found), **own, **given)


RECIPES: dict[str, Callable[..., Recipe]] = {
    each.__name__: each for each in (forward, denoise, edit, inpaint, anagram, hybrid, morph)
}
"""Each of these by the name of its activity."""


def again(recipe: Recipe, **settings: Any) -> Recipe:
    """A recipe with some settings changed, of its activity or its own; from another seed, all images are new.

    Raises BadInput for another seed of a morph, which has one for each of its digits.
    """
    own, given = _parted(settings)
    activity = recipe.activity
    if "seed" in given and isinstance(activity, Morph):
        raise checks.BadInput("A morph has a seed for each of its digits: ask for a new one.")
    if activity is not None:
        activity = replace(activity, **own)  # type: ignore[type-var]  # all activities are dataclasses
    changed = replace(recipe, activity=activity, **given)
    return _from_one_noise(replace(changed, redrawn=())) if "seed" in given else changed


def _recipe(pipe: Pipeline, digits: Sequence[int], count: int, given: Mapping[str, Any], activity: Activity) -> Recipe:
    """So many of each digit."""
    return pipe.recipe(_repeated(digits, count), activity=activity, **given)


def _repeated(items: Sequence[Any], count: int) -> list[Any]:
    """All of them so many times, or BadInput for too many."""
    if len(items) * checks.whole("count", count, 1, checks.MAX_IMAGES) > checks.MAX_IMAGES:
        raise checks.BadInput(f"Ask for at most {checks.MAX_IMAGES:,} images at once.")
    return list(items) * int(count)


def _parted(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that are given, of the activity and of the recipe."""
    given = {name: value for name, value in settings.items() if value is not None}
    own = {name: given.pop(name) for name in set(given) - set(SETTINGS)}
    return own, given


def _packed(pipe: Pipeline, images: Pictures | None) -> list[str]:
    """Pictures as texts."""
    if isinstance(images, np.ndarray):
        sides = 2 if pipe.model.shape[0] == 1 else 3
        images = list(images) if images.ndim > sides else [images]
    found = [images] if isinstance(images, str) else list(images or [])
    if not found:
        raise checks.BadInput("There is no picture: draw one or choose a file.")
    return [_text(image) for image in found]


def _text(image: Picture) -> str:
    if isinstance(image, str):
        return image
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise checks.BadInput("A picture must be whole numbers from 0 to 255, in rows and columns.")
    return picture.packed(image)


def _same(images: Sequence[str], count: int) -> tuple[str, ...]:
    """A picture for each image, or one where it is the same."""
    return tuple(_repeated(images, count)) if len(set(images)) > 1 else tuple(images[:1])


def _rows(
    pipe: Pipeline, images: Pictures, digits: Digits | None, given: Mapping[str, Any]
) -> tuple[list[str], list[int]]:
    """Pictures, and a digit for each: one of either goes with all of the other."""
    found = _packed(pipe, images)
    if digits is None and pipe.offer.knows_labels and given.get("guidance") != 0:
        raise checks.BadInput("Say what to draw: choose a digit, or guidance 0 to leave it to the network.")
    labels = [0] if digits is None else pipe.offer.labels(digits)
    if len(found) > 1 and len(labels) not in (1, len(found)):
        raise checks.BadInput(f"Give one digit, or one for each of the {len(found):,} pictures, not {len(labels):,}.")
    rows = max(len(found), len(labels))
    return found * (rows // len(found)), labels * (rows // len(labels))


def _strengths(strength: float | str | Sequence[float | str] | None) -> list[float]:
    given = ImageToImage.strength if strength is None else strength
    several = given if isinstance(given, list | tuple) else [given]
    several = CLASSIC if several == ["classic"] else several
    strengths = [checks.number("strength", each, 0, 1) for each in several]
    if len(set(strengths)) < len(strengths) or not strengths:
        raise checks.BadInput("A strip needs strengths that differ: name each once.")
    return strengths


def _from_one_noise(recipe: Recipe) -> Recipe:
    """The same, but all strengths of a strip are drawn from one noise."""
    strengths = recipe.activity.strengths if isinstance(recipe.activity, ImageToImage) else ()
    across = len(set(strengths)) or 1
    seeds = [recipe.seeds[k // across] for k in range(len(recipe.digits))]
    return recipe.drawn_from(seeds, recipe.weights)


def _mask(pipe: Pipeline, mask: Picture | None) -> str:
    """A mask as `Inpainting` takes it."""
    names = ", ".join(MASKS)
    if mask is None:
        raise checks.BadInput(f"Say what to draw anew: paint a mask, or choose one of {names}.")
    if isinstance(mask, np.ndarray):
        return _text(np.uint8(255) * mask if mask.dtype == bool else mask)
    if mask in MASKS:
        return mask_of(mask, pipe.model.shape)
    if not mask.startswith(picture.PACKED):
        raise checks.BadInput(f"There is no mask {checks.shown(mask)}: paint one, or choose one of {names}.")
    return mask


def _several(pipe: Pipeline, digits: Sequence[int], count: int, what: str, needs: str) -> list[int]:
    """So many digits, or BadInput."""
    pipe.offer.check_labels(what)
    if len(digits) != count:
        raise checks.BadInput(f"{what} needs {count} digits, {needs}, and not {len(digits)}: choose others.")
    return pipe.offer.labels(digits)
