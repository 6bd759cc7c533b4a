"""The words of a prompt: which ones are understood, what each means, and what is said of those that are not.

Each word is of a kind, a letter, by which prompts.py knows which words may follow each other.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from textwrap import shorten

from diffusion.checks import BadInput, shown

_DIGITS = ["zero nought naught nil oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_NUMBERS = {
    "c": "10 ten 11 eleven 12 twelve 13 thirteen 14 fourteen 15 fifteen 16 sixteen 17 seventeen 18 eighteen "
    "19 nineteen 20 twenty 30 thirty 40 forty 50 fifty 60 sixty 70 seventy 80 eighty 90 ninety",  # these only count
    "h": "2 couple 2 pair 12 dozen 100 hundred 1000 thousand 1000000 million",  # these multiply a number before them
    "w": "1 once 2 twice 3 thrice",
}
_OTHERS = {
    " ": "a an the please draw write show paint make give me ( ) [ ] : ' \"",  # left out
    ",": ", ; . ! ? & + and then",
    "-": "- to through until .. ...",
    "x": "x * times",
    "o": "of",
    "q": "all every each",
    "r": "random any some anything",
    "d": "digit number numeral",
    "D": "digits numbers numerals",
}
_STYLES = {  # the words of style.WORDS, and others for them
    "thin": "fine light",
    "thick": "bold fat heavy",
    "slanted": "leaning italic",
    "upright": "straight",
    "narrow": "slim",
    "wide": "broad",
}
_SOUNDS = {"ate": "eight", "won": "one"}  # misspellings that only the ear knows
_TYPESET = str.maketrans(
    {
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{FULLWIDTH COMMA}": ",",
        "\N{IDEOGRAPHIC COMMA}": ",",
        "\N{FULLWIDTH HYPHEN-MINUS}": "-",
        "\N{FULLWIDTH TILDE}": "-",
        "\N{WAVE DASH}": "-",
    }
)


@dataclass(frozen=True)
class Word:
    """A word: its kind, the classes that it draws, and the number that it is."""

    kind: str
    draws: Sequence[int] = ()
    number: int = 1
    text: str = ""  # as it is written; of one that says how to write, the word of style.WORDS
    styles: tuple[str, ...] = ()  # said before it


def _dictionary() -> dict[str, Word]:
    """Every word that is understood, whatever the classes are called."""
    words = {word: Word(kind) for kind, several in _OTHERS.items() for word in several.split()}
    words |= {said: Word("y", text=word) for word, several in _STYLES.items() for said in [word, *several.split()]}
    for kind, several in _NUMBERS.items():
        words |= {word: Word(kind, number=int(number)) for number, word in re.findall(r"(\d+) (\w+)", several)}
    for digit, several in enumerate(_DIGITS):
        for word in several.split():
            words |= {word: Word("n", [digit], digit)} | _plurals(word, [digit])
    return words


def _plurals(word: str, draws: Sequence[int]) -> dict[str, Word]:
    endings = ["es"] if word[-1] in "sx" else ["s", "es"] if word[-1] in "oh" else ["s"]
    return {word + ending: Word("s", draws) for ending in endings}


DICTIONARY = _dictionary()


def class_count(names: Sequence[str]) -> int:
    """How many classes there are; where their names are not given, they are the digits."""
    return len(names or _DIGITS)


def counted(names: Sequence[str]) -> dict[str, Word]:
    """The words whose meaning follows from how many classes there are: even, odd, "all ten"."""
    count = class_count(names)
    numbers = [word for word, meaning in DICTIONARY.items() if meaning.kind in "nc" and meaning.number == count]
    parity = {"even": Word("e", range(0, count, 2)), "odd": Word("e", range(1, count, 2))}
    return parity | {f"all {number}": Word("q") for number in [str(count), *numbers]}


def _named(names: Sequence[str]) -> dict[str, Word]:
    """The names of the classes, and their plurals."""
    labels: dict[str, list[int]] = {}
    for label, name in enumerate(names):
        key = _joined(_tokens(name))
        if key and not re.fullmatch(r"[0-9]+", name):
            labels.setdefault(key, []).append(label)
    plurals = {key: word for name, draws in labels.items() for key, word in _plurals(name, draws).items()}
    return plurals | {name: Word("t", draws, text=names[draws[0]]) for name, draws in labels.items()}


def _shorter(names: Sequence[str]) -> dict[str, Word]:
    """Other words for classes: each side of "T-shirt/top", "tshirt", and the last word of "Ankle boot"."""
    labels: dict[str, set[int]] = {}
    for label, name in enumerate(names):
        for side in name.split("/"):
            *before, last = side.split() or [""]
            for word in (side, re.sub(r"[\W_]+", "", side), side if DICTIONARY.keys() & set(before) else last):
                labels.setdefault(_joined(_tokens(word)), set()).add(label)
    words: dict[str, Word] = {}
    for word, draws in labels.items():
        if word and len(draws) == 1 and not re.fullmatch(r"[0-9]+", word):
            [label] = draws
            forms = _plurals(word, [label]) | {word: Word("t", [label])}
            words |= {form: replace(each, text=names[label]) for form, each in forms.items()}
    return words


def words_of(text: str, names: Sequence[str]) -> Iterator[Word]:
    """The words of a text, the longest first; those that mean nothing are left out."""
    known = (
        _shorter(names) | DICTIONARY | counted(names) | _named(names) | {",": DICTIONARY[","]}
    )  # a comma only divides, whatever is named so
    longest = max(key.count(" ") + 1 for key in known)
    tokens = _tokens(text)
    at = 0
    while at < len(tokens):
        token, typed = tokens[at]
        end = next((end for end in range(at + longest, at, -1) if _joined(tokens[at:end]) in known), at + 1)
        if word := known.get(_joined(tokens[at:end])):
            if word.kind != "y":
                word = replace(word, text=" ".join(dict.fromkeys(typed for _, typed in tokens[at:end])))
            if len(word.draws) > 1 and word.kind in "ts":
                classes = shown(word.draws)
                raise BadInput(f"{quoted([word])} names several classes: write one of the digits {classes} instead.")
        elif number := re.fullmatch(r"([0-9]+)('?s)?", token):
            size = int(number[1].lstrip("0")[:8] or 0)  # whatever is longer is too large as well
            word = Word("s" if number[2] else "n", [int(digit) for digit in number[1]], size, typed)
        else:
            raise _unknown(token, typed, known, names)
        if word.kind != " ":
            yield word
        at = end


def in_ascii(text: str) -> str:
    """The text with full-width digits, and those of other scripts, as 0 to 9: `int` reads them too."""
    return "".join(str(unicodedata.decimal(letter, letter)) for letter in text)


def _tokens(text: str) -> list[tuple[str, str]]:
    """Runs of letters, numbers, plurals of numbers and signs, in small letters, each with what stands around it."""
    chunks = re.findall(r"[^\s,]+|,", text.translate(_TYPESET))
    return [(token, chunk) for chunk in chunks for token in re.findall(_TOKEN, in_ascii(chunk.casefold()))]


_TOKEN = r"[0-9]+'?s(?![^\W\d_])|[0-9]+(?:\.[0-9]+)*|[^\W\d_]+|\.\.+|."


def _joined(tokens: Sequence[tuple[str, str]]) -> str:
    return " ".join(token for token, _ in tokens)


# What is said to those who are not understood.


def _unknown(token: str, typed: str, known: dict[str, Word], names: Sequence[str]) -> BadInput:
    """For a word that is not in the dictionary: what may have been meant, if anything is close."""
    likely = [word for word, meaning in known.items() if meaning.kind not in " ,-" and len(word) > 2]
    close = [_SOUNDS[token]] if token in _SOUNDS else get_close_matches(token, likely, n=1, cutoff=0.65)
    if not close:
        return cannot_read([Word("", text=typed)], names)
    return BadInput(f"Cannot read {shown(token)}: write {shown(known[close[0]].text or close[0])} if you mean that.")


def cannot_read(words: Sequence[Word], names: Sequence[str]) -> BadInput:
    """For words that are known, and say nothing where they stand."""
    return BadInput(f"Cannot read {quoted(words)}{' as digits' * are_digits(names)}: write {examples(names)}.")


def quoted(words: Sequence[Word]) -> str:
    """Words as they were written, for a message."""
    return shown(" ".join(dict.fromkeys(word.text for word in words)))


def examples(names: Sequence[str]) -> str:
    """What can be written, for those who are told to."""
    if are_digits(names):
        return 'them like "2026", "0-9" or "a 4 and two 3s"'
    return f'what to draw like "two of each", or by these names: {shorten(", ".join(names), 110, placeholder=" ...")}'


def are_digits(names: Sequence[str]) -> bool:
    """Whether the classes are called like digits, or not at all."""
    return all(re.fullmatch(r"[0-9]+", name) for name in names)
