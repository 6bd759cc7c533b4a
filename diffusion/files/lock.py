"""One process at a time: a lock on what is being written."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from diffusion.checks import BadInput

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextmanager
def locked(path: str | Path, busy: str = "") -> Iterator[None]:
    """Work on a file, or on what it stands for, while no other process does.

    The operating system keeps the lock and ends it with the process, however that ends: a crash leaves at most an
    empty hidden file beside `path`, which locks nothing. Where the folder or its file system takes no lock, the work
    goes on without one. Folders that are made for the lock and stay empty are removed.

    Args:
        busy: the sentence that refuses a second process at once, as BadInput; without one it waits for its turn.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    made: list[Path] = []
    file = None
    try:
        try:
            file = _hold(lock, busy, made)
        except BadInput:
            raise
        except (OSError, ValueError):  # who writes there says so in better words; ValueError: a zero byte in the name
            pass
        yield
    finally:
        if file:
            _release(file, lock)
        for folder in made:
            with suppress(OSError, ValueError):  # it is in use, or never came to be
                folder.rmdir()


def _hold(lock: Path, busy: str, made: list[Path]) -> BinaryIO:
    """The lock file, open and locked; `made` gets the folders that are made for it.

    Raises BadInput where another process holds it, and OSError where there are no locks.
    """
    while True:
        made += [] if made else [folder for folder in lock.parents if not folder.exists()]
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = lock.open("ab")
        except FileNotFoundError:  # the last holder has just removed the folder
            continue
        try:
            _lock(file)
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        except FileNotFoundError:  # removed by the last holder, like one that is no longer the same: try the next
            pass
        except (BlockingIOError, PermissionError):  # PermissionError: what Windows says
            if busy:
                file.close()
                raise BadInput(busy) from None
            time.sleep(0.2)
        except OSError:
            file.close()
            raise
        file.close()


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _release(file: BinaryIO, lock: Path) -> None:
        file.close()
        with suppress(OSError):  # the next one has opened it
            lock.unlink()

else:

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(file: BinaryIO, lock: Path) -> None:
        with suppress(OSError):
            lock.unlink()  # first: nobody else's file has this name yet
        file.close()
