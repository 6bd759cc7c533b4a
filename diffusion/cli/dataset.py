"""python -m diffusion sample --out FOLDER/: a data set, drawn in shards by one process or by many."""

import argparse
import io
import json
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
from diffusion.cli.dataset_flags import check_flags, command, drawing, shard
from diffusion.cli.flags import pipeline
from diffusion.cli.reading import reader_file
from diffusion.files.atomic import check_writable, write_text
from diffusion.files.formats import FORMATS, Content, check
from diffusion.files.plan import Part, Plan
from diffusion.files.shards import INDEX, Shards, read_index
from diffusion.hub.data_card import MARK, data_card
from diffusion.hub.push import CARD, PushFailed, check_push, push_dataset
from diffusion.recipe import Recipe
from diffusion.team import Team


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
        self.format = check_flags(flags)
        if flags.push_to_hub and team.leads:
            check_push(flags.push_to_hub, later="draw first, and push the data set afterwards")
        again = Recipe.from_file(flags.recipe) if flags.recipe else None
        self.pipe = pipeline(flags, again)
        self.drawing = drawing(flags, self.pipe, again)
        self.only, count = shard(flags.shard)
        self.plan = self._plan(flags, count)
        self.shards = self._shards()

    def _shards(self) -> Shards:
        """The shards in the folder, which can be written there, and as a data set in the format."""
        self._check(self.plan.count)
        shards = Shards(self.out, self.plan, self.format)
        if self.only is not None and self.team.size > 1:
            raise checks.BadInput("torchrun shares the shards out by itself: leave --shard out.")
        if not shards.done:
            check_writable(self.out / INDEX)
        return shards

    def _check(self, count: int) -> None:
        """BadInput where the format cannot hold so many images of this kind."""
        holds = {"colour": self.pipe.model.shape[0] > 1, "strings": self.drawing.strings is not None}
        check(self.format, count, len(self.pipe.names), **holds)

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
        with (
            tqdm(total=total, initial=total - left, unit="image", desc="draw", disable=hidden) as bar,
            self.team.watched() as check_others,
        ):

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
                check_others()
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
            "precision": self.flags.precision,
            "usual": not (self.drawing.recipe.words or (self.drawing.strings and self.pipe.offer.styles)),
            "command": command(self.flags),
        }

        def write(folder: Path, parts: Iterable[Part], count: int) -> Iterator[str]:
            self._check(count)
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
        if not self.flags.push_to_hub or not self.shards.done:  # what is missing is said: who draws that pushes it
            return
        try:
            print(push_dataset(self.out, self.flags.push_to_hub, private=self.flags.private))
        except PushFailed as error:
            raise checks.BadInput(f"{str(error).removesuffix('.')} with the same command.") from None


def _told(parts: Iterable[Part], bar: tqdm) -> Iterator[Part]:
    """The parts, with a bar of how far they are written."""
    for part in parts:
        yield part
        bar.update(len(part.numbers))
