"""Files are written whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diffusion.checks import BadInput


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` at the end, or is removed after an error.

    The parent folder is created. A new file has the mode that the umask leaves it, and a replaced one keeps its own; a
    symbolic link stays one, and what it points to is replaced. Raises BadInput where the file cannot be written.
    """
    target, temporary, mode = _begun(path)
    try:
        yield temporary
        with suppress(OSError):  # a file system without modes, such as a cloud bucket's
            temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        raise BadInput(f"Cannot write {path}: {error.strerror or error}. Free space or choose another path.") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """BadInput where `replacing` cannot write: ask it before long work that ends in this file."""
    _begun(path)[1].unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, in UTF-8 on every system."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whose content is known as a whole."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _begun(path: str | Path) -> tuple[Path, Path, int]:
    """Where a path leads, an empty temporary file beside that, and the mode to give it in the end.

    The name is short, for that of the path may be as long as a name can be, and it has an ending, for torch.save.
    """
    try:
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        kept = _mode(target)
        mode = 0o666 if kept is None else kept | stat.S_IRUSR | stat.S_IWUSR  # to write in it at all
        temporary = target.with_name(f".{secrets.token_hex(4)}.part")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        return target, temporary, stat.S_IMODE(temporary.stat().st_mode) if kept is None else kept
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"Cannot write {path}: {reason}. Choose a path that you may write.") from None


def _mode(target: Path) -> int | None:
    """The mode of a file that is to be replaced, or None where there is none."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):  # a device or a pipe would be gone
        raise OSError("it is a folder" if stat.S_ISDIR(mode) else "it is no ordinary file")
    return stat.S_IMODE(mode)
