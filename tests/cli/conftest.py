"""What the tests of the command line share."""

from pathlib import Path

import pytest

from diffusion import Pipeline


@pytest.fixture
def weights(tiny_denoiser, tmp_path: Path) -> str:
    """A folder with the weights of a small random network."""
    Pipeline(tiny_denoiser).save_pretrained(tmp_path / "weights")
    return str(tmp_path / "weights")
