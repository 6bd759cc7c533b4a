"""What surrounds the page: flags and variables, its private folder, proxies, and an end in the midst of a run."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client

from ui import serve
from ui.flags import Server

ROOT = Path(__file__).parent.parent


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment without a variable of Gradio's. What is done to it ends with the test."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")}
    monkeypatch.setattr(os, "environ", others)
    return others


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else serves at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("GRADIO_SERVER_PORT", value) for value in ("abc", "0", "99999", "-1", "7860.0", "٧٨٦٠")),
        *(("--port", value) for value in ("0", "70000", "http")),
        *(
            ("GRADIO_SERVER_NAME", value)
            for value in ("http://0.0.0.0", "0.0.0.0:7860", "no.such.host.invalid", "a..b")
        ),
        *(("GRADIO_SERVER_NAME", value) for value in ("192.0.2.1", "[192.0.2.1]")),
        *(("--host", value) for value in ("localhost/", "192.0.2.1")),
        ("GRADIO_NUM_PORTS", "many"),
        ("GRADIO_NUM_WORKERS", "-1"),
        ("GRADIO_SHARE", "perhaps"),
        ("GRADIO_MCP_SERVER", "1"),
        ("GRADIO_ANALYTICS_ENABLED", "off"),
        ("GRADIO_TEMP_DIR", f"{__file__}/folder"),
        ("GRADIO_TEMP_DIR", __file__),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_that_names_it(refuses, variables, name: str, value: str) -> None:
    arguments = [f"{name}={value}"] if name.startswith("--") else []
    variables |= {} if arguments else {name: value}
    with refuses(name, SystemExit) as caught:
        serve.prepare(Server.from_flags(arguments))
    assert str(caught.value).startswith("app.py: ")
    assert "taken" not in str(caught.value)


def test_an_empty_variable_or_flag_counts_as_not_set(variables) -> None:
    names = ("SERVER_NAME", "SERVER_PORT", "TEMP_DIR", "SHARE", "NUM_PORTS", "MCP_SERVER", "ANALYTICS_ENABLED", "DEBUG")
    variables |= {f"GRADIO_{name}": " " for name in names}
    server = Server.from_flags(["--host", "", "--port="])
    assert (server.host, server.ports, server.share) == ("127.0.0.1", range(7860, 7960), False)
    assert all(value.strip() for name, value in variables.items() if name.startswith("GRADIO_"))


def test_flags_go_before_variables(variables) -> None:
    variables |= {"GRADIO_SERVER_NAME": "http://", "GRADIO_SERVER_PORT": "abc", "GRADIO_SHARE": "false"}
    server = Server.from_flags(["--host", "[::1]", "--port", "7875", "--share"])
    assert (server.host, server.ports, server.share) == ("::1", range(7875, 7876), True)
    variables |= {"GRADIO_SERVER_NAME": "localhost", "GRADIO_SERVER_PORT": "7870", "GRADIO_SHARE": "true"}
    server = Server.from_flags()
    assert (server.host, server.ports[0], server.share) == ("localhost", 7870, True)


def test_a_taken_port_is_passed_over_unless_a_flag_names_it(refuses, variables, taken: int) -> None:
    variables["GRADIO_SERVER_PORT"] = str(taken)
    assert serve.prepare(Server.from_flags()) > taken
    with refuses(f"port {taken} is taken", SystemExit):
        serve.prepare(Server.from_flags(["--port", str(taken)]))


def test_a_port_of_the_system_is_not_called_taken(refuses, variables, monkeypatch) -> None:
    def listen(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serve, "_listen", listen)
    with refuses("--port: port 80 is for administrators", SystemExit):
        serve.prepare(Server.from_flags(["--port", "80"]))


def test_proxies_are_for_a_public_link_alone(refuses, variables) -> None:
    variables |= {"http_proxy": "http://127.0.0.1:9", "no_proxy": "example.com"}
    serve.prepare(Server.from_flags(["--share", "--port", free()]))
    assert variables["no_proxy"] == variables["NO_PROXY"] == "example.com,localhost,127.0.0.1,::1"
    variables["http_proxy"] = "nonsense://127.0.0.1:9"
    with refuses("proxy", SystemExit):
        serve.prepare(Server.from_flags(["--share", "--port", free()]))
    serve.prepare(Server.from_flags(["--port", free()]))
    assert "*" in variables["no_proxy"].split(",")


@pytest.mark.process
def test_help_and_refusals_come_before_the_slow_imports() -> None:
    code = (
        "import runpy, sys\n"
        "for flags, status in (['--help'], 0), (['--prot', '7875'], 2), (['7875'], 2), (['--port', '0'], 'app.py: '):\n"
        "    sys.argv = ['app.py', *flags]\n"
        "    try:\n"
        "        runpy.run_path('app.py', run_name='__main__')\n"
        "    except SystemExit as end:\n"
        "        assert end.code == status or str(end.code).startswith(str(status)), (flags, end.code)\n"
        "    assert not {'torch', 'gradio', 'numpy'} & set(sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert all(flag in ended.stdout for flag in ("--host", "--port", "--share"))


@pytest.mark.process
def test_a_start_in_odd_surroundings_and_an_end_in_the_midst_of_a_run(tmp_path: Path) -> None:
    """Proxies that do not answer, Gradio's usual folder out of reach, empty variables; at the end, several signals."""
    (tmp_path / "gradio").write_text("in the way, as a folder of somebody else is")
    environment = os.environ | {"TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": "", "GRADIO_SERVER_NAME": ""}
    environment |= {"http_proxy": "http://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9", "no_proxy": ""}
    port = free()
    command = [sys.executable, "app.py", "--port", port]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as process:
        assert process.stdout
        try:
            address = re.search(r"http://\S+", process.stdout.readline())
            assert address
            assert address[0] == f"http://127.0.0.1:{port}"
            client = Client(address[0], verbose=False, download_files=str(tmp_path))
            grid, *_ = client.predict(digits="7", steps=2, api_name="/generate")
            assert Path(grid).stat().st_size > 0
            [private] = tmp_path.glob("digit-diffusion-*")
            assert private.stat().st_mode & 0o777 == 0o700
            job = client.submit(digits="0-9", steps=1000, api_name="/generate")
            while not job.outputs():
                time.sleep(0.1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
                process.send_signal(number)
                time.sleep(0.2)
            assert process.wait(timeout=60) == 0
            assert process.stderr.read() == ""
            assert not private.exists()
        finally:
            process.kill()


@pytest.mark.process
def test_the_step_under_way_ends_before_the_process(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from ui import serve\n"
        "from ui.flags import Server\n"
        "server = Server.from_flags(sys.argv[1:])\n"
        "import gradio as gr\n"
        "def steps():\n"
        "    for _ in range(100):\n"
        "        yield 'a step'\n"
        "        time.sleep(2)\n"  # longer than connections are waited for
        "        print('ended', flush=True)\n"
        "with gr.Blocks() as page:\n"
        "    gr.Button().click(steps, None, gr.Textbox(), api_name='steps')\n"
        "serve.launch(page, server)\n"
    )
    command = [sys.executable, "-c", code, "--port", free()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            client = Client(process.stdout.readline().split()[-1], verbose=False, download_files=str(tmp_path))
            job = client.submit(api_name="/steps")
            while not job.outputs():
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.stdout.read() == "ended\n"
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
