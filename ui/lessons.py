"""The words of the tour that the tab Learn gives: what each step is about, and the one thing to do in it."""

from dataclasses import dataclass

from diffusion.scheduler import T
from ui.terms import term
from ui.tour import MOST_GUIDANCE, Tour

NAMED = ("guidance", "same")  # the steps that say what to draw


@dataclass(frozen=True)
class Lesson:
    """A step of the tour.

    Attributes:
        name: in the row of steps.
        title: over its text.
        text: what it is about, as HTML.
        todo: the one thing to do, as HTML.
        on: the tab that goes on with it, draw or lab.
        waits: whether it takes many guesses, so that it stands in the queue.
    """

    name: str
    title: str
    text: str
    todo: str
    on: str
    waits: bool = True


def lessons(tour: Tour) -> dict[str, Lesson]:
    """The steps in order, by the name of what draws them: those that need labels only where the weights know some."""
    worded = tour.work.worded
    every = {
        "noise": Lesson(
            "Noise",
            worded("Noise a digit"),
            worded("The network learned from real digits with noise on them. ")
            + f"The {term('noise level', 'tour-1')} says how much of either there is.",
            worded(f"Drag the noise level up to {T - 1}, where nothing of the digit is left."),
            "lab",
            waits=False,
        ),
        "guess": Lesson(
            "One guess",
            "One guess",
            worded(
                "All that it learned is to guess the digit under the noise. Under a little noise it sees the "
                "digit. Under a lot, many digits may lie there, and its best guess is their mean: a blur."
            ),
            "Press <b>Other noise</b> a few times: one guess stays, the other changes.",
            "lab",
            waits=False,
        ),
        "steps": Lesson(
            "Many steps",
            "Many steps",
            f"So one guess is not trusted. Each {term('step', 'tour-3')} goes only a part of the way towards it, "
            f"and the next guess is a better one; how, the {term('sampler', 'tour-3')} says. "
            + worded("Out of pure noise comes a digit that nobody wrote."),
            "Choose 1 step, the blur of before. Then 2, 5 and 50.",
            "draw",
        ),
        "guidance": Lesson(
            "Guidance",
            "Guidance",
            f"The network guesses twice: <i>u</i> when it is told nothing, <i>c</i> when it is told {tour.name}. "
            f"{term('guidance', 'tour-4', 'Guidance')} goes from <i>u</i> to <i>c</i> and on in that direction: "
            "what is drawn becomes clearer, and more alike.",
            f"Drag the guidance from 1, where it is off, to {MOST_GUIDANCE}.",
            "draw",
        ),
        "same": Lesson(
            "Same noise",
            worded("The same noise, another digit"),
            f"All of these began as the same noise, made from one {term('seed', 'tour-5')}. What they are, the "
            "network was told; what they look like, the noise decided"
            + (": thick or thin, slanted or upright." if tour.work.things == "digits" else "."),
            "Press <b>Other noise</b>, and see what they have in common.",
            "draw",
        ),
        "scribble": Lesson(
            "Scribble",
            "Your scribble, finished",
            "The steps need not begin at pure noise. Here they begin at your scribble with noise on it: what shows "
            "through stays, and the network draws the rest.",
            worded("Scribble on this half of a digit, or clear it first, and say what it is to be."),
            "lab",
        ),
    }
    return {key: each for key, each in every.items() if tour.pipe.offer.knows_labels or key not in NAMED}
