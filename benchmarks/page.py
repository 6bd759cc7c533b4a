"""How long does one wait for the page, and for how much of that is it to blame?

It times the way from the start to a first answer, and from a click to digits and GIF. Beside the first stands how long
the imports alone take, beside the others what the library takes for the same run in one process.

    python -m benchmarks.page              # needs requirements-dev.txt and a Chromium: python tests/browser.py

It starts app.py as anyone does, opens the page in a real browser, and clicks Generate with what is set there; then it
tries the example of each activity in the tab Lab.
"""

from diffusion import cores

if __name__ == "__main__":
    cores.share()  # as app.py does

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from playwright.sync_api import Page, sync_playwright

from benchmarks.stopwatch import seconds, table
from diffusion import Pipeline
from diffusion.files import render
from diffusion.hardware import use_allowed_cores

ROOT = Path(__file__).parent.parent
PATIENCE = 120.0  # seconds, for the page and for a run
IMPORTED = 3  # times, of which the median counts
SETTLED = 1000  # milliseconds that a page just opened, or another choice of weights, is left alone

IMPORTS = "import torch, gradio"
WEIGHTS = {"Quality": "bundled", "Instant": "few-step"}

# Clicks Generate; the milliseconds until the first new frame is in the player, until the button is free again, and
# until the GIF of this run is seen.
CLICK = """() => new Promise((done) => {
  const button = document.querySelector("#generate"), output = document.querySelector("#player output");
  const film = () => document.querySelector("#player .film:not([hidden])");
  const before = output.textContent, clicked = performance.now();
  let ran = false, first = null, grid = null, gone = false;
  const look = () => {
    const now = performance.now() - clicked;
    ran ||= button.disabled;
    if (ran && first === null && output.textContent !== before) first = now;
    if (ran && grid === null && !button.disabled) grid = now;
    gone ||= !film();  // the one before
    if (grid !== null && gone && film()) done([first ?? grid, grid, now]);
    else requestAnimationFrame(look);
  };
  button.click();
  look();
})"""

# Clicks a button of the tab Lab; the milliseconds until the run that it starts is done, or, where noise is only added,
# until the noise of another picture is there.
TRY = """(draws) => new Promise((done) => {
  const start = document.querySelector("#lab-start"), drawn = () => document.querySelector("#noised img")?.src;
  const before = drawn(), clicked = performance.now();
  let ran = false;
  const look = () => {
    ran ||= draws ? start.disabled : drawn() !== before;
    if (ran && !(draws && start.disabled)) done(performance.now() - clicked);
    else requestAnimationFrame(look);
  };
  document.querySelector(draws ? "#lab-example" : "#real").click();
  look();
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", default=5, type=int, help="default: 5, of which the median counts")
    flags = parser.parse_args()
    use_allowed_cores()
    imported = [imports() for _ in range(IMPORTED)]
    rows = [[IMPORTS + " alone", median(imported)]]
    with started() as (address, ready, _), sync_playwright() as playwright:
        rows.append(["process start to page ready", ready])
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        opened = perf_counter()
        page.goto(address)
        page.wait_for_selector("#generate")
        rows.append(["opening the page", perf_counter() - opened])
        page.wait_for_timeout(SETTLED)
        for weights, name in WEIGHTS.items():
            page.get_by_label(weights).check()
            page.wait_for_timeout(3 * SETTLED)  # while it draws what was chosen
            pipe = Pipeline.from_pretrained(name, precision="auto")  # as the page does
            drawn(pipe)  # the first run warms up
            turns = [{"the library, the same run": drawn(pipe)} | clicked(page) for _ in range(flags.clicks)]
            rows += [[f"{weights}: {what}", median(turn[what] for turn in turns)] for what in turns[0]]
        page.get_by_label("Quality").check()
        page.get_by_role("tab", name="Lab").click()
        for activity in page.locator("#activity label").all_inner_texts():
            times = [tried(page, activity.strip()) for _ in range(flags.clicks)]
            rows.append([f"the Lab's example of {activity.strip()}", median(times)])
        browser.close()
    rows.append(["encoding the GIF alone, ten digits", gif_seconds()])
    print(table(["what", "seconds"], [[what, f"{time:.2f}"] for what, time in rows]))


def chromium() -> str | None:
    """The system's Chromium, or None for Playwright's own."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def started() -> Iterator[tuple[str, float, int]]:
    """app.py in a process of its own: its address, the seconds until it answered, and the number of the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    begun = perf_counter()
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        while not answers(address):
            if server.poll() is not None or perf_counter() - begun > PATIENCE:
                sys.exit("page.py: app.py does not start: run it by hand to see why.")
            sleep(0.02)
        yield address, perf_counter() - begun, server.pid
    finally:
        server.terminate()
        server.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}config", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def imports() -> float:
    """The seconds that a process takes for the imports alone."""
    begun = perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, cwd=ROOT)
    return perf_counter() - begun


def drawn(pipe: Pipeline) -> float:
    """The seconds that the library takes for ten digits, as the page draws them at first."""
    begun = perf_counter()
    pipe(range(10))
    return perf_counter() - begun


def clicked(page: Page) -> dict[str, float]:
    """Press Generate; returns the seconds until each thing was there."""
    first, grid, gif = (milliseconds / 1000 for milliseconds in page.evaluate(CLICK))
    return {"click to first frame": first, "click to final grid": grid, "click to GIF": gif}


def tried(page: Page, activity: str) -> float:
    """Try the example of an activity, or, of the forward process, another digit; returns the seconds that it took."""
    page.locator("#activity").get_by_label(activity, exact=True).check()
    page.wait_for_timeout(SETTLED)
    return float(page.evaluate(TRY, page.locator("#lab-start").is_visible())) / 1000


def gif_seconds() -> float:
    result = Pipeline.from_pretrained()(range(10))
    columns = render.columns_for(result.labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.gif"
        work = {"gif": lambda: render.save_gif(path, render.animation([result.frames], columns))}
        return seconds(work, 5)["gif"]


if __name__ == "__main__":
    main()
