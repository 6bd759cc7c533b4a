"""What the tests share: 300 real digits, a random network, and a denoiser that is right by construction."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers share the cores; processes that tests start inherit it

import numpy as np
import pytest
import torch
from sentences import is_one_sentence
from torch import Tensor, nn

from diffusion import BadInput, Pipeline, strokes
from diffusion.denoiser import Denoiser, DenoiserConfig
from diffusion.networks.unet import UNetConfig
from diffusion.samplers import Denoise
from diffusion.scheduler import Scheduler
from diffusion.style import Styles

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FIXTURES = Path(__file__).parent / "fixtures"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser, and what needs a page that is served, by the fixtures that it asks for."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "browser" in fixtures:
            item.add_marker("browser")
        elif "url" in fixtures:
            item.add_marker("process")


@pytest.fixture(autouse=True)
def same_start() -> Iterator[None]:
    """Every test has the same random numbers and the same number of threads, whichever tests ran before it."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """300 test digits of MNIST, 30 of each: uint8 (300, 28, 28) and int64 labels (300,)."""
    with np.load(FIXTURES / "digits.npz") as file:
        return torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])


@pytest.fixture
def mnist_folder(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> Path:
    """A folder as torchvision keeps MNIST, with those digits as the training and as the test set."""
    folder = tmp_path / "data"
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images, labels = (tensor.numpy().astype(np.uint8) for tensor in digits)
    for part in ("train", "t10k"):
        _write_idx(raw / f"{part}-images-idx3-ubyte", images)
        _write_idx(raw / f"{part}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def real(digits) -> dict[str, tuple[Tensor, Tensor]]:
    """Enough digits to evaluate 200: the fixture twice over to train with, once to test with."""
    images, labels = digits
    return {"train": (images.repeat(2, 1, 1), labels.repeat(2)), "test": (images, labels)}


def _write_idx(path: Path, array: np.ndarray) -> None:
    magic = 0x0800 + array.ndim  # 8 says uint8
    path.write_bytes(np.array([magic, *array.shape], ">i4").tobytes() + array.tobytes())


@pytest.fixture(scope="session")
def make_denoiser() -> Callable[..., Denoiser]:
    """Makes a very small random Denoiser: make_denoiser(schedule=..., prediction=..., bounded=...)."""

    def make(unet: UNetConfig | None = None, **settings: object) -> Denoiser:
        unet = unet or UNetConfig(channels=(8, 8), blocks=1, attention=(1,), embedding=16, stem=4)
        settings = {"prediction": "flow"} | settings  # so that its x0 depends on the noise without training
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return randomised(Denoiser(DenoiserConfig(unet, **settings))).eval().requires_grad_(False)

    return make


def randomised(network: nn.Module) -> nn.Module:
    """The network with its zero-initialised layers made random, so that its output depends on its inputs."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture(scope="session")
def styles(digits: tuple[Tensor, Tensor]) -> Styles:
    """How those digits are written."""
    images, labels = digits
    return Styles.of(strokes.measured(images), labels, 10)


@pytest.fixture
def tiny_denoiser(make_denoiser: Callable[..., Denoiser]) -> Denoiser:
    return make_denoiser()


@pytest.fixture(scope="session")
def closed_form() -> Callable[[Tensor, Scheduler], Denoise]:
    """Makes the optimal denoise function of a finite data set: the mean of x0 given x, by Bayes' rule, in float64."""

    def make(points: Tensor, scheduler: Scheduler) -> Denoise:
        points = points.double()  # (P, C, H, W)

        def denoise(x: Tensor, i: int) -> Tensor:
            level = scheduler.level(i)
            distance = (x[:, None] - level.alpha * points).square().flatten(2).sum(2)  # (B, P)
            weights = torch.softmax(-distance / (2 * level.sigma**2), dim=1)
            return torch.einsum("bp,pchw->bchw", weights, points)

        return denoise

    return make


@pytest.fixture(scope="session")
def refuses() -> Callable[..., AbstractContextManager[pytest.ExceptionInfo]]:
    """`with refuses("steps"):` expects BadInput, or another exception, in one sentence that holds that text."""

    @contextmanager
    def expecting(text: str = "", exception: type[BaseException] = BadInput) -> Iterator[pytest.ExceptionInfo]:
        with pytest.raises(exception) as caught:
            yield caught
        message = str(caught.value)
        assert is_one_sentence(message), message
        assert text in message

    return expecting


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One Chromium for all the tests of the page."""
    from browser import launch
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pipe() -> Pipeline:
    """The weights that ship, on the CPU."""
    return Pipeline.from_pretrained(device="cpu")


@pytest.fixture(scope="session")
def few_step() -> Pipeline:
    """The student that ships, on the CPU."""
    return Pipeline.from_pretrained("few-step", device="cpu")


@pytest.fixture(scope="session")
def url(pipe: Pipeline, few_step: Pipeline) -> Iterator[str]:
    """The address of one page for all the tests of it."""
    import app

    page = app.build(pipe, few_step)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    yield address
    page.close()


@pytest.fixture(scope="session")
def only_tab(browser: "Browser") -> "Page":
    """The tab that most tests share: in one that has shown the page before, it is there in half the time."""
    return browser.new_context().new_page()


@pytest.fixture
def blank(only_tab: "Page") -> Iterator["Page"]:
    """An empty tab with a large, light screen. Whatever a test left there, its visit and its runs end with it."""
    from visitor import DESKTOP

    only_tab.set_viewport_size(DESKTOP)
    only_tab.emulate_media(color_scheme="light")
    yield only_tab
    only_tab.unroute_all(behavior="ignoreErrors")
    only_tab.context.clear_permissions()
    origin = only_tab.evaluate("location.origin")
    only_tab.goto("about:blank")  # first, as a page that is still there may store something again
    if origin != "null":
        stored = {"origin": origin, "storageTypes": "local_storage"}
        only_tab.context.new_cdp_session(only_tab).send("Storage.clearDataForOrigin", stored)


@pytest.fixture
def page(blank: "Page", url: str) -> "Page":
    """A visitor with a large screen, who has just come."""
    from visitor import open_page

    open_page(blank, url)
    return blank
