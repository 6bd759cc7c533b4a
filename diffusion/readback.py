"""The old name of evaluation/readback.py."""

from diffusion.evaluation.readback import Reading, Tried, read, until_right

__all__ = ["Reading", "Tried", "read", "until_right"]
