"""The quality figures have known answers: real digits score at the floor, broken ones badly."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from diffusion import Pipeline, Recipe
from diffusion.evaluation import figures
from diffusion.evaluation import judge as judging
from diffusion.evaluation.reader import READER, load_reader, save_reader, train_reader
from diffusion.evaluation.sweep import table
from diffusion.team import Team


def test_frechet_distance_of_two_gaussians_in_closed_form() -> None:
    random = np.random.default_rng(0)
    white = random.standard_normal((100_000, 3))
    white = (white - white.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    # N(0, I) against N(m, diag(s^2)): |m|^2 + sum (1 - s)^2
    mean, scale = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.0])
    expected = np.square(mean).sum() + np.square(1 - scale).sum()
    assert figures.frechet_distance(white, white * scale + mean) == pytest.approx(expected, rel=1e-6)
    assert figures.frechet_distance(white, white) == pytest.approx(0, abs=1e-6)
    # A = ((2, 1), (1, 1)) and B = ((1, 0), (0, 4)) do not commute. The square root of a 2 x 2 matrix M has the trace
    # sqrt(tr M + 2 sqrt(det M)): of A B, sqrt(6 + 2 * 2).
    a, b = white[:, :2] @ [[1, 0], [1, 1]], white[:, :2] * [1, 2]
    assert figures.frechet_distance(a, b) == pytest.approx(3 + 5 - 2 * np.sqrt(10), rel=1e-6)


def test_the_reader_that_ships_reads_real_digits(digits) -> None:
    images, labels = digits
    reader = load_reader()
    likely, features = reader.read(images)
    assert READER.stat().st_size < 1e6
    assert reader.accuracy(images, labels) >= 298 / 300
    assert (likely.argmax(axis=1) == labels.numpy()).mean() == reader.accuracy(images, labels)
    assert features.shape == (len(images), 96)
    assert likely.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_weights_that_ship_draw_what_is_asked(pipe) -> None:
    for guidance in (1.0, 2.0):
        drawn = pipe(tuple(range(10)) * 2, guidance=guidance, steps=8, seed=1)
        assert load_reader().accuracy(drawn.images, torch.tensor(drawn.labels)) >= 19 / 20


def test_the_student_that_ships_draws_what_is_asked_in_few_steps(few_step) -> None:
    for steps in (2, 4):
        drawn = few_step(tuple(range(10)) * 3, steps=steps, seed=1)
        assert load_reader().accuracy(drawn.images, torch.tensor(drawn.recipe.digits)) >= 0.96
        assert (drawn.images == 0).mean() > 0.75  # real ones: 0.81, its teacher in two steps: 0.66


def test_noise_is_far_from_real_digits_and_digits_are_near(digits) -> None:
    reader = load_reader()
    real, also_real = (reader.read(digits[0][start::2])[1] for start in (0, 1))
    noise = torch.randint(256, (150, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    noisy = reader.read(noise)[1]
    near, far = figures.frechet_distance(real, also_real), figures.frechet_distance(real, noisy)
    assert far > 10 * near


DIGITS = tuple(range(10)) * 20


def test_an_untrained_network_scores_badly(tiny_denoiser, real, monkeypatch) -> None:
    monkeypatch.setattr(judging, "train_reader", lambda *_, **__: load_reader())  # its known answers: below
    monkeypatch.setattr(judging, "told_apart", lambda images, others, **_: float((images == 0).float().mean()))
    scores = judging.evaluate(Pipeline(tiny_denoiser), Recipe(DIGITS, steps=1), **real)
    assert (scores["count"], scores["evaluations"]) == (200, 1)  # one step, at a level where guidance is off
    assert {f"accuracy_of_{digit}" for digit in range(10)} < set(scores)
    assert scores["accuracy"]["value"] < 0.3 < 0.99 <= scores["accuracy"]["floor"]
    assert scores["frechet_distance"]["value"] > 5 * scores["frechet_distance"]["floor"]
    assert scores["precision"]["value"] < 0.2 < 0.8 < scores["precision"]["floor"]
    assert scores["recall"]["value"] < 0.5 < scores["recall"]["floor"]
    assert scores["black_pixels"]["floor"] == pytest.approx(0.81, abs=0.02)
    assert scores["told_apart"] == scores["black_pixels"]  # of the same images each
    assert scores["near_copies"]["value"] == 0
    assert scores["classification_accuracy_score"].keys() == {"value", "floor"}
    assert json.loads(json.dumps(scores)) == scores
    assert "| frechet distance |" in table([scores])


def test_real_digits_that_nobody_has_seen_score_at_the_floor(digits) -> None:
    images, labels = digits
    halves = [(images[part::2], labels[part::2]) for part in (0, 1)]
    train, test = ((half.repeat(4, 1, 1), half_labels.repeat(4)) for half, half_labels in halves)
    judge = judging.Judge(DIGITS, train=train, test=test, full=False)
    unseen, unseen_labels = halves[1]
    of_digit = [unseen[unseen_labels == digit] for digit in range(10)]
    drawn = np.stack([of_digit[digit][k // 10 % len(of_digit[digit])] for k, digit in enumerate(DIGITS)])
    scores = judge(drawn)
    for name in ("accuracy", "black_pixels"):
        assert scores[name]["value"] == pytest.approx(scores[name]["floor"], abs=0.02), name
    assert scores["precision"]["value"] >= scores["precision"]["floor"]
    assert scores["frechet_distance"]["value"] < scores["frechet_distance"]["floor"]  # they are the test set's own
    noise = np.random.default_rng(0).integers(0, 256, drawn.shape, np.uint8)
    assert judge(noise)["frechet_distance"]["value"] > 10 * scores["frechet_distance"]["floor"]


def test_copies_of_training_digits_are_caught_and_unseen_digits_are_not(digits, monkeypatch) -> None:
    monkeypatch.setattr(judging, "train_reader", lambda *_, **__: load_reader())  # of no concern here, and slow
    monkeypatch.setattr(judging, "told_apart", lambda *_, **__: 0.5)  # and so is this
    images, labels = digits
    by_digit = labels.argsort(stable=True).view(10, 30)
    train, test, unseen = (images[by_digit[:, part::3].T.flatten()].repeat(2, 1, 1) for part in range(3))
    wanted = torch.tensor(DIGITS)
    judge = judging.Judge(DIGITS, train=(train.repeat(2, 1, 1), wanted.repeat(2)), test=(test, wanted))
    copies = train.clone()
    copies[50:, :7] ^= 8  # most have a quarter of their pixels off by 8 grey levels: 4 in the root mean square
    scores = judge(copies.numpy())
    assert scores["near_copies"]["value"] == 1
    assert scores["nearest_training_digit"]["value"] == pytest.approx(4, abs=0.01)
    scores = judge(unseen.numpy())
    assert scores["near_copies"]["value"] <= 0.05
    nearest = scores["nearest_training_digit"]
    assert nearest["value"] == pytest.approx(nearest["floor"], rel=0.05)


@pytest.mark.training
def test_a_classifier_learns_from_the_drawn_digits_what_they_teach(monkeypatch) -> None:
    monkeypatch.setattr(judging, "told_apart", lambda *_, **__: 0.5)  # of no concern here, and slow
    random = torch.Generator().manual_seed(0)

    def drawn(labels: Tensor) -> Tensor:
        """Tiny images, dark for 0 and bright for 1."""
        noise = torch.randint(20, (len(labels), 4, 4), dtype=torch.uint8, generator=random)
        return noise + (60 + 120 * labels[:, None, None]).byte()

    labels = torch.arange(200) % 2
    train, test = ((drawn(some), some) for some in (labels.repeat(2), labels))
    judge = judging.Judge(labels.tolist(), train=train, test=test)
    right, wrong = (judge(drawn(some).numpy())["classification_accuracy_score"] for some in (labels, 1 - labels))
    assert right == pytest.approx({"value": 1, "floor": 1}, abs=0.05)
    assert wrong == pytest.approx({"value": 0, "floor": 1}, abs=0.05)


def test_the_floor_is_measured_once(real, tmp_path, monkeypatch) -> None:
    measured = []
    monkeypatch.setattr(judging, "train_reader", lambda *_, **__: measured.append(1) or load_reader())
    monkeypatch.setattr(judging, "told_apart", lambda *_, **__: 0.5)

    def judge(labels=DIGITS, images=real["train"][0]) -> judging.Judge:
        return judging.Judge(labels, train=(images, real["train"][1]), test=real["test"], keep=tmp_path)

    first, again = judge(), judge(DIGITS[::-1])  # of as many digits each
    assert len(measured) == 1
    assert (again.floor, again.copy) == (first.floor, first.copy)
    drawn = real["train"][0][:200].numpy()
    assert again(drawn)["near_copies"]["floor"] == first.floor["near_copies"]
    others = ({"labels": (*DIGITS[:-1], 0)}, {"images": 255 - real["train"][0]})
    for other in others:
        judge(**other)
    assert len(measured) == 1 + 1 + len(others)  # one of them for the drawn digits
    next(tmp_path.iterdir()).write_text("{}")
    for other in ({}, *others):
        judge(**other)
    assert len(measured) == 1 + 1 + len(others) + 1


def test_drawn_digits_are_compared_with_real_ones_of_their_classes_and_each_real_one_once(real) -> None:
    wanted = torch.tensor((7,) * 30 + (1,) * 10)
    labels = real["train"][1]
    like, others = judging._two_crowds(wanted, labels)
    for crowd in (like, others):
        assert labels[crowd].bincount().tolist() == [0, 10, 0, 0, 0, 0, 0, 30]
    assert len(set(like.tolist()) | set(others.tolist())) == 80


def test_four_processes_share_four_hundred_digits_evenly(tiny_denoiser, monkeypatch) -> None:
    own = []
    monkeypatch.setattr(Team, "tell", lambda *_: None)
    monkeypatch.setattr(Team, "count", lambda *_: 0)
    monkeypatch.setattr(Team, "gather", lambda team, mine: own.append(sum(map(len, mine))) or [mine] * team.size)
    judging.draw(Pipeline(tiny_denoiser), Recipe((7,) * 400, steps=1), team=Team(0, 4, tiny_denoiser.device))
    assert own == [100]


def test_too_few_digits_are_refused(tiny_denoiser, real, refuses) -> None:
    with refuses("at least 200 digits"):
        judging.evaluate(Pipeline(tiny_denoiser), Recipe((1,)), **real)
    with refuses("needs 400 real ones to compare with, not 60: ask for fewer"):
        judging.evaluate(Pipeline(tiny_denoiser), Recipe((1,) * 200, steps=1), **real)


def test_a_test_set_too_small_is_refused(tiny_denoiser, real, refuses) -> None:
    images, labels = real["test"]
    for few in (slice(150), labels != 4):
        with refuses("at least 200 test images, of every class asked for"):
            judging.Judge(DIGITS, train=real["train"], test=(images[few], labels[few]))


def test_the_extremes_are_the_likeliest_and_the_unlikeliest(real) -> None:
    images, labels = real["test"]
    judge = judging.Judge(DIGITS, full=False, **real)
    drawn = np.stack([images[labels == digit][k // 10] for k, digit in enumerate(DIGITS)])
    drawn[30], drawn[77] = drawn[1].copy(), drawn[0].copy()  # a 1 where a 0 was asked for, a 0 for a 7
    best, worst = judge.extremes(drawn, each=3)
    scale = best.shape[1] // (3 * 30 - 2)

    def tile(picture: np.ndarray, row: int, column: int) -> np.ndarray:
        return picture[::scale, ::scale][row * 30 :, column * 30 :][:28, :28]

    assert np.array_equal(tile(worst, 0, 2), drawn[30])
    assert np.array_equal(tile(worst, 7, 2), drawn[77])
    assert not any(np.array_equal(tile(best, row, column), drawn[30]) for row in (0, 7) for column in range(3))


def test_precision_and_recall_of_crowds_one_can_see() -> None:
    random = np.random.default_rng(0)
    crowd = random.standard_normal((1000, 2))
    half = crowd[crowd[:, 0] > 0]  # all of it is real, and it misses half
    precision, recall = figures.share_among(half + 1e-9, crowd), figures.share_among(crowd, half + 1e-9)
    assert precision > 0.99
    assert recall == pytest.approx(0.5, abs=0.05)
    assert figures.share_among(crowd + 100, crowd) == figures.share_among(crowd, crowd + 100) == 0


def test_nearest_distances_know_a_copy(digits) -> None:
    images = digits[0]
    shifted = (images[:5].int() + 3).clamp(max=255).to(torch.uint8)
    assert figures.nearest_distances(images[:5], images).tolist() == pytest.approx([0] * 5, abs=0.5)
    assert all(figures.nearest_distances(shifted, images) > 0)
    assert all(figures.nearest_distances(shifted, images) <= 3.1)


@pytest.mark.training
def test_nobody_can_tell_real_digits_from_real_digits(digits, monkeypatch) -> None:
    monkeypatch.setattr(figures, "ENOUGH", 3000)
    images = digits[0]
    assert 0.2 < figures.told_apart(images[::2], images[1::2]) < 0.8
    assert figures.told_apart(255 - images[::2], images[1::2]) > 0.9


@pytest.mark.training
@pytest.mark.parametrize("shape", [(100, 16, 16), (100, 16, 16, 3)])
def test_a_reader_can_be_trained_saved_and_loaded(tmp_path: Path, shape) -> None:
    labels = torch.arange(100) % 4
    images = torch.randint(60, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[labels % 2 == 1, :8] += 90  # bright above, bright on the left
    images[labels >= 2, :, :8] += 90
    reader = train_reader(images, labels, epochs=30, classes=4, dataset="kmnist", jitter=False)
    save_reader(reader, tmp_path / "reader.safetensors")
    loaded = load_reader(tmp_path / "reader.safetensors")
    assert loaded.accuracy(images, labels) > 0.9
    assert loaded.dataset == "kmnist"


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch, refuses) -> None:
    def fail(weights: object, path: Path, **_: object) -> None:
        raise SafetensorError("Error while serializing: No space left on device")

    monkeypatch.setattr("diffusion.checkpoint.save_file", fail)
    with refuses("No space left on device"):
        save_reader(load_reader(), tmp_path / "reader.safetensors")
    assert not list(tmp_path.iterdir())


def test_what_is_no_reader_is_refused(tmp_path: Path, refuses) -> None:
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("missing", "text", "other"):
        with refuses("train one"):
            load_reader(tmp_path / f"{name}.safetensors")
