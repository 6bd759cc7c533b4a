"""Digits and class names from text."""

import pytest

from diffusion import BadInput, prompts
from diffusion.data import DATASETS, DIGITS

FASHION = DATASETS["fashion-mnist"].names
CIFAR = DATASETS["cifar10"].names


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("0-9", list(range(10))),
        ("9-7", [9, 8, 7]),
        ("7,7,3", [7, 7, 3]),
        ("2026", [2, 0, 2, 6]),
        (" 1, 2-4 55 ", [1, 2, 3, 4, 5, 5]),
    ],
)
def test_what_is_understood(text: str, digits: list[int]) -> None:
    assert prompts.digits(text) == digits
    assert prompts.digits(text, names=DIGITS) == digits
    assert prompts.digits(text, names=FASHION) == digits


@pytest.mark.parametrize(
    "text", ["", " , ", "ten", "1-", "-1", "1.5", "\N{ARABIC-INDIC DIGIT THREE}", "<b>", "x" * 10**6]
)
def test_what_is_not(text: str) -> None:
    for names in ((), DIGITS):
        with pytest.raises(BadInput, match=r'like "0-9", "7,7,3" or "2026"\.$') as refusal:
            prompts.digits(text, names)
        assert len(str(refusal.value)) < 150


@pytest.mark.parametrize(
    ("text", "names", "digits"),
    [
        ("sneaker", FASHION, [7]),
        ("Ankle Boot, bag", FASHION, [9, 8]),
        ("T-SHIRT/TOP shirt\tankle  boot bag", FASHION, [0, 6, 9, 8]),
        ("0-2, bag 7,7 bag,,bag", FASHION, [0, 1, 2, 8, 7, 7, 8, 8]),
        ("cat dog frog cat", CIFAR, [3, 5, 6, 3]),
        ("tsu, su, o", DATASETS["kmnist"].names, [3, 2, 0]),
        ("a b, a, b a b", ["a", "b", "a b"], [2, 0, 1, 2]),  # the longest name first, and none beyond a comma
        ("a, b", ["a", "b", ","], [0, 1]),  # a comma only divides
        ("salt, pepper", ["pepper", "salt, pepper"], [1]),
        ("STRASSE", ["Straße", "."], [0]),
        ("1", ["1", "0"], [1]),  # a digit always means itself
    ],
    ids=str,
)
def test_names_are_understood(text: str, names: tuple[str, ...], digits: list[int]) -> None:
    assert prompts.digits(text, names) == digits


@pytest.mark.parametrize("name", DATASETS)
def test_every_class_is_understood_by_its_name(name: str) -> None:
    names = DATASETS[name].names
    for text in (", ".join(names), " ".join(names).upper(), ",".join(names).lower()):
        assert prompts.digits(text, names) == list(range(10))


@pytest.mark.parametrize("text", ["", " , ", "sock", "ankle", "ankle, boot", "bags", "bag-shirt", "1-", "x" * 10**6])
def test_a_refusal_lists_the_names(text: str, refuses) -> None:
    with refuses("T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot."):
        prompts.digits(text, FASHION)


def test_a_name_of_several_classes_is_refused(refuses) -> None:
    with refuses("'A' names several classes: write one of the digits [0, 2] instead."):
        prompts.digits("A", ["a", "b", "A"])


@pytest.mark.parametrize("names", [["n" * 40] * 1000, [f"{'n o' * 12} {k}" for k in range(10)]], ids=["same", "long"])
@pytest.mark.parametrize("text", ["x" * 100, "n" * 40, "n " * 4999], ids=lambda text: text[:10])
def test_refusals_are_short_however_long_the_names_are(text: str, names: list[str], refuses) -> None:
    with refuses():
        prompts.digits(text, names)
