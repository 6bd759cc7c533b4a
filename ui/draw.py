"""The tab Draw: say or pick digits, watch them form, look back, keep them."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from diffusion import BadInput, Pipeline, Recipe, Result, checks
from diffusion.evaluation import readback
from diffusion.evaluation.readback import Reading, Tried
from diffusion.evaluation.reader import Reader, load_reader
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import SPACINGS, T
from ui import asked, said
from ui.stage import Moment, example, live, stage, thumbnail, trajectory
from ui.visit import Drawn, Plan, Visit

TRIES = 10  # of a digit until it reads right
FRAME_SECONDS = 0.1  # between live frames
INSTANT_FRAME_SECONDS = 0.5  # ... of instant weights, whose noise would only flicker as one drags
TRACKS = ("Noisy image", "The network's guess")

KINDS = {"PNG": ".png", "GIF": ".gif", "WebP": ".webp", "APNG": ".apng", "Single digits (ZIP)": ".zip"}

# A name, what is said of it, and the controls that it sets; the others go back to their defaults.
EXAMPLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("2026", "A number is drawn in one row, as it is written.", {"digits": "2026"}),
    ("a 4 and two 3s", "Counts and words are understood.", {"digits": "a 4 and two 3s"}),
    ("ten 7s", "One digit from ten seeds: no two are alike.", {"digits": "ten 7s"}),
    ("one step", "A single guess from pure noise is the average of all it might be: a blur.", {"steps": 1}),
    (
        "too much guidance",
        "Guidance 15 at all levels: clean, heavy, and all alike.",
        {"digits": "ten 4s", "guidance": 15, "guide_from": 0, "guide_to": T - 1},
    ),
    ("any", "Nobody says which: the network draws what it likes.", {"digits": "any", "count": 10}),
)

PRESS = "() => { const button = document.querySelector('#generate'); if (!button.disabled) button.click(); }"
REDRAW = "() => document.dispatchEvent(new Event('redraw'))"  # press it as soon as the run under way is done

# Presses it after a link or a file, as soon as the run under way is done.
PRESS_IF_READY = """(ready) => {
  const button = document.querySelector("#generate");
  const press = () => (button.disabled ? setTimeout(press, 50) : button.click());
  if (ready) press();
}"""

# Buttons made by a template, each with a number. While a run is under way they do nothing.
CHIPS = """
element.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-number]");
  if (chip && !document.querySelector("#generate").disabled) trigger("choose", { number: Number(chip.dataset.number) });
});
"""

COPY = """(query) => {
  const link = location.origin + location.pathname + query;
  const told = document.querySelector("#status p");
  const done = () => { told.textContent = "The link is copied: it draws these digits again."; };
  if (navigator.clipboard) navigator.clipboard.writeText(link).then(done, () => prompt("Copy this link:", link));
  else prompt("Copy this link:", link);
}"""

# Presses Download as soon as the file is there.
FETCH = """(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""

Update = dict[Any, Any]  # what becomes of some components
ON, OFF = gr.update(interactive=True), gr.update(interactive=False)
AT_ONCE: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}  # how an event runs


class Draw:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Args:
        pipes: what draws, by the name of its weights: "bundled", and maybe "few-step".
        runs: its run of a recipe: the moments, and at last the result. It can be stopped at each.
        retries: draws a recipe until it reads right, at most so often: None after each step, at last what came of it.
        shared: what every event that runs the model has in common.
    """

    def __init__(
        self,
        pipes: Mapping[str, Pipeline],
        runs: Callable[[Recipe], Iterator[Moment | Result]],
        retries: Callable[[Recipe, int], Iterator[Tried | None]],
        shared: dict[str, Any],
    ):
        self.pipes, self.runs, self.retries = pipes, runs, retries
        self.student = pipes[asked.FEW_STEP].offer if asked.FEW_STEP in pipes else None
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="pick", min_width=0):
                self._ask()
            with gr.Column(elem_id="result", min_width=0):
                self._show()
            with gr.Column(elem_id="settings", min_width=0):
                self._set()
        self.settings = [
            *(self.prompt, self.count, self.guidance, self.steps, self.sampler, self.seed),
            *(self.guide_from, self.guide_to, self.spacing, self.eta),
        ]
        self.memory = gr.State(Visit())
        self.halted = gr.State(False)  # by the Stop button, and not by a failure
        self._connect(shared)

    # What is on the page

    def _ask(self) -> None:
        self.prompt = gr.Textbox(
            "0-9",
            label="What to draw",
            placeholder="seven, a 4 and two 3s, 2026, even digits, any",
            max_lines=1,
            elem_id="prompt",
        )
        self.hint = gr.HTML(said.hint(asked.understood("0-9")[0]), elem_id="hint")
        self.picker = gr.CheckboxGroup(
            [(str(digit), digit) for digit in range(10)],
            value=list(range(10)),
            label="Digits",
            show_label=False,
            elem_id="digits",
        )
        with gr.Row():
            self.start = gr.Button("Generate", variant="primary", elem_id="generate", min_width=120, scale=2)
            self.stop = gr.Button("Stop", variant="stop", elem_id="stop", min_width=80, interactive=False)
        self.examples = gr.HTML(
            [{"number": k, "name": name} for k, (name, *_) in enumerate(EXAMPLES)],
            html_template='<span>Try</span>{{#each value}}<button type="button" data-number="{{number}}">{{name}}'
            "</button>{{/each}}",
            js_on_load=CHIPS,
            apply_default_css=False,
            elem_id="examples",
        )

    def _show(self) -> None:
        self.status = gr.HTML(said.said(said.EMPTY), elem_id="status", elem_classes="status")
        self.stage = stage(example(), TRACKS, "stage")
        with gr.Row(elem_id="keeping"):
            self.keep_png, self.keep_gif, self.copy = (
                gr.Button(text, interactive=False, elem_id=name, size="sm", min_width=90)
                for text, name in (("Download PNG", "keep-png"), ("Download GIF", "keep-gif"), ("Copy link", "copy"))
            )
            self.open = gr.UploadButton("Open a picture", elem_id="open", size="sm", min_width=90)
        self.strip = gr.HTML(
            [],
            html_template='{{#each value}}<button type="button" data-number="{{number}}" title="{{name}}" '
            'aria-label="Back to {{name}}" aria-pressed="{{shown}}"><img src="{{src}}" alt=""></button>'
            "{{else}}<p>What you draw stays here until you leave.</p>{{/each}}",
            js_on_load=CHIPS,
            apply_default_css=False,
            elem_id="strip",
        )
        with gr.Row(elem_id="reads"):
            self.reading = gr.Checkbox(
                False,
                label="Read back",
                info="A classifier trained on real digits says what it reads.",
                min_width=120,
                elem_id="reading",
            )
            self.until_right = gr.Checkbox(
                False, label="Until it reads right", info=f"Up to {TRIES} tries for each digit.", min_width=120
            )
        with gr.Accordion("More downloads", open=False, elem_id="downloads"):
            self.kind = gr.Radio(list(KINDS), value="WebP", label="File", elem_id="kind")
            self.track = gr.Radio(
                [(TRACKS[0], "noisy"), (TRACKS[1], "guess"), ("Both", "both")], value="both", label="Of an animation"
            )
            with gr.Row():
                self.scale = gr.Slider(1, 16, value=4, step=1, label="Size", info="Pixels per pixel.", min_width=140)
                self.fps = gr.Slider(1, 50, value=15, step=1, label="Speed", info="Frames a second.", min_width=140)
            self.keep = gr.Button("Download", interactive=False, elem_id="keep", size="sm")
        self.keeping = [self.keep_png, self.keep_gif, self.copy, self.keep]
        self.file = gr.File(visible=False)
        self.link = gr.Textbox(visible=False)
        self.ready = gr.Textbox(visible=False)  # whether to press the button after a link or a file

    def _set(self) -> None:
        with gr.Row():
            self.seed = gr.Number(Recipe.seed, label="Seed", elem_id="seed", min_width=120)
            self.new_seed = gr.Checkbox(True, label="Random seed", min_width=120)
        self.weights = gr.Radio(
            asked.WEIGHTS,
            value=asked.BUNDLED,
            label="Weights",
            info="Instant: a student of few steps, which redraws as you drag.",
            visible=asked.FEW_STEP in self.pipes,
            elem_id="weights",
        )
        self.guidance = gr.Slider(
            0,
            checks.MAX_GUIDANCE,
            value=Recipe.guidance,
            step=0.1,
            label="Guidance",
            info="1 is off, 0 ignores the digits.",
        )
        self.steps = gr.Slider(
            1,
            T,
            value=Recipe.steps,
            step=1,
            label="Steps",
            info="Guesses on the way. 20 is plenty, 1 is a blur.",
        )
        self.few_steps = gr.Radio(
            asked.step_choices(self.pipes[asked.FEW_STEP]) if self.student else [],
            value=self.student.defaults["steps"] if self.student else None,
            label="Steps",
            info="Jumps on the way.",
            visible=False,
            elem_id="few-steps",
        )
        with gr.Accordion("More settings", open=False, elem_id="more"):
            self.count = gr.Slider(1, asked.MAX_COUNT, value=1, step=1, label="How many of each")
            self.sampler = gr.Radio(
                list(SAMPLERS),
                value=Recipe.sampler,
                label="Sampler",
                info="abm, ipndm and dpm++2m need few steps, ddim a few more; ddpm adds fresh noise and likes 100.",
            )
            self.spacing = gr.Radio(
                list(SPACINGS),
                value=Recipe.spacing,
                label="Spacing",
                info="Of the steps' noise levels: trailing is even, the others are closer together at the ends.",
            )
            self.eta = gr.Slider(
                0,
                1,
                value=Recipe.eta,
                step=0.05,
                label="Eta",
                info="Fresh noise, in ddim alone; 1 is as much as in ddpm.",
                interactive=Recipe.sampler == "ddim",
            )
            gr.Markdown("Guidance above 1 is on between these noise levels. 0 is clean, 999 is pure noise.")
            with gr.Row():
                self.guide_from, self.guide_to = (
                    gr.Slider(0, T - 1, value=level, step=1, label=label, min_width=220)
                    for label, level in zip(("From level", "To level"), Recipe.guidance_interval, strict=True)
                )
            self.redrawing = gr.Checkbox(
                False,
                label="Redraw as I change things",
                info="After a short pause, from the same seed.",
                elem_id="redrawing",
            )

    # What happens when

    def _connect(self, shared: dict[str, Any]) -> None:
        shown = [self.stage, self.strip, self.status, self.start, self.stop, *self.keeping]
        controls = self.controls
        drawing = self.start.click(
            self.waiting, None, [self.status, self.start, self.stop, self.halted], **AT_ONCE
        ).then(
            self.draw,
            [self.memory, self.new_seed, self.reading, self.until_right, self.weights, self.few_steps, *self.settings],
            [*shown, self.seed],
            api_visibility="private",
            **shared,
        )
        drawing.failure(self.failed, [self.halted, self.memory], shown, **AT_ONCE)  # a full queue, or a stop in it
        self.stop.click(self.stopped, None, [self.status, self.stop, self.halted], cancels=[drawing], **AT_ONCE)

        newest: dict[str, Any] = {"trigger_mode": "always_last", **AT_ONCE}  # a quick second change is not lost
        self.weights.input(self.use, [self.weights, self.guidance], controls, preprocess=False, **newest).then(
            None, js=REDRAW, **AT_ONCE
        )
        self.sampler.change(self.allow_eta, self.sampler, self.eta, **AT_ONCE)
        self.redrawing.input(lambda on: not on, self.redrawing, self.new_seed, **AT_ONCE)
        self.reading.input(self.read_again, [self.memory, self.reading], self.stage, **newest)
        self.prompt.submit(None, js=PRESS, **AT_ONCE)
        self.prompt.change(self.understand, self.prompt, [self.hint, self.picker], **newest)  # `input` misses pasting
        self.picker.input(self.pick, [self.prompt, self.picker], self.prompt, **newest)
        self.examples.choose(self.take_example, self.memory, controls, **AT_ONCE).then(None, js=PRESS, **AT_ONCE)
        self.strip.choose(self.recall, self.memory, [*controls, *shown], **AT_ONCE)
        self.stage.redraw(self.redraw_alone, self.memory, None, **AT_ONCE).then(None, js=PRESS, **AT_ONCE)
        self.stage.reseed(self.reseed, self.memory, controls, **AT_ONCE).then(None, js=PRESS, **AT_ONCE)

        self.open.upload(
            self.open_file, [self.memory, self.open], [self.ready, self.status, *controls], **AT_ONCE
        ).success(None, self.ready, js=PRESS_IF_READY, **AT_ONCE)
        kept: dict[str, Any] = {"outputs": self.file, **AT_ONCE, "queue": True, "concurrency_id": "files"}
        for event in (
            self.keep_png.click(self.save_png, self.memory, concurrency_limit=2, **kept),
            self.keep_gif.click(self.save_gif, self.memory, **kept),
            self.keep.click(self.save_as, [self.memory, self.kind, self.track, self.scale, self.fps], **kept),
            self.stage.keep(self.save_tile, self.memory, **kept),
        ):
            event.success(None, self.file, js=FETCH, **AT_ONCE)
            event.failure(self.not_saved, None, self.status, **AT_ONCE)
        self.copy.click(self.make_link, self.memory, self.link, **AT_ONCE).success(None, self.link, js=COPY, **AT_ONCE)

    def opened(self, page: gr.Blocks) -> None:
        """What the address asks for is drawn when the page is opened."""
        controls = self.controls
        page.load(
            self.open_link,
            self.ready,
            [self.memory, self.status, self.ready, *controls],
            js="() => [location.search]",
            **AT_ONCE,
        ).success(None, self.ready, js=PRESS_IF_READY, **AT_ONCE)

    # The run

    def draw(
        self, visit: Visit, new_seed: Any, reading: Any, until: Any, weights: Any, few_steps: Any, *settings: Any
    ) -> Iterator[Update]:
        """The Generate button: moments as they come, then the film."""
        controls = dict(zip(asked.SETTINGS, settings, strict=True))
        instant = weights == asked.FEW_STEP
        try:
            pipe = asked.pipe_of(weights, self.pipes)
            plan = self._plan(visit, new_seed, asked.suited(controls, few_steps, pipe), pipe)
        except BadInput as error:
            yield {self.status: said.refused(error), self.start: ON, self.stop: OFF}
            return
        recipe = plan.recipe
        yield {self.status: said.running(0, recipe.steps, 0), self.seed: recipe.seed, **self._keepable(False)}
        started = time.monotonic()
        shown, pause = (started, INSTANT_FRAME_SECONDS) if instant else (0.0, FRAME_SECONDS)
        try:
            for state in self.runs(plan.part):
                if isinstance(state, Result):
                    result = plan.whole(state)
                    break
                if time.monotonic() - shown < pause:
                    continue
                shown = time.monotonic()
                now = replace(state, noisy=plan.now(state.noisy), guesses=plan.now(state.guesses))
                yield {
                    self.status: said.running(state.done, recipe.steps, shown - started),
                    self.stage: live(recipe, now, plan.columns),
                }
            drawn = Drawn(replace(plan, base=None, again=()), result)
            if reading or until:
                drawn.readings = self.read(drawn.result)
            visit.add(drawn, instead=instant)
            if until and recipe.guidance > 0:
                yield from self._until_right(drawn)
        except gr.Error as error:  # ZeroGPU's: no quota left, say
            yield {**self._look(visit), self.status: said.refused(error), self.start: ON, self.stop: OFF}
            return
        told = said.read_back(drawn.readings, drawn.drawn) if drawn.readings else ""
        yield {
            **self._look(visit, plan.again[0] if plan.base else None),
            self.status: said.finished(plan.part, time.monotonic() - started, told),
            self.start: ON,
            self.stop: OFF,
        }

    def _until_right(self, drawn: Drawn) -> Iterator[Update]:
        """Draw again what did not read right, from other seeds, and put it in its place."""
        recipe = drawn.result.recipe
        missed = tuple(k for k, reading in enumerate(drawn.readings or ()) if not reading.right)
        drawn.drawn = len(recipe.digits)
        if not missed:
            return
        told = (
            f"{len(missed)} of {len(recipe.digits)} read wrong: drawing {'it' if len(missed) == 1 else 'them'} again."
        )
        yield {self.status: said.said(told)}
        plan = replace(drawn.plan, recipe=recipe, base=drawn.result, again=missed)
        for tried in self.retries(plan.part, TRIES):
            if tried is not None:
                break
            yield {self.status: said.said(told)}  # here it can be stopped
        else:
            return
        drawn.result = plan.whole(tried.result)
        drawn.drawn += tried.drawn - len(missed)  # the first try is the one that was seen already
        drawn.readings = self.read(drawn.result)

    def read_again(self, visit: Visit, reading: Any) -> Update:
        """Captions for the run that is shown, or none."""
        if visit.shown is None:
            return {}
        visit.shown.readings = self.read(visit.shown.result) if reading else None
        return {self.stage: self._look(visit)[self.stage]}

    def read(self, result: Result) -> list[Reading]:
        return readback.read(self.pipes[asked.BUNDLED], reader(), result)

    def _plan(self, visit: Visit, new_seed: Any, controls: dict[str, Any], pipe: Pipeline) -> Plan:
        """What the press of the button asks for, or BadInput."""
        wanted, again, note, base = visit.wanted, visit.again, visit.note, visit.shown
        visit.wanted, visit.again, visit.note = None, None, ""
        if again is not None and base is not None:
            recipe = base.result.recipe.with_seed(again, random.randint(0, checks.MAX_SEED))
            return replace(base.plan, recipe=recipe, base=base.result, again=(again,))
        if new_seed:
            controls["seed"] = random.randint(0, checks.MAX_SEED)
        recipe = asked.drawn_with(asked.recipe(**controls), pipe)
        if wanted and asked.controls(wanted, controls["digits"]) == controls:
            recipe = asked.drawn_with(wanted, pipe)
        else:
            recipe = visit.with_own_seeds(recipe, instant=pipe.offer.instant)
        return Plan(recipe, controls["digits"], asked.columns(controls["digits"]), note)

    def waiting(self) -> Update:
        return {self.status: said.said(said.WAITING), self.start: OFF, self.stop: ON, self.halted: False}

    def failed(self, halted: bool, visit: Visit) -> Update:
        """After a failure, and when a stop is done: a last step of the run may have come in between."""
        told = said.HALTED if halted else said.FAILED
        return {**self._look(visit), self.status: said.said(told), self.start: ON, self.stop: OFF}

    def stopped(self) -> Update:
        return {self.status: said.said(said.STOPPING), self.stop: OFF, self.halted: True}

    def _look(self, visit: Visit, zoomed: int | None = None) -> Update:
        """The stage, the strip and the buttons, as the visit stands."""
        drawn = visit.shown
        if drawn is None:
            return {self.stage: example(), self.strip: [], **self._keepable(False)}
        shown = trajectory(
            drawn.result,
            drawn.readings,
            columns=drawn.plan.columns,
            zoomed=zoomed,
            **{"note": drawn.plan.note} if drawn.plan.note else {},
        )
        runs = [
            {
                "number": run.number,
                "name": f"{asked.controls(run.result.recipe)['digits']}, seed {run.result.recipe.seed}",
                "src": thumbnail(run.result.images, run.plan.columns),
                "shown": str(run is drawn).lower(),
            }
            for run in reversed(visit.runs)
        ]
        return {self.stage: shown, self.strip: runs, **self._keepable(True)}

    def _keepable(self, yes: bool) -> Update:
        return dict.fromkeys(self.keeping, ON if yes else OFF)

    # The controls

    def understand(self, prompt: Any) -> Update:
        """What a prompt means, beside it and in the picker."""
        try:
            told, picked = asked.understood(prompt or "")
        except BadInput as error:
            return {self.hint: said.hint(str(error), unclear=True)}
        return {self.hint: said.hint(told), self.picker: picked or []}

    def pick(self, prompt: Any, picked: list[int]) -> str:
        return asked.edited(prompt or "", picked)

    @property
    def controls(self) -> list[Any]:
        """All that says what to draw."""
        return [*self.settings, self.new_seed, self.weights, self.few_steps]

    def put(self, values: dict[str, Any], weights: str = asked.BUNDLED) -> Update:
        """Settings by name into the controls."""
        controls = dict(zip(asked.SETTINGS, self.settings, strict=True))
        update: Update = self.offered(weights)
        for name, value in values.items():
            if name == "steps" and weights == asked.FEW_STEP:
                update[self.few_steps]["value"] = value
            elif controls[name] in update:
                update[controls[name]]["value"] = value
                if name == "guidance" and value == 0:
                    update[self.guidance]["minimum"] = 0
            else:
                update[controls[name]] = value
        new_seed = "seed" not in values and weights != asked.FEW_STEP  # instant ones redraw from the same
        return update | {self.weights: weights, self.new_seed: new_seed}

    def offered(self, weights: str) -> Update:
        """The controls that these weights can follow."""
        few = weights == asked.FEW_STEP
        _, most = asked.guidance_range(self.pipes[weights])
        update: Update = {self.steps: gr.update(visible=not few), self.few_steps: gr.update(visible=few)}
        update[self.guidance] = gr.update(minimum=int(few), maximum=most)
        return update | {
            control: gr.update(visible=not few)
            for control in (self.sampler, self.guide_from, self.guide_to, self.spacing, self.eta)
        }

    def use(self, weights: Any, guidance: Any) -> Update:
        """Other weights: instant ones redraw at once whatever is changed, from the same seed."""
        few = weights == asked.FEW_STEP
        update = self.offered(weights)
        slider = update[self.guidance]
        now_and_before = (asked.FEW_STEP, asked.BUNDLED) if few else (asked.BUNDLED, asked.FEW_STEP)
        usual, left = (asked.defaults(self.pipes[name])["guidance"] for name in now_and_before)
        value = usual if guidance == left or not isinstance(guidance, int | float) else guidance
        slider["value"] = min(max(value, slider["minimum"]), slider["maximum"])
        return update | ({self.new_seed: False} if few else {})

    def allow_eta(self, sampler: Any) -> Update:
        return {self.eta: ON if sampler == "ddim" else gr.update(value=0, interactive=False)}

    def name_of(self, recipe: Recipe) -> str:
        """The name of the weights that drew a recipe, where they are here."""
        few = self.pipes.get(asked.FEW_STEP)
        return asked.FEW_STEP if few and recipe.weights == few.weights else asked.BUNDLED

    def open_link(self, query: Any) -> Update:
        """The controls that the address asks for, and a press of the button."""
        visit = Visit()
        try:
            found = asked.from_link(query or "", self.pipes)
        except BadInput as error:
            return {self.memory: visit, self.ready: "", self.status: said.refused(error)}
        if found is None:
            return {self.memory: visit, self.ready: ""}
        controls, visit.wanted, weights = found
        return {self.memory: visit, self.ready: "yes", **self.put(controls, weights)}

    def open_file(self, visit: Visit, path: Any) -> Update:
        """The controls that drew a picture, and a press of the button."""
        try:
            recipe = Recipe.from_file(path)
            if len(recipe.digits) > asked.MAX_DIGITS:
                raise BadInput(f"That picture has more than {asked.MAX_DIGITS} digits: draw it on the command line.")
            weights = self.name_of(recipe)
            asked.drawn_with(recipe, self.pipes[weights])
        except BadInput as error:
            return {self.ready: "", self.status: said.refused(error)}
        visit.wanted, visit.note = recipe, self.pipes[weights].differs(recipe)
        return {self.ready: "yes", **self.put(asked.controls(recipe), weights)}

    def take_example(self, visit: Visit, event: gr.EventData) -> Update:
        _, visit.note, changes = EXAMPLES[checks.whole("number", event.number, 0, len(EXAMPLES) - 1)]
        values = asked.defaults(self.pipes[asked.BUNDLED]) | changes
        del values["seed"]
        return self.put(values)

    def recall(self, visit: Visit, event: gr.EventData) -> Update:
        """A past run, with the controls that drew it."""
        drawn = visit.run(event.number)
        if drawn is None:
            return {self.status: said.said("That run is no longer kept.")}
        recipe = drawn.result.recipe
        visit.shown, visit.wanted = drawn, recipe
        return {
            **self.put(asked.controls(recipe, drawn.plan.prompt), self.name_of(recipe)),
            **self._look(visit),
            self.status: said.said(f"Drawn before, seed {recipe.seed}.", done=1),
        }

    def redraw_alone(self, visit: Visit, event: gr.EventData) -> None:
        """One digit from a new seed, the others as they are."""
        if visit.shown:
            visit.again = checks.whole("tile", event.tile, 0, len(visit.shown.result.images) - 1)

    def reseed(self, visit: Visit, event: gr.EventData) -> Update:
        """One digit by itself, from its own seed."""
        if visit.shown is None:
            return {}
        recipe = visit.shown.result.recipe.alone(event.tile)
        return self.put(asked.controls(recipe), self.name_of(recipe))

    def save_png(self, visit: Visit) -> Iterator[str | None]:
        yield from save(visit, ".png")

    def save_gif(self, visit: Visit) -> Iterator[str | None]:
        yield from save(visit, ".gif")

    def save_as(self, visit: Visit, kind: Any, track: Any, scale: Any, fps: Any) -> Iterator[str | None]:
        yield from save(visit, KINDS[checks.choice("file", kind, KINDS)], track=track, scale=scale, fps=fps)

    def save_tile(self, visit: Visit, event: gr.EventData) -> Iterator[str | None]:
        """The GIF of one digit: its noise and the network's guesses."""
        if visit.shown:
            tile = checks.whole("tile", event.tile, 0, len(visit.shown.result.images) - 1)
            yield from save(visit, ".gif", tile, track="both")

    def not_saved(self) -> Update:
        return {self.status: said.said("That file could not be made: choose a smaller size, or another kind.")}

    def make_link(self, visit: Visit) -> str:
        if visit.shown is None:
            return ""
        recipe = visit.shown.result.recipe
        return asked.link(recipe, visit.shown.plan.prompt, self.name_of(recipe))


@cache
def reader() -> Reader:
    """The bundled one, loaded when it is first wanted; on the CPU, which is quick enough and always there."""
    return load_reader().to("cpu")


def save(visit: Visit, ending: str, tile: int | None = None, **options: Any) -> Iterator[str | None]:
    """Write the shown run, or one tile of it, under a telling name; Gradio serves a copy of its own."""
    drawn = visit.shown
    if drawn is None:
        return
    result, columns = (drawn.result, drawn.plan.columns) if tile is None else (drawn.result.alone(tile), 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{result.recipe.name}{ending}"
        result.save(path, columns=columns or None, **options)
        yield str(path)
