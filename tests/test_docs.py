"""The documentation: every link leads somewhere, and its pictures can be drawn again."""

import re
from pathlib import Path

import numpy as np
import pytest

from docs import pictures

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]


def anchors(page: Path) -> set[str]:
    """What a link to one of the page's headings ends in."""
    text = re.sub("^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall("^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_documentation_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        file, _, heading = link.partition("#")
        if file.startswith(("http://", "https://")):
            continue
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not heading or heading in anchors(target), link


@pytest.mark.parametrize("place", ["diffusion", "ui"])
def test_the_list_of_files_is_complete(place: str) -> None:
    table = (ROOT / "docs/how-it-works.md").read_text("utf-8").split(f"| file in `{place}/` |")[1].split("\n\n")[0]
    listed, whole = set(), set()  # files, and folders that are listed as one
    for row in table.splitlines()[2:]:
        folder = ""  # that of the row's first file is that of the others
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", row.split("|")[1]):
            if name.endswith("/"):
                whole.add(name)
                continue
            folder = name.rpartition("/")[0] or folder
            listed.add(f"{folder}/{name.rpartition('/')[2]}".lstrip("/"))
    names = {file.relative_to(ROOT / place).as_posix() for file in (ROOT / place).rglob("[!_]*.py")}
    assert listed == {name for name in names if not name.startswith(tuple(whole) or "/")}


def test_the_sketch_shows_every_layer_of_the_network(tiny_denoiser) -> None:
    drawn = pictures.sketch(tiny_denoiser)
    for color in pictures.COLORS.values():
        assert (drawn == [int(color[k : k + 2], 16) for k in (1, 3, 5)]).all(axis=2).any()


def test_the_schedules_are_plotted() -> None:
    assert pictures.schedules().dtype == np.uint8
