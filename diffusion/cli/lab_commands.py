"""The table of the lab's commands: what each does, and which flags it has."""

from dataclasses import dataclass

from diffusion.activity import Activity
from diffusion.lab import Anagram, Denoising, Forward, Hybrid, ImageToImage, Inpainting, Morph
from diffusion.recipe import SETTINGS
from diffusion.settings import Setting

OTHERWISE = ("strength", "mask", "views")  # settings whose flags take more than one value, or names and files


@dataclass(frozen=True)
class Command:
    """A command of the lab.

    Attributes:
        activity: what it does; its name is that of the command.
        about: one line of help.
        example: flags to try it with.
        shown: settings of the recipe that count.
        digits: what `--digits` is for, if there is that flag.
        image: what `--image` is for, likewise.
        counts: whether there may be several of each.
    """

    activity: type[Activity]
    about: str
    example: str
    shown: tuple[str, ...] = tuple(SETTINGS)
    digits: str | None = None
    image: str = ""
    counts: bool = True

    @property
    def name(self) -> str:
        return self.activity.name

    @property
    def declared(self) -> dict[str, Setting]:
        """The settings of the activity that are flags as they are declared, by name."""
        found = self.activity.settings()
        return {name: found[name] for name in self.activity.options if name not in OTHERWISE}


PICTURE = "a picture (PNG, JPEG, WebP), of any size, dark on light or light on dark; or an .npz or IDX file of digits"
WHICH = "(needed, unless --guidance is 0)"
COMMANDS = (
    Command(
        Forward,
        "add noise to a picture",
        "--image docs/photo.jpg --levels 250,500,750 --out noise.png",
        shown=("seed",),
        image=PICTURE,
    ),
    Command(
        Denoising,
        "take noise away in three ways: a blur, one step, many steps",
        "--image docs/photo.jpg --levels 250,500,750 --out back.png",
        digits="(default: the network is not told)",
        image=PICTURE,
    ),
    Command(
        ImageToImage,
        "turn a picture into a digit: image to image",
        "--image docs/photo.jpg --digits 7 --strength 0.4,0.6,0.8,1 --out strip.png",
        digits=WHICH,
        image=PICTURE,
    ),
    Command(
        Inpainting,
        "draw part of a picture anew, and keep the rest",
        "--image docs/photo.jpg --mask bottom --digits 7 --count 5 --out filled.png",
        digits=WHICH,
        image=PICTURE,
    ),
    Command(
        Anagram,
        "draw one picture that reads as two digits: upright, and turned",
        "--digits 6,9 --until-right 32 --out turn.gif",
        digits="(needed: one for upright, then one for each view)",
    ),
    Command(
        Hybrid,
        "draw one picture that reads as two digits: from near, and from afar",
        "--digits 3,8 --until-right 32 --out hybrid.png",
        digits="(needed: that from near, then that from afar)",
    ),
    Command(
        Morph,
        "go from one digit to another through digits, and back",
        "--digits 3,8 --frames 24 --out morph.gif",
        digits="(needed: two or more; for pictures, what they are read as)",
        image=f"a picture to begin or to end with: name two or more; {PICTURE}",
        counts=False,
    ),
)
