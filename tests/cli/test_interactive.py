"""The interactive prompt: what is typed is answered, shown and saved; nothing but the end ends it."""

import io
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from diffusion import Pipeline, Recipe, samplers
from diffusion.__main__ import main
from diffusion.cli.interactive import COMMANDS, GREETING, Conversation, interact

ROOT = Path(__file__).parents[2]
BLOCK = "\N{UPPER HALF BLOCK}"


@pytest.fixture
def typed(weights: str, tmp_path: Path, monkeypatch, capsys) -> Callable[..., list[str]]:
    """typed("7", "quit") types these lines after "steps 2", and gives the lines of the answers."""

    def run(*lines: str) -> list[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in ("steps 2", *lines))))
        interact(weights)
        greeting, steps, *answers = capsys.readouterr().out.splitlines()
        assert greeting == GREETING
        assert "steps 2, " in steps
        return answers

    return run


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_in_a_file_are_read_as_an_editor_saved_them(
    weights: str, tmp_path, monkeypatch, capsys, encoding
) -> None:
    (tmp_path / "lines.txt").write_text("steps 2\neta 0\n", encoding)
    with (tmp_path / "lines.txt").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        interact(weights)
    assert ["steps 2," in line for line in capsys.readouterr().out.splitlines()[1:]] == [True] * 2


def drawn(lines: list[str]) -> list[tuple[str, int]]:
    """What the answers say was drawn, and from which seed."""
    found = [re.fullmatch(r"(.+): seed (\d+)", line) for line in lines]
    return [(match[1], int(match[2])) for match in found if match]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("7", "7"),
        ("seven", "7"),
        ("  A 4 and two 3s!", "4, 3, 3"),
        ("2026", "2, 0, 2, 6"),
        ("grid", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("GRID", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ],
)
def test_a_prompt_is_drawn_and_shown(typed, line: str, names: str) -> None:
    answers = typed(line, "quit", "8")
    assert [name for name, _ in drawn(answers)] == [names]
    assert any(set(answer) & set("*#%@") for answer in answers[:-1])


def test_random_draws_one_digit(typed) -> None:
    ((name, _),) = drawn(typed("random"))
    assert name in set("0123456789")


def test_each_drawing_has_its_own_seed_until_one_is_chosen(typed) -> None:
    lines = typed("7", "7", "seed 42", "7", "7", "seed random", "7", "7")
    seeds = [seed for _, seed in drawn(lines)]
    assert seeds[2:4] == [42, 42]
    assert len(set(seeds)) == 5
    shown = "\n".join(lines).split("seed 42\n")
    assert shown[0] != shown[1]


def test_the_same_seed_draws_the_same(typed) -> None:
    first = typed("two 3s", "png")
    ((_, seed),) = drawn(first)
    again = typed(f"seed {seed}", "3, 3", "png")
    assert again[1:-1] == first[:-1]
    one, other = (Path(lines[-1].removeprefix("Saved ")) for lines in (first, again))
    assert one != other  # a file is never overwritten unasked
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("lines", "name", "format"),
    [
        (["png"], "digits-7-seed42.png", "PNG"),
        (["save"], "digits-7-seed42.png", "PNG"),
        (["GIF"], "digits-7-seed42.gif", "GIF"),
        (["gif", "gif"], "digits-7-seed42-2.gif", "GIF"),
        (["save My seven.gif"], "My seven.gif", "GIF"),
    ],
)
def test_saved_files_open_and_carry_the_recipe(typed, lines: list[str], name: str, format: str) -> None:
    answers = typed("seed 42", "guidance 3", "sampler DDPM", "7", *lines)
    assert answers[-1] == f"Saved {name}"
    with Image.open(name) as image:
        assert image.format == format
    recipe = Recipe.from_file(name)
    assert recipe == Recipe((7,), guidance=3, steps=2, sampler="ddpm", seed=42, weights=recipe.weights)


def test_settings_are_shown_as_they_are_typed(typed, weights: str) -> None:
    changes = ["steps=30", "guidance: 3", "SAMPLER ddim", "spacing LOG-SNR", "eta 0.5", "seed 7"]
    *_, line, again, steps = typed(*changes, "settings", "steps")
    assert line == again == steps
    assert line == (
        "guidance 3, steps 30, sampler ddim, eta 0.5, seed 7, guidance_interval 400,700, spacing log-snr, "
        f"weights {weights}"
    )
    assert typed(*line.split(", "))[-1] == line


def test_other_weights_draw_their_own_classes(typed, make_denoiser, tmp_path: Path) -> None:
    names = ("T-shirt/top", *"bcdefgh", "Bag", "Ankle boot")
    Pipeline(make_denoiser(names=names)).save_pretrained(tmp_path / "my runs" / "fashion")
    assert drawn(typed("weights my runs/fashion", "seed 1", "two ankle boots, 0")) == [
        ("Ankle boot, Ankle boot, T-shirt/top", 1)
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sevn", "Cannot read 'sevn': write 'seven' if you mean that."),
        ("hlep", "Cannot read 'hlep': write 'help' if you mean that."),
        ("step 30", "Cannot read 'step 30': write 'steps' if you mean that."),
        ("gif 7", "Cannot read 'gif 7': write 'gif' if you mean that."),
        ("blorp", "Cannot read 'blorp' as digits: write them like"),
        ("<b>\x1b[2J</b>", "Cannot read '<b>\\x1b[2J</b>' as digits: write them like"),
        ("\N{CJK UNIFIED IDEOGRAPH-4E03}", "as digits: write them like"),
        ("?", "No digits asked for"),
        ("1001 sevens", "A picture holds at most 1,000 images, an .npz file more: choose that"),
        ("two million sevens", "Ask for at most 1,000,000 images at once."),
        ("steps many", "steps must be a whole number from 1 to 1,000, not 'many'."),
        ("steps 0", "steps must be a whole number from 1 to 1,000, not 0"),
        ("guidance inf", "guidance must be a number from 0 to 20, not inf."),
        ("sampler euler", "sampler must be one of ddim, ddpm, dpm++2m, heun, ipndm, abm, not 'euler'."),
        ("spacing even", "spacing must be one of trailing, log-snr, karras, shifted, not 'even'."),
        ("seed -1", "seed must be a whole number from 0 to 4,294,967,295, not -1"),
        (f"weights {'x' * 300}", "File name too long. Choose another path."),
        ("weights nowhere/at/all", "There is no checkpoint at nowhere/at/all: "),
        ("png", "Nothing is drawn yet: type a digit first."),
        ("gif", "Nothing is drawn yet: type a digit first."),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(typed, line: str, sentence: str) -> None:
    answer, *rest = typed(line, "settings", "7")
    assert sentence in answer
    assert answer.endswith(".")
    assert len(answer) < 250
    assert rest[0].startswith("guidance 1.5, steps 2, sampler dpm++2m, eta 0, seed random, guidance_interval 400,700")
    assert drawn(rest)


@pytest.mark.parametrize("name", ["seven.jpg", "seven", "in-the-way/seven.png"])
def test_a_file_that_cannot_be_written_is_one_sentence(typed, tmp_path: Path, name: str) -> None:
    (tmp_path / "in-the-way").touch()
    *_, answer = typed("7", f"save {name}")
    assert name in answer
    assert answer.endswith(".")
    assert not Path("seven.jpg").exists()


def test_help_names_every_command(typed) -> None:
    lines = typed("help")
    assert all(re.search(rf"\b{command}\b", "\n".join(lines)) for command in set(COMMANDS) - {"help"})
    assert max(map(len, lines)) < 100


def test_help_has_the_ranges_of_the_weights(few_step) -> None:
    assert "steps 20 " in (bundled := Conversation().help)
    assert ": 1 to 1,000\n" in bundled
    steps = few_step.offer.settings["steps"].values
    assert f"weights few-step          draws in {steps} steps;" in bundled
    assert f": {steps}\n" in Conversation("few-step").help


@pytest.mark.parametrize("lines", [(), ("quit", "7"), ("EXIT", "7"), ("", "   ")])
def test_the_end(typed, lines: tuple[str, ...]) -> None:
    assert typed(*lines) == []


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_both_keys_that_end_it_at_the_empty_prompt(weights: str, monkeypatch, capsys, end) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def press(prompt: str) -> str:
        assert prompt == "> "
        raise end

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", press)
    interact(weights)
    assert capsys.readouterr().out == GREETING + "\n\n"


def test_ctrl_c_stops_the_drawing_and_not_the_program(typed, monkeypatch) -> None:
    presses = iter([False, True, False])

    def interrupted(*given, **options):
        pressed = next(presses)
        for step in samplers.dpmpp_2m(*given, **options):
            yield step
            if pressed:
                raise KeyboardInterrupt

    monkeypatch.setitem(samplers.SAMPLERS, "dpm++2m", replace(samplers.SAMPLERS["dpm++2m"], walk=interrupted))
    answers = typed("seed 1", "7", "8", "png", "9")
    assert [name for name, _ in drawn(answers)] == ["7", "9"]
    assert answers[answers.index("Stopped.") + 1] == "Saved digits-7-seed1.png"  # what was drawn last is still there


def test_many_images_are_not_all_shown(typed) -> None:
    answers = typed("seed 0", "60 sevens")
    assert drawn(answers)[0][0].endswith(" ..., 10 of them not shown")
    assert len(answers) < 50 * 15


# The program


def test_without_a_command_the_prompt_starts(monkeypatch) -> None:
    started = []
    monkeypatch.setattr("diffusion.cli.interactive.interact", lambda: started.append(True))
    main([])
    assert started


@pytest.mark.process
def test_lines_through_a_pipe(tmp_path: Path) -> None:
    lines = b"steps 2\nseed 42\n7\n\xff\xfe\ngif\nquit\n"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "diffusion"]
    done = subprocess.run(command, input=lines, check=True, cwd=tmp_path, env=environment, capture_output=True)
    answers = done.stdout.decode().splitlines()
    assert answers[0] == GREETING
    assert "7: seed 42" in answers
    assert "Cannot read" in answers[-2]
    assert answers[-1] == "Saved digits-7-seed42.gif"
    assert done.stderr == b""
    with Image.open(tmp_path / "digits-7-seed42.gif") as image:
        assert image.n_frames > 1


@pytest.mark.process
def test_on_a_terminal(tmp_path: Path) -> None:
    """Blocks and a bar are shown, the arrow brings the last line back, Ctrl-C stops a drawing, and then the program."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    start = "import fcntl, runpy, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    start += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # tests in the background ignore Ctrl-C
    start += "runpy.run_module('diffusion', run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "TERM": "xterm", "NO_COLOR": ""}
    files = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    program = subprocess.Popen(
        [sys.executable, "-c", start], cwd=tmp_path, env=environment, start_new_session=True, **files
    )
    os.close(theirs)

    def read_until(text: str) -> str:
        answer, end = b"", time.monotonic() + 120
        while text.encode() not in answer:
            assert time.monotonic() < end, answer
            if select.select([ours], [], [], 1)[0]:
                answer += os.read(ours, 65536)
        time.sleep(0.3)  # until it listens again
        return answer.decode()

    try:
        read_until("> ")
        os.write(ours, b"steps 2\n")
        read_until("bundled\r\n> ")
        os.write(ours, b"7\n")
        assert BLOCK in read_until("\r\n> ").split("seed")[0]
        os.write(ours, b"steps 1000\n")
        read_until("bundled\r\n> ")
        os.write(ours, b"grid\n")
        read_until("/1000")
        os.write(ours, b"\x03")
        read_until("Stopped.\r\n> ")
        if find_spec("readline"):
            os.write(ours, b"\x1b[A")
            read_until("grid")
        os.write(ours, b"\x03")
        assert program.wait(30) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)


def test_few_step_weights_bring_their_own_steps_and_guidance(capsys) -> None:
    conversation = Conversation()
    for line in ("steps 30", "guidance 15", "weights few-step", "weights bundled"):
        conversation.answer(line)
    shown = [", ".join(line.split(", ")[:2]) for line in capsys.readouterr().out.splitlines()]
    assert shown[1:] == ["guidance 15, steps 30", "guidance 2.5, steps 2", "guidance 1.5, steps 20"]


def test_few_step_weights_refuse_what_they_cannot_take_when_it_is_set(capsys, refuses) -> None:
    conversation = Conversation("few-step")
    before = conversation.recipe
    for line in ("steps 20", "guidance 15", "sampler ddpm", "spacing karras"):
        with refuses("With these weights, "):
            conversation.answer(line)
    assert conversation.recipe == before
    conversation.answer("weights bundled")
    for line in ("spacing karras", "guidance_interval 300,800", "seed 5", "weights few-step"):
        conversation.answer(line)
    recipe = conversation.recipe  # what they declare in their own way is their own
    assert (recipe.sampler, recipe.spacing, recipe.guidance_interval) == ("ddim", "trailing", (400, 700))
    assert conversation.seed == 5
