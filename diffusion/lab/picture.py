"""Pictures from outside: what a photo, a drawing or a file of digits is to the network."""

import base64
import binascii
import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFilter, ImageOps

from diffusion.checks import BadInput, shown
from diffusion.files.render import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # JPEG has that of phones, MPO, in it
WORKING = 400  # pixels of the longer side on which a digit is looked for
FAINTEST = 0.08  # contrast of a digit with its paper, from black to white
MIN_INK = 0.0005  # the share of a picture that a digit must cover
BOX = 20  # pixels that a digit of MNIST fits in, of SIDE
SIDE = 28
MAX_FILE = 200_000_000  # bytes
MAX_BATCH = 100_000  # pictures in a file
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError, OverflowError)


class Packed:
    """The values of a setting that is a picture, as `packed` writes them."""

    def __str__(self) -> str:
        return "a picture"

    def check(self, name: str, value: Any) -> str:
        if value == "":
            raise BadInput(f"{name} must be a picture: draw one or choose a file.")
        unpacked(value)
        return str(value)

    def read(self, text: str) -> Any:
        return text


def packed(pixels: np.ndarray) -> str:
    """A picture uint8 (H, W[, 3]) as text, a PNG in base 64: some hundred characters for a digit."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def unpacked(text: Any) -> np.ndarray:
    """The picture that `packed` wrote, uint8 (H, W[, 3]), or BadInput."""
    try:
        with _opened(BytesIO(base64.b64decode(text, validate=True)), "This picture") as image:
            return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except (binascii.Error, *UNREADABLE) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput("The picture in this recipe is damaged: choose another copy of it.") from None


def check_shape(what: str, pixels: np.ndarray, shape: tuple[int, int, int]) -> None:
    """BadInput for a picture that is not what a model of this (C, H, W) takes."""
    channels, height, width = shape
    if pixels.shape != ((height, width) if channels == 1 else (height, width, channels)):
        colour = "in grey" if channels == 1 else "in colour"
        raise BadInput(f"{what} must be {width} x {height} pixels {colour} for these weights.")


def load(
    source: str | Path | bytes,
    shape: tuple[int, int, int],
    *,
    as_is: bool = False,
    what: str = "A picture that is left as it is",
) -> np.ndarray:
    """What a file is to a model of (C, H, W): uint8 (N, H, W), or (N, H, W, C) in colour, N = 1 for a picture.

    Args:
        source: the path or the bytes of a picture (PNG, JPEG, WebP, GIF or BMP), or of a batch of digits (an .npz with
            `images`, or an IDX file).
        as_is: leave a picture of the right size as it is.
        what: how that is called where it is of another size.

    Raises BadInput for what is none of these, or has no digit on it.
    """
    name, content = "This file", source
    if not isinstance(content, bytes):
        path = Path(content)
        name = shown(path.name)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE + 1)
        except (OSError, ValueError) as error:
            raise BadInput(f"Cannot read {name}: {getattr(error, 'strerror', None) or error}.") from None
    if len(content) > MAX_FILE:
        raise BadInput(f"{name} is larger than {MAX_FILE // 1_000_000} MB: choose a smaller one.")
    if not content:
        raise BadInput(f"{name} is empty: choose a picture.")
    if content.startswith((b"PK\3\4", b"\0\0\x08\3")):
        return _batch(content, name, shape)
    try:
        with _opened(BytesIO(content), name) as image:
            return (exactly(image, shape, what) if as_is else prepared(image, shape))[None]
    except BadInput:
        raise
    except UNREADABLE:
        raise BadInput(f"{name} is damaged or cut short: choose another picture.") from None


def _opened(file: BinaryIO, name: str) -> Image.Image:
    """A picture whose pixels are not read yet, of a size that can be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadInput(f"{name} is too large: choose one of at most {MAX_PIXELS // 1_000_000} megapixels.") from None
    except UNREADABLE:
        raise BadInput(f"{name} is no picture that can be read: choose a PNG, JPEG or WebP.") from None
    if image.width * image.height > MAX_PIXELS:
        raise BadInput(
            f"{name} has {image.width * image.height / 1e6:.0f} megapixels: "
            f"choose one of at most {MAX_PIXELS // 1_000_000}."
        )
    return image


def exactly(
    image: Image.Image, shape: tuple[int, int, int], what: str = "A picture that is left as it is"
) -> np.ndarray:
    """A picture of a model's own size, unchanged but for its colours: uint8 (H, W[, 3])."""
    pixels = np.asarray(flat(image).convert("L" if shape[0] == 1 else "RGB"))
    check_shape(what, pixels, shape)
    return pixels


def prepared(image: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """Any picture as one of a model's: uint8 (H, W[, 3]).

    A digit for MNIST is cut out, turned to white on black, scaled and centred. For other models a picture is cut to
    their shape and resized.
    """
    channels, height, width = shape
    image = flat(image)
    if shape == (1, SIDE, SIDE):
        return centred(ink(image.convert("L")))
    return np.asarray(
        ImageOps.fit(image.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.LANCZOS)
    )


def flat(image: Image.Image) -> Image.Image:
    """Upright, opaque, with 8 bits a channel, grey or in sRGB: the first frame of an animation.

    What is transparent becomes paper: white under dark strokes, black under light ones.
    """
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits a pixel
        image = Image.fromarray((np.asarray(image).astype(float) / 257).clip(0, 255).astype(np.uint8))
        profile = None
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha, image = image.getchannel("A"), image.convert("RGB")
    if image.mode in ("1", "P", "PA", "LA", "La"):
        image = image.convert("RGB" if image.mode.startswith("P") else "L")
    if profile:
        image = _in_srgb(image, profile)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if alpha is None:
        return image
    seen = np.asarray(alpha) / 255
    light = (np.asarray(image.convert("L")) * seen).sum() > 127 * seen.sum()
    paper = Image.new(image.mode, image.size, "black" if light else "white")
    return Image.composite(image, paper, alpha)


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours that a profile means; as they are where it is of no use."""
    try:
        meant = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, meant, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, *UNREADABLE):
        return image


def ink(image: Image.Image) -> np.ndarray:
    """How much ink is where on a grey picture, float (h, w) in [0, 1], at most 400 pixels wide and high.

    The light on the paper, a smooth surface, is taken away, so that dark on light and light on dark come to the same.
    A threshold between ink and paper is found by Otsu's method, and made gentle so that edges stay soft.
    """
    image.thumbnail((WORKING, WORKING), Image.Resampling.BOX)
    if min(image.size) > 60:
        image = image.filter(ImageFilter.MedianFilter(3))  # takes specks away
    grey = np.asarray(image, dtype=float) / 255
    difference = grey - _paper(grey)
    light, dark = np.quantile(difference, 0.999), -np.quantile(difference, 0.001)
    signed = difference if light >= dark else -difference
    found = signed.clip(0, max(light, dark))
    threshold = _otsu(found)
    if max(light, dark) < FAINTEST or (found > threshold).mean() < MIN_INK:
        raise BadInput("There is no digit on this picture, or too faint or small a one: draw it larger and darker.")
    low, high = 0.5 * threshold, min(1.5 * threshold, found.max())
    return ((found - low) / (high - low)).clip(0, 1)


def _paper(grey: np.ndarray) -> np.ndarray:
    """The paper under the ink: the quadratic surface that fits best, where what is far from it counts no more."""
    rows, columns = (np.linspace(-1, 1, n) for n in grey.shape)
    y, x = (each.ravel() for each in np.meshgrid(rows, columns, indexing="ij"))
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], 1)
    values, border = grey.ravel(), (abs(x) > 0.85) | (abs(y) > 0.85)
    level = np.median(values[border])  # paper is what most of the border is
    surface = np.full_like(values, level)
    for _ in range(4):
        off = abs(values - surface)
        near = off <= max(0.02, 2.5 * float(np.median(off[border])))
        if near.sum() < 10 * terms.shape[1]:
            break
        surface = terms @ np.linalg.lstsq(terms[near], values[near], rcond=None)[0]
    return surface.reshape(grey.shape)


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts values best in two (Otsu 1979)."""
    counts, edges = np.histogram(values, 128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nan_to_num(apart).argmax())])


def centred(ink: np.ndarray) -> np.ndarray:
    """Ink (h, w) in [0, 1] as a digit of MNIST, uint8 (28, 28): scaled into 20 x 20, centred by its mass."""
    rows, columns = (np.flatnonzero((ink > 0.2).any(axis)) for axis in (1, 0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(cut.shape)
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    resized = Image.fromarray((255 * cut).astype(np.uint8)).resize((width, height), Image.Resampling.HAMMING)
    digit = np.asarray(resized, dtype=float)
    digit *= 255 / digit.max()  # thin lines are faint when they are made small
    weight = digit / digit.sum()
    # MNIST's centres of mass lie on pixel 14, counted from 0.
    middle = [(weight.sum(1 - axis) * np.arange(size)).sum() for axis, size in enumerate((height, width))]
    top, left = (
        int(np.clip(round(SIDE // 2 - centre), 0, SIDE - size))
        for centre, size in zip(middle, (height, width), strict=True)
    )
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[top : top + height, left : left + width] = digit.round()
    return canvas


def _batch(content: bytes, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """The digits in an .npz or IDX file, uint8 (N, H, W[, C])."""
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(BytesIO(content)) as archive:
                if archive.getinfo("images.npy").file_size > MAX_PIXELS * 2:
                    raise BadInput(f"{name} holds too many digits: choose at most {MAX_BATCH:,}.")
                with archive.open("images.npy") as file:
                    images = np.lib.format.read_array(file, allow_pickle=False)
        else:
            sides = np.frombuffer(content, ">i4", 3, offset=4)
            images = np.frombuffer(content, np.uint8, offset=16).reshape(sides)
    except BadInput:
        raise
    except (KeyError, zipfile.BadZipFile, EOFError, RuntimeError, *UNREADABLE):
        raise BadInput(
            f"{name} holds no digits that can be read: choose an .npz with images, or an IDX file."
        ) from None
    if images.dtype != np.uint8 or not images.ndim >= 3 or not len(images):
        raise BadInput(f"{name} must hold images as whole numbers from 0 to 255.")
    if len(images) > MAX_BATCH:
        raise BadInput(f"{name} holds too many digits: choose at most {MAX_BATCH:,}.")
    check_shape(f"Each image in {name}", images[0], shape)
    return images
