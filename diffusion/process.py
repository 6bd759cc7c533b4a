"""What a program of this project does with its process: its standard streams, and Ctrl-C while it starts.

This imports nothing large, so that a program can begin with it.
"""

import atexit
import gc
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from diffusion import cores
from diffusion.checks import BadInput


def begin() -> None:
    """What a program does first of all, before its slow imports: it heeds Ctrl-C, and shares the cores.

    Until `prepare`, no garbage is looked for: among what is imported there is hardly any, and a sixth of the time goes
    into the search.
    """
    let_ctrl_c_end_it()
    cores.share()
    gc.disable()


def let_ctrl_c_end_it() -> None:
    """Until `prepare`, Ctrl-C ends the process at once and silently: while libraries are imported, nothing can be lost.

    Where Ctrl-C is ignored, as under nohup, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def at_end(work: Callable[[], object]) -> None:
    """Have this done when the process ends, also where Ctrl-C ends it at once."""

    def end(*_: object) -> None:
        work()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)

    atexit.register(work)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, end)


def prepare() -> None:
    """Make Ctrl-C a KeyboardInterrupt, and the standard streams such that they never fail.

    A stream that is not there reads as empty and swallows what is written. What cannot be written is lost, where
    nobody reads any more or the disk is full, and a letter that the encoding lacks is escaped: words are worth less
    than the work that they tell of. `answer` is for words that are the work.
    """
    if not gc.isenabled():
        gc.freeze()  # what is there now stays until the end
        gc.enable()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # or a file of ours would become a standard stream
        pass
    os.close(spare)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    sys.stdout, sys.stderr = _unfailing(sys.stdout), _unfailing(sys.stderr)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # bytes that are no text may be the name of a file


def answer(text: str) -> None:
    """Print what a command is for. Raises BadInput where it cannot be written, unless its reader has seen enough."""
    print(text, flush=True)
    raw = _raw(sys.stdout)
    if isinstance(raw, _Unfailing) and raw.error and not isinstance(raw.error, BrokenPipeError):
        raise BadInput(f"The output cannot be written: {raw.error.strerror}. Free space or write it elsewhere.")


class _Unfailing(io.RawIOBase):
    """A raw stream that loses what cannot be written, and keeps the reason."""

    def __init__(self, stream: io.RawIOBase, text: TextIO):
        self._stream = stream
        self._text = text  # which would close the raw stream, were it let go
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        count = len(rest)
        try:
            while rest:
                written = self._stream.write(rest)
                if written is None:  # a full pipe that does not wait by itself
                    select.select([], [self._stream], [])
                else:
                    rest = rest[written:]
        except OSError as error:
            self.error = error
        return count

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


def _unfailing(stream: TextIO | None) -> TextIO:
    """A standard stream as one that never fails; one that is none of the system's, as in a notebook, stays as it is."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: PTH123 - as long as the process
    raw = _raw(stream)
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase) or isinstance(raw, _Unfailing):
        return stream
    with suppress(OSError):
        stream.flush()
    unfailing = _Unfailing(raw, stream)
    buffer: Any = unfailing if stream.buffer is raw else io.BufferedWriter(unfailing)
    return io.TextIOWrapper(
        buffer,
        stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _raw(stream: TextIO) -> object:
    """The stream of bytes under a stream of text, below any buffer."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
