"""What a data set is made of: images or strings, drawn a batch at a time and read back where that is asked for."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from diffusion.cli.reading import ReadingBack
from diffusion.evaluation.readback import read, until_right
from diffusion.files.plan import Part
from diffusion.pipeline import BATCH, Pipeline
from diffusion.recipe import Recipe
from diffusion.result import Result
from diffusion.strings import Strings


@dataclass(frozen=True)
class Drawing:
    """What there is to draw.

    Attributes:
        recipe: of all images, or of all digits of the strings.
        strings: those that are drawn, or None where each digit is an image of its own.
        reject: whether what the reader does not read as asked is left out.
    """

    pipe: Pipeline
    recipe: Recipe
    strings: Strings | None
    reading: ReadingBack | None
    reject: bool

    @property
    def count(self) -> int:
        """How many images, or strings."""
        return len(self.strings.labels if self.strings else self.recipe.digits)

    @property
    def batch(self) -> int:
        """How many of them are drawn at once."""
        return max(1, BATCH // self.strings.longest) if self.strings else BATCH

    @property
    def about(self) -> dict[str, Any]:
        """All that decides what the images are, but for the weights of the reader."""
        about: dict[str, Any] = {"recipe": self.recipe.to_json()}
        if self.strings:
            about["strings"] = self.strings.starts
            if self.recipe.asks_for_style and not isinstance(self.recipe.hand, int):
                about["hands"] = "one for each string"  # earlier versions had none then
        if self.reading:
            about |= {"tries": self.reading.tries, "reject": self.reject}
        return about

    def parts(self, batches: Iterable[range], counts: Counter[str], tell: Callable[[int], object]) -> Iterator[Part]:
        """The images of these numbers, batch after batch.

        Args:
            counts: is told what becomes of them, where they are read.
            tell: is called with the size of each batch that is done.
        """
        for numbers in batches:
            first, last = numbers.start, numbers.stop
            if self.strings:
                first, last = self.strings.starts[first], self.strings.starts[last]
            result, right, drawn = self._drawn(self.recipe.part(first, last), numbers)
            if self.strings:
                part, right = self._strings(self.strings, numbers, result, right)
            else:
                part = Part(result.images, result.labels, result.seeds, list(numbers))
            if self.reading:
                kept = [k for k in range(len(numbers)) if right[k] or not self.reject]
                counts.update(kept=len(kept), right=sum(right), drawn=drawn)
                part = part.some(kept)
            yield part
            tell(len(numbers))

    def _strings(
        self, strings: Strings, numbers: range, result: Result, right: Sequence[bool]
    ) -> tuple[Part, list[bool]]:
        """The pictures of strings, out of their digits, and whether all digits of each read right."""
        rows = strings.divided(numbers, range(len(right)))
        texts = ["".join(self.pipe.names[result.labels[k]] for k in row) for row in rows]
        widths = [len(row) * result.images.shape[2] for row in rows]
        seeds = [result.seeds[row.start] for row in rows]
        part = Part(strings.rows(numbers, result.images), [], seeds, list(numbers), texts, widths)
        return part, [all(right[k] for k in row) for row in rows]

    def _drawn(self, recipe: Recipe, numbers: range) -> tuple[Result, list[bool], int]:
        """The images of a recipe; whether each reads right; how many were drawn for that."""
        if self.reading and self.reading.tries > 1:
            tried = until_right(self.pipe, self.reading.reader, recipe, self.reading.tries)
            return tried.result, [reading.right for reading in tried.readings], tried.drawn
        styles = self.pipe.offer.styles
        if self.strings and styles and not isinstance(recipe.hand, int):  # or else one hand writes them all
            run = self.pipe.run(recipe, partial(self.strings.in_one_hand, styles, numbers, recipe))
        else:
            run = self.pipe.run(recipe)
        result = run.result()
        readings = read(self.pipe, self.reading.reader, result) if self.reading else []
        return result, [reading.right for reading in readings] or [True] * len(recipe.digits), len(recipe.digits)
