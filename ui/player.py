"""The player: where a run is watched, live and afterwards, beside the guesses that led it.

The browser gets an *animation*: one picture with a row of tiles per frame (of the noisy images, then of the network's
guesses), and what it needs to lay them out. It enlarges and plays them by itself (assets/player.js). When a run is
done, its GIF follows, the file itself, and stands where the first track was, until somebody looks back in time, or,
where it may show more than the first track, below all that is there.
"""

import base64
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from diffusion import Pipeline, Recipe, Result
from diffusion.evaluation.map import Map
from diffusion.evaluation.readback import Reading
from diffusion.files import render
from diffusion.lab import Anagram, Morph
from ui import ways
from ui.work import Moment, things_of

ASSETS = Path(__file__).parent / "assets"
EXAMPLE = "example.png"
GREYS = 17  # between the 16 greys of every frame but the last; noise hides it, and it halves the picture

TRACKS = ("Noisy image", "The network's guess")
ENDS = ("Animated GIF", "Final grid")  # what they are called when the GIF is there
TURNS = {  # views that a browser can show, counterclockwise like these, as CSS
    "rotate-180": "rotate(180deg)",
    "rotate-90": "rotate(-90deg)",
    "rotate-270": "rotate(90deg)",
    "flip": "scaleY(-1)",
    "mirror": "scaleX(-1)",
    "transpose": "matrix(0, 1, 1, 0, 0, 0)",
}
MORPH_MS = 110  # of a frame of a morph
PLAYED = "Drawn before you came. Press Generate to draw your own."

TEMPLATE = """
<div class="stage"><div class="tracks">{tracks}</div>{map}</div>
<div class="time">
  <button type="button" class="play" aria-label="Play">▶</button>
  <input type="range" min="0" max="0" value="0" aria-label="Time">
  <output aria-live="off"></output>
  <button type="button" class="turn" aria-pressed="false" hidden>Turn it</button>
</div>
<div class="about" data-start="{start}">
  <button type="button" class="back" hidden>&larr; All</button>
  <span class="note"></span>
  <button type="button" class="moment" hidden>Download this moment (PNG)</button>
  <span class="tools" hidden>{tools}</span>
</div>
<figure class="gif" hidden><figcaption>{gif}</figcaption></figure>
"""
TOOLS = {
    "redraw": "Redraw it alone",
    "reseed": "Use this seed",
    "keep": "Download its GIF",
    "edit": "Edit it in the Lab",
}
TOOL = '<button type="button" class="{0}">{1}</button>'
TRACK = """<figure class="track">
  <figcaption>{name}</figcaption>
  <div class="screen"><div class="tiles" {role}></div></div>
</figure>"""


def asset(name: str, things: str) -> Path:
    """The file of ASSETS that shows such things: of digits it has that name, of others theirs is added."""
    path = ASSETS / name
    return path if things == "digits" else path.with_stem(f"{path.stem}-{things}")


def player(
    value: dict[str, Any] | None,
    tracks: Sequence[str],
    name: str,
    tools: Mapping[str, str] = TOOLS,
    start: str = "#generate",
    map: Map | None = None,
    moments: bool = False,
    gif_below: bool = False,
) -> gr.HTML:
    """The component `name`, which shows these tracks until its value says others.

    Args:
        tools: what can be done with the tile that is seen large: events, which carry that `tile` and the `frame`, and
            their buttons.
        start: the button that begins a run; while it is disabled they do nothing, but for `keep`.
        map: beside the tracks, for their ways.
        moments: whether a moment before the end can be kept: the event `keep_moment`, which carries the same.
        gif_below: whether the GIF of a run has a place of its own: it may show more than the tiles of the first track.
    """
    ends = dict(zip(TRACKS, ENDS, strict=True))
    roles = ['aria-hidden="true"'] * (len(tracks) - 1) + ['role="group" aria-label="Choose one to see it large"']
    figures = (TRACK.format(name=track, role=role) for track, role in zip(tracks, roles, strict=True))
    return gr.HTML(
        value,
        html_template=TEMPLATE.format(
            tracks="".join(figures),
            gif=ENDS[0],
            map=ways.figure(map),
            start=start,
            tools="".join(TOOL.format(*tool) for tool in tools.items()),
        ),
        js_on_load=f"const TOOLS = {json.dumps([*tools])}, ENDS = {json.dumps(ends)}, PADDING = {render.PADDING}, "
        f"MOMENTS = {json.dumps(moments)}, GIF_BELOW = {json.dumps(gif_below)};\n"
        + "".join((ASSETS / name).read_text("utf-8") for name in ("map.js", "player.js")),
        apply_default_css=False,
        gif=None,
        way=None,
        elem_id=name,
        elem_classes="player",
    )


def animation(
    tracks: Mapping[str, np.ndarray],
    captions: Sequence[str],
    tiles: Sequence[dict[str, Any]],
    *,
    columns: int = 0,
    note: str = "Choose one to see it large.",
    pace: int = 70,
    **more: Any,
) -> dict[str, Any]:
    """What a player shows.

    Args:
        tracks: uint8 (F, N, H, W[, 3]) each, by what is written above.
        captions: what to say of each of the F frames.
        tiles: of each of the N its `name`, and where it was read, `read` says as what and `miss` whether that is wrong;
            or `reads` says so for each track.
        columns: of tiles; 0 leaves as few holes as there are in a picture.
        note: a line under the tiles.
        pace: milliseconds of a frame when it is played.
        more: `zoomed`, the tile to see large; `example`, whether it plays by itself and cannot be changed; `plays`,
            whether it plays by itself; `live`;
            `turn`, the CSS that shows the first track through a view;
            `run`, the number of the run, whose GIF may follow: see `gif_of`, and whose ways: see `ways.of`.
    """
    coarse = [np.concatenate([_coarse(track[:-1]), track[-1:]]) for track in tracks.values()]
    height, width = coarse[0].shape[2:4]
    return {
        "tracks": list(tracks),
        "sprite": png(rows(coarse)),
        "size": [width, height],
        "captions": captions,
        "tiles": tiles,
        "columns": columns or render.columns_for(range(len(tiles))),
        "note": note,
        "pace": pace,
    } | more


def trajectory(
    result: Result, names: Sequence[str], readings: Sequence[Sequence[Reading]] | None = None, **more: Any
) -> dict[str, Any]:
    """The animation of a whole run, captioned where it was read, with `columns`, `note`, ... of `animation`.

    Args:
        names: of the classes.
        readings: what was read in each image, for each way to look at it.
    """
    recipe = result.recipe
    frames = zip(result.steps, result.levels, strict=True)
    captions = [_caption(step, result.steps[-1], level) for step, level in frames]
    tiles = tiles_of(recipe, names)
    for tile, each in zip(tiles, zip(*readings or (), strict=True), strict=False):
        reads = [{"read": one.caption, "miss": not one.right and recipe.guidance > 0} for one in each]
        tile |= reads[0] if len(reads) == 1 else {"reads": reads}
    if isinstance(recipe.activity, Anagram) and len(recipe.activity.views) == 1:
        more["turn"] = TURNS.get(recipe.activity.views[0])
    seen = (result.on_one_line(frames) for frames in (result.frames, result.guesses))
    more["columns"] = more.get("columns") or render.columns_for(recipe.digits)  # as in a picture of it
    return animation(tracks(recipe, names, *seen), captions, tiles, **more)


def film(
    result: Result, names: Sequence[str], readings: Sequence[Sequence[Reading]] | None = None, **more: Any
) -> dict[str, Any]:
    """The animation of a finished morph, there and back, which plays by itself: see `trajectory`."""
    activity = result.recipe.activity
    assert isinstance(activity, Morph)
    captions = titles(result.recipe, names)
    if readings:
        captions = [f"{moment}, read as {one.name}" for moment, one in zip(captions, readings[0], strict=True)]
    back = slice(-2, None, -1)
    way = " to ".join(names[digit] for digit in activity.digits)
    frames = np.concatenate([result.images, result.images[back]])[:, None]
    tiles = [{"name": way, "label": None}]
    return animation({way: frames}, [*captions, *captions[back]], tiles, plays=True, pace=MORPH_MS, **more)


def gif_of(run: int, path: str) -> Any:
    """The update of a player that brings the GIF of a run, the file at a path, of which Gradio makes an address."""
    return gr.update(gif={"run": run, "file": {"path": path, "meta": {"_type": "gradio.FileData"}}})


def live(recipe: Recipe, names: Sequence[str], now: Moment, columns: int = 0, **on_map: Any) -> dict[str, Any]:
    """The animation of a run under way: its newest frame, and where that lies on the map: see `ways.Trail`."""
    caption = _caption(now.done, now.steps, now.level)
    progress = {"done": now.done, "of": now.steps} | on_map
    return animation(
        tracks(recipe, names, now.noisy[None], now.guesses[None]),
        [caption],
        tiles_of(recipe, names),
        columns=columns or render.columns_for(recipe.digits),
        live=progress,
    )


def tracks(recipe: Recipe, names: Sequence[str], frames: np.ndarray, guesses: np.ndarray) -> dict[str, np.ndarray]:
    """What to show of a run, uint8 (F, N, H, W[, 3]) each: noise and guesses, or all ways to look at an illusion."""
    looks = [recipe.activity.looks(images, recipe.digits) for images in frames] if recipe.activity else [[]]
    if len(looks[0]) < 2:
        return dict(zip(TRACKS, (frames, guesses), strict=True))
    return {
        f"{each[0].title}: {names[each[0].labels[0]]}": np.stack([look.images for look in each])
        for each in zip(*looks, strict=True)
    }


def rows(tracks: Sequence[np.ndarray]) -> np.ndarray:
    """One picture: uint8 (F, N, H, W[, 3]) each -> (F * H, tracks * N * W[, 3])."""
    tiles = np.concatenate(tracks, axis=1)
    frames, count, height, width, *colours = tiles.shape
    return tiles.swapaxes(1, 2).reshape(frames * height, count * width, *colours)


def thumbnail(images: np.ndarray, columns: int = 0) -> str:
    """A small picture of uint8 images (N, H, W[, 3])."""
    return png(render.grid(images, columns or render.columns_for(range(len(images))), scale=1))


def first_result(pipe: Pipeline) -> Result | None:
    """What plays before the first run: assets/example.png, where these weights drew that."""
    path = asset(EXAMPLE, things_of(pipe.names))
    if not path.is_file():
        return None
    recipe = Recipe.from_file(path)
    if recipe.weights != pipe.weights:
        return None
    with Image.open(path) as image:
        sprite = np.asarray(image)
    _, height, width = pipe.model.shape
    tiles = sprite.reshape(-1, height, 2 * len(recipe.digits), width, *sprite.shape[2:]).swapaxes(1, 2)
    noisy, guesses = np.split(tiles, 2, axis=1)
    levels = [level.index for level in pipe.model.scheduler.levels(recipe.steps, recipe.spacing)]
    levels = [levels[round(k * recipe.steps / (len(noisy) - 1))] for k in range(len(noisy))]
    return Result(noisy[-1], noisy, guesses, levels, recipe)


def png(picture: np.ndarray) -> str:
    """A picture as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def tiles_of(recipe: Recipe, names: Sequence[str]) -> list[dict[str, Any]]:
    """Of each tile its name, and the class that was asked for, if any."""
    labels = recipe.digits if recipe.guidance else [None] * len(recipe.digits)
    return [{"name": name, "label": label} for name, label in zip(titles(recipe, names), labels, strict=False)]


def titles(recipe: Recipe, names: Sequence[str]) -> list[str]:
    """What each tile is called: the name of its class, or "any" where the digits are ignored, and its seed."""
    if isinstance(recipe.activity, Morph):
        return [f"{100 * moment / (len(recipe.activity.digits) - 1):.0f} %" for moment in recipe.activity.moments]
    drawn = ["any" if recipe.guidance == 0 else names[digit] for digit in recipe.digits]
    return [f"{name}, seed {seed}" for name, seed in zip(drawn, recipe.seeds, strict=True)]


def _caption(done: int, steps: int, level: int) -> str:
    return f"Step {done} of {steps}, {'no noise left' if level < 0 else f'noise level {level}'}"


def _coarse(images: np.ndarray) -> np.ndarray:
    return ((np.arange(256) + GREYS // 2) // GREYS * GREYS).astype(np.uint8)[images]


def main() -> None:
    """Draw assets/example.png as the button would, with the weights that are named or the bundled ones."""
    pipe = Pipeline.from_pretrained(*sys.argv[1:2])
    result = pipe(range(len(pipe.names)))
    path = asset(EXAMPLE, things_of(pipe.names))
    render.save_png(path, rows([result.frames, result.guesses]), result.recipe.to_json())


if __name__ == "__main__":
    main()
