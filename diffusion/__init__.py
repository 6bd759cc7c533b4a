"""Class-conditional diffusion on MNIST, from scratch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusion import lab
    from diffusion.checks import BadInput
    from diffusion.pipeline import Pipeline
    from diffusion.recipe import Recipe
    from diffusion.result import Result
    from diffusion.samplers import Step

__all__ = ["BadInput", "Pipeline", "Recipe", "Result", "Step", "lab"]

_MODULES = {"BadInput": "checks", "Pipeline": "pipeline", "Recipe": "recipe", "Result": "result", "Step": "samplers"}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for, so that a program can begin before PyTorch is there."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES.get(name, name)}")
    globals()[name] = getattr(module, name) if name in _MODULES else module
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
