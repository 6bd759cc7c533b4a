"""The repository as a Hugging Face Space: its front-matter, its requirements, and ZeroGPU's optional import."""

import os
import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import app
from diffusion import checkpoint

ROOT = Path(__file__).parent.parent


def front_matter() -> dict:
    return yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])


def test_the_front_matter_is_complete() -> None:
    settings = front_matter()
    assert settings["sdk"] == "gradio"
    assert re.fullmatch(r"\d+\.\d+\.\d+", settings["sdk_version"])
    assert (ROOT / settings["app_file"]).is_file()
    assert settings["python_version"] == "3.12"
    assert len(settings["short_description"]) <= 60
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {settings["colorFrom"], settings["colorTo"]} <= colors
    assert {"title", "emoji", "license", "tags", "datasets"} <= set(settings)


def test_no_tracked_file_needs_large_file_storage() -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert all((ROOT / name).stat().st_size < 10_000_000 for name in filter(None, names) if (ROOT / name).exists())


def test_the_space_runs_the_gradio_that_is_tested() -> None:
    wanted, installed = (text.split(".")[:1] for text in (front_matter()["sdk_version"], version("gradio")))
    assert wanted == installed


@pytest.mark.process
def test_a_space_starts_with_no_network_asks_zero_gpu_before_torch_and_answers(tmp_path: Path) -> None:
    (tmp_path / "spaces.py").write_text(
        "import sys\n"
        "assert 'torch' not in sys.modules\n"
        "wrapped = []\n"
        "def GPU(duration):\n"
        "    assert 0 < duration <= 60\n"
        "    return lambda function: wrapped.append(function.__name__) or function\n"
    )
    wrapped = ["steps_of", "noised_of", "denoised_of", "forward_picture_of", "tries_of", "cells_of"]
    code = (
        "import os, socket, time, urllib.request, app, spaces\n"
        "connect = socket.socket.connect\n"
        "def local(self, address):\n"
        "    assert isinstance(address, str) or address[0] in ('127.0.0.1', '::1', 'localhost'), address\n"
        "    return connect(self, address)\n"
        "socket.socket.connect = local\n"
        "started = time.process_time()\n"
        "app.Pipeline.from_pretrained()\n"
        "assert time.process_time() - started < 1, 'the weights load at once'\n"
        "page = app.build()\n"
        f"assert spaces.wrapped == {wrapped}, spaces.wrapped\n"
        "_, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)\n"
        "assert url == f'http://127.0.0.1:{os.environ[\"GRADIO_SERVER_PORT\"]}/', url\n"
        "assert urllib.request.urlopen(url + 'config').status == 200\n"
        "page.close()\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = str(taken.getsockname()[1])
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = os.environ | {"GRADIO_SERVER_PORT": free, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


def test_a_missing_checkpoint_ends_in_a_sentence(monkeypatch, refuses) -> None:
    monkeypatch.setattr(checkpoint, "BUNDLED", Path("nowhere"))
    with refuses("app.py: There is no checkpoint at nowhere/model.safetensors", SystemExit):
        app.main()
