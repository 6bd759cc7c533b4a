"""Training: one frozen config, the averaged weights, and the run that turns noise-and-guess into a model.

A run is one folder. It gets config.json at once and, after each epoch, model.safetensors (the averaged weights),
digits-NNN.png (0-9 from one fixed noise), training.gif (all of those), loss.png, metrics.jsonl and state.pt.
"""

import copy
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from diffusion import checkpoint, checks, data, plot, render
from diffusion.cores import sharing
from diffusion.denoiser import LOSSES, Denoiser, DenoiserConfig, FewStep
from diffusion.distillation import Distillation, student_of
from diffusion.files import replacing, write_text
from diffusion.hardware import PRECISIONS, Team, matrix_rate, out_of_memory, quickest_precision
from diffusion.lock import locked
from diffusion.muon import Muon
from diffusion.pipeline import Pipeline
from diffusion.scheduler import T
from diffusion.unet import UNet, UNetConfig


def option(default: Any, help: str) -> Any:
    """A field of the config that is also a flag of the command line, with its help."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainConfig:
    """One run. Each field is a flag of train.py; the defaults are the recipe "best".

    Raises BadInput for a value that no run can have.
    """

    # from where to where
    dataset: str = option("mnist", f"what to learn to draw: {', '.join(data.DATASETS)}")
    data: str = option("data", "folder of the images, downloaded where they are missing")
    out: str = option("runs/mnist", "folder of the run; with another --dataset, runs/ and its name")
    # what
    recipe: str = option("best", "where other flags start: best, few-step, ddpm-cosine, ddpm-linear or flow")
    teacher: str = option(
        "", "train a student of few steps of these weights, and of their shape: a file, a folder, or user/repo"
    )
    init: str = option("", "weights to start from, not random ones: a file, a folder, or user/repo on the Hub")
    channels: tuple[int, ...] = option(UNetConfig.channels, "per level of the U-Net, each at half the size of the last")
    blocks: int = option(UNetConfig.blocks, "residual blocks per level")
    attention: tuple[int, ...] = option(UNetConfig.attention, "levels with self-attention, counted from 0")
    embedding: int = option(UNetConfig.embedding, "width of the embedding of time and label")
    stem: int = option(UNetConfig.stem, "patch size at the entrance: 1 computes at full size, 2 at half of it")
    schedule: str = option(DenoiserConfig.schedule, "linear, cosine or flow")
    prediction: str = option(DenoiserConfig.prediction, "eps, x0, v or flow")
    bounded: bool = option(DenoiserConfig.bounded, "clamp x0 to the range of pixels, in the loss too")
    # how
    epochs: int = option(12, "passes over the training images")
    batch_size: int = option(128, "images a step, over all devices together")
    optimizer: str = option("muon", "muon for the inner convolutions and adamw for the rest, or adamw for all")
    learning_rate: float = option(1e-3, "of AdamW, at its highest; of Muon four times that")
    warmup: int = option(500, "steps until it is reached")
    decay: str = option("cosine", "of the learning rate after that: cosine (to 0), exponential (to a tenth), constant")
    weight_decay: float = option(0.01, "of both, times the learning rate of each; AdamW with 0 is plain Adam")
    beta2: float = option(0.99, "of AdamW: how slowly it forgets the size of past gradients")
    clip: float = option(1.0, "largest norm of the gradient")
    ema: float = option(0.999, "decay of the averaged weights, which are what is kept; 0 keeps the last ones")
    label_dropout: float = option(0.1, "share of labels hidden, so that guidance has an unconditional half")
    level_spread: float = option(1.5, "training levels: logit-normal of this width, more in the middle; 0 is uniform")
    loss_of: str = option("prediction", "whose error the loss is: prediction, or the velocity (eps - x0) that it means")
    min_snr: float = option(0.0, "gamma of min-SNR weights for the loss of the prediction; 0: none")
    seed: int = option(0, "of weights, order and noise")
    # with what
    precision: str = option("auto", "bf16 or fp32; auto takes the quicker one")
    compile: bool = option(False, "compile the U-Net first: a minute of patience, and a C++ compiler on a CPU")

    def __post_init__(self) -> None:
        checks.choice("recipe", self.recipe, RECIPES)
        checks.choice("dataset", self.dataset, data.DATASETS)
        checks.whole("epochs", self.epochs, 1, 100_000)
        checks.whole("batch-size", self.batch_size, 1, 60_000)
        checks.choice("optimizer", self.optimizer, OPTIMIZERS)
        checks.number("learning-rate", self.learning_rate, 1e-9, 1)
        checks.whole("warmup", self.warmup, 0, 1_000_000)
        checks.choice("decay", self.decay, DECAYS)
        checks.number("weight-decay", self.weight_decay, 0, 10)
        checks.number("beta2", self.beta2, 0, 0.9999)
        checks.number("clip", self.clip, 1e-6, 1e6)
        checks.number("ema", self.ema, 0, 1)
        checks.number("label-dropout", self.label_dropout, 0, 0.99)
        checks.number("level-spread", self.level_spread, 0, 10)
        checks.choice("loss-of", self.loss_of, LOSSES)
        checks.number("min-snr", self.min_snr, 0, 1e6)
        checks.whole("seed", self.seed, 0, checks.MAX_SEED)
        checks.choice("precision", self.precision, ["auto", *PRECISIONS])
        if self.min_snr and self.loss_of != "prediction":
            raise checks.BadInput("--min-snr weighs the loss of the prediction: add --loss-of prediction.")
        if self.recipe == "few-step" and not self.teacher:
            raise checks.BadInput("The recipe few-step makes a student: name its --teacher, or leave that flag out.")
        if self.teacher and self.init:
            raise checks.BadInput("A student starts as its teacher: leave --init out.")
        level_spread = RECIPES[self.recipe].get("level_spread", TrainConfig.level_spread)
        if self.teacher and (self.min_snr or self.level_spread != level_spread):
            raise checks.BadInput(
                "A student learns jumps between fixed levels: leave --min-snr and --level-spread out."
            )
        self.denoiser()

    def denoiser(self) -> DenoiserConfig:
        """The model's part of this config, which checks itself."""
        images = data.DATASETS[self.dataset]
        unet = UNetConfig(
            self.channels,
            self.blocks,
            self.attention,
            self.embedding,
            self.stem,
            images.channels,
            images.size,
            len(images.names),
        )
        return DenoiserConfig(unet, self.schedule, self.prediction, self.bounded, images.names)


PLAIN: dict[str, Any] = {"bounded": False, "level_spread": 0.0, "optimizer": "adamw", "beta2": 0.999, "warmup": 0}
"""What the recipes of others have in common, as changes of the defaults."""

RECIPES: dict[str, dict[str, Any]] = {
    "best": {},
    "few-step": {"teacher": "bundled"}  # what ships in checkpoints/few-step.safetensors, after 12 epochs
    | {"loss_of": "velocity", "epochs": 6, "optimizer": "adamw", "learning_rate": 5e-4, "warmup": 100, "ema": 0.995},
    "ddpm-cosine": PLAIN
    | {"schedule": "cosine", "prediction": "eps", "epochs": 5}
    | {"channels": (64, 128, 256), "blocks": 2, "attention": (2,), "embedding": 128}
    | {"decay": "constant", "learning_rate": 2e-4, "weight_decay": 1e-4},
    "ddpm-linear": PLAIN
    | {"schedule": "linear", "prediction": "eps", "epochs": 10}
    | {"channels": (48, 96, 144), "blocks": 2, "attention": (2,), "embedding": 192}
    | {"decay": "constant", "weight_decay": 0.0},
    "flow": PLAIN
    | {"prediction": "flow", "epochs": 10}
    | {"channels": (64, 128), "blocks": 2, "attention": (1,), "embedding": 256}
    | {"decay": "exponential", "weight_decay": 0.0},
}
"""Training recipes by name: what each changes of the defaults. Flags on the command line change it further."""

OPTIMIZERS = ("muon", "adamw")
MUON_RATE = 4  # times AdamW's learning rate: after an epoch, 1 and 12 were worse

DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "exponential": lambda done: 0.1**done,
    "constant": lambda done: 1.0,
}
"""What is left of the learning rate when a share, 0 to 1, of the steps after the warm-up is done."""

SHAPE = ("channels", "blocks", "attention", "embedding", "stem")  # of the network: fields of both configs
MAY_CHANGE = ("data", "out", "teacher", "epochs", "compile")  # between a run and its resumption: see `Trainer.resume`


def learning_rate_factor(step: int, warmup: int, total: int, decay: str = "cosine") -> float:
    """Linear from 0 to 1 over the warm-up, then the decay until `total` steps."""
    if step < warmup:
        return (step + 1) / warmup
    return DECAYS[decay](min(1.0, (step - warmup) / max(1, total - warmup)))


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


def optimizers_of(unet: UNet, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """The optimizers of the config, each for its own part of the network.

    Muon takes the convolutions between the first and the last; AdamW takes these two, the embeddings, the norms and
    all else, or everything.
    """
    inside = [*unet.down.parameters(), *unet.middle.parameters(), *unet.up.parameters()]
    convolutions = [parameter for parameter in inside if config.optimizer == "muon" and parameter.ndim == 4]
    taken = set(convolutions)
    rest = [parameter for parameter in unet.parameters() if parameter not in taken]
    adamw = torch.optim.AdamW(
        rest,
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
        fused=rest[0].device.type == "cuda",
    )
    if not convolutions:
        return [adamw]
    return [adamw, Muon(convolutions, MUON_RATE * config.learning_rate, weight_decay=config.weight_decay)]


class Trainer:
    """One training run: the model and all that changes while it learns.

    Every process of a team draws the same order, levels and noise for the whole batch and works on its own share of
    it. So all of them always hold the same state, and a run may be resumed by a team of another size.
    """

    def __init__(self, config: TrainConfig, team: Team | None = None):
        self.config = config
        self.out = Path(config.out)
        self.team = team or Team.join()
        self.device = self.team.device
        self.precision = self.team.agree(
            quickest_precision(self.device) if config.precision == "auto" else config.precision
        )
        if not self.team.leads:
            self.team.wait()  # until the leading process has downloaded what was missing
        train, test = (data.load(config.dataset, config.data, train=part) for part in (True, False))
        if self.team.leads:
            self.team.wait()
        self.images, self.labels = (tensor.to(self.device) for tensor in train)
        self.held_out = test[0][:2000].to(self.device), test[1][:2000].to(self.device)
        if config.batch_size > len(self.images) or config.batch_size % self.team.size:
            raise checks.BadInput(
                f"A batch must be a multiple of the {self.team.size} process(es) and at most the {len(self.images):,} "
                f"images in {config.data}: choose another --batch-size than {config.batch_size:,}."
            )
        self.steps_per_epoch = len(self.images) // config.batch_size

        torch.manual_seed(config.seed)
        teacher = self.pretrained(config.teacher, "--teacher").to(self.device) if config.teacher else None
        self.teacher = checkpoint.fingerprint(checkpoint.find(config.teacher)) if teacher else ""
        self.denoiser = (student_of(teacher, FewStep()) if teacher else Denoiser(config.denoiser())).to(self.device)
        self.ema = EMA(self.denoiser, config.ema)
        self.objective = (
            Distillation(self.denoiser, self.ema.model, teacher, config.loss_of)
            if teacher
            else TrainingLoss(self.denoiser, config.level_spread, config.loss_of, config.min_snr)
        )
        self.flops = (3 + self.objective.evaluations) * flops(self.denoiser)  # forward, and twice that backward
        if config.compile:  # after the counting: compiling and FlopCounterMode do not go together
            self.denoiser.unet.compile()
        self.loss = DistributedDataParallel(self.objective) if self.team.size > 1 else self.objective
        self.optimizers = optimizers_of(self.denoiser.unet, config)
        total = config.epochs * self.steps_per_epoch
        self.decays = [
            torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: learning_rate_factor(step, config.warmup, total, config.decay)
            )
            for optimizer in self.optimizers
        ]
        self.random = torch.Generator(self.device).manual_seed(config.seed)
        self.epoch = 0  # epochs done
        self.step = 0  # steps done of the epoch under way
        self.order = torch.arange(len(self.images))  # of the images in that epoch
        self.total = torch.zeros((), device=self.device)  # of its losses
        self.history: list[dict[str, float]] = []
        self.stopping = False  # set from outside, by a signal
        self.stopped = False  # what the team made of that

    def start_from(self, source: str) -> None:
        """Begin with the weights of a trained model of the same shape: a file, a folder, or "user/repo" on the Hub.

        Where that model predicts something else, its last layer starts at zero again.
        """
        other = self.pretrained(source, "--init")
        if other.config.prediction != self.config.prediction:
            for parameter in other.unet.head[-1].parameters():
                nn.init.zeros_(parameter)
        self.denoiser.load_state_dict(other.state_dict())
        self.ema.model.load_state_dict(other.state_dict())

    def pretrained(self, source: str, flag: str) -> Denoiser:
        """The trained model that a flag names, or BadInput where it is none of this run's shape."""
        other = checkpoint.load(checkpoint.find(source))
        if other.config.few_step:
            raise checks.BadInput(f"{source} is a student of few steps itself: choose another {flag}.")
        theirs, mine = other.config, self.config.denoiser()
        of_images = ("image_channels", "image_size", "classes")
        if any(getattr(theirs.unet, name) != getattr(mine.unet, name) for name in of_images):
            raise checks.BadInput(f"{source} draws other images than {self.config.dataset}: choose another {flag}.")
        if flag == "--teacher" and theirs.names != mine.names:
            raise checks.BadInput(f"{source} draws other things than {self.config.dataset}: choose another {flag}.")
        wanted = like_teacher(other)
        others = [name for name, value in wanted.items() if getattr(self.config, name) != value]
        if flag == "--teacher" and others:
            raise checks.BadInput(
                f"A student is like its teacher, but {source} has another {others[0]}: choose another {flag}, or leave "
                f"--{others[0]} out."
            )
        if theirs.unet != mine.unet:
            flags = " ".join(
                f"--{name} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
                for name, value in wanted.items()
                if name in others and name in SHAPE
            )
            raise checks.BadInput(
                f"The network in {source} has another shape than this run's: choose another {flag}, or add {flags}."
            )
        return other

    def run(self) -> None:
        """Train until the last epoch, or until `stopping` is set: then to the end of the step, and save."""
        rate = matrix_rate(self.device, self.precision)
        while self.epoch < self.config.epochs and not self.must_stop():
            started, first = time.perf_counter(), self.step
            loss = self.train_epoch()
            seconds = time.perf_counter() - started
            if self.step < self.steps_per_epoch:
                break
            held_out_loss = self.held_out_loss()
            if not math.isfinite(held_out_loss):  # the last update went wrong: keep the last good checkpoint
                raise self.diverged(self.epoch + 1)
            self.epoch, self.step = self.epoch + 1, 0
            images_per_second = (self.steps_per_epoch - first) * self.config.batch_size / seconds
            self.history.append(
                {
                    "epoch": self.epoch,
                    "loss": loss,
                    "held_out_loss": held_out_loss,
                    "learning_rate": float(self.decays[0].get_last_lr()[0]),
                    "images_per_second": images_per_second,
                    "share_of_matrix_rate": images_per_second * self.flops / self.team.size / rate,
                    "seconds": seconds,
                }
            )
            if self.team.leads:
                self.report()
            self.save()
        if self.stopped:
            if not all(parameter.isfinite().all() for parameter in self.ema.model.parameters()):
                raise self.diverged(self.epoch + 1)
            self.save()

    def diverged(self, epoch: int) -> checks.BadInput:
        kept = f" The checkpoint of epoch {self.epoch} is in {self.out}." if self.epoch else ""
        return checks.BadInput(f"The loss is no longer finite in epoch {epoch}: try a lower --learning-rate.{kept}")

    def train_epoch(self) -> float:
        """The rest of one pass over the data, in its own fresh order; returns the mean loss so far.

        Raises BadInput where that is no number any more.
        """
        batch = self.config.batch_size
        if self.step == 0:
            self.order = torch.randperm(len(self.images), generator=self.random, device=self.device)
            self.total.zero_()
        name = f"epoch {self.epoch + 1}/{self.config.epochs}"
        self.denoiser.train()
        looked = time.perf_counter()
        with tqdm(
            desc=name, initial=self.step, total=self.steps_per_epoch, unit="step", disable=not self.team.leads
        ) as bar:
            while True:
                chosen = self.order[self.step * batch : (self.step + 1) * batch]
                with sharing.step():
                    self.total += self.train_step(data.to_float(self.images[chosen]), self.labels[chosen])
                self.step += 1
                bar.update()
                if time.perf_counter() - looked > 1:  # seldom: reading the loss waits for the device
                    looked = time.perf_counter()
                    loss = self.total.item() / self.step
                    self.stopping |= not math.isfinite(loss)  # of the whole team, at the same step
                    bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if self.step == self.steps_per_epoch or self.must_stop():
                    break
        self.total = self.team.mean(self.total)
        loss = self.total.item() / self.step
        if not math.isfinite(loss):
            raise self.diverged(self.epoch + 1)
        return loss

    def must_stop(self) -> bool:
        """Whether to stop before the next step. A team must stop at the same one, so it asks around.

        Asking waits for a GPU, so there it is done now and then; the steps of a CPU are long, and torchrun's patience
        is not.
        """
        if self.team.size == 1 or self.device.type == "cpu" or self.step % 20 == 0:
            self.stopped = self.team.any(self.stopping)
        return self.stopped

    def train_step(self, x0: Tensor, labels: Tensor) -> Tensor:
        """One update on clean images (B, C, H, W) and labels (B,); returns the loss, a scalar still on the device."""
        hidden = torch.rand(len(labels), generator=self.random, device=self.device) < self.config.label_dropout
        labels = labels.masked_fill(hidden, self.denoiser.config.unet.null_label)
        parts = [self.team.share(part) for part in (x0, labels, *self.objective.draw(x0, self.random))]
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.loss(*parts)
        loss.backward()
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), self.config.clip)
        for optimizer, decay in zip(self.optimizers, self.decays, strict=True):
            optimizer.step()
            decay.step()
        self.denoiser.zero_grad()
        self.ema.update(self.denoiser)
        return loss.detach()

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The averaged weights' loss on images that training never sees, with the same noise every time."""
        images, labels = self.held_out
        random = torch.Generator(self.device).manual_seed(0)
        total = 0.0
        for part, part_labels in zip(images.split(500), labels.split(500), strict=True):
            with sharing.step():
                x0 = data.to_float(part)
                drawn = self.objective.draw(x0, random)
                total += self.objective.of(self.ema.model, x0, part_labels, *drawn).item() * len(x0)
        return total / len(images)

    def report(self) -> None:
        """A line of figures, the epoch's grid of digits, their evolution, the loss curve and the metrics."""
        last = self.history[-1]
        print(
            f"loss {last['loss']:.4f}, held out {last['held_out_loss']:.4f}, "
            f"{last['images_per_second']:,.0f} images/s, "
            f"{last['share_of_matrix_rate']:.0%} of the matrix rate in {self.precision}"
        )
        classes = list(range(self.denoiser.config.unet.classes))
        drawn = Pipeline(self.ema.model)(classes * 5, seed=0)
        picture = render.grid(drawn.images, len(classes), scale=2)
        render.save_png(self.out / f"digits-{self.epoch:03}.png", picture, drawn.recipe.to_json())
        kept = np.linspace(1, self.epoch, min(self.epoch, render.FRAMES)).round().astype(int)
        epochs = [path for k in kept if (path := self.out / f"digits-{k:03}.png").exists()]
        if len(epochs) > 1:
            render.save_gif(self.out / "training.gif", [np.asarray(Image.open(path)) for path in epochs])
        names = {"images it trains on": "loss", "held-out images": "held_out_loss"}
        curves = {name: [(entry["epoch"], entry[key]) for entry in self.history] for name, key in names.items()}
        render.save_png(self.out / "loss.png", plot.lines(curves, x="epoch", y="loss", log="y"))
        write_text(self.out / "metrics.jsonl", "".join(json.dumps(entry) + "\n" for entry in self.history))

    def save(self) -> None:
        """The averaged weights, to draw with, and the whole state, to go on with."""
        if not self.team.leads:
            return
        state = {
            "config": asdict(self.config),
            "precision": self.precision,
            "device": self.device.type,
            "teacher": self.teacher,
            "denoiser": self.denoiser.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "decays": [decay.state_dict() for decay in self.decays],
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

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state that was saved (`saved_state`), to the weights of an uninterrupted run.

        With more epochs than the run began with, the learning rate goes on along the longer curve.
        """
        try:
            if state["device"] != self.device.type:  # the random numbers would be others
                raise checks.BadInput(f"The run in {self.out} was begun on a {state['device']}: resume it on one.")
            if len(state["order"]) != len(self.images):
                raise checks.BadInput(
                    f"{self.config.data} holds other images than this run began with: name its --data."
                )
            theirs = state["teacher"]
            if theirs != self.teacher:
                raise checks.BadInput(
                    f"The run in {self.out} learns from the weights {theirs}, and {self.config.teacher} is "
                    f"{self.teacher}: name its own --teacher."
                    if theirs
                    else f"The run in {self.out} has no teacher: leave --teacher out."
                )
            self.precision = state["precision"]
            self.denoiser.load_state_dict(state["denoiser"])
            self.ema.load_state_dict(state["ema"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            for decay, saved in zip(self.decays, state["decays"], strict=True):
                decay.load_state_dict(saved)
                [rate], [factor], [group] = decay.base_lrs, decay.lr_lambdas, decay.optimizer.param_groups
                group["lr"] = rate * factor(decay.last_epoch)  # of this run's curve, which may be longer
            self.random.set_state(state["random"])
            self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
            self.order, self.total = state["order"].to(self.device), state["total"].to(self.device)
        except checks.BadInput:
            raise
        except Exception as error:  # a damaged file fails in many ways
            raise error if out_of_memory(error) else _damaged(self.config) from None


class TrainingLoss(nn.Module):
    """The denoiser's loss as a module's forward, which is what DistributedDataParallel wraps."""

    evaluations = 0  # of other networks, an image

    def __init__(self, denoiser: Denoiser, level_spread: float, loss_of: str, min_snr: float):
        super().__init__()
        self.denoiser = denoiser
        self.level_spread = level_spread
        self.loss_of = loss_of
        self.min_snr = min_snr

    def draw(self, x0: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """A random level and noise for each image (B, C, H, W).

        Logit-normal levels are those of Esser et al. 2024, https://arxiv.org/abs/2403.03206, section 3.1.
        """
        if self.level_spread:
            t = torch.sigmoid(self.level_spread * torch.randn(len(x0), generator=random, device=x0.device))
        else:
            t = torch.rand(len(x0), generator=random, device=x0.device)
        eps = torch.randn(x0.shape, generator=random, device=x0.device)
        return (t * T).long().clamp(max=T - 1), eps

    def forward(self, *parts: Tensor) -> Tensor:
        return self.of(self.denoiser, *parts)

    def of(self, model: Denoiser, x0: Tensor, labels: Tensor, levels: Tensor, eps: Tensor) -> Tensor:
        """The loss of the denoiser, or its average, on clean images and what `draw` drew for them: a scalar."""
        return model.loss(x0, labels, levels, eps, loss_of=self.loss_of, min_snr=self.min_snr)


def flops(denoiser: Denoiser) -> int:
    """The arithmetic operations of one evaluation for one image."""
    unet = denoiser.config.unet
    x = next(denoiser.parameters()).new_zeros(1, unet.image_channels, unet.image_size, unet.image_size)
    zero = torch.zeros(1, dtype=torch.int64, device=x.device)
    # Attention as plain matrix products: PyTorch 2.14, for one, does not count the fused kernel of a CPU.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        denoiser.guess(x, zero, zero, *([zero] * 2 if denoiser.config.few_step else []))
    return counter.get_total_flops()


def like_teacher(teacher: Denoiser) -> dict[str, Any]:
    """What a student has from its teacher: fields of its TrainConfig by name."""
    config = teacher.config
    shape = {name: getattr(config.unet, name) for name in SHAPE}
    return shape | {"schedule": config.schedule, "prediction": config.prediction, "bounded": config.bounded}


def alone(config: TrainConfig) -> AbstractContextManager[None]:
    """To train in the config's folder while no other process does: BadInput, at once, where one is at it."""
    busy = f"{config.out} holds a run already, which is under way: wait for its end, or choose another --out."
    return locked(Path(config.out) / "state.pt", busy)


def prepare(config: TrainConfig) -> None:
    """Write a new run's config into its folder; BadInput, before any training, where that cannot be."""
    out = Path(config.out)
    if (out / "state.pt").exists():
        raise checks.BadInput(f"{out} holds a run already: add --resume, or choose another --out.")
    if (out / checkpoint.WEIGHTS).exists():
        raise checks.BadInput(f"{out} holds weights already: choose another --out.")
    write_config(config)


def write_config(config: TrainConfig) -> None:
    """Keep a run's config in its folder, as JSON."""
    write_text(Path(config.out) / "config.json", json.dumps(asdict(config), indent=2))


def saved_config(out: str | Path) -> dict[str, Any]:
    """The config of the run in a folder, as its fields by name, or BadInput."""
    path = Path(out) / "config.json"
    try:
        fields = json.loads(path.read_text())
        if not isinstance(fields, dict):
            raise ValueError
        if set(fields) != set(TrainConfig.__dataclass_fields__):
            raise checks.BadInput(f"{path} is of another version of this project: start a new run in another --out.")
        return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    except checks.BadInput:
        raise
    except FileNotFoundError:
        raise checks.BadInput(f"There is no run to resume in {out}: leave --resume out.") from None
    except (ValueError, TypeError, AttributeError, OSError):
        raise checks.BadInput(f"{path} is damaged: start again in another --out.") from None


def saved_state(config: TrainConfig) -> dict[str, Any]:
    """The state of the run in the config's folder, or BadInput where there is none, or one of another config."""
    try:
        state: dict[str, Any] = torch.load(Path(config.out) / "state.pt", map_location="cpu", weights_only=True)
        saved, mine = _plain(state["config"]), _plain(asdict(config))
        other = [name for name, value in saved.items() if name not in MAY_CHANGE and mine.get(name) != value]
    except FileNotFoundError:
        raise checks.BadInput(f"There is no run to resume in {config.out}: leave --resume out.") from None
    except Exception as error:  # a damaged file fails in many ways
        unread = isinstance(error, OSError) or out_of_memory(error)
        raise error if unread else _damaged(config) from None
    if other:
        raise checks.BadInput(
            f"The run in {config.out} has another {' and '.join(other[:3])}: resume it with --resume alone."
        )
    return state


def _damaged(config: TrainConfig) -> checks.BadInput:
    return checks.BadInput(f"{Path(config.out) / 'state.pt'} is damaged: start again in another --out.")


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The config as JSON would give it back: lists for tuples."""
    return dict(json.loads(json.dumps(config)))
