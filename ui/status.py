"""The lines of status: what the page says, and how it says it."""

import html
from collections.abc import Sequence

from diffusion import Recipe
from diffusion.evaluation.readback import Reading

EMPTY = "Write or pick digits, and press <b>Generate</b>."
STOPPING = "Stopping."
HALTED = "Stopped. Press <b>Generate</b> to start again."
FAILED = "Too many are waiting, or something broke. Press <b>Generate</b> to try again."
WAITING = "Waiting for the runs before yours."


def line(sentence: str, done: int = 0) -> str:
    """A line of status that screen readers announce, over a bar as tall as the one of a run."""
    return f'<p role="status">{sentence}</p><progress aria-label="Steps done" max="1" value="{done}"></progress>'


def running(done: int, steps: int, seconds: float, what: str = "Step", share: float | None = None) -> str:
    """A run under way; `share` is how much of its work is done, where steps are not alike."""
    share = done / steps if share is None else share
    left = f"{seconds / share * (1 - share):.1f} s left" if share else "starting"
    return (
        f"<p>{what} {done} of {steps}, {left}</p>"
        f'<progress aria-label="Steps done" max="{steps}" value="{done}"></progress>'
    )


def making(share: float, count: int, seconds: float) -> str:
    """A data set under way."""
    left = f"about {seconds / share * (1 - share):,.0f} s left" if share > 0.02 else "starting"
    return (
        f"<p>{int(share * count):,} of {count:,} digits, {left}</p>"
        f'<progress aria-label="Digits done" max="1" value="{share:.3f}"></progress>'
    )


def finished(recipe: Recipe, seconds: float, read: str = "") -> str:
    count = len(recipe.digits)
    return line(f"{count} {'digit' if count == 1 else 'digits'} in {seconds:.1f} s, seed {recipe.seed}.{read}", done=1)


def read_back(readings: Sequence[Reading], drawn: int = 0) -> str:
    """How many read as asked, and how many were drawn until then."""
    right = sum(reading.right for reading in readings)
    return f" {right} of {len(readings)} read as asked" + (f", {drawn} drawn." if drawn else ".")


def refused(error: Exception) -> str:
    return (
        f'<p role="alert" class="refused">{html.escape(getattr(error, "message", str(error)))}</p>'
        '<progress aria-label="Steps done" max="1" value="0"></progress>'
    )


def hint(sentence: str, unclear: bool = False) -> str:
    """The line under the prompt."""
    return f'<p aria-live="polite" class="{"refused" if unclear else ""}">{html.escape(sentence)}</p>'
