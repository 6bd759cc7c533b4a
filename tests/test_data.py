"""MNIST and its pixels: exact there and back, and damage is told."""

import urllib.error

import pytest
import torch
from torchvision import datasets

from diffusion.data import mnist, to_float, to_uint8

ALL_VALUES = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
RAW_FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def test_every_pixel_value_comes_back():
    floats = to_float(ALL_VALUES)
    assert floats.shape == (1, 1, 16, 16)
    assert floats.dtype == torch.float32
    assert (floats.min().item(), floats.max().item()) == (-1, 1)
    back = to_uint8(floats)
    assert back.dtype == torch.uint8
    assert torch.equal(back, ALL_VALUES)


def test_colour_images_have_their_channels_first_inside():
    images = torch.arange(2 * 4 * 5 * 3, dtype=torch.uint8).view(2, 4, 5, 3)
    floats = to_float(images)
    assert floats.shape == (2, 3, 4, 5)
    torch.testing.assert_close(floats[1, 2, 3, 4], images[1, 3, 4, 2] / 127.5 - 1)
    assert torch.equal(to_uint8(floats), images)


@pytest.mark.parametrize("offset", [-0.49, -0.3, 0.3, 0.49])
def test_pixels_are_rounded_not_cut_off(offset):
    values = ALL_VALUES[:, 1:-1].float()
    floats = ((values + offset) / 127.5 - 1).unsqueeze(1)
    assert torch.equal(to_uint8(floats), ALL_VALUES[:, 1:-1])


def test_values_beyond_the_range_are_clipped():
    floats = torch.tensor([-1e9, -1.01, 1.01, 1e9, -torch.inf, torch.inf]).view(1, 1, 2, 3)
    assert to_uint8(floats).flatten().tolist() == [0, 0, 255, 255, 0, 255]


@pytest.mark.parametrize("train", [True, False])
def test_mnist_is_read(mnist_folder, digits, train):
    images, labels = mnist(mnist_folder, train=train)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert torch.equal(images, digits[0])
    assert torch.equal(labels, digits[1])


def damage(path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut in its header": content[:6],
            "cut in its middle": content[: len(content) // 2],
            "of another magic": b"\x00\x00\x0d" + content[3:],
            "a web page": b"<html>" + b"404 " * 100,
            "compressed": b"\x1f\x8b\x08\x08" + content[4:],
        }[how]
    )


@pytest.mark.parametrize("name", RAW_FILES)
@pytest.mark.parametrize(
    "how", ["empty", "cut in its header", "cut in its middle", "of another magic", "a web page", "compressed"]
)
def test_damaged_files_are_told(mnist_folder, monkeypatch, refuses, name, how):
    monkeypatch.chdir(mnist_folder.parent)
    damage(mnist_folder / "MNIST" / "raw" / name, how)
    with refuses("The MNIST files in data are damaged"):
        mnist("data", train=name.startswith("train"))


def test_labels_and_images_must_belong_together(mnist_folder, monkeypatch, refuses):
    monkeypatch.chdir(mnist_folder.parent)
    labels = mnist_folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes((0x801).to_bytes(4, "big") + (10).to_bytes(4, "big") + bytes(10))
    with refuses("damaged"):
        mnist("data", train=True)


def test_labels_must_be_digits(mnist_folder, monkeypatch, refuses):
    monkeypatch.chdir(mnist_folder.parent)
    labels = mnist_folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with refuses("damaged"):
        mnist("data", train=True)


def test_images_must_be_of_mnist_s_size(mnist_folder, monkeypatch, refuses):
    monkeypatch.chdir(mnist_folder.parent)
    images = mnist_folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    header = b"".join(n.to_bytes(4, "big") for n in (0x803, 300, 20, 20))
    images.write_bytes(header + bytes(300 * 20 * 20))
    with refuses("damaged"):
        mnist("data", train=True)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried https://example.org, got:\ntimed out\n"),
        RuntimeError("File not found or corrupted."),
        urllib.error.URLError("unreachable"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
        EOFError("Compressed file ended before the end-of-stream marker was reached"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_download_is_told(tmp_path, monkeypatch, refuses, error):
    def download(self):
        raise error

    monkeypatch.setattr(datasets.MNIST, "download", download)
    monkeypatch.chdir(tmp_path)
    with refuses("could not be downloaded"):
        mnist("nowhere", train=True)


def test_a_folder_that_is_a_file_is_told(tmp_path, monkeypatch, refuses):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("a file")
    with refuses("data"):
        mnist("data", train=True)
