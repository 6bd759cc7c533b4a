"""The parts of a text-to-image model, as `diffusers` keeps them: a folder each for a U-Net, its schedule and a T5.

They are read when something is drawn: first the text encoder, which is let go of before the U-Net comes. The libraries
that read them are imported then, too.
"""

import gc
import json
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor

from diffusion.checks import BadInput, shown
from diffusion.hardware import free_memory, out_of_memory
from diffusion.scheduler import Scheduler, T

INDEX = "model_index.json"  # the file that names the parts
STAGES = {"IFPipeline": 1, "IFSuperResolutionPipeline": 2}  # as the index calls them
TOKENS = 77  # of a prompt: IF was trained with no longer ones
ROOM = 0.8  # the share of a GPU's free memory that weights may take: images and activations need some
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError)


class Hub(Protocol):
    """Where parts are downloaded from."""

    def files(self, part: str) -> dict[str, int]: ...

    def download(self, files: Sequence[str]) -> None: ...


class Parts:
    """The parts of one model, on disk, in the precision that they are to compute in.

    Args:
        index: the model_index.json.
        name: what the model is called in messages.
        device: where the parts compute.
        dtype: of their weights.
        hub: where the parts are that are not beside the index.
    """

    def __init__(self, index: Path, name: str, device: torch.device, dtype: torch.dtype, hub: Hub | None = None):
        self.folder, self.name, self.device, self.dtype, self.hub = index.parent, name, device, dtype, hub
        kind = self.json(INDEX).get("_class_name")
        if kind not in STAGES:
            raise BadInput(f"{name} holds {shown(kind)}, and only DeepFloyd IF is known: choose one of its models.")
        self.stage = STAGES[kind]

    def json(self, file: str) -> dict[str, Any]:
        """A config."""
        if self.hub and file != INDEX:
            self.hub.download([file])
        try:
            values = json.loads((self.folder / file).read_text("utf-8"))
            return dict(values)
        except UNREADABLE:
            raise self.damaged(file) from None

    def damaged(self, part: str) -> BadInput:
        return BadInput(f"{part} of {self.name} is damaged or not all there: download it again.")

    def schedule(self, part: str) -> Scheduler:
        """The noise levels of a scheduler's config."""
        self.json(f"{part}/scheduler_config.json")
        scheduler = self.read(part, "diffusers", "DDPMScheduler")
        if len(scheduler.betas) != T or scheduler.config.prediction_type != "epsilon":
            raise BadInput(f"{self.name} has another schedule than DeepFloyd IF: choose one of its models.")
        return Scheduler.from_betas(str(scheduler.config.beta_schedule), scheduler.betas)

    def read(self, part: str, library: str, name: str, **options: Any) -> Any:
        """One part, by the class of a library that it belongs to."""
        found = getattr(_imported(library), name)
        try:
            return found.from_pretrained(self.folder, subfolder=part, **options)
        except UNREADABLE as error:
            if out_of_memory(error):
                raise
        raise self.damaged(part)

    def network(self, part: str, library: str, name: str, dtype: str) -> Any:
        """A part that computes; what does not fit on a GPU stays in the memory of the CPU until its turn comes."""
        files, needed = self.files(part)
        if self.hub:
            self.hub.download(files)
        options: dict[str, Any] = {"variant": "fp16"} if any(".fp16" in file for file in files) else {}
        if find_spec("accelerate") is None:
            options["low_cpu_mem_usage"] = False
        elif self.device.type == "cuda" and needed > ROOM * torch.cuda.mem_get_info(self.device)[0]:
            options["device_map"] = "auto"
        options |= {dtype: self.dtype, "use_safetensors": True, "output_loading_info": True}
        network, told = self.read(part, library, name, **options)
        if any(told[key] for key in ("missing_keys", "mismatched_keys", "error_msgs")):
            raise self.damaged(part)
        if "device_map" not in options:
            network.to(self.device)
        return network.eval().requires_grad_(False)

    def files(self, part: str) -> tuple[list[str], int]:
        """The weights and configs of a part that are to be read, in half precision where that does; and their bytes.

        Raises BadInput where there are none, or they do not fit into the memory.
        """
        local = {f"{part}/{file.name}": file.stat().st_size for file in (self.folder / part).glob("*")}
        found = (self.hub and self.hub.files(part)) or local
        weights = [file for file in found if file.endswith(".safetensors")]
        halves = [file for file in weights if ".fp16" in file]
        half = bool(halves) and (self.dtype != torch.float32 or len(halves) == len(weights))
        chosen = halves if half else [file for file in weights if file not in halves]
        if not chosen:
            raise self.damaged(part)
        needed = sum(found[file] for file in chosen) * (2 if half and self.dtype == torch.float32 else 1)
        if needed > (free := free_memory(self.device)):
            other = "or a smaller model" if part == "unet" else "or prompts that were encoded before"
            raise BadInput(
                f"The {part} of {self.name} needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
                f"use a larger machine {other}."
            )
        return [*chosen, *(file for file in found if file.endswith(".json"))], needed

    @cached_property
    def unet(self) -> Any:
        return self.network("unet", "diffusers", "UNet2DConditionModel", "torch_dtype")

    def encoded(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The embedding (L, D) of each prompt, on the CPU; the encoder is gone after that."""
        self.files("text_encoder"), self.files("unet")  # whether they fit, before anything large is downloaded
        if self.hub:
            self.hub.download(list(self.hub.files("tokenizer")) or ["tokenizer/*"])
        if not (self.folder / "tokenizer/tokenizer.json").is_file():
            _imported("sentencepiece"), _imported("google.protobuf")  # which read what such files were made from
        tokenizer = self.read("tokenizer", "transformers", "T5Tokenizer")
        texts = [prompt.lower().strip() for prompt in prompts]  # as IF learned them
        for prompt, text in zip(prompts, texts, strict=True):
            count = len(tokenizer(text).input_ids)
            if count > TOKENS:
                raise BadInput(
                    f"{shown(prompt)} has {count} tokens, and the text encoder takes {TOKENS}: say it in fewer words."
                )
        encoder = self.network("text_encoder", "transformers", "T5EncoderModel", "dtype")
        found = {}
        for prompt, text in zip(prompts, texts, strict=True):
            tokens = tokenizer(text, padding="max_length", max_length=TOKENS, return_tensors="pt").to(self.device)
            with torch.no_grad():
                found[prompt] = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0][0].cpu()
        del encoder
        self.release()
        return found

    def release(self) -> None:
        """Let go of the U-Net, and of the memory that parts had which are gone."""
        self.__dict__.pop("unet", None)
        gc.collect()  # parts that were moved between memories refer to themselves
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _imported(library: str) -> Any:
    """A library, quiet, or BadInput where it is not there."""
    try:
        found = import_module(library)
        if library in ("diffusers", "transformers"):
            logging = import_module(f"{library}.utils.logging")
            logging.set_verbosity_error()
            logging.disable_progress_bar()
    except ImportError:
        raise BadInput(
            f"Text-to-image weights need {library}: install what they need with `pip install -e '.[pretrained]'`."
        ) from None
    return found
