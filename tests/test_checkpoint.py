"""Checkpoints: what is saved comes back, what is damaged is refused, and a failed download is told in a sentence."""

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import httpx
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffusion import checkpoint
from diffusion.checkpoint import BUNDLED, WEIGHTS, find, load, pull, save
from diffusion.denoiser import Denoiser

TOKEN = "hf_thisIsASecretToken"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def weights_of(denoiser: Denoiser) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in denoiser.state_dict().items()}


def write(denoiser: Denoiser, config: object = None, **weights: Tensor) -> Path:
    """A checkpoint with another config, as JSON or as text, or with other weights."""
    config = asdict(denoiser.config) if config is None else config
    text = config if isinstance(config, str) else json.dumps(config)
    save_file(weights_of(denoiser) | weights, WEIGHTS, metadata={"config": text})
    return Path(WEIGHTS)


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("schedule", "prediction", "bounded"), [("flow", "flow", True), ("cosine", "v", False), ("linear", "eps", True)]
    )
    def test_weights_and_config_come_back(self, make_denoiser, schedule, prediction, bounded):
        denoiser = make_denoiser(schedule=schedule, prediction=prediction, bounded=bounded)
        save(denoiser, "new/folder/a.safetensors")
        loaded = load("new/folder/a.safetensors")
        assert loaded.config == denoiser.config
        for (name, mine), (other_name, other) in zip(
            denoiser.state_dict().items(), loaded.state_dict().items(), strict=True
        ):
            assert name == other_name
            assert other.dtype == torch.float32
            torch.testing.assert_close(other, mine, rtol=1e-3, atol=1e-6)

    def test_it_is_loaded_ready_to_draw(self, tiny_denoiser):
        save(tiny_denoiser, WEIGHTS)
        loaded = load(WEIGHTS)
        assert not loaded.training
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
        assert all(parameter.isfinite().all() for parameter in loaded.parameters())

    def test_the_file_keeps_half_precision_and_a_readable_config(self, tiny_denoiser):
        save(tiny_denoiser, WEIGHTS)
        with safe_open(WEIGHTS, framework="pt") as file:
            assert json.loads(file.metadata()["config"])["schedule"] == "flow"
            assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118

    @pytest.mark.parametrize(
        ("dtype", "rtol"),
        [(torch.float32, 0), (torch.float64, 0), (torch.bfloat16, 0.01), (torch.float8_e4m3fn, 0.1)],
        ids=str,
    )
    def test_weights_of_other_precisions_are_read_too(self, tiny_denoiser, dtype, rtol):
        write(tiny_denoiser, **{name: tensor.to(dtype) for name, tensor in weights_of(tiny_denoiser).items()})
        for mine, other in zip(tiny_denoiser.parameters(), load(WEIGHTS).parameters(), strict=True):
            torch.testing.assert_close(other, mine, rtol=rtol, atol=0.01 * rtol)

    @pytest.mark.parametrize("path", ["file/below.safetensors", "folder"])
    def test_paths_that_cannot_be_written_are_refused(self, tiny_denoiser, path, refuses):
        Path("file").write_text("in the way")
        Path("folder").mkdir()
        with refuses("Cannot write"):
            save(tiny_denoiser, path)

    @pytest.mark.parametrize(
        "error",
        [
            OSError(28, "No space left on device"),
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        ],
        ids=type,
    )
    def test_a_full_disk_is_told_and_leaves_the_old_file(self, tiny_denoiser, refuses, monkeypatch, error):
        save(tiny_denoiser, WEIGHTS)
        old = Path(WEIGHTS).read_bytes()

        def fail(weights: object, path: Path, **_: object) -> None:
            Path(path).write_bytes(b"half")
            raise error

        monkeypatch.setattr(checkpoint, "save_file", fail)
        with refuses("No space left on device"):
            save(tiny_denoiser, WEIGHTS)
        assert Path(WEIGHTS).read_bytes() == old
        assert [path.name for path in Path().iterdir()] == [WEIGHTS]


class TestDamage:
    def test_missing_files_and_folders(self, refuses):
        Path("folder").mkdir()
        for path in ("missing.safetensors", "folder", Path("folder") / WEIGHTS):
            with refuses("There is no checkpoint at"):
                load(path)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0",
            b"just text, and a bit more of it",
            b"<html>404</html>" * 100,
            pickle.dumps({"weights": [1.0] * 100}),
            bytes(1000),
            b"\xff" * 1000,
            (10).to_bytes(8, "little") + b"not a json",
            (2).to_bytes(8, "little") + b"[]",
        ],
        ids=lambda content: repr(content[:20]),
    )
    def test_other_files(self, content, refuses):
        Path(WEIGHTS).write_bytes(content)
        with refuses(WEIGHTS):
            load(WEIGHTS)

    def test_torch_s_own_files(self, tiny_denoiser, refuses):
        torch.save(tiny_denoiser.state_dict(), WEIGHTS)
        with refuses("is damaged or not a safetensors file"):
            load(WEIGHTS)

    @pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
    def test_files_cut_short(self, tiny_denoiser, share, refuses):
        save(tiny_denoiser, WEIGHTS)
        content = Path(WEIGHTS).read_bytes()
        Path(WEIGHTS).write_bytes(content[: int(share * len(content))])
        with refuses("is damaged or not a safetensors file"):
            load(WEIGHTS)

    @pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"config": ""}])
    def test_safetensors_of_others(self, tiny_denoiser, metadata, refuses):
        save_file(weights_of(tiny_denoiser), WEIGHTS, metadata=metadata)
        with refuses("carries no config of this project"):
            load(WEIGHTS)

    @pytest.mark.parametrize(
        "config",
        ["{", "text", "null", "7", "[]", '"unet"', "{}", '{"unet": null}', '{"unet": []}', "[" * 100_000],
        ids=lambda config: config[:20],
    )
    def test_configs_that_are_none(self, tiny_denoiser, config, refuses):
        write(tiny_denoiser, config)
        with refuses("carries no config of this project"):
            load(WEIGHTS)

    @pytest.mark.parametrize(
        "change",
        [
            {"colour": "red"},
            {"schedule": "sigmoid"},
            {"schedule": None},
            {"schedule": ["flow"]},
            {"prediction": "score"},
            {"prediction": "eps", "schedule": "flow"},
            {"bounded": "no"},
            {"unet": "large"},
        ],
        ids=str,
    )
    def test_configs_with_another_denoiser(self, tiny_denoiser, change, refuses):
        write(tiny_denoiser, asdict(tiny_denoiser.config) | change)
        with refuses("carries no config of this project"):
            load(WEIGHTS)

    @pytest.mark.parametrize(
        "change",
        [
            {"colour": "red"},
            {"channels": [7]},
            {"channels": []},
            {"channels": "8, 16"},
            {"channels": 8},
            {"channels": [10**9, 10**9]},
            {"channels": [4096] * 6, "blocks": 16},
            {"blocks": 2},
            {"embedding": "16"},
            {"embedding": 10**12},
            {"attention": [5]},
            {"attention": [0]},
            {"attention": None},
            {"stem": 1},
            {"stem": 0},
            {"image_channels": 3},
            {"classes": 5},
            {"classes": None},
        ],
        ids=str,
    )
    def test_configs_of_another_network(self, tiny_denoiser, change, refuses):
        config = asdict(tiny_denoiser.config)
        write(tiny_denoiser, config | {"unet": config["unet"] | change})
        with refuses(WEIGHTS):
            load(WEIGHTS)

    @pytest.mark.parametrize("change", [{"channels": [8.0, 8.0]}, {"blocks": 1.0}, {"embedding": 16.0}], ids=str)
    def test_whole_numbers_written_as_floats_are_no_damage(self, tiny_denoiser, change):
        config = asdict(tiny_denoiser.config)
        write(tiny_denoiser, config | {"unet": config["unet"] | change})
        assert load(WEIGHTS).config == tiny_denoiser.config

    @pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
    def test_weights_that_are_not_finite(self, tiny_denoiser, value, refuses):
        name, weight = next(iter(weights_of(tiny_denoiser).items()))
        weight = weight.clone()
        weight.flatten()[-1] = value
        write(tiny_denoiser, **{name: weight})
        with refuses("not finite"):
            load(WEIGHTS)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
    def test_weights_that_are_no_floats(self, tiny_denoiser, dtype, refuses):
        write(tiny_denoiser, **{name: tensor.to(dtype) for name, tensor in weights_of(tiny_denoiser).items()})
        with refuses(WEIGHTS):
            load(WEIGHTS)

    def test_weights_that_are_missing_or_too_many(self, tiny_denoiser, refuses):
        for extra in ({"another": torch.zeros(1)}, {"unet.stem.bias": torch.zeros(9)}):
            write(tiny_denoiser, **extra)
            with refuses("another network than its config says"):
                load(WEIGHTS)
        weights = weights_of(tiny_denoiser)
        del weights["unet.stem.bias"]
        save_file(weights, WEIGHTS, metadata={"config": json.dumps(asdict(tiny_denoiser.config))})
        with refuses("another network than its config says"):
            load(WEIGHTS)


class TestFind:
    @pytest.fixture(autouse=True)
    def hub(self, monkeypatch):
        monkeypatch.setattr(checkpoint, "pull", lambda repo, revision: Path(f"hub/{repo}@{revision}"))

    def test_nothing_named_means_the_bundled_weights(self):
        assert find() == find(None) == BUNDLED / WEIGHTS

    def test_a_folder_means_the_weights_in_it(self):
        Path("runs/mnist").mkdir(parents=True)
        for source in (
            "runs/mnist",
            "runs/mnist/",
            Path("runs/mnist"),
            "./runs/mnist",
            str(Path("runs/mnist").resolve()),
        ):
            assert find(source).resolve() == (Path("runs/mnist") / WEIGHTS).resolve()

    def test_a_file_means_itself(self):
        Path("runs").mkdir()
        for name in ("runs/a", "runs/a.safetensors", "a.bin"):
            Path(name).write_bytes(b"")
            assert find(name) == Path(name)

    def test_a_user_and_a_repository_mean_the_hub(self):
        assert find("user/repo") == Path("hub/user/repo@None")
        assert find("some-user/my.model_v2", "main") == Path("hub/some-user/my.model_v2@main")

    @pytest.mark.parametrize(
        "source",
        ["missing", "runs/missing.safetensors", "/no/such/folder", "a/b/c", "", ".", "user/repo name", "~/model"],
    )
    def test_nothing_else_asks_the_hub(self, source, refuses):
        assert not str(find(source)).startswith("hub/")
        with refuses("There is no checkpoint at"):
            load(find(source))


class TestPull:
    """Its tests against a server are in test_hub.py; these are of what no server there does."""

    def test_it_returns_the_downloaded_file(self, monkeypatch):
        def download(repo: str, name: str, revision: str | None = None) -> str:
            return f"cache/{repo}/{revision}/{name}"

        monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
        assert pull("user/repo", "v1") == Path("cache/user/repo/v1") / WEIGHTS

    @pytest.mark.parametrize(
        "error",
        [
            httpx.ReadTimeout(f"timed out, {TOKEN}"),
            OSError(28, "No space left on device"),
            RuntimeError(f"Data processing error: {TOKEN}\nfrom the Xet client"),
            ValueError(f"no JSON, {TOKEN}"),
        ],
        ids=type,
    )
    def test_a_download_that_breaks_off_is_told(self, monkeypatch, refuses, error):
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
        with refuses("user/repo could not be downloaded") as caught:
            pull("user/repo")
        assert TOKEN not in str(caught.value)
        assert caught.value.__context__ is None

    def test_names_that_the_hub_refuses_are_told(self, refuses):
        with refuses("There is no folder user--x/repo, nor a model of that name"):
            pull("user--x/repo")
