"""How often does one picture read as two digits? All pairs of anagrams and hybrids, and the best of each.

    python -m benchmarks.ambigrams                                    # an hour on a busy CPU core
    python -m benchmarks.ambigrams --only flip --seeds 4

Of each pair, --seeds pictures are drawn at the defaults, from seed 0 on: how often both readings are right, without
choosing. Then those that `--until-right 32` would draw: in how many pairs one is right. What was drawn is kept in
--scores, so that it continues where it stopped. Prints a Markdown table, and writes a picture of the best of each pair
and the seeds. With --publish it also writes the picture of the guide and that of the page.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, Recipe, checks
from diffusion.activity import Activity
from diffusion.evaluation.readback import STRIDE, read
from diffusion.evaluation.reader import Reader, load_reader
from diffusion.files import render
from diffusion.files.atomic import write_text
from diffusion.hardware import use_allowed_cores
from diffusion.lab import Anagram, Hybrid
from diffusion.recipe import SETTINGS

KINDS: dict[str, Callable[[int], Activity]] = {
    "rotate-180": lambda digit: Anagram((digit,), ("rotate-180",)),
    "flip": lambda digit: Anagram((digit,), ("flip",)),
    "hybrid": Hybrid,
}
TRIES = 32  # as --until-right 32
BATCH = 8
MARGIN, GAP = 5, 2  # around the two readings of a cell, and between them, before scaling
FAINT = 0.35  # how bright a cell is where both readings are not right
FIRST, SECOND = (255, 255, 255), (255, 196, 107)  # the colours of the two readings
DARK, LINE = (18, 18, 18), (56, 56, 56)
PAIRED = ("name", "digits", "digit", "views")  # what a cell and the kind tell of an activity
ROOT = Path(__file__).parent.parent
HEAD = (
    "kind",
    "seeds",
    "both right",
    "pairs with one of these right",
    "pairs with one of 32 tries right",
    "none of 32 right",
)

Drawn = dict[int, tuple[float, bool]]
"""Seed -> how likely the less sure of the two readings is, and whether both are right."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--out", default="benchmarks/ambigrams", type=Path)
    parser.add_argument("--scores", default="runs/benchmarks/ambigrams.json", type=Path)
    parser.add_argument("--only", help=f"default: {','.join(KINDS)}")
    parser.add_argument("--seeds", default=8, type=int, help="pictures of each pair (default: 8)")
    parser.add_argument("--publish", action="store_true", help="also write docs/ambigrams.png and the page's table")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        checks.whole("--seeds", flags.seeds, 1, 1000)
        kinds = [checks.choice("--only", kind, KINDS) for kind in (flags.only or ",".join(KINDS)).split(",")]
        pipe, rows = Pipeline.from_pretrained(flags.weights), []
        scores = Scores(pipe, load_reader(), flags.scores)
        for kind in kinds:
            pairs = measured(scores, kind, flags.seeds)
            rows.append(figures(kind, pairs, flags.seeds))
            best = {pair: surest(drawn) for pair, drawn in pairs.items()}
            cells = pictures(pipe, kind, best)
            render.save_png(flags.out / f"{kind}.png", labelled(pipe.names, kind, cells))
            write_text(flags.out / f"{kind}.json", published(pipe, kind, best))
            if flags.publish and kind == "rotate-180":
                render.save_png(ROOT / "docs" / "ambigrams.png", labelled(pipe.names, kind, cells))
                render.save_png(ROOT / "ui" / "assets" / "ambigrams.png", sheet(cells, len(pipe.names)))
                write_text(ROOT / "ui" / "assets" / "ambigrams.json", published(pipe, kind, best))
        print(table(HEAD, rows))
    except BadInput as error:
        sys.exit(f"ambigrams.py: {error}")


class Scores:
    """What was drawn and read, by recipe; kept in a file after each pair."""

    def __init__(self, pipe: Pipeline, reader: Reader, path: Path):
        self.pipe, self.reader, self.path = pipe, reader, path
        self.known: dict[str, dict[str, list[Any]]] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def draw(self, recipe: Recipe, seeds: Sequence[int]) -> Drawn:
        """The readings of a recipe of one image, from these seeds."""
        known = self.known.setdefault(f"{self.pipe.weights} {recipe.to_json()}", {})
        new = [seed for seed in seeds if str(seed) not in known]
        for start in range(0, len(new), BATCH):
            part = new[start : start + BATCH]
            result = self.pipe.run(recipe.some([0] * len(part), part)).result()
            for seed, reading in zip(part, read(self.pipe, self.reader, result), strict=True):
                known[str(seed)] = [reading.likely_label, reading.right]
        if new:
            write_text(self.path, json.dumps(self.known))
        return {seed: (known[str(seed)][0], known[str(seed)][1]) for seed in seeds}


def recipe_of(pipe: Pipeline, kind: str, pair: tuple[int, int]) -> Recipe:
    """The recipe of a pair at the defaults, from seed 0."""
    return pipe.recipe([pair[0]], activity=KINDS[kind](pair[1]))


def measured(scores: Scores, kind: str, count: int) -> dict[tuple[int, int], Drawn]:
    """All that was drawn of each pair: the first `count` seeds, then the tries up to one that is right."""
    digits = range(len(scores.pipe.names))
    pairs = [(a, b) for a, b in product(digits, digits) if a != b or kind != "hybrid"]
    found = {}
    for pair in tqdm(pairs, desc=kind, unit="pair"):
        recipe = recipe_of(scores.pipe, kind, pair)
        drawn = scores.draw(recipe, range(count))
        for tries in batches(tried(count=TRIES)):
            drawn |= scores.draw(recipe, tries)
            if any(drawn[seed][1] for seed in tries):
                break
        found[pair] = drawn
    return found


def tried(count: int) -> list[int]:
    """The seeds that `until_right` tries one after the other, from seed 0 on."""
    return [attempt * STRIDE % (checks.MAX_SEED + 1) for attempt in range(count)]


def batches(seeds: Sequence[int]) -> Iterator[Sequence[int]]:
    """The first alone, for it is drawn in any case, then the others."""
    yield seeds[:1]
    for start in range(1, len(seeds), BATCH):
        yield seeds[start : start + BATCH]


def figures(kind: str, pairs: dict[tuple[int, int], Drawn], count: int) -> list[str]:
    """A row of the table. An anagram of (a, b), turned, is one of (b, a): each two of those count as one pair."""
    rates = {pair: np.mean([drawn[seed][1] for seed in range(count)]) for pair, drawn in pairs.items()}
    fair = (
        [np.mean([rates[a, b], rates[b, a]]) for a, b in rates if a <= b] if kind != "hybrid" else list(rates.values())
    )
    first = sum(rate > 0 for rate in rates.values())
    tries = tried(TRIES)
    missed = [pair for pair, drawn in pairs.items() if not any(drawn[seed][1] for seed in tries if seed in drawn)]
    return [
        kind,
        str(count),
        f"{np.mean(fair):.1%}",
        f"{first} of {len(pairs)}",
        f"{len(pairs) - len(missed)} of {len(pairs)}",
        ", ".join(f"{a}/{b}" for a, b in missed) or "none" if kind != "hybrid" else "",
    ]


def surest(drawn: Drawn) -> tuple[int, bool]:
    """The seed whose readings are right and surest, or else that which came nearest, and whether it is right."""
    seed = max(drawn, key=lambda seed: (drawn[seed][1], drawn[seed][0]))
    return seed, drawn[seed][1]


Cells = dict[tuple[int, int], np.ndarray]
"""Pair -> a picture uint8 (H, W, 3) of both readings, side by side."""


def pictures(pipe: Pipeline, kind: str, best: dict[tuple[int, int], tuple[int, bool]]) -> Cells:
    """What was drawn from the best seed of each pair: faint where the readings are not right."""
    cells = {}
    for pair, (seed, right) in best.items():
        result = pipe.run(recipe_of(pipe, kind, pair).some([0], [seed])).result()
        readings = zip(result.looks, (FIRST, SECOND), strict=True)
        tinted = [look.images[0, ..., None] / 255 * np.array(color) for look, color in readings]
        height = tinted[0].shape[0]
        cell = np.concatenate([tinted[0], np.zeros((height, GAP, 3)), tinted[1]], axis=1) * (1 if right else FAINT)
        room = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
        cells[pair] = np.pad(cell.round().astype(np.uint8), room)
    return cells


def sheet(cells: Cells, count: int, scale: int = 2) -> np.ndarray:
    """The cells as `count` rows of `count`, all of one size and nothing beside them: the first reading by row."""
    empty = np.zeros_like(next(iter(cells.values())))

    def ruled(cell: np.ndarray) -> np.ndarray:
        cell = np.maximum(cell, DARK)
        cell[-1], cell[:, -1] = LINE, LINE
        return cell

    rows = [np.concatenate([ruled(cells.get((a, b), empty)) for b in range(count)], axis=1) for a in range(count)]
    return np.concatenate(rows).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)


def labelled(names: Sequence[str], kind: str, cells: Cells) -> np.ndarray:
    """The sheet with the names of the first reading beside its rows, and of the second one above its columns."""
    first, second = {
        "rotate-180": ("upright", "turned by half"),
        "flip": ("upright", "upside down, as in a lake"),
        "hybrid": ("from near", "from afar"),
    }[kind]
    inner = sheet(cells, len(names))
    side, top, font = 44, 66, ImageFont.load_default(22)
    picture = Image.new("RGB", (side + inner.shape[1], top + inner.shape[0]), DARK)
    picture.paste(Image.fromarray(inner), (side, top))
    pen = ImageDraw.Draw(picture)
    height, width = (length / len(names) for length in inner.shape[:2])
    for k, name in enumerate(names):
        pen.text((side / 2, top + (k + 0.5) * height), name, FIRST, font, "mm")
        pen.text((side + (k + 0.5) * width, 48), name, SECOND, font, "mm")
    pen.text((side, 6), f"left, by row: {first}", FIRST, font)
    pen.text((picture.width - 8, 6), f"right, by column: {second}", SECOND, font, "ra")
    return np.asarray(picture)


def published(pipe: Pipeline, kind: str, best: dict[tuple[int, int], tuple[int, bool]]) -> str:
    """JSON with the seed of each cell, and all that draws it again."""
    recipe = recipe_of(pipe, kind, (0, 1))
    assert recipe.activity is not None
    settings = {name: getattr(recipe, name) for name in SETTINGS if name != "seed"}
    activity = {name: value for name, value in recipe.activity.to_dict().items() if name not in PAIRED}
    count = len(pipe.names)
    rows = [[best.get((a, b), (None, False)) for b in range(count)] for a in range(count)]
    table = {
        "weights": pipe.weights,
        "view": kind,
        "settings": {"recipe": settings, "activity": activity},
        "seeds": [[seed for seed, _ in row] for row in rows],
        "right": [[right for _, right in row] for row in rows],
    }
    return json.dumps(table) + "\n"


if __name__ == "__main__":
    main()
