"""The table of ambigrams: a picture with a cell for each pair of digits, which draws that very picture when pressed.

assets/ambigrams.png has ten by ten equal cells, a row for the upright digit and a column for what it is when turned;
each shows both. assets/ambigrams.json says how they were drawn. benchmarks/ambigrams.py makes the two.
"""

import base64
import json
from typing import Any

import gradio as gr
from PIL import Image

from diffusion import Pipeline, Recipe, checks
from diffusion.lab import Anagram
from ui.player import ASSETS

PICTURE, DATA = ASSETS / "ambigrams.png", ASSETS / "ambigrams.json"

CELL = (
    '<button type="button" tabindex="{tab}" data-cell="{row},{column}" style="--row: {row}; --column: {column}" '
    'title="{about}" aria-label="{about}"></button>'
)
PRESSED = """
const cells = [...element.querySelectorAll("[data-cell]")];
const choose = (cell) => {
  const [row, column] = cell.dataset.cell.split(",").map(Number);
  if (!document.querySelector("#lab-start").disabled) trigger("choose", { row, column });
};
element.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-cell]");
  if (cell) choose(cell);
});
element.addEventListener("keydown", (event) => {
  const n = cells.indexOf(document.activeElement), side = Math.sqrt(cells.length);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -side, ArrowDown: side }[event.key];
  if (n < 0 || !step || !cells[n + step]) return;
  event.preventDefault();
  for (const cell of cells) cell.tabIndex = cell === cells[n + step] ? 0 : -1;
  cells[n + step].focus();
});
"""


def table(pipe: Pipeline) -> gr.HTML | None:
    """The component, whose event `choose` carries `row` and `column`; None where these weights did not draw it."""
    if not (PICTURE.is_file() and DATA.is_file() and _data()["weights"] == pipe.weights):
        return None
    count = len(pipe.names)
    cells = "".join(
        CELL.format(
            tab=-1 if row or column else 0,
            row=row,
            column=column,
            about=f"{pipe.names[row]} upright, {pipe.names[column]} when turned",
        )
        for row in range(count)
        for column in range(count)
    )
    with Image.open(PICTURE) as image:
        ratio = image.width / image.height
    sheet = f"data:image/png;base64,{base64.b64encode(PICTURE.read_bytes()).decode()}"
    names = "".join(f"<span>{name}</span>" for name in pipe.names)
    return gr.HTML(
        None,
        html_template=(
            '<p class="about">All pairs: the row says what a picture is upright, the column what it is when turned. '
            'Press one to draw it.</p><div class="table">'
            f'<div class="across" aria-hidden="true">{names}</div><div class="down" aria-hidden="true">{names}</div>'
            f'<div class="cells" role="group" aria-label="Table of ambigrams" '
            f'style="--sheet: url({sheet}); --ratio: {ratio}; --last: {count - 1}">{cells}</div></div>'
        ),
        js_on_load=PRESSED,
        apply_default_css=False,
        elem_id="ambigrams",
    )


def cell(pipe: Pipeline, row: Any, column: Any) -> Recipe:
    """The recipe of a cell, or BadInput."""
    data = _data()
    most = len(data["seeds"]) - 1
    row, column = checks.whole("row", row, 0, most), checks.whole("column", column, 0, most)
    activity = Anagram((column,), (data["view"],), **data["settings"]["activity"])
    return pipe.recipe([row], seed=data["seeds"][row][column], activity=activity, **data["settings"]["recipe"])


def _data() -> dict[str, Any]:
    return json.loads(DATA.read_text("utf-8"))
