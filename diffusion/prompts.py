"""What to draw, in words: "a 4 and two 3s", "2026", "all the even digits" -> labels.

A prompt names one thing after another, with or without commas and "and" between them:

    7, seven, 2026, ankle boot             a digit, the digits of a number, a class by its name
    0-9, nine to zero                      every digit on the way
    two 3s, a dozen bags, 5 x 7s           how many: a number before a plural,
    3 x cat, a pair of 7                   before "x" and a class, or before "of"
    7 x 5, 7 five times, 0-9 twice         how often: a number after it, with "x" or "times"
    all digits, odd numbers, two of each   every digit, or every odd one
    a digit, random, three even digits     chance picks them, each for itself

Any other number is drawn: "two 3" is a 2 and a 3, "one" is a 1, and "3 x 7" is a 3, seven times. A plural without a
number is one image.

Before a thing words may say how to write it: "a thick 7", "two thin, slanted 4s", "upright 2026".
"""

import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import prod
from textwrap import shorten

from diffusion.checks import MAX_IMAGES, BadInput, shown
from diffusion.style import WORDS, contradiction

MAX_LENGTH = 10_000  # characters of a prompt


def digits(
    text: str, names: Sequence[str] = (), *, choose: Callable[[Sequence[int]], int] = random.choice
) -> list[int]:
    """The digits that a text asks for, in order, or BadInput.

    Args:
        names: of the classes, names[k] for digit k, such as `Pipeline.names`. They are understood in upper and lower
            case, and the longest first: "ankle boot" is one thing. A digit always means itself.
        choose: picks one of several digits where chance is asked for.

    >>> digits("a 4 and two 3s"), digits("2026"), digits("0-3"), digits("Dog, 0, two cats", names=["cat", "dog"])
    ([4, 3, 3], [2, 0, 2, 6], [0, 1, 2, 3], [1, 0, 0, 0])
    """
    wanted, words = styled(text, names, choose=choose)
    if words:
        raise BadInput(f"Only what to draw can be said here, not how: leave {shown(words[0][1])} out.")
    return wanted


def styled(
    text: str, names: Sequence[str] = (), *, choose: Callable[[Sequence[int]], int] = random.choice
) -> tuple[list[int], tuple[tuple[int, str], ...]]:
    """The digits that a text asks for, and how they are to be written: (k, word of style.WORDS) for digit k.

    >>> styled("a 4 and two thick 3s")
    ([4, 3, 3], ((1, 'thick'), (2, 'thick')))
    """
    if len(text) > MAX_LENGTH:
        raise BadInput(f"That is too long: write digits like {_examples(names)}.")
    wanted: list[int] = []
    how: list[tuple[int, str]] = []
    for pool, count, by_chance, words in _things(_with_styles(_words(text, names)), names):
        if len(wanted) + count * (1 if by_chance else len(pool)) > MAX_IMAGES:
            raise BadInput(f"Ask for at most {MAX_IMAGES:,} images at once.")
        first = len(wanted)
        wanted += [choose(pool) for _ in range(count)] if by_chance else list(pool) * count
        how += [(k, word) for k in range(first, len(wanted)) for word in words]
    if not wanted:
        raise BadInput(f"No digits asked for: write them like {_examples(names)}.")
    return wanted, tuple(how)


def _with_styles(words: Iterable["_Word"]) -> list["_Word"]:
    """The words without those that say how to write, which go along with the next one of the others."""
    others: list[_Word] = []
    styles: dict[str, str] = {}  # of an attribute: the word
    last = _Word("")
    for word in words:
        if word.kind == "y":
            attribute = WORDS[word.text][0]
            before = styles.setdefault(attribute, word.text)
            if before != word.text:
                raise contradiction(before, word.text)
            last = word
        elif not (styles and word.kind == ","):  # "thin, slanted 4s" are both
            others.append(replace(word, styles=tuple(styles.values())))
            styles = {}
    if styles:
        raise BadInput(f'It is not said what shall be {last.text}: write it before a digit, like "a {last.text} 7".')
    return others


# The rules: which words may follow each other, each word one letter. The first rule that fits is taken.
#   n seven, 2026   c ten   h hundred   s sevens   t cat   - to   x times   w twice   o of
#   q all   r random   e even   d digit   D digits   , and
# Words that say how to write, y, are taken out before, and belong to what the next word belongs to.

_NUMBER = r"(?:[nc]h*+|h++)"
_TIMES = rf"(?:x{_NUMBER}(?![xo]?s)|{_NUMBER}x(?=,|$)|w)"  # x 5, five times, twice
_COUNT = rf"(?P<count>{_NUMBER})"
_RULES = (
    ",",
    rf"[rdD](?=[nchst])(?!{_TIMES})",  # nothing by itself: the digit 7, any three
    *(
        rf"{thing}(?P<again>{_TIMES})?"
        for thing in (
            rf"{_COUNT}(?:[xo]?(?=s)|[xo](?=t)|o(?=n))(?P<pool>[nst])",  # two 3s, 3 x cat, a pair of 7
            r"(?P<range>n-n)",  # 0-9
            rf"(?:{_COUNT}[xo]?)?(?P<pool>qe?+[dD]?+)(?!(?!{_TIMES})[nchst])",  # all digits, two of each
            rf"(?:{_COUNT}[xo]?)?(?P<chance>re?[dD]?)",  # random, five random digits
            rf"{_COUNT}[xo]?(?P<chance>e?D)",  # three even digits
            r"(?P<chance>e?d)",  # a digit
            r"(?P<pool>e?D|e|q?s|n|t)",  # even digits, digits, all sevens, seven, cat
        )
    ),
)
_COMPILED = [re.compile(rule) for rule in _RULES]


def _things(words: list["_Word"], names: Sequence[str]) -> Iterator[tuple[Sequence[int], int, bool, list[str]]]:
    """What is asked for, one after another: all of a pool of digits so many times, or so many picked by chance.

    The last part of each are the words that say how to write it.
    """
    kinds = "".join(word.kind for word in words)
    at = 0
    left_over: list[str] = []  # before a word that is nothing by itself, as in "a thick digit 7"
    while at < len(words):
        match = next(filter(None, (rule.match(kinds, at) for rule in _COMPILED)), None)
        if match is None:
            raise _cannot_read([words[at]], names)
        styles = [style for word in words[at : match.end()] for style in word.styles] + left_over
        found = {name: words[slice(*match.span(name))] for name in match.groupdict() if match[name]}
        left_over = [] if found else styles
        count = prod(word.number for word in found.get("count", []) + found.get("again", []))
        if not count:
            raise BadInput(f"Cannot draw {_typed(words[at : match.end()])}: ask for 1 or more.")
        if "range" in found:
            first, _, last = found["range"]
            if len(first.draws) > 1 or len(last.draws) > 1:
                raise _cannot_read(found["range"], names)
            step = 1 if first.number <= last.number else -1
            yield range(first.number, last.number + step, step), count, False, styles
        elif thing := found.get("pool") or found.get("chance"):
            pool = next((word.draws for word in thing if word.draws), range(_count(names)))
            yield pool, count, "chance" in found, styles
        at = match.end()


# The words, by those letters.

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
class _Word:
    kind: str
    draws: Sequence[int] = ()
    number: int = 1
    text: str = ""  # as it is written; of one that says how to write, the word of style.WORDS
    styles: tuple[str, ...] = ()  # said before it


def _dictionary() -> dict[str, _Word]:
    """Every word that is understood, whatever the classes are called."""
    words = {word: _Word(kind) for kind, several in _OTHERS.items() for word in several.split()}
    words |= {said: _Word("y", text=word) for word, several in _STYLES.items() for said in [word, *several.split()]}
    for kind, several in _NUMBERS.items():
        words |= {word: _Word(kind, number=int(number)) for number, word in re.findall(r"(\d+) (\w+)", several)}
    for digit, several in enumerate(_DIGITS):
        for word in several.split():
            words |= {word: _Word("n", [digit], digit)} | _plurals(word, [digit])
    return words


def _plurals(word: str, draws: Sequence[int]) -> dict[str, _Word]:
    endings = ["es"] if word[-1] in "sx" else ["s", "es"] if word[-1] in "oh" else ["s"]
    return {word + ending: _Word("s", draws) for ending in endings}


_DICTIONARY = _dictionary()


def _count(names: Sequence[str]) -> int:
    """How many classes there are; where their names are not given, they are the digits."""
    return len(names or _DIGITS)


def _counted(names: Sequence[str]) -> dict[str, _Word]:
    """The words whose meaning follows from how many classes there are: even, odd, "all ten"."""
    count = _count(names)
    numbers = [word for word, meaning in _DICTIONARY.items() if meaning.kind in "nc" and meaning.number == count]
    parity = {"even": _Word("e", range(0, count, 2)), "odd": _Word("e", range(1, count, 2))}
    return parity | {f"all {number}": _Word("q") for number in [str(count), *numbers]}


def _named(names: Sequence[str]) -> dict[str, _Word]:
    """The names of the classes, and their plurals."""
    labels: dict[str, list[int]] = {}
    for label, name in enumerate(names):
        key = _joined(_tokens(name))
        if key and not re.fullmatch(r"[0-9]+", name):
            labels.setdefault(key, []).append(label)
    plurals = {key: word for name, draws in labels.items() for key, word in _plurals(name, draws).items()}
    return plurals | {name: _Word("t", draws, text=names[draws[0]]) for name, draws in labels.items()}


def _words(text: str, names: Sequence[str]) -> Iterator[_Word]:
    """The words of a text, the longest first; those that mean nothing are left out."""
    known = (
        _DICTIONARY | _counted(names) | _named(names) | {",": _DICTIONARY[","]}
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
                raise BadInput(f"{_typed([word])} names several classes: write one of the digits {classes} instead.")
        elif number := re.fullmatch(r"([0-9]+)('?s)?", token):
            size = int(number[1].lstrip("0")[:8] or 0)  # whatever is longer is too large as well
            word = _Word("s" if number[2] else "n", [int(digit) for digit in number[1]], size, typed)
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


def _unknown(token: str, typed: str, known: dict[str, _Word], names: Sequence[str]) -> BadInput:
    """For a word that is not in the dictionary: what may have been meant, if anything is close."""
    likely = [word for word, meaning in known.items() if meaning.kind not in " ,-" and len(word) > 2]
    close = [_SOUNDS[token]] if token in _SOUNDS else get_close_matches(token, likely, n=1, cutoff=0.65)
    if not close:
        return _cannot_read([_Word("", text=typed)], names)
    return BadInput(f"Cannot read {shown(token)}: write {shown(known[close[0]].text or close[0])} if you mean that.")


def _cannot_read(words: Sequence[_Word], names: Sequence[str]) -> BadInput:
    return BadInput(f"Cannot read {_typed(words)} as digits: write them like {_examples(names)}.")


def _typed(words: Sequence[_Word]) -> str:
    return shown(" ".join(dict.fromkeys(word.text for word in words)))


def _examples(names: Sequence[str]) -> str:
    examples = '"2026", "0-9" or "a 4 and two 3s"'
    if any(not re.fullmatch(r"[0-9]+", name) for name in names):
        examples += f", or these names: {shorten(', '.join(names), 110, placeholder=' ...')}"
    return examples
