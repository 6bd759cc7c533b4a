"""Class-conditional diffusion on MNIST, from scratch."""

from diffusion.checks import BadInput
from diffusion.pipeline import Pipeline, Recipe, Result
from diffusion.samplers import Step

__all__ = ["BadInput", "Pipeline", "Recipe", "Result", "Step"]
