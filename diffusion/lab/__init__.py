"""The lab: what else a trained diffusion model can do with digits. Each activity is one change to a run."""

from diffusion.lab.edit import ImageToImage, Inpainting
from diffusion.lab.illusions import Anagram, Hybrid
from diffusion.lab.morph import Morph

__all__ = ["Anagram", "Hybrid", "ImageToImage", "Inpainting", "Morph"]
