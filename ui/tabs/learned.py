"""The tab How it learned: the same noise drawn after every epoch, and the loss, from the files that training made."""

from pathlib import Path
from typing import Any

import gradio as gr
import imageio.v3 as iio
import numpy as np

from diffusion import Pipeline
from diffusion.files.render import PADDING
from ui.player import animation, asset, player

EVOLUTION = "learned.gif"  # a grid per epoch, a column for each class: the training.gif of a run
LOSS = "learned-loss.png"  # the loss.png of that run
SAME = "The same noise, epoch by epoch"

TEXT = """Training shows the network a real image with noise on it, again and again, and corrects its guess of the image
without noise. Here {things} are drawn from the same {seeds} seeds after each *epoch*. One epoch goes once through all
training {things}. They can be told apart after a single epoch; the later ones bring better shapes and fewer mistakes.
The *loss* is the squared error of what the network predicts: on the {things} that it trains on, and on held-out
{things}, which it never trains on. The latter is lower: it is taken at the end of an epoch, with the average of the
weights, which is better than the weights themselves."""


def tab(pipe: Pipeline, things: str) -> None:
    """The tab's components, where training left its files of such things."""
    epochs, loss = evolution(pipe, asset(EVOLUTION, things)), asset(LOSS, things)
    if epochs is None or not loss.is_file():
        gr.Markdown("The files of the training are not here.")
        return
    gr.Markdown(TEXT.format(seeds=len(epochs["tiles"]), things=things), elem_id="learned-text")
    with gr.Row(elem_id="learned"):
        with gr.Column(min_width=300):
            player(epochs, [SAME], "evolution", tools={})
        with gr.Column(min_width=300):
            gr.Image(
                str(loss),
                label="Loss",
                alt_text="Line plot of the training loss and the held-out loss, falling over the epochs",
                show_label=False,
                interactive=False,
                buttons=[],
                elem_id="loss",
            )


def evolution(pipe: Pipeline, path: Path) -> dict[str, Any] | None:
    """The animation of the epochs in a file, or None where there is none of such images."""
    if not path.is_file():
        return None
    channels, height, width = pipe.model.shape
    columns = len(pipe.names)
    mode = "L" if channels == 1 else "RGB"
    grids = iio.imread(path, plugin="pillow", mode=mode)  # (epochs, H, W[, 3])
    row, side = columns * (width + PADDING), height + PADDING
    scale, rest = divmod(grids.shape[2], row - PADDING)
    if rest:
        return None
    border = ((0, 0), (0, PADDING), (0, PADDING)) + ((0, 0),) * (grids.ndim - 3)
    grids = np.pad(grids[:, ::scale, ::scale], border)
    epochs, *colours = len(grids), *grids.shape[3:]
    tiles = grids.reshape(epochs, -1, side, columns, width + PADDING, *colours)[:, :, :height, :, :width].swapaxes(2, 3)
    tiles = tiles.reshape(epochs, -1, height, width, *colours)
    captions = [f"Epoch {k + 1} of {epochs}" for k in range(epochs)]
    names = [{"name": pipe.names[n % columns]} for n in range(tiles.shape[1])]
    return animation({SAME: tiles}, captions, names, columns=columns, pace=300, example=True)
