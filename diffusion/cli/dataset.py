"""python -m diffusion sample --out FOLDER/: a data set, drawn in shards by one process or by many."""

import argparse
import io
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, redirect_stderr
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from diffusion import checkpoint, checks
from diffusion.cli.flags import pipeline, wanted
from diffusion.cli.reading import ReadingBack
from diffusion.evaluation.readback import until_right
from diffusion.files.atomic import check_writable
from diffusion.files.formats import FORMATS, Content, check
from diffusion.files.shards import INDEX, Part, Plan, Shards, read_index
from diffusion.pipeline import BATCH
from diffusion.recipe import Recipe
from diffusion.team import Team

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
    group.add_argument("--reject", action="store_true", help="leave out what the reader does not read as asked")


def is_dataset(flags: argparse.Namespace) -> bool:
    """Whether a data set is asked for, and no single file: by a folder, or by several processes."""
    return _folder(flags.out) or Team.started() > 1


def _folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or Path(out).is_dir()


def refuse(flags: argparse.Namespace) -> None:
    """BadInput for what a single file cannot have."""
    for name in ("format", "shards", "shard", "reject"):
        if getattr(flags, name):
            raise checks.BadInput(f"--{name} belongs to a data set: give --out a folder, like digits/.")


def make(flags: argparse.Namespace) -> None:
    """Draw what is missing of a data set, and write it in its format as soon as nothing is."""
    team = Team.join()
    with team.leader_first(), nullcontext() if team.leads else redirect_stderr(io.StringIO()):
        work = _Work(flags, team)
    work.draw()
    if team.leads:
        work.finish()
    team.part()


class _Work:
    """What there is to do, after all that could refuse it was asked."""

    def __init__(self, flags: argparse.Namespace, team: Team):
        self.team, self.out = team, Path(flags.out)
        if not _folder(flags.out):
            raise checks.BadInput("Several processes draw a data set: give --out a folder, like digits/.")
        self.format = checks.choice("--format", flags.format or next(iter(FORMATS)), FORMATS)
        for name in ONLY_PICTURES:
            if getattr(flags, name) != ("noisy" if name == "track" else None):
                raise checks.BadInput(f"--{name} belongs to a picture or an animation: leave it out for a data set.")
        if flags.precision == "auto":
            raise checks.BadInput("All shards are drawn in one precision: choose fp32 or bf16 as --precision.")
        again = Recipe.from_file(flags.recipe) if flags.recipe else None
        self.pipe = pipeline(flags, again)
        self.recipe = replace(self._recipe(flags, again), weights=self.pipe.weights)
        self.pipe.check(self.recipe)
        if self.recipe.guidance == 0:
            raise checks.BadInput("At guidance 0 the labels of a data set would mean nothing: raise the guidance.")
        self.reading = ReadingBack.from_flags(flags, self.pipe)
        self.reject = flags.reject
        self.only, count = _shard(flags.shard)
        self.plan = self._plan(flags, count)
        check(self.format, self.plan.count, len(self.pipe.names), colour=self.pipe.model.shape[0] > 1)
        self.shards = Shards(self.out, self.plan, self.format)
        if self.only is not None and team.size > 1:
            raise checks.BadInput("torchrun shares the shards out by itself: leave --shard out.")
        if not self.shards.done:
            check_writable(self.out / INDEX)

    def _recipe(self, flags: argparse.Namespace, again: Recipe | None) -> Recipe:
        """What to draw. Chance picks digits by the seed: all processes must come to the same."""
        seed = again.seed if flags.seed is None and again else flags.seed
        return wanted(flags, self.pipe, again, choose=random.Random(0 if seed is None else str(seed)).choice)

    def _plan(self, flags: argparse.Namespace, shards: int | None) -> Plan:
        if flags.shards is not None and shards is not None:
            raise checks.BadInput("--shard says how many shards there are: leave --shards out.")
        about = {"recipe": self.recipe.to_json(), "precision": flags.precision}
        if self.reading:
            about |= {
                "reader": checkpoint.fingerprint(flags.reader),
                "tries": self.reading.tries,
                "reject": self.reject,
            }
        batches = -(-len(self.recipe.digits) // BATCH)
        number = shards if flags.shards is None else flags.shards
        if number is not None:
            number = checks.whole("--shards", number, 1, batches)
        plan = Plan(json.dumps(about), len(self.recipe.digits), BATCH, number or 0)
        if self.team.size > plan.shards:
            raise checks.BadInput(
                f"There are {self.team.size} processes for {plan.shards} shards: start fewer, or divide the images "
                f"into more with --shards, at most {batches}."
            )
        return plan

    def draw(self) -> None:
        """Draw shards as long as any is left. The leading process shows how far all of them are."""
        missing: list[int] = json.loads(self.team.agree(json.dumps(self.shards.missing)))
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
                self.shards.write(missing[turn], self._parts(missing[turn], counts, tell), counts)
            self.team.count("through", 1)
            while self.team.leads and self.team.count("through") < self.team.size:
                time.sleep(0.2)
                tell()
            tell()

    def _parts(self, shard: int, counts: Counter[str], tell: Callable[[int], object]) -> Iterator[Part]:
        """The images of a shard, batch after batch; `counts` is what became of them."""
        for numbers in self.plan.batches(shard):
            recipe = self.recipe.part(numbers.start, numbers.stop)
            if self.reading is None:
                result = self.pipe.run(recipe).result()
                kept = list(range(len(numbers)))
            else:
                tried = until_right(self.pipe, self.reading.reader, recipe, self.reading.tries)
                result, right = tried.result, [k for k, reading in enumerate(tried.readings) if reading.right]
                kept = right if self.reject else list(range(len(numbers)))
                counts.update(kept=len(kept), right=len(right), drawn=tried.drawn)
            labels, seeds = result.labels, result.seeds
            yield Part(result.images[kept], *([values[k] for k in kept] for values in (labels, seeds, numbers)))
            tell(len(numbers))

    def finish(self) -> None:
        """Write the data set where no shard is missing, and say what there is."""
        if missing := self.shards.missing:
            several = "is" if len(missing) == 1 else "are"
            print(f"{len(missing)} of {self.plan.shards} shards {several} still missing in {self.out}.")
            return
        recipe = json.loads(replace(self.recipe, digits=(0,), redrawn=(), words=()).to_json())
        about = {"names": self.pipe.names, "settings": {name: recipe[name] for name in recipe if name != "digits"}}

        def write(parts: Iterable[Part], count: int) -> Iterator[str]:
            content = Content(self._told(parts, count), count, self.plan.shards, self.pipe.names)
            return FORMATS[self.format].write(self.out, content)

        self.shards.finish(write, about)
        index = read_index(self.out) or {}
        if "right" in index:
            print(f"{index['right']:,} of {index['images']:,} read as asked, {index['drawn']:,} drawn")
        if left_out := index["images"] - index["kept"]:
            print(f"{left_out:,} that were not are left out")
        print(f"{index['kept']:,} {'image' if index['kept'] == 1 else 'images'} in {self.out}")

    def _told(self, parts: Iterable[Part], count: int) -> Iterator[Part]:
        """The parts, with a bar of how far they are written."""
        with tqdm(total=count, unit="image", desc="write") as bar:
            for part in parts:
                yield part
                bar.update(len(part.labels))


def _shard(text: str | None) -> tuple[int | None, int | None]:
    """The shard, counted from 0, and the number of shards in a text like 3/16, or BadInput."""
    if text is None:
        return None, None
    if not (found := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)) or not 1 <= int(found[1]) <= int(found[2]):
        raise checks.BadInput(f"--shard must be like 3/16, the third of 16 shards, not {checks.shown(text)}.")
    return int(found[1]) - 1, int(found[2])
