"""The lab: what else a trained diffusion model can do with digits. Each activity is one change to a run."""

from diffusion.lab.edit import ImageToImage, Inpainting
from diffusion.lab.forward import Denoising, Forward
from diffusion.lab.illusions import Anagram, Hybrid
from diffusion.lab.morph import Morph

__all__ = ["Anagram", "Denoising", "Forward", "Hybrid", "ImageToImage", "Inpainting", "Morph"]
