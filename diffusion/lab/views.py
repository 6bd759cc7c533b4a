"""Views of a picture: other ways to look at it, such as upside down.

Each only moves pixels, and so is linear and orthogonal: white noise stays white noise, and a network can denoise what
it sees. An interpolated turn, a blur or a change of size would not do (Geng et al. 2023,
https://arxiv.org/abs/2311.17919).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffusion.checks import BadInput

PATCHES = 4  # of a jigsaw, in a row and in a column
SHUFFLE = 4  # the seed of its permutation

Move = Callable[[Tensor], Tensor]  # (..., H, W) -> (..., H, W)


@dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        help: how to look at the picture, in words.
        view: images (..., H, W) -> what is seen.
        inverse_view: what is seen -> the images.
        divides: what both sides must be a multiple of.
        square: whether they must be of one length.
        off: rows and columns by which digits, seen through it, are off the place where the network knows them.
    """

    help: str
    view: Move
    inverse_view: Move
    divides: int = 1
    square: bool = False
    off: tuple[int, int] = (0, 0)

    @property
    def centred(self) -> "View":
        """The same, with what is seen moved back by `off`; what leaves at one edge comes in at the other.

        MNIST's digits have their centre of mass at row 14 and column 14 of 0..27: half a pixel below the middle and
        right of it, and turned by half they have it at 13. A network that learned from them knows no others.
        """
        here, back = self.off, (-self.off[0], -self.off[1])
        return replace(
            self,
            view=lambda x: self.view(x).roll(back, (-2, -1)),
            inverse_view=lambda x: self.inverse_view(x.roll(here, (-2, -1))),
            off=(0, 0),
        )

    def check(self, name: str, shape: tuple[int, int, int]) -> None:
        """BadInput where images of this (C, H, W) have no such view."""
        _, height, width = shape
        if self.square and height != width:
            raise BadInput(f"{name} needs square images, and these are {width} x {height}: choose another view.")
        if height % self.divides or width % self.divides:
            raise BadInput(
                f"{name} needs sides that are multiples of {self.divides}, and these images are {width} x {height}: "
                "choose another view."
            )


def _turned(quarters: int) -> tuple[Move, Move]:
    """Counterclockwise, by quarters of a turn."""
    return lambda x: x.rot90(quarters, (-2, -1)), lambda x: x.rot90(-quarters, (-2, -1))


def _own_inverse(look: Move) -> tuple[Move, Move]:
    return look, look


def _permuted(order: Tensor) -> Move:
    """The patches of an image, laid in another order."""

    def look(x: Tensor) -> Tensor:
        *batch, height, width = x.shape
        rows, columns = height // PATCHES, width // PATCHES
        patches = x.reshape(*batch, PATCHES, rows, PATCHES, columns).transpose(-3, -2)
        patches = patches.reshape(*batch, PATCHES**2, rows, columns)[..., order.to(x.device), :, :]
        return patches.reshape(*batch, PATCHES, PATCHES, rows, columns).transpose(-3, -2).reshape(x.shape)

    return look


_ORDER = torch.randperm(PATCHES**2, generator=torch.Generator().manual_seed(SHUFFLE), device="cpu")

VIEWS = {
    "rotate-180": View("turned by half", *_turned(2), off=(-1, -1)),
    "rotate-90": View("turned left by a quarter", *_turned(1), square=True, off=(-1, 0)),
    "rotate-270": View("turned right by a quarter", *_turned(3), square=True, off=(0, -1)),
    "flip": View("upside down, as in a lake", *_own_inverse(lambda x: x.flip(-2)), off=(-1, 0)),
    "mirror": View("in a mirror", *_own_inverse(lambda x: x.flip(-1)), off=(0, -1)),
    "transpose": View("rows as columns", *_own_inverse(lambda x: x.transpose(-2, -1)), square=True),
    "jigsaw": View("cut into 16 pieces and laid anew", _permuted(_ORDER), _permuted(_ORDER.argsort()), divides=PATCHES),
    "identity": View("as it is", *_own_inverse(lambda x: x)),
}
"""Every view by name."""
