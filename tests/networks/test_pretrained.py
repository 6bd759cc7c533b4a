"""DeepFloyd IF under this project's loops: against diffusers' own, with tiny random networks of the real classes."""

import io
import shutil
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import tiny_if
import torch
import transformers
from PIL import Image
from safetensors.torch import save

from diffusion import Pipeline, Recipe, checkpoint
from diffusion.__main__ import main
from diffusion.cli.interactive import interact
from diffusion.data import to_float
from diffusion.guidance import thresholded
from diffusion.lab import recipes
from diffusion.networks.parts import INDEX
from diffusion.samplers import SAMPLERS

CAT, DOG = "a photo of a cat", "an oil painting of a dog"


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The folders of both stages."""
    folder = tmp_path_factory.mktemp("if")
    for stage, name in enumerate(("one", "two"), 1):
        tiny_if.save(folder / name, stage)
    torch.save({name: each.half() for name, each in tiny_if.embeddings(CAT, DOG).items()}, folder / "prompts.pth")
    return folder


@pytest.fixture
def pipe(repository) -> Pipeline:
    """The first stage, told two prompts."""
    return Pipeline.from_pretrained(repository / "one", device="cpu").told([CAT, DOG], tiny_if.embeddings(CAT, DOG))


def theirs(pipe: Pipeline, name: str, **settings):
    """What a pipeline of diffusers makes of the same parts, seeds and embeddings: (B, 3, H, W)."""
    parts = {"tokenizer": None, "text_encoder": None, "safety_checker": None, "feature_extractor": None}
    if name == "IFSuperResolutionPipeline":
        parts["image_noising_scheduler"] = diffusers.DDPMScheduler(**tiny_if.SCHEDULE)
    made = getattr(diffusers, name)(
        unet=pipe.model.parts.unet,
        scheduler=diffusers.DDPMScheduler(**tiny_if.SCHEDULE),
        watermarker=None,
        requires_safety_checker=False,
        **parts,
    )
    made.set_progress_bar_config(disable=True)
    known = tiny_if.embeddings(CAT, DOG)
    return made(
        prompt_embeds=torch.cat([known[CAT], known[DOG]]),
        negative_prompt_embeds=torch.cat([known[""]] * 2),
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        output_type="pt",
        **settings,
    ).images


def last(run) -> torch.Tensor:
    *_, step = run
    return step.x


FULL = [
    *range(999, 994, -1),
    *range(949, 0, -50),
    *range(4, -1, -1),
]  # with neighbours at both ends; all 1,000 take minutes


@pytest.mark.parametrize(("steps", "guidance"), [(7, 1.0), (7, 7.0), (FULL, 7.0)], ids=["7", "7-guided", "full-guided"])
def test_ddpm_draws_what_diffusers_draws(pipe, steps, guidance) -> None:
    path = steps if steps is FULL else pipe.model.scheduler.indices(steps)

    def walk(setup):
        return replace(setup, levels=[pipe.model.scheduler.level(i) for i in [*path, -1]])

    ours = last(pipe.run(pipe.recipe([0, 1], guidance=guidance, seed=5), walk))
    wanted = theirs(pipe, "IFPipeline", timesteps=path, guidance_scale=guidance)
    assert wanted.std() > 0.1
    assert (ours - wanted).abs().max() <= 1e-4


def test_the_second_stage_draws_what_diffusers_draws(pipe, repository) -> None:
    small = pipe([0, 1], steps=3, seed=5)
    large = Pipeline.from_pretrained(repository / "two", device="cpu")
    run = pipe.upscaled(small, large)
    wanted = theirs(
        large,
        "IFSuperResolutionPipeline",
        image=to_float(torch.from_numpy(small.images)),
        timesteps=large.model.scheduler.indices(3),
        guidance_scale=4.0,
    )
    ours = last(run)
    assert ours.shape == (2, 3, 2 * tiny_if.SIZE, 2 * tiny_if.SIZE)
    assert (ours - wanted).abs().max() <= 1e-4
    assert run.result().images.shape[1:] == (2 * tiny_if.SIZE, 2 * tiny_if.SIZE, 3)


def test_thresholding_is_that_of_diffusers() -> None:
    x0 = 3 * torch.randn(4, 3, 8, 8) * torch.tensor([0.1, 0.4, 1.0, 9.0]).view(-1, 1, 1, 1)
    wanted = diffusers.DDPMScheduler(**tiny_if.SCHEDULE)._threshold_sample(x0)
    assert torch.allclose(thresholded(x0, 0.95, 1.5), wanted, atol=1e-6)
    assert torch.equal(wanted[0], x0[0].clamp(-1, 1))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_what_the_prompts_say(pipe, sampler) -> None:
    first, other = (pipe([k, k], steps=3, sampler=sampler, seed=3).images for k in (0, 1))
    assert first.shape == (2, tiny_if.SIZE, tiny_if.SIZE, 3)
    assert not np.array_equal(first, other)


def test_many_go_through_the_network_a_few_at_a_time(pipe, monkeypatch) -> None:
    many = pipe([0, 1] * 5, steps=2, seed=3)
    monkeypatch.setattr("diffusion.networks.pretrained.CHUNK", 3)
    few = pipe([0, 1] * 5, steps=2, seed=3)
    assert np.abs(many.images.astype(int) - few.images).max() <= 1


def test_guidance_zero_is_the_empty_prompt(pipe) -> None:
    told = pipe.told([""])
    assert np.array_equal(pipe([0], steps=2, guidance=0).images, told([0], steps=2, guidance=1).images)


class TestLab:
    """What every activity does is tested elsewhere; here, that it does so on these weights."""

    def test_an_edit_at_strength_0_gives_the_picture_back(self, pipe, picture) -> None:
        kept, new = (pipe.run(recipes.edit(pipe, picture, 1, s, steps=4)).result().images for s in (0, 0.5))
        assert np.array_equal(kept[0], picture)
        assert not np.array_equal(new[0], picture)

    def test_inpainting_keeps_the_rest_bit_for_bit(self, pipe, picture) -> None:
        drawn = pipe.run(recipes.inpaint(pipe, picture, 0, "bottom", steps=2)).result().images[0]
        half = tiny_if.SIZE // 2
        assert np.array_equal(drawn[:half], picture[:half])
        assert not np.array_equal(drawn[half:], picture[half:])

    def test_an_anagram_of_one_prompt_is_the_same_through_its_view(self, pipe) -> None:
        """The mean of the guesses of x and of x upside down: a start that is its own mirror image stays so."""
        wanted = recipes.anagram(pipe.told([CAT, CAT]), [0, 1], ["flip"], steps=3, sampler="ddim")

        def mirrored(setup):
            return replace(setup, start=(setup.start + setup.start.flip(-2)) / 2)

        result = pipe.told([CAT, CAT]).run(wanted, mirrored).result()
        assert np.abs(result.images[0].astype(int) - result.images[0][::-1]).max() <= 1
        assert not wanted.activity.centred  # which is for digits

    def test_guesses_that_are_combined_are_thresholded(self, pipe) -> None:
        step = next(pipe.run(recipes.hybrid(pipe, [0, 1], steps=3, guidance=20)))
        assert step.x0.abs().max() <= 1
        assert (step.x0.abs() == 1).float().mean() < 0.2  # clipping alone leaves nearly all values there


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (tiny_if.SIZE, tiny_if.SIZE, 3), np.uint8)


class TestCommands:
    @pytest.fixture
    def files(self, repository, tmp_path, picture):
        Image.fromarray(picture).save(tmp_path / "photo.png")

        def run(command: str, file: str, *flags: str) -> Path:
            given = ["--weights", str(repository / "one"), "--embeddings", str(repository / "prompts.pth")]
            if command in ("forward", "denoise", "edit", "inpaint"):
                given += [] if "--recipe" in flags else ["--image", str(tmp_path / "photo.png")]
            main([command, *given, "--out", str(tmp_path / file), *flags])
            return tmp_path / file

        return run

    @pytest.mark.parametrize(
        ("command", "flags"),
        [
            ("sample", ["--prompts", CAT, DOG, "--steps", "2"]),
            ("edit", ["--prompt", CAT, "--strength", "0.5,1", "--steps", "2"]),
            ("inpaint", ["--prompt", CAT, "--mask", "bottom", "--steps", "2"]),
            ("anagram", ["--prompts", CAT, DOG, "--view", "flip", "--steps", "2"]),
            ("hybrid", ["--prompts", CAT, DOG, "--steps", "2"]),
            ("forward", ["--levels", "100,900"]),
            ("denoise", ["--levels", "100,900", "--stride", "500"]),
        ],
    )
    def test_a_file_carries_its_prompts_and_is_drawn_again(self, files, command, flags) -> None:
        first = files(command, "first.png", *flags, "--seed", "7")
        recipe = Recipe.from_file(first)
        assert recipe.prompts == tuple(flag for flag in flags if flag in (CAT, DOG)) or recipe.prompts == ("",)
        assert files(command, "again.png", "--recipe", str(first)).read_bytes() == first.read_bytes()

    def test_the_second_stage_makes_it_larger(self, files, repository) -> None:
        two = str(repository / "two")
        drawn = files("sample", "large.png", "--prompt", CAT, "--steps", "2", "--upscale", two, "--scale", "1")
        with Image.open(drawn) as image:
            assert image.size == (2 * tiny_if.SIZE, 2 * tiny_if.SIZE)
        recipe = Recipe.from_file(drawn)
        assert (recipe.prompts, recipe.guidance, recipe.upscale) == ((CAT,), 7.0, two)
        again = ["--recipe", str(drawn), "--scale", "1"]
        assert files("sample", "again.png", *again).read_bytes() == drawn.read_bytes()
        small = files("sample", "small.png", *again, "--upscale", "")
        with Image.open(small) as image:
            assert image.size == (tiny_if.SIZE, tiny_if.SIZE)
        assert Recipe.from_file(small).upscale == ""

    @pytest.mark.parametrize(
        ("stage", "sentence"),
        [
            ("nowhere", "There is no checkpoint at nowhere: check the path"),
            ("one", "by weights of its second stage: choose such a pair"),
            ("bundled", "by weights of its second stage: choose such a pair"),
        ],
    )
    def test_a_second_stage_that_is_none(self, files, repository, tmp_path, capsys, stage, sentence) -> None:
        stage = str(repository / "one") if stage == "one" else stage
        with pytest.raises(SystemExit):
            files("sample", "large.png", "--prompt", CAT, "--upscale", stage)
        assert sentence in (told := capsys.readouterr().err)
        assert "the recipe names" not in told
        recipe = Recipe((0,), prompts=(CAT,), upscale=stage)
        (tmp_path / "recipe.json").write_text(recipe.to_json())
        with pytest.raises(SystemExit):
            files("sample", "large.png", "--recipe", str(tmp_path / "recipe.json"))
        assert sentence in (told := capsys.readouterr().err)
        assert f"(the recipe names {stage}: --upscale takes another, or '' for none)." in told
        assert not (tmp_path / "large.png").exists()

    def test_a_recipe_of_prompts_is_not_drawn_by_weights_that_take_none(self, tmp_path, capsys) -> None:
        (tmp_path / "recipe.json").write_text(Recipe((0,), prompts=(CAT,), upscale="some/where").to_json())
        with pytest.raises(SystemExit):
            main(["sample", "--recipe", str(tmp_path / "recipe.json"), "--out", str(tmp_path / "drawn.png")])
        assert "This recipe is of prompts" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole(repository) -> Path:
    """A folder of the first stage with its text encoder."""
    folder = repository / "whole"
    shutil.copytree(repository / "one", folder)
    tiny_if.save_encoder(folder)
    return folder


class TestPrompts:
    def test_they_are_encoded_as_diffusers_does_and_the_encoder_is_let_go(self, whole, monkeypatch) -> None:
        parts = Pipeline.from_pretrained(whole, device="cpu").model.parts
        read, network = [], parts.network
        monkeypatch.setattr(parts, "network", lambda *names: read.append(weakref.ref(made := network(*names))) or made)
        found = parts.encoded([f" {CAT.upper()} ", ""])
        tokenizer = transformers.T5Tokenizer.from_pretrained(whole, subfolder="tokenizer")
        encoder = transformers.T5EncoderModel.from_pretrained(whole, subfolder="text_encoder")
        made = diffusers.IFPipeline(tokenizer, encoder, None, None, None, None, None, requires_safety_checker=False)
        wanted = made.encode_prompt(CAT, device=torch.device("cpu"))
        for ours, theirs in zip(found.values(), wanted, strict=True):
            assert torch.allclose(ours, theirs[0], atol=1e-6)
        assert [each() for each in read] == [None]

    def test_each_is_encoded_once(self, whole, monkeypatch) -> None:
        pipe = Pipeline.from_pretrained(whole, device="cpu").told([CAT, DOG, CAT])
        asked = []
        encoded = pipe.model.parts.encoded
        monkeypatch.setattr(pipe.model.parts, "encoded", lambda prompts: asked.append(prompts) or encoded(prompts))
        first, other, _ = pipe([0, 1, 2], steps=2).images
        pipe([0], steps=1)
        assert asked == [[CAT, DOG, ""]]
        assert not np.array_equal(first, other)

    def test_what_is_typed_is_the_prompt(self, whole, monkeypatch, capsys) -> None:
        lines = ["steps 1", CAT, f"weights {whole}", "steps 1", CAT, "weights bundled", "steps 1", "7"]
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        interact(str(whole))
        drawn = [line.partition(": seed")[0] for line in capsys.readouterr().out.splitlines() if ": seed" in line]
        assert drawn == [CAT, CAT, "7"]

    def test_long_ones_are_refused_before_the_encoder_is_read(self, whole, refuses) -> None:
        with refuses("the text encoder takes 77"):
            Pipeline.from_pretrained(whole, device="cpu").told(["very " * 40])([0], steps=1)


class TestBadInput:
    def draw(self, folder: Path, prompt: str = CAT, known=None) -> None:
        pipe = Pipeline.from_pretrained(folder, device="cpu")
        pipe.told([prompt], tiny_if.embeddings(CAT) if known is None else known)([0], steps=1)

    @pytest.mark.parametrize(
        ("file", "change", "text"),
        [
            (INDEX, lambda content: content.replace(b"IFPipeline", b"StableDiffusionPipeline"), "only DeepFloyd IF"),
            (INDEX, lambda content: content[:20], "model_index.json of"),
            ("unet/config.json", None, "unet/config.json of"),
            ("unet/config.json", lambda content: b"[1]", "unet/config.json of"),
            (
                "unet/config.json",
                lambda content: content.replace(b'"in_channels": 3', b'"in_channels": 4'),
                "none of Deep",
            ),
            ("unet/diffusion_pytorch_model.safetensors", lambda content: content[:-100], "unet of"),
            ("unet/diffusion_pytorch_model.safetensors", lambda content: save({"other": torch.ones(1)}), "unet of"),
            ("unet/diffusion_pytorch_model.safetensors", None, "unet of"),
            ("scheduler/scheduler_config.json", lambda content: content.replace(b"epsilon", b"sample"), "schedule"),
        ],
    )
    def test_no_model_of_if_or_half_of_one(self, tmp_path, refuses, file, change, text) -> None:
        folder = tiny_if.save(tmp_path / "model")
        content = (folder / file).read_bytes()
        (folder / file).unlink()
        if change:
            (folder / file).write_bytes(change(content))
        with refuses(text):
            self.draw(folder)

    def test_embeddings_of_others(self, repository, tmp_path, refuses) -> None:
        with refuses("must be 16 wide"):
            self.draw(repository / "one", known={CAT: torch.ones(5, 15), "": torch.ones(5, 15)})
        with refuses("as many tokens"):
            self.draw(repository / "one", known=tiny_if.embeddings(CAT) | {"": torch.ones(7, tiny_if.WIDTH)})
        with refuses(f"no embedding of '{DOG}'"):
            self.draw(repository / "one", DOG)
        for content in (b"", b"\x80\x04N.", b"PK"):
            (tmp_path / "some.pth").write_bytes(content)
            with refuses("holds no embeddings by prompt"):
                checkpoint.embeddings(tmp_path / "some.pth")

    def test_without_text_encoder_or_library_or_memory(self, repository, refuses, monkeypatch) -> None:
        told = Pipeline.from_pretrained(repository / "one", device="cpu").told([CAT])
        with refuses("text_encoder of"):
            told([0], steps=1)
        monkeypatch.setattr("diffusion.networks.parts.free_memory", lambda device: 1e4)
        with refuses("GB of memory and 0.0 GB are free: use a larger machine"):
            self.draw(repository / "one")
        monkeypatch.setitem(sys.modules, "diffusers", None)
        with refuses("need diffusers: install what they need with `pip install -e '.[pretrained]'`"):
            self.draw(repository / "one")

    def test_what_belongs_to_other_weights(self, pipe, repository, tiny_denoiser, refuses) -> None:
        digits, two = Pipeline(tiny_denoiser), Pipeline.from_pretrained(repository / "two", device="cpu")
        with refuses("take no text"):
            digits.told([CAT])
        with refuses("choose text-to-image weights"):
            digits.run(pipe.recipe([0]))
        with refuses("tell them first"):
            pipe.run(digits.recipe([0]))
        with refuses("only make pictures larger"):
            two.told([CAT], tiny_if.embeddings(CAT))([0], steps=1)
        with refuses("choose such a pair"):
            pipe.upscaled(pipe([0], steps=1), pipe)
        with refuses("one line of at most 1,000"):
            pipe.told(["a" * 1001])
