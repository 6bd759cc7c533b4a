"""The flags and variables of the page: where it is to be served, and the folder for the files that it offers.

It imports neither torch nor Gradio, so that `--help` and a refusal come at once, and because Gradio reads its variables
while it is imported. Whatever cannot be ends the program in one sentence.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from diffusion import process

LOCAL = "127.0.0.1"
PORT = 7860
ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # as a Space says that it has one
ABOUT = """Draw handwritten digits in your browser.

An environment variable is used where its flag is not given; an empty one counts as not set."""
MORE = """GRADIO_TEMP_DIR is a folder for the files that the page offers, instead of a private one that is removed at
the end; GRADIO_MCP_SERVER=True makes the page a tool for language models."""
NUMBERS = {  # the variables that Gradio takes for numbers without a look: the lowest and the highest
    "GRADIO_SERVER_PORT": (1, 65535),
    "GRADIO_NUM_PORTS": (1, 65535),
    "GRADIO_NUM_WORKERS": (0, 64),
}
SWITCHES = ("GRADIO_SHARE", "GRADIO_MCP_SERVER", "GRADIO_ANALYTICS_ENABLED")


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

    @classmethod
    def from_flags(cls, arguments: Sequence[str] = ()) -> "Server":
        """What flags and variables ask for.

        To be called before Gradio is imported, which then finds its variables put right.
        """
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
                os.environ[name] = _number(
                    port_from if name == "GRADIO_SERVER_PORT" else name, os.environ[name], *limits
                )
        for name in SWITCHES:
            if name in os.environ:
                os.environ[name] = _switch(name, os.environ[name])
        if os.environ.get("GRADIO_MCP_SERVER") == "True" and importlib.util.find_spec("mcp") is None:
            refuse('GRADIO_MCP_SERVER needs more packages: pip install "gradio[mcp]", or unset it.')
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the page asks for nothing outside
        os.environ["GRADIO_DEBUG"] = "0"  # it would wait for the end in Gradio's way, not in ours

        host = _host(host_from, os.environ.get("GRADIO_SERVER_NAME", LOCAL))
        os.environ["GRADIO_SERVER_NAME"] = LOCAL if ":" in host else host  # Gradio tries each port there, as IPv4
        first = int(os.environ.get("GRADIO_SERVER_PORT", PORT))
        count = 1 if port_from == "--port" else int(os.environ.get("GRADIO_NUM_PORTS", 100))
        share = flags.share or os.environ.get("GRADIO_SHARE") == "True"
        _ready_folder()
        return cls(host, range(first, min(first + count, 65536)), share, host_from, port_from)


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("app.py", description=ABOUT, epilog=MORE, formatter_class=layout)
    parser.add_argument(
        "--host",
        default="",
        help=f"the address to serve the page at: {LOCAL} (the default) for this machine alone, 0.0.0.0 for its network "
        "too; its variable is GRADIO_SERVER_NAME",
    )
    parser.add_argument(
        "--port",
        default="",
        help=f"the port to serve the page at (default: the first free one, from GRADIO_SERVER_PORT or {PORT} on)",
    )
    parser.add_argument(
        "--share", action="store_true", help="also make a public link; its variable is GRADIO_SHARE=True"
    )
    return parser


def _number(name: str, text: str, low: int, high: int) -> str:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and low <= int(text) <= high):
        refuse(f"{name} must be a number from {low} to {high}, not {text!r:.40}.")
    return str(int(text))


def _switch(name: str, text: str) -> str:
    """As Gradio spells it."""
    if text.strip().title() not in ("True", "False"):
        refuse(f"{name} must be True or False, not {text!r:.40}.")
    return text.strip().title()


def _host(name: str, text: str) -> str:
    """A host's name or address, without the brackets of IPv6."""
    host = text.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if "/" in host or host.count(":") == 1 or not host.isprintable() or " " in host:
        refuse(f"{name} must be a host alone, like 0.0.0.0, without http:// or a port, not {text!r:.40}.")
    return host


def _ready_folder() -> None:
    """See that there is a folder for the files that the page offers: what the user chose, or a private one."""
    try:
        tempfile.gettempdir()  # the page writes there, too
    except OSError:
        refuse("no folder for temporary files can be written: set TMPDIR to one that can.")
    if chosen := os.environ.get("GRADIO_TEMP_DIR"):
        try:
            folder = Path(chosen).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder):
                pass
        except (OSError, RuntimeError) as error:  # the latter for links in a circle
            reason = getattr(error, "strerror", None) or "it goes in a circle"
            refuse(f"GRADIO_TEMP_DIR: {chosen} cannot be used ({reason}); choose another folder, or unset it.")
    else:
        folder = Path(tempfile.mkdtemp(prefix="digit-diffusion-"))
        process.at_end(partial(shutil.rmtree, folder, ignore_errors=True))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


def refuse(sentence: str) -> NoReturn:
    """End the program, with the reason."""
    sys.exit(f"app.py: {sentence}")
