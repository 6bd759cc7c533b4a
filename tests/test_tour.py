"""The notebook docs/tour.ipynb: it runs from top to bottom, and is kept with its outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

TOUR = Path(__file__).parent.parent / "docs" / "tour.ipynb"


def pictures(notebook: NotebookNode) -> list[int]:
    """How many pictures each of its cells shows."""
    return [sum("image/png" in output.get("data", {}) for output in cell.get("outputs", [])) for cell in notebook.cells]


@pytest.mark.process
@pytest.mark.training
def test_the_tour_can_be_taken(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUR_STEPS", "3")
    monkeypatch.setenv("TOUR_DATA", str(mnist_folder))
    kept = nbformat.read(TOUR, as_version=4)
    taken = NotebookClient(
        nbformat.read(TOUR, as_version=4), timeout=300, resources={"metadata": {"path": TOUR.parent}}
    ).execute()
    assert pictures(taken) == pictures(kept)
    assert sum(pictures(kept)) > 8


def test_the_tour_is_a_notebook_small_and_says_nothing_of_the_machine_it_was_taken_on() -> None:
    nbformat.validate(nbformat.read(TOUR, as_version=4))
    assert TOUR.stat().st_size < 2_000_000
    text = TOUR.read_text("utf-8")
    assert '"output_type": "error"' not in text
    assert "/root" not in text
    assert "/home" not in text
