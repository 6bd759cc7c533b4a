"""The command `digit-diffusion` that `pip install` makes: python -m diffusion, in any folder."""

from diffusion import process


def main() -> None:
    process.begin()
    from diffusion.__main__ import main as run  # slow imports, and these come after `begin`

    run()
