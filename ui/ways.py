"""The map beside a player: crowds of real images, and across them the way of each guess of a run (assets/map.js)."""

from typing import Any

import gradio as gr
import numpy as np

from diffusion import Result
from diffusion.data import DATASETS
from diffusion.evaluation.map import Map
from diffusion.files.map_picture import EDGE, FAINT, REACH
from diffusion.lab import Morph
from diffusion.scheduler import T
from ui.session import Drawn, Places
from ui.work import Moment, Work

MOST_LIVE = 20  # images whose ways are shown while they are drawn: reading more of them would hold up the run

ABOUT = "Where each guess lies among real {things}. In the middle it may be any of them."
TEMPLATE = """<figure class="map">
  <figcaption>Map</figcaption>
  <div class="sky" data-reach="{reach}" data-edge="{edge}">
    <svg viewBox="{view}" role="img" aria-label="Ways of the guesses, from the middle to the crowds of {names}">
      {crowds}<g class="ways"></g>
    </svg>
    <button type="button" hidden>Download the map</button>
  </div>
  <p>{about}</p>
</figure>"""
CROWD = '<path class="crowd" stroke="rgb{colour}" stroke-opacity="{faint}" d="{dots}"/>'
NAME = '<text x="{x:.2f}" y="{y:.2f}" font-size="{size:.2f}" fill="rgb{colour}">{name}</text>'


def figure(drawn: Map | None) -> str:
    """The map without any way, as HTML; nothing where there is none."""
    if drawn is None:
        return ""
    ground = drawn.ground
    crowds = ""
    for label, (colour, name, (x, y)) in enumerate(zip(ground.colours, drawn.names, ground.where_names, strict=True)):
        dots = "".join(f"M{px:.2f} {py:.2f}h0" for px, py in drawn.points[drawn.labels == label])
        crowds += CROWD.format(colour=colour, faint=FAINT, dots=dots)
        crowds += NAME.format(x=x, y=y, size=2 * REACH * ground.letter, colour=colour, name=name)
    view = f"{-REACH} {-REACH} {2 * REACH} {2 * REACH}"
    things = DATASETS[drawn.reader.dataset].things
    return TEMPLATE.format(
        about=ABOUT.format(things=things),
        reach=REACH,
        edge=EDGE,
        view=view,
        names=", ".join(drawn.names),
        crowds=crowds,
    )


class Trail:
    """The way of a run under way, as far as it is shown live."""

    def __init__(self, work: Work):
        self.map = work.map
        self.from_noise = False

    def now(self, moment: Moment) -> dict[str, Any]:
        """Where the newest guesses lie, (N, 2), if they are few enough to be read; and whether all began as noise."""
        if moment.done == 0:
            self.from_noise = moment.level == T - 1
        read = self.map is not None and moment.done > 0 and len(moment.guesses) <= MOST_LIVE
        places = _rounded(self.map.places(moment.guesses)) if self.map and read else None
        return {"places": places, "from_noise": self.from_noise}


def of(work: Work, drawn: Drawn | None) -> Any:
    """The update of a player that brings the ways of a run, which are worked out once."""
    if work.map is None or drawn is None:
        return gr.skip()
    if drawn.places is None:
        drawn.places = way(work.map, drawn.result)
    return gr.update(way={"run": drawn.number, "places": drawn.places})


def of_example(work: Work, example: Result | None) -> Any:
    """The same of what plays before the first run."""
    if work.map is None or example is None:
        return gr.skip()
    return gr.update(way={"run": None, "places": way(work.map, example)})


def way(drawn: Map, result: Result) -> Places:
    """Places by frame and tile; of a morph, which is a film with one tile, those of its images there and back."""
    if isinstance(result.recipe.activity, Morph):
        there = drawn.places(result.images)[:, None]
        return _rounded(np.concatenate([there, there[-2::-1]]))
    return _rounded(drawn.path(result))


def _rounded(places: np.ndarray) -> Any:
    """As lists of short numbers."""
    return places.astype(float).round(3).tolist()
