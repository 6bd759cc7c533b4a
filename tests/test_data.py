"""The data sets and their pixels: upright, exact there and back, and damage is told."""

import gzip
import hashlib
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import datasets

from diffusion.data import DATASETS, load, to_float, to_uint8

ALL_VALUES = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
RAW_FILES = [Path(file).name for file in DATASETS["mnist"].files]
RELATIVES = [name for name in DATASETS if name not in ("mnist", "cifar10")]

each_relative = pytest.mark.parametrize("name", RELATIVES)
each_dataset = pytest.mark.parametrize("name", DATASETS)


@pytest.fixture
def make_relative(mnist_folder):
    """make_relative(name) turns the MNIST folder into that of a relative, with the same digits inside."""

    def make(name: str) -> Path:
        for old, new in zip(DATASETS["mnist"].files, DATASETS[name].files, strict=True):
            content = (mnist_folder / old).read_bytes()
            if DATASETS[name].transposed and "images" in new:
                pixels = np.frombuffer(content[16:], np.uint8).reshape(-1, 28, 28)
                content = content[:16] + pixels.transpose(0, 2, 1).tobytes()
            (mnist_folder / new).parent.mkdir(parents=True, exist_ok=True)
            (mnist_folder / new).write_bytes(content)
            (mnist_folder / old).unlink()
        return mnist_folder

    return make


@pytest.fixture
def cifar_images() -> Tensor:
    """60 images of noise, ten for each file of CIFAR-10: uint8 (60, 32, 32, 3)."""
    return torch.randint(256, (60, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def cifar_folder(tmp_path, cifar_images, monkeypatch) -> Path:
    """A folder as torchvision keeps CIFAR-10, of those images with labels 0..9, and torchvision told its checksums."""
    folder = tmp_path / "data"

    def write(file: str, content: dict[str, object]) -> str:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / file).read_bytes()).hexdigest()

    sums = []
    for file, images in zip(DATASETS["cifar10"].files, cifar_images.split(10), strict=True):
        rows = images.permute(0, 3, 1, 2).reshape(10, 3072).numpy()  # red, then green, then blue
        sums.append([Path(file).name, write(file, {"data": rows, "labels": list(range(10))})])
    meta = write("cifar-10-batches-py/batches.meta", {"label_names": list(DATASETS["cifar10"].names)})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:])
    monkeypatch.setattr(datasets.CIFAR10, "meta", datasets.CIFAR10.meta | {"md5": meta})
    return folder


@pytest.fixture
def offline(monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("unreachable")

    for module in (datasets.mnist, datasets.cifar):
        monkeypatch.setattr(module, "download_and_extract_archive", fail)


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
    images, labels = load("mnist", mnist_folder, train=train)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert torch.equal(images, digits[0])
    assert torch.equal(labels, digits[1])


@each_relative
@pytest.mark.parametrize("train", [True, False])
def test_its_relatives_are_read_upright(make_relative, digits, name, train):
    images, labels = load(name, str(make_relative(name)), train=train)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert images.is_contiguous()
    assert torch.equal(images, digits[0])
    assert torch.equal(labels, digits[1])


@pytest.mark.parametrize("train", [True, False])
def test_cifar10_is_read_in_colour(cifar_folder, cifar_images, train):
    images, labels = load("cifar10", cifar_folder, train=train)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert images.is_contiguous()
    assert torch.equal(images, cifar_images[:50] if train else cifar_images[50:])
    assert labels.tolist() == list(range(10)) * (5 if train else 1)


class Evil:
    """Pickled, it makes a file called "opened" as it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("opened"),)


@pytest.mark.parametrize("file", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
@pytest.mark.parametrize("train", [True, False])
def test_a_cifar10_file_of_a_wrong_checksum_is_never_unpickled(
    cifar_folder, offline, monkeypatch, refuses, file, train
):
    monkeypatch.chdir(cifar_folder.parent)
    evil = cifar_folder / "cifar-10-batches-py" / file
    evil.write_bytes(pickle.dumps(Evil()))
    with refuses("The CIFAR-10 files in data are damaged. Delete data/cifar-10-batches-py and try again."):
        load("cifar10", "data", train=train)
    assert not Path("opened").exists()
    pickle.loads(evil.read_bytes())
    assert Path("opened").exists()  # it would have been told


def test_torchvision_knows_the_checksums_of_cifar10_by_heart():
    sums = [md5 for _, md5 in datasets.CIFAR10.train_list + datasets.CIFAR10.test_list]
    for md5 in (*sums, datasets.CIFAR10.meta["md5"], datasets.CIFAR10.tgz_md5):
        assert len(bytes.fromhex(md5)) == 16


def test_the_files_and_classes_are_those_of_torchvision():
    for name in ("fashion-mnist", "kmnist"):
        assert DATASETS[name].names == tuple(getattr(datasets, DATASETS[name].source).classes)
    assert DATASETS["emnist-digits"].names == tuple(datasets.EMNIST.classes_split_dict["digits"])
    for name in ("mnist", "fashion-mnist", "kmnist"):
        files = [Path(file).stem for file, _ in getattr(datasets, DATASETS[name].source).resources]
        assert sorted(files) == sorted(Path(file).name for file in DATASETS[name].files)
    batches = datasets.CIFAR10.train_list + datasets.CIFAR10.test_list
    assert [Path(file).name for file in DATASETS["cifar10"].files] == [file for file, _ in batches]


@pytest.mark.parametrize("name", ["imagenet", "MNIST", "", None, 7, ["mnist"]], ids=str)
def test_other_data_sets_are_refused(tmp_path, refuses, name):
    with refuses("dataset must be one of mnist, fashion-mnist, kmnist, emnist-digits, cifar10"):
        load(name, tmp_path, train=True)


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
        load("mnist", "data", train=name.startswith("train"))


def test_labels_and_images_must_belong_together(mnist_folder, monkeypatch, refuses):
    monkeypatch.chdir(mnist_folder.parent)
    labels = mnist_folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes((0x801).to_bytes(4, "big") + (10).to_bytes(4, "big") + bytes(10))
    with refuses("damaged"):
        load("mnist", "data", train=True)


def test_labels_must_be_digits(mnist_folder, monkeypatch, refuses):
    monkeypatch.chdir(mnist_folder.parent)
    labels = mnist_folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with refuses("damaged"):
        load("mnist", "data", train=True)


def test_images_must_be_of_mnist_s_size(mnist_folder, monkeypatch, refuses):
    monkeypatch.chdir(mnist_folder.parent)
    images = mnist_folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    header = b"".join(n.to_bytes(4, "big") for n in (0x803, 300, 20, 20))
    images.write_bytes(header + bytes(300 * 20 * 20))
    with refuses("damaged"):
        load("mnist", "data", train=True)


@each_relative
@pytest.mark.parametrize("k", range(4))
def test_damage_to_a_relative_is_told_too(make_relative, monkeypatch, refuses, name, k):
    folder = make_relative(name)
    monkeypatch.chdir(folder.parent)
    damage(folder / DATASETS[name].files[k], "cut in its middle")
    own = Path(DATASETS[name].files[0]).parts[0]
    with refuses(f"The {DATASETS[name].title} files in data are damaged. Delete data/{own} and try again."):
        load(name, "data", train=k < 2)


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
        load("mnist", "nowhere", train=True)


@each_dataset
def test_missing_data_is_told_with_the_folder_that_is_wanted(tmp_path, monkeypatch, offline, refuses, name):
    monkeypatch.chdir(tmp_path)
    with refuses(f"{DATASETS[name].title} is not in nowhere and could not be downloaded") as caught:
        load(name, "nowhere", train=True)
    assert f"give the folder that holds {Path(DATASETS[name].files[0]).parent} as the data folder." in str(caught.value)


@each_dataset
def test_a_folder_that_is_a_file_is_told(tmp_path, monkeypatch, refuses, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("a file")
    with refuses("data"):
        load(name, "data", train=True)


FORBIDDEN = "Tunnel connection failed: 403 Forbidden"
MIRRORS = (
    f"Error downloading a.gz:\nTried https://one.example/, got:\n<urlopen error {FORBIDDEN}>\n"
    "Tried https://two.example/, got:\nHTTP Error 404: Not Found\n"
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError(MIRRORS), FORBIDDEN),
        (urllib.error.URLError(OSError(-2, "Name or service not known")), "Name or service not known"),
        (urllib.error.HTTPError("https://one.example/", 503, "Busy", {}, None), "HTTP Error 503: Busy"),
        (RuntimeError("File not found or corrupted."), "File not found or corrupted"),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reason_of_a_failed_download_is_told_and_no_folder_left(tmp_path, monkeypatch, refuses, error, reason):
    def download(self: datasets.MNIST) -> None:
        Path(self.raw_folder).mkdir(parents=True, exist_ok=True)
        raise error

    monkeypatch.setattr(datasets.MNIST, "download", download)
    monkeypatch.chdir(tmp_path)
    with refuses(f"({reason}). Connect to the internet, or give"):
        load("mnist", "new/data", train=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "data/MNIST/raw"), "Cannot use 'data/MNIST/raw': Permission denied."),
        (OSError(28, "No space left on device"), "There is no space left in data"),
    ],
)
def test_what_the_folder_refuses_is_no_fault_of_the_network(tmp_path, monkeypatch, refuses, error, sentence):
    def download(self: datasets.MNIST) -> None:
        raise error

    monkeypatch.setattr(datasets.MNIST, "download", download)
    monkeypatch.chdir(tmp_path)
    with refuses(sentence):
        load("mnist", "data", train=True)


def pack(folder: Path, name: str) -> list[Path]:
    """Replace a data set's files with .gz files, which have other checksums than those of its authors."""
    packed = []
    for file in DATASETS[name].files:
        packed.append((folder / file).with_name(f"{Path(file).name}.gz"))
        packed[-1].write_bytes(gzip.compress((folder / file).read_bytes(), 1))
        (folder / file).unlink()
    return packed


@pytest.mark.parametrize("name", ["mnist", *RELATIVES])
def test_gz_files_that_are_there_are_used(make_relative, mnist_folder, offline, digits, name):
    folder = mnist_folder if name == "mnist" else make_relative(name)
    packed = pack(folder, name)
    images, labels = load(name, folder, train=True)
    assert torch.equal(images, digits[0])
    assert torch.equal(labels, digits[1])
    assert all(file.exists() for file in packed)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(bytes(range(256)) * 9, mtime=0)[:50], "which cannot be unpacked (Compressed file ended"),
        (b"<html>", "which cannot be unpacked (Not a gzipped file"),
        (gzip.compress(b"<html>", mtime=0), "which holds something else"),
        (None, "add data/MNIST/raw/t10k-labels-idx1-ubyte, which is missing"),
    ],
)
def test_what_is_wrong_with_a_gz_file_is_told(mnist_folder, monkeypatch, offline, refuses, content, sentence):
    *_, last = pack(mnist_folder, "mnist")
    last.write_bytes(content) if content else last.unlink()
    monkeypatch.chdir(mnist_folder.parent)
    with refuses(sentence) as caught:
        load("mnist", "data", train=True)
    assert "data/MNIST/raw/t10k-labels-idx1-ubyte" in str(caught.value)


def test_an_archive_that_is_no_use_is_named(tmp_path, monkeypatch, offline, refuses):
    monkeypatch.chdir(tmp_path)
    Path("cifar-10-python.tar.gz").write_bytes(b"half of it")
    with refuses("replace cifar-10-python.tar.gz, whose content is not the original"):
        load("cifar10", ".", train=True)
