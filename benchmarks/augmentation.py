"""Does it help? A small classifier learns from few real digits, with and without drawn ones beside them.

    python -m benchmarks.augmentation    # a quarter of an hour on a free CPU core
    python -m benchmarks.augmentation --each 10 --unbalanced 200 --learn 100 --add 200 --steps 100 --seeds 2    # a look

The real digits are so many of each class, chosen by lot; or an unbalanced set, in which three classes have 1 % of
theirs. Drawn ones come from a generator that was trained on these digits alone: a small network, from scratch, once for
each set. Or they come from the few-step weights, which have seen all 60,000 training digits. That is no fair help: it
shows what the best generator could do. Digits are drawn of all classes, or, for the unbalanced set, of the rare ones
until all have as many.

All classifiers make the same number of steps. They are shown all classes evenly, and of a class with drawn digits half
real ones; only "real digits" are shown as they are, which in the unbalanced set is seldom for rare ones. Each learns
with and without the small turns, changes of size and shifts that the reader learns with.

Prints Markdown tables and writes them with a plot: the accuracy on real test digits, as the mean over several seeds of
the classifier with its standard deviation. Real digits and generator are the same for all seeds. Continues where it
stopped.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.presets import SMALL, trained
from benchmarks.stopwatch import numbers, table
from diffusion import BadInput, Pipeline, checkpoint, checks, data
from diffusion.evaluation.figures import nearest_distances
from diffusion.evaluation.judge import Images
from diffusion.evaluation.reader import jittered, load_reader
from diffusion.files import export, plot, render
from diffusion.files.atomic import write_text
from diffusion.files.labels import missing
from diffusion.hardware import use_allowed_cores
from diffusion.training.config import TrainConfig

RARE = (2, 5, 8)  # the classes of the unbalanced set that have 1 % of their digits
EPOCHS = 2  # of a generator: after each it is saved
BATCH = 64  # digits a step, of generators and classifiers
NONE, EVEN, OWN, SHIPPED = (
    "real digits",
    "the same, classes evenly",
    "+ drawn by their own generator",
    "+ drawn by few-step",
)
JITTER = {False: "", True: ", turned and shifted"}


@dataclass(frozen=True)
class Few:
    """A set of few real digits: uint8 images (N, H, W) and int64 labels (N,), and the labels to draw beside them."""

    name: str
    images: Tensor
    labels: Tensor
    wanted: list[int]

    @property
    def balanced(self) -> bool:
        return not missing(self.labels.tolist())

    @property
    def ways(self) -> tuple[str, ...]:
        """What a classifier can learn from."""
        return (NONE, OWN, SHIPPED) if self.balanced else (NONE, EVEN, OWN, SHIPPED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data")
    parser.add_argument("--out", default="benchmarks/augmentation", type=Path)
    parser.add_argument("--runs", default="runs/benchmarks/augmentation", type=Path, help="of the generators")
    parser.add_argument("--each", default="10,30,100", help="real digits of each class (default: 10,30,100)")
    parser.add_argument("--unbalanced", default=1000, type=int, help="of each class of the unbalanced set; 0: no such")
    parser.add_argument("--learn", default=300, type=int, help="steps of a generator (default: 300)")
    parser.add_argument("--add", default=1000, type=int, help="digits drawn where classes are even (default: 1,000)")
    parser.add_argument("--steps", default=300, type=int, help="of a classifier (default: 300)")
    parser.add_argument("--seeds", default=5, type=int, help="classifiers of each kind (default: 5)")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        study(flags)
    except BadInput as error:
        sys.exit(f"augmentation.py: {error}")


def study(flags: argparse.Namespace) -> None:
    checks.whole("--learn", flags.learn, EPOCHS, 1_000_000)
    checks.whole("--add", flags.add, 10, checks.MAX_IMAGES)
    checks.whole("--steps", flags.steps, 1, 1_000_000)
    checks.whole("--seeds", flags.seeds, 2, 1000)
    few = list(sets(data.load("mnist", flags.data, train=True), flags))
    test = data.load("mnist", flags.data, train=False)
    scores = [measured(each, test, flags) for each in few]
    generators = [generator_figures(each, test, flags) for each in few]
    rows = [[each.name, *figures.values()] for each, figures in zip(few, generators, strict=True)]
    text = report(few, scores) + "\n\n" + table(["generator of", *generators[0]], rows)
    print(text)
    write_text(flags.out / "table.md", text + "\n")
    render.save_png(flags.out / "wrong.png", picture(few, scores))


def sets(train: Images, flags: argparse.Namespace) -> Iterator[Few]:
    """Those that are asked for, smaller ones within larger ones."""
    images, labels = train
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1), device="cpu")
    for count in numbers("--each", flags.each, len(images)):
        chosen = torch.cat([order[labels[order] == label][:count] for label in range(10)])
        yield Few(f"{count} of each", images[chosen], labels[chosen], [*range(10)] * (flags.add // 10))
    if flags.unbalanced:
        count = checks.whole("--unbalanced", flags.unbalanced, 100, len(images))
        counts = [count // 100 if label in RARE else count for label in range(10)]
        chosen = torch.cat([order[labels[order] == label][: counts[label]] for label in range(10)])
        name = f"{count} of each, but {count // 100} of {', '.join(map(str, RARE))}"
        yield Few(name, images[chosen], labels[chosen], missing(labels[chosen].tolist()))


Scores = dict[tuple[str, bool], list[list[float]]]
"""Of each way, plain and turned: for each seed the accuracy of all test digits, and of those of the rare classes."""


def measured(few: Few, test: Images, flags: argparse.Namespace) -> Scores:
    """The scores of a set's classifiers, trained where that is not done yet."""
    path = flags.out / "scores.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    known = {json.dumps(line["of"]): line["accuracy"] for line in map(json.loads, lines)}
    scores: Scores = {}
    for way in few.ways:
        for jitter in JITTER:
            for seed in range(flags.seeds):
                of = [few.name, way, jitter, seed, flags.steps, len(test[0])]
                of += [len(few.wanted)] if way in (OWN, SHIPPED) else []
                of += [flags.learn] if way == OWN else [few_step()] if way == SHIPPED else []
                key = json.dumps(of)
                if key not in known:
                    known[key] = accuracies(classifier(*shown(few, way, flags), flags.steps, jitter, seed), test)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"of": of, "accuracy": known[key]}) + "\n")
                    print(*of, known[key], file=sys.stderr, flush=True)
                scores.setdefault((way, jitter), []).append(known[key])
    return scores


def shown(few: Few, way: str, flags: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """What a classifier learns from: images, labels, and how often each is shown, to scale."""
    if way == NONE:
        return few.images, few.labels, torch.ones(len(few.labels))
    images, labels = drawn(few, way, flags) if way != EVEN else (few.images[:0], few.labels[:0])
    groups = torch.cat([few.labels, labels + 10])  # real ones and drawn ones of each class
    counts = groups.bincount(minlength=20)
    sources = (counts.view(2, 10) > 0).sum(0)  # of each class: real ones, or drawn ones too
    return torch.cat([few.images, images]), groups % 10, 1 / (counts[groups] * sources[groups % 10])


def drawn(few: Few, way: str, flags: argparse.Namespace) -> Images:
    """Digits that are drawn for a set, where that is not done yet."""
    name = few.name.replace(", ", "-").replace(" ", "-")
    if way == SHIPPED:  # which draws the same for all sets whose classes are even
        out = flags.runs / f"few-step-{few_step()}-{'even' if few.balanced else name}"
    else:
        out = flags.runs / f"{name}-steps-{flags.learn}"
    path = out / f"{len(few.wanted)}.npz"
    if not path.is_file():
        pipe = generator(few, out, flags) if way == OWN else Pipeline.from_pretrained("few-step", precision="auto")
        recipe = pipe.recipe(few.wanted, **({"guidance": 1, "steps": 10} if way == OWN else {}))
        export.write(path, pipe.batches(recipe), recipe)
    with np.load(path) as file:
        return torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])


@cache
def few_step() -> str:
    """The fingerprint of the few-step weights: what others drew, or were scored with, is not taken for theirs."""
    return checkpoint.fingerprint(checkpoint.find("few-step"))


def generator(few: Few, out: Path, flags: argparse.Namespace) -> Pipeline:
    """A small network that has seen these digits alone, all classes as often."""
    count = flags.learn // EPOCHS * BATCH  # digits of an epoch
    classes = [(few.labels == label).nonzero().flatten() for label in range(10)]
    rows = [own[torch.arange(count // 10 + 1, device="cpu") % len(own)] for own in classes]
    chosen = torch.stack(rows, 1).flatten()[:count]
    raw = out / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part, some in {"train": chosen, "t10k": chosen[:100]}.items():  # none is held out: that loss is only told
        for kind, content in (("images-idx3", few.images[some]), ("labels-idx1", few.labels[some].byte())):
            magic = np.array([0x0800 + content.ndim, *content.shape], ">i4")
            (raw / f"{part}-{kind}-ubyte").write_bytes(magic.tobytes() + content.numpy().tobytes())
    same = SMALL | {"epochs": EPOCHS, "batch_size": BATCH, "warmup": flags.learn // 10, "ema": 0.99}
    return trained(TrainConfig(data=str(out), out=str(out), **same))


def classifier(images: Tensor, labels: Tensor, weights: Tensor, steps: int, jitter: bool, seed: int) -> nn.Module:
    """A small CNN, trained on uint8 images (N, H, W) that are shown as often as their weights say."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential()
        for channels, out in ((1, 16), (16, 32)):
            network.extend([nn.Conv2d(channels, out, 3, 2, 1), nn.BatchNorm2d(out), nn.ReLU()])
        network.extend([nn.Flatten(), nn.Linear(32 * 7 * 7, 10)])
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05, fused=True)
        decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
        for chosen in torch.multinomial(weights, steps * BATCH, replacement=True).split(BATCH):
            x = data.to_float(images[chosen])
            loss = F.cross_entropy(network(jittered(x) if jitter else x), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
    return network.eval()


@torch.inference_mode()
def accuracies(network: nn.Module, test: Images) -> list[float]:
    """The share of real test digits that it reads right: of all, and of those of the rare classes."""
    images, labels = test
    right = torch.cat([network(data.to_float(part)).argmax(1) for part in images.split(1000)]) == labels
    return [float(some.float().mean()) for some in (right, right[torch.isin(labels, torch.tensor(RARE))])]


def generator_figures(few: Few, test: Images, flags: argparse.Namespace) -> dict[str, str]:
    """What a set's own generator draws: whether it can be read, and how much of it is new."""
    images, labels = drawn(few, OWN, flags)
    same = torch.isin(test[1], labels)
    apart, real = (np.median(nearest_distances(each, few.images)) for each in (images, test[0][same][: len(images)]))
    return {
        "read as asked": f"{load_reader().accuracy(images, labels):.1%}",
        "distance to the nearest of its real digits": f"{apart:.1f}",
        "the same of real test digits": f"{real:.1f}",
    }


def report(few: list[Few], scores: list[Scores]) -> str:
    """A row for each way, a column for each set, and one for the rare classes of the one that has some."""
    columns = [(each, score, 0) for each, score in zip(few, scores, strict=True)]
    columns += [(each, score, 1) for each, score, _ in columns if not each.balanced]
    rows = []
    for way in (NONE, EVEN, OWN, SHIPPED):
        for jitter, told in JITTER.items():
            seeds = [[seed[part] for seed in score.get((way, jitter), ())] for _, score, part in columns]
            cells = [f"{100 * mean(each):.1f} ± {100 * stdev(each):.1f} %" if each else "" for each in seeds]
            rows += [[way + told, *cells]] if any(cells) else []
    return table(["learned from", *(each.name + (": these" if part else "") for each, _, part in columns)], rows)


def picture(few: list[Few], scores: list[Scores]) -> np.ndarray:
    """Test digits read wrong, against real digits of each class."""
    even = [(len(each.labels) / 10, score) for each, score in zip(few, scores, strict=True) if each.balanced]
    curves = {
        way.replace("drawn by ", "") + told: [
            (count, 100 * (1 - mean(seed[0] for seed in score[way, jitter]))) for count, score in even
        ]
        for way in (NONE, OWN, SHIPPED)
        for jitter, told in JITTER.items()
    }
    return plot.lines(curves, x="real digits of each class", y="test digits read wrong, %", log="xy")


if __name__ == "__main__":
    main()
