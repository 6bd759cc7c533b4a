"""Trained weights that a run begins with: those that it goes on from, or its teacher's."""

from typing import Any

from diffusion import checkpoint, checks
from diffusion.denoiser import Denoiser
from diffusion.networks.course import CourseConfig
from diffusion.training.config import TrainConfig

SHAPE = ("channels", "blocks", "attention", "embedding", "stem")  # of the network: fields of both configs


def like_teacher(teacher: Denoiser) -> dict[str, Any]:
    """What a student has from its teacher: fields of its TrainConfig by name."""
    config = teacher.config
    if isinstance(config.unet, CourseConfig):
        raise checks.BadInput("A student is no network of the course: choose another teacher.")
    shape = {name: getattr(config.unet, name) for name in SHAPE}
    meaning = {"schedule": config.schedule, "prediction": config.prediction, "bounded": config.bounded}
    return shape | meaning | {"style": config.styles is not None, "black": config.black}


def pretrained(config: TrainConfig, role: str) -> Denoiser:
    """The trained model that a run has as its `role`, "init" or "teacher", or BadInput where it is of another shape."""
    source = getattr(config, role)
    other = checkpoint.load(checkpoint.find(source))
    if other.config.few_step:
        raise checks.BadInput(f"{source} is a student of few steps itself: choose another {role}.")
    theirs, mine = other.config, config.denoiser()
    if isinstance(theirs.unet, CourseConfig) or isinstance(mine.unet, CourseConfig):
        if (theirs.unet, theirs.prediction) == (mine.unet, mine.prediction):
            return other
        raise checks.BadInput(f"The network in {source} has another shape than this run's: choose another {role}.")
    of_images = ("image_channels", "image_size", "classes")
    if any(getattr(theirs.unet, name) != getattr(mine.unet, name) for name in of_images):
        raise checks.BadInput(f"{source} draws other images than {config.dataset}: choose another {role}.")
    if role == "teacher" and theirs.names != mine.names:
        raise checks.BadInput(f"{source} draws other things than {config.dataset}: choose another {role}.")
    wanted = like_teacher(other)
    others = [name for name, value in wanted.items() if getattr(config, name) != value]
    if role == "teacher" and others:
        raise checks.BadInput(
            f"A student is like its teacher, but {source} has another {others[0]}: choose another teacher, or leave "
            f"{others[0]} out."
        )
    if theirs.unet != mine.unet:
        shape = ", ".join(f"{name} {checks.written(wanted[name])}" for name in others if name in SHAPE)
        raise checks.BadInput(
            f"The network in {source} has another shape than this run's: choose another {role}, or set {shape}."
        )
    return other
