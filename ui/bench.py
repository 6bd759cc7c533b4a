"""The right side of the tab Lab: what comes of an activity, noise that follows a slider, and the table of ambigrams.

Beside noise there is an answer to a question, *Why not in one guess?*, which is worked out while it is unfolded.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from diffusion import BadInput, Pipeline, Result, checks
from diffusion.checkpoint import ONE_GUESS, shipped
from diffusion.lab import Morph, recipes
from diffusion.lab.forward import guesser
from ui import ambigrams, experiments, noised, status
from ui.downloads import Downloads
from ui.events import Update
from ui.experiments import EXPERIMENTS
from ui.player import TRACKS, film, player, trajectory
from ui.session import Drawn, Plan, Session
from ui.work import Work

TOOLS = {"keep": "Download its GIF", "edit": "Use as the picture", "send": "Send to Draw"}
START = "#lab-start"  # the button
EMPTY = "Press <b>Start</b>, or try the example."
NOISE = "Drag the noise level: the picture, its blur and the network's guess follow."
MOST_NOISE = 2  # sigma of the noise that is added to pixels from 0 to 1
WHY = """The best single guess is the mean of all images that may lie under the noise: the more noise, the more of them,
and the mean is none of them. Many steps decide bit by bit for one. *One guess* is by a small network that was trained
at sigma 0.5 alone and never met more noise; *many steps* are by the one that draws on this page."""
NOTE = "Choose one to see it large."
MORPH_NOTE = "From one to the other, and back. Choose it to take a moment of it."


class Bench:
    """The panel's components, made inside a `gr.Blocks`."""

    def __init__(self, work: Work):
        self.work = work
        here = work.things == "digits" and ONE_GUESS in shipped()
        self.guesses = here and work.pipes[work.usual].model.shape == guesser(ONE_GUESS).model.shape
        self.status = gr.HTML(status.line(NOISE), elem_id="lab-status", elem_classes="status")
        self.noise = gr.HTML(noised.EMPTY, elem_id="noised")
        with gr.Accordion("Why not in one guess?", open=False, visible=self.guesses, elem_id="why") as self.why:
            gr.Markdown(WHY)
            self.sigma = gr.Slider(
                0,
                MOST_NOISE,
                value=0.5,
                step=0.05,
                label="Sigma of the noise",
                info="It is added to pixels from 0, black, to 1, white.",
                elem_id="sigma",
            )
            self.ways = gr.HTML()
        self.unfolded = gr.State(False)  # whether that is
        with gr.Column(visible=False, min_width=0) as self.drawn:
            self.player = player(None, TRACKS, "lab-player", TOOLS, START, work.map, gif_below=True)
        with gr.Row(elem_id="lab-keeping"):
            self.downloads = Downloads(work, "lab-")
        with gr.Column(visible=False, min_width=0) as self.table_panel:
            self.table = ambigrams.table(work.pipes[work.usual])
        self.panels = {
            self.noise,
            self.why,
            self.drawn,
            self.table_panel,
            self.player,
            self.status,
            *self.downloads.buttons,
        }

    def show(self, name: str) -> Update:
        """What is there for an activity."""
        each = EXPERIMENTS[name]
        return {
            self.noise: gr.update(visible="levels" in each.takes),
            self.why: gr.update(visible="levels" in each.takes and self.guesses),
            self.drawn: gr.update(visible=False),  # until something is
            self.table_panel: gr.update(visible="views" in each.takes and self.table is not None),
        }

    def nothing(self, name: str) -> Update:
        """Nothing came of an activity yet."""
        return {self.player: None, self.status: first_line(name), **self.downloads.allow(False)}

    def look(self, session: Session) -> Update:
        """The player and the buttons, as the session stands."""
        drawn = session.shown
        if drawn is None or not EXPERIMENTS[drawn.result.recipe.activity.name].draws:  # type: ignore[union-attr]
            return self.downloads.allow(drawn is not None)
        recipe = drawn.result.recipe
        if isinstance(recipe.activity, Morph):
            note = drawn.plan.note or MORPH_NOTE
            shown = film(drawn.result, self.work.names, drawn.looks, note=note, run=drawn.number)
        else:
            zoomed = 0 if len(recipe.digits) == 1 else None
            more: dict[str, Any] = {"note": drawn.plan.note or NOTE, "zoomed": zoomed, "run": drawn.number}
            shown = trajectory(drawn.result, self.work.names, drawn.looks, **more)
        return {self.player: shown, **self.downloads.allow(True)}

    def image(self, session: Session, event: gr.EventData) -> int | None:
        """Which image of what is shown a tool of the player means."""
        if session.shown is None:
            return None
        recipe = session.shown.result.recipe
        last = len(recipe.digits) - 1
        if not isinstance(recipe.activity, Morph):
            return checks.whole("tile", event.tile, 0, last)
        frame = checks.whole("frame", event.frame, 0, 2 * last)
        return min(frame, 2 * last - frame)  # the film goes back again

    def add_noise(self, session: Session, values: Mapping[str, Any], pipe: Pipeline) -> Update:
        """The picture at a noise level, a blur and one guess; it is what can be downloaded where nothing is drawn."""
        try:
            recipe = experiments.recipe(values, pipe)
            [(noisy, guess)] = self.work.noised(recipe)  # the controls ask for one level
            view = noised.view(noisy, guess)
        except (BadInput, gr.Error) as error:
            return {self.noise: noised.EMPTY, self.status: status.refused(error)}
        if EXPERIMENTS[values["activity"]].draws:
            return {self.noise: view}
        session.shown = Drawn(Plan(recipe, "", 0), Result.blank(recipe, pipe.model.shape))
        return {self.noise: view, self.status: status.line(NOISE), **self.downloads.allow(True)}

    def answer(self, values: Mapping[str, Any], sigma: Any) -> Update:
        """The picture with noise of sigma, one guess, and many steps.

        Pixels lie in [-1, 1] in the library, so that noise is twice as large there.
        """
        pipe = self.work.pipes[self.work.usual]
        try:
            sigma = checks.number("sigma", sigma, 0, MOST_NOISE)
            level = pipe.model.scheduler.nearest(0.5 / max(sigma, 1e-9))
            picture, seed = values["images"], values["seed"]
            recipe = recipes.denoise(pipe, picture, levels=[level], one_step=ONE_GUESS, seed=seed)
            return {self.ways: noised.ways(next(self.work.denoised(recipe)))}
        except (BadInput, gr.Error) as error:
            return {self.ways: "", self.status: status.refused(error)}


def first_line(name: str) -> str:
    """The line of status of an activity before anything came of it."""
    return status.line(EMPTY if EXPERIMENTS[name].draws else NOISE)
