"""A Chromium for the page's tests: the one on this machine, else Playwright's own, else the system's package.

python tests/browser.py     # installs one where there is none, and fails where it cannot
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

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


def launch(playwright: Playwright) -> Browser:
    """A headless browser: the first that starts."""
    own = playwright.chromium.executable_path
    for path in filter(None, [own if Path(own).exists() else None, *map(shutil.which, NAMES)]):
        try:
            return playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error:  # there, but without the libraries that it needs
            continue
    sys.exit("There is no Chromium that starts here: run python tests/browser.py once, or install one.")


def install() -> None:
    """Try Playwright's download, then the package manager."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    packages = ["--with-deps"] if not sudo or shutil.which("sudo") else []
    if subprocess.run([sys.executable, "-m", "playwright", "install", *packages, "chromium"]).returncode == 0:
        return
    if shutil.which("apt-get"):
        subprocess.run([*sudo, "apt-get", "update", "-qq"])
        subprocess.run([*sudo, "apt-get", "install", "-y", "-qq", "chromium"])


def main() -> None:
    with sync_playwright() as playwright:
        try:
            launch(playwright).close()
        except SystemExit:
            install()
            launch(playwright).close()


if __name__ == "__main__":
    main()
