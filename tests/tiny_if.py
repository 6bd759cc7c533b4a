"""DeepFloyd IF, tiny and random: the real classes, written to disk as diffusers keeps them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diffusion.networks.parts import INDEX

if TYPE_CHECKING:  # it is slow to import
    from diffusers import UNet2DConditionModel

WIDTH = 16  # of an embedding
SIZE = 16  # pixels of the first stage; the second has twice as many
SCHEDULE = {
    "beta_schedule": "squaredcos_cap_v2",
    "thresholding": True,
    "dynamic_thresholding_ratio": 0.95,
    "sample_max_value": 1.5,
    "variance_type": "fixed_small",
}


def unet(stage: int = 1, **changes: object) -> "UNet2DConditionModel":
    """The network of a stage, with blocks, additions and channels like those of IF."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(stage)
    config = {
        "sample_size": SIZE * stage,
        "in_channels": 3 * stage,
        "out_channels": 6,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "cross_attention_dim": 32,  # its norm has 32 groups
        "encoder_hid_dim": WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "cross_attention_norm": "group_norm",
        "resnet_time_scale_shift": "scale_shift",
        "act_fn": "gelu",
        "class_embed_type": "timestep" if stage == 2 else None,
    }
    return UNet2DConditionModel(**config | changes).eval()


def save(folder: Path, stage: int = 1, **changes: object) -> Path:
    """A repository with the network and the schedules, and no text encoder."""
    from diffusers import DDPMScheduler

    unet(stage, **changes).save_pretrained(folder / "unet")
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    for part in ["scheduler", "image_noising_scheduler"][:stage]:
        DDPMScheduler(**SCHEDULE).save_pretrained(folder / part)
        parts[part] = ["diffusers", "DDPMScheduler"]
    kind = "IFSuperResolutionPipeline" if stage == 2 else "IFPipeline"
    (folder / INDEX).write_text(json.dumps({"_class_name": kind} | parts))
    return folder


def embeddings(*prompts: str) -> dict[str, torch.Tensor]:
    """Random ones of these prompts, and of the empty one."""
    stream = torch.Generator().manual_seed(7)
    return {prompt: torch.randn(1, 5, WIDTH, generator=stream) for prompt in (*prompts, "")}


def save_encoder(folder: Path) -> None:
    """A text encoder and its tokenizer, which knows letters, beside the other parts."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(0)
    letters = [(letter, -1.0 - k / 100) for k, letter in enumerate("▁abcdefghijklmnopqrstuvwxyz")]
    tokenizer = T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters], extra_ids=0)
    config = T5Config(vocab_size=len(tokenizer), d_model=WIDTH, d_kv=4, d_ff=8, num_layers=2, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
