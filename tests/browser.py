"""A Chromium for the page's tests: the one on this machine, else Playwright's own, else the system's package.

python tests/browser.py     # installs one where there is none, and prints its path
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # for root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # a test browser calls nobody
    "--disable-component-update",
    "--disable-sync",
]


def find(playwright: Playwright) -> str | None:
    """The path of a Chromium or Chrome, or None."""
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else next(filter(None, map(shutil.which, NAMES)), None)


def launch(playwright: Playwright) -> Browser:
    """A headless browser."""
    path = find(playwright)
    assert path, "There is no Chromium here: run python tests/browser.py once."
    return playwright.chromium.launch(executable_path=path, args=FLAGS)


def install() -> None:
    """Try Playwright's download, then the package manager."""
    if subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"]).returncode == 0:
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]):
        if shutil.which("apt-get"):
            subprocess.run([*root, *command], check=False, stdout=subprocess.DEVNULL)


def main() -> None:
    with sync_playwright() as playwright:
        if not find(playwright):
            install()
        print(find(playwright) or sys.exit("No browser could be installed: install Chromium, and try again."))


if __name__ == "__main__":
    main()
