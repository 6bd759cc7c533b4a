"""One random stream per image: alone or in a batch, an image gets the same noise."""

import pytest
import torch

from diffusion.noise import Noise

SHAPE = (1, 28, 28)
SEEDS = [5, 0, 2**32 - 1, 5, 77]


def test_an_image_s_stream_is_the_same_alone_and_in_a_batch():
    batch = Noise(SEEDS, SHAPE)
    alone = [Noise([seed], SHAPE) for seed in SEEDS]
    for _ in range(3):
        assert torch.equal(batch(), torch.cat([noise() for noise in alone]))


def test_the_noise_of_a_seed_is_that_of_a_generator_with_it():
    noise = Noise(SEEDS, SHAPE)()
    for k, seed in enumerate(SEEDS):
        assert torch.equal(noise[k], torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)))


def test_seeds_make_the_noise():
    first = Noise(SEEDS, SHAPE)()
    assert torch.equal(first, Noise(SEEDS, SHAPE)())
    assert torch.equal(first[0], first[3])
    distinct = first[[0, 1, 2, 4]].flatten(1)
    assert torch.pdist(distinct).min() > 20  # of unrelated normals: about sqrt(2 * 784), 40


def test_neighbouring_seeds_are_unrelated():
    noise = Noise(range(100), SHAPE)().flatten(1)
    correlations = torch.corrcoef(noise) - torch.eye(100)
    assert correlations.abs().max() < 0.2


def test_each_call_is_fresh():
    noise = Noise(SEEDS, SHAPE)
    first, second = noise(), noise()
    assert (first - second).flatten(1).norm(dim=1).min() > 20


def test_streams_leave_the_global_random_state_alone():
    state = torch.get_rng_state()
    Noise(SEEDS, SHAPE)()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_noise_is_standard_normal_of_the_asked_shape(shape):
    noise = Noise(range(200), shape)()
    assert noise.shape == (200, *shape)
    assert noise.dtype == torch.float32
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    assert float((noise**4).mean()) == pytest.approx(3, abs=0.1)
