"""The course project's U-Net: its blocks, shapes and parameters as published, and what it is told."""

import pytest
import torch

from diffusion.networks.course import CONDITIONS, CourseConfig, CourseUNet, scaled


def parameters(width: int, condition: str) -> int:
    """By hand: a convolution from a to b channels has 9 * a * b + b, its batch norm 2 * b.

    The blocks of the sketch, in its order, have 9 + 27 + 72 + 18 of D**2 on the way down (both ConvBlocks and
    DownConvs), 49 * 4 in Unflatten, 16 * 4 + 18 and 16 * 2 + 18 in the UpBlocks, and 18 + 9 in the last ConvBlock.
    """
    squares = (9 + 27 + 72 + 18) + 4 * 49 + (64 + 18) + (32 + 18) + (18 + 9)
    blocks = 15 + 9 + 18 + 6 + 9 + 9 + 6  # biases and batch norms, and the 9 weights at the entrance
    count = squares * width**2 + blocks * width + (9 * width + 1)  # the last convolution
    if condition != "none":  # FCBlocks from 1 to 2 D and to D
        count += (2 + 2 * width + 1) * 2 * width + (2 + width + 1) * width
    if condition == "class":  # the same from 10
        count += (11 + 2 * width + 1) * 2 * width + (11 + width + 1) * width
    return count


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("width", [4, 64, 128])
def test_it_has_the_parameters_of_the_sketch(width, condition):
    with torch.device("meta"):
        network = CourseUNet(CourseConfig(width, condition))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters(width, condition)


def test_its_blocks_have_the_shapes_of_the_sketch():
    network, made = CourseUNet(CourseConfig(width=4)), {}
    for name, block in network.named_children():
        block.register_forward_hook(lambda _, __, out, name=name: made.__setitem__(name, tuple(out.shape[1:])))
    out = network(torch.rand(2, 1, 28, 28), torch.rand(2), torch.zeros(2, 10))
    assert out.shape == (2, 1, 28, 28)
    assert made == {
        "enter": (4, 28, 28),
        "down1": (4, 14, 14),
        "down2": (8, 7, 7),
        "flatten": (8, 1, 1),
        "unflatten": (8, 7, 7),
        "up1": (4, 14, 14),
        "up2": (4, 28, 28),
        "leave": (1, 28, 28),
        "t1": (8,),
        "t2": (4,),
        "c1": (8,),
        "c2": (4,),
    }


def test_time_multiplies_alone_and_is_added_where_the_class_multiplies():
    x, t, c = torch.rand(2, 3, 5, 5), torch.tensor([2.0, 3.0]), torch.rand(2, 3)
    double = lambda numbers: 2 * numbers.expand(-1, 3)  # noqa: E731
    assert torch.equal(scaled(x, None, t, None, c), x)
    torch.testing.assert_close(scaled(x, double, t, None, c), x * torch.tensor([4.0, 6.0]).view(2, 1, 1, 1))
    wanted = 2 * c[:, :, None, None] * x + torch.tensor([4.0, 6.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(scaled(x, double, t, double, c), wanted)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"width": 0}, "width"),
        ({"condition": "words"}, "condition"),
        ({"classes": 0}, "classes"),
        ({"level": 1000}, "level"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change, name, refuses):
    with refuses(name):
        CourseConfig(**change)
