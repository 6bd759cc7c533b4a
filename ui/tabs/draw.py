"""The tab Draw: say or pick digits, watch them form, look back, keep them."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import gradio as gr

from diffusion import BadInput, Recipe, checks
from ui import links, request, status, ways
from ui.downloads import Downloads
from ui.drawing import TRIES, Drawing, read_again
from ui.events import AT_ONCE, CHIPS, MODEL, NEWEST, OFF, ON, Update, forget_refusal, in_line, press, press_if_ready
from ui.examples import example, examples
from ui.player import PLAYED, TRACKS, first_result, player, thumbnail, trajectory
from ui.prompt import Prompt
from ui.session import Session
from ui.settings import Settings
from ui.work import Work


class Draw:
    """The tab's components, made inside a `gr.Blocks`, and what they do."""

    def __init__(self, work: Work):
        self.work, self.usual = work, work.pipes[work.usual]
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="pick", min_width=0):
                self._ask()
            with gr.Column(elem_id="result", min_width=0):
                self._show()
            with gr.Column(elem_id="settings", min_width=0):
                self.settings = Settings(work)
        self.session = gr.State(Session())
        # The runs that the browser remembers. The secret is none: without one, a server that starts anew reads nothing.
        self.kept = gr.BrowserState([], storage_key=f"runs-{work.things}", secret="recipes")
        self.halted = gr.State(False)  # by the Stop button, and not by a failure
        self.controls = {self.prompt.text, *self.settings.outputs}  # all that says what to draw
        self.look = {self.player, self.strip, self.status, self.start, self.stop, *self.downloads.buttons}
        self._connect_run()
        self._connect_rest()

    # What is on the page

    def _ask(self) -> None:
        self.prompt = Prompt(self.work)
        with gr.Row():
            self.start = gr.Button("Generate", variant="primary", elem_id="generate", min_width=120, scale=2)
            self.stop = gr.Button("Stop", variant="stop", elem_id="stop", min_width=80, interactive=False)
        self.examples = examples(self.usual)

    def _show(self) -> None:
        self.status = gr.HTML(status.line(self.work.worded(status.EMPTY)), elem_id="status", elem_classes="status")
        self.played = first_result(self.usual)
        names = self.usual.names
        self.first = trajectory(self.played, names, note=PLAYED, example=True) if self.played else None
        self.player = player(self.first, TRACKS, "player", map=self.work.map, moments=True)
        with gr.Row(elem_id="keeping"):
            self.downloads = Downloads(self.work, png="final grid")
            self.open = gr.UploadButton("Open a picture", elem_id="open", size="sm", min_width=90)
        self.strip = gr.HTML(
            [],
            html_template='{{#each value}}<button type="button" data-number="{{number}}" title="{{name}}" '
            'aria-label="Back to {{name}}" aria-pressed="{{shown}}">{{#if src}}<img src="{{src}}" alt="">'
            "{{else}}{{name}}{{/if}}</button>{{else}}<p>What you draw stays here.</p>{{/each}}",
            js_on_load=CHIPS,
            apply_default_css=False,
            elem_id="strip",
        )
        with gr.Row(elem_id="reads"):
            self.reading = gr.Checkbox(
                False,
                label="Read back",
                info=f"A classifier trained on real {self.work.things} says what it reads.",
                min_width=120,
                elem_id="reading",
            )
            self.until_right = gr.Checkbox(
                False, label="Until it reads right", info=f"Up to {TRIES} tries for each.", min_width=120
            )
        self.downloads.more()
        self.ready = gr.Textbox(visible=False)  # whether to press the button after a link or a file

    # What happens when

    def _connect_run(self) -> None:
        drawing = self.start.click(
            self.waiting, None, [self.status, self.start, self.stop, self.halted], **AT_ONCE
        ).then(
            self.draw,
            {self.session, self.reading, self.until_right, self.prompt.text, *self.settings.inputs},
            {*self.look, self.settings.seed},
            api_visibility="private",
            **MODEL | in_line(self.status),
        )
        self.downloads.follow(drawing, self.session, self.player)  # until then, what was shown live is there
        drawing.success(self.keep, self.session, self.kept, **AT_ONCE)
        drawing.failure(self.failed, [self.halted, self.session], self.look, **AT_ONCE)  # a full queue, or a stop in it
        self.stop.click(self.stopped, None, [self.status, self.stop, self.halted], cancels=[drawing], **AT_ONCE)

    def _connect_rest(self) -> None:
        self.reading.input(self.read_again, [self.session, self.reading], [self.player, self.status], **NEWEST)
        self.prompt.text.submit(None, js=press(), **AT_ONCE)
        self.examples.choose(self.take_example, self.session, self.controls, **AT_ONCE).then(
            None, js=press(), **AT_ONCE
        )
        recalling = {self.ready, *self.controls, *self.look}
        recalled = self.strip.choose(self.recall, self.session, recalling, **AT_ONCE)
        recalled.success(None, self.ready, js=press_if_ready(), **AT_ONCE)
        self.downloads.follow(recalled, self.session, self.player)
        self.player.redraw(self.redraw_alone, self.session, None, **AT_ONCE).then(None, js=press(), **AT_ONCE)
        self.player.reseed(self.reseed, self.session, self.controls, **AT_ONCE).then(None, js=press(), **AT_ONCE)
        outputs = [self.ready, self.status, *self.controls]
        self.opened_file = self.open.upload(self.open_file, [self.session, self.open], outputs, **AT_ONCE)
        self.opened_file.success(None, self.ready, js=press_if_ready(), **AT_ONCE)
        self.downloads.connect(self.session, self.player, self.status, moments=True)
        asked = {self.prompt.text, self.prompt.picker, *self.settings.inputs}
        forget_refusal(self.status, asked, status.line(self.work.worded(status.EMPTY)))

    def opened(self, page: gr.Blocks) -> None:
        """What the address asks for is drawn when the page is opened."""
        self.settings.opened(page)
        page.load(lambda: self.first_way, None, self.player, **AT_ONCE)
        asked: dict[str, Any] = {"inputs": [self.ready, self.kept], "js": "(_, kept) => [location.search, kept]"}
        outputs = [self.session, self.strip, self.status, self.ready, *self.controls]
        page.load(self.open_link, outputs=outputs, **asked, **AT_ONCE).success(
            None, self.ready, js=press_if_ready(), **AT_ONCE
        )

    # The run

    def waiting(self) -> Update:
        return {self.status: status.line(status.WAITING), self.start: OFF, self.stop: ON, self.halted: False}

    def draw(self, data: dict[Any, Any]) -> Iterator[Update]:
        """The Generate button: moments as they come, then the whole run."""
        session, reading, until = data[self.session], data[self.reading], data[self.until_right]
        weights = data[self.settings.weights]
        try:
            values = {"digits": data[self.prompt.text], **self.settings.values(data, weights)}
            plan = session.plan(values, self.work.pipe(weights), data[self.settings.new_seed])
        except BadInput as error:
            yield {self.status: status.refused(error), **self._ready()}
            return
        drawing = Drawing(self.work, session, plan, reading=reading, until_right=until)
        yield {self.status: drawing.begun, self.settings.seed: plan.recipe.seed} | self.downloads.allow(False)
        try:
            for line, animation in drawing:
                yield {self.status: line} | ({self.player: animation} if animation else {})
        except (BadInput, gr.Error) as error:  # ZeroGPU's: no quota left, say
            yield {**self._look(session), self.status: status.refused(error), **self._ready()}
            return
        yield {
            **self._look(session, plan.again[0] if plan.base else None),
            self.status: drawing.finished,
            **self._ready(),
        }

    def failed(self, halted: bool, session: Session) -> Update:
        """After a failure, and when a stop is done: a last step of the run may have come in between."""
        sentence = status.HALTED if halted else status.FAILED
        return {**self._look(session), self.status: status.line(sentence), **self._ready()}

    def stopped(self) -> Update:
        return {self.status: status.line(status.STOPPING), self.stop: OFF, self.halted: True}

    def _ready(self) -> Update:
        return {self.start: ON, self.stop: OFF}

    def _look(self, session: Session, zoomed: int | None = None) -> Update:
        """The player, the strip and the buttons, as the session stands."""
        drawn = session.shown
        if drawn is None:
            return {self.player: self.first, self.strip: self._on_strip(session), **self.downloads.allow(False)}
        shown = trajectory(
            drawn.result,
            self.work.names,
            None if drawn.readings is None else [drawn.readings],
            columns=drawn.plan.columns,
            zoomed=zoomed,
            run=drawn.number,
            **{"note": drawn.plan.note} if drawn.plan.note else {},
        )
        return {self.player: shown, self.strip: self._on_strip(session), **self.downloads.allow(True)}

    @cached_property
    def first_way(self) -> Any:
        """Those of what plays before the first run: worked out for the first visitor, and kept for all."""
        return ways.of_example(self.work, self.played)

    def keep(self, session: Session) -> list[str]:
        """The runs that the browser is to keep until the next visit."""
        return [recipe.to_json() for recipe in session.recipes]

    def _on_strip(self, session: Session) -> list[dict[str, Any]]:
        """The runs of this visit, and those of earlier ones, which have no pictures and negative numbers."""
        chips = [
            {
                "number": run.number,
                "name": self._name(run.result.recipe),
                "src": thumbnail(run.result.on_one_line(run.result.images), run.plan.columns),
                "shown": str(run is session.shown).lower(),
            }
            for run in reversed(session.runs)
        ]
        drawn = [run.result.recipe for run in session.runs]
        for k, recipe in reversed([*enumerate(session.earlier)]):
            if recipe not in drawn:
                chips.append({"number": -1 - k, "name": self._name(recipe), "src": "", "shown": "false"})
        return chips

    def _name(self, recipe: Recipe) -> str:
        return f"{request.values(recipe, self.work.names)['digits']}, seed {recipe.seed}"

    def read_again(self, session: Session, reading: Any) -> Update:
        """Captions for the run that is shown, or none."""
        return read_again(self.work, session, reading, self.status, self.player, self._look)

    # What puts values into the controls

    def put(self, values: dict[str, Any], weights: str) -> Update:
        return {self.prompt.text: values["digits"], **self.settings.put(values, weights)}

    def put_recipe(self, recipe: Recipe, prompt: str = "") -> Update:
        return self.put(request.values(recipe, self.work.names, prompt), self.work.name_of(recipe))

    def open_link(self, query: Any, kept: Any) -> Update:
        """The runs of earlier visits, what the address asks for, and a press of the button."""
        session = Session()
        session.remember(kept)
        update = {self.session: session, self.strip: self._on_strip(session), self.ready: ""}
        try:
            found = links.from_link(query or "", self.work)
        except BadInput as error:
            return update | {self.status: status.refused(error)}
        if found is None:
            return update
        values, session.wanted, weights = found
        return update | {self.ready: "yes", **self.put(values, weights)}

    def open_file(self, session: Session, path: Any) -> Update:
        """What drew a picture, and a press of the button."""
        try:
            recipe = Recipe.from_file(path)
        except BadInput as error:
            return {self.ready: "", self.status: status.refused(error)}
        if recipe.activity is not None:
            session.for_lab = recipe
            return {self.ready: ""}
        return self._open(session, recipe)

    def _open(self, session: Session, recipe: Recipe) -> Update:
        """A recipe in the controls, and a press of the button."""
        try:
            if len(recipe.digits) > request.MAX_DIGITS:
                raise BadInput(f"That picture has more than {request.MAX_DIGITS} digits: draw it on the command line.")
            pipe = self.work.of(recipe)
            pipe.check(recipe)
        except BadInput as error:
            return {self.ready: "", self.status: status.refused(error)}
        session.wanted, session.note = recipe, pipe.differs(recipe)
        return {self.ready: "yes", **self.put_recipe(recipe)}

    def take_example(self, session: Session, event: gr.EventData) -> Update:
        session.note, values = example(self.usual, event.number)
        return self.put(values, self.work.usual)

    def recall(self, session: Session, event: gr.EventData) -> Update:
        """A past run, with what drew it in the controls; one of an earlier visit is drawn again."""
        if event.number in range(-len(session.earlier), 0):
            return self._open(session, session.earlier[-1 - event.number])
        drawn = session.run(event.number)
        if drawn is None:
            return {self.ready: "", self.status: status.line("That run is no longer kept.")}
        recipe = drawn.result.recipe
        session.shown, session.wanted = drawn, recipe
        return {
            **self.put_recipe(recipe, drawn.plan.prompt),
            **self._look(session),
            self.ready: "",
            self.status: status.line(f"Drawn before, seed {recipe.seed}.", done=1),
        }

    def redraw_alone(self, session: Session, event: gr.EventData) -> None:
        """One digit from a new seed, the others as they are."""
        if session.shown:
            session.again = checks.whole("tile", event.tile, 0, len(session.shown.result.images) - 1)

    def reseed(self, session: Session, event: gr.EventData) -> Update:
        """One digit by itself, from its own seed."""
        return self.put_recipe(session.shown.result.recipe.alone(event.tile)) if session.shown else {}
