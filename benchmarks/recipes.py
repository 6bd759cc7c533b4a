"""Why the recipe "best" is what it is: change one thing of it at a time, train each as long, and compare.

    python benchmarks/recipes.py                                    # hours on a CPU, minutes on a GPU
    python benchmarks/recipes.py --channels 32,64 --blocks 1 --epochs 2    # a small network: an hour on two CPU cores

Each variant is a run in runs/benchmarks/, and each figure is beside that of real digits. It goes on where it stopped,
and prints a Markdown table: accuracy as asked, Frechet distance, precision and recall in the reader's features, the
share of exactly black pixels, and how often a fresh classifier tells drawn digits from real ones (0.5: never).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from diffusion import Pipeline, Recipe, data
from diffusion.evaluate import Judge, draw, told_apart
from diffusion.files import replacing
from diffusion.hardware import use_allowed_cores
from diffusion.training import TrainConfig, Trainer

VARIANTS: dict[str, dict[str, Any]] = {
    "best": {},
    "plain loss (not bounded)": {"bounded": False},
    "prediction x0": {"prediction": "x0"},
    "prediction v": {"prediction": "v"},
    "schedule cosine, prediction v": {"schedule": "cosine", "prediction": "v"},
    "schedule cosine, prediction eps": {"schedule": "cosine", "prediction": "eps"},
    "uniform levels": {"level_spread": 0.0},
    "levels more in the middle (spread 1)": {"level_spread": 1.0},
    "min-SNR weights (gamma 5)": {"min_snr": 5.0},
    "no average of the weights": {"ema": 0.0},
    "a longer average (0.9998)": {"ema": 0.9998},
    "learning rate decays to a tenth": {"decay": "exponential"},
    "learning rate constant, 1e-4": {"decay": "constant", "learning_rate": 1e-4, "weight_decay": 1e-4},
    "at full size (stem 1)": {"stem": 1},
    "half the channels": {},  # of whatever --channels says
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data")
    parser.add_argument("--out", default="runs/benchmarks", type=Path)
    parser.add_argument("--epochs", default=TrainConfig.epochs, type=int)
    parser.add_argument("--channels", default=TrainConfig.channels, type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--blocks", default=TrainConfig.blocks, type=int)
    parser.add_argument("--count", default=2000, type=int, help="digits drawn by each")
    parser.add_argument("--steps", default=20, type=int)
    parser.add_argument("--only", help="the variants whose names hold this text")
    flags = parser.parse_args()
    use_allowed_cores()

    digits = tuple(range(10)) * (flags.count // 10)
    train, test = (data.load("mnist", flags.data, train=part) for part in (True, False))
    judge = Judge(digits, train=train, test=test, full=False)
    rows = {}
    for name, changes in VARIANTS.items():
        if flags.only and flags.only not in name:
            continue
        channels = tuple(c // 2 for c in flags.channels) if name == "half the channels" else flags.channels
        out = flags.out / name.replace(" ", "-")
        shape = {"channels": channels, "blocks": flags.blocks}
        config = TrainConfig(**shape | {"data": flags.data, "out": str(out), "epochs": flags.epochs} | changes)
        rows[name] = figures(config, Recipe(digits, guidance=1.0, steps=flags.steps), judge)
    floor = judge.floor | {"told_apart": 0.5, "milliseconds": float("nan")}
    names = [name for name in next(iter(rows.values())) if not name.startswith("accuracy_of")]
    print("| " + " | ".join(["variant", *(name.replace("_", " ") for name in names)]) + " |")
    print("|" + " --- |" * (len(names) + 1))
    for name, row in (rows | {"real digits": floor}).items():
        print("| " + " | ".join([name, *(f"{row[figure]:.3f}" for figure in names)]) + " |")


def figures(config: TrainConfig, recipe: Recipe, judge: Judge) -> dict[str, float]:
    """Train where that is not done yet, and measure."""
    path = Path(config.out) / f"benchmark-{len(recipe.digits)}-{recipe.steps}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    print(config.out)
    trainer = Trainer(config)
    if (trainer.out / "state.pt").exists():
        trainer.resume()
    trainer.run()
    pipe = Pipeline(trainer.ema.model)
    drawn = draw(pipe, recipe)
    scores = {name: score["value"] for name, score in judge(drawn).items()}
    scores["told_apart"] = told_apart(torch.from_numpy(drawn), judge.others)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(scores, indent=2))
    return scores


if __name__ == "__main__":
    main()
