"""A model for the lab that needs no training: it knows the best guess for real digits in closed form."""

import pytest
import torch
from torch import Tensor

from diffusion import Pipeline
from diffusion.data import to_float
from diffusion.model import Offer
from diffusion.scheduler import Scheduler

NULL = 10


class ClosedForm:
    """The guess is the mean of those of its images that x may have come from, and that have the label asked for."""

    device, offer = torch.device("cpu"), Offer(tuple("0123456789"))

    def __init__(self, images: Tensor, labels: Tensor, schedule: str = "flow"):
        self.images, self.labels, self.scheduler = images, labels, Scheduler(schedule)
        self.shape = tuple(images.shape[1:])

    def null(self, condition: Tensor) -> Tensor:
        return torch.full_like(condition, NULL)

    def __call__(self, x: Tensor, i: int, condition: Tensor, *steering: float) -> Tensor:
        level = self.scheduler.level(i)
        distance = (x[:, None] - level.alpha * self.images).square().flatten(2).sum(2)  # (B, P)
        wrong = (condition[:, None] != self.labels) & (condition[:, None] != NULL)
        weights = (-distance / (2 * level.sigma**2)).masked_fill(wrong, -torch.inf).softmax(1)
        return torch.einsum("bp,pchw->bchw", weights, self.images)


@pytest.fixture(scope="session")
def model(digits) -> ClosedForm:
    images, labels = digits
    return ClosedForm(to_float(images[::5]), labels[::5])


@pytest.fixture
def exact(model) -> Pipeline:
    return Pipeline(model)


@pytest.fixture(scope="session")
def wide() -> Pipeline:
    """A model of images that are 12 high and 20 wide, in colour."""
    images = torch.rand(10, 3, 12, 20, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Pipeline(ClosedForm(images, torch.arange(10)))
