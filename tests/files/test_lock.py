"""The lock on what is being written: one process at a time, whatever happens to it."""

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from diffusion.files import lock
from diffusion.files.lock import locked

HOLD = (
    "import sys; from diffusion.files.lock import locked\nwith locked(sys.argv[1]): print('held', flush=True); input()"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of run/state.pt."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run" / "state.pt")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.process
def test_a_second_process_is_refused_at_once_and_a_crash_leaves_no_lock(tmp_path, holder, refuses):
    path = tmp_path / "run" / "state.pt"
    with refuses("busy"), locked(path, "It is busy."):
        pytest.fail("both work on it")
    holder.kill()
    holder.wait()
    with locked(path, "It is busy."):
        pass
    assert list(tmp_path.iterdir()) == [path.parent]  # made by the other, and nothing in it
    assert not list(path.parent.iterdir())


@pytest.mark.process
def test_another_name_is_another_lock(tmp_path, holder):
    for path in ("run/scores.json", "other/state.pt"):
        with locked(tmp_path / path, "It is busy."):
            pass


def test_without_a_sentence_the_second_waits_for_its_turn(tmp_path):
    order = []

    def work(name: str) -> None:
        with locked(tmp_path / "new" / "file"):
            order.append(name)
            threading.Event().wait(0.3)
            order.append(name)

    threads = [threading.Thread(target=work, args=name) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[0::2] == order[1::2]
    assert not (tmp_path / "new").exists()


def test_what_is_written_stays_with_its_folder(tmp_path):
    with locked(tmp_path / "a" / "b" / "file"):
        (tmp_path / "a" / "note").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["note"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF])
def test_a_file_system_without_locks_costs_no_work(tmp_path, monkeypatch, code):
    def refuse(file: object) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(lock, "_lock", refuse)
    with locked(tmp_path / "file", "It is busy."):
        (tmp_path / "file").touch()
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize("path", ["a-file/run/state.pt", "zero\0byte/state.pt", f"{'long' * 100}/state.pt"])
def test_a_folder_that_cannot_be_made_is_left_to_who_writes(tmp_path, path):
    (tmp_path / "a-file").touch()
    with locked(tmp_path / path, "It is busy."):
        pass
