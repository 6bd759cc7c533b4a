"""The interactive prompt, `python -m diffusion`: type what to draw, see it in the terminal, keep it as PNG or GIF."""

import json
import random
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from difflib import get_close_matches
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from shutil import get_terminal_size
from textwrap import shorten
from typing import Any, TextIO

from tqdm import tqdm

from diffusion import checks, prompts
from diffusion.checks import written
from diffusion.cli.flags import FEW_STEP
from diffusion.cli.terminal_pictures import picture, shows_colours
from diffusion.files import render
from diffusion.pipeline import Pipeline
from diffusion.recipe import SETTINGS
from diffusion.result import Result
from diffusion.style import HOW

GREETING = 'Type what to draw, like 7, "a 4 and two 3s" or grid; help lists the rest, and quit ends.'
SET = (*SETTINGS, "weights")  # what can be set
HELP = f"""\
7, two 3s, 0-9, a digit   draws that, from a new seed each time
a thick 7, thin 2026      says how to write it, too, where the weights know styles
grid                      draws every digit
png, gif                  saves the last drawing; or: save NAME.gif
{{settings}}
seed random               from a new one each time
weights few-step          {FEW_STEP}; or bundled, a file, a folder, or user/repo
settings                  shows them
quit, exit, Ctrl-D        ends; Ctrl-C stops a drawing
"""
COMMANDS = (*SET, "grid", "png", "gif", "save", "settings", "help", "quit", "exit")
SHOWN = 50  # images of a drawing, at most; its file holds them all


def interact(weights: str = "bundled") -> None:
    """Read lines from the standard input and answer them, until there are no more. Raises BadInput without weights."""
    with suppress(ImportError):
        import readline  # noqa: F401 - gives input() line editing and history, where there is such a module
    print(GREETING, flush=True)
    conversation = Conversation(weights)
    by_hand = sys.stdin.isatty()
    if not by_hand:
        _follow_mark(sys.stdin)
    while not conversation.over:
        try:
            line = input("> " if by_hand else "")
        except (EOFError, OSError, KeyboardInterrupt):  # OSError: from a terminal that is gone
            print(end="\n" if by_hand else "")
            break
        try:
            conversation.answer(line)
        except checks.BadInput as error:
            print(error)
        except OSError as error:
            print(checks.unusable(error))
        except KeyboardInterrupt:
            print("\nStopped.")


def _follow_mark(stream: TextIO) -> None:
    """Read a stream in UTF-16 or past a byte order mark, as editors and shells write files, where it is so."""
    if isinstance(stream, TextIOWrapper) and isinstance(stream.buffer, BufferedReader):
        encoding = json.detect_encoding(stream.buffer.peek(4)[:4])
        if encoding != "utf-8":
            stream.reconfigure(encoding=encoding, errors="replace")


class Conversation:
    """What the prompt remembers: the settings, and what was drawn last."""

    def __init__(self, weights: str = "bundled"):
        self.pipe, self.weights = Pipeline.from_pretrained(weights), weights
        # its digits and its seed are those of each drawing
        self.recipe = self.pipe.recipe(0)
        self.seed: int | None = None  # a new one for each drawing
        self.result: Result | None = None
        self.over = False

    def answer(self, line: str) -> None:
        """Do what a line asks for, and print what came of it. Raises BadInput for what cannot be done."""
        word, value = [*re.split(r"[\s=:]+", line.strip(), maxsplit=1), ""][:2]
        match word.casefold(), value:
            case "", "":
                pass
            case (("quit" | "exit"), ""):
                self.over = True
            case "help", "":
                print(self.help, end="")
            case "settings", "":
                print(self.settings)
            case "grid", "":
                self.draw(range(len(self.pipe.names)))
            case ("png" | "gif") as ending, "":
                self.save(ending=ending)
            case "save", name:
                self.save(name)
            case name, value if name in SET:
                self.set(name, value)
            case command, _:
                self.draw(*self._digits(line, command))

    def draw(self, digits: Sequence[int], words: tuple[tuple[int, str], ...] = ()) -> None:
        """Draw, show and remember one image per digit, some of them as words say."""
        render.check_tiles(len(digits))
        seed = random.randint(0, checks.MAX_SEED) if self.seed is None else self.seed
        told: dict[str, Any] = {"digits": tuple(digits), "words": words, "prompts": self.pipe.offer.prompts}
        run = self.pipe.run(replace(self.recipe, seed=seed, **told))
        for _ in tqdm(run, total=self.recipe.steps, unit="step", leave=False, disable=None):
            pass
        self.result = run.result()
        print(picture(self.result.images[:SHOWN], get_terminal_size().columns, colours=shows_colours(sys.stdout)))
        more = f", {len(digits) - SHOWN} of them not shown" if len(digits) > SHOWN else ""
        names = shorten(", ".join(self.pipe.names[digit] for digit in digits), 60, placeholder=" ...")
        print(f"{names}{more}: seed {seed}")

    def save(self, name: str = "", ending: str = "png") -> None:
        """Write what was drawn last, by default under a telling name that is not taken yet."""
        if self.result is None:
            raise checks.BadInput("Nothing is drawn yet: type a digit first.")
        stem = self.result.recipe.name
        free = (f"{stem}{again}.{ending}" for again in ("", *(f"-{k}" for k in range(2, 1000))))
        path = Path(name or next(path for path in free if not Path(path).exists()))
        self.result.save(path)
        print(f"Saved {path}")

    def set(self, name: str, value: str) -> None:
        """Change one of SET, where a value is given, and show them all."""
        if not value:
            pass
        elif name == "weights":
            self.set_weights(value)
        elif name == "seed":
            random_one = value.casefold() == "random"
            self.seed = None if random_one else SETTINGS["seed"].check(SETTINGS["seed"].values.read(value))
        else:
            changed: dict[str, Any] = {name: SETTINGS[name].values.read(value)}
            self.pipe.offer.check_style(changed)
            wanted = replace(self.recipe, **changed)
            self.pipe.check(wanted)
            self.recipe = wanted
        print(self.settings)

    def set_weights(self, name: str) -> None:
        """Draw with these weights from now on."""
        pipe = Pipeline.from_pretrained(name)
        before, after = self.pipe.offer.settings, pipe.offer.settings
        changed = {name: after[name].default for name in after if after[name] != before[name]}
        wanted = replace(self.recipe, **changed, prompts=pipe.offer.prompts)
        pipe.check(wanted)
        self.pipe, self.weights, self.recipe = pipe, name, wanted

    @property
    def help(self) -> str:
        """What can be typed, with the settings as these weights have them."""
        settings = self.pipe.offer.settings.items()
        lines = (f"{f'{name} {written(each.default)}':25} {each.help}: {each.values}" for name, each in settings)
        return HELP.format(settings="\n".join(lines))

    @property
    def settings(self) -> str:
        """The settings in one line, each as it is typed."""
        shown = [name for name in SET if name not in HOW or self.pipe.offer.styles]
        values = asdict(self.recipe) | {"seed": "random" if self.seed is None else self.seed, "weights": self.weights}
        return ", ".join(f"{name} {written(values[name])}" for name in shown)

    def _digits(self, line: str, command: str) -> tuple[list[int], tuple[tuple[int, str], ...]]:
        """What a line asks to draw, and how, or BadInput, which names the command that may be meant."""
        if self.pipe.offer.takes_text:
            self.pipe = self.pipe.told([line.strip()])
            self.recipe = replace(self.recipe, prompts=self.pipe.offer.prompts)
            return [0], ()
        try:
            return prompts.styled(line, self.pipe.names)
        except checks.BadInput:
            for meant in get_close_matches(command, COMMANDS, n=1, cutoff=0.75):
                message = f"Cannot read {checks.shown(line.strip())}: write {checks.shown(meant)} if you mean that."
                raise checks.BadInput(message) from None
            raise
