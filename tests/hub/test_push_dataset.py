"""A data set on the Hub: one commit with all of it and a card that tells how it was made, and it is read back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import READER, WRITER, Hub, Repository
from huggingface_hub import DatasetCard

from diffusion import Pipeline
from diffusion.__main__ import main
from diffusion.checkpoint import fingerprint
from diffusion.hub.data_card import MARK, data_card
from diffusion.hub.push import PushFailed, push_dataset

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own, of LFS uploads

REPO = "user/drawn"
KEPT = f"datasets/{REPO}"  # what the server knows it as


@pytest.fixture
def sample(tiny_denoiser, client):
    """Draws 40 digits to the folder out."""
    Pipeline(tiny_denoiser).save_pretrained("weights")

    def run(*flags: str) -> None:
        main(["sample", "--weights", "weights", "--steps", "2", "--count", "4", "--out", "out/", *flags])

    return run


def test_one_commit_carries_all_and_deletes_what_was_there(hub: Hub, sample, capsys):
    sample("--push-to-hub", REPO)
    repository = hub.repositories[KEPT]
    [first] = repository.commits
    assert capsys.readouterr().out.splitlines()[-1] == f"{hub.address}/{KEPT}/commit/{first}"
    assert set(repository.files("main")) == {"README.md", "index.json", "data/train-00000-of-00001.parquet"}
    for name, content in repository.files("main").items():
        assert (Path("out") / name).read_bytes() == content
    main(["sample", "--weights", "weights", "--steps", "2", "--format", "webdataset", "--out", "other/"])
    first_files = repository.files("main")
    repository.commits[first] = first_files | {"notes.txt": b"mine"}
    push_dataset("other", REPO)
    assert repository.files("main").pop("notes.txt") == b"mine"  # which is none of the data set
    now = {"README.md", "index.json", "data/train-000000.tar"}
    assert set(repository.files("main")) == now
    assert len(repository.commits) == 2


def test_an_upload_that_breaks_off_is_taken_up_again(hub: Hub, sample, capsys):
    hub.refuse["commit"] = 503
    with pytest.raises(SystemExit):
        sample("--push-to-hub", REPO)
    error = capsys.readouterr().err.partition("diffusion: ")[2]
    assert error == "The Hub refused (503): wait a little; the data set is safe, push it again with the same command.\n"
    assert WRITER not in error
    assert not hub.repositories[KEPT].commits
    sent = hub.count("PUT /lfs/")
    hub.refuse.clear()
    sample("--push-to-hub", REPO)  # nothing is drawn again
    assert len(hub.repositories[KEPT].commits) == 1
    assert (sent, hub.count("PUT /lfs/")) == (1, 1)


def test_a_wrong_token_is_refused_before_anything_is_drawn(hub: Hub, sample, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(SystemExit):
        sample("--push-to-hub", REPO)
    assert "This token may only read" in (error := capsys.readouterr().err)
    assert "or draw first, and push the data set afterwards." in error
    assert not Path("out").exists()


def test_nothing_private_goes_to_a_public_repository(hub: Hub, sample, refuses):
    sample()
    push_dataset("out", REPO)
    with refuses("exists and is public"):
        push_dataset("out", REPO, private=True)
    push_dataset("out", "user/secret", private=True)
    assert hub.repositories["datasets/user/secret"].private


def test_what_others_keep_there_is_left_alone(hub: Hub, sample, refuses):
    hub.repositories[KEPT] = Repository(False, {"0" * 40: {"precious.csv": b"1,2"}})
    sample()
    with refuses("holds something else than a data set that was drawn here"):
        push_dataset("out", REPO)
    assert list(hub.repositories[KEPT].commits) == ["0" * 40]


@pytest.mark.parametrize("files", [7, ["../weights/model.safetensors"], None])
def test_a_damaged_index_uploads_nothing(hub: Hub, sample, refuses, files):
    sample()
    index = json.loads(Path("out/index.json").read_text())
    Path("out/index.json").write_text(json.dumps(index | {"files": files}))
    with refuses("has a damaged index"):
        push_dataset("out", REPO)
    assert not hub.repositories


def test_what_cannot_be_pushed(hub: Hub, sample, refuses, capsys):
    sample("--count", "26", "--shard", "1/2", "--out", "half/", "--push-to-hub", REPO)  # who draws the last one pushes
    assert capsys.readouterr().out.strip() == "1 of 2 shards is still missing in half."
    with refuses("holds no whole data set"):
        push_dataset("half", REPO)
    main(["sample", "--weights", "weights", "--steps", "1", "--format", "images", "--out", "many/"])
    with refuses("a few large files"):
        push_dataset("many", REPO)
    with pytest.raises(SystemExit):
        sample("--format", "images", "--out", "more/", "--push-to-hub", REPO)
    assert "choose another --format" in capsys.readouterr().err
    assert not Path("more").exists()  # before anything is drawn
    sample()
    next(Path("out/data").iterdir()).unlink()
    with refuses("is missing: draw the data set again"):
        push_dataset("out", REPO)
    with refuses("as user/repo"):
        push_dataset("out", "drawn")
    hub.refuse["create"] = 500
    sample("--out", "whole/")
    with refuses("wait a little; the data set is safe", PushFailed):
        push_dataset("whole", REPO)
    assert not hub.repositories


class TestCard:
    def test_it_tells_how_the_data_set_was_made(self, sample):
        sample("--digits", "0-9", "--read", "--reject", "--seed", "5")
        card = DatasetCard.load("out/README.md")
        index = json.loads(Path("out/index.json").read_text())
        assert card.data.license == "mit"
        assert card.data.task_categories == ["image-classification"]
        assert card.data.size_categories == ["n<1K"]
        assert "synthetic" in card.data.tags
        assert card.data.configs[0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
        command = "python -m diffusion sample --weights WEIGHTS --digits 0-9 --count 4 --steps 2 --seed 5 --reject"
        assert f"{command} --out digits/" in card.text
        assert f"{index['kept']} labelled images, 28 x 28 pixels, grey. They are synthetic" in card.text
        assert f"A classifier, trained on real images, read {index['right']} of 40 as asked" in card.text
        assert f"| weights | {fingerprint(Path('weights/model.safetensors'))} |" in card.text

    def test_it_has_the_figures_of_the_same_weights_and_settings(self, sample):
        sample()
        settings = json.loads(Path("out/index.json").read_text())["settings"]
        figures = {"accuracy": {"value": 0.5, "floor": 0.995}}

        def scored(**other) -> dict:
            return figures | {"recipe": settings | other, "count": 1000, "weights": settings["weights"]}

        others = [scored(steps=3), scored(thickness=3), scored(hand="many")]
        runs = [scored(), *(other | {"accuracy": {"value": 0.25, "floor": 0.995}} for other in others)]
        Path("out/scores.json").write_text(json.dumps({"runs": [*runs, scored() | {"weights": "00000000"}]}))
        sample()
        card = Path("out/README.md").read_text()
        assert "| accuracy | 0.5 | 0.995 |" in card
        assert "0.25" not in card
        assert card.count("| accuracy |") == 1
        index = json.loads(Path("out/index.json").read_text())
        Path("out/index.json").write_text(json.dumps(index | {"usual": False}))  # with words like thick, say
        sample()
        assert "| accuracy |" not in Path("out/README.md").read_text()

    def test_what_somebody_wrote_into_it_stays(self, sample):
        sample()
        Path("out/README.md").write_text(Path("out/README.md").read_text().replace(MARK, "My own words."))
        sample()
        assert "My own words." in Path("out/README.md").read_text()

    def test_strings(self, sample):
        sample("--count", "1", "--strings", "5")
        card = DatasetCard.load("out/README.md")
        assert card.data.task_categories == ["image-to-text"]
        assert "5 strings, each a picture of several digits in a row with its text, 28 pixels high" in card.text

    def test_a_damaged_index(self, sample, refuses):
        sample()
        index = json.loads(Path("out/index.json").read_text())
        Path("out/index.json").write_text(json.dumps(index | {"settings": 7}))
        with refuses("has a damaged index"):
            data_card("out", REPO)


LOAD = """
from datasets import load_dataset
data = load_dataset("user/drawn", split="train")
print(len(data), data.features["label"].names[3], sorted(set(data["label"])), data[39]["image"].size)
"""


@pytest.mark.process
def test_it_is_read_back_by_datasets(hub: Hub, sample):
    sample("--push-to-hub", REPO)
    ended = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        | {"HF_HOME": "reader", "HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr + "\n".join(hub.requests[-20:])
    assert ended.stdout == "40 3 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] (28, 28)\n"
