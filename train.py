"""Train a class-conditional diffusion model.

    python train.py                                       # downloads MNIST to data/, trains, writes runs/mnist/
    python train.py --epochs 1 --out runs/try             # three minutes on two CPU cores
    python train.py --recipe ddpm-cosine --out runs/ddpm  # the classic; flags change a recipe further
    python train.py --dataset cifar10                     # writes runs/cifar10/
    python train.py --resume                              # continues the run in runs/mnist/, with its own flags
    python train.py --resume --push-to-hub user/repo      # uploads it, once it is trained
    torchrun --nproc-per-node 4 train.py                  # several GPUs, one batch

Look at what it learned, then measure it:

    python -m diffusion sample --weights runs/mnist --out digits.png
    python -m diffusion evaluate --weights runs/mnist --out runs/mnist
"""

import argparse
import signal
import sys
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

from diffusion import cores

if __name__ == "__main__":
    cores.share()

import torch

from diffusion import checkpoint, checks, hub
from diffusion.hardware import Team, out_of_memory, use_allowed_cores
from diffusion.training import (
    RECIPES,
    TrainConfig,
    Trainer,
    alone,
    like_teacher,
    prepare,
    saved_config,
    saved_state,
    write_config,
)


def parse(arguments: list[str] | None = None) -> tuple[TrainConfig, argparse.Namespace]:
    """The config and the other flags of a command line.

    What it leaves open is the resumed run's, or the recipe's; a student's shape and prediction are its teacher's.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS
    )
    for option in fields(TrainConfig):
        default: Any = option.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else "none" if default == "" else default
        how: dict[str, Any] = {"type": _whole_numbers if isinstance(default, tuple) else type(default)}
        how["metavar"] = "N,N" if isinstance(default, tuple) else how["type"].__name__.upper()
        if isinstance(default, bool):
            how, shown = {"action": argparse.BooleanOptionalAction}, "yes" if default else "no"
        flag = f"--{option.name.replace('_', '-')}"
        parser.add_argument(flag, help=f"{option.metadata['help']} (default: {shown})", **how)
    parser.add_argument("--resume", action="store_true", default=False, help="continue the run in --out")
    parser.add_argument(
        "--push-to-hub", metavar="USER/REPO", default=None, help="upload the weights and a model card at the end"
    )
    parser.add_argument("--private", action="store_true", default=False, help="create that repository as private")
    parser.add_argument("--tag", default=None, help="push under this tag (default: one named after the weights)")
    flags = parser.parse_args(arguments)
    if (flags.private or flags.tag) and not flags.push_to_hub:
        raise checks.BadInput("--private and --tag belong to --push-to-hub: add it, or leave them out.")

    given = {
        option.name: value for option in fields(TrainConfig) if (value := getattr(flags, option.name, None)) is not None
    }
    given.setdefault("out", f"runs/{given.get('dataset', TrainConfig.dataset)}")
    if flags.resume:
        start = saved_config(given["out"])
    else:
        recipe = given.setdefault("recipe", "few-step" if given.get("teacher") else TrainConfig.recipe)
        start = RECIPES[checks.choice("recipe", recipe, RECIPES)]
        if teacher := given.get("teacher", start.get("teacher")):
            start = start | like_teacher(checkpoint.load(checkpoint.find(teacher)))
    return TrainConfig(**start | given), flags


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no list of whole numbers like 8,48,96") from None


def main(arguments: list[str] | None = None) -> None:
    try:
        config, flags = parse(arguments)
        run(config, flags)
    except checks.BadInput as error:
        sys.exit(f"train.py: {error}")
    except OSError as error:
        sys.exit(f"train.py: {checks.unusable(error)}")
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = next(iter(str(error).splitlines()), "")
        sys.exit(f"train.py: The U-Net could not be compiled ({reason[:150]}): leave --compile out.")
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        sys.exit("train.py: The memory is full: choose a smaller --batch-size, or fewer --channels.")
    except KeyboardInterrupt:  # before the training, or after it
        sys.exit("\nStopped.")


def run(config: TrainConfig, flags: argparse.Namespace) -> None:
    """Train, or go on training, and push where that is asked for."""
    use_allowed_cores()
    team = Team.join()
    with alone(config) if team.leads else nullcontext():
        train(config, flags, team)


def train(config: TrainConfig, flags: argparse.Namespace, team: Team) -> None:
    """One process's part of a run."""
    if team.leads and flags.push_to_hub:
        hub.check_push(flags.push_to_hub, flags.tag)  # before the training, not after
    state = saved_state(config) if flags.resume else None
    if state and flags.push_to_hub and state.get("epoch", 0) >= config.epochs:
        if team.leads:  # there is nothing left to train, so any machine will do
            push(config, flags)
        return team.part()
    if team.leads and not state:
        prepare(config)
    trainer = Trainer(config, team)
    if state:
        trainer.resume(state)
        if team.leads:
            write_config(config)  # which may have become longer
    elif config.init:
        trainer.start_from(config.init)

    def stop(*_: Any) -> None:
        trainer.stopping = True

    before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    if team.leads:
        parameters = sum(p.numel() for p in trainer.denoiser.parameters())
        where = f"{team.size} x {team.device.type}" if team.size > 1 else team.device.type
        print(
            f"{parameters:,} parameters, {trainer.precision} on {where}, {len(trainer.images):,} images -> {config.out}"
        )
    trainer.run()
    for name, handler in before.items():
        signal.signal(name, handler)
    team.part()
    if not team.leads:
        return
    if trainer.stopped:
        sys.exit(f"Stopped and saved in {trainer.out}: go on with --resume.")
    if flags.push_to_hub:
        push(config, flags)


def push(config: TrainConfig, flags: argparse.Namespace) -> None:
    """Upload the run's folder, and say where it is."""
    print(hub.push(config.out, flags.push_to_hub, private=flags.private, tag=flags.tag))


if __name__ == "__main__":
    main()
