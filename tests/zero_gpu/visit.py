"""The page as a Space with ZeroGPU starts it, and a visitor: test_space.py runs this in a process of its own."""

import app  # which imports spaces, before torch

# isort: split

import multiprocessing
import os
import socket
import time
import urllib.request
from pathlib import Path

import gradio as gr
import pytest
import spaces
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from torch import nn

from diffusion.denoiser import Denoiser
from diffusion.recipe import Recipe
from ui import zero_gpu
from ui.work import Work

WRAPPED = ["steps_of", "noised_of", "denoised_of", "forward_picture_of", "tries_of", "cells_of"]
PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"


def needs_a_gpu(module: nn.Module, _: object) -> None:
    if isinstance(module, Denoiser):
        assert spaces.inside, "a network runs where there is no GPU"


def connect_here(self: socket.socket, address: object) -> None:
    assert isinstance(address, str) or address[0] in ("127.0.0.1", "::1", "localhost"), address
    return connect(self, address)


connect, socket.socket.connect = socket.socket.connect, connect_here
nn.modules.module.register_module_forward_pre_hook(needs_a_gpu)

started = time.process_time()
pipe = app.Pipeline.from_pretrained()
assert time.process_time() - started < 1, "the weights load at once"
torch.set_num_threads(2)  # so that OpenMP has threads which a fork leaves behind, once the reader has read here
page = app.build()
assert spaces.wrapped == WRAPPED, spaces.wrapped
_, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
assert url == f"http://127.0.0.1:{os.environ['GRADIO_SERVER_PORT']}/", url
assert urllib.request.urlopen(url + "config").status == 200

client, photo = Client(url, verbose=False), handle_file(PHOTO)
for name, given in {
    "generate": {"steps": 2},
    "forward": {"image": photo},
    "denoise": {"image": photo, "levels": "500", "stride": 400},
    "hybrid": {"digits": "3,8", "steps": 2, "until_right": True},
}.items():
    assert Recipe.from_file(client.predict(**given, api_name=f"/{name}")[0]), name

work = Work({"bundled": pipe}, zero_gpu.lent(spaces.GPU(duration=60)))
recipe = pipe.recipe([7], steps=5)
with pytest.raises(gr.Error, match="Both axes are"):
    next(work.sheet(recipe, ("seed", [1]), ("seed", [2])))
run = work.run(recipe)
next(run)
run.close()  # a visitor who leaves
assert not multiprocessing.active_children()

spaces.quota = 0
with pytest.raises(AppError, match="exceeded your ZeroGPU quota"):
    client.predict(api_name="/generate")
page.close()
