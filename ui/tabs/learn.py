"""The tab Learn: a tour in six steps, each with a sentence or two, one thing to do, and pictures drawn meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from diffusion import BadInput
from diffusion.scheduler import T
from ui import status
from ui.canvas import Canvas
from ui.events import AT_ONCE, MODEL, NEWEST, ON, Update, in_line
from ui.lessons import Lesson, lessons
from ui.player import TRACKS, player
from ui.tour import GUIDANCE, MOST_GUIDANCE, SEED, STEPS, Shown, Tour, new_seed
from ui.work import Work

PLACES = {"draw": "Do it in Draw", "lab": "Do it in the Lab"}
FAILED = "Too many are waiting, or something broke: choose the step above again."
# To another step, and up to where it begins.
GO = """() => {
  const tour = document.querySelector("#tour");
  if (tour.getBoundingClientRect().top < 0) tour.scrollIntoView();
  return { __type__: "update", selected: %d };
}"""


class Learn:
    """The tab's components, made inside a `gr.Blocks`, and what they do.

    Attributes:
        leaving: of each step the button that goes on with it elsewhere, the tab that it goes to, and the recipe.
    """

    def __init__(self, work: Work):
        self.work, self.tour = work, Tour(work)
        self.leaving: list[tuple[gr.Button, str, gr.State]] = []
        every = lessons(self.tour)
        # The line is made first, since the steps write into it, and stands below them.
        self.status = gr.HTML(status.line(""), elem_id="learn-status", elem_classes="status", render=False)
        with gr.Walkthrough(selected=1, elem_id="tour") as self.walkthrough:
            for number, (key, lesson) in enumerate(every.items(), 1):
                with gr.Step(lesson.name, id=number, elem_id=f"learn-{number}") as step:
                    self._make(number, key, lesson, step, last=number == len(every))
        self.status.render()

    def _make(self, number: int, key: str, lesson: Lesson, step: gr.Step, last: bool) -> None:
        """A step: what is said and done on the left, what comes of it on the right."""
        with gr.Row(elem_classes="lesson"):
            with gr.Column(elem_classes="say", min_width=0):
                gr.HTML(f"<h2>{lesson.title}</h2><p>{lesson.text}</p><p class='todo'>{lesson.todo}</p>")
                inputs, first, changes = getattr(self, f"_ask_{key}")()
            with gr.Column(elem_classes="see", min_width=0):
                view = player(None, TRACKS, "learn-player", tools={}) if key == "steps" else gr.HTML()
            with gr.Row(elem_classes="go"):
                moves = []
                if number > 1:
                    moves.append(self._move("Back", number - 1))
                leave = gr.Button(PLACES[lesson.on], size="md", min_width=130, interactive=False)  # until it is drawn
                if not last:
                    moves.append(self._move("Next", number + 1, variant="primary"))
        recipe = gr.State(None)
        self.leaving.append((leave, lesson.on, recipe))
        show: Callable[..., Any] = self.show
        how = NEWEST | {"preprocess": False}  # the library's checks are the only ones
        if lesson.waits:
            show, how = self.show_in_turn, how | {"queue": True} | MODEL | in_line(self.status)
        outputs = [view, recipe, leave]
        drawings = []
        for event, values in ((step.select, first), *changes):
            drawing = partial(show, getattr(self.tour, key), values, outputs)
            shown = event(drawing, inputs, [*outputs, self.status], **how)
            shown.failure(lambda: status.line(FAILED), None, self.status, **AT_ONCE)
            drawings.append(shown)
        if lesson.waits:
            for move in moves:  # nobody queues behind a step that was left
                move.click(None, None, None, cancels=drawings, **AT_ONCE)

    def _move(self, name: str, number: int, **looks: Any) -> gr.Button:
        """A button that goes to the step of that number."""
        button = gr.Button(name, size="md", min_width=70, **looks)
        button.click(None, None, self.walkthrough, js=GO % number, **AT_ONCE)
        return button

    def show(
        self, draw: Callable[..., Shown], values: Callable[..., Sequence[Any]], outputs: Sequence[Any], *given: Any
    ) -> Update:
        """What a step shows, or a line that says why it does not.

        Args:
            values: makes of what is given what `draw` takes.
            outputs: what shows it, its recipe, and the button that goes on with that.
        """
        try:
            shown = draw(*values(*given))
        except (BadInput, gr.Error) as error:  # ZeroGPU's: no quota left, say
            return {self.status: status.refused(error)}
        view, recipe, leave = outputs
        return {view: shown.view, recipe: shown.recipe, leave: ON, self.status: shown.said}

    def show_in_turn(self, *given: Any) -> Iterator[Update]:
        """The same for what takes a while."""
        yield {self.status: status.line("Drawing.")}
        yield self.show(*given)

    # What is to be done in each step: its controls, their values at first, and the events that change them

    def _ask_noise(self) -> Any:
        level = gr.Slider(0, T - 1, value=500, step=1, label="Noise level")
        return [level], _given, [(level.input, _given)]

    def _ask_guess(self) -> Any:
        other = gr.Button("Other noise", size="md")
        return [], _first_seed, [(other.click, _new_seed)]

    def _ask_steps(self) -> Any:
        steps = gr.Radio(list(STEPS), value=20, label="Steps", elem_classes="usual")
        return [steps], _given, [(steps.input, _given)]

    def _ask_guidance(self) -> Any:
        scale = gr.Slider(1, MOST_GUIDANCE, value=GUIDANCE, step=0.5, label="Guidance")
        return [scale], _given, [(scale.input, _given)]

    _ask_same = _ask_guess

    def _ask_scribble(self) -> Any:
        drawn = Canvas(self.tour.pipe, "learn-", self.tour.unfinished)
        names = [(name, label) for label, name in enumerate(self.work.names)]
        words = "words" if max(map(len, self.work.names)) > 2 else ""
        label = gr.Radio(
            names,
            value=self.tour.label,
            label="It is",
            visible=self.tour.pipe.offer.knows_labels,
            elem_classes=["picker", words],
        )
        return [drawn.pad, label], _given, [(drawn.pad.drawn, _given), (label.input, _given)]


def _given(*values: Any) -> Sequence[Any]:
    return values


def _first_seed() -> Sequence[Any]:
    return [SEED]


def _new_seed() -> Sequence[Any]:
    return [new_seed()]
