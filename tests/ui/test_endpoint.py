"""The page's endpoint, through gradio_client and as raw requests."""

import asyncio
import base64
import json
import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from inspect import getdoc, signature
from pathlib import Path
from unittest.mock import AsyncMock

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

import app
from diffusion import Pipeline, Recipe
from diffusion.files import render
from diffusion.recipe import SETTINGS
from diffusion.settings import Choice
from ui import endpoint, request
from ui.experiments import EXPERIMENTS
from ui.work import Work

PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"
STYLE = ("thickness", "slant", "width", "hand")


@pytest.fixture(scope="module")
def client(url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def test_the_endpoint_returns_both_files_and_the_seed(client: Client, pipe: Pipeline) -> None:
    png, gif, seed = client.predict(digits="7", count=4, steps=2, seed=42, api_name="/generate")
    assert (Path(png).name, Path(gif).name, seed) == ("digits-7777-seed42.png", "digits-7777-seed42.gif", 42)
    expected = render.picture(pipe([7] * 4, steps=2, seed=42).images, 4)
    np.testing.assert_allclose(np.asarray(Image.open(png)), expected, atol=2)


@pytest.mark.parametrize(("digits", "name"), [("a 4 and two 3s", "digits-433"), ([7, 3], "digits-73")])
def test_the_endpoint_takes_words_and_lists(client: Client, digits, name: str) -> None:
    png, _, _ = client.predict(digits=digits, steps=1, seed=5, api_name="/generate")
    assert Path(png).name == f"{name}-seed5.png"


def test_the_public_endpoints_are_that_and_those_of_the_lab(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/generate", *(f"/{name}" for name in EXPERIMENTS)]
    described = {value["parameter_name"]: value["type"]["type"] for value in endpoints["/generate"]["parameters"]}
    assert described["digits"] == "string"


def test_its_written_signature_follows_the_declared_settings(pipe: Pipeline) -> None:
    parameters = signature(endpoint.generate_with(Work({"bundled": pipe}))).parameters
    declared = {"guide_from", "guide_to", *SETTINGS} - {"guidance_interval"}
    assert set(parameters) == {"digits", "count", *declared, "weights"}
    assert [*parameters][:6] == ["digits", "count", "guidance", "steps", "sampler", "seed"], (
        "others call it by position"
    )
    assert [*parameters][6:] == ["guide_from", "guide_to", "spacing", "eta", "weights", *STYLE]
    assert all(parameter.default is None for parameter in parameters.values())


def test_its_written_ranges_are_those_of_the_settings_and_of_the_weights(pipe: Pipeline, few_step: Pipeline) -> None:
    lines = (getdoc(endpoint.generate_with(Work({"bundled": pipe}))) or "").splitlines()
    about = dict(line.strip().split(": ", 1) for line in lines if line.startswith("    "))
    for name, setting in SETTINGS.items():
        if name in STYLE:  # which of them some weights know is said once
            assert f" {setting.values}" in about[name]
            continue
        narrow = few_step.offer.settings[name]
        if name == "guidance_interval":
            [ends] = narrow.values.choices
            for end, taken in zip(("guide_from", "guide_to"), ends, strict=True):
                assert re.search(rf"\b{setting.values.low}\b.* to {setting.values.high}\b", about[end])
                assert about[end].endswith(f"; few-step weights take {taken}.")
            continue
        if not isinstance(setting.values, Choice):  # those are in the description of the endpoint
            assert str(setting.values) in about[name].split("; few-step")[0]
        assert narrow == setting or about[name].endswith(f"; few-step weights take {narrow.values}.")
    assert about["count"].endswith(f" 1 to {request.MAX_COUNT}.")
    assert f"; {request.MAX_DIGITS} at most." in about["digits"]


@pytest.mark.parametrize("given", [{"digits": "7", "weights": "few-step"}, {"digits": "7"}, {}], ids=str)
def test_what_is_not_said_is_left_to_the_weights(client: Client, pipe: Pipeline, few_step: Pipeline, given) -> None:
    png, _, seed = client.predict(**given, api_name="/generate")
    recipe = Recipe.from_file(png)
    drawing = few_step if "weights" in given else pipe
    digits = [7] if "digits" in given else range(10)
    assert recipe == replace(drawing.recipe(digits, seed=seed), weights=drawing.weights)
    assert client.predict(**dict.fromkeys(("count", "steps", "eta")), **given, api_name="/generate")[2] == seed


@pytest.mark.parametrize(("guide_from", "guide_to"), [(0, None), (None, 999)])
def test_one_end_of_where_to_guide_may_be_said(client: Client, guide_from, guide_to) -> None:
    png, *_ = client.predict(digits="7", steps=1, guide_from=guide_from, guide_to=guide_to, api_name="/generate")
    assert Recipe.from_file(png).guidance_interval == (400 if guide_from is None else 0, guide_to or 700)


@pytest.mark.parametrize("bad", [{"digits": "<b>7</b>"}, {"guide_from": 500, "guide_to": 200}], ids=json.dumps)
def test_the_endpoint_refuses_bad_input_in_one_sentence(client: Client, bad: dict) -> None:
    with pytest.raises(AppError) as refusal:
        client.predict(**{"digits": "7", "steps": 1} | bad, api_name="/generate")
    sentence = str(refusal.value)
    assert sentence.endswith((".", "once"))
    assert "Traceback" not in sentence
    assert "&" not in sentence
    assert len(sentence) < 200


def test_what_was_typed_comes_back_to_programs_as_it_was_typed(client: Client) -> None:
    with pytest.raises(AppError) as refusal:
        client.predict(digits="<7> & x", api_name="/generate")
    assert refusal.value.message.startswith("Cannot read '<7>' as digits: ")
    assert not refusal.value.visible  # a browser would show it as HTML


def call(url: str, guidance: str = "1", steps: str = "1") -> str:
    """Put a run of the endpoint in the queue, with raw JSON values; returns its address."""
    body = f'{{"data": ["1", 1, {guidance}, {steps}, "ddim", 0, 0, 999, "trailing", 0, "bundled"]}}'.encode()
    address = f"{url}gradio_api/call/generate"
    with urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": "application/json"})) as answer:
        return f"{address}/{json.load(answer)['event_id']}"


def test_where_to_guide_is_the_callers_choice(client: Client) -> None:
    drawn = []
    for interval in ({}, {"guide_from": 0, "guide_to": 999}, {"guide_from": 400, "guide_to": 700}):
        png, *_ = client.predict(digits="7", steps=4, seed=3, guidance=5, **interval, api_name="/generate")
        drawn.append(np.asarray(Image.open(png)))
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])


@pytest.mark.parametrize("guidance", ["NaN", "1e999"])
def test_numbers_that_are_none_are_refused(url: str, guidance: str) -> None:
    with urllib.request.urlopen(call(url, guidance)) as answer:
        text = answer.read().decode()
    assert "guidance must be a number from 0 to 20, not " in text
    assert "Traceback" not in text


@pytest.mark.process
def test_a_full_queue_is_told(tiny_denoiser) -> None:
    page = app.build(Pipeline(tiny_denoiser)).queue(max_size=2)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
    long = call(url, steps="500")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        _ = [call(url) for _ in range(30)]
    assert "Queue is full" in refusal.value.read().decode()
    refusal.value.close()
    with urllib.request.urlopen(long) as answer:  # and the runs in the queue are not hurt
        assert "event: complete" in answer.read().decode()
    page.close()


def seen(content: list, folder: Path) -> list:
    """What a language model is answered: of each picture its format, frames and recipe; and texts but for addresses."""
    found = [each.text for each in content if each.type == "text" and "URL" not in each.text]
    for each in reversed([each for each in content if each.type == "image"]):
        path = folder / "picture"
        path.write_bytes(base64.b64decode(each.data))
        with Image.open(path) as image:
            found.insert(0, (image.format, image.n_frames, Recipe.from_file(path)))
    return found


@pytest.mark.process
def test_a_language_model_sees_what_it_draws(tiny_denoiser, tmp_path: Path) -> None:
    page = app.build(Pipeline(tiny_denoiser))
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, mcp_server=True, **app.LAUNCH)

    async def use() -> None:
        async with (
            streamable_http_client(f"{address}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            assert [tool.name for tool in tools] == ["generate", *EXPERIMENTS]
            for tool in tools:
                assert tool.description
                assert all(each["description"] for each in tool.inputSchema["properties"].values())
            drawn = await session.call_tool("generate", {"digits": "two 3s", "steps": 2, "seed": 5})
            (*png, recipe), (*gif, _), seed = seen(drawn.content, tmp_path)
            assert (png, gif, recipe.digits, seed) == (["PNG", 1], ["GIF", 3], (3, 3), "5")
            photo = "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode()
            noised = await session.call_tool(
                "forward", {"image": photo, "levels": "500"}, progress_callback=AsyncMock()
            )  # which Gradio answers in another way
            (*png, recipe), (*gif, _), *texts = seen(noised.content, tmp_path)
            assert (png, gif[0], recipe.activity.levels, texts) == (["PNG", 1], "GIF", (500,), ["0", "[]"])
            refused = await session.call_tool("generate", {"digits": "sevn"})
            assert refused.isError
            assert refused.content[0].text == "Cannot read 'sevn': write 'seven' if you mean that."

    try:
        with ThreadPoolExecutor() as beside:  # this thread may have an event loop, the browser's
            beside.submit(lambda: asyncio.run(use())).result()
    finally:
        page.close()
