"""Class-conditional diffusion on MNIST, from scratch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusion.checks import BadInput
    from diffusion.pipeline import Pipeline
    from diffusion.recipe import Recipe
    from diffusion.result import Result
    from diffusion.samplers import Step

__all__ = ["BadInput", "Pipeline", "Recipe", "Result", "Step"]

_MODULES = {"BadInput": "checks", "Pipeline": "pipeline", "Recipe": "recipe", "Result": "result", "Step": "samplers"}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for, so that a program can begin before PyTorch is there."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
