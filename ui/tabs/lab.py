"""The tab Lab: add noise to pictures and take it away, edit and fill them, draw illusions and morphs."""

import random
from collections.abc import Iterator
from typing import Any

import gradio as gr

from diffusion import BadInput, Recipe, checks
from diffusion.lab import Anagram, Hybrid, ImageToImage
from diffusion.lab.picture import load
from ui import ambigrams, experiments, noised, request, status
from ui.bench import EMPTY, NOISE, START, Bench, first_line
from ui.canvas import real_digit
from ui.drawing import Drawing, read_again
from ui.events import AT_ONCE, MODEL, NEWEST, OFF, ON, Update, forget_refusal, in_line, press_if_ready
from ui.experiments import EXPERIMENTS
from ui.lab_controls import LabControls
from ui.session import Plan, Session
from ui.work import Work

HALTED = "Stopped. Press <b>Start</b> to start again."
FAILED = "Too many are waiting, or something broke. Press <b>Start</b> to try again."


class Lab:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        tab: this tab, which shows noise as soon as it is chosen.
    """

    def __init__(self, work: Work, tab: gr.Tab):
        self.work, self.tab = work, tab
        self.controls = LabControls(work)
        self.controls.choose()
        with gr.Row(elem_id="lab-layout"):
            with gr.Column(elem_id="lab-pick", min_width=0):
                self.controls.make()
            with gr.Column(elem_id="lab-result", min_width=0):
                self.bench = Bench(work)
            with gr.Column(elem_id="lab-settings", min_width=0):
                self.controls.more()
        self.session = gr.State(Session())
        self.outcome = gr.State(FAILED)  # what is said of a run that ends before it is done
        self.asked = gr.State("")  # the activity that was shown at the last press of Start or Stop
        self.ready = gr.Textbox(visible=False)  # whether to press the button after a link or a file
        self.start, self.stop = self.controls.start, self.controls.stop
        self.status, self.player, self.downloads = self.bench.status, self.bench.player, self.bench.downloads
        self.look = {self.player, self.status, self.start, self.stop, *self.downloads.buttons}
        self.inputs = {self.session, self.bench.sigma, self.bench.unfolded, *self.controls.inputs}
        self.outputs = [self.session, self.ready, *self.bench.panels, *self.controls.outputs]
        self._connect_run()
        self._connect_rest()

    # What happens when

    def _connect_run(self) -> None:
        activity = self.controls.activity
        asked = [self.status, self.start, self.stop, self.outcome, self.asked]
        self.drawing = self.start.click(self.waiting, activity, asked, **AT_ONCE).then(
            self.draw,
            self.inputs,
            {*self.look, self.controls.settings.seed, self.bench.drawn},
            api_visibility="private",
            **MODEL | in_line(self.status),
        )
        self.downloads.follow(self.drawing, self.session, self.player)
        ended = [self.outcome, self.session, self.asked, activity]
        self.drawing.failure(self.failed, ended, self.look, **AT_ONCE)  # a full queue, or an end
        stopped = [self.status, self.stop, self.outcome, self.asked]
        self.stop.click(self.stopped, activity, stopped, cancels=[self.drawing], **AT_ONCE)

    def _connect_rest(self) -> None:
        controls = self.controls
        every: dict[str, Any] = {"inputs": self.inputs, "outputs": self.outputs, "preprocess": False}
        noise: dict[str, Any] = {"fn": self.add_noise} | every | NEWEST
        noise["outputs"] = [self.bench.noise, self.bench.ways, self.status, *self.downloads.buttons]
        start: dict[str, Any] = {"fn": None, "inputs": self.ready, "js": press_if_ready(START)} | AT_ONCE
        controls.activity.input(self.choose, **every, cancels=[self.drawing], **NEWEST).then(**noise)
        controls.example.click(self.take_example, **every, **AT_ONCE).then(**noise).then(**start)
        for changed in (
            self.tab.select,
            controls.level.input,
            controls.canvas.pad.drawn,
            controls.digits[0].input,
            controls.settings.seed.input,
            self.bench.sigma.input,
        ):
            changed(**noise)
        self.bench.why.expand(lambda: True, None, self.bench.unfolded, **AT_ONCE).then(**noise)
        self.bench.why.collapse(lambda: False, None, self.bench.unfolded, **AT_ONCE)
        controls.canvas.real.click(self.take_real, None, [controls.canvas.pad, controls.canvas.seen], **AT_ONCE).then(
            **noise
        )
        files: Any = {controls.canvas.open, controls.activity, self.session}
        controls.canvas.open.upload(self.open_file, files, self.outputs, **AT_ONCE).then(**noise).then(**start)
        self.controls.reading.input(
            self.read_again, [self.session, self.controls.reading], [self.player, self.status], **NEWEST
        )
        if self.bench.table is not None:
            self.bench.table.choose(self.take_cell, self.session, self.outputs, **AT_ONCE).then(**start)
        self.player.edit(self.take_shown, self.session, self.outputs, **AT_ONCE)
        self.downloads.connect(self.session, self.player, self.status)
        forget_refusal(self.status, controls.inputs - {controls.activity}, status.line(EMPTY))

    # The run

    def waiting(self, name: str) -> Update:
        line = status.line(status.WAITING)
        return {self.status: line, self.start: OFF, self.stop: ON, self.outcome: FAILED, self.asked: name}

    def draw(self, data: dict[Any, Any]) -> Iterator[Update]:
        """The Start button: moments as they come, then the whole run."""
        session, until = data[self.session], data[self.controls.until_right]
        try:
            plan = self.plan(data)
        except BadInput as error:
            yield {self.status: status.refused(error), **self._ready()}
            return
        activity = plan.recipe.activity
        assert activity is not None  # all that is drawn here has one
        reading = activity.readable and data[self.controls.reading]
        drawing = Drawing(self.work, session, plan, reading=reading, until_right=activity.retried and until)
        begun = {self.status: drawing.begun, self.controls.settings.seed: plan.recipe.seed}
        yield begun | self.downloads.allow(False) | {self.bench.drawn: gr.update(visible=True)}
        try:
            for line, animation in drawing:
                yield {self.status: line} | ({self.player: animation} if animation else {})
        except (BadInput, gr.Error) as error:  # ZeroGPU's: no quota left, say
            yield {**self.bench.look(session), self.status: status.refused(error), **self._ready()}
            return
        yield {**self.bench.look(session), self.status: drawing.finished, **self._ready()}

    def plan(self, data: dict[Any, Any]) -> Plan:
        """What the press of the button asks for, or BadInput."""
        session, settings = data[self.session], self.controls.settings
        wanted, note, session.wanted, session.note = session.wanted, session.note, None, ""
        pipe = self.work.pipe(data[settings.weights])
        if wanted:
            recipe = request.drawn_with(wanted, self.work.of(wanted))
        else:
            values = self.controls.values(data)
            if data[settings.new_seed]:
                values["seed"] = random.randint(0, checks.MAX_SEED)
            recipe = experiments.recipe(values, pipe)
        return Plan(recipe, "", 0, note, rounds=experiments.rounds(recipe))

    def failed(self, outcome: str, session: Session, asked: str, name: str) -> Update:
        """After a failure, and when a stop is done: a last step of the run may have come in between.

        Where another activity was chosen meanwhile, only the line of that step goes: that one shows the rest.
        """
        if asked != name:
            return {self.status: first_line(name), **self._ready()}
        return {**self.bench.look(session), self.status: status.line(outcome), **self._ready()}

    def stopped(self, name: str) -> Update:
        return {self.status: status.line(status.STOPPING), self.stop: OFF, self.outcome: HALTED, self.asked: name}

    def _ready(self) -> Update:
        return {self.start: ON, self.stop: OFF}

    def read_again(self, session: Session, reading: Any) -> Update:
        """Captions for the run that is shown, or none."""
        return read_again(self.work, session, reading, self.status, self.player, self.bench.look)

    def add_noise(self, data: dict[Any, Any]) -> Update:
        """Noise that follows the controls at once, for the activities that have a noise level."""
        name = data[self.controls.activity]
        if "levels" not in EXPERIMENTS[name].takes:
            return {self.status: gr.skip()}
        try:
            values = self.controls.values(data)
        except BadInput as error:
            empty = not (data[self.controls.canvas.pad] or {}).get("picture")  # which is no mistake
            return {
                self.bench.noise: noised.EMPTY,
                self.bench.ways: "",
                self.status: status.line(NOISE) if empty else status.refused(error),
            }
        shown = self.bench.add_noise(data[self.session], values, self.work.pipe(data[self.controls.settings.weights]))
        return shown | (self.bench.answer(values, data[self.bench.sigma]) if data[self.bench.unfolded] else {})

    # What puts values into the controls

    def choose(self, data: dict[Any, Any]) -> Update:
        """Another activity. A run that ends only now is kept by the session before, and shown no longer."""
        name = data[self.controls.activity]
        return {
            self.session: Session(),
            **self.controls.show(name, data[self.controls.settings.weights]),
            **self.bench.show(name),
            **self.bench.nothing(name),
            self.ready: "",
        }

    def put(self, values: dict[str, Any], weights: str) -> Update:
        """Values by name, and the panels of their activity."""
        return self.bench.show(values["activity"]) | self.controls.put(values, weights)

    def put_recipe(self, session: Session, recipe: Recipe) -> Update:
        """A recipe into the controls, to be drawn as soon as the button is pressed."""
        pipe = self.work.of(recipe)
        request.check_number(len(recipe.digits))
        pipe.check(recipe)
        values = experiments.values(recipe)
        draws = EXPERIMENTS[values["activity"]].draws
        session.wanted, session.note = (recipe, pipe.differs(recipe)) if draws else (None, "")
        return {**self.put(values, self.work.name_of(recipe)), self.ready: "yes" if draws else ""}

    def take_example(self, data: dict[Any, Any]) -> Update:
        """What shows the activity, and a press of the button."""
        session, name = data[self.session], data[self.controls.activity]
        values = experiments.example(name, self.work.pipes[self.work.usual])
        until = name in (Anagram.name, Hybrid.name)
        session.wanted = None
        return {
            **self.put(values, self.work.usual),
            self.controls.until_right: gr.update(visible=EXPERIMENTS[name].activity.retried, value=until),
            self.ready: "yes" if EXPERIMENTS[name].draws else "",
        }

    def take(self, pixels: Any) -> Update:
        """A picture of the network's own size, to be edited."""
        values = {"activity": ImageToImage.name, "images": pixels}
        line = status.line("Choose what to draw it as, and press <b>Start</b>. The other activities take it, too.")
        return {**self.put(values, self.work.usual), self.status: line, self.ready: ""}

    def take_shown(self, session: Session, event: gr.EventData) -> Update:
        """One of the images that are shown, to be edited."""
        k, drawn = self.bench.image(session, event), session.shown
        return {self.ready: ""} if k is None or drawn is None else self.take(drawn.result.images[k])

    def take_real(self) -> Update:
        return self.controls.canvas.put(real_digit(things=self.work.things))

    def take_cell(self, session: Session, event: gr.EventData) -> Update:
        """A cell of the table of ambigrams."""
        try:
            recipe = ambigrams.cell(self.work.pipes[self.work.usual], event.row, event.column)
            return self.put_recipe(session, recipe)
        except BadInput as error:
            return {self.ready: "", self.status: status.refused(error)}

    def open_file(self, data: dict[Any, Any]) -> Update:
        """A picture that the Lab made is made again; any other one is put on the canvas."""
        session, path = data[self.session], data[self.controls.canvas.open]
        try:
            try:
                recipe = Recipe.from_file(path)
            except checks.Newer:
                raise
            except BadInput:  # any other picture
                recipe = None
            if recipe and recipe.activity:
                return self.put_recipe(session, recipe)
            if recipe and len(recipe.digits) > 1:
                raise BadInput("There are several images on that picture: open it in the tab Draw and choose one.")
            if "images" in EXPERIMENTS[data[self.controls.activity]].takes:
                return {**self.controls.canvas.load(path), self.ready: ""}
            return self.take(load(path, self.controls.canvas.shape)[0])
        except BadInput as error:
            return {self.ready: "", self.status: status.refused(error)}
