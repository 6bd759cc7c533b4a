"""The folder of a run: what is written to it, and read back to go on.

It gets config.json at once and, after each epoch, model.safetensors (the averaged weights; average-LENGTH.safetensors
are others to choose from), state.pt (all that it takes to go on), digits-NNN.png (every class from one fixed noise),
training.gif (all of those), loss.png and metrics.jsonl. The course's networks have
further figures: see course.py.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diffusion import checkpoint, checks
from diffusion.denoiser import Denoiser
from diffusion.files import plot, render
from diffusion.files.atomic import replacing, write_text
from diffusion.files.lock import locked
from diffusion.hardware import out_of_memory
from diffusion.networks.course import CourseConfig
from diffusion.pipeline import Pipeline
from diffusion.training.config import SETTINGS, TrainConfig

MAY_CHANGE = ("data", "out", "teacher", "epochs", "compile")  # between a run and its resumption: see trainer.py
SINCE = ("network", "width", "condition", "level", "style", "black", "style_dropout", "averages")  # not in older runs


def alone(config: TrainConfig) -> AbstractContextManager[None]:
    """To train in the config's folder while no other process does: BadInput, at once, where one is at it."""
    busy = f"{config.out} holds a run already, which is under way: wait for its end, or choose another out folder."
    return locked(Path(config.out) / "state.pt", busy)


def prepare(config: TrainConfig) -> None:
    """Write a new run's config into its folder; BadInput, before any training, where that cannot be."""
    out = Path(config.out)
    if (out / "state.pt").exists():
        raise checks.BadInput(f"{out} holds a run already: resume it, or choose another out folder.")
    if (out / checkpoint.WEIGHTS).exists():
        raise checks.BadInput(f"{out} holds weights already: choose another out folder.")
    write_config(config)


def write_config(config: TrainConfig) -> None:
    """Keep a run's config in its folder, as JSON."""
    write_text(Path(config.out) / "config.json", json.dumps(asdict(config), indent=2))


def saved_config(out: str | Path) -> dict[str, Any]:
    """The config of the run in a folder, as its fields by name, or BadInput."""
    path = Path(out) / "config.json"
    try:
        fields = _completed(dict(json.loads(path.read_bytes())))
        if set(fields) != set(TrainConfig.__dataclass_fields__):
            raise checks.BadInput(
                f"{path} is of another version of this project: start a new run in another out folder."
            )
        return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    except checks.BadInput:
        raise
    except FileNotFoundError:
        raise checks.BadInput(f"There is no run to resume in {out}: begin one first.") from None
    except (ValueError, TypeError, AttributeError, OSError):
        raise checks.BadInput(f"{path} is damaged: start again in another out folder.") from None


def saved_state(config: TrainConfig) -> dict[str, Any]:
    """The state of the run in the config's folder, or BadInput where there is none, or one of another config."""
    try:
        state: dict[str, Any] = torch.load(Path(config.out) / "state.pt", map_location="cpu", weights_only=True)
        state.setdefault("losses", [])  # it was begun before they were kept
        if "averages" not in state["config"]:  # it was begun before there were any
            state["averages"] = []
        saved, mine = _plain(_completed(state["config"])), _plain(asdict(config))
        other = [name for name, value in saved.items() if name not in MAY_CHANGE and mine.get(name) != value]
    except FileNotFoundError:
        raise checks.BadInput(f"There is no run to resume in {config.out}: begin one first.") from None
    except Exception as error:  # a damaged file fails in many ways
        unread = isinstance(error, OSError) or out_of_memory(error)
        raise error if unread else damaged(config) from None
    if other:
        raise checks.BadInput(
            f"The run in {config.out} has another {' and '.join(other[:3])}: resume it with its own settings."
        )
    return state


def save(out: Path, model: Denoiser, state: dict[str, Any], averages: Mapping[float, Denoiser]) -> None:
    """Write the averaged weights, to draw with, others of other lengths, and the whole state, to go on with."""
    checkpoint.save(model, out / checkpoint.WEIGHTS)
    for length, average in averages.items():
        checkpoint.save(average, out / f"average-{length:g}.safetensors")
    with replacing(out / "state.pt") as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # a full disk
            raise OSError(str(error).splitlines()[0]) from None


def show(out: Path, model: Denoiser, history: Sequence[dict[str, float]]) -> None:
    """Write what an epoch came to: a grid of every class, its evolution so far, the loss curve and the metrics."""
    epoch = len(history)
    if model.offer.level is None:  # where it is one, there is nothing but a guess from there
        classes, course = list(range(len(model.offer.names))), isinstance(model.config.unet, CourseConfig)
        labels = classes * (4 if course else 5) if model.offer.knows_labels else [0] * 40
        drawn = Pipeline(model)(labels, seed=0)
        picture = render.grid(drawn.images, len(classes) if model.offer.knows_labels else 10, scale=2)
        render.save_png(out / f"digits-{epoch:03}.png", picture, drawn.recipe.to_json())
    kept = np.linspace(1, epoch, min(epoch, render.FRAMES)).round().astype(int)
    epochs = [path for k in kept if (path := out / f"digits-{k:03}.png").exists()]
    if len(epochs) > 1:
        render.save_gif(out / "training.gif", [np.asarray(Image.open(path)) for path in epochs])
    render.save_png(out / "loss.png", losses(history))
    write_text(out / "metrics.jsonl", "".join(json.dumps(entry) + "\n" for entry in history))


def losses(history: Sequence[dict[str, float]]) -> np.ndarray:
    """The plot of the loss over the epochs, each an entry of metrics.jsonl: uint8 (H, W, 3)."""
    names = {"images it trains on": "loss", "held-out images": "held_out_loss"}
    curves = {name: [(entry["epoch"], entry[key]) for entry in history] for name, key in names.items()}
    return plot.lines(curves, x="epoch", y="loss", log="y", layout=plot.NARROW)


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """A saved config with today's names and settings: presets were recipes once, with one network and no styles."""
    renamed = {"preset" if name == "recipe" else name: value for name, value in config.items()}
    since = {name: SETTINGS[name].default for name in SINCE}
    return since | renamed


def damaged(config: TrainConfig) -> checks.BadInput:
    """What to say of a state that cannot be read."""
    return checks.BadInput(f"{Path(config.out) / 'state.pt'} is damaged: start again in another out folder.")


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The config as JSON would give it back: lists for tuples."""
    return dict(json.loads(json.dumps(config)))
