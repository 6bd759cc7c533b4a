"""Checkpoints: one safetensors file with its config in the header, so that one file rebuilds the model."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from diffusion.checks import BadInput
from diffusion.denoiser import Denoiser, DenoiserConfig
from diffusion.files import replacing
from diffusion.unet import UNetConfig

BUNDLED = Path(__file__).parent.parent / "checkpoints"
REPO = r"[\w.-]{1,48}/[\w.-]{1,48}"
WEIGHTS = "model.safetensors"  # the name in every folder and on the Hub


def save(denoiser: Denoiser, path: str | Path) -> None:
    """Write the weights, in half precision, with the config as JSON in the header."""
    weights = {name: tensor.detach().cpu().half().contiguous() for name, tensor in denoiser.state_dict().items()}
    with replacing(path) as temporary:
        try:
            save_file(weights, temporary, metadata={"config": json.dumps(asdict(denoiser.config))})
        except SafetensorError as error:  # a full disk
            raise OSError(str(error)) from None


def load(path: str | Path) -> Denoiser:
    """Read a checkpoint back: a Denoiser in float32 on the CPU, in evaluation mode.

    Raises BadInput where the file is missing, damaged, or not of this project.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no checkpoint at {path}: check the path, or train one with python train.py.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError):
        raise BadInput(f"{path} is damaged or not a safetensors file: download or train it again.") from None

    config = _config(header.get("config"), path)
    denoiser = Denoiser(config)
    expected = {name: tensor.shape for name, tensor in denoiser.state_dict().items()}
    if expected != {name: tensor.shape for name, tensor in weights.items()}:
        raise BadInput(f"{path} holds the weights of another network than its config says: train it again.")
    if not all(tensor.is_floating_point() and tensor.float().isfinite().all() for tensor in weights.values()):
        raise BadInput(f"{path} holds weights that are not finite numbers: download or train it again.")
    denoiser.load_state_dict(weights)
    return denoiser.eval().requires_grad_(False)


def _config(text: str | None, path: Path) -> DenoiserConfig:
    try:
        values: dict[str, Any] = json.loads(text or "")
        return DenoiserConfig(**values | {"unet": UNetConfig(**values["unet"])})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f" ({error})" if isinstance(error, BadInput) else ""
        raise BadInput(f"{path} carries no config of this project in its header{reason}: train it again.") from None


def check_repo(repo: str) -> None:
    """BadInput where `repo` cannot be the name of a repository on the Hub."""
    if not re.fullmatch(REPO, repo):
        raise BadInput(f'"{repo}" is no name for a repository: write it as user/repo.')


def find(source: str | Path | None = None, revision: str | None = None) -> Path:
    """The weights file that `source` names: None for the bundled one, a file, a folder, or "user/repo" on the Hub."""
    if source is None:
        return BUNDLED / WEIGHTS
    path = Path(source)
    if path.is_dir():
        return path / WEIGHTS
    local = path.is_file() or path.suffix == ".safetensors" or (path.parent != Path() and path.parent.is_dir())
    if local or not re.fullmatch(REPO, str(source)):
        return path  # also runs/mnist before it is trained: a mistyped folder is no name on the Hub
    return pull(str(source), revision)


def pull(repo: str, revision: str | None = None) -> Path:
    """Download the weights of "user/repo" from the Hub (or find them in its cache), or BadInput."""
    from huggingface_hub import errors, hf_hub_download
    from huggingface_hub.utils import httpx

    try:
        return Path(hf_hub_download(repo, WEIGHTS, revision=revision))
    except (httpx.HTTPError, OSError) as error:
        missing = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)
        if not isinstance(error, missing):
            raise BadInput(
                f"{WEIGHTS} of {repo} could not be downloaded: check the connection, or name a folder."
            ) from None
    except errors.HFValidationError:
        pass
    raise BadInput(f"There is no folder {repo}, nor a model of that name with {WEIGHTS} on the Hub.")


def push(folder: str | Path, repo: str) -> str:
    """Upload a training run's weights, config, card and pictures to "user/repo" in one commit; returns its address.

    The repository is created where it is missing. Raises BadInput, the folder untouched, where the upload fails.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import httpx

    check_repo(repo)
    folder = Path(folder)
    denoiser = load(folder / WEIGHTS)
    files: dict[str, bytes | str] = {
        WEIGHTS: str(folder / WEIGHTS),
        "config.json": json.dumps(asdict(denoiser.config), indent=2).encode(),
        "README.md": model_card(repo, denoiser.config).encode(),
    }
    pictures = [*folder.glob("loss.png"), *sorted(folder.glob("digits-*.png"))[-1:]]
    files |= {path.name: str(path) for path in pictures}
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        api = HfApi()
        api.create_repo(repo, exist_ok=True)
        return api.create_commit(repo, operations, commit_message="Upload a digit diffusion model").commit_url
    except HFValidationError:
        raise BadInput(f'"{repo}" is no name for a repository: write it as user/repo.') from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise BadInput(
            f"The Hub refused the upload to {repo} ({status}): log in with `hf auth login`, using a token that may "
            f"write there, and try again. The run in {folder} is complete."
        ) from None
    except (httpx.HTTPError, OSError, RuntimeError, ValueError):  # the last two: an upload that broke off
        raise BadInput(f"The Hub cannot be reached: the run in {folder} is complete, push it again later.") from None


def model_card(repo: str, config: DenoiserConfig) -> str:
    """The README of a model on the Hub."""
    return f"""---
license: mit
library_name: pytorch
pipeline_tag: unconditional-image-generation
datasets: [ylecun/mnist]
tags: [diffusion, mnist, class-conditional, from-scratch]
---
# {repo.split("/")[-1]}

A class-conditional diffusion model of handwritten digits: {config.schedule} schedule, {config.prediction} prediction.

```python
from diffusion import Pipeline

pipe = Pipeline.from_pretrained("{repo}")
pipe([7, 7, 3], guidance=2.0, steps=20, seed=0).save("digits.png")
```

```json
{json.dumps(asdict(config), indent=2)}
```
"""
