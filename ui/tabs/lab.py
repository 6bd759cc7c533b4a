"""The tab Lab: add noise to pictures and take it away, edit and fill them, draw illusions and morphs."""

import random
from collections.abc import Iterator
from typing import Any

import gradio as gr

from diffusion import BadInput, Recipe, Result, checks
from diffusion.lab import Anagram, Hybrid, Morph
from ui import ambigrams, experiments, links, noised, request, status
from ui.asked import Asked
from ui.canvas import real_digit
from ui.downloads import Downloads
from ui.drawing import Drawing
from ui.events import AT_ONCE, MODEL, NEWEST, OFF, ON, Update, press, press_if_ready
from ui.experiments import EXPERIMENTS
from ui.player import TRACKS, player, trajectory
from ui.session import Drawn, Plan, Session
from ui.work import Work

EVENED = 2  # times that a morph is drawn to find the moments between which nothing jumps
MORPH_MS = 160  # of a frame of a morph
TOOLS = {"keep": "Keep its GIF", "edit": "Use as the picture", "send": "Send to Draw"}
START = "#lab-start"
EMPTY = "Press <b>Start</b>, or try the example."
NOISE = "Drag the noise level: the picture, its blur and the network's guess follow."
NOTE = "Choose one to see it large."
HALTED = "Stopped. Press <b>Start</b> to start again."
FAILED = "Too many are waiting, or something broke. Press <b>Start</b> to try again."


class Lab:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        tab: this tab, which shows noise as soon as it is chosen.
    """

    def __init__(self, work: Work, tab: gr.Tab):
        self.work, self.tab = work, tab
        self.asked = Asked(work)
        self.asked.choose()
        with gr.Row(elem_id="lab-layout"):
            with gr.Column(elem_id="lab-pick", min_width=0):
                self._ask()
            with gr.Column(elem_id="lab-result", min_width=0):
                self._show()
            with gr.Column(elem_id="lab-settings", min_width=0):
                self.asked.more()
        self.session = gr.State(Session())
        self.halted = gr.State(False)
        self.ready = gr.Textbox(visible=False)  # whether to press the button after a link or a file
        self.look = {self.player, self.status, self.start, self.stop, *self.downloads.buttons}
        self.inputs = {self.session, self.reading, self.until_right, *self.asked.inputs}
        self.outputs = {self.session, self.ready, self.status, self.until_right, *self.asked.outputs, *self.panels}
        self._connect_run()
        self._connect_rest()

    # What is on the page

    def _ask(self) -> None:
        self.asked.ask()
        with gr.Row(visible=False) as self.buttons:
            self.start = gr.Button("Start", variant="primary", elem_id="lab-start", min_width=120, scale=2)
            self.stop = gr.Button("Stop", variant="stop", elem_id="lab-stop", min_width=80, interactive=False)
        with gr.Row(elem_id="lab-reads", visible=False) as self.reads:
            self.reading = gr.Checkbox(True, label="Read back", min_width=120, elem_id="lab-reading")
            self.until_right = gr.Checkbox(False, label="Until it reads right", min_width=120, elem_id="lab-until")

    def _show(self) -> None:
        self.status = gr.HTML(status.line(NOISE), elem_id="lab-status", elem_classes="status")
        self.noise = gr.HTML(noised.EMPTY, elem_id="noised")
        with gr.Column(visible=False) as self.shown:
            self.player = player(None, TRACKS, "lab-stage", TOOLS, START)
        with gr.Row(elem_id="lab-keeping"):
            self.downloads = Downloads(self.work, "lab-")
        with gr.Column(visible=False) as self.table_panel:
            self.table = ambigrams.table(self.work.pipes[self.work.usual])

    @property
    def panels(self) -> list[Any]:
        """What is there for some activities only, besides their controls."""
        return [self.buttons, self.reads, self.noise, self.shown, self.table_panel, *self.look]

    def _panels(self, name: str) -> Update:
        each = EXPERIMENTS[name]
        return {
            self.buttons: gr.update(visible=each.draws),
            self.reads: gr.update(visible=each.reads[0]),
            self.until_right: gr.update(visible=each.reads[1], value=False),
            self.noise: gr.update(visible=name in ("forward", "denoise")),
            self.shown: gr.update(visible=each.draws),
            self.table_panel: gr.update(visible=name == "anagram" and self.table is not None),
        }

    # What happens when

    def _connect_run(self) -> None:
        drawing = self.start.click(
            self.waiting, None, [self.status, self.start, self.stop, self.halted], **AT_ONCE
        ).then(
            self.draw,
            self.inputs,
            {*self.look, self.asked.settings.seed},
            api_visibility="private",
            **MODEL,
        )
        drawing.failure(self.failed, [self.halted, self.session], self.look, **AT_ONCE)  # a full queue, or a stop in it
        self.stop.click(self.stopped, None, [self.status, self.stop, self.halted], cancels=[drawing], **AT_ONCE)

    def _connect_rest(self) -> None:
        asked = self.asked
        every: dict[str, Any] = {"inputs": self.inputs, "outputs": self.outputs, "preprocess": False}
        noise: dict[str, Any] = {"fn": self.add_noise} | every | NEWEST
        noise["outputs"] = [self.noise, self.status, *self.downloads.buttons]
        start: dict[str, Any] = {"fn": None, "inputs": self.ready, "js": press_if_ready(START)} | AT_ONCE
        asked.activity.input(self.choose, **every, **NEWEST).then(**noise)
        asked.example.click(self.take_example, **every, **AT_ONCE).then(**noise).then(**start)
        for changed in (
            self.tab.select,
            asked.level.input,
            asked.canvas.pad.drawn,
            asked.digits[0].input,
            asked.settings.seed.input,
        ):
            changed(**noise)
        asked.canvas.real.click(self.take_real, None, [asked.canvas.pad, asked.canvas.seen], **AT_ONCE).then(**noise)
        files: Any = {asked.canvas.open, self.session}
        asked.canvas.open.upload(self.open_file, files, [*self.outputs], **AT_ONCE).then(**noise).then(**start)
        self.reading.input(self.read_again, [self.session, self.reading], [self.player, self.status], **NEWEST)
        if self.table is not None:
            self.table.choose(self.take_cell, self.session, self.outputs, **AT_ONCE).then(**start)
        self.downloads.connect(self.session, self.player, self.status)

    def opened(self, page: gr.Blocks) -> None:
        """What the address asks for is drawn when the page is opened."""

    # The run

    def waiting(self) -> Update:
        return {self.status: status.line(status.WAITING), self.start: OFF, self.stop: ON, self.halted: False}

    def draw(self, data: dict[Any, Any]) -> Iterator[Update]:
        """The Start button: moments as they come, then the whole run."""
        session, until = data[self.session], data[self.until_right]
        try:
            plan = self.plan(data)
        except BadInput as error:
            yield {self.status: status.refused(error), **self._ready()}
            return
        begun = {self.status: status.running(0, plan.recipe.steps, 0), self.asked.settings.seed: plan.recipe.seed}
        yield begun | self.downloads.allow(False)
        reads, again = EXPERIMENTS[plan.recipe.activity.name].reads if plan.recipe.activity else (False, False)
        drawing = Drawing(self.work, session, plan, reading=reads and data[self.reading], until_right=again and until)
        try:
            for line, animation in drawing:
                yield {self.status: line} | ({self.player: animation} if animation else {})
        except (BadInput, gr.Error) as error:  # ZeroGPU's: no quota left, say
            yield {**self._look(session), self.status: status.refused(error), **self._ready()}
            return
        yield {**self._look(session), self.status: drawing.finished, **self._ready()}

    def plan(self, data: dict[Any, Any]) -> Plan:
        """What the press of the button asks for, or BadInput."""
        session, settings = data[self.session], self.asked.settings
        wanted, note, session.wanted, session.note = session.wanted, session.note, None, ""
        pipe = self.work.pipe(data[settings.weights])
        if wanted:
            return Plan(request.drawn_with(wanted, self.work.of(wanted)), "", 0, note)
        values = self.asked.values(data)
        if data[settings.new_seed]:
            values["seed"] = random.randint(0, checks.MAX_SEED)
        recipe = experiments.recipe(values, pipe)
        return Plan(recipe, "", 0, note, rounds=EVENED if isinstance(recipe.activity, Morph) else 0)

    def failed(self, halted: bool, session: Session) -> Update:
        """After a failure, and when a stop is done: a last step of the run may have come in between."""
        return {**self._look(session), self.status: status.line(HALTED if halted else FAILED), **self._ready()}

    def stopped(self) -> Update:
        return {self.status: status.line(status.STOPPING), self.stop: OFF, self.halted: True}

    def _ready(self) -> Update:
        return {self.start: ON, self.stop: OFF}

    def _look(self, session: Session) -> Update:
        """The player and the buttons, as the session stands."""
        drawn = session.shown
        if drawn is None:
            return self.downloads.allow(False)
        recipe = drawn.result.recipe
        readings = self.work.read_looks(drawn.result) if drawn.readings is not None else None
        more: dict[str, Any] = {"note": drawn.plan.note or NOTE}
        if isinstance(recipe.activity, Morph):
            more["note"] = drawn.plan.note or "From one digit to the other. The GIF goes there and back."
        if len(recipe.digits) == 1:
            more["zoomed"] = 0
        return {self.player: trajectory(drawn.result, self.work.names, readings, **more), **self.downloads.allow(True)}

    def read_again(self, session: Session, reading: Any) -> Update:
        """Captions for the run that is shown, or none."""
        if session.shown is None:
            return {self.status: gr.skip()}
        try:
            session.shown.readings = self.work.read(session.shown.result) if reading else None
        except BadInput as error:
            return {self.status: status.refused(error)}
        return {self.player: self._look(session)[self.player]}

    # Noise, which is added at once

    def add_noise(self, data: dict[Any, Any]) -> Update:
        """The view of noise, for the activities that have one: x_i, a blur and one guess of what the controls ask."""
        session, name = data[self.session], data[self.asked.activity]
        if name not in ("forward", "denoise"):
            return {self.noise: gr.skip()}
        try:
            values = self.asked.values(data)
            recipe = experiments.recipe(values, self.work.pipe(data[self.asked.settings.weights]))
            view = noised.view(*self.work.noised(recipe))
        except (BadInput, gr.Error) as error:
            empty = not (data[self.asked.canvas.pad] or {}).get("picture")
            return {self.noise: noised.EMPTY, self.status: status.line(NOISE) if empty else status.refused(error)}
        if name == "denoise":
            return {self.noise: view}
        session.shown = Drawn(Plan(recipe, "", 0), Result.blank(recipe, self.work.of(recipe).model.shape))
        return {self.noise: view, self.status: status.line(NOISE), **self.downloads.allow(True)}

    # What puts values into the controls

    def choose(self, data: dict[Any, Any]) -> Update:
        """Another activity. What was drawn by another one is shown no longer."""
        session, name = data[self.session], data[self.asked.activity]
        session.shown = session.wanted = None
        return {
            **self.asked.show(name, data[self.asked.settings.weights]),
            **self._panels(name),
            **self.downloads.allow(False),
            self.player: None,
            self.ready: "",
            self.status: status.line(EMPTY if EXPERIMENTS[name].draws else NOISE),
        }

    def put(self, session: Session, values: dict[str, Any], weights: str) -> Update:
        """Values by name, and the panels of their activity."""
        name = values["activity"]
        kept = {} if session.shown and session.shown.result.recipe.activity else {self.player: None}
        return self._panels(name) | kept | self.asked.put(values, weights)

    def put_recipe(self, session: Session, recipe: Recipe) -> Update:
        """A recipe into the controls, to be drawn as soon as the button is pressed."""
        pipe = self.work.of(recipe)
        request.check_number(len(recipe.digits), experiments.MOST)
        pipe.check(recipe)
        session.wanted, session.note = recipe, pipe.differs(recipe)
        values = experiments.values(recipe)
        return {**self.put(session, values, self.work.name_of(recipe)), self.ready: self._press(values["activity"])}

    def _press(self, name: str) -> str:
        return "yes" if EXPERIMENTS[name].draws else ""

    def take_example(self, data: dict[Any, Any]) -> Update:
        """What shows the activity, and a press of the button."""
        session, name = data[self.session], data[self.asked.activity]
        values = experiments.example(name, self.work.pipes[self.work.usual])
        until = name in (Anagram.name, Hybrid.name)
        session.wanted = None
        return {
            **self.put(session, values, self.work.usual),
            self.until_right: gr.update(visible=EXPERIMENTS[name].reads[1], value=until),
            self.ready: self._press(name),
        }

    def take_real(self) -> Update:
        return self.asked.canvas.put(real_digit())

    def take_cell(self, session: Session, event: gr.EventData) -> Update:
        """A cell of the table of ambigrams."""
        try:
            recipe = ambigrams.cell(self.work.pipes[self.work.usual], event.row, event.column)
            return self.put_recipe(session, recipe)
        except BadInput as error:
            return {self.ready: "", self.status: status.refused(error)}

    def open_file(self, data: dict[Any, Any]) -> Update:
        """A picture that the Lab made is made again; any other one is put on the canvas."""
        session, path = data[self.session], data[self.asked.canvas.open]
        try:
            try:
                recipe = Recipe.from_file(path)
            except BadInput:
                recipe = None
            if recipe and recipe.activity:
                return self.put_recipe(session, recipe)
            if recipe and len(recipe.digits) > 1:
                raise BadInput("There are several digits on that picture: open it in the tab Draw and choose one.")
            return {**self.asked.canvas.load(path), self.ready: ""}
        except BadInput as error:
            return {self.ready: "", self.status: status.refused(error)}
