"""The Hub: a run is pushed in one commit and pulled back, whatever goes wrong is told in a sentence without a token.

The client is the real one; the server is `hub_server`, on this machine.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_if
from hub_server import READER, ROUTES, STRANGER, WRITER, Hub, Repository, turn_to
from huggingface_hub import ModelCard, constants
from huggingface_hub.utils import close_session
from safetensors import safe_open

import train
from diffusion import Pipeline
from diffusion.checkpoint import BUNDLED, WEIGHTS, find, fingerprint, load, pull, save
from diffusion.denoiser import FewStep
from diffusion.hub.card import UNPUBLISHED, model_card, read_evaluations, training_command
from diffusion.hub.push import PushFailed, check_push, check_repo, push
from diffusion.training.config import TrainConfig

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own, of LFS uploads

REPO = "user/digits"
RETRY = "; the run is safe, push it again."
FIGURES = {
    "accuracy": {"value": 0.998, "floor": 0.995},
    "accuracy_by_digit": {"0": 1.0, "1": 0.99},
    "frechet_distance": {"value": 0.576, "floor": 0.115},
    "nearest_training_digit": {"value": None, "floor": 21.5},
}
SCORES = {
    "runs": [
        FIGURES
        | {
            "recipe": {
                "guidance": 2.0,
                "steps": 50,
                "sampler": "ddim",
                "eta": 0.0,
                "digits": [0, 1],
                "guidance_interval": [200, 500],
            },
            "count": 1000,
        },
        FIGURES
        | {
            "recipe": {
                "guidance": 1.0,
                "steps": 20,
                "sampler": "ddpm",
                "eta": 0.0,
                "digits": [0, 1],
                "guidance_interval": [0, 999],
            },
            "count": 200,
        },
    ]
}
SETTINGS = {
    "data": "/home/someone/data",
    "out": "/home/someone/run",
    "channels": [48, 96],
    "attention": [],
    "schedule": "flow",
    "bounded": False,
    "learning_rate": 0.001,
    "epochs": 12,
}


@pytest.fixture
def run(tiny_denoiser, client) -> Path:
    """A training run's folder."""
    folder = Path("run")
    save(tiny_denoiser, folder / WEIGHTS)
    for name in ("digits-999.png", "digits-1000.png", "digits-drawn.png", "loss.png", "state.pt", "metrics.jsonl"):
        (folder / name).write_bytes(name.encode())
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    (folder / "scores.json").write_text(json.dumps(SCORES))
    return folder


def tag_of(folder: Path) -> str:
    return f"weights-{fingerprint(folder / WEIGHTS)}"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def change(folder: Path) -> None:
    """Other weights of the same network."""
    denoiser = load(folder / WEIGHTS)
    denoiser.unet.stem.bias += 1
    save(denoiser, folder / WEIGHTS)


class TestPush:
    def test_one_commit_carries_all_and_the_tag_points_at_it(self, hub, run):
        address = push(run, REPO)
        repository = hub.repositories[REPO]
        [(commit, files)] = repository.commits.items()
        assert address == f"{hub.address}/{REPO}/commit/{commit}"
        assert repository.tags == {tag_of(run): commit}
        assert set(files) == {WEIGHTS, "config.json", "README.md", "digits-1000.png", "loss.png"}
        assert files[WEIGHTS] == (run / WEIGHTS).read_bytes()
        assert files["digits-1000.png"] == b"digits-1000.png"
        with safe_open(run / WEIGHTS, framework="pt") as file:
            assert json.loads(files["config.json"]) == json.loads(file.metadata()["config"])

    def test_scores_of_other_weights_stay_off_the_card(self, hub, run):
        mine, other = tag_of(run).removeprefix("weights-"), "00000000"
        for weights, shown in ((mine, True), (other, False)):
            runs = [scores | {"weights": weights} for scores in SCORES["runs"]]
            (run / "scores.json").write_text(json.dumps({"runs": runs}))
            assert bool(read_evaluations(run)) == shown

    def test_an_animation_of_the_training_goes_along(self, hub, run):
        (run / "training.gif").write_bytes(b"GIF")
        push(run, REPO)
        [files] = hub.repositories[REPO].commits.values()
        assert files["training.gif"] == b"GIF"
        assert "](training.gif)" in files["README.md"].decode()

    @pytest.mark.parametrize("private", [False, True])
    def test_it_is_as_private_as_asked(self, hub, run, private):
        push(run, REPO, private=private)
        push(run, REPO, private=private)
        assert hub.repositories[REPO].private == private

    def test_nothing_private_goes_to_a_public_repository(self, hub, run, refuses):
        push(run, REPO)
        change(run)
        with refuses("user/digits exists and is public"):
            push(run, REPO, private=True)
        assert len(hub.repositories[REPO].commits) == 1

    def test_other_weights_are_another_commit_with_another_tag(self, hub, run):
        first, tag = push(run, REPO), tag_of(run)
        change(run)
        second, other = push(run, REPO), tag_of(run)
        assert first != second
        assert tag != other
        assert [*hub.repositories[REPO].tags] == [tag, other]
        assert [*hub.repositories[REPO].tags.values()] == [*hub.repositories[REPO].commits]

    def test_the_same_again_is_no_other_commit(self, hub, run):
        assert push(run, REPO) == push(run, REPO)
        assert len(hub.repositories[REPO].commits) == len(hub.repositories[REPO].tags) == 1

    def test_a_new_card_for_the_same_weights_keeps_their_tag(self, hub, run):
        push(run, REPO)
        (run / "scores.json").unlink()
        push(run, REPO)
        first, _ = hub.repositories[REPO].commits
        assert hub.repositories[REPO].tags == {tag_of(run): first}

    def test_a_tag_of_one_s_own(self, hub, run, refuses):
        for _ in range(2):
            push(run, REPO, tag="v1.0")
        change(run)
        with refuses("does not have these weights at its tag v1.0"):
            push(run, REPO, tag="v1.0")
        [(commit, files)] = hub.repositories[REPO].commits.items()
        assert hub.repositories[REPO].tags == {"v1.0": commit}
        assert 'revision="v1.0"' in files["README.md"].decode()

    def test_a_tag_where_there_are_no_weights(self, hub, run, refuses):
        push(run, REPO, tag="v1.0")
        del hub.repositories[REPO].commits[hub.repositories[REPO].head][WEIGHTS]
        with refuses("does not have these weights at its tag v1.0"):
            push(run, REPO, tag="v1.0")

    @pytest.mark.parametrize("tag", ["", "main", "a b", "-x", "a/b", "é", "x" * 65, "v1\n"])
    def test_tags_that_are_none(self, hub, run, refuses, tag):
        for act in (lambda: push(run, REPO, tag=tag), lambda: check_push(REPO, tag)):
            with refuses("is not a valid name for a tag"):
                act()
        assert hub.requests == []

    @pytest.mark.parametrize("few_step", [None, FewStep()])
    def test_the_example_on_the_card_draws(self, hub, run, make_denoiser, few_step):
        save(make_denoiser(few_step=few_step), run / WEIGHTS)
        push(run, REPO)
        [files] = hub.repositories[REPO].commits.values()
        [example] = re.findall("```python\n(.*?)```", files["README.md"].decode(), re.DOTALL)
        exec(example)
        assert Path("drawn.png").is_file()

    @pytest.mark.parametrize("repo", ["u" * 50 + "/digits", "user/" + "d" * 91])
    def test_names_as_long_as_the_hub_takes_them(self, hub, run, repo):
        push(run, repo)
        assert find(repo).read_bytes() == (run / WEIGHTS).read_bytes()

    @pytest.mark.parametrize(
        "repo",
        ["digits", "a/b/c", "user/", "/digits", "user/a b", "user--x/y", "u/x.git", "-u/x", "é/x", "u/" + "x" * 97],
    )
    def test_names_that_are_none(self, hub, run, refuses, repo):
        for act in (lambda: push(run, repo), lambda: check_push(repo), lambda: check_repo(repo)):
            with refuses("write it as user/repo"):
                act()
        assert hub.requests == []

    def test_a_run_without_weights_is_refused_before_anything_is_created(self, hub, refuses):
        with refuses("There is no checkpoint at empty/model.safetensors"):
            push("empty", REPO)
        assert hub.requests == []


class TestFailedPush:
    """Each is one sentence that says how to go on; the run's folder stays as it was."""

    @pytest.fixture(autouse=True)
    def nothing_else_happens(self, run, capfd, caplog):
        before = content(run)
        yield
        assert content(run) == before
        printed = "".join([*capfd.readouterr(), caplog.text])
        assert not any(token in printed for token in (WRITER, READER, STRANGER))

    def fails(self, hub: Hub, run: Path, refuses, text: str) -> None:
        with refuses(text, PushFailed) as caught:
            push(run, REPO)
        assert str(caught.value).endswith(RETRY)
        assert caught.value.__context__ is None  # no error that holds a request and its token
        repository = hub.repositories.get(REPO)
        assert repository is None or repository.commits == {}

    @pytest.mark.parametrize(
        ("token", "text"), [(STRANGER, "refuses the token (401)"), (READER, "may not write there (403)")]
    )
    def test_a_token_that_may_not(self, hub, run, refuses, monkeypatch, token, text):
        monkeypatch.setenv("HF_TOKEN", token)
        self.fails(hub, run, refuses, text)

    def test_no_token(self, hub, run, refuses, monkeypatch):
        monkeypatch.delenv("HF_TOKEN")
        self.fails(hub, run, refuses, "refuses the token (401)")

    def test_a_token_that_no_header_can_hold(self, hub, run, refuses, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", f"{WRITER}ü")
        self.fails(hub, run, refuses, "The token holds characters that no token has")

    @pytest.mark.parametrize(
        ("word", "status"),
        [("create", 500), ("preupload", 403), ("batch", 404), ("/lfs/", 403), ("commit", 409), ("commit", 500)],
    )
    def test_a_refusal_at_any_stage(self, hub, run, refuses, word, status):
        hub.refuse[word] = status
        self.fails(hub, run, refuses, f"({status})")
        hub.refuse.clear()
        push(run, REPO)
        assert len(hub.repositories[REPO].commits) == 1

    @pytest.mark.parametrize(
        ("status", "remedy"),
        [(409, ", giving no reason: see what is in the way there"), (429, ": wait a little"), (503, ": wait a little")],
    )
    def test_only_what_passes_is_waited_for(self, hub, run, refuses, status, remedy):
        hub.refuse["commit"] = status
        self.fails(hub, run, refuses, f"The Hub refused ({status}){remedy};")

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            ("license must be\na string.", "'license must be a string'"),
            (f"Not {WRITER}, nor Bearer:{WRITER}", "'Not ... nor ...'"),
            ("Expired: " + "x" * 30, "'Expired: ...'"),
            ("word " * 30, "'" + "word " * 15 + "...'"),
        ],
    )
    def test_a_card_that_the_hub_rejects(self, hub, run, refuses, monkeypatch, message, reason):
        def reject(handler, body: bytes) -> None:
            handler.answer({"errors": [{"message": message}], "warnings": []}, 400)

        monkeypatch.setattr("hub_server.ROUTES", [("POST", "/api/validate-yaml", reject), *ROUTES])
        self.fails(hub, run, refuses, f"The Hub refused (400), saying {reason}: put that right;")

    @pytest.mark.parametrize("word", ["/lfs/", "commit"])
    def test_an_upload_that_breaks_off(self, hub, run, refuses, word):
        hub.break_off = word
        self.fails(hub, run, refuses, "cannot be reached")
        hub.break_off = None
        push(run, REPO)
        assert len(hub.repositories[REPO].commits) == 1

    def test_a_tag_that_fails_is_made_up_for_by_the_next_push(self, hub, run, refuses):
        hub.refuse["/tag/"] = 500
        with refuses("(500)"):
            push(run, REPO)
        hub.refuse.clear()
        push(run, REPO)
        [commit] = hub.repositories[REPO].commits
        assert hub.repositories[REPO].tags == {tag_of(run): commit}

    def test_a_server_that_is_down(self, hub, run, refuses, monkeypatch):
        turn_to("http://127.0.0.1:9", monkeypatch)
        self.fails(hub, run, refuses, "cannot be reached")

    @pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense://127.0.0.1:9"])
    def test_a_proxy_that_does_not_work(self, hub, run, refuses, monkeypatch, proxy):
        monkeypatch.setitem(sys.modules, "socksio", None)  # which the client wants for SOCKS
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        close_session()
        reason = "`pip install socksio`" if proxy.startswith("socks") else "the proxy that is set"
        self.fails(hub, run, refuses, reason)
        for work in (check_push, pull):
            with refuses(reason):
                work(REPO)

    def test_offline_mode(self, hub, run, refuses, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        self.fails(hub, run, refuses, "HF_HUB_OFFLINE is set")

    @pytest.mark.parametrize("name", ["scores.json", "config.json"])
    def test_damaged_files_beside_the_weights(self, hub, run, refuses, name):
        old = (run / name).read_bytes()
        for text in ("", "{", "[]", '{"runs": 7}', '{"runs": [7]}', '{"runs": [{}]}', "[" * 10_000, "é"):
            if name == "config.json" and text.startswith('{"'):
                continue  # any object is a config
            (run / name).write_text(text, encoding="latin-1")
            with refuses(f"{name} is damaged"):
                push(run, REPO)
        assert hub.requests == []
        (run / name).write_bytes(old)

    @pytest.mark.parametrize(
        ("folder", "flags", "command"),
        [
            ("run", [], f"--resume --out run --push-to-hub {REPO}"),
            (TrainConfig.out, ["--private", "--tag", "v1"], f"--resume --push-to-hub {REPO} --private --tag v1"),
        ],
    )
    def test_train_py_adds_the_command_that_tries_again(self, hub, run, refuses, folder, flags, command):
        hub.refuse["create"] = 500
        Path(folder).parent.mkdir(exist_ok=True)
        run.rename(folder)
        config, parsed = train.parse(["--out", folder, "--push-to-hub", REPO, *flags])
        with refuses(f"push it again with `python train.py {command}`."):
            train.push(config, parsed)
        Path(folder).rename(run)

    @pytest.mark.parametrize("value", ["NaN", "true", '"0.9"', "[]"])
    def test_scores_that_are_no_numbers(self, hub, run, refuses, value):
        old = (run / "scores.json").read_bytes()
        (run / "scores.json").write_text(json.dumps(SCORES).replace("0.998", value))
        with refuses("scores.json is damaged"):
            push(run, REPO)
        (run / "scores.json").write_bytes(old)


class TestCheckPush:
    def test_a_token_that_may_write_passes_and_nothing_is_created(self, hub):
        check_push(REPO)
        check_push("some-organisation/digits", "v1")
        assert hub.requests == ["GET /api/whoami-v2"] * 2

    @pytest.mark.parametrize(
        ("token", "text"),
        [
            (None, "There is no token to push with: log in with `hf auth login`"),
            (STRANGER, "refuses the token (401): log in with `hf auth login`"),
            (READER, "may only read: log in with `hf auth login`"),
            (f"{WRITER}ü", "The token holds characters that no token has: log in with `hf auth login`"),
            (f"\ufeff{WRITER}", "The token holds characters that no token has: log in with `hf auth login`"),
        ],
    )
    def test_other_tokens(self, refuses, monkeypatch, capfd, token, text):
        monkeypatch.setenv("HF_TOKEN", token or "")
        with refuses(text) as caught:
            check_push(REPO)
        assert caught.value.__context__ is None
        assert "hf_" not in "".join([str(caught.value), *capfd.readouterr()]).replace("`hf auth login`", "")

    def test_a_hub_that_cannot_be_reached(self, hub, refuses, monkeypatch):
        hub.refuse["whoami"] = 503
        with refuses("(503)"):
            check_push(REPO)
        turn_to("http://127.0.0.1:9", monkeypatch)
        with refuses("train first, and push the run afterwards"):
            check_push(REPO)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with refuses("HF_HUB_OFFLINE is set"):
            check_push(REPO)

    def test_a_gateway_s_own_page_is_no_hub(self, refuses, monkeypatch):
        monkeypatch.setattr("huggingface_hub.HfApi.whoami", lambda self: ["<html>"])
        with refuses("train first"):
            check_push(REPO)


class TestPull:
    def test_at_the_branch_a_tag_or_a_commit(self, hub, run):
        push(run, REPO)
        tag, first = tag_of(run), (run / WEIGHTS).read_bytes()
        change(run)
        push(run, REPO)
        commit, _ = hub.repositories[REPO].commits
        assert pull(REPO).read_bytes() == pull(REPO, "main").read_bytes() == (run / WEIGHTS).read_bytes()
        assert pull(REPO, tag).read_bytes() == pull(REPO, commit).read_bytes() == first

    def test_what_is_not_there(self, hub, run, refuses, monkeypatch):
        with refuses("There is no folder user/digits, nor a model of that name"):
            pull(REPO)
        push(run, REPO, private=True)
        with refuses("user/digits has no revision 'v9'"):
            pull(REPO, "v9")
        monkeypatch.setenv("HF_TOKEN", STRANGER)
        with refuses("refuses the token (401)"):
            pull(REPO)
        monkeypatch.setenv("HF_TOKEN", f"{WRITER}ü")
        with refuses("The token holds characters that no token has"):
            pull(REPO)
        monkeypatch.delenv("HF_TOKEN")
        with refuses("log in with `hf auth login`"):
            pull(REPO)

    def test_offline_the_cache_serves(self, run, refuses, monkeypatch):
        push(run, REPO)
        pull(REPO, tag_of(run))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert pull(REPO, tag_of(run)).read_bytes() == (run / WEIGHTS).read_bytes()
        with refuses("is not in the cache and HF_HUB_OFFLINE is set"):
            pull(REPO, "main")

    def test_the_cache_serves_too_when_the_server_is_down(self, run, refuses, monkeypatch):
        push(run, REPO)
        pull(REPO)
        turn_to("http://127.0.0.1:9", monkeypatch)
        assert pull(REPO).read_bytes() == (run / WEIGHTS).read_bytes()
        with refuses("could not be downloaded: check the connection"):
            pull(REPO, "v9")

    @pytest.mark.parametrize("source", [None, "bundled", "few-step", "run", f"run/{WEIGHTS}", "runs/missing"])
    def test_a_revision_of_what_is_not_on_the_hub(self, run, refuses, source):
        Path("runs").mkdir()
        with refuses("A revision belongs to weights on the Hub: name them as user/repo, or leave it out."):
            find(source, "v1")

    def test_weights_of_others_are_not_loaded(self, hub, run, refuses):
        push(run, REPO)
        hub.repositories[REPO].commits[hub.repositories[REPO].head][WEIGHTS] = b"no weights"
        with refuses("is damaged or not a safetensors file"):
            Pipeline.from_pretrained(REPO, device="cpu")


class TestCard:
    @pytest.fixture
    def card(self, run, tiny_denoiser) -> ModelCard:
        return ModelCard(model_card("user/123", "v1", run, tiny_denoiser.config))

    def test_the_metadata_is_the_hub_s(self, card):
        assert card.data.license == "mit"
        assert card.data.library_name == "pytorch"
        assert card.data.pipeline_tag == "unconditional-image-generation"
        assert card.data.datasets == ["ylecun/mnist"]
        assert {"diffusion", "mnist", "class-conditional"} <= set(card.data.tags)

    def test_the_results_come_back(self, card):
        results = card.data.eval_results
        assert card.data.model_name == "123"
        assert [(result.metric_type, result.metric_value) for result in results] == [
            ("accuracy", 0.998),
            ("frechet_distance", 0.576),
        ] * 2
        assert results[0].dataset_type == "ylecun/mnist"
        assert results[-1].metric_name == "frechet distance (ddpm, 20 steps, guidance 1)"
        recipe = {"guidance": 1, "guidance_interval": [0, 999], "steps": 20, "sampler": "ddpm", "spacing": "trailing"}
        assert results[-1].metric_args == recipe | {"eta": 0, "count": 200, "floor": 0.115}

    def test_evaluations_are_told_apart(self, run, tiny_denoiser):
        changes = [{}, {"eta": 0.5}, {"spacing": "karras"}, {"guidance_interval": [400, 700]}]
        first, _ = SCORES["runs"]
        runs = [first | {"recipe": first["recipe"] | change} for change in changes]
        (run / "scores.json").write_text(json.dumps({"runs": runs}))
        card = ModelCard(model_card(REPO, "v1", run, tiny_denoiser.config))
        results = [result for result in card.data.eval_results if result.metric_type == "accuracy"]
        headings = re.findall("^1,000 images.*:$", card.text, re.MULTILINE)
        for texts in ([result.metric_name for result in results], [str(r.metric_args) for r in results], headings):
            assert len(set(texts)) == len(changes)
        assert "1,000 images drawn with ddim, eta 0.5, 50 steps, guidance 2, from level 200 to 500:" in headings

    def test_the_text_shows_pictures_use_recipe_and_figures(self, card):
        assert "](digits-1000.png)" in card.text
        assert "](loss.png)" in card.text
        assert 'Pipeline.from_pretrained("user/123", revision="v1")' in card.text
        assert "| learning_rate | 0.001 |" in card.text
        assert "1,000 images drawn with ddim, 50 steps, guidance 2, from level 200 to 500:" in card.text
        assert "| frechet distance | 0.576 | 0.115 |" in card.text
        assert "someone" not in str(card)  # paths of one's own machine
        assert "The classes" not in card.text  # digits name themselves

    @pytest.mark.parametrize("setting", ["teacher", "init"])
    @pytest.mark.parametrize(
        ("source", "shown"),
        [(name, name) for name in ("bundled", "user/repo")]
        + [
            (path, UNPUBLISHED)
            for path in ("/home/someone/run", "run", "runs/mnist", f"someone/{WEIGHTS}", "../someone")
        ],
    )
    def test_weights_that_it_came_from_are_named_where_others_have_them(
        self, run, tiny_denoiser, setting, source, shown
    ):
        Path("runs").mkdir()
        (run / "config.json").write_text(json.dumps(SETTINGS | {"teacher": "", "init": ""} | {setting: source}))
        card = ModelCard(model_card(REPO, "v1", run, tiny_denoiser.config))
        assert re.findall(r"\| (?:teacher|init) \| .*", card.text) == [f"| {setting} | {shown} |"]
        assert f"--{setting} {shlex.quote(shown)}" in card.text
        assert "someone" not in str(card)

    def test_a_folder_with_nothing_but_weights_has_a_card_too(self, tiny_denoiser):
        card = ModelCard(model_card(REPO, "v1", "nowhere", tiny_denoiser.config))
        assert not card.data.eval_results
        assert "Train it again" not in card.text
        assert "![" not in card.text

    @pytest.mark.parametrize(
        ("dataset", "title", "ids"),
        [
            ("fashion-mnist", "Fashion-MNIST", ["zalando-datasets/fashion_mnist"]),
            ("emnist-digits", "EMNIST Digits", None),
            ("another", "another", None),
        ],
    )
    def test_other_datasets(self, run, tiny_denoiser, dataset, title, ids):
        (run / "config.json").write_text(json.dumps(SETTINGS | {"dataset": dataset}))
        card = ModelCard(model_card(REPO, "v1", run, tiny_denoiser.config))
        assert card.data.datasets == ids
        assert dataset in card.data.tags
        assert f"model of {title}," in card.text
        assert card.data.eval_results[0].dataset_name == title

    def test_classes_with_names_are_listed(self, tiny_denoiser):
        named = replace(tiny_denoiser.config, names=("T-shirt", "Trouser", *"23456789"))
        assert "The classes: 0 T-shirt, 1 Trouser, 2 2," in model_card(REPO, "v1", "nowhere", named)

    def test_the_command_that_trains_it(self):
        settings = {name: value for name, value in SETTINGS.items() if name not in ("data", "out")}
        assert training_command(settings | {"dataset": None}) == (
            "python train.py --channels 48,96 --attention '' --schedule flow --no-bounded \\\n"
            "    --learning-rate 0.001 --epochs 12"
        )
        assert training_command({"seed": 1, "preset": "small"}) == "python train.py --preset small --seed 1"
        assert training_command({"preset": "", "bounded": True}) == "python train.py --bounded"


PUSH = "from diffusion.hub.push import check_push, push; check_push('{repo}'); print(push('run', '{repo}'))"
PULL = "from diffusion import Pipeline; Pipeline.from_pretrained('{repo}', revision='{tag}').save_pretrained('{to}')"


@pytest.mark.process
def test_from_end_to_end_in_processes_of_their_own(hub, run):
    """Push, pull into a fresh cache, and load once more without a connection: as a user's shell would."""
    printed = []

    def python(script: str, home: str, **settings: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", script.format(repo=REPO, tag=tag_of(run), to=settings.pop("to", ""))],
            env={name: value for name, value in os.environ.items() if not name.startswith("HF_")}
            | {"PYTHONPATH": str(BUNDLED.parent), "HF_HOME": home, "HF_ENDPOINT": hub.address}
            | {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": WRITER}
            | settings,
            capture_output=True,
            text=True,
        )
        printed.append(ended.stdout + ended.stderr)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    before = content(run)
    assert python(PUSH, "pusher").strip() == f"{hub.address}/{REPO}/commit/{hub.repositories[REPO].head}"
    python(PULL, "puller", to="pulled")
    requests = len(hub.requests)
    python(PULL, "puller", to="again", HF_HUB_OFFLINE="1")
    assert len(hub.requests) == requests
    assert Path("pulled", WEIGHTS).read_bytes() == Path("again", WEIGHTS).read_bytes() == (run / WEIGHTS).read_bytes()
    assert content(run) == before
    assert WRITER not in "".join(printed)
    assert all(WRITER.encode() not in path.read_bytes() for path in Path().rglob("*") if path.is_file())


class TestTextToImage:
    """A model of others, in parts."""

    @pytest.fixture
    def drawn(self, hub, tmp_path):
        """Draws with user/if, which is on the Hub with weights in two precisions; `drawn()` gives the pixels."""
        folder = tiny_if.save(tmp_path / "if")
        tiny_if.unet().save_pretrained(folder / "unet", variant="fp16")
        files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        hub.repositories["user/if"] = Repository(False, {"c" * 40: files})

        def draw():
            pipe = Pipeline.from_pretrained("user/if", device="cpu")
            return pipe.told(["a cat"], tiny_if.embeddings("a cat"))([0], steps=1)

        return draw

    @staticmethod
    def downloaded(hub):
        """The weights that were downloaded, and not only asked about."""
        asked = [request.partition(" ") for request in hub.requests if request.endswith(".safetensors")]
        return [Path(path).name for command, _, path in asked if command == "GET"]

    def test_only_what_is_needed_is_downloaded_and_then_the_cache_serves(self, hub, drawn, monkeypatch):
        first = drawn()
        assert first.images.std() > 1
        assert self.downloaded(hub) == ["diffusion_pytorch_model.safetensors"]
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        close_session()
        again = drawn()
        assert (again.images == first.images).all()
        assert again.recipe.weights == first.recipe.weights

    def test_a_machine_that_is_too_small_downloads_no_weights(self, hub, drawn, refuses, monkeypatch):
        monkeypatch.setattr("diffusion.networks.parts.free_memory", lambda device: 1e5)
        with refuses("The unet of user/if needs 0."):
            drawn()
        assert self.downloaded(hub) == []

    def test_a_gated_one(self, hub, drawn, refuses):
        hub.refuse["user/if"] = (403, "GatedRepo")
        with refuses("accept its licence on its page on the Hub, and log in"):
            drawn()

    def test_no_way_to_the_rest(self, hub, drawn, refuses, monkeypatch):
        hub.refuse["diffusion_pytorch"] = 503
        with refuses("could not be downloaded: check the connection"):
            drawn()
