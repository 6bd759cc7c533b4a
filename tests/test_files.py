"""Files are written whole or not at all."""

import stat
from pathlib import Path

import pytest

from diffusion import BadInput
from diffusion.files import replacing


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "new.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent  # so that the last step is a rename
        assert temporary.suffix == path.suffix
    assert path.read_text() == "new"
    assert names(path.parent) == ["new.txt"]


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_others_may_read_it(tmp_path):
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) & 0o444 == 0o444


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
