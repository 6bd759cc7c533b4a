"""Class-conditional diffusion on MNIST, from scratch."""

from diffusion import lab
from diffusion.checks import BadInput
from diffusion.pipeline import Pipeline
from diffusion.recipe import Recipe
from diffusion.result import Result
from diffusion.samplers import Step

__all__ = ["BadInput", "Pipeline", "Recipe", "Result", "Step", "lab"]
