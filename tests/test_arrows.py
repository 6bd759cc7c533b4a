"""The house: which module may import which. Arrows run downwards only, and never in a circle."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from diffusion import _MODULES as PUBLIC  # where the public names of the library come from

ROOT = Path(__file__).parent.parent

LAYERS = (  # from the top to the ground: a module imports from its own layer and from those below
    "app train benchmarks docs diffusion.command",
    "diffusion.__main__ ui.between",
    "ui.tabs",
    "ui diffusion.cli diffusion.hub",
    "diffusion.lab diffusion.training diffusion.evaluation",
    "diffusion.pipeline",
    "diffusion.result diffusion.checkpoint diffusion.download diffusion.precision diffusion.strings",
    "diffusion.denoiser diffusion.config diffusion.guidance diffusion.model diffusion.recipe diffusion.activity "
    "diffusion.networks.pretrained",
    "diffusion.samplers diffusion.networks",
    "diffusion.scheduler diffusion.data diffusion.files diffusion.prompts diffusion.vocabulary diffusion.settings "
    "diffusion.style diffusion.strokes",
    "diffusion.checks diffusion.noise diffusion.hardware diffusion.process diffusion.cores diffusion.team",
)
STRANGERS = (  # who does not know whom
    ("diffusion.lab", "diffusion.training diffusion.evaluation diffusion.networks"),
    ("diffusion.training", "diffusion.lab diffusion.evaluation"),
    ("diffusion.evaluation", "diffusion.lab diffusion.training"),
    ("diffusion.guidance", "diffusion.networks diffusion.denoiser"),
    ("diffusion.samplers", "diffusion.networks diffusion.model"),
    ("diffusion.networks", "diffusion.samplers"),
    ("diffusion.pipeline", "diffusion.networks"),
    ("diffusion", "gradio ui app train benchmarks tests argparse"),
    ("diffusion.files", "diffusion.recipe diffusion.result"),
    ("ui", "diffusion.training diffusion.cli"),
    ("app", "torchvision"),
    ("benchmarks", "tests"),
)
EXCEPT = {"diffusion.cli", "diffusion.__main__"}  # these may know argparse
OLD_NAMES = {"diffusion.compare", "diffusion.readback", "diffusion.reader"}  # a line each, for whoever knew them


def files() -> Iterator[tuple[str, Path]]:
    for top in ("app.py", "train.py", "diffusion", "ui", "benchmarks", "docs"):
        for path in [ROOT / top] if top.endswith(".py") else sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if path.name != "__init__.py" and name not in OLD_NAMES:
                yield name, path


MODULES = dict(files())


@cache
def imports(name: str) -> set[str]:
    """All that a module imports, wherever in it, by full names."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [alias.name for alias in node.names]
            public = {f"diffusion.{PUBLIC[name]}" for name in names if node.module == "diffusion" and name in PUBLIC}
            found |= ({f"{node.module}.{name}" for name in names} & MODULES.keys() | public) or {node.module}
    return found - {name}


def lies_in(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def layer(name: str) -> int:
    """The layer whose place fits a name best."""
    fits = [(len(place), k) for k, places in enumerate(LAYERS) for place in places.split() if lies_in(name, place)]
    assert fits, f"{name} has no place in LAYERS"
    return max(fits)[1]


def test_arrows_run_downwards():
    for name in MODULES:
        up = {other for other in imports(name) & MODULES.keys() if layer(other) < layer(name)}
        assert not up, f"{name} imports from above: {up}"


@pytest.mark.parametrize(("who", "whom"), STRANGERS)
def test_strangers_stay_strangers(who, whom):
    known = {
        (name, other)
        for name in MODULES
        for other in imports(name)
        for place in whom.split()
        if lies_in(name, who) and lies_in(other, place)
    }
    known = {pair for pair in known if pair[1] != "argparse" or not any(lies_in(pair[0], place) for place in EXCEPT)}
    assert not known


def test_no_tab_imports_another():
    tabs = {name for name in MODULES if lies_in(name, "ui.tabs")}
    assert not {(tab, other) for tab in tabs for other in imports(tab) & tabs}


def test_nothing_runs_in_a_circle():
    TopologicalSorter({name: imports(name) & MODULES.keys() for name in MODULES}).prepare()


QUOTES = r"(^|\s)--[a-z]|\b(app|train)\.py\b|\bpython -m\b|\btrain-reader\b"  # flags and programs of the command line


def test_the_library_prints_nothing_and_names_no_flags_or_programs():
    """That is for programs: the command line, and train.py. A model card tells with which command a run was trained."""
    for name in MODULES:
        if not lies_in(name, "diffusion") or any(lies_in(name, place) for place in (*EXCEPT, "diffusion.process")):
            continue
        tree = ast.parse(MODULES[name].read_text("utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Name) and node.id == "print"), f"{name} prints"
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                quoted = re.search(QUOTES, node.value)
                assert not quoted or name == "diffusion.hub.card", f"{name} names a flag or a program: {node.value!r}"
