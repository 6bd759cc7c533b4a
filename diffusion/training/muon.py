"""Muon: an optimizer for matrices, whose steps move all directions of a matrix alike.

The averaged gradient of a matrix has a few large singular values and many small ones. A step of Muon has the same
singular vectors, and all its singular values near 1, so that the many learn as fast as the few (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). A convolution is the matrix of its filters: (out, in * height * width).
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

RMS = 0.2  # of the elements of a step, in learning rates: about that of AdamW (Liu et al. 2025, arXiv:2502.16982, 2.2)


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions, of which the first is the matrix's rows and the others its columns.

    Args:
        weights: those without a gradient stay as they are.
        lr: learning rate; 1 moves an element by about RMS a step.
        momentum: how slowly the average of the gradients, with Nesterov's look ahead, forgets.
        weight_decay: decoupled from the gradient, as AdamW's.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            alike = defaultdict(list)  # matrices of one shape go through together, which a GPU likes
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if not self.state[weight]:
                    self.state[weight]["average"] = torch.zeros_like(weight)
                average = self.state[weight]["average"].lerp_(weight.grad, 1 - momentum)
                direction = weight.grad.lerp(average, momentum).flatten(1)
                weight.mul_(1 - lr * group["weight_decay"])
                alike[direction.shape].append((weight, direction))
            for shape, pairs in alike.items():
                steps = orthogonal(torch.stack([direction for _, direction in pairs]))
                for (weight, _), step in zip(pairs, steps, strict=True):
                    weight.sub_(step.view_as(weight), alpha=lr * RMS * max(shape) ** 0.5)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (N, rows, columns) with the same singular vectors and all singular values between about 0.7 and 1.2.

    Five steps of a Newton-Schulz iteration, with Jordan's coefficients, which grow small values fast and never quite
    come to rest at 1. Values below a five-hundredth of the norm are still on their way.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.7750 * gram) @ x
    return x
