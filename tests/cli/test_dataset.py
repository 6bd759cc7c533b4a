"""python -m diffusion sample --out FOLDER/: the same for any number of processes, and nothing is lost or doubled."""

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from machines import ENVIRONMENT, torchrun, two_machines
from PIL import Image

from diffusion import BadInput, Pipeline
from diffusion.__main__ import main
from diffusion.evaluation.readback import Reading
from diffusion.evaluation.reader import load_reader
from diffusion.files.shards import Shards
from diffusion.team import Team

ROOT = Path(__file__).parents[2]
BATCH = 7  # of these tests; 40 images are 6 batches


@pytest.fixture
def sample(weights: str, tmp_path: Path, monkeypatch):
    """Draws 40 digits to a folder, but for what is asked otherwise."""
    monkeypatch.setattr("diffusion.cli.dataset_drawing.BATCH", BATCH)
    monkeypatch.chdir(tmp_path)

    def run(*flags: str, out: str = "out/", digits: str | None = "0-9", format: str | None = "npz") -> None:
        usual = ["--weights", weights, "--steps", "2", "--count", "4"]
        usual += [] if digits is None else ["--digits", digits]
        usual += [] if format is None else ["--format", format]
        main(["sample", *usual, "--out", out, *flags])

    return run


@pytest.fixture
def refused(sample, capsys):
    """Runs what must end in one sentence, and returns that."""

    def run(*flags: str, **where) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            sample(*flags, **where)
        assert exit.value.code == 2
        sentence = capsys.readouterr().err.partition("diffusion: ")[2].strip()  # a bar may stand before it
        assert sentence.endswith(".")
        assert "\n" not in sentence
        return sentence

    return run


def content(folder: str) -> bytes:
    return (Path(folder) / "digits.npz").read_bytes()


def shards(folder: str = "out") -> list[str]:
    return sorted(path.name for path in Path(folder).glob("shards/*"))


def test_shards_in_any_order_and_number_make_the_same_data_set(sample, capsys):
    sample("--shards", "1", out="whole/")
    for k in (2, 3, 1):
        assert not Path("out/index.json").exists()
        capsys.readouterr()
        sample("--shard", f"{k}/3")
    assert capsys.readouterr().out == "40 images in out\n"
    assert content("out") == content("whole")
    assert not Path("out/shards").exists()
    with np.load("out/digits.npz") as file:
        assert file["seeds"].tolist() == list(range(40))
        assert file["labels"].tolist() == list(range(10)) * 4
    index = json.loads(Path("out/index.json").read_text())
    assert (index["images"], index["kept"], index["shards"]) == (40, 40, 3)
    assert index["labels"] == {str(label): 4 for label in range(10)}


def test_what_is_stopped_goes_on_where_it_was(sample, monkeypatch, capsys):
    sample(out="whole/")
    drawn = []
    run = Pipeline.run

    def run_some(self, recipe, *edit):
        if len(drawn) == 4:
            raise KeyboardInterrupt
        drawn.append(recipe.seed)
        return run(self, recipe, *edit)

    monkeypatch.setattr(Pipeline, "run", run_some)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        sample("--shards", "3")  # in the fourth of its six batches, the first of the third shard
    assert "Stopped: what is written stays, and the same command goes on" in capsys.readouterr().err
    assert shards() == ["00001-of-00003.npz", "00002-of-00003.npz"]
    drawn.clear()
    for name in ("notes.txt", ".0a1b2c3d.part"):
        Path("out/shards", name).write_text("")
    sample("--shards", "3")
    assert drawn == [28, 35]
    assert [path.name for path in Path("out/shards").iterdir()] == ["notes.txt"]  # and no file that was half written
    assert content("out") == content("whole")
    drawn.clear()
    sample("--shards", "3")
    assert drawn == []  # nothing was left


def test_two_last_steps_at_once_lose_nothing(sample, monkeypatch):
    sample(out="whole/")
    write_all = Shards._write_all

    def overtaken(*arguments):
        write_all(*arguments)
        raise FileNotFoundError(2, "No such file or directory")  # which the other one has deleted

    monkeypatch.setattr(Shards, "_write_all", overtaken)
    sample()
    assert content("out") == content("whole")


def test_a_full_disk_ends_in_a_sentence_and_what_is_written_stays(sample, refused, monkeypatch):
    save = np.savez_compressed

    def saves_two(file, **arrays):
        file.write(b"half")
        if len(shards()) > 2:  # two, and the one that is begun
            raise OSError(28, "No space left on device")
        file.seek(0)
        save(file, **arrays)

    monkeypatch.setattr(np, "savez_compressed", saves_two)
    assert "No space left on device. Free space" in refused("--shards", "3")
    assert shards() == ["00001-of-00003.npz", "00002-of-00003.npz"]


def test_what_is_half_written_at_the_end_is_written_again_in_any_format(sample, refused, monkeypatch):
    def full(path, content):
        if path.suffix == ".png" and len(list(Path("out").rglob("*.png"))) == 5:
            raise BadInput(f"Cannot write {path}: No space left on device. Free space or choose another path.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr("diffusion.files.formats.write_bytes", full)
        assert "No space left on device. Free space" in refused("--shards", "3", "--format", "images")
    assert [path.name for path in Path("out").iterdir() if path.is_dir()] == ["shards"]
    sample("--shards", "3")
    assert {path.name for path in Path("out").iterdir()} == {"digits.npz", "index.json", "README.md"}


def test_chance_picks_the_same_digits_in_every_process(sample):
    for k in (1, 2):
        sample("--digits", "three random digits", "--seed", "3", "--shard", f"{k}/2")
    sample("--digits", "three random digits", "--seed", "3", out="whole/")
    assert content("out") == content("whole")


def test_only_what_reads_right_is_kept_and_counted(sample, capsys):
    reader = load_reader()
    capsys.readouterr()
    sample("--reject")
    total, kept = capsys.readouterr().out.splitlines()
    with np.load("out/digits.npz") as file:
        labels, seeds = file["labels"], file["seeds"]
        assert (reader.read(file["images"])[0].argmax(1) == labels).all()
    assert 0 < len(labels) < 40  # these weights are random
    assert total == f"{len(labels)} of 40 read as asked, 40 drawn, {40 - len(labels)} left out"
    assert kept.startswith(f"{len(labels)} image")
    assert (seeds % 10 == labels).all()  # each still with its own seed


def rows(folder: str = "out") -> dict[str, list]:
    """What a reader of WebDataset files finds: of each ending, the contents in order."""
    found: dict[str, list] = {"png": [], "cls": [], "txt": [], "json": []}
    for path in sorted(Path(folder).glob("data/*.tar")):
        with tarfile.open(path) as archive:
            for entry in archive:
                data = archive.extractfile(entry).read()
                ending = entry.name.split(".")[1]
                read = {"png": lambda data: np.asarray(Image.open(io.BytesIO(data))), "json": json.loads}
                found[ending].append(read.get(ending, bytes.decode)(data))
    return found


class TestStrings:
    """Digits in one row as one picture with its text."""

    FLAGS = ("--digits", "0-9", "--count", "1", "--strings", "9", "--length", "2-4", "--format", "webdataset")

    def test_each_picture_shows_the_digits_of_its_text(self, sample, weights):
        sample(*self.FLAGS, "--shard", "2/2", "--seed", "5")
        sample(*self.FLAGS, "--shards", "2", "--seed", "5")
        found = rows()
        texts = found["txt"]
        assert len(texts) == 9
        assert {len(text) for text in texts} == {2, 3, 4}
        assert [picture.shape for picture in found["png"]] == [(28, 28 * len(text)) for text in texts]
        seeds = [about["seed"] for about in found["json"]]
        assert seeds == [5 + sum(map(len, texts[:k])) for k in range(9)]
        alone = Pipeline.from_pretrained(weights)([int(digit) for digit in texts[4]], steps=2, seed=seeds[4])
        np.testing.assert_allclose(np.concatenate(alone.images, 1).astype(int), found["png"][4].astype(int), atol=1)

    def test_one_hand_writes_each_where_the_weights_know_styles(self, make_denoiser, styles, sample, tmp_path):
        Pipeline(make_denoiser(styles=styles)).save_pretrained(tmp_path / "styled")
        sample(*self.FLAGS, "--weights", str(tmp_path / "styled"))
        found = rows()
        text, seed = found["txt"][3], found["json"][3]["seed"]
        pipe = Pipeline.from_pretrained(str(tmp_path / "styled"))
        alone = pipe([int(digit) for digit in text], steps=2, seed=seed, hand=seed)
        np.testing.assert_allclose(np.concatenate(alone.images, 1).astype(int), found["png"][3].astype(int), atol=1)

    def test_a_hand_has_the_thickness_that_is_asked_for(self, make_denoiser, styles, sample, refused, tmp_path):
        Pipeline(make_denoiser(styles=styles)).save_pretrained(tmp_path / "styled")
        flags = (*self.FLAGS, "--weights", str(tmp_path / "styled"))
        sample(*flags, "--thickness", "3")
        found = rows()
        text, seed = found["txt"][3], found["json"][3]["seed"]
        pipe = Pipeline.from_pretrained(str(tmp_path / "styled"))
        alone = pipe([int(digit) for digit in text], steps=2, seed=seed, hand=seed, thickness=3)
        np.testing.assert_allclose(np.concatenate(alone.images, 1).astype(int), found["png"][3].astype(int), atol=1)
        assert "in another hand than their string" in refused(*flags, "--until-right", "2", "--hand", "many")
        sample(*flags, "--until-right", "2", "--hand", "5", "--out", "again/")

    def test_a_string_is_left_out_where_a_digit_is_misread(self, sample, capsys):
        sample(*self.FLAGS, "--length", "1-2", "--strings", "40", "--reject")
        reader = load_reader()
        found = rows()
        assert 0 < len(found["txt"]) < 40
        for picture, text in zip(found["png"], found["txt"], strict=True):
            digits = np.stack(np.split(picture, len(text), 1))
            assert reader.read(digits)[0].argmax(1).tolist() == [int(digit) for digit in text]

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            (["--length", "41"], "A row holds at most 40 digits, not 41: ask for shorter strings"),
            (["--length", "3-2"], "length must be like 5 or 4-6, not '3-2'"),
            (["--strings", "0"], "--strings must be a whole number from 1 to 250,000, not 0"),
            (["--strings", "some"], "--strings must be a whole number from 1"),
            (["--count", "2"], "leave --count, --like and --recipe out"),
            (["--format", "npz"], "npz holds no texts: choose one of parquet, webdataset, images for strings"),
        ],
    )
    def test_what_cannot_be(self, refused, flags, sentence):
        assert sentence in refused(*self.FLAGS, *flags)

    def test_a_length_without_strings(self, refused):
        assert "say how many with --strings" in refused("--length", "3")


def test_as_many_as_in_a_file_or_what_it_lacks(sample):
    Path("labels.csv").write_text("file,label\na,7\nb,7\nc,3\nd,7\n")
    flags = ("--like", "labels.csv", "--count", "1", "--format", "webdataset")
    sample(*flags, digits=None)
    assert rows()["cls"] == ["7", "7", "3", "7"]
    sample(*flags, "--balance", digits=None, out="more/")
    assert rows("more")["cls"] == ["3", "3"]


class TestBadInput:
    def test_labels(self, refused):
        Path("labels.csv").write_text("3\n7\n")
        like = ["--like", "labels.csv"]
        assert "leave --digits out" in refused(*like)
        assert "as many of each class already" in refused(*like, "--balance", digits=None)
        assert "name it with --like" in refused("--balance")

    def test_shards_that_do_not_fit_together(self, sample, refused, make_denoiser):
        sample("--shard", "2/3")
        assert "of a data set of 40 images, not 50" in refused("--count", "5", "--shard", "1/3")
        assert "of a data set in 3 shards, not 4" in refused("--shard", "1/4")
        assert "by another recipe, or by other weights" in refused("--seed", "1", "--shard", "1/3")
        assert "by another recipe, or by other weights" in refused("--until-right", "2", "--shard", "1/3")
        shutil.copy("out/shards/00002-of-00003.npz", "out/shards/00001-of-00003.npz")
        assert "is a copy of shard 2" in refused("--shard", "3/3")
        Path("out/shards/00001-of-00003.npz").write_bytes(b"PK")
        assert "is damaged or no shard: delete it" in refused("--shard", "3/3")

    def test_a_shard_of_another_version(self, sample, refused, monkeypatch):
        sample("--shard", "2/3")
        monkeypatch.setattr("diffusion.files.plan.VERSION", 0)
        assert "another version of this project" in refused("--shard", "1/3")

    def test_another_data_set_in_the_folder(self, sample, refused):
        sample()
        assert "index.json was drawn by another recipe" in refused("--seed", "1")
        assert "holds this data set as npz" in refused("--format", "images")
        Path("full").mkdir()
        Path("full/photo.jpg").write_text("")
        assert "full holds something else than a data set" in refused(out="full/")
        Path("full/shards").mkdir()
        Path("full/shards/mine.tar").write_text("")
        assert "full holds something else than a data set" in refused(out="full/")
        sample("--shard", "1/3", out="half/")
        Path("half/digits.npz").write_text("mine")
        sample("--shard", "2/3", out="half/")
        assert "digits.npz is in the way" in refused("--shard", "3/3", out="half/")
        assert Path("half/digits.npz").read_text() == "mine"
        Path("half/digits.npz").unlink()
        sample("--shards", "3", out="half/")
        assert content("half") == content("out")
        Path("out/index.json").write_text("{")
        assert "index.json is damaged" in refused()

    @pytest.mark.parametrize("format", ["npz", "images", "idx"])
    def test_nothing_that_reads_right(self, refused, monkeypatch, format):
        wrong = Reading(7, read=0, likely=1.0, likely_label=0.0, name="0")
        monkeypatch.setattr(
            "diffusion.cli.dataset_drawing.read", lambda pipe, reader, result: [wrong] * len(result.images)
        )
        assert "None of 40 images is left" in refused("--reject", "--format", format, out=f"{format}/")

    def test_a_shard_that_is_damaged_inside(self, sample, refused):
        sample("--shard", "2/3")
        path = Path("out/shards/00002-of-00003.npz")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
        assert "00002-of-00003.npz is damaged or no shard: delete it" in refused("--shards", "3")
        path.unlink()
        sample("--shards", "3")  # the others were not lost

    def test_a_process_that_would_draw_other_images(self, refused, monkeypatch):
        monkeypatch.setattr(
            "diffusion.team.Team.agree", lambda self, text: text.replace('"images": 40', '"images": 50')
        )
        assert "would draw other images than the leading one" in refused()

    def test_several_processes_for_a_single_file(self, refused, monkeypatch):
        monkeypatch.setattr("diffusion.team.Team.started", lambda: 2)
        monkeypatch.setattr("diffusion.team.Team.join", lambda: Team(0, 2, torch.device("cpu")))
        monkeypatch.setattr("diffusion.team.Team.count", lambda *_: 1)  # nobody waits
        assert "Several processes draw a data set: give --out a folder" in refused(out="out.npz", format=None)

    def test_a_shard_that_is_missing_is_told(self, sample, capsys):
        capsys.readouterr()
        sample("--shard", "2/3")
        assert capsys.readouterr().out == "2 of 3 shards are still missing in out.\n"

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            (["--shard", "4/3"], "--shard must be like 3/16, the third of 16 shards, not '4/3'"),
            (["--shard", "0/3"], "--shard must be like 3/16"),
            (["--shard", "x"], "--shard must be like 3/16"),
            (["--shard", "1/7"], "--shards must be a whole number from 1 to 6, not 7"),
            (["--shards", "0"], "--shards must be a whole number from 1 to 6, not 0"),
            (["--shards", "3", "--shard", "1/3"], "leave --shards out"),
            (["--format", "jpeg"], "--format must be one of "),
            (["--guidance", "0"], "At guidance 0 the labels of a data set would mean nothing"),
            (["--panel", "3"], "--panel belongs to a picture"),
            (["--precision", "auto"], "choose fp32 or bf16"),
            (["--digits", "7", "--count", "1", "--format", "idx"], "Draw at least 2 images"),
        ],
    )
    def test_flags(self, refused, flags, sentence):
        assert sentence in refused(*flags)
        assert not Path("out").exists()

    @pytest.mark.parametrize("flags", [["--shard", "1/3"], ["--reject"], ["--shards", "0"]])
    def test_what_only_a_data_set_has(self, refused, flags):
        assert "give --out a folder, like digits/" in refused(*flags, out="digits.npz", format=None)


@pytest.mark.process
class TestProcesses:
    """What torchrun starts."""

    @staticmethod
    def command(processes: int, weights: str, *flags: str) -> list[str]:
        usual = ["--weights", weights, "--steps", "2", "--digits", "0-9", "--count", "100", "--format", "npz"]
        return [*torchrun(processes), "-m", "diffusion", "sample", *usual, *flags]

    def together(self, *asked) -> subprocess.CompletedProcess:
        how = {"env": ENVIRONMENT, "capture_output": True, "text": True, "cwd": ROOT}
        return subprocess.run(self.command(*asked), **how, timeout=240, check=False)

    def test_one_and_three_draw_the_same(self, weights, tmp_path):
        usual = ["--weights", weights, "--steps", "2", "--digits", "0-9", "--count", "100", "--format", "npz"]
        torch.set_num_threads(1)
        main(["sample", *usual, "--out", f"{tmp_path}/one/"])
        done = self.together(3, weights, "--out", f"{tmp_path}/three/")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"1,000 images in {tmp_path}/three\n"
        assert done.stderr.count("draw:   0%") == 1  # one bar
        assert content(tmp_path / "three") == content(tmp_path / "one")

    def test_when_one_dies_the_others_end_and_all_go_on_later(self, weights, tmp_path):
        flags = ["--steps", "20", "--out", f"{tmp_path}/out/"]
        with (tmp_path / "log").open("w+") as log:
            team = subprocess.Popen(self.command(2, weights, *flags), env=ENVIRONMENT, cwd=ROOT, stderr=log)
            deadline = time.monotonic() + 120
            while not list(tmp_path.glob("out/shards/0*")) and time.monotonic() < deadline:
                time.sleep(0.01)
            _, follower = Path(f"/proc/{team.pid}/task/{team.pid}/children").read_text().split()
            os.kill(int(follower), signal.SIGKILL)
            assert team.wait(60)
        told = "Stopped: what is written stays, and the same command goes on with the rest.\n"
        assert (tmp_path / "log").read_text().count(told) == 1
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/shards/0*")}
        assert 0 < len(before) < 4
        last = max(k for k in range(1, 5) if not (tmp_path / f"out/shards/0000{k}-of-00004.npz").exists())
        usual = ["--weights", weights, "--digits", "0-9", "--count", "100", "--format", "npz", "--steps", "20"]
        if len(before) < 3:
            main(["sample", *usual, "--shard", f"{last}/4", "--out", f"{tmp_path}/out/"])
            assert {path: path.stat().st_mtime_ns for path in before} == before  # what was there was skipped
        assert self.together(2, weights, *flags).returncode == 0
        main(["sample", *usual, "--out", f"{tmp_path}/again/"])
        assert content(tmp_path / "out") == content(tmp_path / "again")

    def test_what_is_refused_is_refused_once(self, weights, tmp_path):
        done = self.together(2, weights, "--count", "20", "--out", f"{tmp_path}/out/")
        assert done.returncode
        assert done.stderr.count("There are 2 processes for 1 shards") == 1

    def test_two_machines_with_different_code(self, weights, tmp_path):
        shutil.copytree(ROOT / "diffusion", tmp_path / "other/diffusion", ignore=shutil.ignore_patterns("__pycache__"))
        with (tmp_path / "other/diffusion/noise.py").open("a") as file:
            file.write("# a change\n")
        program = ["-m", "diffusion", "sample", "--weights", weights, "--digits", "0-9", "--out", f"{tmp_path}/out/"]
        with two_machines(program, ROOT, tmp_path / "other") as machines:
            said = [machine.communicate(timeout=120)[0] for machine in machines]
        assert all(machine.returncode for machine in machines)
        assert all("The processes run different code: bring all machines to one version" in text for text in said), said
        assert not (tmp_path / "out").exists()
