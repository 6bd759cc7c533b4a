"""Serving the page: a free port, proxies kept away, the launch and the end.

Like the flags (flags.py), it imports neither torch nor Gradio. Whatever cannot be ends the program in one sentence.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from ui.flags import LOCAL, Server, refuse

if TYPE_CHECKING:
    import gradio as gr

CLOSE_SECONDS = 1  # for open connections, at the end
STEP_SECONDS = 60  # for the step under way, at most

_CHOICE = f"choose {LOCAL} for this machine alone, or 0.0.0.0 for its network too"


def prepare(server: Server) -> int:
    """Keep proxies away and find the port to serve at. Where that cannot be, the program ends with the reason."""
    _spare_local_names(server)
    return _free_port(server)


def launch(page: "gr.Blocks", server: Server, **options: Any) -> None:
    """Serve the page until Ctrl-C or SIGTERM. A run that is under way then ends at its next step."""
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the last one: the terminal is closed
        number = getattr(signal, name, None)
        if number and not (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):  # as nohup wants it
            signal.signal(number, lambda *_: ended.set())
    port = prepare(server)
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
        prepare(server)  # the port may have been taken meanwhile
        refuse(f"the page cannot start ({error}).")
    with suppress(OSError):
        print(f"* Running on local URL:  {str(page.local_url).rstrip('/')}", flush=True)
    while not ended.wait(0.5):  # in parts, for on Windows no signal ends a wait
        pass
    _end(page)


def _free_port(server: Server) -> int:
    for port in server.ports:
        try:
            asyncio.run(_listen(server.host, port))
            return port
        except (socket.gaierror, UnicodeError):  # the latter for what no name looks like
            refuse(f"{server.host_from}: there is no host {server.host!r}; {_CHOICE}.")
        except OSError as error:
            match error.errno:
                case errno.EADDRINUSE:
                    continue
                case errno.EADDRNOTAVAIL:
                    refuse(f"{server.host_from}: {server.host} is no address of this machine; {_CHOICE}.")
                case errno.EACCES | errno.EPERM:
                    refuse(f"{server.port_from}: port {port} is for administrators; choose one from 1024 to 65535.")
            reason = os.strerror(error.errno) if error.errno else str(error)
            refuse(f"{server.host_from}: {server.host} cannot be served ({reason}); {_CHOICE}.")
    first, last = server.ports[0], server.ports[-1]
    taken = f"port {first} is taken" if first == last else f"all ports from {first} to {last} are taken"
    refuse(f"{server.port_from}: {taken}; choose another.")


async def _listen(host: str, port: int) -> None:
    """Listen there for a moment, as Gradio's server does."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    server.close()
    await server.wait_closed()


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
            refuse("a public link cannot go through the proxy that is set: correct it, or do without --share.")


def _end(page: "gr.Blocks") -> None:
    """Cut the connections and wait for the step under way: torch aborts the process if it ends in the middle of one."""
    logging.disable()  # what the server says of cut connections
    page.server.config.timeout_graceful_shutdown = CLOSE_SECONDS
    page.close(verbose=False)
    page.server.thread.join(STEP_SECONDS)
    for thread in threading.enumerate():
        if thread.name == "AnyIO worker thread":  # where Gradio runs what it is asked for
            thread.join(STEP_SECONDS)
