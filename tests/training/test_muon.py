"""Muon's steps: their singular values and vectors, and PyTorch's own Muon beside them."""

import pytest
import torch
from torch import Tensor

from diffusion.training.muon import RMS, Muon, orthogonal

SHAPES = [(8, 9), (8, 504), (48, 96), (96, 48), (96, 96), (64, 1)]


def stepped(weights: list[Tensor], gradients: list[list[Tensor]], **options: float) -> list[Tensor]:
    """Copies of the weights after a step for each list of gradients."""
    weights = [weight.clone() for weight in weights]
    optimizer = Muon(weights, **options)
    for each in gradients:
        for weight, gradient in zip(weights, each, strict=True):
            weight.grad = gradient
        optimizer.step()
    return weights


class TestOrthogonal:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_it_keeps_the_singular_vectors_and_brings_the_values_near_1(self, shape):
        rows, columns = shape
        rank = min(shape)
        u, v = (torch.linalg.qr(torch.randn(2, size, rank))[0] for size in shape)
        values = torch.logspace(-1, 1, rank).expand(2, rank)
        made = orthogonal(u @ torch.diag_embed(values) @ v.mT)
        assert made.shape == (2, rows, columns)
        inner = u.mT @ made @ v
        found = inner.diagonal(dim1=1, dim2=2)
        assert found.min() > 0.65
        assert found.max() < 1.25
        assert (inner - torch.diag_embed(found)).abs().max() < 1e-3
        torch.testing.assert_close(u @ inner @ v.mT, made, atol=1e-3, rtol=0)  # nothing beside these vectors

    def test_its_size_does_not_depend_on_that_of_the_matrix(self):
        matrices = torch.randn(1, 16, 40)
        for factor in (1e-4, 1e4):
            torch.testing.assert_close(orthogonal(factor * matrices), orthogonal(matrices), atol=1e-2, rtol=0)

    def test_a_value_of_a_five_hundredth_of_the_norm_comes_near_1_too(self):
        made = orthogonal(torch.diag(torch.tensor([1.0, 1 / 500]))[None])
        assert 0.65 < made[0, 1, 1] < 1.25

    def test_nothing_stays_nothing(self):
        assert orthogonal(torch.zeros(2, 5, 3)).abs().max() == 0


class TestSteps:
    @pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has Muon from 2.9 on")
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_they_are_those_of_pytorch(self, shape):
        start, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(5)]
        (mine,) = stepped([start], [[gradient] for gradient in gradients], lr=0.1, weight_decay=0.5)
        other = start.clone()
        optimizer = torch.optim.Muon([other], lr=0.1, weight_decay=0.5, adjust_lr_fn="match_rms_adamw")
        for gradient in gradients:
            other.grad = gradient
            optimizer.step()
        assert (mine - other).norm() < 0.02 * (mine - start).norm()  # theirs computes in bf16

    def test_a_convolution_is_the_matrix_of_its_filters(self):
        kernel, gradient = torch.randn(8, 4, 3, 3), torch.randn(8, 4, 3, 3)
        (convolution,) = stepped([kernel], [[gradient]], lr=0.1)
        (matrix,) = stepped([kernel.flatten(1)], [[gradient.flatten(1)]], lr=0.1)
        torch.testing.assert_close(convolution.flatten(1), matrix)

    def test_each_weight_steps_as_if_it_were_alone(self):
        shapes = [(8, 4, 3, 3), (8, 36), (16, 8), (8, 4, 3, 3)]
        weights = [torch.randn(shape) for shape in shapes]
        gradients = [[torch.randn(shape) for shape in shapes] for _ in range(3)]
        together = stepped(weights, gradients, lr=0.1, weight_decay=0.1)
        for k, weight in enumerate(weights):
            (alone,) = stepped([weight], [[each[k]] for each in gradients], lr=0.1, weight_decay=0.1)
            torch.testing.assert_close(together[k], alone)

    @pytest.mark.parametrize("shape", [(64, 64), (32, 128), (128, 32)], ids=str)
    def test_an_element_moves_by_rms_learning_rates(self, shape):
        (moved,) = stepped([torch.zeros(shape)], [[torch.randn(shape)]], lr=1.0)
        assert moved.square().mean().sqrt() == pytest.approx(RMS, rel=0.2)

    def test_under_a_zero_gradient_only_the_decay_moves_a_weight(self):
        (moved,) = stepped([torch.ones(4, 6)], [[torch.zeros(4, 6)]], lr=0.1, weight_decay=0.5)
        torch.testing.assert_close(moved, torch.full((4, 6), 0.95))

    def test_a_weight_without_a_gradient_stays_as_it_is(self):
        weights = [torch.ones(4, 6), torch.ones(4, 6)]
        weights[1].grad = torch.randn(4, 6)
        Muon(weights, lr=0.1, weight_decay=0.5).step()
        assert torch.equal(weights[0], torch.ones(4, 6))
        assert not torch.equal(weights[1], torch.ones(4, 6))

    def test_it_finds_the_bottom_of_a_bowl(self):
        target, weight = torch.randn(12, 20), torch.zeros(12, 20, requires_grad=True)
        optimizer = Muon([weight], lr=0.1)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 200)
        for _ in range(200):
            optimizer.zero_grad()
            (weight - target).square().sum().backward()
            optimizer.step()
            rate.step()
        assert (weight - target).abs().max() < 0.05
