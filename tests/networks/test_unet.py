"""The network: shapes that come back, inputs that matter, and configs that cannot be built."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from diffusion.networks.unet import Block, SelfAttention, TimeEmbedding, UNet, UNetConfig

TINY = {"channels": (8, 16), "blocks": 1, "attention": (), "embedding": 16, "stem": 2}


@pytest.fixture
def network(make_denoiser):
    def make(**settings) -> UNet:
        return make_denoiser(UNetConfig(**TINY | settings)).unet.requires_grad_()

    return make


def inputs(batch: int = 2, channels: int = 1, size: int = 28) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(batch) * 7 % 1000, torch.arange(batch) % 11


@pytest.mark.parametrize(
    ("size", "colours", "stem", "channels"),
    list(product((28, 32), (1, 3), (1, 2), ((8,), (8, 16), (8, 8, 16)))),  # 28 halves to 7, then to 4
)
@torch.no_grad()
def test_the_prediction_is_shaped_like_the_images(size, colours, stem, channels, network):
    unet = network(channels=channels, stem=stem, image_channels=colours, image_size=size)
    assert unet(*inputs(2, colours, size)).shape == (2, colours, size, size)


@pytest.mark.parametrize("size", [10, 14, 22])
@torch.no_grad()
def test_sizes_that_are_odd_on_the_way_down_come_back(size, network):
    assert network(channels=(8, 8, 8))(*inputs(1, size=size)).shape == (1, 1, size, size)


@pytest.mark.parametrize("attention", [(), (0,), (1,), (0, 1)])
@torch.no_grad()
def test_attention_works_at_its_levels_and_in_the_middle(attention, network):
    unet = network(attention=attention)
    sizes = []
    for layer in unet.modules():
        if isinstance(layer, SelfAttention):
            layer.register_forward_hook(lambda layer, arguments, output: sizes.append(output.shape[-1]))
    unet(*inputs())
    assert sizes.count(14) == 3 * (0 in attention)  # one block on the way down, two on the way up
    assert sizes.count(7) == 3 * (1 in attention) + 1


@torch.no_grad()
def test_the_prediction_depends_on_image_level_and_label(network):
    unet = network()
    x, i, labels = inputs()
    base = unet(x, i, labels)
    for changed in (unet(x + 0.1, i, labels), unet(x, i + 1, labels), unet(x, i, labels + 1)):
        assert ((changed - base).abs().amax(dim=(1, 2, 3)) > 1e-4).all()


@torch.no_grad()
def test_each_image_is_on_its_own(network):
    unet = network()
    x, i, labels = inputs(3)
    together = unet(x, i, labels)
    for k in range(3):
        torch.testing.assert_close(unet(x[k : k + 1], i[k : k + 1], labels[k : k + 1])[0], together[k])


@torch.no_grad()
def test_the_null_label_is_one_more_label(network):
    assert UNetConfig().null_label == 10
    unet = network()
    x, i, _ = inputs(11)
    outputs = unet(x[:1].expand(11, -1, -1, -1), i[:1].expand(11), torch.arange(11))
    assert torch.pdist(outputs.flatten(1)).min() > 1e-3


def test_gradient_reaches_every_parameter(network):
    unet = network(channels=(16, 32))
    unet(*inputs()).square().mean().backward()
    for name, parameter in unet.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-9, name


@torch.no_grad()
def test_an_untrained_network_says_zero():
    assert not UNet(UNetConfig(**TINY))(*inputs()).any()


@pytest.mark.parametrize("attention", [False, True])
@torch.no_grad()
def test_an_untrained_block_does_nothing(attention):
    x = inputs(channels=8)[0]
    assert torch.equal(Block(8, 8, 16, attention=attention)(x, torch.randn(2, 16)), x)


@torch.no_grad()
def test_attention_is_a_softmax_over_all_pixels_in_each_head():
    layer = SelfAttention(64)
    assert layer.heads == 2
    nn.init.eye_(layer.out.weight.view(64, 64))
    x = torch.randn(2, 64, 3, 5, generator=torch.Generator().manual_seed(0))
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).chunk(3, dim=1)  # (2, 64, 15) each
    for head in (np.s_[:, :32], np.s_[:, 32:]):
        weights = torch.softmax(torch.einsum("bci,bcj->bij", q[head], k[head]) / math.sqrt(32), dim=-1)
        wanted = x[head].flatten(2) + torch.einsum("bij,bcj->bci", weights, v[head])
        torch.testing.assert_close(layer(x)[head].flatten(2), wanted, rtol=0, atol=1e-5)


@torch.no_grad()
def test_neighbouring_levels_have_different_embeddings():
    embedding = TimeEmbedding(64)(torch.arange(1000))
    steps = embedding.diff(dim=0).norm(dim=1) / embedding.norm(dim=1).mean()
    assert steps.min() > 0.01


@torch.no_grad()
def test_the_time_embedding_moves_over_the_whole_range():
    waves = TimeEmbedding(64)
    waves.mlp = nn.Identity()
    embedding = waves(torch.arange(0, 1000, 100))
    distances = torch.pdist(embedding) / embedding.norm(dim=1).mean()
    assert distances.min() > 0.3
    assert torch.pdist(waves(torch.arange(0, 1000, 100) / 1000)).median() < 0.5 * torch.pdist(embedding).median()


def test_the_course_project_shape_has_about_15_million_parameters():
    with torch.device("meta"):
        unet = UNet(UNetConfig(channels=(64, 128, 256), blocks=2))
    assert 14e6 < sum(p.numel() for p in unet.parameters()) < 17e6


def test_a_config_from_json_equals_its_source():
    assert UNetConfig(channels=[8, 16], attention=[1]) == UNetConfig(channels=(8, 16), attention=(1,))


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": ()},
        {"channels": (8,) * 7},
        {"channels": (12,)},
        {"channels": (0,)},
        {"channels": (-8,)},
        {"channels": (8192,)},
        {"channels": (8.5,)},
        {"attention": (2,)},
        {"attention": (-1,)},
        {"blocks": 0},
        {"blocks": 17},
        {"blocks": 1.5},
        {"embedding": 15},
        {"embedding": 0},
        {"embedding": "16"},
        {"stem": 0},
        {"stem": 3},
        {"stem": None},
        {"image_channels": 0},
        {"image_size": 0},
        {"image_size": 27},
        {"classes": 0},
    ],
    ids=str,
)
def test_shapes_that_cannot_be_built_are_refused(settings, refuses):
    with refuses():
        UNetConfig(**TINY | settings)
