"""The recipe inside a picture, read from its headers: no pixel is decoded, and no more is read than a recipe can need.

PNG and animated PNG carry it as a text chunk "recipe", GIF as its comment, and WebP as the image description in its
EXIF data. A .json file is the recipe itself, in UTF-8 or UTF-16, with a byte order mark or without, as editors and
shells write it.
"""

import json
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from diffusion.checks import BadInput, shown

LONGEST = 4_000_000  # bytes of a recipe: a million digits
LONGEST_FILE = 2 * LONGEST + 2  # bytes of a .json file: in UTF-16, after its byte order mark
MOST_PARTS = 20_000  # chunks or blocks looked at, enough for a recipe of that length in the 255 bytes of a GIF's blocks


def read_recipe(path: str | Path) -> str:
    """The recipe (JSON) inside a PNG, GIF or WebP written here, or in a .json file, or BadInput."""
    path = Path(path)
    name = shown(path.name)
    if not path.is_file():
        raise BadInput(f"There is no file {name}: check the path.")
    try:
        with path.open("rb") as file:
            found = file.read(LONGEST_FILE + 1) if path.suffix.lower() == ".json" else _inside(file, name)
    except (EOFError, struct.error):
        raise BadInput(f"{name} is damaged or cut short: choose another copy of it.") from None
    except OSError as error:
        raise BadInput(f"Cannot read {name}: {error.strerror or error}.") from None
    text = found.decode(json.detect_encoding(found), "replace").strip()
    if not text.startswith("{") or len(text) > LONGEST or len(found) > LONGEST_FILE:
        raise BadInput(f"{name} carries no recipe: choose a picture made by this project.")
    return text


def exif(recipe: str) -> bytes:
    """EXIF data (TIFF 6.0, section 2) that holds a text as its ImageDescription and nothing else."""
    text = recipe.encode() + b"\0"
    header = (b"II", 42, 8)  # little-endian, and where the one directory starts
    entry = (0x010E, 2, len(text), 26)  # ImageDescription, ASCII, its length and where it starts
    return struct.pack("<2sHI H HHII I", *header, 1, *entry, 0) + text


def _inside(file: BinaryIO, name: str) -> bytes:
    """The text of a picture, empty where it has none. Raises EOFError where the file ends too early."""
    start = file.read(12)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        file.seek(8)
        return _png(file)
    if start.startswith((b"GIF87a", b"GIF89a")):
        file.seek(10)
        return _gif(file)
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return _webp(file)
    raise BadInput(f"{name} is no PNG, GIF or WebP: choose a picture made by this project.")


def _png(file: BinaryIO) -> bytes:
    """The text chunk "recipe" before the pixels, unless packed (https://www.w3.org/TR/png-3/, section 11.3.3.4)."""
    for _ in range(MOST_PARTS):
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IDAT":
            break
        if kind != b"iTXt" or length > LONGEST:
            file.seek(length + 4, 1)
            continue
        chunk = _read(file, length)
        if zlib.crc32(kind + chunk) != int.from_bytes(_read(file, 4)):
            raise EOFError
        if chunk.startswith(b"recipe\0\0\0"):  # not compressed
            return chunk[9:].split(b"\0", 2)[-1]  # after the language and the translated keyword
    return b""


def _gif(file: BinaryIO) -> bytes:
    """The comment before the first image (GIF89a, section 24)."""
    flags, _, _ = _read(file, 3)
    if flags & 0x80:
        file.seek(3 * 2 ** ((flags & 7) + 1), 1)  # the colours
    parts: list[bytes] = []
    left = MOST_PARTS
    while _read(file, 1) == b"!" and left > 0:
        left -= 1
        comment = _read(file, 1) == b"\xfe"
        while (size := _read(file, 1)[0]) and left > 0:
            left -= 1
            part = _read(file, size)
            if comment:
                parts.append(part)
        if comment:
            break
    return b"".join(parts)


def _webp(file: BinaryIO) -> bytes:
    """The image description, where `exif` wrote it (https://developers.google.com/speed/webp/docs/riff_container)."""
    for _ in range(MOST_PARTS):
        head = file.read(8)
        if not head:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"EXIF" and length <= LONGEST:
            chunk = _read(file, length)
            text = chunk[26:-1]
            return text if chunk == exif(text.decode("utf-8", "replace")) else b""
        file.seek(length + length % 2, 1)
    return b""


def _read(file: BinaryIO, size: int) -> bytes:
    """Exactly so many bytes, or EOFError."""
    found = file.read(size)
    if len(found) < size:
        raise EOFError
    return found
