"""Which way of inpainting draws parts that fit? On real test digits, of which a part is hidden and drawn anew.

    python -m benchmarks.inpainting                                     # the defaults, on 1,000 test digits
    python -m benchmarks.inpainting --count 200 --method replacement,repaint,langevin,ding
    python -m benchmarks.inpainting --part train --count 200 --inner 2  # to try settings: not on what is reported

Each digit is asked for twice: by its own label, and by another that fits. That is the label of a real training digit:
of the 20 with other labels whose kept pixels are nearest, the nearest one whose hidden part, pasted in, makes the
reader read its label (the nearest of all, where none does).

A row for each method, mask and label says how often the reader reads what was asked for; how often a fresh classifier
tells the completed digits from as many real training digits with these labels (0.5: never; the floor is the same for
the digits before a part was hidden); the seam, which is the mean step in brightness across the mask's border, as a
multiple of that in the real digits; and the cost.

Prints a Markdown table, and writes it with a picture of examples. Continues where it stopped.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, Recipe, checks, data
from diffusion.evaluation.figures import told_apart
from diffusion.evaluation.judge import FEWEST, Images
from diffusion.evaluation.reader import Reader, load_reader
from diffusion.files import render
from diffusion.files.atomic import write_text
from diffusion.hardware import PRECISIONS, use_allowed_cores
from diffusion.lab import Inpainting, edit
from diffusion.lab.picture import packed
from diffusion.recipe import SETTINGS

MASKS = ("top", "left", "hole", "random")
LABELS = ("true", "another")
POOL = 20_000  # real training digits to compare with
NEAREST = 20  # of them that another label may be that of
SHOWN = 10  # examples of each row in the picture


@dataclass(frozen=True)
class Digits:
    """Real digits to complete, and real ones to compare with.

    Attributes:
        images, labels: the digits, uint8 (N, H, W) and int64 (N,).
        others: real training digits, none of them among these.
    """

    images: Tensor
    labels: Tensor
    others: Images

    @classmethod
    def load(cls, folder: str, part: str, count: int) -> "Digits":
        images, labels = data.load("mnist", folder, train=True)
        if part == "train":
            order = shuffled(len(images))
            mine, rest = order[:count], order[count : count + POOL]
            return cls(images[mine], labels[mine], (images[rest], labels[rest]))
        tests, test_labels = data.load("mnist", folder, train=False)
        mine = shuffled(len(tests))[:count]
        pool = shuffled(len(images))[:POOL]
        return cls(tests[mine], test_labels[mine], (images[pool], labels[pool]))

    def another_label(self, hidden: np.ndarray, reader: Reader) -> Tensor:
        """A label for each digit that is not its own and fits what is kept, int64 (N,). Hidden is bool (H, W)."""
        drawn = torch.from_numpy(hidden)
        pool, labels = self.others
        distances = torch.cdist(self.images[:, ~drawn].float(), pool[:, ~drawn].float())
        distances[self.labels[:, None] == labels] = torch.inf
        nearest = distances.topk(NEAREST, largest=False).indices  # (N, NEAREST)
        pasted = torch.where(drawn, pool[nearest], self.images[:, None])
        read = torch.from_numpy(reader.read(pasted.flatten(0, 1))[0].argmax(1)).view_as(nearest)
        first = (read == labels[nearest]).int().argmax(1)  # 0 where there is none
        return labels[nearest[torch.arange(len(first)), first]]

    def crowd(self, wanted: Tensor) -> Tensor:
        """As many of the others, with these labels."""
        order = shuffled(len(self.others[1]))
        images, labels = self.others[0][order], self.others[1][order]
        return torch.cat([images[labels == label][: int((wanted == label).sum())] for label in wanted.unique()])


def shuffled(count: int) -> Tensor:
    """The whole numbers below `count`, in an order that is always the same."""
    return torch.randperm(count, generator=torch.Generator("cpu").manual_seed(0), device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data")
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS])
    parser.add_argument("--out", default="benchmarks/inpainting", type=Path)
    parser.add_argument("--runs", default="runs/benchmarks/inpainting", type=Path, help="where each row is kept")
    parser.add_argument("--part", default="test", choices=["test", "train"], help="where the digits come from")
    parser.add_argument("--count", default=1000, type=int, help="digits (default: 1,000)")
    parser.add_argument("--method", default=Inpainting.method, help="one or several of " + ", ".join(edit.METHODS))
    parser.add_argument("--mask", default=",".join(MASKS), help="one or several of " + ", ".join(edit.MASKS))
    parser.add_argument("--label", default=",".join(LABELS), help="default: both")
    parser.add_argument("--inner", default=Inpainting.inner, type=int, help=f"default: {Inpainting.inner}")
    for name in ("steps", "sampler", "guidance", "guidance_interval"):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=SETTINGS[name].values.read, help=f"default: {Inpainting.defaults[name]}")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        study(Pipeline.from_pretrained(flags.weights, precision=flags.precision), flags)
    except BadInput as error:
        sys.exit(f"inpainting.py: {error}")


def study(pipe: Pipeline, flags: argparse.Namespace) -> None:
    methods, masks, kinds = (
        [checks.choice(f"--{name}", part.strip(), known) for part in getattr(flags, name).split(",")]
        for name, known in (("method", edit.METHODS), ("mask", edit.MASKS), ("label", LABELS))
    )
    checks.whole("--count", flags.count, FEWEST, 10_000)
    digits, reader = Digits.load(flags.data, flags.part, flags.count), load_reader()
    names = ("steps", "sampler", "guidance", "guidance_interval")
    given = {name: value for name in names if (value := getattr(flags, name)) is not None}
    rows, examples = [], []
    for mask in masks:
        hidden = edit.MASKS[mask](*pipe.model.shape[1:])
        for kind in kinds:
            wanted = digits.labels if kind == "true" else digits.another_label(hidden, reader)
            for method in methods:
                activity = Inpainting(
                    tuple(packed(image.numpy()) for image in digits.images), edit.mask(mask, pipe.model.shape), method,
                    flags.inner,
                )  # fmt: skip
                recipe = pipe.recipe(wanted.tolist(), activity=activity, **given)
                figures, some = kept(pipe, recipe, digits, reader, flags.runs / f"{mask}-{kind}-{method}")
                rows.append([method, mask, kind, *written(figures)])
                examples.append(some)
                print(*rows[-1], file=sys.stderr, flush=True)
    floor = told_apart(digits.images, digits.crowd(digits.labels))
    rows.append(["real digits", "", "", "", f"{floor:.1%}", "1.00", "", ""])
    head = ["method", "drawn anew", "label", "read as asked", "told apart", "seam", "evaluations", "seconds for ten"]
    compared = table(head, rows)
    print(compared)
    write_text(flags.out / "table.md", compared + "\n")
    render.save_png(flags.out / "examples.png", render.picture(np.concatenate(examples), SHOWN, 3))


def written(figures: dict[str, float]) -> list[str]:
    return [
        f"{figures['read']:.1%}",
        f"{figures['told_apart']:.1%}",
        f"{figures['seam']:.2f}",
        f"{figures['evaluations']:.0f}",
        f"{figures['seconds']:.1f}",
    ]


def kept(
    pipe: Pipeline, recipe: Recipe, digits: Digits, reader: Reader, path: Path
) -> tuple[dict[str, float], np.ndarray]:
    """The figures of a recipe, measured where that is not done yet, and its first images."""
    known = path.with_suffix(".json")
    key = json.loads(recipe.to_json())
    if known.exists() and (done := json.loads(known.read_bytes()))["recipe"] == key:
        return done["figures"], np.array(done["images"], np.uint8)
    figures, images = measured(pipe, recipe, digits, reader)
    some = images[:SHOWN]
    write_text(known, json.dumps({"recipe": key, "figures": figures, "images": some.tolist()}))
    return figures, some


def measured(pipe: Pipeline, recipe: Recipe, digits: Digits, reader: Reader) -> tuple[dict[str, float], np.ndarray]:
    """The figures of a recipe that completes these digits, and its images uint8 (N, H, W)."""
    assert isinstance(recipe.activity, Inpainting)
    start = perf_counter()
    images = np.concatenate([result.images for result in pipe.batches(recipe)])
    seconds = perf_counter() - start
    wanted = torch.tensor(recipe.digits)
    hidden = recipe.activity.hidden
    figures = {
        "read": reader.accuracy(images, wanted),
        "told_apart": told_apart(torch.from_numpy(images), digits.crowd(wanted)),
        "seam": seam(images, hidden) / seam(digits.images.numpy(), hidden),
        "evaluations": pipe.evaluations(recipe),
        "seconds": 10 * seconds / len(images),
    }
    return figures, images


def seam(images: np.ndarray, hidden: np.ndarray) -> float:
    """The mean step in brightness from a pixel that is kept to a hidden neighbour: uint8 (N, H, W), bool (H, W)."""
    pixels = images.astype(float)
    steps = [
        abs(np.diff(pixels, axis=axis + 1))[:, np.diff(hidden, axis=axis)]  # (N, borders along that axis)
        for axis in (0, 1)
    ]
    return float(np.concatenate(steps, axis=1).mean())


if __name__ == "__main__":
    main()
