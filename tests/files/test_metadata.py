"""The recipe inside a picture: read from a file cut, packed or made to harm, in a moment and in one sentence."""

import json
import os
import struct
import time
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from diffusion import BadInput
from diffusion.files.metadata import LONGEST, exif, read_recipe
from diffusion.files.render import save_gif, save_png

RECIPE = json.dumps({"version": 1, "digits": [7, 3], "note": 'ünïcode, "quotes" and \\ too'}, ensure_ascii=False)
TILE = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)


def write(path, recipe: str = RECIPE) -> None:
    """A picture of the kind that its name says, with a recipe."""
    if path.suffix == ".png":
        save_png(path, TILE, recipe)
    elif path.suffix == ".gif":
        save_gif(path, [TILE, TILE // 2], recipe)
    else:
        Image.fromarray(TILE).save(path, lossless=True, exif=exif(recipe))


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """A chunk of a PNG, which may lie about its length."""
    size = len(content) if length is None else length
    return struct.pack(">I", size) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PNG = b"\x89PNG\r\n\x1a\n"
GIF = b"GIF89a" + struct.pack("<HHBBB", 28, 28, 0, 0, 0)
HUGE = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0))
TEXT = chunk(b"iTXt", b"recipe\0\0\0\0\0" + RECIPE.encode())
PACKED = chunk(b"iTXt", b"recipe\0\1\0\0\0" + zlib.compress(bytes(50_000_000), 9))

each_kind = pytest.mark.parametrize("name", ["a.png", "a.gif", "a.webp"])


@each_kind
@pytest.mark.parametrize("recipe", [RECIPE, json.dumps({"digits": [7] * 5000})], ids=["short", "long"])
def test_every_kind_of_picture_carries_it(tmp_path, name, recipe):
    write(tmp_path / name, recipe)
    assert read_recipe(tmp_path / name) == recipe
    with Image.open(tmp_path / name) as image:  # and it is still a picture
        image.load()


def test_the_image_description_is_one_for_others_too(tmp_path):
    write(tmp_path / "a.webp", '{"version": 1}')
    with Image.open(tmp_path / "a.webp") as image:
        assert image.getexif()[0x010E] == '{"version": 1}'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_json_file_is_the_recipe_itself_as_editors_and_shells_write_it(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes(f" {RECIPE}\r\n".encode(encoding))
    assert read_recipe(tmp_path / "a.json") == RECIPE


@each_kind
def test_a_file_cut_anywhere_gives_the_whole_recipe_or_none(tmp_path, name, refuses):
    write(tmp_path / name)
    found = set()
    for length in reversed(range(min((tmp_path / name).stat().st_size, 1500))):
        os.truncate(tmp_path / name, length)
        with suppress(BadInput):
            found.add(read_recipe(tmp_path / name))
        if length == 60:
            with refuses(name):
                read_recipe(tmp_path / name)
    assert found <= {RECIPE}


@each_kind
def test_a_file_with_any_byte_changed_is_read_or_refused(tmp_path, name):
    write(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    with (tmp_path / name).open("r+b", buffering=0) as file:  # to write it anew each time takes a disk seconds
        for at, byte in enumerate(content[:600]):
            os.pwrite(file.fileno(), bytes([byte ^ 0xFF]), at)
            with suppress(BadInput):
                read_recipe(tmp_path / name)
            os.pwrite(file.fileno(), bytes([byte]), at)


@pytest.mark.parametrize(
    "content",
    [b"", b"just text", b"{}", PNG, b"GIF89a", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"PK\3\4", bytes(1000)],
    ids=repr,
)
def test_files_that_are_no_picture_are_refused(tmp_path, content, refuses):
    (tmp_path / "a.png").write_bytes(content)
    with refuses("a.png"):
        read_recipe(tmp_path / "a.png")


def test_missing_files_and_folders_are_refused(tmp_path, refuses):
    for path in (tmp_path / "missing.png", tmp_path, tmp_path / ("long" * 50 + ".png")):
        with refuses("There is no file"):
            read_recipe(path)


@pytest.mark.parametrize(
    ("name", "info"), [("a.png", {}), ("a.gif", {}), ("a.gif", {"comment": b"hello"}), ("a.webp", {})], ids=str
)
def test_pictures_of_others_are_refused(tmp_path, name, info, refuses):
    Image.fromarray(TILE).save(tmp_path / name, **info)
    with refuses("carries no recipe"):
        read_recipe(tmp_path / name)


@pytest.mark.parametrize("recipe", ["", "hello", "[7]", "{" + " " * 2_000_000], ids=["none", "text", "list", "bomb"])
def test_other_texts_are_refused(tmp_path, recipe, refuses):
    info = PngImagePlugin.PngInfo()
    info.add_text("recipe", recipe, zip=True)
    Image.fromarray(TILE).save(tmp_path / "a.png", pnginfo=info)
    with refuses("a.png"):
        read_recipe(tmp_path / "a.png")


def test_a_picture_too_large_to_decode_still_has_a_recipe(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG + HUGE + TEXT + chunk(b"IDAT", b""))
    assert read_recipe(tmp_path / "a.png") == RECIPE


@pytest.mark.parametrize(
    "content",
    [
        PNG + HUGE + PACKED + chunk(b"IDAT", b""),
        PNG + HUGE + chunk(b"IDAT", b""),
        PNG + chunk(b"iTXt", b"recipe", length=2**32 - 1),
        PNG + chunk(b"tEXt", b"") * 1_000_000,
        PNG + chunk(b"iTXt", b"recipe\0\0\0\0\0{" + b" " * LONGEST),
        GIF + b"!\xfe" + (b"\xff" + b"{" * 255) * 100_000 + b"\0;",
        GIF + b"!\xfe" + b"\1 " * 5_000_000,
        GIF + b"!\xf9\0" * 5_000_000,
        b"RIFF\0\0\0\0WEBP" + b"EXIF\0\0\0\0" * 1_000_000,
        b"RIFF\0\0\0\0WEBP" + b"EXIF\xff\xff\xff\xff" + bytes(1000),
        bytes(50_000_000),
    ],
    ids=["packed", "pixels", "length", "chunks", "long", "comment", "blocks", "extensions", "riff", "exif", "zeros"],
)
def test_files_made_to_harm_cost_little_time_and_memory(tmp_path, content, refuses):
    (tmp_path / "a.png").write_bytes(content)
    start = time.process_time()
    tracemalloc.start()
    try:
        with refuses("a.png"):
            read_recipe(tmp_path / "a.png")
        assert tracemalloc.get_traced_memory()[1] < 8 * LONGEST
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 2


def test_a_json_file_without_end_is_not_read_to_its_end(tmp_path, refuses):
    with (tmp_path / "a.json").open("wb") as file:
        file.write(b"{")
        file.truncate(10**11)
    with refuses("a.json"):
        read_recipe(tmp_path / "a.json")
