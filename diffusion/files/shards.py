"""A data set in the making: its shards, each a file that is written whole or not at all.

What each of them holds is said by their plan (plan.py). Until all are there, they lie in the folder of the data set:

shards/00003-of-00016.npz    images uint8 (N, H, W[, 3]), the lists of `Part`, and what it belongs to
shards/moved.json            the files and folders of the data set that are moved to their place at the end

At last they are written in the format that is asked for, an index beside it says what is there, and they are deleted.
"""

import json
import shutil
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from diffusion.checks import BadInput
from diffusion.files.atomic import replacing, write_text
from diffusion.files.lock import locked
from diffusion.files.plan import LISTS, Part, Plan

FOLDER, WRITTEN, MOVED, INDEX, ABOUT = "shards", "written", "moved.json", "index.json", "about.json"


class Shards:
    """The shards in the folder of a data set. What is there was checked: it belongs to the plan.

    Raises BadInput where the folder holds anything else.
    """

    def __init__(self, folder: str | Path, plan: Plan, format: str):
        self.folder, self.plan, self.format = Path(folder), plan, format
        index = read_index(folder)
        if index is not None:
            plan.check(self.folder / INDEX, index)
            if index.get("format") != format:
                raise BadInput(f"{folder} holds this data set as {index.get('format')}: choose another folder.")
        elif _shown(self.folder) and not self._begun:
            raise BadInput(f"{folder} holds something else than a data set: choose a new folder.")
        for path in _shown(self._work):
            if path.suffix == ".npz":
                self._check(path)

    @property
    def done(self) -> bool:
        """Whether the data set is whole."""
        return (self.folder / INDEX).exists()

    @property
    def _begun(self) -> bool:
        """Whether the folder of shards is one of a data set."""
        return self._work.is_dir() and (not _shown(self._work) or any(self._work.glob("*-of-*.npz")))

    @property
    def missing(self) -> list[int]:
        """The shards that are not there yet."""
        return [] if self.done else [k for k in range(self.plan.shards) if not self._path(k).exists()]

    def write(self, shard: int, parts: Iterable[Part], counts: Mapping[str, int]) -> None:
        """Write a shard, part by part as they are drawn.

        Args:
            counts: of what became of the images, once they are drawn; those of all shards are added up in the index.
        """
        some = list(parts)
        arrays: dict[str, Any] = {"images": np.concatenate([part.images for part in some])}
        for name, kind in LISTS.items():
            arrays[name] = np.array([value for part in some for value in getattr(part, name)], kind)
        about = self.plan.identity | {"shard": shard, "counts": dict(counts)}
        with replacing(self._path(shard)) as temporary:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(zipfile.ZipInfo(ABOUT), json.dumps(about))

    def finish(self, write: Callable[[Path, Iterable[Part], int], Iterable[str]], more: Mapping[str, Any]) -> None:
        """The last step: see that nothing is missing or doubled, write the data set and its index, delete the shards.

        Args:
            write: writes what it is given to a folder, a shard at a time, so many images in all, and names its files.
                They are moved to their place once all are there, unless something else is there.
            more: what else the index shall say.

        Raises BadInput where something is missing, damaged or in the way.
        """
        with locked(self.folder / INDEX):  # another process may have come to the same end
            if not self.done:
                try:
                    self._write_all(write, more)
                except (BadInput, OSError):
                    if not self.done:  # by another one, where there are no locks
                        raise
            for path in self._work.glob(f"{WRITTEN}*"):  # of processes that were killed, as the parts are
                shutil.rmtree(path, ignore_errors=True)
            shards = (self._path(k) for k in range(self.plan.shards))
            for path in (*shards, *self._work.glob(".*.part"), self._work / MOVED):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # somebody keeps something else there, or it is gone
                self._work.rmdir()

    def _write_all(self, write: Callable[[Path, Iterable[Part], int], Iterable[str]], more: Mapping[str, Any]) -> None:
        """The data set and its index, for `finish`."""
        if missing := self.missing:
            several = ", ".join(str(k + 1) for k in missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise BadInput(
                f"{len(missing)} of {self.plan.shards} shards are missing in {self._work}: draw {several} first."
            )
        counts: Counter[str] = Counter()
        for k in range(self.plan.shards):
            counts.update(self._check(self._path(k))["counts"])
        labels: Counter[int] = Counter()
        kept = counts.pop("kept", self.plan.count)
        if not kept:
            raise BadInput(
                f"None of {self.plan.count:,} images is left: ask for more in another folder, or reject none."
            )
        with TemporaryDirectory(prefix=WRITTEN, dir=self._work) as written:
            files = sorted(write(Path(written), self._parts(labels), kept))
            self._move(Path(written))
        index = {
            **self.plan.identity,
            "format": self.format,
            "kept": kept,
            **counts,
            "labels": {str(label): labels[label] for label in sorted(labels)},
            "files": files,
            **more,
        }
        write_text(self.folder / INDEX, json.dumps(index, indent=2))

    def _move(self, written: Path) -> None:
        """Move what is written to its place, over what an earlier attempt moved there and over nothing else."""
        before = self._work / MOVED
        earlier = set(json.loads(before.read_bytes())) if before.exists() else set()
        paths = sorted(written.iterdir())
        for path in paths:
            there = self.folder / path.name
            if path.name not in earlier and there.exists():
                raise BadInput(f"{there} is in the way and not of this data set: move it elsewhere, and start again.")
        write_text(before, json.dumps([path.name for path in paths]))
        for path in paths:
            if (self.folder / path.name).is_dir():
                shutil.rmtree(self.folder / path.name)
            path.replace(self.folder / path.name)

    def _parts(self, labels: Counter[int]) -> Iterator[Part]:
        """What is in the shards, one after another; `labels` counts along."""
        for k in range(self.plan.shards):
            part = self._read(k)
            labels.update(part.labels)
            yield part

    def _read(self, shard: int) -> Part:
        path = self._path(shard)
        counts = self._check(path)["counts"]
        wanted = self.plan.images(shard)
        try:
            with np.load(path) as file:
                part = Part(file["images"], **{name: file[name].tolist() for name in LISTS})
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError):
            raise _damaged(path) from None
        rising = all(a < b for a, b in zip(part.numbers, part.numbers[1:], strict=False))
        inside = not part.numbers or (wanted[0] <= part.numbers[0] and part.numbers[-1] <= wanted[-1])
        sizes = {len(part.images), len(part.labels or part.texts), len(part.seeds), len(part.numbers)}
        if not rising or not inside or sizes != {counts.get("kept", len(wanted))}:
            raise _damaged(path)
        return part

    def _check(self, path: Path) -> dict[str, Any]:
        """What the file of a shard says of itself, or BadInput where it is none of this data set."""
        try:
            with zipfile.ZipFile(path) as archive:
                about: dict[str, Any] = json.loads(archive.read(ABOUT))
            shard = about["shard"]
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError):
            raise _damaged(path) from None
        self.plan.check(path, about)
        if path != self._path(shard):
            raise BadInput(f"{path} is a copy of shard {shard + 1}: delete it, so that no image is there twice.")
        return about

    @property
    def _work(self) -> Path:
        return self.folder / FOLDER

    def _path(self, shard: int) -> Path:
        return self._work / f"{shard + 1:05}-of-{self.plan.shards:05}.npz"


def read_index(folder: str | Path) -> dict[str, Any] | None:
    """What the index of a data set says, or None where it is not whole yet. BadInput where that is damaged."""
    path = Path(folder) / INDEX
    try:
        index = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise BadInput(f"{path} is damaged: delete the data set, or choose another folder.") from None
    if not isinstance(index, dict):
        raise BadInput(f"{path} is no index of a data set: choose another folder.")
    return index


def _shown(folder: Path) -> list[Path]:
    """What is in a folder, where there is one, but for hidden files."""
    return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


def _damaged(path: Path) -> BadInput:
    return BadInput(f"{path} is damaged or no shard: delete it, and it is drawn again.")
