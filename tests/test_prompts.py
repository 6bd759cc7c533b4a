"""Digits from text."""

import pytest

from diffusion import BadInput, prompts


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


@pytest.mark.parametrize(
    "text", ["", " , ", "ten", "1-", "-1", "1.5", "\N{ARABIC-INDIC DIGIT THREE}", "<b>", "x" * 10**6]
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(BadInput, match=r'like "0-9", "7,7,3" or "2026"\.$') as refusal:
        prompts.digits(text)
    assert len(str(refusal.value)) < 150
