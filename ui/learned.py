"""The tab How it learned: the same noise drawn after every epoch, and the loss, from the files that training made."""

from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageSequence

from diffusion.files.render import PADDING
from ui.stage import film, stage

DOCS = Path(__file__).parent.parent / "docs"
EVOLUTION = DOCS / "learned.gif"  # a grid per epoch, ten digits wide: the training.gif of a run
LOSS = DOCS / "learned-loss.png"
COLUMNS = 10

TEXT = """Training shows the network a real digit with noise on it, again and again, and corrects its guess of what was
there. Here the same fifty seeds are drawn after each of the *epochs*, an epoch being once through all 60,000 training
digits: the digits are there after a single one, and the later ones teach better curves and fewer mistakes. The loss is
the squared error of what the network says, on the digits it trains on and on others that it never sees."""


def tab() -> None:
    """The tab's components, where training left its files."""
    gr.Markdown(TEXT, elem_id="learned-text")
    if not (EVOLUTION.is_file() and LOSS.is_file()):
        gr.Markdown("The files of the training are not here.")
        return
    with gr.Row(elem_id="learned"):
        with gr.Column(min_width=300):
            stage(evolution(), ["The same noise, epoch by epoch"], "evolution")
        with gr.Column(min_width=300):
            gr.Image(
                str(LOSS),
                label="Loss",
                alt_text="Line plot of the training loss and the held-out loss, falling over the epochs",
                show_label=False,
                interactive=False,
                buttons=["fullscreen"],
                elem_id="loss",
            )


@cache
def evolution() -> dict[str, Any]:
    """The film of the epochs."""
    with Image.open(EVOLUTION) as animation:
        grids = np.stack([np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(animation)])
    side = 28 + PADDING
    scale = grids.shape[2] // (COLUMNS * side - PADDING)
    grids = np.pad(grids[:, ::scale, ::scale], ((0, 0), (0, PADDING), (0, PADDING)))
    tiles = grids.reshape(len(grids), -1, side, COLUMNS, side)[:, :, :28, :, :28].swapaxes(2, 3)
    tiles = tiles.reshape(len(grids), -1, 28, 28)
    captions = [f"Epoch {k + 1} of {len(grids)}" for k in range(len(grids))]
    names = [{"name": str(n % COLUMNS)} for n in range(tiles.shape[1])]
    return film([tiles], captions, names, pace=300, example=True)
