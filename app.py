"""The page: pick digits, watch them form out of noise, keep the grid and the GIF.

    python app.py          # then open http://127.0.0.1:7860

Host and port come from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT. It runs unchanged as a Hugging Face Space.
"""

import html
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the page asks for nothing outside

try:
    import spaces  # on a Space with ZeroGPU, and it must come before torch

    gpu: Callable[..., Any] = spaces.GPU(duration=60)
    PRECISION = "fp32"  # the GPU is there only while a run lasts, so that nothing can be tried before
except ImportError:
    PRECISION = "auto"

    def gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """Anywhere else: the function as it is."""
        return function


if not os.environ.get("GRADIO_SERVER_PORT", "7860").isdecimal():  # Gradio fails on it while it is imported
    sys.exit("app.py: GRADIO_SERVER_PORT must be a number from 1 to 65535.")

import gradio as gr
import numpy as np

from diffusion import BadInput, Pipeline, Recipe, Result, checks, render
from diffusion.hardware import use_allowed_cores
from diffusion.samplers import SAMPLERS
from diffusion.scheduler import T

EXAMPLES = Path(__file__).parent / "docs"  # what the page shows before its first run
HALTED = "Stopped. Press <b>Generate</b> to start again."
SEED = 5  # its place among the settings
MAX_DIGITS = 10
MAX_COUNT = 10  # of each
FRAME_SECONDS = 0.1  # between live frames

CSS = """
#page { max-width: 1180px; margin: 0 auto; }
#layout { display: grid; gap: 16px; align-items: start; grid-template-rows: auto 1fr;
          grid-template-columns: minmax(0, 2fr) minmax(0, 3fr);
          grid-template-areas: "pick result" "settings result"; }
@media (max-width: 800px) {
  #status { min-height: 5.2rem !important; }  /* on a phone the result comes right below the button */
  #layout { grid-template-columns: minmax(0, 1fr); grid-template-areas: "pick" "result" "settings"; }
}
#pick { grid-area: pick; } #result { grid-area: result; } #settings { grid-area: settings; }
#digits .wrap { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); }
#digits .wrap label { justify-content: center; padding-inline: 4px; font-size: 1.15rem; }
.picture, .picture .image-container { background: #000; }
.picture img { image-rendering: pixelated; }
#status { min-height: 3.6rem; }
#status [data-testid="status-tracker"] { display: none; }  /* Gradio's own, which calls a stopped run an error */
#status p { margin: 0 0 .4rem; }
#status progress { display: block; width: 100%; height: .5rem; appearance: none; border: 0; }
#status progress, #status ::-webkit-progress-bar { background: var(--border-color-primary); border-radius: 9px; }
#status ::-webkit-progress-value { background: var(--color-accent); border-radius: 9px; transition: width .1s; }
#status ::-moz-progress-bar { background: var(--color-accent); border-radius: 9px; }
#status .refused { color: #b91c1c; font-weight: 600; }
.dark #status .refused { color: #fca5a5; }
"""

INTRO = """# Digit Diffusion
A small network, trained from scratch on MNIST, turns pure noise into the digits you pick. Watch it happen."""

EXPLANATION = """
Every tile starts as noise. At each step the network looks at the noisy tile, guesses the clean digit in it,
and the sampler moves a little way from the noise towards that guess. The animation plays these steps.

- **Guidance** compares the guess for your digit with the guess for no digit in particular, and exaggerates the
  difference: `uncond + guidance * (cond - uncond)`. At 1 nothing is exaggerated. Above 1 it does so only in the middle
  of the way (*where to guide*): from the start on, it would make all digits alike.
- **Steps** is how many guesses are made on the way. **Seed** is the noise it all starts from: the same seed and the
  same settings draw the same digits again.
"""

LAUNCH: dict[str, Any] = {
    "theme": gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font="system-ui", font_mono="ui-monospace"),
    "css": CSS,
    "footer_links": ["api", "settings"],
    "enable_monitoring": False,
    "max_file_size": "1kb",  # nothing here takes uploads
    "ssr_mode": False,
}


def build(pipe: Pipeline | None = None) -> gr.Blocks:
    """The page, ready to launch. It draws with `pipe`, or with the bundled weights."""
    pipe = pipe or Pipeline.from_pretrained(precision=PRECISION)
    on, off = gr.update(interactive=True), gr.update(interactive=False)

    @gpu
    def steps_of(recipe: Recipe) -> Iterator[tuple[int, np.ndarray] | Result]:
        """The run: (steps done, images) from the start on, and at last the result. It can be stopped at every step."""
        run = pipe.run(recipe)
        yield 0, run.frame
        for step in run:
            yield step.index + 1, run.frame
        yield run.result()

    def draw(*controls: Any) -> Iterator[dict[Any, Any]]:
        """The Generate button: frames as they come, then the files."""
        *settings, new_seed = controls
        if new_seed:
            settings[SEED] = random.randint(0, checks.MAX_SEED)
        if isinstance(settings[0], list):
            settings[0] = sorted(settings[0], key=str)  # the picker gives them in the order of the clicks
        try:
            recipe = requested(*settings)
        except BadInput as error:
            yield {status: refused(error), start: on, stop: off}
            return
        yield {
            status: running(0, recipe, 0),
            used_seed: recipe.seed,
            animation: None,
            keep_png: off,
            keep_gif: off,
        }
        started = shown = time.monotonic()
        columns = render.columns_for(recipe.digits)
        try:
            for state in steps_of(recipe):
                if isinstance(state, Result):
                    break
                done, images = state
                update: dict[Any, Any] = {status: running(done, recipe, time.monotonic() - started)}
                if done <= 1 or time.monotonic() - shown >= FRAME_SECONDS:
                    shown = time.monotonic()
                    update[picture] = render.picture(images, columns)
                yield update
            seconds = time.monotonic() - started
            with tempfile.TemporaryDirectory() as folder:  # Gradio serves copies of its own
                png, gif = save(state, folder)
                yield {
                    picture: png,
                    animation: gif,
                    status: finished(recipe, seconds),
                    start: on,
                    stop: off,
                    keep_png: gr.update(value=png, interactive=True),
                    keep_gif: gr.update(value=gif, interactive=True),
                }
        except gr.Error as error:  # ZeroGPU's: no quota left, say
            yield {status: refused(error), start: on, stop: off}

    def generate(
        digits: Any, count: Any, guidance: Any, steps: Any, sampler: Any, seed: Any, guide_from: Any, guide_to: Any
    ) -> Iterator[tuple[str | None, str | None, int]]:
        """Draw `count` (1 to 10) of each of up to ten digits, in the order given.

        Guidance above 1 is on from noise level guide_from to guide_to, 0 (clean) to 999 (pure noise).
        Returns the grid (PNG), the denoising trajectory (GIF) and the seed.
        """
        try:
            recipe = requested(digits, count, guidance, steps, sampler, seed, guide_from, guide_to)
        except BadInput as error:
            raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None
        for state in steps_of(recipe):
            if isinstance(state, Result):
                break
            yield None, None, recipe.seed  # so that a caller who gives up frees the machine
        with tempfile.TemporaryDirectory() as folder:
            yield *save(state, folder), recipe.seed

    def waiting() -> dict[Any, Any]:
        return {status: said("Waiting for the runs before yours."), start: off, stop: on, halted: False}

    def failed(halted: bool) -> dict[Any, Any]:
        """After a failure, and after a stop: a last step of the run may have come in between."""
        told = HALTED if halted else "That did not work. Press <b>Generate</b> to try again."
        return {status: said(told), start: on, stop: off}

    def stopped() -> dict[Any, Any]:
        return {status: said(HALTED), start: on, stop: off, halted: True}

    panel: dict[str, Any] = {
        "buttons": ["fullscreen"],
        "show_label": False,
        "height": 360,
        "interactive": False,
        "elem_classes": "picture",
    }
    with gr.Blocks(title="Digit Diffusion", delete_cache=(600, 3600), elem_id="page") as page:
        gr.Markdown(INTRO)
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="pick", min_width=0):
                digits = gr.CheckboxGroup(
                    [(str(digit), digit) for digit in range(10)],
                    value=list(range(10)),
                    label="Digits",
                    info="One, several, or all of them with the box above.",
                    show_select_all=True,
                    elem_id="digits",
                )
                with gr.Row():
                    start = gr.Button("Generate", variant="primary", elem_id="generate", min_width=120, scale=2)
                    stop = gr.Button("Stop", variant="stop", elem_id="stop", min_width=80, interactive=False)
            with gr.Column(elem_id="result", min_width=0):
                status = gr.HTML(said("Pick digits and press <b>Generate</b>."), elem_id="status")
                with gr.Row():
                    with gr.Column(min_width=280):
                        picture = gr.Image(
                            _example("digits.png"),
                            label="Digits",
                            alt_text="Grid of the digits as drawn so far",
                            format="png",
                            **panel,
                            elem_id="picture",
                        )
                        keep_png = gr.DownloadButton("Download grid (PNG)", interactive=False, elem_id="keep-png")
                    with gr.Column(min_width=280):
                        animation = gr.Image(
                            _example("digits.gif"),
                            label="From noise to digits",
                            alt_text="Animation of the digits forming out of noise",
                            format="gif",
                            **panel,
                            elem_id="animation",
                        )
                        keep_gif = gr.DownloadButton("Download animation (GIF)", interactive=False, elem_id="keep-gif")
                with gr.Accordion("What am I looking at?", open=False):
                    gr.Markdown(EXPLANATION)
            with gr.Column(elem_id="settings", min_width=0):
                count = gr.Slider(1, MAX_COUNT, value=1, step=1, label="How many of each", info="Images of each digit.")
                guidance = gr.Slider(
                    0,
                    checks.MAX_GUIDANCE,
                    value=Recipe.guidance,
                    step=0.1,
                    label="Guidance",
                    info="1 is off. More is cleaner and more alike; 0 ignores the digits.",
                )
                with gr.Accordion("Where to guide", open=False):
                    gr.Markdown("Guidance above 1 is on between these noise levels. 0 is clean, 999 is pure noise.")
                    with gr.Row():
                        guide_from, guide_to = (
                            gr.Slider(0, T - 1, value=level, step=1, label=label, min_width=120)
                            for label, level in zip(("From level", "To level"), Recipe.guidance_interval, strict=True)
                        )
                steps = gr.Slider(
                    1,
                    T,
                    value=Recipe.steps,
                    step=1,
                    label="Steps",
                    info="Guesses on the way from noise to digit. 20 is plenty, 1 is a blur.",
                )
                sampler = gr.Radio(
                    list(SAMPLERS),
                    value=Recipe.sampler,
                    label="Sampler",
                    info="dpm++2m needs fewest steps, ddim a few more; ddpm adds fresh noise at each and likes 100.",
                )
                with gr.Row():
                    used_seed = gr.Number(
                        Recipe.seed, label="Seed", info="The noise to start from.", elem_id="seed", min_width=120
                    )
                    new_seed = gr.Checkbox(
                        True, label="New seed each time", info="Off: the same digits again.", min_width=120
                    )

        settings = [digits, count, guidance, steps, sampler, used_seed, guide_from, guide_to]
        # The model is one, so all runs share one budget. preprocess=False: the library's checks are the only ones.
        shared: dict[str, Any] = {
            "concurrency_id": "model",
            "concurrency_limit": 1,
            "preprocess": False,
            "show_progress": "hidden",
        }
        halted = gr.State(False)  # by the Stop button, and not by a failure
        buttons = [status, start, stop]
        at_once: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        drawing = start.click(waiting, None, [*buttons, halted], **at_once).then(
            draw,
            [*settings, new_seed],
            [picture, animation, used_seed, keep_png, keep_gif, *buttons],
            api_visibility="private",
            trigger_mode="multiple",  # a click just after Stop is not lost
            **shared,
        )
        drawing.failure(failed, halted, buttons, **at_once)  # a full queue, or a stop while waiting
        stop.click(stopped, None, [*buttons, halted], cancels=[drawing], **at_once)
        gr.Button(visible=False).click(
            generate, settings, [picture, animation, used_seed], api_name="generate", **shared
        )
    return page.queue(max_size=16)


def requested(
    digits: Any, count: Any, guidance: Any, steps: Any, sampler: Any, seed: Any, guide_from: Any, guide_to: Any
) -> Recipe:
    """The recipe that the controls ask for, or BadInput."""
    count = checks.whole("count", count, 1, MAX_COUNT)
    if isinstance(digits, list):  # the endpoint's description shows the picker's labels, so "7" is 7
        digits = [int(digit) if digit in list("0123456789") else digit for digit in digits]
    chosen = checks.labels("digits", digits, 10)
    if len(chosen) > MAX_DIGITS:
        raise BadInput(f"Choose at most {MAX_DIGITS} digits, and up to {MAX_COUNT} of each.")
    interval = (guide_from, guide_to)
    return Recipe(tuple(chosen) * count, guidance, steps, sampler, seed=seed, guidance_interval=interval)


def save(result: Result, folder: str) -> tuple[str, str]:
    """Write the grid and the animation under telling names; returns their paths."""
    png, gif = (str(Path(folder) / f"{result.recipe.name}.{ending}") for ending in ("png", "gif"))
    result.save(png)
    result.save(gif)
    return png, gif


def running(done: int, recipe: Recipe, seconds: float) -> str:
    left = f"{seconds / done * (recipe.steps - done):.1f} s left" if done else "starting"
    return (
        f"<p>Step {done} of {recipe.steps}, {left}</p>"
        f'<progress aria-label="Steps done" max="{recipe.steps}" value="{done}"></progress>'
    )


def finished(recipe: Recipe, seconds: float) -> str:
    count = len(recipe.digits)
    return said(f"{count} {'digit' if count == 1 else 'digits'} in {seconds:.1f} s, seed {recipe.seed}.", done=1)


def refused(error: Exception) -> str:
    return f'<p role="alert" class="refused">{html.escape(str(error))}</p>'


def said(sentence: str, done: int = 0) -> str:
    """A line of status that screen readers announce, over a bar as tall as the one of a run."""
    return f'<p role="status">{sentence}</p><progress aria-label="Steps done" max="1" value="{done}"></progress>'


def _example(name: str) -> str | None:
    path = EXAMPLES / name
    return str(path) if path.is_file() else None


def main() -> None:
    use_allowed_cores()
    try:
        page = build()
    except BadInput as error:
        sys.exit(f"app.py: {error}")
    try:
        page.launch(**LAUNCH)
    except (OSError, OverflowError):
        sys.exit("app.py: the port is taken or does not exist: set GRADIO_SERVER_PORT to a free one up to 65535.")


if __name__ == "__main__":
    main()
