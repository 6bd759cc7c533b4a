"""How digits are written: strokes whose answer is known, and what weights keep of the styles they learned."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion import strokes
from diffusion.style import ATTRIBUTES, Styles


def shape(inside, size: int = 28, fine: int = 8) -> Tensor:
    """A picture uint8 (1, 28, 28) of the points for which inside(x, y) holds, measured in pixels from its middle."""
    axis = (torch.arange(size * fine) + 0.5) / fine - size / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    covered = inside(x, y).float().reshape(size, fine, size, fine).mean((1, 3))
    return (covered * 255).round().to(torch.uint8)[None]


def bar(thickness: float, slant: float = 0.0, height: float = 20.0):
    """An upright bar of that horizontal width, sheared to the right."""
    return lambda x, y: ((x + y * math.tan(slant)).abs() < thickness / 2) & (y.abs() < height / 2)


class TestMeasured:
    @pytest.mark.parametrize("thickness", [2, 3, 4])
    def test_the_thickness_of_a_bar_and_of_a_ring(self, thickness):
        ring = shape(lambda x, y: (torch.hypot(x, y) - 8).abs() < thickness / 2)
        assert strokes.measured(ring)[0, 0] == pytest.approx(thickness, abs=0.16)
        assert strokes.measured(shape(bar(thickness)))[0, 0] == pytest.approx(
            thickness, rel=0.08
        )  # its ends are thinner

    @pytest.mark.parametrize("slant", [-0.4, 0.0, 0.2, 0.6])
    def test_the_slant_and_the_width_of_what_was_sheared(self, slant):
        leaning = shape(lambda x, y: ((x + y * math.tan(slant)) / 5) ** 2 + (y / 10) ** 2 < 1)
        box = shape(lambda x, y: ((x + y * math.tan(slant)).abs() < 5) & (y.abs() < 8))
        for picture in (leaning, box):
            assert strokes.measured(picture)[0, 1] == pytest.approx(slant, abs=0.02)
        assert strokes.measured(box)[0, 2] == pytest.approx(10, abs=0.5)
        assert strokes.measured(leaning)[0, 2] == pytest.approx(9.5, abs=0.5)  # where an ellipse of 10 has little ink

    def test_distances_are_exact(self):
        stroke = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0)) > 0.1
        stroke[:, [0, -1]] = stroke[:, :, [0, -1]] = False
        for mask, found in zip(stroke, strokes._squared_distance(stroke), strict=True):
            inside, outside = mask.nonzero().float(), (~mask).nonzero().float()
            assert torch.equal(found[mask], torch.cdist(inside, outside).square().min(1).values.round())
            assert not found[~mask].any()

    def test_real_digits_are_as_people_write(self, digits):
        images, labels = digits
        found = strokes.measured(images)
        assert found.isfinite().all()
        assert 2 < found[:, 0].mean() < 3
        assert 0 < found[:, 1].mean() < 0.3  # most hands lean to the right
        assert found[labels == 1, 2].mean() < 0.5 * found[labels == 0, 2].mean()

    def test_black_has_no_style(self):
        assert not strokes.measured(torch.zeros(2, 28, 28, dtype=torch.uint8)).any()
        assert strokes.measured(torch.zeros(0, 28, 28, dtype=torch.uint8)).shape == (0, 3)


class TestKept:
    def test_it_is_measured_once_and_again_for_other_images(self, digits, tmp_path, monkeypatch):
        images, path = digits[0][:20], tmp_path / "style.npz"
        first = strokes.kept(images, path)
        with monkeypatch.context() as patch:
            patch.setattr(strokes, "measured", lambda _: pytest.fail("measured again"))
            assert torch.equal(strokes.kept(images, path), first)
        assert torch.equal(strokes.kept(images.flip(0), path), first.flip(0))
        path.write_bytes(b"damaged")
        assert torch.equal(strokes.kept(images, path), first)
        assert np.load(path)["style"].shape == (20, 3)

    def test_a_folder_that_cannot_be_written_is_no_hindrance(self, digits, tmp_path):
        (tmp_path / "file").touch()
        assert strokes.kept(digits[0][:2], tmp_path / "file" / "style.npz").shape == (2, 3)


class TestStyles:
    def test_they_hold_the_range_and_the_spread_of_each_class(self, digits, styles):
        images, labels = digits
        measured = strokes.measured(images)
        assert len(styles.spread) == 10
        ends = styles.scaled(torch.tensor([styles.low, styles.high]))
        assert torch.allclose(ends, torch.tensor([[0.0] * 3, [1.0] * 3]))
        for k, attribute in enumerate(ATTRIBUTES):
            for label in (0, 1):
                wanted = np.median(measured[labels == label, k])
                assert styles.quantile(attribute, 0.5, label) == pytest.approx(float(wanted), abs=0.02)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"low": (1, 2)}, "3 numbers"),
            ({"low": (9, 9, 9)}, "lower end"),
            ({"spread": ((),)}, "1 to"),
            ({"spread": 3}, "list"),
        ],
    )
    def test_foreign_ones_are_checked(self, changes, told, refuses):
        good = {"low": (1, -1, 3), "high": (5, 1, 20), "spread": (((2, 0, 10),),)}
        with refuses(told):
            Styles(**good | changes)


class TestAsked:
    """What some images shall look like: words count more than what is fixed, and that more than a hand."""

    ANYTHING = ("any", "any", "any")

    def test_nothing_is_asked_for_where_any_will_do(self, styles):
        assert styles.targets([7, 3], [0, 1], self.ANYTHING, "any", ()) is None

    def test_words_count_more_than_what_is_fixed_and_that_more_than_a_hand(self, styles):
        words = ((1, "thick"), (1, "upright"))
        seven, three = styles.targets([7, 3], [0, 1], (2.0, "any", 12.0), 5, words).tolist()
        slant, hand = styles.hand(5)[7][1], styles.hand(5)
        assert seven == pytest.approx([2.0, slant, 12.0])
        assert three == pytest.approx([styles.quantile("thickness", 0.95, 3), 0.0, 12.0])
        assert len({style[:2] for style in hand}) == 1  # one pen and one lean for all digits
        assert hand[1][2] < hand[0][2]  # but a 1 is narrower than a 0

    def test_a_hand_is_the_same_again_and_others_are_others(self, styles):
        assert styles.hand(3) == styles.hand(3)
        assert len({styles.hand(number)[0] for number in range(20)}) > 10

    def test_many_hands_spread_as_real_ones_do(self, styles):
        labels = [k % 10 for k in range(1000)]
        targets = styles.targets(labels, range(1000), self.ANYTHING, "many", ())
        for label in (1, 8):
            real = torch.tensor(styles.spread[label])
            mine = targets[torch.tensor(labels) == label]
            assert torch.allclose(mine.mean(0), real.mean(0), atol=0.6)
            assert torch.allclose(mine.std(0), real.std(0), rtol=0.35)
        alone = styles.targets([labels[13]], [13], self.ANYTHING, "many", ())
        assert torch.equal(alone[0], targets[13])  # an image drawn alone with its seed has the same hand
