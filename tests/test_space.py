"""The repository as a Hugging Face Space: its front-matter, its requirements, and ZeroGPU."""

import os
import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from PIL import Image

import app
from diffusion import checkpoint

ROOT = Path(__file__).parent.parent
VISIT = Path(__file__).parent / "zero_gpu" / "visit.py"


def front_matter() -> dict:
    return SpaceCard.load(ROOT / "README.md").data.to_dict()  # in the Hub's own words


def test_the_card_of_the_space_is_complete() -> None:
    settings = front_matter()
    assert settings["sdk"] == "gradio"
    assert re.fullmatch(r"\d+\.\d+\.\d+", settings["sdk_version"])
    assert (ROOT / settings["app_file"]).is_file()
    assert settings["python_version"] == "3.12"
    assert len(settings["short_description"]) <= 60
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {settings["colorFrom"], settings["colorTo"]} <= colors
    assert {"title", "emoji", "license", "tags", "datasets"} <= set(settings)
    with Image.open(ROOT / "docs" / "thumbnail.png") as thumbnail:
        assert thumbnail.size == (1200, 648)  # as the Hub shows it


def test_no_tracked_file_needs_large_file_storage() -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert all((ROOT / name).stat().st_size < 10_000_000 for name in filter(None, names) if (ROOT / name).exists())


def test_the_space_runs_the_gradio_that_is_tested() -> None:
    wanted, installed = (text.split(".")[:1] for text in (front_matter()["sdk_version"], version("gradio")))
    assert wanted == installed


@pytest.mark.process
def test_zero_gpu_is_used_while_a_run_lasts_and_nothing_outside_is_asked() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = str(taken.getsockname()[1])
    path = os.pathsep.join([str(VISIT.parent), str(ROOT)])
    environment = os.environ | {"GRADIO_SERVER_PORT": free, "PYTHONPATH": path, "SPACES_ZERO_GPU": "true"}
    subprocess.run([sys.executable, VISIT], check=True, cwd=ROOT, env=environment, timeout=100)


def test_a_missing_checkpoint_ends_in_a_sentence(monkeypatch, refuses) -> None:
    monkeypatch.setattr(checkpoint, "BUNDLED", Path("nowhere"))
    with refuses("app.py: There is no checkpoint at nowhere/model.safetensors", SystemExit):
        app.main()
