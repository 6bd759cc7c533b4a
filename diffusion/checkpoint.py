"""Checkpoints: one safetensors file with its config in the header, so that one file rebuilds the model."""

import hashlib
import json
import pickle
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diffusion import checks
from diffusion.checks import BadInput
from diffusion.config import DenoiserConfig, FewStep
from diffusion.denoiser import Denoiser
from diffusion.download import INDEX as INDEX  # which are known from here, too
from diffusion.download import WEIGHTS as WEIGHTS
from diffusion.download import Hub, on_hub, pull
from diffusion.files.atomic import replacing
from diffusion.hardware import PRECISIONS
from diffusion.networks.course import CourseConfig
from diffusion.networks.unet import UNetConfig
from diffusion.style import Styles

if TYPE_CHECKING:
    from diffusion.networks.pretrained import TextToImage

BUNDLED = Path(__file__).parent.parent / "checkpoints"
ONE_GUESS = "course-denoiser"  # a small network of the course that takes noise away in one guess
NAMES = {  # of the weights that ship
    "bundled": WEIGHTS,
    "few-step": "few-step.safetensors",
    "fashion": "fashion.safetensors",
    "fashion-few-step": "fashion-few-step.safetensors",
    ONE_GUESS: f"{ONE_GUESS}.safetensors",
}


def save(denoiser: Denoiser, path: str | Path) -> None:
    """Write the weights, in half precision, with the config as JSON in the header."""
    write_weights(denoiser, path, config=json.dumps(asdict(denoiser.config)))


def write_weights(model: nn.Module, path: str | Path, **header: str) -> None:
    """Write a model's weights as safetensors, in half precision, with texts by name in the header."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    with replacing(path) as temporary:
        try:
            save_file(half, temporary, metadata=header)
        except SafetensorError as error:  # a full disk
            raise OSError(str(error)) from None


def load(path: str | Path) -> Denoiser:
    """Read a checkpoint back: a Denoiser in float32 on the CPU, in evaluation mode.

    Raises BadInput where the file is missing, damaged, or not of this project.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no checkpoint at {path}: check the path, or train a network.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError):
        raise BadInput(f"{path} is damaged or not a safetensors file: download or train it again.") from None

    config = _config(header.get("config"), path)
    denoiser = Denoiser(config)
    expected = {name: _kind(tensor) for name, tensor in denoiser.state_dict().items()}
    if expected != {name: _kind(tensor) for name, tensor in weights.items()}:
        raise BadInput(f"{path} holds the weights of another network than its config says: train it again.")
    if not all(tensor.float().isfinite().all() for tensor in weights.values()):
        raise BadInput(f"{path} holds weights that are not finite numbers: download or train it again.")
    denoiser.load_state_dict(weights)
    return denoiser.eval().requires_grad_(False)


def _kind(tensor: Tensor) -> tuple[torch.Size, bool]:
    """What a tensor must share with the one that it becomes: batch norms also count, in whole numbers."""
    return tensor.shape, tensor.is_floating_point()


def _config(text: str | None, path: Path) -> DenoiserConfig:
    try:
        values: dict[str, Any] = json.loads(text or "")
        few_step = FewStep(**values["few_step"]) if values.get("few_step") else None
        styles = Styles(**values["styles"]) if values.get("styles") else None
        shape = (CourseConfig if "width" in values["unet"] else UNetConfig)(**values["unet"])
        return DenoiserConfig(**values | {"unet": shape, "few_step": few_step, "styles": styles})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f" ({error})" if isinstance(error, BadInput) else ""
        raise BadInput(f"{path} carries no config of this project in its header{reason}: train it again.") from None


def fingerprint(path: str | Path) -> str:
    """A short name for a weights file, made of what is in it: the first eight hex digits of its SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]


def name_of(weights: str) -> str | None:
    """The name of the weights with this fingerprint among those that ship, or None."""
    return next((name for name in shipped() if fingerprint(BUNDLED / NAMES[name]) == weights), None)


def shipped() -> list[str]:
    """The names of the weights whose files are there."""
    return [name for name, file in NAMES.items() if (BUNDLED / file).is_file()]


def find(source: str | Path | None = None, revision: str | None = None) -> Path:
    """The weights file that `source` names; of a text-to-image model, the index of its parts.

    None or "bundled" is what ships, "few-step" its student, "fashion" and "fashion-few-step" draw clothes, and
    "course-denoiser" is a network of one guess; else a file, a folder, or "user/repo" on the Hub. Raises BadInput for a
    revision of anything but the last.
    """
    if on_hub(source):
        return pull(str(source), revision)
    if revision is not None:
        raise BadInput("A revision belongs to weights on the Hub: name them as user/repo, or leave it out.")
    if source is None or source in NAMES:
        return BUNDLED / NAMES[str(source or "bundled")]
    path = Path(source)
    if not path.is_dir():
        return path
    return path / (INDEX if (path / INDEX).is_file() else WEIGHTS)


def text_to_image(
    index: Path, source: str | Path | None = None, device: torch.device | None = None, precision: str = "fp32"
) -> "TextToImage":
    """The text-to-image model whose index `find` found at `source`, or BadInput.

    On a GPU it computes in half precision; on a CPU as `precision` says, where "auto" is bf16.
    """
    from diffusion.networks.parts import Parts
    from diffusion.networks.pretrained import TextToImage

    device = device or torch.device("cpu")
    checks.choice("precision", precision, ["auto", *PRECISIONS])
    dtype = torch.float16 if device.type == "cuda" else PRECISIONS.get(precision, torch.bfloat16)
    hub = Hub(str(source), index.parent.name) if on_hub(source) else None
    return TextToImage(Parts(index, str(source or index.parent), device, dtype, hub))


def embeddings(path: str | Path) -> dict[str, Tensor]:
    """Embeddings by prompt, from a .safetensors file or a dictionary of tensors that PyTorch saved, or BadInput.

    PyTorch's own reader is told to make tensors and nothing else of what is in the file.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There are no embeddings at {path}: check the path.")
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # of files that it refuses next
                found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, Tensor) for each in found.values()):
        raise BadInput(f"{path} holds no embeddings by prompt: choose a dictionary of tensors, or a safetensors file.")
    return {str(prompt): tensor for prompt, tensor in found.items()}
