"""Pictures of a map: the crowds of real images as faint points, and the ways of drawn ones across them."""

from collections.abc import Sequence
from colorsys import hls_to_rgb

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LARGE, SMALL = 900, 360  # pixels of a picture; the map in an animation lies between the two
REACH = 1.5  # from the middle to the edge
EDGE = 0.97  # where what lies outside is shown, as a share of that
OUTSIDE = 1.36  # where the names stand, as the middles of their crowds lie 1 away
SHARP = 2  # drawn so much larger, and made smaller: then lines are smooth
GROUND = (9, 9, 14)
WAY = (225, 225, 225)  # of an image that nobody asked for by its class
FAINT = 0.42  # how bright the points are


class Ground:
    """The map without any way.

    Args:
        points: places of real images, float (P, 2), x to the right and y down.
        labels: what they are, int (P,).
        names: of the classes.
    """

    def __init__(self, points: np.ndarray, labels: np.ndarray, names: Sequence[str]):
        self.points, self.labels, self.names = points, labels, names
        self.crowds = np.stack([points[labels == label].mean(0) for label in range(len(names))])
        around = np.arctan2(*self.crowds.T[::-1])
        self.colours = [_colour(angle) for angle in around]  # neighbours have like colours
        words = max(map(len, names)) > 2
        self.letter = 1 / (34 if words else 22)  # how high the letters of the names are, as a share of the picture
        self.where_names = self.crowds * (OUTSIDE - 0.2 * words, OUTSIDE)

    def empty(self, size: int) -> Image.Image:
        """Points and names, `SHARP` times as large."""
        side = SHARP * size
        picture = Image.new("RGB", (side, side), GROUND)
        pen = ImageDraw.Draw(picture)
        radius = side / 420
        for (x, y), label in zip(_pixels(self.points, side), self.labels, strict=True):
            colour = tuple(int(FAINT * part) for part in self.colours[label])
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        font = ImageFont.load_default(side * self.letter)
        for (x, y), name, colour in zip(_pixels(self.where_names, side), self.names, self.colours, strict=True):
            pen.text((x, y), name, colour, font, "mm")
        return picture

    def picture(
        self,
        path: np.ndarray,
        images: np.ndarray,
        labels: Sequence[int] | None,
        size: int,
        empty: Image.Image | None = None,
    ) -> np.ndarray:
        """The ways as far as they are known: uint8 (size, size, 3).

        Args:
            path: float (F, N, 2), where each image was, the newest last.
            images: uint8 (N, H, W[, 3]), drawn where they are.
            labels: what was asked for, or None.
        """
        picture = (empty or self.empty(size)).copy()
        pen = ImageDraw.Draw(picture)
        side = picture.width
        colours = [WAY] * len(images) if labels is None else [self.colours[label] for label in labels]
        for k, colour in enumerate(colours):
            spots = [tuple(spot) for spot in _pixels(path[:, k], side)]
            pen.line(spots, fill=colour, width=max(1, side // 300), joint="curve")
        seen = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)).copy()
        edge = round(size / (13 if len(images) <= 20 else 22))
        for image, spot in zip(images, _pixels(path[-1], size), strict=True):
            small = np.asarray(Image.fromarray(image).convert("RGB").resize((edge, edge), Image.Resampling.BILINEAR))
            x, y = (int(np.clip(part - edge / 2, 0, size - edge)) for part in spot)
            under = seen[y : y + edge, x : x + edge]
            np.maximum(under, small, out=under)
        return seen

    def beside(
        self, frames: Sequence[np.ndarray], path: np.ndarray, images: np.ndarray, labels: Sequence[int] | None
    ) -> list[np.ndarray]:
        """Frames of an animation, uint8 (H, W[, 3]), each with the map on its right.

        Args:
            path: float (F, N, 2), or longer, where something lies before the first frame.
            images: uint8 (F, N, H, W[, 3]), drawn where they are.
        """
        side = min(max(SMALL, frames[0].shape[0]), LARGE)
        empty = self.empty(side)
        done = []
        before = len(path) - len(frames)
        for k, frame in enumerate(frames):
            ways = self.picture(path[: before + k + 1], images[k], labels, side, empty)
            width, height = frame.shape[1], max(frame.shape[0], side)
            room = np.zeros((height, width + side, 3), np.uint8)
            top, beside = (height - frame.shape[0]) // 2, (height - side) // 2
            room[top : top + frame.shape[0], :width] = frame if frame.ndim == 3 else frame[..., None]
            room[beside : beside + side, width:] = ways
            done.append(room)
        return done


def _pixels(places: np.ndarray, side: int) -> np.ndarray:
    """Places (N, 2) as pixels of a picture of that width; what lies outside, at its edge."""
    return (np.clip(places / REACH, -EDGE, EDGE) + 1) * (side / 2)


def _colour(angle: float) -> tuple[int, int, int]:
    red, green, blue = hls_to_rgb((angle / (2 * np.pi)) % 1, 0.62, 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)
