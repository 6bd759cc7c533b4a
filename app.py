"""The page: pick digits, watch them form out of noise, keep the grid and the GIF.

    python app.py          # then open http://127.0.0.1:7860
    python app.py --help   # its flags and variables

It runs unchanged as a Hugging Face Space.
"""

from diffusion import process

if __name__ == "__main__":
    process.begin()

import sys
from collections.abc import Callable
from typing import Any

from ui import serve
from ui.flags import Server

if __name__ == "__main__":  # before the slow imports; and Gradio reads its variables while it is imported
    SERVER = Server.from_flags(sys.argv[1:])
    serve.prepare(SERVER)
else:
    SERVER = Server.from_flags()

try:
    import spaces  # on a Space with ZeroGPU, and it must come before torch

    gpu: Callable[..., Any] = spaces.GPU(duration=60)
    PRECISION = "fp32"  # the GPU is there only while a run lasts, so that nothing can be tried before
except ImportError:
    PRECISION = "auto"

    def gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """Anywhere else: the function as it is."""
        return function


import gradio as gr

from diffusion import BadInput, Pipeline
from diffusion.hardware import use_allowed_cores
from ui import endpoint, lab_endpoints
from ui.between import Between
from ui.tabs import learned
from ui.tabs.compare import Compare
from ui.tabs.dataset import DataSet
from ui.tabs.draw import Draw
from ui.tabs.lab import Lab
from ui.theme import CSS, SCRIPT, theme
from ui.work import Work

INTRO = """# Digit Diffusion
A small network, trained from scratch on MNIST, turns pure noise into the digits you ask for."""

LAUNCH: dict[str, Any] = {
    "theme": theme(),
    "css": CSS,
    "js": SCRIPT,
    "footer_links": ["api", "settings"],
    "enable_monitoring": False,
    "max_file_size": "16mb",  # of a picture to open
    "state_session_capacity": 500,  # visitors whose runs are remembered
    "ssr_mode": False,
}


def build(pipe: Pipeline | None = None, few_step: Pipeline | None = None) -> gr.Blocks:
    """The page, ready to launch. It draws with these, or with the weights that ship."""
    if pipe is None:
        pipe, few_step = (Pipeline.from_pretrained(name, precision=PRECISION) for name in ("bundled", "few-step"))
    work = Work({"bundled": pipe} | ({"few-step": few_step} if few_step else {}), gpu)
    with endpoint.Page(title="Digit Diffusion", delete_cache=(600, 3600)) as page:
        gr.Markdown(INTRO, elem_id="intro")
        with gr.Tabs() as tabs:
            with gr.Tab("Draw", id="draw"):
                draw = Draw(work)
            with gr.Tab("Lab", id="lab") as tab:
                lab = Lab(work, tab)
            with gr.Tab("Compare"):
                Compare(work, draw.settings)
            with gr.Tab("Data set"):
                DataSet(work, draw.settings)
            with gr.Tab("How it learned"):
                learned.tab(pipe)
        draw.opened(page)
        Between(page, tabs, draw, lab)
        endpoint.add(work)
        lab_endpoints.add(work)
    return page.queue(max_size=16)


def main() -> None:
    use_allowed_cores()
    try:
        page = build()
    except BadInput as error:
        sys.exit(f"app.py: {error}")
    process.prepare()
    serve.launch(page, SERVER, **LAUNCH)


if __name__ == "__main__":
    main()
