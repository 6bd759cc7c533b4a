"""Drawing quickly: variants draw the same, and the quickest that does is chosen, by size."""

import copy
import time
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diffusion import Pipeline
from diffusion import precision as inference
from diffusion.denoiser import FewStep
from diffusion.networks.unet import SelfAttention, UNet, UNetConfig
from diffusion.precision import LAYOUTS, TOLERANCE, BySize, prepared, quickest, variant


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return Pipeline.from_pretrained(device="cpu")


def drawn(pipe: Pipeline, count: int = 3, steps: int = 10) -> torch.Tensor:
    *_, step = pipe.stream([k % 10 for k in range(count)], steps=steps, seed=3)
    return step.x


class TestVariants:
    def test_the_layout_moves_results_by_rounding_only(self, pipe):
        fast = variant(pipe.model, "fp32", "channels_last")
        x, labels = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 7, 10])
        with torch.inference_mode():
            for i in (999, 500, 20):
                torch.testing.assert_close(fast(x, i, labels), pipe.model(x, i, labels), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_bf16_draws_what_fp32_draws(self, pipe, layout):
        fast = Pipeline(pipe.model, drawing=variant(pipe.model, "bf16", layout))
        grey_levels = 127.5 * (drawn(fast) - drawn(pipe))
        assert 0 < grey_levels.square().mean().sqrt() < 2
        assert (grey_levels.abs() > 16).float().mean() < 0.002

    def test_bf16_keeps_the_embeddings_exact(self, pipe):
        unet = variant(pipe.model, "bf16", "contiguous").unet
        assert {layer.weight.dtype for layer in unet.modules() if isinstance(layer, nn.Conv2d)} == {torch.bfloat16}
        levels = torch.arange(1000)
        assert torch.equal(unet.time_embedding(levels), pipe.model.unet.time_embedding(levels))

    @pytest.mark.parametrize(("precision", "layout"), list(product(("fp32", "bf16"), LAYOUTS)))
    def test_the_original_stays_as_it_is(self, tiny_denoiser, precision, layout):
        before = copy.deepcopy(tiny_denoiser.state_dict())
        variant(tiny_denoiser, precision, layout)
        for name, tensor in tiny_denoiser.state_dict().items():
            assert tensor.is_contiguous(), name
            assert tensor.dtype == before[name].dtype, name
            assert torch.equal(tensor, before[name]), name


class TestTheNetworkItself:
    """What unet.py does for speed changes no result."""

    def test_attention_is_the_plain_formula_in_every_layout(self):
        layer = SelfAttention(64)
        nn.init.normal_(layer.out.weight, std=0.1)
        x = torch.randn(2, 64, 5, 5, generator=torch.Generator().manual_seed(0))
        q, k, v = layer.qkv(layer.norm(x)).view(2, 3, layer.heads, 32, 25).unbind(1)
        weights = torch.softmax(q.transpose(-1, -2) @ k / 32**0.5, dim=-1)
        wanted = x + layer.out((v @ weights.transpose(-1, -2)).reshape(x.shape))
        for layout, training in product(LAYOUTS.values(), (False, True)):
            with torch.set_grad_enabled(training):
                torch.testing.assert_close(layer(x.contiguous(memory_format=layout)), wanted, rtol=0, atol=1e-5)

    def test_gradients_do_not_notice_what_happens_in_place(self):
        unet = UNet(UNetConfig(channels=(8, 16), blocks=1, attention=(1,), embedding=16, stem=2)).double()
        for parameter in unet.parameters():
            nn.init.normal_(parameter, std=0.2)
        inputs = torch.randn(2, 1, 8, 8).double(), torch.tensor([3, 700]), torch.tensor([1, 10])

        def loss() -> torch.Tensor:
            return unet(*inputs).square().mean()

        for name, parameter in unet.named_parameters():
            (gradient,) = torch.autograd.grad(loss(), parameter)
            along = torch.randn_like(parameter)
            with torch.no_grad():
                ends = []
                for step in (1e-5, -1e-5):
                    parameter += step * along
                    ends.append(loss().item())
                    parameter -= step * along
            assert (gradient * along).sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-9), (
                name
            )


class Fake:
    """A denoiser for trials: so many seconds a step, so large an error."""

    def __init__(self, name: str, seconds: float, error: float):
        self.name, self.seconds, self.error = name, seconds, error


class Clock:
    """A stopwatch that only trials move."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def draw(self, denoiser: Fake, count: int):
        for step in range(3):
            self.now += 5 if step == 0 else denoiser.seconds * step  # the first step warms up
            yield torch.full((count, 1, 2, 2), 0.5 + denoiser.error)


@pytest.mark.parametrize(
    ("rivals", "wanted"),
    [
        ([], "plain"),
        ([("slower", 1.5, 0.0)], "plain"),
        ([("quicker", 0.5, 0.0)], "quicker"),
        ([("quicker", 0.5, 0.0), ("quickest", 0.3, TOLERANCE * 0.9)], "quickest"),
        ([("quickest", 0.3, TOLERANCE * 1.1), ("quicker", 0.5, 0.0)], "quicker"),
        ([("broken", 0.1, float("nan"))], "plain"),
    ],
    ids=str,
)
def test_the_quickest_that_draws_the_same_is_chosen(monkeypatch, rivals, wanted):
    fakes = [Fake("plain", 1.0, 0.0), *(Fake(*rival) for rival in rivals)]
    assert quickest(fakes, 4, Clock(monkeypatch).draw).name == wanted


def test_a_trial_that_takes_too_long_is_cut_short(monkeypatch):
    fakes = [Fake("plain", 1.0, 0.0), Fake("quicker", 0.5, 0.0), Fake("quickest", 0.1, 0.0)]
    assert quickest(fakes, 4, Clock(monkeypatch).draw, deadline=10).name == "quicker"
    assert quickest(fakes, 4, Clock(monkeypatch).draw, deadline=-1).name == "plain"


@pytest.mark.parametrize(("batch", "size"), [(1, 1), (3, 1), (4, 10), (10, 10), (100, 10)])
def test_a_batch_goes_the_way_of_the_nearest_size(batch, size):
    networks = {1: nn.Identity(), 10: nn.Identity()}
    taken = []
    for key, network in networks.items():
        network.register_forward_hook(lambda *_, key=key: taken.append(key))
    BySize(networks)(torch.zeros(batch, 1))
    assert taken == [size]


class TestPipelines:
    def test_fp32_is_the_denoiser_itself(self, pipe):
        assert pipe.drawing is pipe.model
        assert prepared(pipe.model, "fp32", None) is pipe.model

    def test_norms_of_bf16_in_channels_last_are_computed_in_fp32_on_contiguous_images(self, tiny_denoiser):
        fast = variant(tiny_denoiser, "bf16", "channels_last")
        norms = [layer for layer in fast.modules() if isinstance(layer, nn.GroupNorm)]
        assert norms
        for norm in norms:
            x = torch.randn(3, norm.num_channels, 4, 4).to(torch.bfloat16, memory_format=torch.channels_last)
            wanted = F.group_norm(x.float(), norm.num_groups, norm.weight, norm.bias)
            assert norm.weight.dtype == torch.float32
            assert torch.equal(norm(x), wanted.bfloat16())
            assert norm(x).is_contiguous()  # they are slow otherwise

    def test_auto_tries_every_variant_at_every_size(self, tiny_denoiser, monkeypatch):
        trials = []

        def draw(denoiser, count):
            conv = denoiser.unet.down[0].conv1.weight
            trials.append((count, conv.dtype, conv.is_contiguous()))
            return iter([torch.zeros(count, 1, 2, 2)] * 2)

        monkeypatch.setattr(inference, "PATIENCE", float("inf"))
        prepared(tiny_denoiser, "auto", draw)
        assert len(set(trials)) == len(trials) == 2 * 4

    def test_bf16_is_what_it_says(self, tiny_denoiser):
        assert prepared(tiny_denoiser, "bf16", None).unet.stem.weight.dtype == torch.bfloat16

    def test_auto_draws_with_what_was_quickest(self, tiny_denoiser, monkeypatch):
        monkeypatch.setattr(inference, "quickest", lambda variants, *_: variants[2])
        fast = prepared(tiny_denoiser, "auto", None)
        assert [unet.stem.weight.dtype for unet in fast.unet.networks] == [torch.bfloat16] * 2

    def test_auto_draws_the_same_digits(self, pipe):
        fast = Pipeline.from_pretrained(device="cpu", precision="auto")
        for count in (1, 10):
            difference = 127.5 * (drawn(fast, count, 4) - drawn(pipe, count, 4))
            assert difference.square().mean().sqrt() < 2

    def test_any_network_can_be_tried(self, make_denoiser):
        unet = UNetConfig(channels=(8,), blocks=1, attention=(0,), embedding=16, stem=2, image_channels=3, classes=3)
        denoiser = make_denoiser(unet, schedule="cosine", prediction="eps", bounded=False)
        fast = Pipeline(
            denoiser,
            drawing=prepared(denoiser, "auto", lambda d, n: (s.x for s in Pipeline(d).stream([0] * n, steps=2))),
        )
        assert fast([2, 1], steps=2).images.shape == (2, 28, 28, 3)

    def test_students_of_guidance_that_is_never_off_can_be_tried(self, make_denoiser, tmp_path):
        Pipeline(make_denoiser(few_step=FewStep(guidance=(1.5, 3)))).save_pretrained(tmp_path)
        assert Pipeline.from_pretrained(tmp_path, precision="auto")([7]).images.shape == (1, 28, 28)

    def test_what_is_saved_are_the_weights_as_they_were_loaded(self, pipe, tmp_path):
        fast = Pipeline.from_pretrained(device="cpu", precision="auto")
        fast.save_pretrained(tmp_path)
        again = Pipeline.from_pretrained(tmp_path, device="cpu").model.state_dict()
        for name, tensor in pipe.model.state_dict().items():
            assert torch.equal(tensor, again[name]), name

    @pytest.mark.parametrize("precision", ["fp16", None, 32, ""])
    def test_other_precisions_are_refused(self, refuses, precision):
        with refuses("precision must be one of auto, "):
            Pipeline.from_pretrained(precision=precision)
