"""What the tests of the command line share."""

from pathlib import Path

import pytest

from diffusion import Pipeline


@pytest.fixture(scope="session")
def weights(make_denoiser, tmp_path_factory) -> str:
    """A folder with the weights of a small random network."""
    folder: Path = tmp_path_factory.mktemp("weights")
    Pipeline(make_denoiser()).save_pretrained(folder)
    return str(folder)
