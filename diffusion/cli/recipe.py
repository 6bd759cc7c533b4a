"""python -m diffusion recipe: print the recipe inside a picture."""

import argparse
from typing import Any

from diffusion import process
from diffusion.recipe import Recipe


def add(commands: Any) -> None:
    """The command's parser, among those of `add_subparsers`."""
    about = "print the recipe (JSON) inside a picture"
    parser = commands.add_parser("recipe", help=about)
    parser.add_argument("file", help="a PNG, GIF or WebP made by this project")
    parser.set_defaults(command=recipe)


def recipe(flags: argparse.Namespace) -> None:
    """Print it, as one line."""
    process.answer(Recipe.from_file(flags.file).to_json())
