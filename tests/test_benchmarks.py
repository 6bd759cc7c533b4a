"""What the benchmarks work out, apart from the times themselves."""

import argparse
import copy
import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from visitor import open_page, wait_for_run

from benchmarks import (
    ambigrams,
    augmentation,
    black,
    cores,
    course_project,
    frontier,
    growth,
    inpainting,
    morphs,
    network,
    page,
    shapes,
    stopwatch,
    strength,
    style,
)
from diffusion import Pipeline
from diffusion.denoiser import Denoiser, FewStep
from diffusion.evaluation import readback
from diffusion.evaluation.readback import Reading
from diffusion.evaluation.reader import load_reader
from diffusion.lab import Anagram, Inpainting, edit
from diffusion.lab.picture import packed
from diffusion.networks.unet import UNet
from diffusion.samplers import SAMPLERS


def test_every_benchmark_runs_as_a_program():
    programs = [file for file in Path(black.__file__).parent.glob("*.py") if "def main(" in file.read_text()]
    assert len(programs) > 10
    assert [file.name for file in programs if not file.read_text().endswith('__main__":\n    main()\n')] == []


def test_works_take_turns_and_the_first_round_only_warms_up(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(stopwatch, "perf_counter", lambda: clock[0])
    order = []

    def work(name, *durations):
        durations = iter(durations)

        def run():
            order.append(name)
            clock[0] += next(durations)

        return run

    assert stopwatch.seconds({"a": work("a", 1, 7, 5, 6), "b": work("b", 9, 2, 3, 4)}, rounds=3) == {"a": 5, "b": 2}
    assert order == ["a", "b"] * 4


def test_a_table_is_markdown():
    assert stopwatch.table(["x", "y"], [["a", 1], ["b", 2]]) == "| x | y |\n| --- | --- |\n| a | 1 |\n| b | 2 |"


def test_of_several_rounds_the_median_counts_alone_and_in_sum(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cores", "--seconds", "2"])
    rounds = {1: [[5.0], [9.0], [6.0]] * 4, 2: [[3.0, 1.0], [0.5, 0.5], [9.0, 9.0]] * 4}
    seen = []

    def measured(way: str, count: int, seconds: float) -> list[float]:
        seen.append((way, seconds))
        return rounds[count][[way for way, _ in seen].count(way) // 2 % 3]

    monkeypatch.setattr(cores, "measured", measured)
    cores.main()
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| runs in 2 s | alone | two at once | sum |"
    assert rows == [f"| {way} | 6.0 | 3.0 + 1.0 | 4.0 |" for way in cores.WAYS]
    assert [way for way, _ in seen] == [way for way in cores.WAYS for _ in (1, 2)] * 3  # they take turns


class TestNetwork:
    def test_written_plainly_it_predicts_the_same(self):
        denoiser = Pipeline.from_pretrained(device="cpu").model
        x, labels = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 7, 10])
        with torch.inference_mode():
            for i in (999, 500, 20):
                plain = network.plain(denoiser)(x, i, labels)
                torch.testing.assert_close(denoiser(x, i, labels), plain, rtol=0, atol=1e-5)

    def test_embeddings_that_are_constants_change_nothing_for_their_inputs(self):
        denoiser = Pipeline.from_pretrained(device="cpu").model
        inputs = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)), 500, torch.tensor([1, 2])
        with torch.inference_mode():
            folded = network.folded(denoiser, *inputs)
            torch.testing.assert_close(folded(*inputs), denoiser(*inputs), rtol=0, atol=1e-4)
            x, i, labels = inputs
            assert torch.equal(folded(x, i, labels.flip(0)), folded(*inputs))  # nothing is looked up any more

    def test_norms_that_only_copy(self, tiny_denoiser):
        norms = [layer for layer in network.normless(tiny_denoiser).modules() if isinstance(layer, nn.GroupNorm)]
        x = torch.randn(1, 8, 4, 4)
        assert norms
        assert all(norm(x) is not x and torch.equal(norm(x), x) for norm in norms)

    def test_its_convolutions_alone_are_all_of_them(self, tiny_denoiser):
        layers = [layer for layer in tiny_denoiser.modules() if isinstance(layer, nn.Conv2d)]
        run = network.convolutions(tiny_denoiser, torch.zeros(2, 1, 28, 28), 500, torch.tensor([1, 2]))
        seen = []
        for layer in layers:
            layer.register_forward_hook(lambda layer, *_: seen.append(layer))
        run()
        assert set(seen) == set(layers)
        assert len(seen) == len(layers)

    @pytest.mark.parametrize("few_step", [None, FewStep()])
    def test_every_size_has_every_network(self, make_denoiser, few_step, monkeypatch):
        monkeypatch.setattr(network, "IMAGES", 1)  # the fewest rounds
        monkeypatch.setattr(network, "matrix_rate", lambda *_: 1e11)
        lines = network.measured(make_denoiser(few_step=few_step), [1, 2]).splitlines()
        assert len([line for line in lines if line.startswith(("| 1 |", "| 2 |"))]) == 2 * 8
        assert all("1.00" in line for line in lines if "written plainly |" in line and line.startswith(("| 1", "| 2")))


def test_shapes_cost_what_their_networks_do(monkeypatch):
    monkeypatch.setattr(shapes, "seconds", lambda works, _: stopwatch.seconds(works, rounds=1))
    flags = argparse.Namespace(data="", out=Path(), epochs=1)
    configs = {name: shapes.config_of(name, flags) for name in shapes.SHAPES}
    first = next(iter(configs))
    parameters, arithmetic, ms = shapes.work({first: configs[first]})[first].values()
    assert (parameters, arithmetic) == ("0.87 M", "101")
    assert float(ms) > 0


class TestCourseProject:
    def test_it_is_a_thousand_guided_steps_of_fifteen_million_parameters(self):
        assert Pipeline(Denoiser(course_project.COURSE)).evaluations(course_project.COURSE_RECIPE) == 2000
        with torch.device("meta"):
            unet = UNet(course_project.COURSE.unet)
        assert 14e6 < sum(p.numel() for p in unet.parameters()) < 17e6

    @pytest.mark.parametrize(("most", "count"), [(2, 2), (None, 5), (9, 5)])
    def test_a_stretch_has_so_many_steps(self, tiny_denoiser, most, count):
        pipe = Pipeline(tiny_denoiser)
        times = course_project.step_seconds(pipe, pipe.stream([1], steps=5).recipe, most)
        assert len(times) == count
        assert min(times) > 0

    def test_few_step_weights_are_timed_in_fewer_steps_too(self, monkeypatch):
        monkeypatch.setattr(course_project, "COURSE_RECIPE", replace(course_project.COURSE_RECIPE, digits=(7,)))
        lines = course_project.compared(["few-step"], stretch=1, rounds=1).splitlines()
        ways = [line.split(" | ")[:2] for line in lines[4:]]
        assert ways[0] == ["| course project (extrapolated from 1 of 1,000 steps)", "2000"]
        assert ways[1:] == [
            [f"| few-step, {steps} {'step' if steps == 1 else 'steps'}, {precision}", str(steps)]
            for precision in ("fp32", "auto")
            for steps in (1, 2, 4)
        ]


def run(
    name: str, seconds: float, distance: float, steps: int = 4, guidance: float = 1.0, accuracy: float = 0.99
) -> dict:
    return {
        "weights": name,
        "seconds": seconds,
        "evaluations": steps,
        "recipe": {"sampler": "ddim", "steps": steps, "guidance": guidance},
        "frechet_distance": {"value": distance, "floor": 0.1},
        "accuracy": {"value": accuracy, "floor": 1.0},
    }


class TestFrontier:
    runs = (
        run("slow", 3.0, 0.2),
        run("quick", 1.0, 0.4),
        run("beaten", 2.0, 0.5),
        run("clearer", 2.0, 0.5, accuracy=0.999),
        run("quicker by chance", 2.9, 0.21),
        run("best", 4.0, 0.15, guidance=2.0),
    )

    def test_the_frontier_is_what_nothing_quicker_is_better_than(self):
        assert {one["weights"] for one in frontier.unbeaten(list(self.runs))} == {"quick", "clearer", "slow", "best"}

    def test_the_report_goes_from_quick_to_slow_with_the_frontier_in_bold(self):
        lines = frontier.report(list(self.runs)).splitlines()[2:]
        names = ["**quick", "beaten", "**clearer", "quicker by chance", "**slow", "**best"]
        assert [line.split(",")[0].lstrip("| ") for line in lines] == names
        assert "0.150 | 1.5 | 99.0% |" in lines[-1]
        assert "guidance 2**" in lines[-1]

    def test_the_picture_has_a_line_for_each_that_reaches_the_frontier(self, monkeypatch):
        drawn = []
        monkeypatch.setattr(frontier.plot, "lines", lambda lines, **_: drawn.append(lines))
        frontier.picture(list(self.runs), "accuracy")
        assert [name.split(",")[0] for name in drawn[0]] == ["slow", "quick", "clearer", "best"]
        assert drawn[0]["clearer, ddim, no guidance"] == [(2.0, 0.999)]

    def test_what_weights_cannot_do_is_left_out(self, tiny_denoiser):
        flags = argparse.Namespace(sampler=",".join(SAMPLERS), steps="1,4,1001", guidance="1,2,99", count=200)
        recipes = frontier.possible(Pipeline(tiny_denoiser), flags)
        assert len(recipes) == 1 + len(SAMPLERS) * 2 * 2  # its defaults, and all that was asked for
        assert {len(recipe.digits) for recipe in recipes} == {200}


class TestInpainting:
    def test_another_label_is_that_of_the_nearest_digit_that_reads_when_pasted_in(self, digits):
        images, labels = digits
        right = edit.MASKS["right"](28, 28)
        true = [int((labels == label).nonzero()[0]) for label in (3, 8, 0)]
        half = images[true].clone()
        half[0] = torch.where(torch.from_numpy(right), half[0], images[true[1]])  # a 3 whose left half is that of an 8
        mine = inpainting.Digits(half[:1], labels[true[:1]], (images[true[1:] * 10], labels[true[1:] * 10]))
        assert mine.another_label(right, load_reader()).tolist() == [8]
        own = inpainting.Digits(half[:1], labels[true[:1]], (images, labels))
        assert own.another_label(right, load_reader()).tolist() != [3]

    def test_the_seam_is_the_step_across_the_border(self):
        images = np.zeros((1, 4, 4), np.uint8)
        images[:, :, 2:] = [50, 255]
        assert inpainting.seam(images, edit.MASKS["left"](4, 4)) == 50
        assert inpainting.seam(images, edit.MASKS["top"](4, 4)) == 0

    def test_evaluations_are_counted_as_they_are_made(self, tiny_denoiser, digits, monkeypatch):
        monkeypatch.setattr(inpainting, "told_apart", lambda drawn, real: len(drawn) / len(real))
        images, labels = digits[0][:6], digits[1][:6]
        pipe, mine = Pipeline(tiny_denoiser), inpainting.Digits(images, labels, digits)
        activity = Inpainting(
            tuple(packed(image.numpy()) for image in images), edit.mask("top", (1, 28, 28)), "replacement"
        )
        recipe = pipe.recipe(labels.tolist(), activity=activity, steps=5)
        figures, drawn = inpainting.measured(pipe, recipe, mine, load_reader())
        assert figures["evaluations"] == pipe.evaluations(recipe)
        assert figures["told_apart"] == 1  # with as many real ones
        assert (drawn[:, 14:] == images[:, 14:].numpy()).all()


def test_strength_0_is_read_as_it_was_and_nothing_is_far(tiny_denoiser, digits):
    mine = inpainting.Digits(digits[0][:20], digits[1][:20], digits)
    row = strength.measured(Pipeline(tiny_denoiser), mine, 0.0)
    assert row[strength.FAR] == 0
    assert row[strength.STILL] > 0.9
    assert row[strength.ASKED] < 0.1
    assert (strength.another(digits[1], 10) != digits[1]).all()


def test_jumps_of_a_morph_and_what_its_frames_read_as():
    frames = np.zeros((5, 28, 28), np.uint8)
    frames[:, 0, 0] = [0, 10, 20, 30, 70]
    assert morphs.jump(frames) == 4


def test_growth_measures_time_and_memory():
    found = growth.drawn(None, 3, 1)
    assert 0 < found["seconds"] < 60
    assert 50 * 2**20 < found["bytes"] < 4 * 2**30


def test_growth_runs_each_size_in_a_process_of_its_own(monkeypatch):
    commands = []

    def fake(command, **_):
        commands.append(command)
        return SimpleNamespace(returncode=0, stdout='{"seconds": 0.5, "bytes": 104857600}')

    monkeypatch.setattr(growth.subprocess, "run", fake)
    lines = growth.grown(argparse.Namespace(sizes="1,100", steps=3, weights="runs/mnist")).splitlines()
    assert lines[2:] == ["| 1 | 500.0 | 100 |", "| 100 | 5.0 | 100 |"]
    assert [command[command.index("--one") + 1] for command in commands] == ["1", "100"]
    assert all(command[-2:] == ["--weights", "runs/mnist"] for command in commands)


@pytest.mark.parametrize(
    ("benchmark", "arguments", "sentence"),
    [
        ("ambigrams", "--only sideways", "--only must be one of rotate-180, flip, hybrid"),
        ("growth", "--sizes 0", "--sizes must be a whole number from 1"),
        ("network", "--sizes 0", "--sizes must be a whole number from 1"),
        ("course_project", "--stretch 0", "--stretch must be a whole number from 1 to 1,000, not 0."),
        ("inpainting", "--method magic", "--method must be one of"),
        ("strength", "--strengths 2", "--strengths must be a number from 0 to 1"),
        ("morphs", "--pairs x", "--pairs must be"),
        ("augmentation", "--seeds 1", "--seeds must be a whole number from 2 to 1,000, not 1."),
        ("samplers", "--guesses x", "--guesses must be a whole number from 1 to 1,000, not 'x'."),
    ],
)
def test_bad_input_is_told_in_a_sentence(monkeypatch, refuses, benchmark, arguments, sentence):
    monkeypatch.setattr(sys, "argv", [benchmark, *arguments.split()])
    with refuses(sentence, SystemExit):
        import_module(f"benchmarks.{benchmark}").main()


@pytest.mark.process
def test_what_the_process_of_a_size_refuses_is_told_once():
    command = [sys.executable, "-m", "benchmarks.growth", "--sizes", "1", "--weights", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("growth.py: There is no checkpoint at nowhere")
    assert "Traceback" not in ended.stderr


def test_the_page_is_watched_from_the_click_on(blank, url):
    view = blank
    open_page(view, url)
    view.get_by_label("Instant").check()
    wait_for_run(view)  # other weights draw at once
    for _ in range(2):
        times = page.clicked(view)
        assert (
            0 < times["click to first frame"] <= times["click to final grid"] <= times["click to GIF"]
        )  # all seen in one frame, if it is quick


def test_the_lab_is_watched_from_the_click_on(blank, url):
    view = blank
    open_page(view, url)
    view.get_by_role("tab", name="Lab").click()
    for activity in ("forward", "edit"):
        assert 0 < page.tried(view, activity) < page.PATIENCE


def test_a_port_where_nothing_is_does_not_answer():
    assert not page.answers("http://127.0.0.1:9/")


class TestAmbigrams:
    @pytest.fixture
    def scores(self, tiny_denoiser, tmp_path):
        return ambigrams.Scores(Pipeline(tiny_denoiser), load_reader(), tmp_path / "scores.json")

    def test_what_was_drawn_is_not_drawn_again(self, scores, monkeypatch):
        recipe = scores.pipe.recipe([6], activity=Anagram((9,)), steps=1)
        drawn = scores.draw(recipe, range(3))
        again = ambigrams.Scores(scores.pipe, scores.reader, scores.path)
        monkeypatch.setattr(Pipeline, "run", None)
        assert again.draw(recipe, range(3)) == drawn
        with pytest.raises(TypeError):  # another recipe is another thing
            again.draw(replace(recipe, guidance=2.0), range(3))

    def test_tries_are_those_of_until_right(self, scores, monkeypatch):
        drawn = []
        wrong = [[Reading(6, 0, 1, 0, "0")]]
        monkeypatch.setattr(readback, "read_looks", lambda *given: drawn.append(given[2].seeds) or wrong)
        recipe = scores.pipe.recipe([6], activity=Anagram((9,)), steps=1, guidance=1)
        readback.until_right(scores.pipe, scores.reader, recipe, 4)
        assert [seed for [seed] in drawn[:4]] == ambigrams.tried(4)

    def test_tries_end_with_the_first_batch_that_has_one_right(self, scores, monkeypatch):
        right = ambigrams.tried(32)[10]
        monkeypatch.setattr(scores, "draw", lambda _, seeds: {seed: (0.5, seed == right) for seed in seeds})
        pairs = ambigrams.measured(scores, "hybrid", 2)
        assert len(pairs) == 90
        assert set(pairs[3, 8]) == {0, 1, *ambigrams.tried(17)}
        *_, first, reached, _ = ambigrams.figures("hybrid", pairs, 2)
        assert (first, reached) == ("0 of 90", "90 of 90")

    def test_both_orders_of_a_pair_count_as_one(self):
        pairs = {(a, b): {0: (0.9, a == b)} for a in range(3) for b in range(3)}
        _, _, rate, first, _, missed = ambigrams.figures("flip", pairs, 1)
        assert (rate, first) == ("50.0%", "3 of 9")  # 3 of the 6 pairs
        assert missed == "0/1, 0/2, 1/0, 1/2, 2/0, 2/1"

    def test_the_surest_right_one_is_shown_and_its_seed_told(self, scores):
        assert ambigrams.surest({1: (0.99, False), 2: (0.6, True), 3: (0.7, True)}) == (3, True)
        assert ambigrams.surest({1: (0.2, False), 2: (0.3, False)}) == (2, False)
        best = {(a, b): (5, a != b) for a in range(10) for b in range(10)}
        cells = {pair: np.full((34, 64, 3), 10 * pair[0] + pair[1], np.uint8) for pair in best}
        sheet = ambigrams.sheet(cells, 10, scale=1)
        assert sheet.shape == (340, 640, 3)
        assert sheet[34 * 7 + 9, 64 * 3 + 9].tolist() == [73] * 3  # row 7, column 3
        told = json.loads(ambigrams.published(scores.pipe, "rotate-180", best))
        activity = Anagram((3,), (told["view"],), **told["settings"]["activity"])
        again = scores.pipe.recipe([7], seed=told["seeds"][7][3], activity=activity, **told["settings"]["recipe"])
        assert again == replace(ambigrams.recipe_of(scores.pipe, "rotate-180", (7, 3)), seed=5)


def test_the_table_of_styles(make_denoiser, styles):
    pipe = Pipeline(make_denoiser(styles=styles))
    table = style.study(pipe, pipe.recipe([*range(10)] * 2, steps=2))
    assert "| R^2 of slant |" in table
    asked = torch.rand(50, 3)
    assert style.r_squared(asked, asked) == [1, 1, 1]
    assert style.r_squared(asked, asked.mean(0).expand(50, 3)) == pytest.approx([0, 0, 0], abs=1e-5)
    images = torch.tensor([0, 3, 10, 14])[:, None, None].expand(4, 28, 28)
    assert style.distance(images, torch.tensor([0, 0, 1, 1])) == pytest.approx(3.5)


def test_pixels_are_black_as_the_network_says_or_below_a_threshold(make_denoiser):
    denoiser = make_denoiser(black=True)
    with torch.no_grad():
        denoiser.unet.black.bias += 99  # the network says that all is black
    pipe = Pipeline(denoiser, drawing=copy.deepcopy(denoiser))  # as it draws in another precision
    said, grey = (images for _, images in black.drawn(pipe, pipe.recipe([3, 7])))
    assert not said.any()
    cut = black.zero_below(50, grey)
    assert 0 < (cut > 0).sum() < (grey > 0).sum()
    assert (cut[cut > 0] >= 50).all()


class TestAugmentation:
    @pytest.mark.training
    def test_every_set_gets_its_row_and_nothing_is_learned_twice(
        self, mnist_folder, tmp_path, tiny_denoiser, monkeypatch, capsys
    ):
        tiny = {"channels": (8, 8), "blocks": 1, "attention": (1,), "embedding": 16, "stem": 4}
        monkeypatch.setattr(augmentation, "SMALL", tiny)
        monkeypatch.setattr(Pipeline, "from_pretrained", lambda *_, **__: Pipeline(tiny_denoiser))
        folders = ["--data", mnist_folder, "--out", tmp_path / "out", "--runs", tmp_path / "runs"]
        sizes = ["--each", "1,5", "--unbalanced", "100", "--learn", "4", "--add", "20", "--steps", "4", "--seeds", "2"]
        monkeypatch.setattr(sys, "argv", ["augmentation", *map(str, folders), *sizes])
        augmentation.main()
        lines = (first := capsys.readouterr().out).splitlines()
        assert lines[0].endswith(
            "| 1 of each | 5 of each | 100 of each, but 1 of 2, 5, 8 | 100 of each, but 1 of 2, 5, 8: these |"
        )
        assert [line.count("±") for line in lines[2:10]] == [4, 4, 2, 2, 4, 4, 4, 4]
        assert (tmp_path / "out" / "wrong.png").is_file()
        monkeypatch.setattr(augmentation, "classifier", None)
        monkeypatch.setattr(augmentation, "trained", None)
        augmentation.main()
        assert capsys.readouterr().out == first

    def test_classes_are_shown_evenly_and_each_half_real(self, digits, monkeypatch):
        images, labels = digits
        few = augmentation.Few("few", images[labels < 3][:70], labels[labels < 3][:70], [2] * 20)
        assert not few.balanced
        monkeypatch.setattr(augmentation, "drawn", lambda *_: (images[:20], torch.tensor([2] * 20)))
        _, shown, weights = augmentation.shown(few, augmentation.OWN, None)
        sums = torch.stack([weights[:70][shown[:70] == label].sum() for label in range(3)])
        assert torch.allclose(sums, torch.tensor([1, 1, 0.5]))
        assert weights[70:].sum() == pytest.approx(0.5)
        *_, weights = augmentation.shown(few, augmentation.EVEN, None)
        assert weights.sum() == pytest.approx(3)
        assert augmentation.shown(few, augmentation.NONE, None)[2].unique() == 1

    @pytest.mark.parametrize("jitter", [False, True])
    def test_the_classifier_learns_what_it_is_shown(self, digits, jitter):
        images, labels = digits
        network = augmentation.classifier(images, labels, (labels != 5).float(), 60, jitter, 0)
        everything, rare = augmentation.accuracies(network, digits)
        assert everything > 0.8
        assert rare == pytest.approx(2 / 3, abs=0.1)  # of 2, 5 and 8, all but the 5
