"""The page's public endpoint, /generate: the same drawings for programs and language models."""

import tempfile
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.mcp

from diffusion import BadInput, Result
from diffusion.recipe import SETTINGS
from diffusion.settings import Choice
from ui import request
from ui.events import MODEL
from ui.line import tell_waits
from ui.tools import Tools
from ui.work import Work

MOST_WAITING = 1000  # in the queue: who comes then is told that it is full
TOLD_SECONDS = 1.0  # between two times that those who wait are told their places

Answer = tuple[str | None, str | None, int]  # the paths of the PNG and the GIF, and the seed


class Page(gr.Blocks):
    """The page, whose endpoint answers those, too, who send a list of values from when it had fewer parameters."""

    def __init__(self, work: Work, **settings: Any):
        self.work = work
        super().__init__(**settings)

    def queue(self, status_update_rate: Any = TOLD_SECONDS, *arguments: Any, **settings: Any) -> "Page":
        """The queue, as Gradio makes it before there is a page: to make another one later takes a fifth of a second."""
        if len(arguments) < 2:  # the second one would be max_size
            settings = {"max_size": MOST_WAITING} | settings
        super().queue(status_update_rate, *arguments, **settings)
        tell_waits(self._queue, self.work)
        return self

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        if block_fn.api_name == "generate":
            inputs += [None] * (len(block_fn.inputs) - len(inputs))
        super().validate_inputs(block_fn, inputs)


def generate_with(work: Work) -> Callable[..., Iterator[Answer]]:
    """The endpoint's function. Its signature is written out, since others script against it."""

    def generate(
        digits: Any = None,
        count: Any = None,
        guidance: Any = None,
        steps: Any = None,
        sampler: Any = None,
        seed: Any = None,
        guide_from: Any = None,
        guide_to: Any = None,
        spacing: Any = None,
        eta: Any = None,
        weights: Any = None,
        thickness: Any = None,
        slant: Any = None,
        width: Any = None,
        hand: Any = None,
    ) -> Iterator[Answer]:
        """Draw handwritten digits. Returns the grid (PNG), the way from noise to digits (GIF) and the seed.

        By default it draws every digit once, with the weights' own settings. A null counts as not given.

        Args:
            digits: what to draw, in digits or words: "7", "0-9", "2026", "a 4 and two 3s", "any"; 100 at most.
            count: how many of each, 1 to 10.
            guidance: 0 to 20; 1 is off, more is clearer, 0 ignores the digits; few-step weights take 0 or 1 to 3.
            steps: 1 to 1,000; few-step weights take 1, 2, 4 or 8.
            sampler: how each step is taken; few-step weights take ddim.
            seed: the noise to start from, 0 to 4,294,967,295; the same seed draws the same digits.
            guide_from: guidance is on from this noise level, 0 (clean) to 999 (pure noise); few-step weights take 400.
            guide_to: and up to this one, 0 to 999; few-step weights take 700.
            spacing: where the noise levels of the steps lie; few-step weights take trailing.
            eta: fresh noise in the sampler ddim, 0 to 1; few-step weights take 0.
            weights: bundled takes its time, few-step is quick; fashion and fashion-few-step draw clothes.
            thickness: mean width of the strokes in pixels, any or 0 to 28, as far as the weights know styles.
            slant: how far digits lean to the right in radians, any or -1.5 to 1.5; 0 is upright.
            width: of a digit set upright in pixels, any or 0 to 56.
            hand: who writes: any, many or 0 to 4,294,967,295; a number is one hand for all digits.
        """
        style = (("thickness", thickness), ("slant", slant), ("width", width), ("hand", hand))
        values = {
            "digits": digits,
            "count": count,
            "guidance": guidance,
            "steps": steps,
            "sampler": sampler,
            "seed": seed,
            "spacing": spacing,
            "eta": eta,
            **{name: SETTINGS[name].values.read(value) if isinstance(value, str) else value for name, value in style},
        }
        try:
            pipe = work.pipe(work.usual if weights is None else weights)
            if guide_from is not None or guide_to is not None:
                values["guidance_interval"] = interval(guide_from, guide_to, pipe.offer.defaults["guidance_interval"])
            recipe = request.recipe({name: value for name, value in values.items() if value is not None}, pipe)
        except BadInput as error:
            raise refusal(error) from None
        state: Any
        for state in work.run(recipe):
            if isinstance(state, Result):
                break
            yield None, None, recipe.seed  # so that a caller who gives up frees the machine
        with tempfile.TemporaryDirectory() as folder:
            yield *save(state, folder), recipe.seed

    return generate


def add(work: Work) -> None:
    """Add the endpoint to the `gr.Blocks` that is being made.

    Gradio describes an endpoint by components. These have no value, so that for its clients, too, the default of every
    parameter is None.
    """
    choices: dict[str, list[Any]] = {
        name: list(each.values.choices) for name, each in SETTINGS.items() if isinstance(each.values, Choice)
    } | {"weights": list(work.pipes)}
    generate = generate_with(work)
    inputs: list[Any] = []
    for name in signature(generate).parameters:
        if name in choices:
            inputs.append(gr.Radio(choices[name], label=name, visible=False))
        else:
            inputs.append((gr.Textbox if name in ("digits", "hand") else gr.Number)(None, label=name, visible=False))
    outputs = [
        gr.Image(visible=False, label="Digits"),
        gr.Image(visible=False, label="From noise to digits"),
        gr.Number(visible=False, label="Seed"),
    ]
    gr.Button(visible=False).click(generate, inputs, outputs, api_name="generate", **MODEL)
    gradio.mcp.GradioMCPServer = Tools  # type: ignore[misc]  # at the launch Gradio makes one, and asks nobody which


def interval(guide_from: Any, guide_to: Any, usual: tuple[int, int]) -> tuple[Any, Any]:
    """Where guidance is on, if one end or both are said."""
    low, high = usual
    return low if guide_from is None else guide_from, high if guide_to is None else guide_to


def refusal(error: BadInput) -> gr.Error:
    """What tells a caller. Programs read it as it is; a browser would show it as HTML, but no button asks for it."""
    return gr.Error(str(error), visible=False, print_exception=False)


def save(result: Result, folder: str) -> tuple[str, str]:
    """Write the grid and the animation under telling names; returns their paths."""
    png, gif = (str(Path(folder) / f"{result.recipe.name}.{ending}") for ending in ("png", "gif"))
    result.save(png)
    result.save(gif)
    return png, gif
