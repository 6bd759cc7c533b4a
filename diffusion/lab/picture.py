"""Pictures from outside: what a photo, a drawing or a file of digits is to the network."""

import base64
import binascii
import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps

from diffusion.checks import BadInput, shown
from diffusion.files.render import MAX_PIXELS
from diffusion.lab.ink import SIDE, centred, ink

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # JPEG has that of phones, MPO, in it
MAX_FILE = 200_000_000  # bytes
MAX_BATCH = 100_000  # pictures in a file
PACKED = "iVBORw0KGgo"  # what every packed picture begins with: a PNG does, and base 64 keeps it
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
