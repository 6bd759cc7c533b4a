"""Pictures: every tile in its place, every pixel of the last frame, and the recipe inside the file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from diffusion.data import to_float, to_uint8
from diffusion.files.metadata import read_recipe
from diffusion.files.render import (
    FRAMES,
    LAST_FRAME_MS,
    PADDING,
    animated,
    animation,
    columns_for,
    grid,
    picture,
    save_gif,
    save_png,
)

RECIPE = json.dumps({"version": 1, "digits": [7, 3], "note": 'ünïcode, "quotes" and \\ too'}, ensure_ascii=False)
LONG_RECIPE = json.dumps({"version": 1, "digits": list(range(10)) * 500})


def save_animation(path: Path, frames: list[np.ndarray], recipe: str = "", fps: float | None = None) -> None:
    path.write_bytes(animated(path.suffix, frames, recipe, fps=fps))


def tiles(n: int, shape: tuple[int, ...] = (28, 28)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)


@pytest.fixture(scope="module")
def trajectory(digits) -> np.ndarray:
    """40 frames on a straight line from noise to 16 digits: uint8 (40, 16, 28, 28)."""
    x0 = to_float(digits[0][::19][:16])
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    return np.stack([to_uint8((1 - t) * x0 + t * eps).numpy() for t in torch.linspace(1, 0, FRAMES)])


def decoded(path) -> list[tuple[np.ndarray, int]]:
    """The frames of a GIF as they are shown, each with its duration in milliseconds."""
    with Image.open(path) as image:
        return [(np.asarray(f.convert("L")), f.info.get("duration", 0)) for f in ImageSequence.Iterator(image)]


class TestGrid:
    @pytest.mark.parametrize(("n", "columns", "scale"), [(1, 1, 1), (6, 3, 1), (7, 3, 4), (5, 5, 2), (4, 1, 3)])
    @pytest.mark.parametrize("shape", [(28, 28), (5, 4), (6, 6, 3)], ids=str)
    def test_every_tile_is_in_its_place_and_the_rest_is_padding(self, n, columns, scale, shape):
        images = tiles(n, shape)
        h, w = shape[:2]
        rows = -(-n // columns)
        found = grid(images, columns, scale)
        assert found.dtype == np.uint8
        assert found.shape[:2] == (
            scale * (rows * (h + PADDING) - PADDING),
            scale * (columns * (w + PADDING) - PADDING),
        )
        assert found.shape[2:] == shape[2:]

        small = found[::scale, ::scale]
        assert np.array_equal(found, small.repeat(scale, axis=0).repeat(scale, axis=1))
        covered = np.zeros(small.shape[:2], bool)
        for k in range(rows * columns):
            place = np.s_[k // columns * (h + PADDING) :, k % columns * (w + PADDING) :]
            assert np.array_equal(small[place][:h, :w], images[k] if k < n else np.zeros(shape, np.uint8))
            covered[place][:h, :w] = True
        assert len(np.unique(small[~covered])) <= 1  # one grey between the tiles

    @pytest.mark.parametrize(("n", "columns", "wide"), [(1, 1, False), (4, 2, False), (10, 10, True), (12, 4, True)])
    def test_two_tracks_are_shown_in_one_picture(self, n, columns, wide):
        noisy, guess = tiles(2 * n).reshape(2, 1, n, 28, 28)
        [found] = animation([noisy, guess], columns)
        scale = found.shape[1] // grid(noisy[0], columns, 1).shape[1] if wide else found.shape[0] // 28 // columns
        first, second = (grid(track[0], columns, scale) for track in (noisy, guess))
        height, width = first.shape
        assert np.array_equal(found[:height, :width], first)
        assert np.array_equal(found[-height:, -width:], second)
        assert found.shape == ((2 * height + 8 * scale, width) if wide else (height, 2 * width + 8 * scale))
        assert found.size <= 1.2 * 240_000

    def test_the_images_are_left_alone(self):
        images = tiles(3)
        before = images.copy()
        grid(images, 2, 1)[:] = 0
        assert np.array_equal(images, before)

    @pytest.mark.parametrize("n", [1, 2, 10, 16, 100, 1000])
    def test_pictures_are_enlarged_by_whole_pixels_to_a_moderate_size(self, n):
        images = tiles(n)
        columns = columns_for([7] * n)
        for found in (picture(images, columns), animation([images[None]], columns)[0]):
            scale = found.shape[0] // grid(images, columns, 1).shape[0]
            assert scale >= 2
            assert np.array_equal(found, grid(images, columns, scale))
            assert scale == 2 or max(found.shape) <= 1400

    @pytest.mark.parametrize(
        ("labels", "columns"),
        [
            ([7], 1),
            ([7, 7, 3], 3),
            ([7] * 16, 4),
            ([7] * 100, 10),
            (list(range(10)) * 5, 10),
            ([1, 2, 3] * 4, 3),
            ([0, 1] * 2, 2),
        ],
        ids=str,
    )
    def test_columns_show_the_pattern(self, labels, columns):
        assert columns_for(labels) == columns

    def test_a_grid_of_one_digit_is_wide_rather_than_tall_and_has_no_empty_row(self):
        for n in range(1, 60):
            columns = columns_for([7] * n)
            rows = -(-n // columns)
            assert rows <= columns <= n
            assert (rows - 1) * columns < n


class TestPng:
    @pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3)], ids=str)
    @pytest.mark.parametrize("recipe", [RECIPE, LONG_RECIPE], ids=["short", "long"])
    def test_it_is_lossless_and_carries_its_recipe(self, tmp_path, shape, recipe):
        image = tiles(1, shape)[0]
        save_png(tmp_path / "a.png", image, recipe)
        with Image.open(tmp_path / "a.png") as file:
            assert file.format == "PNG"
            assert np.array_equal(np.asarray(file), image)
        assert read_recipe(tmp_path / "a.png") == recipe


class TestGif:
    def test_a_grid_of_16_comes_back_to_within_half_a_grey_step_and_exact_at_its_end(self, tmp_path, trajectory):
        frames = animation([trajectory], 4)
        save_gif(tmp_path / "a.gif", frames, RECIPE)
        assert (tmp_path / "a.gif").stat().st_size < 1_500_000  # a moderate download
        found = decoded(tmp_path / "a.gif")
        assert len(found) == len(frames)
        for (shown, _), frame in zip(found, frames, strict=True):
            assert np.abs(shown.astype(int) - frame).max() <= 9
        assert np.array_equal(found[-1][0], frames[-1])

    def test_the_last_frame_is_exact_after_a_frame_that_is_almost_the_same(self, tmp_path):
        frames = [tiles(1)[0], tiles(1)[0] // 17 * 17, tiles(1)[0]]
        save_gif(tmp_path / "a.gif", frames)
        assert np.array_equal(decoded(tmp_path / "a.gif")[-1][0], frames[-1])

    @pytest.mark.parametrize("count", [2, 6, 21, 40])
    def test_every_frame_has_its_time_even_where_neighbours_are_the_same(self, tmp_path, trajectory, count):
        moving = [frame[0] for frame in trajectory[:count]]
        pausing = [moving[0]] * (count // 2) + moving[count // 2 :]
        totals = []
        for frames in (moving, pausing):
            save_gif(tmp_path / "a.gif", frames)
            totals.append(sum(duration for _, duration in decoded(tmp_path / "a.gif")))
        assert abs(totals[0] - totals[1]) <= 10 * count  # a GIF counts in hundredths of a second
        assert totals[0] > LAST_FRAME_MS

    def test_a_grey_that_means_transparent_in_one_frame_is_not_taken_for_it_in_the_next(self, tmp_path):
        frames = np.zeros((3, 28, 28), np.uint8)
        frames[1, 8:20, 8:20] = 204
        frames[2] = 1
        frames[2, 14] = np.arange(28)
        save_gif(tmp_path / "a.gif", list(frames))
        assert np.array_equal(decoded(tmp_path / "a.gif")[-1][0], frames[2])

    def test_frames_all_the_same_still_make_a_picture(self, tmp_path):
        save_gif(tmp_path / "a.gif", [tiles(1)[0]] * 5, RECIPE)
        assert np.array_equal(decoded(tmp_path / "a.gif")[-1][0], tiles(1)[0])
        assert read_recipe(tmp_path / "a.gif") == RECIPE

    def test_it_loops_and_holds_its_last_frame(self, tmp_path, trajectory):
        save_gif(tmp_path / "a.gif", [frame[0] for frame in trajectory])
        with Image.open(tmp_path / "a.gif") as file:
            assert file.info["loop"] == 0
        durations = [duration for _, duration in decoded(tmp_path / "a.gif")]
        assert durations[-1] == LAST_FRAME_MS > 1000
        assert durations[-1] > durations[0] > durations[1]
        assert len(set(durations[1:-1])) == 1
        assert durations[1] >= 20  # browsers slow down what is quicker

    @pytest.mark.parametrize("recipe", [RECIPE, LONG_RECIPE], ids=["short", "long"])
    def test_it_carries_its_recipe(self, tmp_path, recipe):
        save_gif(tmp_path / "a.gif", list(tiles(3)), recipe)
        assert read_recipe(tmp_path / "a.gif") == recipe


class TestAnimations:
    """GIF, WebP and animated PNG."""

    each_kind = pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng"])

    @each_kind
    @pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3)], ids=str)
    def test_frames_come_back_in_order_and_the_recipe_with_them(self, tmp_path, name, shape):
        frames = list(tiles(5, shape))
        save_animation(tmp_path / name, frames, RECIPE)
        with Image.open(tmp_path / name) as file:
            assert file.format == {"a.gif": "GIF", "a.webp": "WEBP", "a.apng": "PNG"}[name]
            assert file.n_frames == 5
            assert file.info["loop"] == 0
            shown = [np.asarray(f.convert("RGB")).astype(int) for f in ImageSequence.Iterator(file)]
        if name != "a.gif":
            for found, frame in zip(shown, frames, strict=True):
                assert np.array_equal(found, frame if frame.ndim == 3 else frame[..., None].repeat(3, -1))
        assert read_recipe(tmp_path / name) == RECIPE

    @each_kind
    @pytest.mark.parametrize(("fps", "step"), [(None, 200), (1, 1000), (25, 40), (50, 20)])
    def test_the_speed_is_as_asked(self, tmp_path, name, fps, step):
        save_animation(tmp_path / name, list(tiles(6)), fps=fps)
        with Image.open(tmp_path / name) as file:
            durations = []
            for frame in range(6):
                file.seek(frame)
                file.load()
                durations.append(file.info["duration"])
        assert durations == [max(step, 400), *[step] * 4, max(step, LAST_FRAME_MS)]

    @each_kind
    @pytest.mark.parametrize("fps", [3, 30, 34, 40, 49, None])
    def test_the_time_is_kept_over_the_whole_animation(self, tmp_path, name, fps):
        count = 21  # 2.8 seconds of these are 133 1/3 milliseconds each
        save_animation(tmp_path / name, list(tiles(count)), fps=fps)
        with Image.open(tmp_path / name) as file:
            durations = []
            for frame in range(count):
                file.seek(frame)
                file.load()
                durations.append(file.info["duration"])
        unit, step = (10 if name == "a.gif" else 1), 1000 / fps if fps else 2800 / count
        assert abs(sum(durations) - (400 + step * (count - 2) + LAST_FRAME_MS)) <= unit / 2
        assert (durations[0], durations[-1]) == (400, LAST_FRAME_MS)
        assert all(abs(duration - step) < unit for duration in durations[1:-1])

    @pytest.mark.parametrize("name", ["a.webp", "a.apng"])
    def test_a_grid_of_16_is_a_moderate_download(self, tmp_path, trajectory, name):
        save_animation(tmp_path / name, animation([trajectory], 4), RECIPE)
        assert (tmp_path / name).stat().st_size < 2_500_000

    @pytest.mark.parametrize("fps", [0, 51, -1, "x", float("nan")])
    def test_other_speeds_are_refused(self, tmp_path, fps, refuses):
        with refuses("fps must be a number from 1 to 50"):
            save_animation(tmp_path / "a.gif", list(tiles(2)), fps=fps)

    def test_a_picture_too_long_for_webp_is_refused(self, tmp_path, refuses):
        with refuses("at most 16,383 pixels"):
            save_animation(tmp_path / "a.webp", [np.zeros((16_384, 2), np.uint8)] * 2)


class TestScale:
    @pytest.mark.parametrize("scale", [1, 3, 16])
    def test_it_is_the_one_asked_for(self, scale):
        images = tiles(4)
        assert np.array_equal(picture(images, 2, scale), grid(images, 2, scale))
        [frame] = animation([images[None]], 2, scale)
        assert np.array_equal(frame, grid(images, 2, scale))

    @pytest.mark.parametrize("scale", [0, 17, 1.5, "2", float("nan")])
    def test_others_are_refused(self, scale, refuses):
        for draw in (lambda: picture(tiles(4), 2, scale), lambda: animation([tiles(4)[None]], 2, scale)):
            with refuses("scale must be a whole number from 1 to 16"):
                draw()

    def test_pictures_that_grow_too_large_are_refused_with_what_is_not(self, refuses):
        images = np.zeros((1000, 28, 28), np.uint8)
        with refuses("at scale 16: choose at most 8"):
            picture(images, 32, 16)
        with refuses("at scale 3: choose at most 2"):
            animation([images[None]], 32, 3)
        assert picture(images, 32, 8).size <= 64_000_000


class TestColourGif:
    @pytest.fixture
    def trajectory(self) -> np.ndarray:
        """40 frames on a straight line from noise to 16 smooth colour pictures: uint8 (40, 16, 32, 32, 3)."""
        random = torch.Generator().manual_seed(0)
        x0 = torch.nn.functional.interpolate(torch.rand(16, 3, 3, 3, generator=random) * 2 - 1, 32, mode="bilinear")
        eps = torch.randn(x0.shape, generator=random)
        return np.stack([to_uint8((1 - t) * x0 + t * eps).numpy() for t in torch.linspace(1, 0, FRAMES)])

    @staticmethod
    def decoded(path) -> list[np.ndarray]:
        with Image.open(path) as image:
            return [np.asarray(f.convert("RGB")).astype(int) for f in ImageSequence.Iterator(image)]

    def test_a_grid_of_16_comes_back_to_within_half_a_shade_and_closer_at_its_end(self, tmp_path, trajectory):
        frames = animation([trajectory], 4)
        save_gif(tmp_path / "a.gif", frames, RECIPE)
        assert (tmp_path / "a.gif").stat().st_size < 1_500_000  # a moderate download
        found = self.decoded(tmp_path / "a.gif")
        assert len(found) == len(frames)
        for shown, frame in zip(found[:-1], frames[:-1], strict=True):
            assert np.abs(shown - frame).max() <= 26
        last, before = (np.abs(shown - frames[-1]).mean() for shown in found[:-3:-1])
        assert last < 9
        assert last < 0.7 * before  # in colours of its own
        assert read_recipe(tmp_path / "a.gif") == RECIPE

    def test_a_pixel_that_rests_does_not_flicker(self, tmp_path, trajectory):
        frames = list(trajectory[:, 0])
        for frame in frames:
            frame[:16] = trajectory[-1, 0, :16]
        save_gif(tmp_path / "a.gif", frames)
        assert len({frame[:16].tobytes() for frame in self.decoded(tmp_path / "a.gif")[:-1]}) == 1

    def test_the_last_frame_is_exact_where_it_has_few_colours(self, tmp_path, trajectory):
        frames = [*trajectory[:-1, 0], trajectory[-1, 0] // 64 * 64 + 7]
        save_gif(tmp_path / "a.gif", frames)
        assert np.array_equal(self.decoded(tmp_path / "a.gif")[-1], frames[-1])
