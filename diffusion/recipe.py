"""What to draw and how, checked as it is made; as one line of JSON it travels inside every picture."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from diffusion import checks
from diffusion.activity import Activity, from_dict
from diffusion.files.metadata import read_recipe
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import SPACINGS, T
from diffusion.settings import Choice, Interval, Maybe, Number, Whole, declared, setting
from diffusion.style import ANY, HOW, MANY, check_words

NAMED = 12  # digits in the name of a file
MAX_NAME = 60  # characters of a prompt there
MAX_PROMPT = 1000  # characters: a text encoder takes fewer
MAX_SOURCE = 4096  # characters of the name of weights: no path is longer

Told = TypeVar("Told")  # what is told of an image: its seed, or a word


@dataclass(frozen=True)
class Recipe:
    """What to draw and how: enough to draw it again. Checked as it is made.

    The fields that are declared as a `setting` are what flags, prompt, page and links can set.

    Raises BadInput for a value that no run can have.
    """

    digits: tuple[int, ...]  # the label of each image
    guidance: float = setting(
        Number(0, checks.MAX_GUIDANCE),
        1.5,
        "1 is off, more is clearer, 0 draws anything",
        meaning="How strongly the network follows what it is told to draw: more makes images clearer, and more alike.",
    )
    steps: int = setting(
        Whole(1, T),
        20,
        "steps from noise to image, each with a guess of the network",
        advice="20 is plenty, 1 is a blur",
        meaning="The network guesses the clean image, and the noisy one moves a part of the way towards that guess.",
    )
    sampler: str = setting(
        Choice(tuple(SAMPLERS)),
        "dpm++2m",
        "how each step is taken",
        advice="abm, ipndm and dpm++2m need few steps, ddim a few more; ddpm adds fresh noise and needs about 100; "
        "heun guesses twice in a step",
        meaning="The rule that makes the next, less noisy image of each step out of the noisy one and the guess.",
    )
    eta: float = setting(
        Number(0, 1),
        0.0,
        "fresh noise in the sampler ddim; 1 is as much as in ddpm",
        counts=lambda recipe: "eta" in SAMPLERS[recipe.sampler].options,
        advice="raise it only at 50 steps and more",
    )
    seed: int = setting(
        Whole(0, checks.MAX_SEED),
        0,
        "the noise to start from; image k has seed + k",
        meaning="The number that the noise is made from: the same one, with the same settings, draws the same image.",
    )
    guidance_interval: tuple[int, int] = setting(
        Interval(0, T - 1),
        (400, 700),
        "the noise levels at which guidance above 1 is on",
        counts=lambda recipe: recipe.guidance > 1,
        advice="0 is clean, 999 is pure noise; widen it where images are unclear, at the cost of variety",
    )
    spacing: str = setting(
        Choice(tuple(SPACINGS)),
        "trailing",
        "where the noise levels of steps lie",
        advice="trailing is even, the others are closer together at the ends; try them at 10 steps and fewer",
    )
    redrawn: tuple[tuple[int, int], ...] = ()  # (k, seed) of each image k that has another seed than seed + k
    weights: str = ""  # the fingerprint of the weights that drew it, where known
    activity: Activity | None = None  # what else is done than to draw, with its input pictures: see lab/
    # how to write: where the weights know styles, see style.py
    thickness: float | str = setting(
        Maybe((ANY,), Number(0, 28)),
        ANY,
        "mean width of the strokes, in pixels",
        advice="of most digits it is 1.5 to 4",
    )
    slant: float | str = setting(
        Maybe((ANY,), Number(-1.5, 1.5)), ANY, "how far digits lean to the right, in radians", advice="0 is upright"
    )
    width: float | str = setting(
        Maybe((ANY,), Number(0, 56)), ANY, "of a digit set upright, in pixels", advice="a 1 is narrow whoever writes it"
    )
    hand: int | str = setting(
        Maybe((ANY, MANY), Whole(0, checks.MAX_SEED)),
        ANY,
        "whose hand writes; a number is one for all digits",
        advice="many is one by lot for each; thickness, slant and width count more",
    )
    prompts: tuple[str, ...] = ()  # what the labels mean to weights that take text: label k is prompts[k]
    words: tuple[tuple[int, str], ...] = ()  # (k, word) of each image k of which a word says how to write it
    upscale: str = ""  # the second stage that made it larger, where one did: a folder, or user/repo on the Hub

    def __post_init__(self) -> None:
        object.__setattr__(self, "digits", tuple(checks.labels("digits", self.digits, checks.MAX_CLASSES)))
        for name, each in SETTINGS.items():
            object.__setattr__(self, name, each.check(getattr(self, name)))
        object.__setattr__(self, "redrawn", self._redrawn())
        object.__setattr__(self, "prompts", check_prompts(self.prompts))
        if self.prompts:
            checks.labels("digits", self.digits, len(self.prompts))
        object.__setattr__(self, "words", check_words(self.words, len(self.digits)))
        if not isinstance(self.upscale, str) or len(self.upscale) > MAX_SOURCE or not self.upscale.isprintable():
            raise checks.BadInput(
                f"upscale must be a folder or user/repo on the Hub, not {checks.shown(self.upscale)}."
            )
        if self.upscale and not self.prompts:
            raise checks.BadInput("Only what was drawn from prompts is made larger: leave upscale out.")
        for name in {option for sampler in SAMPLERS.values() for option in sampler.options}:
            default = SETTINGS[name].default
            if not SETTINGS[name].counts(self) and getattr(self, name) != default:
                takes = " or ".join(other for other, sampler in SAMPLERS.items() if name in sampler.options)
                raise checks.BadInput(
                    f"{name} belongs to the sampler {takes}: choose that, or leave it at {default:g} with "
                    f"{self.sampler}."
                )
        if isinstance(self.activity, dict):  # as JSON has it
            object.__setattr__(self, "activity", from_dict(self.activity))
        if self.activity is not None and not isinstance(self.activity, Activity):
            raise checks.BadInput(f"activity must be one of diffusion.lab, not {checks.shown(self.activity)}.")
        if self.weights != "" and not checks.is_fingerprint(self.weights):
            raise checks.BadInput(f"weights must be eight hex digits, or nothing, not {checks.shown(self.weights)}.")

    def _redrawn(self) -> tuple[tuple[int, int], ...]:
        """`redrawn` in order, the last seed of each image only, or BadInput."""
        pairs = self.redrawn if isinstance(self.redrawn, list | tuple) else [self.redrawn]
        seeds = {}
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise checks.BadInput(f"redrawn must be pairs of an image and its seed, not {checks.shown(pair)}.")
            k = checks.whole("The image to draw again", pair[0], 0, len(self.digits) - 1)
            seeds[k] = checks.whole("seed", pair[1], 0, checks.MAX_SEED)
        return tuple(sorted(seeds.items()))

    @property
    def asks_for_style(self) -> bool:
        """Whether it says how digits are to be written."""
        return bool(self.words) or any(getattr(self, name) != ANY for name in HOW)

    @property
    def seeds(self) -> list[int]:
        """The seed of every image: drawn alone with it, the image is the same."""
        seeds = [(self.seed + k) % (checks.MAX_SEED + 1) for k in range(len(self.digits))]
        for k, seed in self.redrawn:
            seeds[k] = seed
        return seeds

    def with_seed(self, k: int, seed: int) -> "Recipe":
        """The same, but image k, counted from 0, drawn from another seed."""
        return replace(self, redrawn=(*self.redrawn, (k, seed)))

    def drawn_from(self, seeds: Sequence[int], weights: str) -> "Recipe":
        """The same, as it was drawn: from these seeds, one for each image, by the weights of this fingerprint."""
        usual = replace(self, redrawn=()).seeds
        redrawn = tuple((k, seed) for k, seed in enumerate(seeds) if seed != usual[k])
        return replace(self, redrawn=redrawn, weights=weights)

    def alone(self, k: int) -> "Recipe":
        """Image k, counted from 0, of this recipe and no other."""
        k = checks.whole("The image", k, 0, len(self.digits) - 1)
        return replace(self.some([k], [self.seeds[k]]), seed=self.seeds[k], redrawn=())

    def some(self, chosen: Sequence[int], seeds: Sequence[int]) -> "Recipe":
        """Some images of this recipe, counted from 0, each from a seed of its own."""
        words: dict[int, list[str]] = {}
        for k, word in self.words:
            words.setdefault(k, []).append(word)
        return replace(
            self,
            digits=tuple(self.digits[k] for k in chosen),
            words=tuple((new, word) for new, k in enumerate(chosen) for word in words.get(k, [])),
            redrawn=tuple(enumerate(seeds)),
            activity=self.activity and self.activity.some(chosen),
        )

    @property
    def name(self) -> str:
        """A telling name for files, like "digits-2026-seed42", and with many digits "digits-0123456789x10-seed42".

        Of prompts it is made of the first one: "a-photo-of-a-cat-seed42".

        Labels above 9 are no digits, and stand apart: "labels-10-3-seed42".
        """
        if self.prompts:
            words = re.findall(r"\w+", self.prompts[self.digits[0]])
            return f"{'-'.join(words)[:MAX_NAME] or 'images'}-seed{self.seed}"
        digits, suffix = self.digits, ""
        if len(digits) > NAMED:
            lengths = (n for n in range(1, NAMED + 1) if digits == digits[:n] * (len(digits) // n))
            length = next(lengths, 0)
            suffix = f"x{len(digits) // length}" if length else f"-and-{len(digits) - NAMED}-more"
            digits = digits[: length or NAMED]
        what, between = ("digits", "") if max(self.digits) < 10 else ("labels", "-")
        return f"{what}-{between.join(map(str, digits))}{suffix}-seed{self.seed}"

    def part(self, start: int, stop: int) -> "Recipe":
        """Images `start` to `stop` - 1 of this recipe, or fewer at its end."""
        stop = min(stop, len(self.digits))

        def inside(pairs: Sequence[tuple[int, Told]]) -> tuple[tuple[int, Told], ...]:
            """Those of these images; as they are in order, it need not look at all."""
            first, last = (bisect_left(pairs, k, key=itemgetter(0)) for k in (start, stop))
            return tuple((k - start, told) for k, told in pairs[first:last])

        return replace(
            self,
            digits=self.digits[start:stop],
            seed=(self.seed + start) % (checks.MAX_SEED + 1),
            redrawn=inside(self.redrawn),
            words=inside(self.words),
            activity=self.activity and self.activity.some(range(start, stop)),
        )

    def split(self, size: int) -> Iterator["Recipe"]:
        """Recipes of at most `size` images that together draw the same, for runs too large to hold at once."""
        for start in range(0, len(self.digits), size):
            yield self.part(start, start + size)

    def to_json(self) -> str:
        """One line that `from_json` reads back."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        values["activity"] = self.activity and self.activity.to_dict()
        given = {name: value for name, value in values.items() if value not in ("", (), None, ANY)}
        return json.dumps({"version": _version(given)} | given)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """A recipe from its JSON, or BadInput."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values.pop("version") != _version(values):
                raise checks.Newer
            return cls(**values)
        except checks.BadInput:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise checks.BadInput("This is no recipe of this project.") from None

    @classmethod
    def from_file(cls, path: str | Path) -> "Recipe":
        """The recipe inside a picture that this project wrote, or in a .json file, or BadInput."""
        return cls.from_json(read_recipe(path))


def check_prompts(prompts: Any, least: int = 0) -> tuple[str, ...]:
    """Prompts as a tuple, or BadInput."""
    texts = tuple(prompts) if isinstance(prompts, list | tuple) else (prompts,)
    for text in texts:
        if not isinstance(text, str) or len(text) > MAX_PROMPT or not text.isprintable():
            wanted = f"Each prompt must be one line of at most {MAX_PROMPT:,} printable characters"
            raise checks.BadInput(f"{wanted}, not {checks.shown(text)}.")
    if not least <= len(texts) <= checks.MAX_CLASSES:
        raise checks.BadInput(f"Give {least} to {checks.MAX_CLASSES:,} prompts, not {len(texts):,}.")
    return texts


def _version(values: Mapping[str, Any]) -> int:
    """Of the recipe that these values are: who does not know what is in it says that it is newer."""
    if "prompts" in values:
        return 5 if "upscale" in values else 4
    return 3 if {"words", *HOW} & values.keys() else 2 if "activity" in values else 1


SETTINGS = declared(fields(Recipe))
"""The declarations of all settings by name, in the order of the recipe."""
