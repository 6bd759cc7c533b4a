"""The command line: python -m diffusion sample | evaluate | train-reader, and without a command a prompt.

python -m diffusion                                                 # draws what you type, in the terminal
python -m diffusion sample --digits 0-9 --out digits.png            # a grid
python -m diffusion sample --digits 2026 --steps 50 --out year.gif  # the trajectory from noise to digits
python -m diffusion sample --digits 0-9 --count 100 --guidance 2 --seed 0 --out samples.npz
python -m diffusion sample --digits 0-9 --count 1000 --out digits/  # a data set, in Parquet files
python -m diffusion sample --prompt "a 4 and two 3s" --out digits.png
python -m diffusion sample --digits 0-9 --until-right 10 --out digits.png    # until the reader reads each right
python -m diffusion recipe digits.gif                               # the settings inside a picture, as JSON
python -m diffusion sample --recipe digits.gif --out again.png      # the same digits again
python -m diffusion sample --digits 0-9 --panel 10 --out panel.png  # ten moments from noise to digits
python -m diffusion edit --image docs/photo.jpg --digits 7 --out edit.png   # the lab: also forward, denoise,
python -m diffusion anagram --digits 6,9 --until-right 32 --out turn.gif   # inpaint, hybrid, morph
python -m diffusion compare --x steps=4,10,50 --y guidance=1,2,4 --digits 7 --out sheet.png
python -m diffusion evaluate --count 100                            # prints one JSON object
python -m diffusion evaluate --steps 4,10,20,50 --guidance 1,2,4 --out sweep  # scores, table and plots
"""

from diffusion import process

if __name__ == "__main__":
    process.begin()

import argparse
import sys

from diffusion import checks
from diffusion.cli import compare, evaluate, interactive, lab, recipe, sample
from diffusion.hardware import out_of_memory, use_allowed_cores
from diffusion.team import ENDED, out_of_touch


def main(arguments: list[str] | None = None) -> None:
    """Run one command; bad input ends it with one sentence and exit status 2."""
    process.prepare()
    try:
        flags = parser().parse_args(arguments)
        use_allowed_cores()
        flags.command(flags)
    except checks.BadInput as error:
        _refuse(str(error))
    except (RuntimeError, MemoryError) as error:
        if out_of_touch(error):
            _refuse(ENDED)
        if not out_of_memory(error):
            raise
        _refuse("The memory is full: ask for fewer images, or use a smaller network.")
    except OSError as error:
        _refuse(checks.unusable(error))
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands: the flags that it reads name in `command` the function to call with them."""
    top = argparse.ArgumentParser("python -m diffusion", description=__doc__, formatter_class=_Formatter)
    top.set_defaults(command=lambda _: interactive.interact())
    commands = top.add_subparsers(metavar="command")
    for module in (sample, recipe, lab, compare, evaluate):
        module.add(commands)
    return top


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30, width=110)


def _refuse(sentence: str) -> None:
    print(f"diffusion: {sentence}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
