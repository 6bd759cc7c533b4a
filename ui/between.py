"""What goes between the tabs Draw, Learn and Lab: a digit or a recipe, and what the address asks for."""

from dataclasses import replace
from typing import Any

import gradio as gr

from diffusion import BadInput, checks
from ui import links, status
from ui.bench import START
from ui.events import AT_ONCE, Update, press_if_ready
from ui.tabs.draw import Draw
from ui.tabs.lab import Lab
from ui.tabs.learn import Learn

TABS = ("draw", "learn", "lab", "compare", "dataset", "learned")  # as a link names them


class Between:
    """The events between the tabs, made inside a `gr.Blocks`."""

    def __init__(self, page: gr.Blocks, tabs: gr.Tabs, draw: Draw, lab: Lab, learn: Learn):
        self.tabs, self.draw, self.lab = tabs, draw, lab
        to_lab, lab_state = [tabs, *lab.outputs], lab.session
        draw_it: dict[str, Any] = {"fn": None, "inputs": lab.ready, "js": press_if_ready(START)} | AT_ONCE
        draw.player.edit(self.take, draw.session, to_lab, **AT_ONCE)
        draw.opened_file.success(self.open, [draw.session, lab_state], to_lab, **AT_ONCE).then(**draw_it)
        to_draw = [tabs, lab.status, draw.ready, *draw.controls]
        plainly: dict[str, Any] = {"fn": None, "inputs": draw.ready, "js": press_if_ready()} | AT_ONCE
        lab.player.send(self.send, [lab_state, draw.session], to_draw, **AT_ONCE).then(**plainly)
        for button, place, recipe in learn.leaving:
            if place == "lab":
                button.click(self._to_lab, [lab_state, recipe], to_lab, **AT_ONCE).then(**draw_it)
            else:
                button.click(self._to_draw, [draw.session, recipe], to_draw, **AT_ONCE).then(**plainly)
        page.load(self.open_tab, draw.ready, [tabs, draw.status], js="() => [location.search]", **AT_ONCE)
        watched: Any = [lab.ready, lab_state]
        page.load(self.open_link, watched, to_lab, js="(_, session) => [location.search, session]", **AT_ONCE).then(
            **draw_it
        )

    def open_tab(self, query: Any) -> Update:
        """The tab that a link names."""
        try:
            tab = links.tab_from_link(query or "", TABS)
        except BadInput as error:
            return {self.draw.status: status.refused(error)}
        return {self.tabs: gr.update(selected=tab)} if tab else {self.tabs: gr.skip()}

    def take(self, drawn: Any, event: gr.EventData) -> Update:
        """A digit that was drawn, as the picture to edit."""
        if drawn.shown is None:
            return {self.lab.ready: ""}
        images = drawn.shown.result.images
        picture = images[checks.whole("tile", event.tile, 0, len(images) - 1)]
        return self.lab.take(picture) | {self.tabs: gr.update(selected="lab")}

    def open(self, drawn: Any, session: Any) -> Update:
        """A recipe of the Lab that was opened in the tab Draw."""
        recipe, drawn.for_lab = drawn.for_lab, None
        if recipe is None:
            return {self.lab.ready: ""}
        return self._to_lab(session, recipe)

    def send(self, session: Any, drawn: Any, event: gr.EventData) -> Update:
        """What the Lab drew, drawn plainly: its digit from its seed."""
        k = self.lab.bench.image(session, event)
        if k is None:
            return {self.draw.ready: ""}
        one = replace(session.shown.result.recipe.alone(k), activity=None)
        return self._to_draw(drawn, one, "From the same noise, without the Lab.")

    def _to_draw(self, drawn: Any, recipe: Any, note: str = "") -> Update:
        """A recipe into the controls of the tab Draw, and a press of its button; only the tab where there is none."""
        if recipe is None:
            return {self.tabs: gr.update(selected="draw"), self.draw.ready: ""}
        drawn.wanted, drawn.note = recipe, note
        return {self.tabs: gr.update(selected="draw"), self.draw.ready: "yes", **self.draw.put_recipe(recipe)}

    def open_link(self, query: Any, session: Any) -> Update:
        """What a link of the Lab asks for, and a press of the button."""
        try:
            recipe = links.activity_from_link(query or "", self.lab.work)
        except BadInput as error:
            return {
                self.tabs: gr.update(selected="lab"),
                self.lab.ready: "",
                self.lab.status: status.refused(error),
            }
        return {self.lab.ready: ""} if recipe is None else self._to_lab(session, recipe)

    def _to_lab(self, session: Any, recipe: Any) -> Update:
        """The same of the Lab."""
        if recipe is None:
            return {self.tabs: gr.update(selected="lab"), self.lab.ready: ""}
        try:
            put = self.lab.put_recipe(session, recipe)
        except BadInput as error:
            put = {self.lab.ready: "", self.lab.status: status.refused(error)}
        return put | {self.tabs: gr.update(selected="lab")}
