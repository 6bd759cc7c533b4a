"""Class-conditional diffusion on MNIST, from scratch."""

from diffusion.checks import BadInput
from diffusion.pipeline import Pipeline, Result
from diffusion.recipe import Recipe
from diffusion.samplers import Step

__all__ = ["BadInput", "Pipeline", "Recipe", "Result", "Step"]
