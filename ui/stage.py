"""The stage: where a run is watched, live and afterwards, beside the guesses that led it.

The browser gets a *film*: one greyscale PNG with a row of 28x28 tiles per frame (of the noisy images, then of the
network's guesses), and what it needs to lay them out. It enlarges and scrubs them by itself (ui/stage.js).
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from diffusion import Pipeline, Recipe, Result
from diffusion.evaluation.readback import Reading
from diffusion.files import render
from diffusion.scheduler import Scheduler

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "docs" / "example.png"
GREYS = 17  # between the 16 greys of every frame but the last; noise hides it, and it halves the film

PLAYED = "Drawn before you came. Press Generate for digits of your own."

TEMPLATE = """
<div class="tracks">{tracks}</div>
<div class="time">
  <button type="button" class="play" aria-label="Play">▶</button>
  <input type="range" min="0" max="0" value="0" aria-label="Time">
  <output aria-live="off"></output>
</div>
<div class="about">
  <button type="button" class="back" hidden>&larr; All</button>
  <span class="note"></span>
  <span class="tools" hidden>
    <button type="button" class="redraw">Redraw it alone</button>
    <button type="button" class="reseed">Use this seed</button>
    <button type="button" class="keep">Keep its GIF</button>
  </span>
</div>
"""
TRACK = '<figure class="track"><figcaption>{name}</figcaption><div class="tiles" {told}></div></figure>'


def stage(value: dict[str, Any] | None, tracks: Sequence[str], name: str) -> gr.HTML:
    """The component `name`. Its events `redraw`, `reseed` and `keep` carry the `tile` that is seen large."""
    told = ['aria-hidden="true"'] * (len(tracks) - 1) + ['role="group" aria-label="Choose one to see it large"']
    figures = (TRACK.format(name=track, told=text) for track, text in zip(tracks, told, strict=True))
    return gr.HTML(
        value,
        html_template=TEMPLATE.format(tracks="".join(figures)),
        js_on_load=(HERE / "stage.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id=name,
        elem_classes="stage",
    )


def film(
    tracks: Sequence[np.ndarray],
    captions: Sequence[str],
    tiles: Sequence[dict[str, Any]],
    *,
    columns: int = 0,
    note: str = "Choose a digit to see it large.",
    pace: int = 70,
    **more: Any,
) -> dict[str, Any]:
    """What a stage shows.

    Args:
        tracks: uint8 (F, N, 28, 28) each.
        captions: what to say of each of the F frames.
        tiles: of each of the N its `name`, and where it was read, `read` says as what and `miss` whether that is wrong.
        columns: of tiles; 0 leaves them to the browser.
        note: a line under the tiles.
        pace: milliseconds of a frame when it is played.
        more: `zoomed`, the tile to see large; `example`, a film that plays by itself and cannot be changed; `live`.
    """
    coarse = [np.concatenate([_coarse(track[:-1]), track[-1:]]) for track in tracks]
    sprite = png(rows(coarse))
    return {
        "sprite": sprite,
        "captions": captions,
        "tiles": tiles,
        "columns": columns,
        "note": note,
        "pace": pace,
    } | more


def trajectory(result: Result, readings: Sequence[Reading] | None = None, **more: Any) -> dict[str, Any]:
    """The film of a whole run, captioned where it was read, with `columns`, `note`, ... of `film`."""
    recipe = result.recipe
    count = len(result.levels)
    steps = [round(k * recipe.steps / (count - 1)) for k in range(count)]
    captions = [_caption(step, recipe.steps, level) for step, level in zip(steps, result.levels, strict=True)]
    tiles: list[dict[str, Any]] = [{"name": name} for name in names(recipe)]
    for tile, reading in zip(tiles, readings or (), strict=False):
        tile |= {"read": reading.caption, "miss": not reading.right and recipe.guidance > 0}
    return film([result.frames, result.guesses], captions, tiles, **more)


@dataclass(frozen=True)
class Moment:
    """Where a run is: the steps done, the noise level, and the images and the newest guesses, uint8 (N, 28, 28)."""

    done: int
    level: int
    noisy: np.ndarray
    guesses: np.ndarray


def live(recipe: Recipe, now: Moment, columns: int = 0) -> dict[str, Any]:
    """The film of a run under way: its newest frame."""
    caption = _caption(now.done, recipe.steps, now.level)
    progress = {"done": now.done, "of": recipe.steps}
    return film(
        [now.noisy[None], now.guesses[None]],
        [caption],
        [{"name": name} for name in names(recipe)],
        columns=columns,
        live=progress,
    )


def rows(tracks: Sequence[np.ndarray]) -> np.ndarray:
    """The sprite: uint8 (F, N, 28, 28) each -> (F * 28, tracks * N * 28)."""
    tiles = np.concatenate(tracks, axis=1)
    frames, count, height, width = tiles.shape
    return tiles.transpose(0, 2, 1, 3).reshape(frames * height, count * width)


def thumbnail(images: np.ndarray, columns: int = 0) -> str:
    """A small picture of uint8 images (N, 28, 28)."""
    return png(render.grid(images, columns or render.columns_for(range(len(images))), scale=1))


@cache
def example() -> dict[str, Any] | None:
    """The film that plays before the first run, of docs/example.png; python -m ui.stage draws that."""
    if not EXAMPLE.is_file():
        return None
    recipe = Recipe.from_file(EXAMPLE)
    with Image.open(EXAMPLE) as image:
        sprite = np.asarray(image)
    noisy, guesses = np.split(sprite.reshape(-1, 28, 2 * len(recipe.digits), 28).swapaxes(1, 2), 2, axis=1)
    levels = [level.index for level in Scheduler("flow").levels(recipe.steps)]
    levels = [levels[round(k * recipe.steps / (len(noisy) - 1))] for k in range(len(noisy))]
    return trajectory(Result(noisy[-1], noisy, guesses, levels, recipe), note=PLAYED, example=True)


def png(picture: np.ndarray) -> str:
    """A greyscale picture as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def names(recipe: Recipe) -> list[str]:
    """What each tile is called: its digit, or "any" where the digits are ignored, and its seed."""
    digits = ["any" if recipe.guidance == 0 else str(digit) for digit in recipe.digits]
    return [f"{digit}, seed {seed}" for digit, seed in zip(digits, recipe.seeds, strict=True)]


def _caption(done: int, steps: int, level: int) -> str:
    return f"Step {done} of {steps}, {'no noise left' if level < 0 else f'noise level {level}'}"


def _coarse(images: np.ndarray) -> np.ndarray:
    return ((np.arange(256) + GREYS // 2) // GREYS * GREYS).astype(np.uint8)[images]


def main() -> None:
    """Draw docs/example.png."""
    result = Pipeline.from_pretrained()(range(10), steps=39)
    render.save_png(EXAMPLE, rows([result.frames, result.guesses]), result.recipe.to_json())


if __name__ == "__main__":
    main()
