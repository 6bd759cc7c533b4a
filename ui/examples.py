"""The panel of examples: each is one click, and says what there is to see."""

from contextlib import suppress
from typing import Any

import gradio as gr

from diffusion import BadInput, Pipeline, checks
from diffusion.scheduler import T
from ui import request
from ui.events import CHIPS
from ui.work import things_of

Example = tuple[str, str, dict[str, Any]]
"""A name, what is said of it, and what it asks for; the rest goes back to its default."""


def _examples(counted: str, many: str, guided: str) -> tuple[Example, ...]:
    """Those that differ by what is drawn alone."""
    return (
        (counted, "Counts and words are understood.", {"digits": counted}),
        (many, "One kind from ten seeds: no two are alike.", {"digits": many}),
        ("one step", "A single guess from pure noise is the average of all it might be: a blur.", {"steps": 1}),
        (
            "too much guidance",
            "Guidance 15 at all levels: clean, heavy, and all alike.",
            {"digits": guided, "guidance": 15, "guidance_interval": (0, T - 1)},
        ),
        ("any", "Nobody says which: the network draws what it likes.", {"digits": "any", "count": 10}),
    )


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "digits": (
        ("2026", "A number is drawn in one row, as it is written.", {"digits": "2026"}),
        (
            "2026 in one hand",
            "One person writes all digits: one pen, one slant, one line.",
            {"digits": "2026", "hand": 5},
        ),
        ("a thin and a thick 7", "Words say how to write, too.", {"digits": "a thin 7 and a thick 7"}),
        *_examples("a 4 and two 3s", "ten 7s", "ten 4s"),
    ),
    "clothes": _examples("three sneakers and a bag", "ten dresses", "ten coats"),
}


def examples(pipe: Pipeline) -> gr.HTML:
    """The component, with what these weights can draw. Its event `choose` carries the `number` of one."""
    return gr.HTML(
        [{"number": k, "name": name} for k, (name, _, values) in enumerate(_of(pipe)) if can_draw(pipe, values)],
        html_template='<span>Try</span>{{#each value}}<button type="button" data-number="{{number}}">{{name}}'
        "</button>{{/each}}",
        js_on_load=CHIPS,
        apply_default_css=False,
        elem_id="examples",
    )


def _of(pipe: Pipeline) -> tuple[Example, ...]:
    return EXAMPLES.get(things_of(pipe.names), EXAMPLES["digits"])


def can_draw(pipe: Pipeline, values: dict[str, Any]) -> bool:
    with suppress(BadInput):
        return bool(request.recipe(values, pipe))
    return False


def example(pipe: Pipeline, number: Any) -> tuple[str, dict[str, Any]]:
    """What is said of an example, and all that it asks for but a seed."""
    several = _of(pipe)
    _, note, changes = several[checks.whole("number", number, 0, len(several) - 1)]
    values = request.defaults(pipe) | changes
    del values["seed"]
    return note, values
