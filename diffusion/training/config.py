"""The config of a run, with every setting declared once, and the presets: configs by name."""

from dataclasses import dataclass, fields
from typing import Any

from diffusion import checks
from diffusion.config import PREDICTIONS, DenoiserConfig
from diffusion.data import DATASETS, DEFAULT
from diffusion.denoiser import LOSSES
from diffusion.hardware import PRECISIONS
from diffusion.networks.course import ALL_LEVELS, CONDITIONS, CourseConfig
from diffusion.networks.unet import LIMITS, UNetConfig
from diffusion.scheduler import SCHEDULES, T
from diffusion.settings import Choice, Number, Several, Text, Whole, Wholes, YesNo, declared, setting
from diffusion.training.optimizers import DECAYS, OPTIMIZERS

PLAIN: dict[str, Any] = {"bounded": False, "level_spread": 0.0, "optimizer": "adamw", "beta2": 0.999, "warmup": 0}
"""What the presets of others have in common, as changes of the defaults."""

COURSE: dict[str, Any] = PLAIN | {"network": "course", "weight_decay": 0.0, "clip": 1e6, "ema": 0.0}
"""What the presets of the course have in common: Adam, no clipping and no average."""
ONE_GUESS: dict[str, Any] = COURSE | {"condition": "none", "width": 128, "batch_size": 256, "prediction": "x0"}
ONE_GUESS |= {"learning_rate": 1e-4, "decay": "constant", "epochs": 5}
COURSE_FLOW: dict[str, Any] = COURSE | {"width": 64, "batch_size": 64, "prediction": "flow"}
COURSE_FLOW |= {"learning_rate": 1e-2, "decay": "staircase", "epochs": 10}

PRESETS: dict[str, dict[str, Any]] = {
    "best": {},
    # What ships in checkpoints/few-step.safetensors and fashion-few-step.safetensors.
    "few-step": {"teacher": "bundled"}
    | {"loss_of": "velocity", "epochs": 6, "optimizer": "adamw", "learning_rate": 5e-4, "warmup": 100, "ema": 0.995},
    # Weights that know styles: it goes on from the ones that ship, whose shape the defaults are.
    "style": {"init": "bundled", "style": True, "black": True, "averages": (0.03, 0.05, 0.1, 0.15)}
    | {"learning_rate": 6e-4},
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
    # The course project's networks (networks/course.py), with the settings that it publishes.
    "course-denoiser": ONE_GUESS | {"schedule": "additive", "level": T // 2 - 1},  # its sigma of 0.5
    "course-pure-noise": ONE_GUESS | {"level": T - 1},  # where x is nothing but noise
    "course-flow-time": COURSE_FLOW | {"condition": "time"},
    "course-flow-class": COURSE_FLOW | {"condition": "class"},
}
"""Configs by name: what each changes of the defaults."""


@dataclass(frozen=True)
class TrainConfig:
    """One run. Each field is a flag of train.py; the defaults are the preset "best".

    Raises BadInput for a value that no run can have.
    """

    # from where to where
    dataset: str = setting(Choice(tuple(DATASETS)), DEFAULT, "what to learn to draw")
    data: str = setting(Text(), "data", "folder of the images, downloaded where they are missing")
    out: str = setting(Text(), f"runs/{DEFAULT}", "folder of the run; with another dataset, runs/ and its name")
    # what
    preset: str = setting(Choice(tuple(PRESETS)), "best", "a set of training settings, which other flags change")
    teacher: str = setting(
        Text(),
        "",
        "the weights that a few-step student learns from, and whose shape it has: a file, a folder, or user/repo",
    )
    init: str = setting(Text(), "", "weights to start from, not random ones: a file, a folder, or user/repo on the Hub")
    network: str = setting(Choice(("unet", "course")), "unet", "this project's U-Net, or the course project's")
    width: int = setting(Whole(1, 512), CourseConfig.width, "of the course's network, its D: channels at full size")
    condition: str = setting(
        Choice(CONDITIONS), CourseConfig.condition, "what the course's network is told; class is time and class"
    )
    level: int = setting(
        Whole(ALL_LEVELS, T - 1), ALL_LEVELS, "the only noise level that the course's network trains at; -1 is all"
    )
    channels: tuple[int, ...] = setting(
        Wholes(*LIMITS["channels"]),
        UNetConfig.channels,
        "channels at each level of the U-Net; the image is halved from level to level",
    )
    blocks: int = setting(Whole(*LIMITS["blocks"]), UNetConfig.blocks, "residual blocks per level")
    attention: tuple[int, ...] = setting(
        Wholes(*LIMITS["attention"]), UNetConfig.attention, "levels with self-attention, counted from 0"
    )
    embedding: int = setting(
        Whole(*LIMITS["embedding"]), UNetConfig.embedding, "width of the embedding of time and label"
    )
    stem: int = setting(
        Whole(*LIMITS["stem"]), UNetConfig.stem, "patch size at the entrance: 1 computes at full size, 2 at half of it"
    )
    schedule: str = setting(Choice(tuple(SCHEDULES)), DenoiserConfig.schedule, "the table of noise levels")
    prediction: str = setting(Choice(PREDICTIONS), DenoiserConfig.prediction, "what the network predicts")
    bounded: bool = setting(YesNo(), DenoiserConfig.bounded, "clamp x0 to the range of pixels, in the loss too")
    style: bool = setting(
        YesNo(),
        False,
        "take thickness, slant and width of the strokes as further inputs, so that they can be asked for",
    )
    black: bool = setting(
        YesNo(), False, "say of each pixel whether it is exactly black, too, for few-step students, which draw it so"
    )
    # how
    epochs: int = setting(Whole(1, 100_000), 12, "passes over the training images")
    batch_size: int = setting(Whole(1, 60_000), 128, "images a step, over all devices together")
    optimizer: str = setting(
        Choice(OPTIMIZERS), "muon", "muon for the inner convolutions and adamw for the rest, or adamw for all"
    )
    learning_rate: float = setting(
        Number(1e-9, 1), 1e-3, "the highest learning rate of AdamW; that of Muon is four times as high"
    )
    warmup: int = setting(Whole(0, 1_000_000), 500, "steps until the learning rate is at its highest")
    decay: str = setting(
        Choice(tuple(DECAYS)),
        "cosine",
        "how the learning rate falls afterwards: cosine ends at 0, exponential at a tenth, staircase too, an epoch a "
        "stair",
    )
    weight_decay: float = setting(
        Number(0, 10),
        0.01,
        "weight decay of both optimizers, times the learning rate of each; AdamW with 0 is plain Adam",
    )
    beta2: float = setting(Number(0, 0.9999), 0.99, "of AdamW: how slowly it forgets the size of past gradients")
    clip: float = setting(Number(1e-6, 1e6), 1.0, "largest norm of the gradient")
    ema: float = setting(
        Number(0, 1),
        0.999,
        "decay of the running average of the weights, which is what is saved; 0 saves the last weights",
    )
    averages: tuple[float, ...] = setting(
        Several(Number(0.01, 0.28), 0, 8),
        (),
        "further averages of the weights to choose from at the end, each as long as this share of the run",
    )
    label_dropout: float = setting(
        Number(0, 0.99), 0.1, "share of labels replaced by the null label; guidance needs a network that knows both"
    )
    style_dropout: float = setting(
        Number(0, 0.99),
        0.3,
        "share of images whose whole style is hidden, and of each attribute's numbers in the others: so that none, one "
        "or all may be given",
    )
    level_spread: float = setting(
        Number(0, 10), 1.5, "training levels: logit-normal of this width, more in the middle; 0 is uniform"
    )
    loss_of: str = setting(
        Choice(LOSSES),
        "prediction",
        "whose error the loss is: of the prediction, or of the velocity (eps - x0) that it means",
    )
    min_snr: float = setting(Number(0, 1e6), 0.0, "gamma of min-SNR weights for the loss of the prediction; 0: none")
    seed: int = setting(
        Whole(0, checks.MAX_SEED), 0, "seed of the first weights, the order of the images, and the noise"
    )
    # with what
    precision: str = setting(Choice(("auto", *PRECISIONS)), "auto", "of the arithmetic; auto takes the quicker one")
    compile: bool = setting(
        YesNo(), False, "compile the U-Net first: it takes about a minute and, on a CPU, needs a C++ compiler"
    )

    def __post_init__(self) -> None:
        for name, each in SETTINGS.items():
            object.__setattr__(self, name, each.check(getattr(self, name)))
        if self.min_snr and self.loss_of != "prediction":
            raise checks.BadInput("min_snr weighs the loss of the prediction: set loss_of to prediction.")
        if self.preset == "few-step" and not self.teacher:
            raise checks.BadInput("The preset few-step makes a student: name its teacher, or leave teacher out.")
        if self.teacher and self.init:
            raise checks.BadInput("A student starts as its teacher: leave init out.")
        if self.style and DATASETS[self.dataset].channels > 1:
            raise checks.BadInput(f"Strokes are measured on grey images, and those of {self.dataset} have colours.")
        level_spread = PRESETS[self.preset].get("level_spread", TrainConfig.level_spread)
        if self.teacher and (self.min_snr or self.level_spread != level_spread):
            raise checks.BadInput("A student learns jumps between fixed levels: leave min_snr and level_spread out.")
        self._check_network()
        self.denoiser()

    def _check_network(self) -> None:
        """BadInput for what this run's network cannot do."""
        if self.network == "unet":
            if self.level != ALL_LEVELS:
                raise checks.BadInput("level is for the course's networks: choose network course, or leave it out.")
            return
        images = DATASETS[self.dataset]
        if (images.channels, images.size) != (CourseConfig.image_channels, CourseConfig.image_size):
            raise checks.BadInput(f"The course's networks draw grey images of 28 x 28: {self.dataset} has others.")
        if self.optimizer != "adamw" or self.teacher:
            raise checks.BadInput("The course's networks train with the optimizer adamw and without a teacher.")
        if self.style or self.black:
            raise checks.BadInput("The course's networks know no styles and no black: leave style and black out.")
        if self.condition == "none" and self.level == ALL_LEVELS:
            raise checks.BadInput("A network that is not told the time knows one noise level only: choose a level.")

    def denoiser(self) -> DenoiserConfig:
        """The model's part of this config, which checks itself; its styles are those of the images, measured later."""
        images = DATASETS[self.dataset]
        if self.network == "course":
            names = images.names if self.condition == "class" else ("any",)
            course = CourseConfig(self.width, self.condition, len(names), self.level)
            return DenoiserConfig(course, self.schedule, self.prediction, self.bounded, names)
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
        return DenoiserConfig(unet, self.schedule, self.prediction, self.bounded, images.names, black=self.black)


SETTINGS = declared(fields(TrainConfig))
"""The declarations of all settings by name."""
