"""Terms that are explained where they stand: a tap on one opens its sentence, which the library declares.

The browser does that by itself, by finger, mouse and key: they are buttons of popovers.
"""

from html import escape

from diffusion.lab import Forward
from diffusion.recipe import SETTINGS

TERMS = {
    "noise level": Forward.settings()["levels"].meaning,
    "guidance": SETTINGS["guidance"].meaning,
    "step": SETTINGS["steps"].meaning,
    "seed": SETTINGS["seed"].meaning,
    "sampler": SETTINGS["sampler"].meaning,
}


def term(name: str, place: str, word: str = "") -> str:
    """A term in a text, as HTML.

    Args:
        place: where that text stands in the page: no other place of the term is called so.
        word: how it is written there, where not by its name.
    """
    key = f"{place}-{name.replace(' ', '-')}"
    return (
        f'<button type="button" class="term" popovertarget="{key}" style="anchor-name: --{key}">{word or name}</button>'
        f'<span popover id="{key}" class="meaning" style="position-anchor: --{key}">'
        f"<b>{name.capitalize()}.</b> {escape(TERMS[name])}</span>"
    )


def explained(place: str, *names: str) -> str:
    """A line of terms that stand in the controls below it."""
    *others, last = (term(name, place) for name in names)
    return f'<p class="terms">What do {", ".join(others)} and {last} mean?</p>'
