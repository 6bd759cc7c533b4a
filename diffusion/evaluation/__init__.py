"""Judging what is drawn, beside real images."""
