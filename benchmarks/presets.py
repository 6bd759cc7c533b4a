"""Why the preset "best" is what it is: change something, train each for as many epochs, and compare.

    python -m benchmarks.presets                     # a day on two CPU cores
    python -m benchmarks.presets --small --epochs 1  # a small network: an hour on two CPU cores

Each variant is a run below runs/benchmarks/, and the benchmark continues where it stopped. It prints a Markdown table
of digits drawn without guidance, beside real ones: accuracy as asked, Frechet distance, precision and recall in the
reader's features, the share of exactly black pixels, and how often a fresh classifier tells drawn digits from real
training digits (0.5: never).
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.stopwatch import table
from diffusion import BadInput, Pipeline, Recipe, data
from diffusion.evaluation.figures import told_apart
from diffusion.evaluation.judge import Judge, draw
from diffusion.files.atomic import write_text
from diffusion.hardware import use_allowed_cores
from diffusion.training.config import PLAIN, TrainConfig
from diffusion.training.folder import alone, saved_state
from diffusion.training.trainer import Trainer

SMALL: dict[str, Any] = {"stem": 2, "channels": (32, 64), "blocks": 1, "attention": (1,)}  # quick to train
VARIANTS: dict[str, dict[str, Any]] = {
    "best": {},
    "learning rate 2e-3": {"learning_rate": 2e-3},
    "prediction x0": {"prediction": "x0"},
    "prediction x0, loss of the velocity": {"prediction": "x0", "loss_of": "velocity"},
    "plain loss (not bounded)": {"bounded": False},
    "prediction v": {"prediction": "v"},
    "schedule cosine, prediction v": {"schedule": "cosine", "prediction": "v"},
    "schedule cosine, prediction eps": {"schedule": "cosine", "prediction": "eps"},
    "uniform levels": {"level_spread": 0.0},
    "levels more in the middle (spread 1)": {"level_spread": 1.0},
    "min-SNR weights (gamma 5)": {"min_snr": 5.0},
    "no average of the weights": {"ema": 0.0},
    "a shorter average (0.95)": {"ema": 0.95},
    "half the channels": {},  # of whichever network
    # the preset "flow" but for its size, with its two rules for the learning rate
    "plain flow, learning rate decays to a tenth": PLAIN | {"decay": "exponential", "weight_decay": 0.0},
    "plain flow, learning rate constant 1e-4": PLAIN
    | {"decay": "constant", "learning_rate": 1e-4, "weight_decay": 1e-4},
}


def main() -> None:
    parser = arguments(__doc__, TrainConfig.epochs)
    parser.add_argument("--small", action="store_true", help="a small network with patches, not the one that ships")
    parser.add_argument("--optimizer", default=TrainConfig.optimizer, help="of all but plain flow, which is AdamW's")
    flags = parser.parse_args()
    use_allowed_cores()
    try:
        print(report("variant", measured(configs(flags), flags)))
    except BadInput as error:
        sys.exit(f"presets.py: {error}")


def arguments(text: str | None, epochs: int) -> argparse.ArgumentParser:
    """The flags of a benchmark that trains networks and compares them."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data")
    parser.add_argument("--out", default="runs/benchmarks", type=Path)
    parser.add_argument("--epochs", default=epochs, type=int)
    parser.add_argument("--count", default=2000, type=int, help="digits drawn by each")
    parser.add_argument("--steps", default=20, type=int)
    parser.add_argument("--only", default="", help="those whose names hold this text")
    return parser


def configs(flags: argparse.Namespace) -> dict[str, TrainConfig]:
    runs = flags.out / f"{'small' if flags.small else 'full'}-{flags.optimizer}-epochs-{flags.epochs}"
    same = {"epochs": flags.epochs, "optimizer": flags.optimizer} | (SMALL if flags.small else {})
    found = {}
    for name, changes in VARIANTS.items():
        if flags.only in name:
            config = TrainConfig(data=flags.data, out=str(runs / folder(name)), **same | changes)
            if name == "half the channels":
                config = replace(config, channels=tuple(max(8, channels // 2) for channels in config.channels))
            found[name] = config
    return found


def measured(configs: dict[str, TrainConfig], flags: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The figures of each, trained where that is not done yet, and of real digits."""
    recipe = Recipe(tuple(range(10)) * (flags.count // 10), guidance=1.0, steps=flags.steps, sampler="ddim")
    train, test = (data.load("mnist", flags.data, train=part) for part in (True, False))
    judge = Judge(recipe.digits, train=train, test=test, full=False, progress=True)
    rows = {name: figures(config, recipe, judge) for name, config in configs.items()}
    return rows | {"real": judge.floor | {"told_apart": 0.5}}


def folder(name: str) -> str:
    """The name of a run's folder."""
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in name)


def figures(config: TrainConfig, recipe: Recipe, judge: Judge) -> dict[str, float]:
    """Train, where that is not done yet, and measure."""
    path = Path(config.out) / "figures.json"
    key = {"config": json.loads(json.dumps(asdict(config))), "recipe": json.loads(recipe.to_json())}
    if path.exists() and (done := json.loads(path.read_bytes()))["key"] == key:
        return dict(done["figures"])
    drawn = draw(trained(config), recipe, progress=True)
    values = {name: score["value"] for name, score in judge(drawn).items() if not name.startswith("accuracy_of_")}
    values["told_apart"] = told_apart(torch.from_numpy(drawn), judge.others, progress=True)
    write_text(path, json.dumps({"key": key, "figures": values}))
    return values


def trained(config: TrainConfig) -> Pipeline:
    """The network of a config, trained from where that stopped."""
    print(config.out, file=sys.stderr)
    with alone(config):
        trainer = Trainer(config)
        if (trainer.out / "state.pt").exists():
            trainer.resume(saved_state(config))
        trainer.run()
    return Pipeline(trainer.ema.model)


def report(title: str, rows: dict[str, dict[str, float]], costs: dict[str, dict[str, str]] | None = None) -> str:
    """A Markdown table of figures by name, with what each costs before them where that is given."""
    costs = costs or {}
    columns = list(next(iter(costs.values()), {}))
    names = list(next(iter(rows.values())))
    lines = [
        [
            name,
            *(costs.get(name, {}).get(column, "") for column in columns),
            *(f"{row[figure]:.3f}" for figure in names),
        ]
        for name, row in rows.items()
    ]
    return table([title, *columns, *(name.replace("_", " ") for name in names)], lines)


if __name__ == "__main__":
    main()
