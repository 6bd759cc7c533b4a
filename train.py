"""Train a class-conditional diffusion model of MNIST.

    python train.py                                   # downloads MNIST to data/, trains, writes runs/mnist/
    python train.py --epochs 1 --out runs/try         # four minutes on two CPU cores, less on a GPU
    python train.py --schedule cosine --prediction eps --no-bounded --channels 64,128,256 --attention 2 --stem 1
    python train.py --resume                          # continues the run in runs/mnist/
    python train.py --push-to-hub user/repo           # uploads the weights when training ends

The run's folder gets config.json at once and, after each epoch, model.safetensors (the averaged weights),
digits-NNN.png (0-9 from one fixed noise), loss.png, metrics.jsonl and state.pt (for --resume). Look at what it learned:

    python -m diffusion sample --weights runs/mnist --out digits.png
"""

import argparse
import copy
import json
import math
import signal
import sys
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from diffusion import Pipeline, checkpoint, checks, data, render
from diffusion.denoiser import Denoiser, DenoiserConfig
from diffusion.files import replacing
from diffusion.scheduler import T
from diffusion.unet import UNetConfig


def option(default: Any, help: str) -> Any:
    """A field of the config that is also a flag of the command line, with its help."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainConfig:
    """One run. Each field is a flag of the command line."""

    # where
    data: str = option("data", "folder of MNIST, downloaded where it is missing")
    out: str = option("runs/mnist", "folder of the run")
    # what
    channels: tuple[int, ...] = option(UNetConfig.channels, "per level of the U-Net, each at half the size of the last")
    blocks: int = option(UNetConfig.blocks, "residual blocks per level")
    attention: tuple[int, ...] = option(UNetConfig.attention, "levels with self-attention, counted from 0")
    embedding: int = option(UNetConfig.embedding, "width of the embedding of time and label")
    stem: int = option(UNetConfig.stem, "patch size at the entrance: 1 computes at full size, 2 is four times quicker")
    schedule: str = option(DenoiserConfig.schedule, "linear, cosine or flow")
    prediction: str = option(DenoiserConfig.prediction, "eps, x0, v or flow")
    bounded: bool = option(DenoiserConfig.bounded, "clamp x0 to the range of pixels, in the loss too")
    # how
    epochs: int = option(12, "passes over the training digits")
    batch_size: int = option(128, "digits a step")
    learning_rate: float = option(1e-3, "of AdamW, at its highest")
    warmup: int = option(500, "steps until it is reached; from there it decays to 0 along a cosine")
    weight_decay: float = option(0.01, "of AdamW")
    clip: float = option(1.0, "largest norm of the gradient")
    ema: float = option(0.999, "decay of the averaged weights, which are what is kept")
    label_dropout: float = option(0.1, "share of labels hidden, so that guidance has an unconditional half")
    level_spread: float = option(1.5, "training levels: logit-normal of this width, more in the middle; 0 is uniform")
    seed: int = option(0, "of weights, order and noise")

    def __post_init__(self) -> None:
        checks.whole("epochs", self.epochs, 1, 100_000)
        checks.whole("batch-size", self.batch_size, 1, 60_000)
        checks.number("learning-rate", self.learning_rate, 1e-9, 1)
        checks.whole("warmup", self.warmup, 0, 1_000_000)
        checks.number("weight-decay", self.weight_decay, 0, 10)
        checks.number("clip", self.clip, 1e-6, 1e6)
        checks.number("ema", self.ema, 0, 1)
        checks.number("label-dropout", self.label_dropout, 0, 0.99)
        checks.number("level-spread", self.level_spread, 0, 10)
        checks.whole("seed", self.seed, 0, checks.MAX_SEED)
        self.denoiser()

    def denoiser(self) -> DenoiserConfig:
        """The model's part of this config, which checks itself."""
        unet = UNetConfig(self.channels, self.blocks, self.attention, self.embedding, self.stem)
        return DenoiserConfig(unet, self.schedule, self.prediction, self.bounded)


class EMA:
    """An exponential moving average of a model: parameters are averaged, buffers copied.

    The decay warms up, min(decay, (1 + n) / (10 + n)) after n updates, so that the random start is soon forgotten.
    """

    def __init__(self, model: Denoiser, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averaged: list[Tensor] = list(self.model.parameters())
        current = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(averaged, current, 1 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.updates = state["updates"]


class Trainer:
    """One training run: the model and all that changes while it learns."""

    def __init__(self, config: TrainConfig):
        self.config = config
        self.out = Path(config.out)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.images, self.labels = (t.to(self.device) for t in data.mnist(config.data, train=True))
        self.held_out = tuple(t[:2000].to(self.device) for t in data.mnist(config.data, train=False))
        self.steps_per_epoch = max(1, len(self.images) // config.batch_size)

        torch.manual_seed(config.seed)
        self.denoiser = Denoiser(config.denoiser()).to(self.device)
        self.ema = EMA(self.denoiser, config.ema)
        self.optimizer = torch.optim.AdamW(
            self.denoiser.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda",
        )
        total = config.epochs * self.steps_per_epoch
        self.decay = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor(step, config.warmup, total)
        )
        self.random = torch.Generator(self.device).manual_seed(config.seed)
        self.epoch = 0  # epochs done
        self.step = 0  # steps done of the epoch under way
        self.order = torch.arange(len(self.images))  # of the digits in that epoch
        self.total = torch.zeros((), device=self.device)  # of its losses
        self.history: list[dict[str, float]] = []
        self.stopping = False

    def run(self) -> None:
        """Train until the last epoch, or until `stopping` is set: then to the end of the step, and save."""
        while self.epoch < self.config.epochs and not self.stopping:
            started, first = time.perf_counter(), self.step
            loss = self.train_epoch()
            seconds = time.perf_counter() - started
            held_out_loss = self.held_out_loss()
            if not math.isfinite(held_out_loss):  # the last update went wrong: keep the last good checkpoint
                raise self.diverged(self.epoch + 1)
            if self.step < self.steps_per_epoch:
                self.save()
                return
            self.epoch, self.step = self.epoch + 1, 0
            self.history.append(
                {
                    "epoch": self.epoch,
                    "loss": loss,
                    "held_out_loss": held_out_loss,
                    "learning_rate": float(self.decay.get_last_lr()[0]),
                    "images_per_second": (self.steps_per_epoch - first) * self.config.batch_size / seconds,
                    "seconds": seconds,
                }
            )
            self.report()
            self.save()

    def diverged(self, epoch: int) -> checks.BadInput:
        kept = f" The checkpoint of epoch {self.epoch} is in {self.out}." if self.epoch else ""
        return checks.BadInput(f"The loss is no longer finite in epoch {epoch}: try a lower --learning-rate.{kept}")

    def train_epoch(self) -> float:
        """The rest of one pass over the data, in its own fresh order; returns the mean loss so far."""
        batch = self.config.batch_size
        if self.step == 0:
            self.order = torch.randperm(len(self.images), generator=self.random, device=self.device)
            self.total.zero_()
        name = f"epoch {self.epoch + 1}/{self.config.epochs}"
        self.denoiser.train()
        with tqdm(desc=name, initial=self.step, total=self.steps_per_epoch, unit="step") as bar:
            while self.step < self.steps_per_epoch and not self.stopping:
                chosen = self.order[self.step * batch : (self.step + 1) * batch]
                self.total += self.train_step(data.to_float(self.images[chosen]), self.labels[chosen])
                self.step += 1
                bar.update()
                if self.step % 20 == 0 or self.step == self.steps_per_epoch:  # reading the loss waits for the device
                    bar.set_postfix(loss=f"{self.mean_loss():.4f}", refresh=False)
        return self.mean_loss()

    def mean_loss(self) -> float:
        """The mean loss of the epoch so far; BadInput where it is no number any more."""
        loss = self.total.item() / max(1, self.step)
        if not math.isfinite(loss):
            raise self.diverged(self.epoch + 1)
        return loss

    def train_step(self, x0: Tensor, labels: Tensor) -> Tensor:
        """One update on clean images (B, C, H, W) and labels (B,); returns the loss, a scalar still on the device."""
        hidden = torch.rand(len(labels), generator=self.random, device=self.device) < self.config.label_dropout
        labels = labels.masked_fill(hidden, self.denoiser.config.unet.null_label)
        levels, eps = self.draw(x0, self.random)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss = self.denoiser.loss(x0, labels, levels, eps)
        loss.backward()
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), self.config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.decay.step()
        self.ema.update(self.denoiser)
        return loss.detach()

    def draw(self, x0: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """A random level and noise for each image.

        Logit-normal levels are those of Esser et al. 2024, https://arxiv.org/abs/2403.03206, section 3.1.
        """
        if self.config.level_spread:
            normal = torch.randn(len(x0), generator=random, device=self.device)
            t = torch.sigmoid(self.config.level_spread * normal)
        else:
            t = torch.rand(len(x0), generator=random, device=self.device)
        eps = torch.randn(x0.shape, generator=random, device=self.device)
        return (t * T).long().clamp(max=T - 1), eps

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The averaged weights' loss on digits that training never sees, with the same noise every time."""
        images, labels = self.held_out
        random = torch.Generator(self.device).manual_seed(0)
        total = 0.0
        for part, part_labels in zip(images.split(500), labels.split(500), strict=True):
            x0 = data.to_float(part)
            levels, eps = self.draw(x0, random)
            total += self.ema.model.loss(x0, part_labels, levels, eps).item() * len(x0)
        return total / len(images)

    def report(self) -> None:
        """The epoch's grid of digits, the loss curve and the metrics line."""
        drawn = Pipeline(self.ema.model)(list(range(10)) * 5, seed=0)
        drawn.save(self.out / f"digits-{self.epoch:03}.png")
        curves = {name: [entry[name] for entry in self.history] for name in ("loss", "held_out_loss")}
        render.save_png(self.out / "loss.png", render.curves(curves, "epoch"))
        with replacing(self.out / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in self.history))

    def save(self) -> None:
        """The averaged weights, to draw with, and the whole state, to go on with."""
        state = {
            "config": asdict(self.config),
            "denoiser": self.denoiser.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "decay": self.decay.state_dict(),
            "random": self.random.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "order": self.order,
            "total": self.total,
            "history": self.history,
        }
        checkpoint.save(self.ema.model, self.out / checkpoint.WEIGHTS)
        with replacing(self.out / "state.pt") as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # a full disk
                raise OSError(str(error).splitlines()[0]) from None

    def resume(self) -> None:
        """Go on from the state in the run's folder."""
        path = self.out / "state.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            saved = json.loads(json.dumps(state["config"]))
            mine = json.loads(json.dumps(asdict(self.config)))
            other = [name for name, value in saved.items() if name not in ("data", "out") and mine.get(name) != value]
            if other:
                raise checks.BadInput(
                    f"The run in {self.out} has another {' and '.join(other)}: resume it with the same flags."
                )
            self.denoiser.load_state_dict(state["denoiser"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.decay.load_state_dict(state["decay"])
            self.random.set_state(state["random"])
            self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
            self.order, self.total = state["order"].to(self.device), state["total"].to(self.device)
        except FileNotFoundError:
            raise checks.BadInput(f"There is no run to resume in {self.out}: leave --resume out.") from None
        except checks.BadInput:
            raise
        except Exception:  # a damaged file fails in many ways
            raise checks.BadInput(f"{path} is damaged: start the run again without --resume.") from None


def prepare(config: TrainConfig) -> None:
    """Write a new run's config into its folder; BadInput, before any training, where that cannot be."""
    out = Path(config.out)
    if (out / "state.pt").exists():
        raise checks.BadInput(f"{out} holds a run already: add --resume, or choose another --out.")
    with replacing(out / "config.json") as temporary:
        temporary.write_text(json.dumps(asdict(config), indent=2))


def learning_rate_factor(step: int, warmup: int, total: int) -> float:
    """Linear from 0 to 1 over the warm-up, then half a cosine down to 0 at `total` steps."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def parse(arguments: list[str] | None = None) -> tuple[TrainConfig, argparse.Namespace]:
    """The config and the other flags of a command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in fields(TrainConfig):
        default: Any = option.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        how: dict[str, Any] = {"type": _whole_numbers if isinstance(default, tuple) else type(default)}
        how["metavar"] = "N,N" if isinstance(default, tuple) else how["type"].__name__.upper()
        if isinstance(default, bool):
            how = {"action": argparse.BooleanOptionalAction}
        flag = f"--{option.name.replace('_', '-')}"
        parser.add_argument(flag, default=default, help=f"{option.metadata['help']} (default: {shown})", **how)
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--push-to-hub", metavar="USER/REPO", help="upload the weights and a model card at the end")
    flags = parser.parse_args(arguments)
    if flags.push_to_hub:
        checkpoint.check_repo(flags.push_to_hub)  # before the training, not after
    return TrainConfig(**{option.name: getattr(flags, option.name) for option in fields(TrainConfig)}), flags


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no list of whole numbers like 48,96") from None


def main(arguments: list[str] | None = None) -> None:
    try:
        config, flags = parse(arguments)
        if not flags.resume:
            prepare(config)
        trainer = Trainer(config)
        if flags.resume:
            trainer.resume()

        def stop(*_: Any) -> None:
            trainer.stopping = True

        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, stop)
        parameters = sum(p.numel() for p in trainer.denoiser.parameters())
        print(f"{parameters:,} parameters on {trainer.device}, {len(trainer.images):,} digits -> {trainer.out}")
        trainer.run()
        if trainer.stopping and trainer.epoch < config.epochs:
            sys.exit(f"Stopped and saved in {trainer.out}: go on with --resume.")
        if flags.push_to_hub:
            print(checkpoint.push(trainer.out, flags.push_to_hub))
    except checks.BadInput as error:
        sys.exit(f"train.py: {error}")


if __name__ == "__main__":
    main()
