"""A stand-in for the package `spaces`, which does what that does on ZeroGPU, with the CPU in place of the GPU.

A call runs in a process that is forked for it, which alone has the "GPU". What goes there and comes back is pickled,
and a tensor must be brought back with `Tensor.cpu`. Of an exception that is not Gradio's, only the class is told.
"""

import inspect
import io
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

assert "torch" not in sys.modules, "spaces must be imported before torch"

fork = multiprocessing.get_context("fork")
inside = False  # whether this process has the GPU
wrapped: list[str] = []  # what the decorator was given
quota = 1000.0  # seconds left


def GPU(duration: float) -> Callable[..., Any]:
    assert 0 < duration <= 60

    def decorate(task: Callable[..., Any]) -> Callable[..., Any]:
        wrapped.append(task.__name__)

        def iterated(*arguments: Any) -> Iterator[Any]:
            from gradio import Error

            if quota < duration:
                raise Error(f"You have exceeded your ZeroGPU quota ({duration}s requested vs. {quota}s left).")
            here, there = fork.Pipe(duplex=False)
            process = fork.Process(target=_work, args=(task, pickle.dumps(arguments), there), daemon=True)
            process.start()
            there.close()
            try:
                while True:
                    kind, value = pickle.loads(here.recv_bytes())
                    if kind == "end":
                        return
                    if kind == "error":
                        raise value
                    yield value
            finally:
                here.close()
                process.terminate()
                process.join()

        def called(*arguments: Any) -> Any:
            [value] = iterated(*arguments)
            return value

        return iterated if inspect.isgeneratorfunction(task) else called

    return decorate


def _work(task: Callable[..., Any], arguments: bytes, there: Connection) -> None:
    """In the process that has the GPU: send what comes of the task."""
    global inside
    inside = True
    import torch
    from gradio import Error

    bring = torch.Tensor.cpu

    def brought(tensor: torch.Tensor) -> torch.Tensor:
        tensor = bring(tensor)
        tensor.brought = True  # type: ignore[attr-defined]
        return tensor

    class Pickler(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, torch.Tensor) and not hasattr(value, "brought"):
                raise pickle.PicklingError("a tensor is still on the GPU")
            return NotImplemented

    def send(*message: Any) -> None:
        buffer = io.BytesIO()
        Pickler(buffer).dump(message)
        there.send_bytes(buffer.getvalue())

    torch.Tensor.cpu = brought  # type: ignore[method-assign, assignment]
    try:
        result = task(*pickle.loads(arguments))
        for value in result if inspect.isgenerator(result) else [result]:
            send("value", value)
        send("end", None)
    except Error as error:
        send("error", error)
    except Exception as error:
        send("error", Error(type(error).__name__, title="ZeroGPU worker error"))
