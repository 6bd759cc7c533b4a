"""The old name of evaluation/reader.py."""

from diffusion.evaluation.reader import Reader, load_reader, save_reader, train_reader

__all__ = ["Reader", "load_reader", "save_reader", "train_reader"]
