"""DeepFloyd IF, text-to-image networks that others trained, as models of the contract of model.py.

From each of their parts (parts.py) is taken what it says of itself, and the loops are this project's own. Prompts are
the classes: label k draws prompt k, and the empty prompt is the null label. The first stage draws 64 x 64 pixels
(Saharia et al. 2022, Imagen, https://arxiv.org/abs/2205.11487); the second makes them 256 x 256, and is shown the small
picture, enlarged and noised.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.checks import BadInput, shown
from diffusion.model import Offer, style_settings
from diffusion.networks.parts import Parts
from diffusion.recipe import SETTINGS
from diffusion.scheduler import T

CHUNK = 16  # images that go through the network at once
NOISE_LEVEL = 250  # of the small picture, as the second stage is shown it


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
    def name(self) -> str:
        return self.parts.name

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
