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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod

from diffusion.checks import MAX_IMAGES, BadInput, shown
from diffusion.style import WORDS, contradiction
from diffusion.vocabulary import Word, are_digits, cannot_read, class_count, examples, quoted, words_of

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
        raise BadInput(f"That is too long: write {examples(names)}.")
    wanted: list[int] = []
    how: list[tuple[int, str]] = []
    for pool, count, by_chance, words in _things(_with_styles(words_of(text, names)), names):
        if len(wanted) + count * (1 if by_chance else len(pool)) > MAX_IMAGES:
            raise BadInput(f"Ask for at most {MAX_IMAGES:,} images at once.")
        first = len(wanted)
        wanted += [choose(pool) for _ in range(count)] if by_chance else list(pool) * count
        how += [(k, word) for k in range(first, len(wanted)) for word in words]
    if not wanted:
        what = "No digits asked for" if are_digits(names) else "Nothing asked for"
        raise BadInput(f"{what}: write {examples(names)}.")
    return wanted, tuple(how)


def _with_styles(words: Iterable[Word]) -> list[Word]:
    """The words without those that say how to write, which go along with the next one of the others."""
    others: list[Word] = []
    styles: dict[str, str] = {}  # of an attribute: the word
    last = Word("")
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


def _things(words: list[Word], names: Sequence[str]) -> Iterator[tuple[Sequence[int], int, bool, list[str]]]:
    """What is asked for, one after another: all of a pool of digits so many times, or so many picked by chance.

    The last part of each are the words that say how to write it.
    """
    kinds = "".join(word.kind for word in words)
    at = 0
    left_over: list[str] = []  # before a word that is nothing by itself, as in "a thick digit 7"
    while at < len(words):
        match = next(filter(None, (rule.match(kinds, at) for rule in _COMPILED)), None)
        if match is None:
            raise cannot_read([words[at]], names)
        styles = [style for word in words[at : match.end()] for style in word.styles] + left_over
        found = {name: words[slice(*match.span(name))] for name in match.groupdict() if match[name]}
        left_over = [] if found else styles
        count = prod(word.number for word in found.get("count", []) + found.get("again", []))
        if not count:
            raise BadInput(f"Cannot draw {quoted(words[at : match.end()])}: ask for 1 or more.")
        if "range" in found:
            first, _, last = found["range"]
            if len(first.draws) > 1 or len(last.draws) > 1:
                raise cannot_read(found["range"], names)
            step = 1 if first.number <= last.number else -1
            yield range(first.number, last.number + step, step), count, False, styles
        elif thing := found.get("pool") or found.get("chance"):
            pool = next((word.draws for word in thing if word.draws), range(class_count(names)))
            yield pool, count, "chance" in found, styles
        at = match.end()
