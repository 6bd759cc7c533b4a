"""Train a class-conditional diffusion model.

    python train.py                                       # downloads MNIST to data/, trains, writes runs/mnist/
    python train.py --epochs 1 --out runs/try             # three minutes on two CPU cores
    python train.py --preset ddpm-cosine --out runs/ddpm  # the classic; flags change a preset further
    python train.py --dataset cifar10                     # writes runs/cifar10/
    python train.py --resume                              # continues the run in runs/mnist/, with its own flags
    python train.py --resume --push-to-hub user/repo      # uploads it, once it is trained
    torchrun --nproc-per-node 4 train.py                  # several GPUs, one batch

Look at what it learned, then measure it:

    python -m diffusion sample --weights runs/mnist --out digits.png
    python -m diffusion evaluate --weights runs/mnist --out runs/mnist
"""

import argparse
import shlex
import signal
import sys
from contextlib import nullcontext
from typing import Any

from diffusion import process

if __name__ == "__main__":
    process.begin()

import torch

from diffusion import checkpoint, checks
from diffusion.hardware import out_of_memory, use_allowed_cores
from diffusion.hub import push as hub
from diffusion.settings import Text, YesNo
from diffusion.team import ENDED, Team, out_of_touch
from diffusion.training.config import PRESETS, SETTINGS, TrainConfig
from diffusion.training.folder import alone, prepare, saved_config, saved_state, write_config
from diffusion.training.pretrained import like_teacher
from diffusion.training.trainer import Trainer


def parse(arguments: list[str] | None = None) -> tuple[TrainConfig, argparse.Namespace]:
    """The config and the other flags of a command line.

    What it leaves open is the resumed run's, or the preset's; a student's shape and prediction are its teacher's.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS
    )
    for name, each in SETTINGS.items():
        flags = [f"--{name.replace('_', '-')}", *(["--recipe"] if name == "preset" else [])]  # its old name
        if isinstance(each.values, YesNo):
            shown = "yes" if each.default else "no"
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, help=f"{each.help} (default: {shown})")
        else:
            values = "" if isinstance(each.values, Text) else f": {each.values}"
            shown = checks.written(each.default) or "none"
            about = f"{each.help}{values} (default: {shown})"
            parser.add_argument(*flags, type=each.values.read, metavar=name.split("_")[-1].upper(), help=about)
    parser.add_argument("--resume", action="store_true", default=False, help="continue the run in --out")
    parser.add_argument(
        "--push-to-hub", metavar="USER/REPO", default=None, help="upload the weights and a model card at the end"
    )
    parser.add_argument("--private", action="store_true", default=False, help="create that repository as private")
    parser.add_argument("--tag", default=None, help="push under this tag (default: one named after the weights)")
    parsed = parser.parse_args(arguments)
    if (parsed.private or parsed.tag) and not parsed.push_to_hub:
        raise checks.BadInput("--private and --tag belong to --push-to-hub: add it, or leave them out.")
    return config_of(parsed), parsed


def config_of(flags: argparse.Namespace) -> TrainConfig:
    """The config that the flags ask for, or BadInput."""
    given = {name: getattr(flags, name) for name in SETTINGS if hasattr(flags, name)}
    given.setdefault("out", f"runs/{given.get('dataset', TrainConfig.dataset)}")
    if flags.resume:
        start = saved_config(given["out"])
    else:
        preset = given.setdefault("preset", "few-step" if given.get("teacher") else TrainConfig.preset)
        start = PRESETS[SETTINGS["preset"].check(preset)]
        if teacher := given.get("teacher", start.get("teacher")):
            start = start | like_teacher(checkpoint.load(checkpoint.find(teacher)))
    return TrainConfig(**start | given)


def main(arguments: list[str] | None = None) -> None:
    process.prepare()
    try:
        config, flags = parse(arguments)
        run(config, flags)
    except KeyboardInterrupt:  # before the training, or after it
        sys.exit("\nStopped.")
    except checks.BadInput as error:
        sys.exit(f"train.py: {error}")
    except OSError as error:
        sys.exit(f"train.py: {checks.unusable(error)}")
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = next(iter(str(error).splitlines()), "")
        sys.exit(f"train.py: The U-Net could not be compiled ({reason[:150]}): leave --compile out.")
    except (RuntimeError, MemoryError) as error:
        if out_of_touch(error):
            sys.exit(f"train.py: {ENDED.removesuffix('.')}, with --resume where an epoch is saved.")
        if not out_of_memory(error):
            raise
        sys.exit("train.py: The memory is full: choose a smaller --batch-size, or fewer --channels.")


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
    if state and (done := state.get("epoch", 0)) >= config.epochs:  # nothing is left to train: any machine will do
        if team.leads and flags.push_to_hub:
            push(config, flags)
        elif team.leads:
            print(
                f"All epochs of the run in {config.out} are done, {done} in number: add --epochs "
                f"{done + 1} or more to train on, or --push-to-hub USER/REPO to upload it."
            )
        return team.part()
    if team.leads and not state:
        prepare(config)
    trainer = Trainer(config, team, progress=True)
    if state:
        trainer.resume(state)
        if team.leads:
            write_config(config)  # which may have become longer
    elif config.init:
        trainer.start_from_init()

    def stop(*_: Any) -> None:
        trainer.stopping = True

    before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    if team.leads:
        parameters = sum(p.numel() for p in trainer.denoiser.parameters())
        where = f"{team.size} x {team.device.type}" if team.size > 1 else team.device.type
        print(
            f"{parameters:,} parameters, {trainer.precision} on {where}, {len(trainer.images):,} images -> {config.out}"
        )
    trainer.run(print)
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
    """Upload the run's folder, and print where it is; or BadInput, with the command that tries again."""
    try:
        print(hub.push(config.out, flags.push_to_hub, private=flags.private, tag=flags.tag))
    except hub.PushFailed as error:
        out = [] if config.out == TrainConfig.out else ["--out", config.out]
        options = (["--private"] if flags.private else []) + (["--tag", flags.tag] if flags.tag else [])
        command = ["python", "train.py", "--resume", *out, "--push-to-hub", flags.push_to_hub, *options]
        raise checks.BadInput(f"{str(error).removesuffix('.')} with `{shlex.join(command)}`.") from None


if __name__ == "__main__":
    main()
