"""What the tests of the Hub share: a local server, and the real client, turned to it."""

from pathlib import Path

import pytest
from hub_server import WRITER, Hub, running, turn_to
from huggingface_hub import constants
from huggingface_hub.utils import close_session


@pytest.fixture
def hub():
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def client(hub: Hub, tmp_path: Path, monkeypatch):
    """The real client in this process, turned to the local server, with a token that may write."""
    monkeypatch.chdir(tmp_path)
    turn_to(hub.address, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits before it tries again
    monkeypatch.setenv("HF_TOKEN", WRITER)
    yield
    close_session()
