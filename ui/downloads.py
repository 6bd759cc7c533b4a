"""The panel of files: the run that is shown as a picture, an animation or a file of single digits."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from gradio.processing_utils import save_bytes_to_cache

from diffusion import BadInput, Recipe, Result, checks
from diffusion.files import export
from diffusion.files.atomic import write_bytes
from diffusion.lab import Denoising, Forward, Morph
from ui import links, status, ways
from ui.events import AT_ONCE, COPY, FETCH, NEWEST, OFF, ON, Update
from ui.player import TRACKS, gif_of
from ui.session import Drawn, Session
from ui.work import Work

KINDS = {"PNG": ".png", "GIF": ".gif", "WebP": ".webp", "APNG": ".apng", "Single images (ZIP)": ".zip"}
FILES: dict[str, Any] = AT_ONCE | {
    "queue": True,
    "concurrency_id": "files",
    "concurrency_limit": 2,
}  # how they are made


class Downloads:
    """The panel's components, made inside a `gr.Blocks`: buttons first, and `more`, where wanted, further down.

    Args:
        prefix: of the names of its elements in the page.
        png: what is on the PNG, where it is always the same.
    """

    def __init__(self, work: Work, prefix: str = "", png: str = "PNG"):
        self.work = work
        names = ((f"Download {png}", "keep-png"), ("Download GIF", "keep-gif"), ("Copy link", "copy"))
        self.png, self.gif, self.copy = self.buttons = [
            gr.Button(text, interactive=False, elem_id=prefix + name, size="sm", min_width=90) for text, name in names
        ]
        self.keep: gr.Button | None = None
        self.with_map: gr.Checkbox | None = None
        self.file = gr.File(visible=False)
        self.link = gr.Textbox(visible=False)

    def more(self) -> None:
        """Other kinds of files, folded away."""
        with gr.Accordion("More downloads", open=False, elem_id="downloads"):
            self.kind = gr.Radio(list(KINDS), value="WebP", label="File", elem_id="kind")
            self.track = gr.Radio(
                [(TRACKS[0], "noisy"), (TRACKS[1], "guess"), ("Both", "both")], value="both", label="Of an animation"
            )
            with gr.Row():
                self.scale = gr.Slider(1, 16, value=4, step=1, label="Size", info="Pixels per pixel.", min_width=140)
                self.fps = gr.Slider(1, 50, value=15, step=1, label="Speed", info="Frames a second.", min_width=140)
            self.with_map = gr.Checkbox(
                False,
                label="With the map",
                info="A PNG is the map then; an animation has it beside the images.",
                visible=self.work.map is not None,
            )
            self.keep = gr.Button("Download", interactive=False, elem_id="keep", size="sm")
        self.buttons.append(self.keep)

    def connect(self, session: gr.State, player: gr.HTML, status_line: gr.HTML, moments: bool = False) -> None:
        """Let the buttons, and what the player keeps, download what the session shows.

        Args:
            moments: whether the player can keep one.
        """
        self.status = status_line
        kept: dict[str, Any] = {"outputs": self.file, **FILES}
        events = [
            self.png.click(self.save_png, session, **kept),
            self.gif.click(self.save_gif, session, **kept),
            player.keep(self.save_tile, session, **kept),
        ]
        if moments:
            events.append(player.keep_moment(self.save_moment, session, **kept))
        if self.work.map is not None:
            events.append(player.keep_map(self.save_map, session, **kept))
        if self.keep:
            options: list[Any] = [session, self.kind, self.track, self.scale, self.fps, self.with_map]
            events.append(self.keep.click(self.save_as, options, **kept))
        for event in events:
            event.success(None, self.file, js=FETCH, **AT_ONCE)
            event.failure(self.failed, None, status_line, **AT_ONCE)
        self.copy.click(self.make_link, session, [self.link, status_line], **AT_ONCE).success(
            None, self.link, js=COPY % status_line.elem_id, **AT_ONCE
        )

    def follow(self, done: Dependency, session: gr.State, player: gr.HTML) -> None:
        """After an event that shows a run: bring its GIF, which stands in the player, and then its ways on the map."""
        newest = FILES | {"trigger_mode": "always_last"}  # a run that ends while an earlier GIF is made gets its own
        done.success(self.bring_gif, session, player, **newest).then(self.bring_ways, session, player, **NEWEST)

    def bring_gif(self, session: Session) -> Any:
        drawn = session.shown
        return gif_of(drawn.number, self.gif_of(drawn)) if drawn else gr.skip()

    def bring_ways(self, session: Session) -> Any:
        return ways.of(self.work, session.shown)

    def allow(self, yes: bool) -> Update:
        """Whether there is something to download."""
        return dict.fromkeys(self.buttons, ON if yes else OFF)

    def save_png(self, session: Session) -> Iterator[str | None]:
        yield from self.save(session, ".png")

    def save_gif(self, session: Session) -> Iterator[str | None]:
        yield from self.save(session, ".gif")

    def save_as(
        self, session: Session, kind: Any, track: Any, scale: Any, fps: Any, with_map: Any
    ) -> Iterator[str | None]:
        ending = KINDS[checks.choice("file", kind, KINDS)]
        yield from self.save(session, ending, with_map=bool(with_map), track=track, scale=scale, fps=fps)

    def save_map(self, session: Session, event: gr.EventData) -> Iterator[str | None]:
        """The PNG of the map as it is shown: the ways lead as far as the slider says."""
        yield from self.save(session, ".png", with_map=True, frame=event.frame)

    def save_tile(self, session: Session, event: gr.EventData) -> Iterator[str | None]:
        """The GIF of one digit: its noise and the network's guesses; of a morph, all of it."""
        morph = session.shown and isinstance(session.shown.result.recipe.activity, Morph)
        yield from self.save(session, ".gif", None if morph else event.tile, track="both")

    def save_moment(self, session: Session, event: gr.EventData) -> Iterator[str | None]:
        """The PNG of the moment that the player shows, of all digits or of the one that is seen large."""
        drawn = session.shown
        if drawn is None:
            yield None
            return
        result, columns = _part(drawn, event.tile)
        with tempfile.TemporaryDirectory() as folder:
            _, way = _until(result, event.frame)
            path = Path(folder) / f"{file_name(result.recipe)}{way}.png"
            write_bytes(path, result.moment(event.frame, columns or None))
            yield str(path)

    def save(
        self,
        session: Session,
        ending: str,
        tile: Any = None,
        with_map: bool = False,
        frame: Any = None,
        **options: Any,
    ) -> Iterator[str | None]:
        """Write the shown run, or a tile of it, or some of its way; Gradio serves a copy of its own."""
        drawn = session.shown
        if drawn is None:
            yield None  # and not the file before it
            return
        result, columns = _part(drawn, tile)
        if ending == ".gif" and tile is None and not with_map and not options:
            yield self.gif_of(drawn)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{file_name(result.recipe)}{ending}"
            if with_map and self.work.map is not None and ending not in export.ENDINGS:
                result, way = (result, "") if frame is None else _until(result, frame)
                path = path.with_stem(f"{path.stem}{way}-map")
                write_bytes(path, self.work.map.picture(result, ending, columns=columns or None, **options))
            elif result.recipe.activity is None:
                result.save(path, columns=columns or None, **options)
            else:
                write_bytes(path, self.work.picture(result, ending, drawn.looks or ()))
            yield str(path)

    def gif_of(self, drawn: Drawn) -> str:
        """The path of the GIF of a run, which is made once and lies where Gradio keeps files for an hour."""
        with drawn.making:
            if not Path(drawn.gif).is_file():
                name = f"{file_name(drawn.result.recipe)}.gif"
                if drawn.result.recipe.activity is None:
                    content = drawn.result.picture(".gif", columns=drawn.plan.columns or None)
                else:
                    content = self.work.picture(drawn.result, ".gif")
                drawn.gif = save_bytes_to_cache(content, name, self.file.GRADIO_CACHE)
        return drawn.gif

    def failed(self) -> str:
        return status.line("That file could not be made: choose a smaller size, or another kind.")

    def make_link(self, session: Session) -> Update:
        """The query of a link, or why there is none."""
        if session.shown is None:
            return {self.link: ""}
        try:
            return {self.link: links.link(session.shown.result.recipe, session.shown.plan.prompt, self.work)}
        except BadInput as error:
            return {self.link: "", self.status: status.refused(error)}


def _part(drawn: Drawn, tile: Any) -> tuple[Result, int]:
    """A run, or one tile of it, and its columns: 0 leaves them open."""
    if tile is None:
        return drawn.result, drawn.plan.columns
    return drawn.result.alone(checks.whole("tile", tile, 0, len(drawn.result.images) - 1)), 1


def _until(result: Result, frame: Any) -> tuple[Result, str]:
    """The way of a run as far as a frame, and what is added to the name of a file: nothing at the end."""
    there = result.until(frame)
    return there, "" if there is result else f"-step{there.steps[-1]}"


def file_name(recipe: Recipe) -> str:
    """A telling name for a file, like "digits-7-seed42" or "edit-7-seed42"."""
    if recipe.activity is None:
        return recipe.name
    kind = recipe.activity.name
    if isinstance(recipe.activity, Forward | Denoising):
        return f"{kind}-level{recipe.activity.levels[-1]}-seed{recipe.seed}"
    if isinstance(recipe.activity, Morph):
        return f"{kind}-{''.join(map(str, recipe.activity.digits))}-seed{recipe.seed}"
    return recipe.name.replace("digits", kind, 1)
