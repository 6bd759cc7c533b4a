"""What surrounds the page: its flags and variables, its private folder, its launch and its end.

It imports neither torch nor Gradio, so that `--help` and a refusal come at once, and because Gradio reads its variables
while it is imported. Whatever cannot be ends the program in one sentence.
"""

import argparse
import asyncio
import errno
import importlib.util
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.request import getproxies

from diffusion import process

if TYPE_CHECKING:
    import gradio as gr

LOCAL = "127.0.0.1"
PORT = 7860
ABOUT = """Draw handwritten digits in your browser.

The variables count where the flags are not given; an empty one counts as not set."""
MORE = """GRADIO_TEMP_DIR is a folder for the files that the page offers, instead of a private one that is removed at
the end; GRADIO_MCP_SERVER=True makes the page a tool for language models."""
NUMBERS = {  # the variables that Gradio takes for numbers without a look: the lowest and the highest
    "GRADIO_SERVER_PORT": (1, 65535),
    "GRADIO_NUM_PORTS": (1, 65535),
    "GRADIO_NUM_WORKERS": (0, 64),
}
SWITCHES = ("GRADIO_SHARE", "GRADIO_MCP_SERVER", "GRADIO_ANALYTICS_ENABLED")
CLOSE_SECONDS = 1  # for open connections, at the end
STEP_SECONDS = 60  # for the step under way, at most


@dataclass(frozen=True)
class Server:
    """Where the page is to be served.

    Attributes:
        host: a name or an address of this machine.
        ports: the first free one of them is taken.
        share: whether to make a public link, too.
        host_from, port_from: the flag or variable that decides, for a refusal to name.
    """

    host: str
    ports: range
    share: bool
    host_from: str
    port_from: str

    def prepare(self) -> int:
        """Keep proxies away and find the port to serve at. Where that cannot be, the program ends with the reason."""
        _spare_local_names(self)
        return self._free_port()

    def _free_port(self) -> int:
        for port in self.ports:
            try:
                asyncio.run(_listen(self.host, port))
                return port
            except (socket.gaierror, UnicodeError):  # the latter for what no name looks like
                _refuse(f"{self.host_from}: there is no host {self.host!r}; {_CHOICE}.")
            except OSError as error:
                match error.errno:
                    case errno.EADDRINUSE:
                        continue
                    case errno.EADDRNOTAVAIL:
                        _refuse(f"{self.host_from}: {self.host} is no address of this machine; {_CHOICE}.")
                    case errno.EACCES | errno.EPERM:
                        _refuse(f"{self.port_from}: port {port} is for administrators; choose one from 1024 to 65535.")
                reason = os.strerror(error.errno) if error.errno else str(error)
                _refuse(f"{self.host_from}: {self.host} cannot be served ({reason}); {_CHOICE}.")
        first, last = self.ports[0], self.ports[-1]
        taken = f"port {first} is taken" if first == last else f"all ports from {first} to {last} are taken"
        _refuse(f"{self.port_from}: {taken}; choose another.")


_CHOICE = f"choose {LOCAL} for this machine alone, or 0.0.0.0 for its network too"


async def _listen(host: str, port: int) -> None:
    """Listen there for a moment, as Gradio's server does."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    server.close()
    await server.wait_closed()


def asked(arguments: Sequence[str] = ()) -> Server:
    """What flags and variables ask for. To be called before Gradio is imported, which finds its variables put right."""
    flags = _parser().parse_args(arguments)
    for name in [name for name, value in os.environ.items() if name.startswith("GRADIO_") and not value.strip()]:
        del os.environ[name]
    host_from, port_from = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"
    if flags.host.strip():
        host_from, os.environ["GRADIO_SERVER_NAME"] = "--host", flags.host
    if flags.port.strip():
        port_from, os.environ["GRADIO_SERVER_PORT"] = "--port", flags.port
    for name, limits in NUMBERS.items():
        if name in os.environ:
            os.environ[name] = _number(port_from if name == "GRADIO_SERVER_PORT" else name, os.environ[name], *limits)
    for name in SWITCHES:
        if name in os.environ:
            os.environ[name] = _switch(name, os.environ[name])
    if os.environ.get("GRADIO_MCP_SERVER") == "True" and importlib.util.find_spec("mcp") is None:
        _refuse('GRADIO_MCP_SERVER needs more packages: pip install "gradio[mcp]", or unset it.')
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the page asks for nothing outside
    os.environ["GRADIO_DEBUG"] = "0"  # it would wait for the end in Gradio's way, not in ours

    host = _host(host_from, os.environ.get("GRADIO_SERVER_NAME", LOCAL))
    os.environ["GRADIO_SERVER_NAME"] = LOCAL if ":" in host else host  # Gradio tries each port there, as IPv4
    first = int(os.environ.get("GRADIO_SERVER_PORT", PORT))
    count = 1 if port_from == "--port" else int(os.environ.get("GRADIO_NUM_PORTS", 100))
    share = flags.share or os.environ.get("GRADIO_SHARE") == "True"
    _ready_folder()
    return Server(host, range(first, min(first + count, 65536)), share, host_from, port_from)


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("app.py", description=ABOUT, epilog=MORE, formatter_class=layout)
    parser.add_argument(
        "--host",
        default="",
        help=f"{LOCAL} for this machine alone (the default), 0.0.0.0 for its network too; or GRADIO_SERVER_NAME",
    )
    parser.add_argument(
        "--port",
        default="",
        help=f"this one; without it the first free one from GRADIO_SERVER_PORT on, or from {PORT}",
    )
    parser.add_argument("--share", action="store_true", help="make a public link, too; or GRADIO_SHARE=True")
    return parser


def _number(name: str, text: str, low: int, high: int) -> str:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and low <= int(text) <= high):
        _refuse(f"{name} must be a number from {low} to {high}, not {text!r:.40}.")
    return str(int(text))


def _switch(name: str, text: str) -> str:
    """As Gradio spells it."""
    if text.strip().title() not in ("True", "False"):
        _refuse(f"{name} must be True or False, not {text!r:.40}.")
    return text.strip().title()


def _host(name: str, text: str) -> str:
    """A host's name or address, without the brackets of IPv6."""
    host = text.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if "/" in host or host.count(":") == 1 or not host.isprintable() or " " in host:
        _refuse(f"{name} must be a host alone, like 0.0.0.0, without http:// or a port, not {text!r:.40}.")
    return host


def _ready_folder() -> None:
    """See that there is a folder for the files that the page offers: what the user chose, or a private one."""
    try:
        tempfile.gettempdir()  # the page writes there, too
    except OSError:
        _refuse("no folder for temporary files can be written: set TMPDIR to one that can.")
    if chosen := os.environ.get("GRADIO_TEMP_DIR"):
        try:
            folder = Path(chosen).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder):
                pass
        except (OSError, RuntimeError) as error:  # the latter for links in a circle
            reason = getattr(error, "strerror", None) or "it goes in a circle"
            _refuse(f"GRADIO_TEMP_DIR: {chosen} cannot be used ({reason}); choose another folder, or unset it.")
    else:
        folder = Path(tempfile.mkdtemp(prefix="digit-diffusion-"))
        process.at_end(partial(shutil.rmtree, folder, ignore_errors=True))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


def launch(page: "gr.Blocks", server: Server, **options: Any) -> None:
    """Serve the page until Ctrl-C or SIGTERM. A run that is under way then ends at its next step."""
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the last one: the terminal is closed
        number = getattr(signal, name, None)
        if number and not (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):  # as nohup wants it
            signal.signal(number, lambda *_: ended.set())
    port = server.prepare()
    try:
        page.launch(
            server_name=f"[{server.host}]" if ":" in server.host else server.host,
            server_port=port,
            share=server.share or None,  # None leaves Gradio its own rule for hosted notebooks
            prevent_thread_lock=True,
            quiet=True,
            **options,
        )
    except (OSError, ValueError, ImportError) as error:
        server.prepare()  # the port may have been taken meanwhile
        _refuse(f"the page cannot start ({error}).")
    with suppress(OSError):
        print(f"* Running on local URL:  {str(page.local_url).rstrip('/')}", flush=True)
    while not ended.wait(0.5):  # in parts, for on Windows no signal ends a wait
        pass
    _end(page)


def _spare_local_names(server: Server) -> None:
    """Gradio asks its own address at the start, which a proxy of the environment cannot know.

    A public link is all that the page needs from outside: without one, proxies are not even looked at.
    """
    local = ["localhost", LOCAL, "::1", server.host] if server.share else ["*"]
    others = [name for name in getproxies().get("no", "").split(",") if name.strip()]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(others + local))
    if server.share:
        import httpx

        try:
            httpx.Client().close()
        except (ImportError, ValueError, httpx.InvalidURL):  # for SOCKS; for no proxy's address; in NO_PROXY
            _refuse("a public link cannot go through the proxy that is set: correct it, or do without --share.")


def _end(page: "gr.Blocks") -> None:
    """Cut the connections and wait for the step under way: torch aborts the process if it ends in the middle of one."""
    logging.disable()  # what the server says of cut connections
    page.server.config.timeout_graceful_shutdown = CLOSE_SECONDS
    page.close(verbose=False)
    page.server.thread.join(STEP_SECONDS)
    for thread in threading.enumerate():
        if thread.name == "AnyIO worker thread":  # where Gradio runs what it is asked for
            thread.join(STEP_SECONDS)


def _refuse(sentence: str) -> NoReturn:
    sys.exit(f"app.py: {sentence}")
