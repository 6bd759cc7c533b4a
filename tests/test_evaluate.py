"""The quality figures have known answers: real digits score at the floor, broken ones badly."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffusion import Pipeline, Recipe, evaluate
from diffusion.reader import load_reader, save_reader, train_reader


def test_frechet_distance_of_two_gaussians_in_closed_form() -> None:
    random = np.random.default_rng(0)
    white = random.standard_normal((100_000, 3))
    white = (white - white.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    # N(0, I) against N(m, diag(s^2)): |m|^2 + sum (1 - s)^2
    mean, scale = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.0])
    expected = np.square(mean).sum() + np.square(1 - scale).sum()
    assert evaluate.frechet_distance(white, white * scale + mean) == pytest.approx(expected, rel=1e-6)
    assert evaluate.frechet_distance(white, white) == pytest.approx(0, abs=1e-6)


def test_the_reader_that_ships_reads_real_digits(digits) -> None:
    images, labels = digits
    reader = load_reader()
    likely, features = reader.read(images)
    assert reader.accuracy(images, labels) >= 0.99
    assert (likely.argmax(axis=1) == labels.numpy()).mean() == reader.accuracy(images, labels)
    assert features.shape == (len(images), 96)
    assert likely.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_weights_that_ship_draw_what_is_asked() -> None:
    pipe = Pipeline.from_pretrained(device="cpu")
    for guidance, bar in ((2.0, 0.99), (1.0, 0.95)):  # 1,000 digits at 50 steps: 0.998 and 0.976
        recipe = Recipe(tuple(range(10)) * 20, guidance, steps=20, seed=1)
        drawn = evaluate.draw(pipe, recipe, progress=False)
        assert load_reader().accuracy(drawn, torch.tensor(recipe.digits)) >= bar


def test_noise_is_far_from_real_digits_and_digits_are_near(digits) -> None:
    reader = load_reader()
    real, also_real = (reader.read(digits[0][start::2])[1] for start in (0, 1))
    noise = torch.randint(256, (150, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    noisy = reader.read(noise)[1]
    near, far = evaluate.frechet_distance(real, also_real), evaluate.frechet_distance(real, noisy)
    assert far > 10 * near


@pytest.fixture
def real(digits) -> dict[str, evaluate.Images]:
    """Enough digits to evaluate 200: the fixture twice over to train with, once to test with."""
    images, labels = digits
    return {"train": (images.repeat(2, 1, 1), labels.repeat(2)), "test": (images, labels)}


DIGITS = tuple(range(10)) * 20


def test_an_untrained_network_scores_badly(tiny_denoiser, real) -> None:
    scores = evaluate.evaluate(Pipeline(tiny_denoiser), Recipe(DIGITS, steps=1), progress=False, **real)
    assert (scores["count"], scores["evaluations"]) == (200, 2)
    assert {f"accuracy_of_{digit}" for digit in range(10)} < set(scores)
    assert scores["accuracy"]["value"] < 0.3 < 0.99 <= scores["accuracy"]["floor"]
    assert scores["frechet_distance"]["value"] > 5 * scores["frechet_distance"]["floor"]
    assert scores["precision"]["value"] < 0.2 < 0.8 < scores["precision"]["floor"]
    assert scores["recall"]["value"] < 0.5 < scores["recall"]["floor"]
    assert scores["black_pixels"]["floor"] == pytest.approx(0.81, abs=0.02)
    assert scores["told_apart"]["value"] > 0.9
    assert scores["near_copies"]["value"] == 0
    assert scores["classification_accuracy_score"]["value"] < scores["classification_accuracy_score"]["floor"]
    assert json.loads(json.dumps(scores)) == scores
    assert "| frechet distance |" in evaluate.table([scores])


def test_real_digits_score_at_the_floor(real) -> None:
    judge = evaluate.Judge(DIGITS, full=False, progress=False, **real)
    images, labels = real["test"]
    drawn = np.stack([images[labels == digit][k // 10] for k, digit in enumerate(DIGITS)])
    scores = judge(drawn)
    for name in ("accuracy", "precision", "recall", "black_pixels"):
        assert scores[name]["value"] == pytest.approx(scores[name]["floor"], abs=0.02), name
    assert scores["frechet_distance"]["value"] < 1.5 * scores["frechet_distance"]["floor"]


def test_drawn_digits_are_compared_with_real_ones_of_their_classes_and_each_real_one_once(real) -> None:
    asked = torch.tensor((7,) * 30 + (1,) * 10)
    labels = real["train"][1]
    like, others = evaluate._two_crowds(asked, labels)
    for crowd in (like, others):
        assert labels[crowd].bincount().tolist() == [0, 10, 0, 0, 0, 0, 0, 30]
    assert len(set(like.tolist()) | set(others.tolist())) == 80


def test_too_few_digits_are_refused(tiny_denoiser, real, refuses) -> None:
    with refuses("at least 200 digits"):
        evaluate.evaluate(Pipeline(tiny_denoiser), Recipe((1,)), **real)
    with refuses("needs 400 real ones to compare with, not 60: lower --count"):
        evaluate.evaluate(Pipeline(tiny_denoiser), Recipe((1,) * 200, steps=1), progress=False, **real)


def test_the_extremes_are_the_likeliest_and_the_unlikeliest(real) -> None:
    images, labels = real["test"]
    judge = evaluate.Judge(DIGITS, full=False, progress=False, **real)
    drawn = np.stack([images[labels == digit][k // 10] for k, digit in enumerate(DIGITS)])
    drawn[30], drawn[77] = drawn[1].copy(), drawn[0].copy()  # a 1 where a 0 was asked for, a 0 for a 7
    best, worst = judge.extremes(drawn, each=3)
    scale = best.shape[1] // (3 * 30 - 2)

    def tile(picture: np.ndarray, row: int, column: int) -> np.ndarray:
        return picture[::scale, ::scale][row * 30 :, column * 30 :][:28, :28]

    assert np.array_equal(tile(worst, 0, 2), drawn[30])
    assert np.array_equal(tile(worst, 7, 2), drawn[77])
    assert not any(np.array_equal(tile(best, row, column), drawn[30]) for row in (0, 7) for column in range(3))


class TestSweep:
    @pytest.fixture
    def pipe(self, tiny_denoiser) -> Pipeline:
        return Pipeline(tiny_denoiser)

    @staticmethod
    def recipes(steps=(1, 2), guidance=(1.0, 2.0)) -> list[Recipe]:
        return [Recipe(DIGITS, scale, count) for scale in guidance for count in steps]

    def test_it_leaves_scores_a_table_and_pictures(self, pipe, real, tmp_path) -> None:
        runs = evaluate.sweep(pipe, self.recipes(), tmp_path, weights="abc", full=False, progress=False, **real)
        assert json.loads((tmp_path / "scores.json").read_text()) == {"runs": runs}
        assert [(run["recipe"]["guidance"], run["recipe"]["steps"], run["evaluations"]) for run in runs] == [
            (1, 1, 1),
            (1, 2, 2),
            (2, 1, 2),
            (2, 2, 4),
        ]
        lines = (tmp_path / "table.md").read_text().splitlines()
        assert len(lines) == 2 + 4 + 1
        assert lines[-1].startswith("| real |")
        plots = {
            f"{figure}-{axis}.png" for figure in ("frechet-distance", "accuracy") for axis in ("steps", "guidance")
        }
        digits = {
            f"{name}-ddim-{steps}-{scale}.png" for name in ("best", "worst") for steps in (1, 2) for scale in (1, 2)
        }
        assert {path.name for path in tmp_path.glob("*.png")} == plots | digits

    def test_it_goes_on_where_it_stopped_and_draws_nothing_twice(self, pipe, real, tmp_path, monkeypatch) -> None:
        drawn = []
        draw = evaluate.draw
        monkeypatch.setattr(evaluate, "draw", lambda pipe, recipe, **_: drawn.append(recipe) or draw(pipe, recipe, **_))
        some = {"weights": "abc", "full": False, "progress": False} | real
        first = evaluate.sweep(pipe, self.recipes(steps=(1,)), tmp_path, **some)
        everything = evaluate.sweep(pipe, self.recipes(), tmp_path, **some)
        assert drawn == self.recipes(steps=(1,)) + self.recipes(steps=(2,))
        assert [everything[0], everything[2]] == first
        again = evaluate.sweep(pipe, self.recipes(), tmp_path, **some)
        assert again == everything
        assert len(drawn) == 4

        evaluate.sweep(pipe, self.recipes(steps=(1,)), tmp_path, **some | {"weights": "other"})
        assert len(drawn) == 6
        assert {run["weights"] for run in json.loads((tmp_path / "scores.json").read_text())["runs"]} == {"other"}

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": [1]}', '{"runs": [{"recipe": {}}]}'])
    def test_scores_that_are_none_are_refused(self, pipe, real, tmp_path, refuses, text) -> None:
        (tmp_path / "scores.json").write_text(text)
        with refuses("holds no scores"):
            evaluate.sweep(pipe, self.recipes(), tmp_path, weights="abc", full=False, progress=False, **real)


def test_precision_and_recall_of_crowds_one_can_see() -> None:
    random = np.random.default_rng(0)
    crowd = random.standard_normal((1000, 2))
    half = crowd[crowd[:, 0] > 0]  # all of it is real, and it misses half
    precision, recall = evaluate.precision_recall(half + 1e-9, crowd)
    assert precision > 0.99
    assert recall == pytest.approx(0.5, abs=0.05)
    assert evaluate.precision_recall(crowd + 100, crowd) == (0, 0)


def test_nearest_distances_know_a_copy(digits) -> None:
    images = digits[0]
    shifted = (images[:5].int() + 3).clamp(max=255).to(torch.uint8)
    assert evaluate.nearest_distances(images[:5], images).tolist() == pytest.approx([0] * 5, abs=0.5)
    assert all(evaluate.nearest_distances(shifted, images) > 0)
    assert all(evaluate.nearest_distances(shifted, images) <= 3.1)


def test_nobody_can_tell_real_digits_from_real_digits(digits) -> None:
    images = digits[0]
    assert 0.2 < evaluate.told_apart(images[::2], images[1::2], progress=False) < 0.8
    assert evaluate.told_apart(255 - images[::2], images[1::2], progress=False) > 0.9


@pytest.mark.parametrize("shape", [(100, 28, 28), (100, 32, 32, 3)])
def test_a_reader_can_be_trained_saved_and_loaded(tmp_path: Path, shape) -> None:
    labels = torch.arange(100) % 4
    images = torch.randint(60, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[labels % 2 == 1, :14] += 90  # bright above, bright on the left
    images[labels >= 2, :, :14] += 90
    reader = train_reader(images, labels, epochs=30, classes=4, jitter=False, progress=False)
    save_reader(reader, tmp_path / "reader.safetensors")
    assert load_reader(tmp_path / "reader.safetensors").accuracy(images, labels) > 0.9


def test_what_is_no_reader_is_refused(tmp_path: Path, refuses) -> None:
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("missing", "text", "other"):
        with refuses("train-reader"):
            load_reader(tmp_path / f"{name}.safetensors")
