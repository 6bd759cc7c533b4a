"""The tab Lab: add noise, take it away, edit, fill, and draw illusions and morphs."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from diffusion import BadInput, Recipe, checks
from diffusion.evaluation.readback import Reading
from ui import ambigrams, experiments, links, noised, request, status
from ui.canvas import Canvas, real_digit
from ui.downloads import Downloads
from ui.drawing import Drawing
from ui.events import AT_ONCE, MODEL, NEWEST, OFF, ON, Update
from ui.experiments import EXPERIMENTS
from ui.asked import Asked
from ui.player import TRACKS, player, trajectory
from ui.session import Drawn, Plan, Session
from ui.work import Work

EVENED = 2  # times that a morph is drawn to find the moments between which nothing jumps
TOOLS = {"redraw": "Redraw it alone", "keep": "Keep its GIF", "edit": "Use as the picture", "send": "Send to Draw"}
NOTE = "Choose one to see it large."
EMPTY = "Press <b>Start</b>, or try the example."
AT_ANY_TIME = "Drag the noise level."


class Lab:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        tab: this tab, whose noise is shown as soon as it is chosen.
    """

    def __init__(self, work: Work, tab: gr.Tab):
        self.work = work
        self.asked = Asked(work)
        ...
