"""The page: pick digits, watch them form out of noise, keep the grid and the GIF.

    python app.py          # then open http://127.0.0.1:7860
    python app.py --help   # its flags and variables

It runs unchanged as a Hugging Face Space.
"""

from diffusion import process

if __name__ == "__main__":
    process.begin()

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ui import serve
from ui.flags import ZERO_GPU, Server

if __name__ == "__main__":  # before the slow imports; and Gradio reads its variables while it is imported
    SERVER = Server.from_flags(sys.argv[1:])
    serve.prepare(SERVER)
else:
    SERVER = Server.from_flags()

if ZERO_GPU:
    import spaces  # before torch

import gradio as gr

from diffusion import BadInput, Pipeline, checkpoint
from diffusion.data import DATASETS, with_classes
from diffusion.hardware import use_allowed_cores
from ui import endpoint, lab_endpoints, zero_gpu
from ui.between import Between
from ui.tabs import learned
from ui.tabs.compare import Compare
from ui.tabs.dataset import DataSet
from ui.tabs.draw import Draw
from ui.tabs.lab import Lab
from ui.tabs.learn import Learn
from ui.theme import CSS, HEAD, SCRIPT, theme
from ui.work import Work, things_of

INTRO = """# Digit Diffusion
A small network, trained from scratch{data}, turns pure noise into the {things} you ask for."""

PRECISION = "fp32" if ZERO_GPU else "auto"  # that GPU is there only while a run lasts: nothing can be tried before

LAUNCH: dict[str, Any] = {
    "theme": theme(),
    "css": CSS,
    "head": HEAD,
    "js": SCRIPT,
    "footer_links": ["api", "settings"],
    "enable_monitoring": False,
    "max_file_size": "16mb",  # of a picture to open
    "state_session_capacity": 500,  # visitors whose runs are remembered
    "ssr_mode": False,
}


def build(
    pipe: Pipeline | None = None, few_step: Pipeline | None = None, others: Mapping[str, Pipeline] | None = None
) -> gr.Blocks:
    """The page, ready to launch. It draws with these, or with the weights that ship.

    There is one for each data set: that of the first weights, and the others under the names of what they show.

    Args:
        others: by the name of their weights.
    """
    if pipe is None:
        names = dict.fromkeys(["bundled", "few-step", *checkpoint.shipped()])
        names.pop(checkpoint.ONE_GUESS, None)  # the Lab alone has a use for it
        pipes = {name: Pipeline.from_pretrained(name, precision=PRECISION) for name in names}
    else:
        pipes = {"bundled": pipe} | ({"few-step": few_step} if few_step else {}) | dict(others or {})
    work = Work(pipes, zero_gpu.lent(spaces.GPU(duration=60))) if ZERO_GPU else Work(pipes)
    parts = work.parts
    page = endpoint.Page(work, title="Digit Diffusion", delete_cache=(600, 3600))
    for k, part in enumerate(parts):
        with page.route(part.things.capitalize(), part.things, show_in_navbar=False) if k else page:
            _add_tabs(page, part, [each.things for each in parts])
            if k == 0:
                endpoint.add(work)
                lab_endpoints.add(work)
    return page


def _add_tabs(page: gr.Blocks, work: Work, every: Sequence[str]) -> None:
    """What there is for the weights of one data set, and the way to the others."""
    dataset = with_classes(work.names)
    about = INTRO.format(data=f" on {DATASETS[dataset].title}" if dataset else "", things=work.things)
    with gr.Row(elem_id="head"):
        gr.Markdown(about, elem_id="intro")
        if len(every) > 1:
            gr.HTML(switch(every, work.things), elem_id="datasets", apply_default_css=False)
            page.load(None, js=go_where(work, every), api_visibility="private")
    with gr.Tabs() as tabs:
        with gr.Tab("Draw", id="draw"):
            draw = Draw(work)
        with gr.Tab("Learn", id="learn"):
            learn = Learn(work)
        with gr.Tab("Lab", id="lab") as tab:
            lab = Lab(work, tab)
        with gr.Tab("Compare", id="compare"):
            Compare(work, draw.settings)
        with gr.Tab("Data set", id="dataset"):
            DataSet(work, draw.settings)
        with gr.Tab("How it learned", id="learned"):
            learned.tab(work.pipes[work.usual], work.things)
    draw.opened(page)
    Between(page, tabs, draw, lab, learn)


def go_where(work: Work, every: Sequence[str]) -> str:
    """JavaScript that takes a link with the weights of another data set to the page of that."""
    others = {name: things_of(pipe.names) for name, pipe in work.whole.pipes.items() if name not in work.pipes}
    paths = {name: "./" + (things if every.index(things) else "") for name, things in others.items()}
    return f"""() => {{
      const path = ({json.dumps(paths)})[new URLSearchParams(location.search).get("weights")];
      if (path) location.replace(path + location.search);
    }}"""


def switch(every: Sequence[str], here: str) -> str:
    """Links between the pages of the data sets, of which the first is at the address itself."""
    links = ""
    for k, things in enumerate(every):
        current = ' aria-current="page"' if things == here else ""
        links += f'<a href="./{things if k else ""}"{current}>{things.capitalize()}</a>'
    return f'<nav aria-label="What is drawn">{links}</nav>'


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
