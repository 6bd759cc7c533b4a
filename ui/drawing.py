"""A press of the button Generate: what there is to see meanwhile, and what the session keeps of it."""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from diffusion import BadInput, Result
from diffusion.lab import Anagram, Hybrid, ImageToImage, morph
from ui import status, ways
from ui.events import Update
from ui.player import live
from ui.session import Drawn, Plan, Session
from ui.work import Work

TRIES, ILLUSION_TRIES = 10, 32  # of a digit until it reads right, and of one that reads as two
FRAME_SECONDS = 0.1  # between live frames
INSTANT_FRAME_SECONDS = 0.5  # ... of instant weights, whose noise would only flicker as one drags

View = tuple[str, dict[str, Any] | None]  # a line of status, and an animation where there is a new one


class Drawing:
    """A plan as it is drawn, to be iterated: what there is to see. It can be left at each view.

    In the end the session has the run, and `finished` is the last line of status.

    Args:
        reading: whether the reader is to say what it reads.
        until_right: whether what reads wrong is drawn again.
    """

    def __init__(self, work: Work, session: Session, plan: Plan, *, reading: bool, until_right: bool):
        self.work, self.session, self.plan = work, session, plan
        self.reading, self.until_right = reading, until_right
        self.pipe = work.of(plan.recipe)
        self.started = time.monotonic()
        self.finished = ""

    @property
    def what(self) -> str:
        """What the steps are called. An edit leaves the first ones out: it begins with the picture under some noise."""
        recipe, path = self.plan.recipe, self.pipe.levels(self.plan.recipe)
        steps, edit = len(path) - 1, recipe.activity
        if not isinstance(edit, ImageToImage) or steps in (0, recipe.steps):
            return "Step"
        last = "At most the last" if len(set(edit.strengths)) > 1 else "The last"
        return f"{last} {steps} of {recipe.steps} steps, from noise level {path[0].index}. Step"

    @property
    def begun(self) -> str:
        """The line of status before the first step."""
        return status.running(0, self.pipe.steps(self.plan.recipe), 0, self.what)

    def __iter__(self) -> Iterator[View]:
        result = yield from self._run()
        drawn = Drawn(replace(self.plan, base=None, again=()), result)
        self.session.add(drawn, instead=self.pipe.offer.instant)
        if self.reading or self.until_right:
            drawn.looks = self.work.read(drawn.result)
        if self.until_right and self.plan.recipe.guidance > 0:
            yield from self._draw_misses_again(drawn)
        labelled = self.plan.recipe.guidance > 0  # else the network drew what it liked
        read = status.read_back(drawn.readings, drawn.drawn) if drawn.readings and labelled else ""
        self.finished = self.work.worded(status.finished(self.plan.part, time.monotonic() - self.started, read))

    def _run(self) -> Generator[View, None, Result]:
        """The run, after those that even a morph."""
        for k in range(self.plan.rounds):
            what = f"Making the steps even, round {k + 1} of {self.plan.rounds}: step"
            result = yield from self._once(self.plan, what, more=self.plan.rounds - k)
            self.plan = replace(self.plan, recipe=morph.evened(self.plan.recipe, result))
        return (yield from self._once(self.plan, self.what))

    def _once(self, plan: Plan, what: str, more: int = 0) -> Generator[View, None, Result]:
        """The moments as they come, but not all of them: the browser shows ten a second. So many more runs follow."""
        began = time.monotonic()
        instant = self.pipe.offer.instant
        trail = ways.Trail(self.work)
        shown, pause = (began, INSTANT_FRAME_SECONDS) if instant else (0.0, FRAME_SECONDS)
        for state in self.work.run(plan.part, more=more):
            if isinstance(state, Result):
                return plan.whole(state)
            if state.done == 0:
                began = time.monotonic()  # before that, it waited for a GPU
            if time.monotonic() - shown >= pause:
                shown = time.monotonic()
                now = replace(state, noisy=plan.now(state.noisy), guesses=plan.now(state.guesses))
                line = status.running(state.done, state.steps, shown - began, what, state.share)
                yield line, live(plan.recipe, self.pipe.names, now, plan.columns, **trail.now(now))
        raise AssertionError("a run ends with its result")

    def _draw_misses_again(self, drawn: Drawn) -> Iterator[View]:
        """Draw again what did not read right, from other seeds, and put it in its place."""
        recipe = drawn.result.recipe
        missed = tuple(k for k, reading in enumerate(drawn.readings or ()) if not reading.right)
        drawn.drawn = len(recipe.digits)
        if not missed:
            return
        them = "it" if len(missed) == 1 else "them"
        line = status.line(f"{len(missed)} of {len(recipe.digits)} read wrong: drawing {them} again.")
        yield line, None
        plan = replace(drawn.plan, recipe=recipe, base=drawn.result, again=missed)
        tries = ILLUSION_TRIES if isinstance(recipe.activity, Anagram | Hybrid) else TRIES
        for tried in self.work.retry(plan.part, tries):
            if tried is not None:
                drawn.result = plan.whole(tried.result)
                drawn.drawn += tried.drawn - len(missed)  # the first try is the one that was seen already
                drawn.looks = self.work.read(drawn.result)
                return
            yield line, None  # here it can be stopped


def read_again(
    work: Work, session: Session, reading: Any, line: gr.HTML, player: gr.HTML, look: Callable[[Session], Update]
) -> Update:
    """Captions for the run that is shown, or none: the player as it looks then, or a line that says why not."""
    if session.shown is None:
        return {line: gr.skip()}
    try:
        session.shown.looks = work.read(session.shown.result) if reading else None
    except BadInput as error:
        return {line: status.refused(error)}
    return {player: look(session)[player]}
