"""The canvas: a picture to begin from, drawn by hand, opened or taken from elsewhere, and a mask painted over it."""

import base64
import binascii
import html
import json
import random
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from diffusion import BadInput, Pipeline
from diffusion.lab import picture
from diffusion.lab.edit import MASKS
from diffusion.lab.ink import BOX
from ui.events import NEWEST, Update
from ui.player import ASSETS, asset, png
from ui.work import things_of

REAL = "real.png"  # 20 test images of the data set in a row for each class
SIDE = 28
LARGEST = BOX + 2  # pixels of a digit that is still left as it is: those that are drawn have soft edges

EMPTY = {"picture": "", "exact": False, "mask": ""}
NOTHING = "Draw something, open a picture, or take a real one."

TEMPLATE = """
<div class="pad" role="group" aria-label="Picture">
  <canvas class="ink" tabindex="0" role="application" aria-label="Canvas. Draw with a
finger or the mouse; or move the brush with the arrow keys, and press space to begin and to end a stroke."></canvas>
  <canvas class="veil" aria-hidden="true"></canvas><span class="ring" hidden></span>
</div>
<div class="tools" role="group" aria-label="Tools">
  <button type="button" data-tool="draw" aria-pressed="true">Brush</button>
  <button type="button" data-tool="erase" aria-pressed="false">Eraser</button>
  <button type="button" data-tool="mask" class="masking" aria-pressed="false">Mask</button>
  <button type="button" data-tool="keep" class="masking" aria-pressed="false">Unmask</button>
  <button type="button" data-do="undo" disabled>Undo</button>
  <button type="button" data-do="clear">Clear</button>
</div>
<div class="tools masking" role="group" aria-label="Masks: what is drawn anew">
  <span>Draw anew</span>{masks}
</div>
"""
MASK = '<button type="button" data-mask="{0}">{0}</button>'


class Canvas:
    """The panel's components, made inside a `gr.Blocks`. The event `drawn` of `pad` follows every stroke.

    Args:
        prefix: of the names of its elements in the page.
        first: the picture that it begins with, uint8 (H, W); a real one by default, where there is one.

    Attributes:
        offered: whether there are real images such as these weights draw.
    """

    def __init__(self, pipe: Pipeline, prefix: str = "", first: np.ndarray | None = None):
        self.shape = pipe.model.shape
        self.things = things_of(pipe.names)
        self.offered = offered(pipe)
        if first is None and self.offered:
            first = real_digit(7, 0, self.things)
        begun = EMPTY if first is None else holding(first)
        with gr.Row(elem_id=f"{prefix}canvas", elem_classes="canvas"):
            self.pad = gr.HTML(
                begun,
                html_template=TEMPLATE.format(masks="".join(map(MASK.format, MASKS))),
                js_on_load=self._script(),
                apply_default_css=False,
                elem_id=f"{prefix}pad",
            )
            self.seen = gr.HTML(self.look(begun), elem_id=f"{prefix}seen")
        self.pad.drawn(self.look, self.pad, self.seen, **NEWEST)

    def bring(self) -> None:
        """Make the buttons that bring a picture from elsewhere."""
        with gr.Row(elem_id="bring"):
            self.open = gr.UploadButton("Open a picture", elem_id="lab-open", size="sm", min_width=90)
            self.real = gr.Button(
                "A real digit" if self.things == "digits" else "A real image",
                elem_id="real",
                size="sm",
                min_width=90,
                visible=self.offered,
            )

    def _script(self) -> str:
        _, height, width = self.shape
        masks = {name: _bits(make(height, width)) for name, make in MASKS.items()}
        box = LARGEST if self.things == "digits" else 0
        constants = f"const SIZE = {json.dumps([width, height])}, MASKS = {json.dumps(masks)}, BOX = {box};\n"
        return constants + (ASSETS / "canvas.js").read_text("utf-8")

    def look(self, value: Any) -> str:
        """What the network gets, as HTML, or why it gets nothing."""
        hint = NOTHING
        try:
            pixels = self.pixels(value)
        except BadInput as error:
            hint = str(error) if (value or {}).get("picture") else NOTHING
            return f'<figure></figure><p aria-live="polite">{html.escape(hint)}</p>'
        _, height, width = self.shape
        about = f"The picture as the network gets it, {width} by {height} pixels"
        return (
            f'<figure><img src="{png(pixels)}" alt="{about}"></figure>'
            f"<p>As the network gets it: {width} x {height} pixels.</p>"
        )

    def pixels(self, value: Any) -> np.ndarray:
        """The picture that the canvas holds, as the network gets it: uint8 (H, W[, 3]), or BadInput."""
        return pixels(value, self.shape)

    def mask(self, value: Any) -> np.ndarray:
        """What is to be drawn anew: uint8 (H, W), white there, or BadInput."""
        value = value or EMPTY
        if not value.get("mask"):
            raise BadInput("Say what to draw anew: paint a mask over the picture, or choose one below the canvas.")
        return picture.load(decoded(value["mask"]), (1, *self.shape[1:]), as_is=True, what="The mask")[0]

    def put(self, pixels: np.ndarray, mask: np.ndarray | None = None) -> Update:
        """Show a picture of the network's own size on the canvas, uint8 (H, W[, 3])."""
        value = holding(pixels, mask)
        return {self.pad: value, self.seen: self.look(value)}

    def load(self, path: str | Path) -> Update:
        """Show the picture in a file, or BadInput."""
        return self.put(picture.load(path, self.shape)[0])


def offered(pipe: Pipeline) -> bool:
    """Whether there are real images such as these weights draw."""
    return pipe.model.shape == (1, SIDE, SIDE) and asset(REAL, things_of(pipe.names)).is_file()


def pixels(value: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """The picture that a canvas holds, as a network of this shape gets it: uint8 (H, W[, 3]), or BadInput."""
    value = value or EMPTY
    return picture.load(decoded(value.get("picture")), shape, as_is=bool(value.get("exact")))[0]


def holding(pixels: np.ndarray, mask: np.ndarray | None = None) -> dict[str, Any]:
    """The value of a canvas with a picture of the network's own size, uint8 (H, W[, 3]), and a mask (H, W)."""
    return {"picture": png(pixels), "exact": True, "mask": "" if mask is None else png(mask)}


def decoded(uri: Any) -> bytes:
    """The bytes of a data URI, or BadInput."""
    if not uri:
        raise BadInput("There is no picture: draw one, open one or take a real one.")
    try:
        return base64.b64decode(str(uri).partition(",")[2], validate=True)
    except binascii.Error:
        raise BadInput("This picture is damaged: draw another one, or open a file.") from None


def real_digit(label: int | None = None, number: int | None = None, things: str = "digits") -> np.ndarray:
    """A test digit, or an image of other things, uint8 (28, 28): the one of a number in 0..19 of a label, else any."""
    with Image.open(asset(REAL, things)) as sheet:
        pixels = np.asarray(sheet)
    row = random.randrange(pixels.shape[0] // SIDE) if label is None else label
    column = random.randrange(pixels.shape[1] // SIDE) if number is None else number
    return pixels[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]


def _bits(mask: np.ndarray) -> list[str]:
    """A mask (H, W) as rows of 0 and 1."""
    return ["".join(map(str, row)) for row in mask.astype(int).tolist()]
