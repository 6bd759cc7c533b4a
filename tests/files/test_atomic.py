"""Files are written whole or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffusion import BadInput, Pipeline
from diffusion.files.atomic import check_writable, replacing, write_text


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "new.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent  # so that the last step is a rename
    assert path.read_text() == "new"
    assert names(path.parent) == ["new.txt"]


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.fixture
def umask():
    """Sets the umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002], ids=oct)
def test_the_umask_decides_who_may_read_a_new_file(tmp_path, tiny_denoiser, umask, mask):
    umask(mask)
    write_text(tmp_path / "a.txt", "new")
    Pipeline(tiny_denoiser).save_pretrained(tmp_path)  # whose writer makes a file of its own
    with replacing(tmp_path / "state.pt") as temporary:
        torch.save({}, temporary)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~mask}


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444], ids=oct)
def test_a_replaced_file_keeps_its_mode_and_is_never_wider(tmp_path, mode):
    path = tmp_path / "file.txt"
    path.write_text("old")
    path.chmod(mode)
    with replacing(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) & ~mode & 0o077 == 0
        temporary.write_text("new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)


def test_a_file_system_without_modes_costs_nothing(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    monkeypatch.setattr(os, "chmod", refused)
    for text in ("new", "newer"):
        write_text(tmp_path / "file.txt", text)
        assert (tmp_path / "file.txt").read_text() == text


def test_a_symbolic_link_is_followed_even_to_nothing(tmp_path):
    (tmp_path / "link.txt").symlink_to(Path("folder", "file.txt"))
    for text in ("new", "newer"):
        write_text(tmp_path / "link.txt", text)
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "folder" / "file.txt").read_text() == text
    assert names(tmp_path / "folder") == ["file.txt"]


def test_what_is_no_file_is_refused_and_kept(tmp_path, refuses):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to(os.devnull)
    os.mkfifo(tmp_path / "pipe")
    for name, sentence in {"loop": "symbolic links", "device": "no ordinary file", "pipe": "no ordinary file"}.items():
        with refuses(sentence):
            check_writable(tmp_path / name)
    assert sorted(names(tmp_path)) == ["device", "loop", "pipe"]


def test_the_longest_names_can_be_written(tmp_path):
    name = "\u00e4" * 125 + ".png"  # 254 bytes
    write_text(tmp_path / name, "new")
    assert names(tmp_path) == [name]


FULL = """
import resource, sys
from diffusion import BadInput, Pipeline
result = Pipeline.from_pretrained("few-step", device="cpu")(range(10), steps=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
for path in sys.argv[1:]:
    try:
        result.save(path)
    except BadInput as error:
        print(error)
"""


@pytest.mark.process
def test_a_full_disk_is_told_in_one_sentence_of_the_path_that_was_given(tmp_path):
    paths = [f"full{ending}" for ending in (".png", ".gif", ".webp", ".apng", ".npz", ".zip", ".idx.zip")]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *paths],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    sentences = [f"Cannot write {path}: File too large. Free space or choose another path." for path in paths]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (sentences, "", 0)
    assert names(tmp_path) == []


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(1)], ids=type)
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_full_disk_is_reported_and_leaves_the_old_file(tmp_path, refuses):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with refuses("No space left on device"):
        write_half(path, OSError(28, "No space left on device"))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_path_below_a_file_is_refused(tmp_path, refuses):
    (tmp_path / "file").write_text("in the way")
    with refuses("Cannot write"), replacing(tmp_path / "file" / "below.txt"):
        pytest.fail("nothing can be written here")


def test_a_folder_is_refused_and_kept(tmp_path, refuses):
    (tmp_path / "folder").mkdir()
    with refuses("it is a folder"), replacing(tmp_path / "folder"):
        pytest.fail("nothing can be written here")
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "zero\0byte.png"], ids=["too long", "zero byte"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(BadInput, match="Cannot write"), replacing(tmp_path / name):
        pytest.fail("nothing can be written here")
    assert names(tmp_path) == []
