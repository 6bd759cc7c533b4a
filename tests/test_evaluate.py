"""The quality figures have known answers: real digits score at the floor, broken ones badly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffusion import BadInput, Pipeline, Recipe, evaluate


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
    read, sure, features = evaluate.load_reader().read(images)
    assert (read == labels.numpy()).mean() >= 0.99
    assert features.shape == (len(images), 96)
    assert ((sure > 0.1) & (sure <= 1)).all()


def test_the_weights_that_ship_draw_what_is_asked() -> None:
    pipe = Pipeline.from_pretrained(device="cpu")
    for guidance, bar in ((2.0, 0.99), (1.0, 0.95)):  # 1,000 digits at 50 steps: 0.998 and 0.976
        recipe = Recipe(tuple(range(10)) * 20, guidance, steps=20, seed=1)
        read, _, _ = evaluate.load_reader().read(evaluate.draw(pipe, recipe, progress=False))
        assert (read == np.array(recipe.digits)).mean() >= bar


def test_noise_is_far_from_real_digits_and_digits_are_near(digits) -> None:
    reader = evaluate.load_reader()
    _, _, real = reader.read(digits[0][::2])
    _, _, also_real = reader.read(digits[0][1::2])
    noise = torch.randint(256, (150, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    _, _, noisy = reader.read(noise)
    near, far = evaluate.frechet_distance(real, also_real), evaluate.frechet_distance(real, noisy)
    assert far > 10 * near


def test_an_untrained_network_scores_badly(tiny_denoiser, digits) -> None:
    images, labels = digits
    recipe = Recipe(tuple(range(10)) * 20, steps=1)
    real = (images.repeat(2, 1, 1), labels.repeat(2))
    scores = evaluate.evaluate(Pipeline(tiny_denoiser), recipe, train=real, test=(images, labels), progress=False)
    assert scores["count"] == 200
    assert set(scores["accuracy_by_digit"]) == set("0123456789")
    assert scores["accuracy"]["value"] < 0.3 < 0.99 <= scores["accuracy"]["floor"]
    assert scores["frechet_distance"]["value"] > 5 * scores["frechet_distance"]["floor"]
    assert scores["precision"]["value"] < 0.1 < 0.8 < scores["precision"]["floor"]
    assert scores["recall"]["value"] < 0.5 < scores["recall"]["floor"]
    assert scores["black_pixels"]["floor"] == pytest.approx(0.81, abs=0.02)
    assert scores["told_apart"]["value"] > 0.9
    assert scores["near_copies"]["value"] == 0
    assert "| frechet distance |" in evaluate.table(scores)


def test_too_few_digits_are_refused(tiny_denoiser, digits) -> None:
    with pytest.raises(BadInput, match="at least 200 digits"):
        evaluate.evaluate(Pipeline(tiny_denoiser), Recipe((1,)), train=digits, test=digits)
    with pytest.raises(BadInput, match="needs 400 training digits, not 300"):
        evaluate.evaluate(
            Pipeline(tiny_denoiser), Recipe((1,) * 200, steps=1), train=digits, test=digits, progress=False
        )


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


def test_a_reader_can_be_trained_saved_and_loaded(digits, tmp_path: Path) -> None:
    images, labels = digits[0][:100], digits[1][:100]
    reader = evaluate.train_reader(images, labels, epochs=80, progress=False)
    evaluate.save_reader(reader, tmp_path / "reader.safetensors")
    read, _, _ = evaluate.load_reader(tmp_path / "reader.safetensors").read(images)
    assert (read == labels.numpy()).mean() > 0.5


def test_what_is_no_reader_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("missing", "text", "other"):
        with pytest.raises(BadInput, match="train-reader"):
            evaluate.load_reader(tmp_path / f"{name}.safetensors")
