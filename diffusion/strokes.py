"""How a digit is written, measured on images: see style.py, which says what the attributes are."""

import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion import checks
from diffusion.files.atomic import replacing
from diffusion.style import ATTRIBUTES

SCALE = 4  # images are enlarged so many times before they are measured, as Morpho-MNIST does
TRIMMED = 0.01  # of the ink, left out on each side of the box: a stray dot makes no digit wide
BATCH = 50  # images measured at once: what fits a processor's cache is quicker
VERSION = 1  # of the measurements: kept ones of another version are made again


def measured(images: Tensor) -> Tensor:
    """The style of each image, uint8 (N, H, W) with light strokes on black: float32 (N, 3). Zeros where all is black.

    About a thousand images a second on one core.
    """
    return torch.cat([_measured(part) for part in images.split(BATCH) if len(part)] or [torch.zeros(0, 3)])


def _measured(images: Tensor) -> Tensor:
    ink = F.interpolate(images[:, None].float(), scale_factor=SCALE, mode="bicubic")[:, 0].clamp(0, 255)  # (B, h, w)
    total = ink.sum((1, 2)).clamp(min=1e-6)
    slant, upright = _slant(ink, total)
    style = torch.stack([_thickness(ink), slant, _width(ink, total, upright)], 1)
    return style * (images.amax((1, 2)) > 0)[:, None]


def _thickness(ink: Tensor) -> Tensor:
    """Four times the mean distance from a stroke's inside to its edge, which in a strip of width w is w / 4.

    Morpho-MNIST averages twice the distance over the skeleton alone; over the whole stroke it is the same for a strip,
    needs no skeleton and is not disturbed by its spurs. The stroke is what is above half the brightest value.
    """
    stroke = F.pad(ink > ink.amax((1, 2), keepdim=True) / 2, (1, 1, 1, 1))
    inside = _squared_distance(stroke).sqrt() - 0.5 * stroke  # from a pixel's middle to the edge, not the next middle
    return 4 * inside.sum((1, 2)) / stroke.sum((1, 2)).clamp(min=1) / SCALE


def _squared_distance(stroke: Tensor) -> Tensor:
    """From each pixel (B, H, W) of a stroke to the nearest outside of it, exactly; the border must lie outside.

    In a row it is a matter of counting. The rows above and below are then asked in turn, as far as they can matter
    (Saito & Toriwaki 1994).
    """
    place = torch.arange(stroke.shape[2], dtype=torch.int16, device=stroke.device).expand(stroke.shape)
    left = place - torch.where(stroke, 0, place).cummax(2).values
    right = torch.where(stroke, stroke.shape[2], place).flip(2).cummin(2).values.flip(2) - place
    along = torch.minimum(left, right).square()
    nearest = along.clone()
    for rows in range(1, stroke.shape[1]):
        if rows**2 >= nearest.max():
            break
        torch.minimum(nearest[:, rows:], along[:, :-rows] + rows**2, out=nearest[:, rows:])
        torch.minimum(nearest[:, :-rows], along[:, rows:] + rows**2, out=nearest[:, :-rows])
    return nearest.float()


def _slant(ink: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """The slant (B,), and the column (B, H, W) of each pixel once the digit is upright."""
    y, x = (torch.arange(size, device=ink.device).float() for size in ink.shape[1:])
    middle_y = (ink.sum(2) @ y / total)[:, None]
    middle_x = (ink.sum(1) @ x / total)[:, None]
    from_y, from_x = y - middle_y, x - middle_x  # (B, H), (B, W)
    covariance = torch.einsum("bhw,bh,bw->b", ink, from_y, from_x)
    variance = torch.einsum("bhw,bh->b", ink, from_y.square()).clamp(min=1e-6)
    shear = -covariance / variance
    return shear.atan(), x + (shear[:, None] * from_y)[:, :, None]


def _width(ink: Tensor, total: Tensor, column: Tensor) -> Tensor:
    """The width (B,) of what lies between the columns with TRIMMED of the ink on either side of them."""
    size = ink.shape[2]
    whole = (column.round().long() + size).clamp(0, 3 * size - 1)  # a sheared digit may reach beyond the image
    columns = torch.zeros(len(ink), 3 * size, device=ink.device).scatter_add_(1, whole.flatten(1), ink.flatten(1))
    share = columns.cumsum(1) / total[:, None]  # of the ink, up to the right edge of each column

    def place(wanted: float) -> Tensor:
        last = torch.searchsorted(share, torch.full_like(total, wanted)[:, None]).clamp(max=3 * size - 1)
        there, before = share.gather(1, last), share.gather(1, (last - 1).clamp(min=0))
        return (last + (wanted - before) / (there - before).clamp(min=1e-6)).squeeze(1)

    return (place(1 - TRIMMED) - place(TRIMMED)) / SCALE


def kept(images: Tensor, path: str | Path) -> Tensor:
    """Their `measured` style, read from a file where it was kept before, and else kept there, if that can be."""
    path = Path(path)
    images_crc = zlib.crc32(images.contiguous().numpy().tobytes())
    with suppress(Exception), np.load(path) as file:  # there is none yet, or a damaged one
        if (int(file["version"]), int(file["images"])) == (VERSION, images_crc):
            return torch.from_numpy(file["style"]).reshape(len(images), len(ATTRIBUTES))
    style = measured(images)
    with suppress(checks.BadInput, OSError), replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, version=VERSION, images=images_crc, style=style.numpy())
    return style
