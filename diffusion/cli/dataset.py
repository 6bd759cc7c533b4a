"""python -m diffusion sample --out FOLDER/: a data set, drawn in shards by one process or by many."""

import argparse
import io
import json
import os
import random
import re
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, redirect_stderr
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from diffusion import checkpoint, checks
from diffusion.cli.dataset_drawing import Drawing
from diffusion.cli.flags import digits, pipeline, recipe, wanted
from diffusion.cli.reading import ReadingBack, reader_file
from diffusion.files.atomic import check_writable, write_text
from diffusion.files.formats import FORMATS, Content, check
from diffusion.files.shards import INDEX, Part, Plan, Shards, read_index
from diffusion.hub.data_card import MARK, data_card
from diffusion.hub.push import CARD, PushFailed, check_push, push_dataset
from diffusion.recipe import SETTINGS, Recipe
from diffusion.strings import LONGEST, Strings, lengths
from diffusion.team import Team

LENGTH = "4-6"  # of strings
ONLY_PICTURES = ("track", "panel", "fps", "scale", "upscale")  # flags that mean nothing here


def add(parser: argparse.ArgumentParser) -> None:
    """The flags of a data set, among those of `sample`."""
    group = parser.add_argument_group(
        "data sets",
        "--out FOLDER/ draws a data set in shards, as many at once as torchrun starts processes, or one at a time with "
        "--shard on any machines. Whatever was stopped goes on when it is started again.",
    )
    group.add_argument("--format", help=f"of the data set: {', '.join(FORMATS)} (default: {next(iter(FORMATS))})")
    group.add_argument(
        "--shards", type=checks.typed, help="how many (default: one for 10,000 images, and at least 16 if they suffice)"
    )
    group.add_argument("--shard", metavar="K/N", help="draw the K-th of N shards and no other, like 3/16")
    group.add_argument(
        "--strings",
        type=checks.typed,
        metavar="COUNT",
        help="draw so many strings of digits, each as one picture with its text",
    )
    group.add_argument("--length", help=f"of --strings, how many digits, up to {LONGEST} (default: {LENGTH})")
    group.add_argument("--push-to-hub", metavar="USER/REPO", help="upload the data set with a card, once it is whole")
    group.add_argument("--private", action="store_true", help="create that repository as private")
    group.add_argument("--reject", action="store_true", help="leave out what the reader does not read as asked")


def is_dataset(flags: argparse.Namespace) -> bool:
    """Whether a data set is asked for, and no single file: by a folder, or by several processes."""
    return _folder(flags.out) or Team.started() > 1


def _folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or Path(out).is_dir()


def refuse(flags: argparse.Namespace) -> None:
    """BadInput for what a single file cannot have."""
    for name in ("format", "shards", "shard", "strings", "length", "reject", "push_to_hub", "private"):
        if getattr(flags, name) is not None and getattr(flags, name) is not False:
            raise checks.BadInput(
                f"--{name.replace('_', '-')} belongs to a data set: give --out a folder, like digits/."
            )


def make(flags: argparse.Namespace) -> None:
    """Draw what is missing of a data set, and write it in its format as soon as nothing is."""
    team = Team.join()
    with team.leader_first(), nullcontext() if team.leads else redirect_stderr(io.StringIO()):
        work = _Work(flags, team)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # with it torchrun ends all when one of them dies
    try:
        work.draw()
        if team.leads:
            work.finish()
            work.push()
    except KeyboardInterrupt:
        if team.leads:
            print("\nStopped: what is written stays, and the same command goes on with the rest.", file=sys.stderr)
        sys.exit(130)
    team.part()


class _Work:
    """What there is to do, after all that could refuse it was asked."""

    def __init__(self, flags: argparse.Namespace, team: Team):
        self.flags, self.team, self.out = flags, team, Path(flags.out)
        if not _folder(flags.out):
            raise checks.BadInput("Several processes draw a data set: give --out a folder, like digits/.")
        self.format = checks.choice("--format", flags.format or next(iter(FORMATS)), FORMATS)
        for name in ONLY_PICTURES:
            if getattr(flags, name) != ("noisy" if name == "track" else None):
                raise checks.BadInput(f"--{name} belongs to a picture or an animation: leave it out for a data set.")
        if flags.precision == "auto":
            raise checks.BadInput("All shards are drawn in one precision: choose fp32 or bf16 as --precision.")
        if flags.private and not flags.push_to_hub:
            raise checks.BadInput("--private belongs to --push-to-hub: add it, or leave this out.")
        if flags.push_to_hub and team.leads:
            check_push(flags.push_to_hub, later="draw first, and push the data set afterwards")
        again = Recipe.from_file(flags.recipe) if flags.recipe else None
        self.pipe = pipeline(flags, again)
        strings = self._strings(flags, again)
        recipe = replace(self._recipe(flags, again, strings), weights=self.pipe.weights)
        self.pipe.check(recipe)
        if recipe.guidance == 0:
            raise checks.BadInput("At guidance 0 the labels of a data set would mean nothing: raise the guidance.")
        self.drawing = Drawing(self.pipe, recipe, strings, ReadingBack.from_flags(flags, self.pipe), flags.reject)
        self.only, count = _shard(flags.shard)
        self.plan = self._plan(flags, count)
        holds = {"colour": self.pipe.model.shape[0] > 1, "strings": strings is not None}
        check(self.format, self.plan.count, len(self.pipe.names), **holds)
        self.shards = Shards(self.out, self.plan, self.format)
        if self.only is not None and team.size > 1:
            raise checks.BadInput("torchrun shares the shards out by itself: leave --shard out.")
        if not self.shards.done:
            check_writable(self.out / INDEX)

    def _strings(self, flags: argparse.Namespace, again: Recipe | None) -> Strings | None:
        """The strings that are asked for: of all digits, or of those that --digits names."""
        if flags.strings is None:
            if flags.length is not None:
                raise checks.BadInput("--length is that of strings: say how many with --strings.")
            return None
        if flags.count != 1 or flags.like or again:
            raise checks.BadInput("--strings picks digits by lot: leave --count, --like and --recipe out.")
        if any(len(name) != 1 for name in self.pipe.names):
            raise checks.BadInput("Strings are written in single letters, and these weights draw other things.")
        if flags.until_right is not None and self.pipe.offer.styles:
            raise checks.BadInput("Digits that are drawn again would be in another hand: take --reject for strings.")
        sizes = lengths(flags.length or LENGTH)
        count = checks.whole("--strings", flags.strings, 1, checks.MAX_IMAGES // sizes[-1])
        seed = checks.whole("seed", flags.seed or 0, 0, checks.MAX_SEED)
        return Strings.by_lot(count, sizes, digits(flags, self.pipe), seed)

    def _recipe(self, flags: argparse.Namespace, again: Recipe | None, strings: Strings | None) -> Recipe:
        """What to draw. Chance picks digits by the seed: all processes must come to the same."""
        if strings:
            return recipe(flags, self.pipe, strings.flat)
        seed = again.seed if flags.seed is None and again else flags.seed
        return wanted(flags, self.pipe, again, choose=random.Random(str(seed or 0)).choice)

    def _plan(self, flags: argparse.Namespace, shards: int | None) -> Plan:
        if flags.shards is not None and shards is not None:
            raise checks.BadInput("--shard says how many shards there are: leave --shards out.")
        about = self.drawing.about | {"precision": flags.precision}
        if self.drawing.reading:
            about["reader"] = checkpoint.fingerprint(reader_file(flags, self.pipe))
        count, batch = self.drawing.count, self.drawing.batch
        batches = -(-count // batch)
        number = shards if flags.shards is None else flags.shards
        if number is not None:
            number = checks.whole("--shards", number, 1, batches)
        plan = Plan(json.dumps(about), count, batch, number or 0)
        if self.team.size > plan.shards:
            raise checks.BadInput(
                f"There are {self.team.size} processes for {plan.shards} shards: start fewer, or divide the images "
                f"into more with --shards, at most {batches}."
            )
        return plan

    def draw(self) -> None:
        """Draw shards as long as any is left. The leading process shows how far all of them are."""
        leading = json.loads(self.team.agree(json.dumps([self.plan.identity, self.shards.missing])))
        if leading[0] != self.plan.identity:
            raise checks.BadInput(
                "This process would draw other images than the leading one: give all the same weights and files."
            )
        missing: list[int] = leading[1]
        if self.only is not None:
            missing = [k for k in missing if k == self.only]
        left = sum(len(self.plan.images(k)) for k in missing)
        total = self.plan.count if self.only is None else len(self.plan.images(self.only))
        hidden = not self.team.leads or not missing
        with tqdm(total=total, initial=total - left, unit="image", desc="draw", disable=hidden) as bar:

            def tell(images: int = 0) -> None:
                bar.update(total - left + self.team.count("images", images) - bar.n)

            while (turn := self.team.count("turns", 1) - 1) < len(missing):
                counts: Counter[str] = Counter()
                parts = self.drawing.parts(self.plan.batches(missing[turn]), counts, tell)
                self.shards.write(missing[turn], parts, counts)
            self.team.count("through", 1)
            while self.team.leads and self.team.count("through") < self.team.size:
                time.sleep(0.2)
                tell()
            tell()

    def finish(self) -> None:
        """Write the data set where no shard is missing, and say what there is."""
        if missing := self.shards.missing:
            several = "is" if len(missing) == 1 else "are"
            print(f"{len(missing)} of {self.plan.shards} shards {several} still missing in {self.out}.")
            return
        told = json.loads(replace(self.drawing.recipe, digits=(0,), redrawn=(), words=()).to_json())
        about = {
            "names": self.pipe.names,
            "shape": self.pipe.model.shape,
            "strings": self.drawing.strings is not None,
            "settings": {name: told[name] for name in told if name not in ("digits", "activity")},
            "command": _command(self.flags),
        }

        def write(folder: Path, parts: Iterable[Part], count: int) -> Iterator[str]:
            with tqdm(total=count, unit="image", desc="write") as bar:
                strings = self.drawing.strings is not None
                content = Content(_told(parts, bar), count, self.plan.shards, self.pipe.names, strings)
                yield from FORMATS[self.format].write(folder, content)

        self.shards.finish(write, about)
        index = read_index(self.out) or {}
        if "right" in index:
            left_out = f", {out:,} left out" if (out := index["images"] - index["kept"]) else ""
            print(f"{index['right']:,} of {index['images']:,} read as asked, {index['drawn']:,} drawn{left_out}")
        self._write_card()
        what = ("string" if self.drawing.strings else "image") + ("" if index["kept"] == 1 else "s")
        print(f"{index['kept']:,} {what} in {self.out}")

    def _write_card(self) -> None:
        path = self.out / CARD
        if not path.exists() or MARK in path.read_text("utf-8"):
            write_text(path, data_card(self.out, self.flags.push_to_hub or self.out.resolve().name))

    def push(self) -> None:
        """Upload the data set where that is asked for and it is whole, and print where it is."""
        if not self.flags.push_to_hub:
            return
        if not self.shards.done:
            raise checks.BadInput("A data set is pushed once it is whole: draw the shards that are missing.")
        try:
            print(push_dataset(self.out, self.flags.push_to_hub, private=self.flags.private))
        except PushFailed as error:
            raise checks.BadInput(f"{str(error).removesuffix('.')} with the same command.") from None


def _told(parts: Iterable[Part], bar: tqdm) -> Iterator[Part]:
    """The parts, with a bar of how far they are written."""
    for part in parts:
        yield part
        bar.update(len(part.numbers))


def _shard(text: str | None) -> tuple[int | None, int | None]:
    """The shard, counted from 0, and the number of shards in a text like 3/16, or BadInput."""
    if text is None:
        return None, None
    if not (found := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)) or not 1 <= int(found[1]) <= int(found[2]):
        raise checks.BadInput(f"--shard must be like 3/16, the third of 16 shards, not {checks.shown(text)}.")
    return int(found[1]) - 1, int(found[2])


def _command(flags: argparse.Namespace) -> str:
    """The command that draws such a data set, for its card: without what means something on this machine only."""
    words = ["python -m diffusion sample"]
    shown = ("digits", "count", "strings", "length", "until_right", "precision", "format")
    for name in ("weights", "revision", "like", "recipe", *shown, *SETTINGS):
        value = getattr(flags, name)
        if value is None or value == {"count": 1, "precision": "fp32"}.get(name):
            continue
        if name == "weights" and value not in checkpoint.NAMES and not checkpoint.on_hub(value):
            value = "WEIGHTS"
        elif name in ("like", "recipe"):
            value = Path(value).name
        words.append(f"--{name.replace('_', '-')} {shlex.quote(checks.written(value))}")
    words += [f"--{name}" for name in ("balance", "reject") if getattr(flags, name)]
    return " ".join([*words, "--out digits/"])
