"""The checks of what comes from outside: what passes, what is refused, and how it is said."""

import itertools
import math
from decimal import Decimal

import numpy as np
import pytest
import torch

from diffusion import checks
from diffusion.checks import choice, labels, number, typed, whole

NO_NUMBERS = [None, "7", "", b"7", [7], (7,), {}, object(), 1j, True, False, Decimal(7), np.ones(3), torch.ones(1, 1)]
NOT_FINITE = [math.nan, math.inf, -math.inf, np.float32("nan"), torch.tensor(math.inf)]


def short(value: object) -> str:
    return "object" if type(value) is object else repr(value)[:20]


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("-1", -1), ("1.5", 1.5), ("1e2", 100.0), ("seven", "seven"), ("", ""), ("²", "²")]
)
def test_what_is_typed_is_a_number_where_it_can_be(text, value):
    assert typed(text) == value
    assert type(typed(text)) is type(value)


@pytest.mark.parametrize("value", [0, 20, 7, 7.5, np.float32(7.5), np.int64(7), torch.tensor(7.5)])
def test_numbers_in_range_pass_as_floats(value):
    checked = number("guidance", value, 0, 20)
    assert type(checked) is float
    assert checked == float(value)


@pytest.mark.parametrize(
    "value", [-0.001, 20.001, 1e9, -1, 2**70, 10**400, -(10**400), 1e300, *NOT_FINITE, *NO_NUMBERS], ids=short
)
def test_other_numbers_are_refused(value, refuses):
    with refuses("guidance must be a number from 0 to 20, not "):
        number("guidance", value, 0, 20)


@pytest.mark.parametrize("value", [1, 1000, 20.0, np.int64(20), np.float64(20), torch.tensor(20)])
def test_whole_numbers_in_range_pass_as_ints(value):
    checked = whole("steps", value, 1, 1000)
    assert type(checked) is int
    assert checked == int(value)


@pytest.mark.parametrize("value", [0, 1001, 2.5, -5, 2**70, 10**400, 1e300, *NOT_FINITE, *NO_NUMBERS], ids=short)
def test_other_whole_numbers_are_refused(value, refuses):
    with refuses("steps must be a whole number from 1 to 1,000, not "):
        whole("steps", value, 1, 1000)


def test_one_of_the_choices_passes():
    assert choice("sampler", "ddim", {"ddim": 1, "ddpm": 2}) == "ddim"


@pytest.mark.parametrize("value", ["euler", "DDIM", "", None, 0, ["ddim"], {"ddim"}, np.array(["ddim", "ddpm"])])
def test_no_other_choice_passes(value, refuses):
    with refuses("sampler must be one of ddim, ddpm, not "):
        choice("sampler", value, ["ddim", "ddpm"])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (7, [7]),
        (np.int64(7), [7]),
        (torch.tensor(7), [7]),
        ([7, 7, 3], [7, 7, 3]),
        ((0, 9), [0, 9]),
        (range(10), list(range(10))),
        (np.array([1, 2]), [1, 2]),
        (torch.tensor([1, 2]), [1, 2]),
        ([np.uint8(1), torch.tensor(2), 3.0], [1, 2, 3]),
        pytest.param((digit for digit in (4, 5)), [4, 5], id="generator"),
    ],
    ids=str,
)
def test_one_digit_or_several_pass_as_a_list_of_ints(value, wanted):
    checked = labels("digits", value, 10)
    assert checked == wanted
    assert {type(digit) for digit in checked} == {int}


@pytest.mark.parametrize(
    "value",
    [-1, 10, 1.5, 2**70, 10**400, [3, -1], [3, 10], [3, 1.5], [], (), np.array([]), np.eye(2), *NOT_FINITE]
    + [[value] for value in (*NOT_FINITE, *NO_NUMBERS)]
    + [None, "7", "", b"7", object(), True, {3: 1, "x": 2}],
    ids=short,
)
def test_other_digits_are_refused(value, refuses):
    with refuses("digits must be one or more whole numbers from 0 to 9"):
        labels("digits", value, 10)


def test_an_endless_run_is_refused_before_it_fills_memory(refuses, monkeypatch):
    monkeypatch.setattr(checks, "MAX_IMAGES", 1000)
    with refuses("at most 1,000 images"):
        labels("digits", itertools.repeat(7), 10)
    assert len(labels("digits", itertools.repeat(7, 1000), 10)) == 1000


@pytest.mark.parametrize("value", [np.eye(2), torch.eye(2), "seven\n", "7" * 10_000, list(range(1000))], ids=type)
def test_a_message_stays_one_short_line_whatever_the_value(value, refuses):
    for check in (number, whole):
        with refuses("steps"):
            check("steps", value, 1, 1000)
    with refuses("digits"):
        labels("digits", [value], 10)
    with refuses("sampler"):
        choice("sampler", value, ["ddim"])


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "nan"), (None, "nothing"), ("x", "'x'"), (25.0, "25")])
def test_a_message_shows_what_was_given(value, shown, refuses):
    with refuses(f"not {shown}."):
        number("guidance", value, 0, 20)


@pytest.mark.parametrize("name", ["a.png", "A.PNG", "a.b.zip", "a.idx.zip", "folder/a.npz"])
def test_the_ending_of_a_path_is_the_longest_that_fits(name):
    assert name.lower().endswith(checks.ending(name, [".png", ".npz", ".zip", ".idx.zip"]))
    assert checks.ending("a.idx.zip", [".idx.zip", ".zip"]) == checks.ending("a.IDX.zip", [".zip", ".idx.zip"])


@pytest.mark.parametrize("name", ["", ".png", "png", "a.jpg", "a.png.txt"])
def test_another_ending_is_refused_with_those_there_are(name, refuses):
    with refuses("must end in .gif, .npz or .zip."):
        checks.ending(name, [".gif", ".npz", ".zip"])
    with refuses("must end in .png."):
        checks.ending(name, [".png"])
