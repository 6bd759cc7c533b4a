"""python -m diffusion evaluate and train-reader: around diffusion.evaluation, on 300 digits."""

import json
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from machines import ENVIRONMENT, torchrun

from diffusion import Pipeline, checkpoint
from diffusion.__main__ import main
from diffusion.evaluation import figures, judge
from diffusion.evaluation.reader import READER, load_reader, save_reader

PROGRAM = """
import os
from pathlib import Path
from diffusion.__main__ import main
from diffusion.evaluation import figures, judge, reader

def noted(*images, train=reader.train_reader, **how):
    Path(__file__).with_name("judged-by-" + os.environ["RANK"]).touch()
    return train(*images, **how)

figures.ENOUGH = judge.ENOUGH = 1  # few lessons for the classifiers
figures.train_reader = noted
judge.quickest_precision = lambda device: "fp32"
main()
"""


class TestEvaluate:
    """The command around diffusion.evaluation.judge, on 300 digits."""

    @pytest.fixture(autouse=True)
    def enough_digits(self, monkeypatch, digits) -> None:
        images, labels = digits
        monkeypatch.setattr("diffusion.data.load", lambda *_, train: (images.repeat(2, 1, 1), labels.repeat(2)))

    @staticmethod
    def evaluate(weights: str, *flags: str) -> None:
        main(["evaluate", "--weights", weights, "--count", "20", "--quick", *flags])

    def test_one_json_object_is_printed(self, weights, capsys) -> None:
        self.evaluate(weights, "--steps", "1")
        scores = json.loads(capsys.readouterr().out)
        assert (scores["count"], scores["recipe"]["steps"], scores["recipe"]["digits"]) == (200, 1, list(range(10)))
        assert scores["weights"] == checkpoint.fingerprint(Path(weights) / checkpoint.WEIGHTS)
        assert scores["reader"] == checkpoint.fingerprint(READER)

    @pytest.mark.process
    def test_several_processes_come_to_the_same_score(self, weights, digits, tmp_path, capsys, monkeypatch) -> None:
        """200 digits in two parts, of which one of three processes draws none; one process judges on two cores."""
        images, labels = (part.repeat(2, *[1] * (part.ndim - 1)) for part in digits)
        monkeypatch.setattr("diffusion.data.load", lambda *_, train: (images, labels))
        raw = tmp_path / "data/MNIST/raw"
        raw.mkdir(parents=True)
        for part in ("train", "t10k"):
            for kind, array in (("images-idx3", images.numpy()), ("labels-idx1", labels.numpy().astype(np.uint8))):
                header = np.array([0x0800 + array.ndim, *array.shape], ">i4").tobytes()
                (raw / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
        program = tmp_path / "evaluate.py"
        program.write_text(PROGRAM)
        monkeypatch.setattr(figures, "ENOUGH", 1)
        monkeypatch.setattr(judge, "ENOUGH", 1)
        monkeypatch.setattr(judge, "quickest_precision", lambda device: "fp32")
        usual = ["evaluate", "--weights", weights, "--count", "20", "--steps", "1", "--data", str(tmp_path / "data")]
        torch.set_num_threads(2)
        main(usual)
        alone = json.loads(capsys.readouterr().out)
        together = subprocess.run(
            [*torchrun(3), program, *usual],
            env=ENVIRONMENT | {"PYTHONPATH": str(checkpoint.BUNDLED.parent)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert together.returncode == 0, together.stderr
        assert alone["count"] == 200
        told = [alone[f"told_apart_by_{number}"]["value"] for number in (1, 2, 3)]
        assert alone["told_apart"]["value"] == pytest.approx(np.mean(told))
        assert json.loads(together.stdout) == alone
        assert len(list(tmp_path.glob("judged-by-*"))) > 1

    def test_a_sweep_is_one_object_or_one_table_with_its_files(self, weights, tmp_path, capsys) -> None:
        flags = ["--steps", "1,2", "--guidance", "1,2", "--sampler", "ddpm", "--out", str(tmp_path / "sweep")]
        self.evaluate(weights, *flags)
        runs = json.loads(capsys.readouterr().out)["runs"]
        assert {(run["recipe"]["sampler"], run["recipe"]["steps"], run["recipe"]["guidance"]) for run in runs} == set(
            product(("ddpm",), (1, 2), (1, 2))
        )
        assert {run["weights"] for run in runs} == {checkpoint.fingerprint(Path(weights) / checkpoint.WEIGHTS)}
        assert {run["reader"] for run in runs} == {checkpoint.fingerprint(READER)}
        self.evaluate(weights, *flags, "--table")
        table = capsys.readouterr().out
        assert table.strip() == (tmp_path / "sweep" / "table.md").read_text().strip()
        assert len(list((tmp_path / "sweep").glob("worst-*.png"))) == 4

    def test_digits_by_lot_are_the_same_for_all_of_a_sweep(self, weights, tmp_path, monkeypatch) -> None:
        swept = []
        monkeypatch.setattr(
            "diffusion.evaluation.sweep.sweep", lambda pipe, recipes, *_, **__: swept.extend(recipes) or [{}]
        )
        flags = ["--digits", "20 random digits", "--sampler", "ddim, heun", "--out", str(tmp_path / "sweep")]
        self.evaluate(weights, *flags)
        assert [recipe.sampler for recipe in swept] == ["ddim", "heun"]
        assert swept[0].digits == swept[1].digits

    def test_scores_of_two_precisions_are_not_mixed(self, weights, tmp_path, capsys) -> None:
        flags = ["--steps", "1", "--out", str(tmp_path / "sweep")]
        self.evaluate(weights, *flags, "--precision", "bf16")
        assert json.loads(capsys.readouterr().out)["drawn_in"] == "bf16"
        with pytest.raises(SystemExit):
            self.evaluate(weights, *flags)
        assert "is of other weights, digits, settings or an earlier judge" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            (["--steps", "1,2"], "A sweep needs a folder to keep its scores in: add --out."),
            (["--steps", "4,x", "--out", "sweep"], "steps must be a whole number from 1 to 1,000, not 'x'."),
            (
                ["--sampler", "ddim,euler", "--out", "sweep"],
                "sampler must be one of ddim, ddpm, dpm++2m, heun, ipndm, abm, not 'euler'.",
            ),
            (
                ["--spacing", "karras,even", "--out", "sweep"],
                "spacing must be one of trailing, log-snr, karras, shifted",
            ),
            (["--count", "19"], "Evaluation needs at least 200 digits to mean anything, not 190: ask for more."),
            (["--count", "31"], "Evaluating 31 images of class 0 needs 62 real ones"),
            (["--dataset", "cifar10"], "These weights do not draw cifar10: name their data with --dataset."),
            (["--dataset", "imagenet"], "--dataset must be one of mnist, "),
            (["--precision", "fp16"], "precision must be one of auto, "),
            (["--reader", "nowhere"], "There is no reader at nowhere"),
            (["--weights", "nowhere/at/all"], "There is no checkpoint at nowhere/at/all"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_bad_input_is_one_sentence(self, weights, capsys, flags, sentence) -> None:
        with pytest.raises(SystemExit) as exit:
            self.evaluate(weights, *flags)
        assert exit.value.code == 2
        errors = capsys.readouterr().err
        assert sentence in errors
        assert "Traceback" not in errors

    def test_the_reader_of_another_data_set_is_refused(self, weights, tmp_path, capsys) -> None:
        reader = load_reader()
        reader.dataset = "kmnist"
        save_reader(reader, tmp_path / "reader.safetensors")
        with pytest.raises(SystemExit):
            self.evaluate(weights, "--reader", str(tmp_path / "reader.safetensors"))
        assert "This reader reads kmnist: make another" in capsys.readouterr().err

    @pytest.mark.training
    def test_a_reader_goes_where_its_data_set_belongs(self, tmp_path, monkeypatch, capsys) -> None:
        monkeypatch.chdir(tmp_path)
        main(["train-reader", "--dataset", "kmnist", "--epochs", "1"])
        assert load_reader("runs/kmnist/reader.safetensors").dataset == "kmnist"
        assert "600 test images are read right" in capsys.readouterr().out

    def test_the_reader_learns_and_judges_as_real_what_it_should(self, weights, tmp_path, monkeypatch, capsys) -> None:
        split = {
            train: (torch.full((600, 28, 28), 7 if train else 9, dtype=torch.uint8), torch.arange(600) % 10)
            for train in (True, False)
        }
        monkeypatch.setattr("diffusion.data.load", lambda *_, train: split[train])
        given = {}
        monkeypatch.setattr("diffusion.evaluation.judge.evaluate", lambda *_, **real: given.update(real) or {})
        self.evaluate(weights)
        assert (given["train"], given["test"]) == (split[True], split[False])
        learnt = []
        monkeypatch.setattr(
            "diffusion.cli.evaluate.train_reader", lambda *images, **_: learnt.extend(images) or load_reader()
        )
        main(["train-reader", "--out", str(tmp_path / "reader.safetensors")])
        assert learnt == list(split[True])

    def test_a_reader_that_cannot_be_written_is_not_trained(self, tmp_path, monkeypatch, capsys) -> None:
        monkeypatch.setattr("diffusion.cli.evaluate.train_reader", lambda *_, **__: pytest.fail("trained"))
        (tmp_path / "file").write_text("")
        with pytest.raises(SystemExit):
            main(["train-reader", "--out", str(tmp_path / "file" / "reader.safetensors")])
        assert "Cannot write" in capsys.readouterr().err

    def test_a_full_memory_is_told(self, weights, monkeypatch, capsys) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

        monkeypatch.setattr(Pipeline, "run", fail)
        with pytest.raises(SystemExit):
            self.evaluate(weights)
        assert capsys.readouterr().err.endswith("The memory is full: ask for fewer images, or use a smaller network.\n")

    def test_a_folder_that_cannot_be_written_is_told(self, weights, tmp_path, capsys) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(SystemExit):
            self.evaluate(weights, "--steps", "1", "--out", str(tmp_path / "file" / "sweep"))
        assert "Cannot write" in capsys.readouterr().err
