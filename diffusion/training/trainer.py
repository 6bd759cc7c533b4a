"""A training run: it turns noise and guesses into a model, epoch by epoch, in a folder of its own (folder.py).

It is one class, and so this file is longer than others: all that changes in a run is what a resumed run must restore.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from diffusion import checkpoint, checks, data, strokes, style
from diffusion.config import FewStep
from diffusion.cores import sharing
from diffusion.denoiser import Denoiser
from diffusion.hardware import matrix_rate, out_of_memory, quickest_precision
from diffusion.precision import flops
from diffusion.team import Team
from diffusion.training import course, folder
from diffusion.training.config import TrainConfig
from diffusion.training.distillation import Distillation, student_of
from diffusion.training.losses import TrainingLoss
from diffusion.training.optimizers import EMA, PowerEMA, learning_rate_factor, optimizers_of
from diffusion.training.pretrained import pretrained


class Trainer:
    """One training run: the model and all that changes while it learns.

    Every process of a team draws the same order, levels and noise for the whole batch and works on its own share of
    it. So all of them always hold the same state, and a run may be resumed by a team of another size.
    """

    def __init__(self, config: TrainConfig, team: Team | None = None, *, progress: bool = False):
        self.config = config
        self.progress = progress  # whether to show a bar for each epoch
        self.out = Path(config.out)
        self.team = team or Team.join()
        self.device = self.team.device
        self.precision = self.team.agree(
            quickest_precision(self.device) if config.precision == "auto" else config.precision
        )
        self._load_images()
        torch.manual_seed(config.seed)
        self._make_model()
        self._make_optimizers()
        self.random = torch.Generator(self.device).manual_seed(config.seed)
        self.epoch = 0  # epochs done
        self.step = 0  # steps done of the epoch under way
        self.order = torch.arange(len(self.images), device="cpu")  # of the images in that epoch
        self.total = torch.zeros((), device=self.device, dtype=torch.float32)  # of its losses
        self.history: list[dict[str, float]] = []
        self.losses: list[float] = []  # of every step
        self.stopping = False  # set from outside, by a signal
        self.stopped = False  # what the team made of that

    def _load_images(self) -> None:
        """The images to train on, and the held-out ones, on the device. Raises BadInput where no batch fits them."""
        config = self.config
        if not self.team.leads:
            self.team.wait()  # until the leading process has downloaded what was missing
        train, test = (data.load(config.dataset, config.data, train=part) for part in (True, False))
        images, labels = train
        held_out = test[0][:2000], test[1][:2000]
        self.styles: style.Styles | None = None
        if config.style:  # measured by the leading process, which keeps them for the others
            known = strokes.kept(images, Path(config.data) / f"{config.dataset}-train-style.npz")
            self.styles = style.Styles.of(known, labels, len(data.DATASETS[config.dataset].names))
            labels = style.conditions(labels, known)
            held_out = held_out[0], style.conditions(held_out[1], strokes.measured(held_out[0]))
        if self.team.leads:
            self.team.wait()
        self.images, self.conditions = images.to(self.device), labels.to(self.device)
        self.held_out = held_out[0].to(self.device), held_out[1].to(self.device)
        if config.batch_size > len(self.images) or config.batch_size % self.team.size:
            raise checks.BadInput(
                f"A batch must be a multiple of the {self.team.size} process(es) and at most the {len(self.images):,} "
                f"images in {config.data}: choose another batch_size than {config.batch_size:,}."
            )
        self.steps_per_epoch = len(self.images) // config.batch_size

    def _make_model(self) -> None:
        """The denoiser, its average, and what it learns from: images alone, or a teacher."""
        config = self.config
        teacher = pretrained(config, "teacher").to(self.device) if config.teacher else None
        self.teacher = checkpoint.fingerprint(checkpoint.find(config.teacher)) if teacher else ""
        mine = replace(config.denoiser(), styles=self.styles)
        self.denoiser = (student_of(teacher, FewStep()) if teacher else Denoiser(mine)).to(self.device)
        self.ema = EMA(self.denoiser, config.ema)
        self.averages = [PowerEMA(self.denoiser, length) for length in config.averages]
        self.objective = (
            Distillation(self.denoiser, self.ema.model, teacher, config.loss_of)
            if teacher
            else TrainingLoss(self.denoiser, config.level_spread, config.loss_of, config.min_snr, config.level)
        )
        self.flops = (3 + self.objective.evaluations) * flops(self.denoiser)  # forward, and twice that backward
        if config.compile:  # after the counting: compiling and FlopCounterMode do not go together
            self.denoiser.unet.compile()
        self.loss = DistributedDataParallel(self.objective) if self.team.size > 1 else self.objective

    def _make_optimizers(self) -> None:
        """The optimizers, and the curves of their learning rates."""
        config = self.config
        self.optimizers = optimizers_of(
            self.denoiser.unet,
            optimizer=config.optimizer,
            learning_rate=config.learning_rate,
            beta2=config.beta2,
            weight_decay=config.weight_decay,
        )
        total = config.epochs * self.steps_per_epoch
        self.decays = [
            torch.optim.lr_scheduler.LambdaLR(
                optimizer,
                lambda step: learning_rate_factor(step, config.warmup, total, config.decay, self.steps_per_epoch),
            )
            for optimizer in self.optimizers
        ]

    def start_from_init(self) -> None:
        """Begin with the weights of the config's `init`, a trained model of the same shape.

        Where that model predicts something else, its last layer starts at zero again. What it does not take or tell,
        such as styles, has no effect yet.
        """
        other = pretrained(self.config, "init")
        if other.config.prediction != self.config.prediction:
            for parameter in other.unet.head[-1].parameters():
                nn.init.zeros_(parameter)
        weights = self.denoiser.state_dict()
        weights |= {name: tensor for name, tensor in other.state_dict().items() if name in weights}
        for model in (self.denoiser, self.ema.model, *(average.model for average in self.averages)):
            model.load_state_dict(weights)

    def run(self, tell: Callable[[str], object] = lambda _: None) -> None:
        """Train until the last epoch, or until `stopping` is set: then to the end of the step, and save.

        Args:
            tell: gets a line of figures after each epoch, once that is saved.
        """
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
            self.save()  # first of all: words and pictures are worth less
            if self.team.leads:
                folder.show(self.out, self.ema.model, self.history)
                if self.config.network == "course":
                    course.show(self.out, self.ema.model, self.losses, self.held_out[0], self.epoch)
                tell(self.figures)
        if self.stopped:
            if not all(parameter.isfinite().all() for parameter in self.ema.model.parameters()):
                raise self.diverged(self.epoch + 1)
            self.save()

    def diverged(self, epoch: int) -> checks.BadInput:
        kept = f" The checkpoint of epoch {self.epoch} is in {self.out}." if self.epoch else ""
        return checks.BadInput(f"The loss is no longer finite in epoch {epoch}: try a lower learning_rate.{kept}")

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
        losses: list[Tensor] = []
        looked = time.perf_counter()
        shown = self.progress and self.team.leads
        with tqdm(desc=name, initial=self.step, total=self.steps_per_epoch, unit="step", disable=not shown) as bar:
            while True:
                chosen = self.order[self.step * batch : (self.step + 1) * batch]
                with sharing.step():
                    losses.append(self.train_step(data.to_float(self.images[chosen]), self.conditions[chosen]))
                    self.total += losses[-1]
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
        self.losses += self.team.mean(torch.stack(losses)).tolist()
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

    def train_step(self, x0: Tensor, condition: Tensor) -> Tensor:
        """One update on clean images (B, C, H, W) and their conditions; returns the loss, a scalar on the device."""
        condition = self.hidden(condition)
        parts = [self.team.share(part) for part in (x0, condition, *self.objective.draw(x0, self.random))]
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.loss(*parts)
        loss.backward()
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), self.config.clip)
        for optimizer, decay in zip(self.optimizers, self.decays, strict=True):
            with self.device:  # AdamW keeps its count of steps on the default device
                optimizer.step()
            decay.step()
        self.denoiser.zero_grad()
        for average in (self.ema, *self.averages):
            average.update(self.denoiser)
        return loss.detach()

    def hidden(self, condition: Tensor) -> Tensor:
        """The condition, some of it hidden by chance.

        With the label all of the style is hidden: together they say "no condition", and that is all that is ever asked
        without a label. Of the rest, some images have no style, as most drawings ask for none, and in the others each
        attribute is hidden for itself, so that any of them may be asked for alone.
        """
        how: dict[str, Any] = {"generator": self.random, "device": self.device, "dtype": torch.float32}
        dropped = torch.rand(len(condition), **how) < self.config.label_dropout
        if condition.ndim == 1:
            return torch.where(dropped, self.denoiser.null(condition), condition)
        whole, *each = (torch.rand(condition.shape, **how) < self.config.style_dropout).unbind(1)
        no_style = torch.stack([torch.zeros_like(whole), *(whole | one for one in each)], 1)
        condition = condition.masked_fill(no_style, torch.nan)
        return torch.where(dropped[:, None], self.denoiser.null(condition), condition)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The averaged weights' loss on images that training never sees, with the same noise every time."""
        images, conditions = self.held_out
        random = torch.Generator(self.device).manual_seed(0)
        total = 0.0
        for part, part_conditions in zip(images.split(500), conditions.split(500), strict=True):
            with sharing.step():
                x0 = data.to_float(part)
                drawn = self.objective.draw(x0, random)
                total += self.objective.of(self.ema.model, x0, part_conditions, *drawn).item() * len(x0)
        return total / len(images)

    @property
    def figures(self) -> str:
        """A line on the last epoch."""
        last = self.history[-1]
        return (
            f"loss {last['loss']:.4f}, held out {last['held_out_loss']:.4f}, "
            f"{last['images_per_second']:,.0f} images/s, "
            f"{last['share_of_matrix_rate']:.0%} of the matrix rate in {self.precision}"
        )

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
            "averages": [average.state_dict() for average in self.averages],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "decays": [decay.state_dict() for decay in self.decays],
            "random": self.random.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "order": self.order,
            "total": self.total,
            "history": self.history,
            "losses": self.losses,
        }
        folder.save(self.out, self.ema.model, state, {average.length: average.model for average in self.averages})

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state that was saved (`saved_state`), to the weights of an uninterrupted run.

        With more epochs than the run began with, the learning rate goes on along the longer curve.
        """
        try:
            if state["device"] != self.device.type:  # the random numbers would be others
                raise checks.BadInput(f"The run in {self.out} was begun on a {state['device']}: resume it on one.")
            if len(state["order"]) != len(self.images):
                raise checks.BadInput(
                    f"{self.config.data} holds other images than this run began with: name its own data folder."
                )
            theirs = state["teacher"]
            if theirs != self.teacher:
                raise checks.BadInput(
                    f"The run in {self.out} learns from the weights {theirs}, and {self.config.teacher} is "
                    f"{self.teacher}: name its own teacher."
                    if theirs
                    else f"The run in {self.out} has no teacher: leave teacher out."
                )
            self.precision = state["precision"]
            self.denoiser.load_state_dict(state["denoiser"])
            self.ema.load_state_dict(state["ema"])
            for average, saved in zip(self.averages, state["averages"], strict=True):
                average.load_state_dict(saved)
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            for decay, saved in zip(self.decays, state["decays"], strict=True):
                decay.load_state_dict(saved)
                [rate], [factor], [group] = decay.base_lrs, decay.lr_lambdas, decay.optimizer.param_groups
                group["lr"] = rate * factor(decay.last_epoch)  # of this run's curve, which may be longer
            self.random.set_state(state["random"])
            self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
            self.losses = state["losses"]
            self.order, self.total = state["order"].to(self.device), state["total"].to(self.device)
        except checks.BadInput:
            raise
        except Exception as error:  # a damaged file fails in many ways
            raise error if out_of_memory(error) else folder.damaged(self.config) from None
