"""Programs in ordinary surroundings: streams that are not there, full, read by nobody or short of letters; Ctrl-C."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest
from PIL import Image

import diffusion
from diffusion import Recipe
from diffusion.__main__ import main
from diffusion.files import render

ROOT = Path(__file__).parents[1]
NAME = "ziffer-ä.png"
DRAW = ["--weights", "few-step", "--steps", "1", "--digits", "7"]


def ascii_only(path: Path) -> TextIO:
    return path.open("w", encoding="ascii")


def on_a_full_disk(_: Path) -> TextIO:
    if not Path("/dev/full").exists():
        pytest.skip("No disk is always full here.")
    return Path("/dev/full").open("w", encoding="utf-8")


def on_a_full_disk_unbuffered(path: Path) -> TextIO:
    return io.TextIOWrapper(on_a_full_disk(path).detach().detach(), "utf-8", write_through=True)


def read_by_nobody(_: Path) -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


def not_there(_: Path) -> None:
    return None


EVERY = (ascii_only, on_a_full_disk, on_a_full_disk_unbuffered, read_by_nobody, not_there)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Iterator[Callable[..., int]]:
    """run(not_there, "sample", ...) runs a command with standard streams of this kind; returns its exit status."""
    opened: list[TextIO | None] = []

    def command(kind: Callable[[Path], TextIO | None], *arguments: str, lines: str | None = None) -> int:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "lines").write_text(lines or "", encoding="utf-8")
        opened.extend(
            [
                None if lines is None else (tmp_path / "lines").open(encoding="ascii"),
                kind(tmp_path / "out"),
                kind(tmp_path / "err"),
            ]
        )
        for name, stream in zip(("stdin", "stdout", "stderr"), opened, strict=True):
            monkeypatch.setattr(sys, name, stream)
        try:
            main(list(arguments))
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            opened.extend([sys.stdin, sys.stdout, sys.stderr])
            for stream in opened[3:]:
                if stream:
                    stream.flush()
        return 0

    yield command
    for stream in opened:
        if stream:
            stream.close()


@pytest.mark.parametrize("kind", EVERY)
def test_a_drawing_is_not_lost_with_the_words_on_it(run, tmp_path, kind) -> None:
    assert run(kind, "sample", *DRAW, "--read", "--out", NAME) == 0
    assert Recipe.from_file(tmp_path / NAME).digits == (7,)
    if kind is ascii_only:
        assert (tmp_path / "out").read_text("ascii").endswith("1 image in ziffer-\\xe4.png\n")


@pytest.mark.parametrize("kind", EVERY)
def test_the_prompt_goes_on_to_its_end(run, tmp_path, kind) -> None:
    assert run(kind, lines=f"steps 1\n7\nsave {NAME}\nno digit \u00ff\n8\nsave last.gif\n") == 0
    assert Recipe.from_file(tmp_path / NAME).digits == (7,)  # a name in letters that the encoding lacks, too
    assert Recipe.from_file(tmp_path / "last.gif").digits == (8,)


def test_the_prompt_ends_without_an_input(run, tmp_path) -> None:
    assert run(ascii_only) == 0


@pytest.mark.parametrize(("kind", "status"), list(zip(EVERY, (0, 2, 2, 0, 0), strict=True)))
def test_a_recipe_that_cannot_be_told_is_an_error_unless_nobody_listens(run, tmp_path, digits, kind, status) -> None:
    recipe = Recipe((7,) * 2000)
    render.save_png(tmp_path / "a.png", digits[0][0].numpy(), recipe.to_json())
    assert run(kind, "recipe", str(tmp_path / "a.png")) == status
    if kind is ascii_only:
        assert json.loads((tmp_path / "out").read_text("ascii"))["digits"] == [7] * 2000


@pytest.mark.process
def test_streams_can_be_prepared_again(tmp_path) -> None:
    """As where one program runs a command after another: a stream that was replaced is not closed."""
    prepare = "from diffusion import process; process.prepare(); process.prepare(); print(7, flush=True)"
    script = 'exec "$@" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", script, "sh", sys.executable, "-c", prepare], cwd=ROOT, check=True, timeout=120)


@pytest.mark.process
def test_garbage_is_looked_for_once_a_program_has_begun() -> None:
    code = (
        "import gc; from diffusion import process; process.begin(); assert not gc.isenabled()\n"
        "process.prepare(); assert gc.isenabled() and gc.get_freeze_count() > 1000"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


@pytest.mark.process
def test_a_program_without_any_stream(tmp_path) -> None:
    """As a service or Python's windowless starter has it: files that are opened do not become streams either."""
    out = tmp_path / "a.gif"
    command = [sys.executable, "-m", "diffusion", "sample", *DRAW, "--out", str(out)]
    script = 'exec "$@" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", script, "sh", *command], cwd=ROOT, check=True, timeout=120)
    with Image.open(out) as picture:
        assert picture.format == "GIF"


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "module"),
    [("diffusion", "numpy"), ("train.py", "numpy"), ("app.py", "gradio")],
)
def test_ctrl_c_while_libraries_are_imported_ends_it_silently(tmp_path, program, module) -> None:
    start = f"""
import importlib.abc, runpy, signal, sys
class Press(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore Ctrl-C
sys.meta_path.insert(0, Press())
sys.argv = [{program!r}]
runpy.{"run_path" if program.endswith(".py") else "run_module"}({program!r}, run_name="__main__")
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", start]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
    assert not list(tmp_path.iterdir())  # the page's private folder, for one


@pytest.mark.process
def test_nothing_is_imported_before_it_is_needed() -> None:
    script = """
import sys, diffusion
assert "torch" not in sys.modules and set(diffusion.__all__) <= set(dir(diffusion))
assert diffusion.Pipeline.__name__ == "Pipeline" and diffusion.Result.__module__ == "diffusion.result"
import diffusion.evaluation.readback
assert not {"torchvision", "diffusion.training.trainer", "gradio"} & set(sys.modules)
import diffusion.__main__
import app
late = {"torchvision", "train", "triton", "diffusers", "transformers", "accelerate", "diffusion.networks.pretrained"}
assert not late & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)


def test_a_name_that_the_library_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = diffusion.Nothing
