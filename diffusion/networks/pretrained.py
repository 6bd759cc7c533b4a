"""DeepFloyd IF, text-to-image networks that others trained, as models of the contract of model.py.

The parts come as `diffusers` keeps them, a folder for each: a U-Net, its schedule, and a T5 that encodes prompts. From
each is taken what it says of itself, and the loops are this project's own. Prompts are the classes: label k draws
prompt k, and the empty prompt is the null label. The first stage draws 64 x 64 pixels (Saharia et al. 2022, Imagen,
https://arxiv.org/abs/2205.11487); the second makes them 256 x 256, and is shown the small picture, enlarged and noised.

The libraries that read the parts are imported when weights of this kind are asked for, and the parts themselves are
read when something is drawn: first the text encoder, which is let go of before the U-Net comes.
"""

import copy
import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from diffusion.checks import BadInput, shown
from diffusion.hardware import free_memory, out_of_memory
from diffusion.model import Offer, style_settings
from diffusion.recipe import SETTINGS
from diffusion.scheduler import Scheduler, T

INDEX = "model_index.json"  # the file that names the parts
STAGES = {"IFPipeline": 1, "IFSuperResolutionPipeline": 2}  # as the index calls them
TOKENS = 77  # of a prompt: IF was trained with no longer ones
CHUNK = 16  # images that go through the network at once
ROOM = 0.8  # the share of a GPU's free memory that weights may take: images and activations need some
NOISE_LEVEL = 250  # of the small picture, as the second stage is shown it
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


class TextToImage:
    """One stage of DeepFloyd IF: the model contract, for prompts that it is told."""

    def __init__(self, parts: Parts):
        self.parts = parts
        self.device = parts.device
        config, schedule = parts.json("unet/config.json"), parts.json("scheduler/scheduler_config.json")
        channels = config.get("out_channels", 0) // 2
        if config.get("in_channels") != parts.stage * channels or not config.get("encoder_hid_dim"):
            raise BadInput(f"The U-Net of {parts.name} is none of DeepFloyd IF: choose one of its models.")
        self.width = int(config["encoder_hid_dim"])  # of an embedding
        self.shape = (int(channels), int(config["sample_size"]), int(config["sample_size"]))
        self.scheduler = parts.schedule("scheduler")
        self.thresholding = (
            (schedule.get("dynamic_thresholding_ratio", 0.995), schedule.get("sample_max_value", 1.0))
            if schedule.get("thresholding")
            else None
        )
        self.prompts: tuple[str, ...] = ("",)
        self.known: Mapping[str, Tensor] = {}  # embeddings by prompt
        self.seen: Tensor | None = None  # by the second stage: the small pictures, enlarged and noised

    @property
    def fingerprint(self) -> str:
        """A short name, made of the configs: the weights are too large to be read for it."""
        files = ("unet/config.json", "scheduler/scheduler_config.json")
        return sha256(b"\0".join((self.parts.folder / file).read_bytes() for file in files)).hexdigest()[:8]

    @property
    def offer(self) -> Offer:
        narrow = {"guidance": 7.0 if self.parts.stage == 1 else 4.0, "guidance_interval": (0, T - 1), "sampler": "ddpm"}
        settings = SETTINGS | style_settings(None)
        settings |= {name: replace(settings[name], default=default) for name, default in narrow.items()}
        return Offer(
            self.prompts,
            settings,
            takes_text=True,
            upscales=self.parts.stage == 2 and self.seen is None,
            thresholding=self.thresholding,
        )

    def told(self, prompts: Sequence[str], embeddings: Mapping[str, Tensor] | None = None) -> "TextToImage":
        """The same model, whose classes are these prompts.

        Args:
            embeddings: of prompts that were encoded before, (L, D) or (1, L, D) each, with that of the empty prompt.
        """
        other = copy.copy(self)
        other.prompts = tuple(prompts)
        if embeddings is not None:
            other.known = {name: each[0] if each.ndim == 3 else each for name, each in embeddings.items()}
            if any(each.ndim != 2 or each.shape[1] != self.width for each in other.known.values()):
                raise BadInput(
                    f"The embeddings must be {self.width} wide for these weights, and some are not: choose those of "
                    "their text encoder."
                )
            if len({len(each) for each in other.known.values()}) > 1:
                raise BadInput("The embeddings must all be of as many tokens: have them encoded in one way.")
            for prompt in dict.fromkeys([*prompts, ""]):
                if prompt not in other.known:
                    raise BadInput(f"There is no embedding of {shown(prompt)}: choose others, or leave them out.")
        return other

    def seeing(self, pictures: Tensor, noise: Tensor) -> "TextToImage":
        """The second stage, as it makes these small pictures (B, C, h, w) large; the noise is (B, C, H, W)."""
        level = self.parts.schedule("image_noising_scheduler").level(NOISE_LEVEL)
        large = F.interpolate(pictures.to(noise), self.shape[1:], mode="bilinear", align_corners=True)
        other = copy.copy(self)
        other.seen = level.alpha * large + level.sigma * noise
        return other

    def free(self) -> None:
        """Let go of the network, so that another one has room: it comes back when it is needed."""
        self.parts.release()

    def null(self, condition: Tensor) -> Tensor:
        return torch.full_like(condition, len(self.prompts))

    @torch.no_grad()
    def __call__(self, x: Tensor, i: int, condition: Tensor, *steering: float) -> Tensor:
        """The guess. The first half of the network's channels is eps; the second, a variance, is not used."""
        if self.seen is not None:
            x = torch.cat([x, self.seen.repeat(len(x) // len(self.seen), 1, 1, 1)], 1)
        channels, level = self.shape[0], self.scheduler.level(i)
        guesses = []
        for part, labels in zip(x.split(CHUNK), condition.split(CHUNK), strict=True):
            words = self.words(labels)
            told = torch.full((len(part),), NOISE_LEVEL, device=self.device) if self.seen is not None else None
            out = self.parts.unet(part.to(self.parts.dtype), i, words, class_labels=told, return_dict=False)[0]
            guesses.append((part[:, :channels] - level.sigma * out[:, :channels].float()) / level.alpha)
        return torch.cat(guesses)

    def words(self, labels: Tensor) -> Tensor:
        """The embeddings (B, L, D) of labels (B,): all prompts that are not known yet are encoded at once."""
        told = (*self.prompts, "")
        if missing := [prompt for prompt in dict.fromkeys(told) if prompt not in self.known]:
            self.known = {**self.known, **self.parts.encoded(missing)}
        return torch.stack([self.known[told[label]] for label in labels.tolist()]).to(self.device, self.parts.dtype)


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
