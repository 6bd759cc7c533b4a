"""The old name of evaluation/sheet.py."""

from diffusion.evaluation.sheet import AXES, Axis, Sheet, axis

__all__ = ["AXES", "Axis", "Sheet", "axis"]
