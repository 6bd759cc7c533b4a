"""The repository as a Hugging Face Space: its front-matter, its requirements, and ZeroGPU's optional import."""

import os
import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import yaml

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


def test_zero_gpu_is_asked_before_torch_and_wraps_the_drawing(tmp_path: Path) -> None:
    (tmp_path / "spaces.py").write_text(
        "import sys\n"
        "assert 'torch' not in sys.modules\n"
        "wrapped = []\n"
        "def GPU(duration):\n"
        "    assert 0 < duration <= 60\n"
        "    return lambda function: wrapped.append(function.__name__) or function\n"
    )
    code = "import app, spaces; app.build(); assert spaces.wrapped == ['steps_of', 'tries_of', 'cells_of']"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": path})


def test_the_page_imports_neither_torchvision_nor_training() -> None:
    code = "import app, sys; assert not {'torchvision', 'train', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_page_starts_with_no_network_and_answers(tmp_path: Path) -> None:
    code = (
        "import os, socket, urllib.request, app\n"
        "connect = socket.socket.connect\n"
        "def local(self, address):\n"
        "    assert isinstance(address, str) or address[0] in ('127.0.0.1', '::1', 'localhost'), address\n"
        "    return connect(self, address)\n"
        "socket.socket.connect = local\n"
        "page = app.build()\n"
        "_, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)\n"
        "assert url == f'http://127.0.0.1:{os.environ[\"GRADIO_SERVER_PORT\"]}/', url\n"
        "assert urllib.request.urlopen(url + 'config').status == 200\n"
        "page.close()\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = str(taken.getsockname()[1])
    environment = os.environ | {"GRADIO_SERVER_PORT": free}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


def test_the_weights_load_in_well_under_a_second_in_a_fresh_process() -> None:
    code = (
        "import time; from diffusion import Pipeline; started = time.perf_counter(); Pipeline.from_pretrained();"
        "assert time.perf_counter() - started < 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_missing_checkpoint_ends_in_a_sentence(tmp_path: Path) -> None:
    code = "import app, diffusion.checkpoint as c; from pathlib import Path; c.BUNDLED = Path('nowhere'); app.main()"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("app.py: There is no checkpoint at nowhere/model.safetensors")
    assert "Traceback" not in ended.stderr
