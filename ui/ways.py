"""The map beside a player: crowds of real images, and across them the way of each guess of a run (assets/map.js)."""

from typing import Any

import gradio as gr
import numpy as np

from diffusion import Result
from diffusion.data import DATASETS
from diffusion.evaluation.map import Map
from diffusion.files.map_picture import FAINT, REACH, Ground
from ui.session import Drawn
from ui.work import Work

MOST_LIVE = 20  # images whose ways are shown while they are drawn: reading more of them would hold up the run

ABOUT = "From the middle, where a guess may be anything, to a crowd of real {things}."
TEMPLATE = """<figure class="map">
  <figcaption>Map</figcaption>
  <div class="sky" data-reach="{reach}">
    <svg viewBox="{view}" role="img" aria-label="Ways of the guesses, from the middle to the crowds of {names}">
      {crowds}<g class="ways"></g>
    </svg>
    <button type="button" aria-label="Keep the map" hidden>Keep</button>
  </div>
  <p>{about}</p>
</figure>"""
CROWD = '<path class="crowd" stroke="rgb{colour}" stroke-opacity="{faint}" d="{dots}"/>'
NAME = '<text x="{x:.2f}" y="{y:.2f}" font-size="{size:.2f}" fill="rgb{colour}">{name}</text>'


def figure(drawn: Map | None) -> str:
    """The map without any way, as HTML; nothing where there is none."""
    if drawn is None:
        return ""
    ground = Ground(drawn.points, drawn.labels, drawn.names)
    crowds = ""
    for label, (colour, name, (x, y)) in enumerate(zip(ground.colours, drawn.names, ground.where_names, strict=True)):
        dots = "".join(f"M{px:.2f} {py:.2f}h0" for px, py in drawn.points[drawn.labels == label])
        crowds += CROWD.format(colour=colour, faint=FAINT, dots=dots)
        crowds += NAME.format(x=x, y=y, size=2 * REACH * ground.letter, colour=colour, name=name)
    view = f"{-REACH} {-REACH} {2 * REACH} {2 * REACH}"
    things = DATASETS[drawn.reader.dataset].things
    return TEMPLATE.format(
        about=ABOUT.format(things=things), reach=REACH, view=view, names=", ".join(drawn.names), crowds=crowds
    )


def now(work: Work, done: int, guesses: np.ndarray) -> list[list[float]] | None:
    """Where the newest guesses of a run under way lie, uint8 (N, H, W[, 3]); None where that is not shown."""
    if work.map is None or len(guesses) > MOST_LIVE:
        return None
    places = work.map.places(guesses) if done else np.zeros((len(guesses), 2))  # before the first guess, the middle
    return places.round(3).tolist()


def of(work: Work, drawn: Drawn | None) -> Any:
    """The update of a player that brings the ways of a run, where there is a map."""
    if work.map is None or drawn is None:
        return gr.skip()
    if drawn.way is None:
        drawn.way = work.map.way(drawn.result).round(3)
    return gr.update(way={"run": drawn.number, "places": drawn.way.tolist()})


def of_example(work: Work, example: Result | None) -> Any:
    """The same of what plays before the first run."""
    if work.map is None or example is None:
        return gr.skip()
    return gr.update(way={"run": None, "places": work.map.way(example).round(3).tolist()})
