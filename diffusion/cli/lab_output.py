"""What the lab's commands draw into a file, with a bar of progress."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from diffusion.cli.reading import ReadingBack
from diffusion.files import export, render
from diffusion.files.atomic import check_writable, replacing, write_bytes
from diffusion.lab import Denoising, Forward, Morph, forward, morph, noise_panels, panels
from diffusion.lab.noise_panels import pixels
from diffusion.pipeline import BATCH, Pipeline
from diffusion.recipe import Recipe
from diffusion.result import Result

ENDINGS = (".png", *render.ANIMATIONS, ".npz")


@contextmanager
def progress(work: Sequence[float]) -> Iterator[Callable[[], object]]:
    """A bar over steps that are so much work each: the time left is told by work, as steps may differ a lot in it."""
    left = deque(work)
    with tqdm(total=sum(work), bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:

        def on_step() -> None:
            if not left:  # what reads wrong is drawn again
                bar.reset()
                left.extend(work)
            bar.update(left.popleft())

        yield on_step


@dataclass(frozen=True)
class Output:
    """A file to write: where, what draws, what reads if anything does, and how pictures are laid out."""

    pipe: Pipeline
    path: Path
    ending: str  # one of ENDINGS
    reading: ReadingBack | None
    scale: Any = None  # pixels per pixel
    fps: Any = None  # frames per second

    def write(self, wanted: Recipe, *, evens: bool) -> None:
        """Draw a recipe into the file, after all that could refuse it was asked.

        Args:
            evens: whether the images of a morph are first spread so that none jumps.
        """
        noised = isinstance(wanted.activity, Forward | Denoising)
        if not noised:
            self._check(wanted)
        check_writable(self.path)
        if noised:
            self._noised(wanted)
        elif isinstance(wanted.activity, Morph):
            self._morph(wanted, evens)
        else:
            self._drawn(wanted)

    def _check(self, wanted: Recipe) -> None:
        """BadInput for what the file cannot hold in the end."""
        if self.ending == ".npz":
            export.check(self.ending, wanted)
        else:
            blank = Result.blank(wanted, self.pipe.model.shape)
            panels.picture(self.ending, blank, self.pipe.names, scale=self.scale)

    def _drawn(self, wanted: Recipe) -> None:
        size = BATCH if self.ending == ".npz" else len(wanted.digits)
        parts = ceil(len(wanted.digits) / size)
        with progress(parts * self.pipe.work(wanted)) as on_step:
            draw = self.reading.results if self.reading else self.pipe.batches
            results = draw(wanted, size, on_step)
            if self.ending == ".npz":
                export.write(self.path, results, wanted)
                return
            [result] = results
        read = self.reading.looks if self.reading else []
        self._picture(result, [[each.caption for each in look] for look in read])

    def _morph(self, wanted: Recipe, evens: bool) -> None:
        before = morph.EVENED * self.pipe.work(wanted) if evens else []
        with progress([*before, *self.pipe.work(wanted)]) as on_step:
            if evens:
                wanted = morph.smooth(self.pipe, wanted, on_step)
            [result] = self.pipe.batches(wanted, len(wanted.digits), on_step)
        assert isinstance(wanted.activity, Morph)
        if self.ending == ".npz":
            export.write(self.path, [result], wanted)
            return
        captions = [self.reading.captions(result.images)] if self.reading else []
        if self.reading:
            ends = {self.pipe.names[digit] for digit in wanted.activity.digits}
            right = sum(caption.rpartition(",")[0] in ends for caption in captions[0])
            self.reading.report.append(f"{right} of {len(result.images)} read as {' or '.join(sorted(ends))}")
        self._picture(result, captions)
        if wanted.activity.images:
            first, last = morph.round_trip(result)
            print(f"The pictures come back with errors of {first:.3f} and {last:.3f}, where black to white is 1.")

    def _picture(self, result: Result, captions: Sequence[Sequence[str]]) -> None:
        content = panels.picture(self.ending, result, self.pipe.names, captions, scale=self.scale, fps=self.fps)
        write_bytes(self.path, content)

    def _noised(self, wanted: Recipe) -> None:
        """The forward process, or the ways back."""
        options = {"scale": self.scale, "fps": self.fps}
        if self.ending == ".npz":
            parts = [self._arrays(part) for part in wanted.split(BATCH)]
            arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)
        elif isinstance(wanted.activity, Denoising):
            render.check_tiles(5 * len(wanted.digits) * len(wanted.activity.levels))
            rows = list(self._denoised(wanted))
            read = self.reading.captions if self.reading else None
            write_bytes(self.path, noise_panels.denoised_picture(self.ending, rows, wanted, read, **options))
        else:
            write_bytes(self.path, noise_panels.forward_picture(self.ending, self.pipe, wanted, **options))

    def _arrays(self, wanted: Recipe) -> dict[str, np.ndarray]:
        """What an .npz holds of them: all pictures at one level, then at the next."""
        arrays: dict[str, np.ndarray]
        if isinstance(wanted.activity, Denoising):
            rows = list(self._denoised(wanted))
            levels: Sequence[int] = wanted.activity.levels
            arrays = {
                "images": np.concatenate([row.result.images for row in rows]),
                "noisy": np.concatenate([pixels(row.noisy.x) for row in rows]),
                "blurred": np.concatenate([pixels(row.noisy.blur) for row in rows]),
                "one_step": np.concatenate([pixels(row.one_step) for row in rows]),
            }
        else:
            assert isinstance(wanted.activity, Forward)
            levels = wanted.activity.levels
            noisy = forward.at_levels(self.pipe, wanted, levels)
            arrays = {"images": np.concatenate([pixels(each.x) for each in noisy])}
        count = len(wanted.digits)
        return arrays | {"levels": np.repeat(levels, count), "seeds": np.tile(wanted.seeds, len(levels))}

    def _denoised(self, wanted: Recipe) -> Iterator[forward.Denoised]:
        """The ways back, with a bar of progress."""
        assert isinstance(wanted.activity, Denoising)
        return iter(tqdm(forward.denoised(self.pipe, wanted), total=len(wanted.activity.levels), unit="level"))
