"""Files of labels: those that people have are read, and all others refused in a sentence."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from diffusion.files.labels import missing, read_labels

NAMES = ("zero", "one", "two", "Ankle boot")


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(values: list[int]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values))
    return buffer.getvalue()


def archive(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def idx(labels: list[int], magic: bytes = b"\0\0\x08\x01") -> bytes:
    return magic + len(labels).to_bytes(4, "big") + bytes(labels)


@pytest.mark.parametrize(
    "content",
    [
        b"3\n0\n3\n1\n",
        b"label\r\n3\r\n0\r\n3\r\n1\r\n",
        b"\xef\xbb\xbffile;Label\na;3\nb;0\n\nc;ankle boot\nd;1\n",
        b'name\tclass\n"a\tb"\t3\nb\tzero\nc\t3\nd\tone\n',
        npz(images=np.zeros((4, 2, 2)), labels=np.array([3, 0, 3, 1])),
        npz(y=np.array([[3.0], [0.0], [3.0], [1.0]])),
        idx([3, 0, 3, 1]),
        gzip.compress(idx([3, 0, 3, 1]), mtime=0),
    ],
)
def test_labels_come_in_their_order(tmp_path, content):
    (tmp_path / "labels").write_bytes(content)
    assert read_labels(tmp_path / "labels", NAMES) == [3, 0, 3, 1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no labels"),
        (b"label\n", "holds no labels"),
        (b"4\n", "holds the label 4, and there are 0 to 3"),
        (b"-1\n", "holds the label -1"),
        (b"2.5\n", "holds '2.5', which is no label"),
        ("²\n".encode(), "which is no label"),
        (b"cat\n", "holds 'cat', which is no label"),
        (b"a,b\n1,2\n", "has no column named label"),
        (b"file,label\na\n", "holds '', which is no label"),
        (b"\xff\xfe1\n", "cannot be read as labels"),
        (b"PK nothing", "cannot be read as labels"),
        (npz(images=np.zeros(3)), "has no array named label"),
        (npz(labels=np.zeros((3, 2))), "must hold one whole number for each image"),
        (npz(labels=np.array([0.5])), "must hold one whole number for each image"),
        (npz(labels=np.array(["a", "b"])), "must hold one whole number for each image"),
        (npz(labels=np.array([{}], object)), "cannot be read as labels"),
        (npz(labels=np.array([np.inf])), "must hold one whole number for each image"),
        (npz(labels=np.array([1j])), "must hold one whole number for each image"),
        (archive("label", b"1\n2\n"), "has no array but something else as label"),
        (archive("label.npy", npy([1, 2])[:20]), "cannot be read as labels"),
        (idx([1, 2], b"\0\0\x08\x03"), "holds no labels but images"),
        (idx([1, 2])[:-1], "2 labels should be in it, and there are 1"),
        (gzip.compress(b"1\n2\n", mtime=0)[:-9], "cannot be unpacked"),
    ],
)
def test_any_other_file_is_refused(tmp_path, refuses, content, sentence):
    (tmp_path / "labels").write_bytes(content)
    with refuses(sentence):
        read_labels(tmp_path / "labels", NAMES)


def test_more_labels_than_can_be_drawn_are_refused(tmp_path, refuses, monkeypatch):
    monkeypatch.setattr("diffusion.files.labels.MAX_IMAGES", 3)
    (tmp_path / "labels").write_text("1\n" * 4)
    with refuses("holds 4 labels, more than 3"):
        read_labels(tmp_path / "labels", NAMES)


def test_what_is_missing_fills_up_to_equal_numbers():
    assert missing([7, 7, 3, 7, 5, 5]) == [3, 5, 3]
    assert missing([1, 2]) == []
