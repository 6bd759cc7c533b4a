"""ZeroGPU, a Space's GPU that is there only while a function runs, in a process of its own that is forked for it.

What goes there and comes back is pickled, without tensors on the GPU. Of the exceptions, only Gradio's come back.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

from diffusion import BadInput
from ui.endpoint import refusal

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def lent(decorator: Wrap) -> Wrap:
    """ZeroGPU's decorator, as it suits a function here, or one that is a generator."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def called(*arguments: Any) -> Any:
            with _inside():
                return function(*arguments)

        @wraps(function)
        def iterated(*arguments: Any) -> Iterator[Any]:
            with _inside():
                yield from function(*arguments)

        return decorator(iterated if inspect.isgeneratorfunction(function) else called)

    return decorate


@contextmanager
def _inside() -> Iterator[None]:
    """In the other process: what is refused comes back as its sentence."""
    torch.set_num_threads(1)  # OpenMP would wait for threads that the fork left behind
    try:
        yield
    except BadInput as error:
        raise refusal(error) from None
