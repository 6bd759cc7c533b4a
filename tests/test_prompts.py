"""Words, numbers and class names become digits."""

import random

import numpy as np
import pytest

from diffusion import BadInput, Pipeline, prompts, vocabulary
from diffusion.__main__ import main
from diffusion.checks import MAX_IMAGES
from diffusion.data import DATASETS, DIGITS

FASHION = DATASETS["fashion-mnist"].names
CIFAR = DATASETS["cifar10"].names
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
EVEN, ODD, ALL = [0, 2, 4, 6, 8], [1, 3, 5, 7, 9], list(range(10))


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("0-9", ALL),
        ("9-7", [9, 8, 7]),
        ("0..3", [0, 1, 2, 3]),
        ("zero to nine", ALL),
        ("7,7,3", [7, 7, 3]),
        ("[7, 7, 3]", [7, 7, 3]),
        ("2026", [2, 0, 2, 6]),
        (" 1, 2-4 55 ", [1, 2, 3, 4, 5, 5]),
        ("1, 2 and 3.", [1, 2, 3]),
        ("7\n3\t\N{LEFT DOUBLE QUOTATION MARK}4\N{RIGHT DOUBLE QUOTATION MARK}", [7, 3, 4]),
        ("a 4 and two 3s", [4, 3, 3]),
        ("Please draw me a SEVEN!", [7]),
        ("nought, naught, oh", [0, 0, 0]),
        ("three sevens", [7, 7, 7]),
        ("five 7s", [7] * 5),
        ("five 7's", [7] * 5),
        ("5 x 7s", [7] * 5),
        ("a pair of 7", [7, 7]),
        ("a couple of sixes", [6, 6]),
        ("a dozen 3s", [3] * 12),
        ("twenty 1s", [1] * 20),
        ("two hundred sevens", [7] * 200),
        ("two 2026s", [2, 0, 2, 6] * 2),
        ("\uff12\uff10\uff12\uff16", [2, 0, 2, 6]),  # full-width, as Asian keyboards write
        ("\uff10\uff5e\uff13\uff0ctwo \uff17s", [0, 1, 2, 3, 7, 7]),
        ("\N{ARABIC-INDIC DIGIT THREE}", [3]),  # whatever int() reads
        ("7 x 5", [7] * 5),
        ("7x5", [7] * 5),
        ("7 \N{MULTIPLICATION SIGN} 5", [7] * 5),
        ("7 times 3", [7] * 3),
        ("7 five times", [7] * 5),
        ("seven, twice", None),  # "twice" what?
        ("seven twice", [7, 7]),
        ("7 3 times 4", [7, 3, 3, 3, 3]),
        ("0-2 twice and a 7", [0, 1, 2, 0, 1, 2, 7]),
        ("sixes", [6]),
        ("all sevens", [7]),
        ("7, 3s", [7, 3]),
        ("a 7 and sixes", [7, 6]),
        ("all digits", ALL),
        ("every digit", ALL),
        ("all ten digits", ALL),
        ("two of each", ALL * 2),
        ("all digits three times", ALL * 3),
        ("all the even digits", EVEN),
        ("odd numbers", ODD),
        ("even and odd", EVEN + ODD),
        ("the digit 7", [7]),
        ("the digits 3 and 4", [3, 4]),
        # A number counts before a plural, "x" or "of". Any other is drawn.
        ("one", [1]),
        ("one 7", [1, 7]),
        ("two 3", [2, 3]),
        ("3 x 7", [3] * 7),
        ("all 3 digits", None),
        ("twenty-one sevens", None),
        ("7 x 5 4s", None),
    ],
)
def test_what_is_understood(text: str, digits: list[int] | None, refuses) -> None:
    for names in ((), DIGITS, FASHION):
        if digits is None:
            with refuses("Cannot read"):
                prompts.digits(text, names)
        else:
            assert prompts.digits(text, names) == digits


@pytest.mark.parametrize("digit", range(10))
def test_every_digit_is_understood_in_every_form(digit: int) -> None:
    word = WORDS[digit]
    for text in (word, word.upper(), word.title(), f" {word}. ", f"a {word}?", f"({digit})", f'"{word}"'):
        assert prompts.digits(text) == [digit]
    plural = word + ("es" if word == "six" else "s")
    for other in range(1, 10):
        for text in (f"{other} {digit}s", f"{WORDS[other]} {plural}", f"{digit} x {other}", f"{word} times {other}"):
            assert prompts.digits(text) == [digit] * other
        assert prompts.digits(f"{WORDS[other]} {word}") == [other, digit]
    assert prompts.digits(f"{word} to zero") == list(range(digit, -1, -1))


def test_digits_and_their_words_come_back() -> None:
    chance = random.Random(0)
    for _ in range(200):
        wanted = [chance.randrange(10) for _ in range(chance.randint(1, 12))]
        for text in (
            "".join(map(str, wanted)),
            ", ".join(map(str, wanted)),
            " ".join(WORDS[digit] for digit in wanted),
            " and ".join(chance.choice([str(digit), WORDS[digit], f"a {digit}"]) for digit in wanted),
            str(wanted),
        ):
            assert prompts.digits(text) == wanted
        counted = " and ".join(f"{WORDS[1 + k % 9]} {digit}s" for k, digit in enumerate(wanted))
        assert prompts.digits(counted) == [digit for k, digit in enumerate(wanted) for _ in range(1 + k % 9)]


@pytest.mark.parametrize(
    ("text", "pool", "count"),
    [
        ("a digit", ALL, 1),
        ("random", ALL, 1),
        ("a random digit", ALL, 1),
        ("any number", ALL, 1),
        ("an even digit", EVEN, 1),
        ("five random digits", ALL, 5),
        ("random 3 digits", ALL, 3),
        ("twenty odd digits", ODD, 20),
        ("a random odd number ten times", ODD, 10),
    ],
)
def test_chance_picks_each_for_itself(text: str, pool: list[int], count: int) -> None:
    pools = []
    chosen = random.Random(0)

    def choose(digits) -> int:
        pools.append(list(digits))
        return chosen.choice(digits)

    drawn = prompts.digits(text, choose=choose)
    assert (len(drawn), pools) == (count, [pool] * count)
    assert set(drawn) <= set(pool)
    assert count < 5 or len(set(drawn)) > 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sevn", "seven"),
        ("ate", "eight"),
        ("a fore", "four"),
        ("two thre", "three"),
        ("too sixs", "two"),
        ("two sixs", "sixes"),
    ],
)
def test_a_misspelt_word_is_answered_with_what_it_may_mean(text: str, meant: str, refuses) -> None:
    with refuses(f": write '{meant}' if you mean that."):
        prompts.digits(text)


def test_a_misspelt_name_is_answered_with_the_name(refuses) -> None:
    with refuses("Cannot read 'sneeker': write 'Sneaker' if you mean that."):
        prompts.digits("a sneeker", FASHION)
    with refuses("Cannot read 'ankle': write 'Ankle boot' if you mean that."):
        prompts.digits("ankle, boot", FASHION)


@pytest.mark.parametrize(
    "text",
    [
        *("", " , ", "the", "ten", "hello world", "1-", "-1", "0-12", "1.5", "x", "times 3", "of", "seven of", "twice"),
        *("\N{SUPERSCRIPT THREE}", "\N{CJK UNIFIED IDEOGRAPH-4E03}", "\N{GRINNING FACE}", "\0", "\ud800", "_"),
        *("<b>", "<script>alert(7)</script>", "&lt;7", "7; drop table digits", "x" * 10**6, "x" * 9999),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_what_is_not(text: str, refuses) -> None:
    for names in ((), DIGITS):
        with refuses('like "2026", "0-9" or "a 4 and two 3s".') as refusal:
            prompts.digits(text, names)
        assert len(str(refusal.value)) < 150


@pytest.mark.parametrize(
    "text",
    [
        *("1000001 7s", "two million sevens", "0-9 x 100001", "7 and a million random digits"),
        *("million " * 1000 + "sevens", "9" * 9000 + " 7s"),
    ],
    ids=lambda text: text[:20],
)
def test_there_is_an_end_to_how_many(text: str, refuses) -> None:
    with refuses(f"Ask for at most {MAX_IMAGES:,} images at once."):
        prompts.digits(text)


def test_long_prompts_are_understood() -> None:
    assert prompts.digits("a thousand sevens") == [7] * 1000
    assert prompts.digits("a million sevens") == [7] * 10**6
    assert prompts.digits("0-9, " * 2000) == ALL * 2000
    assert prompts.digits("7" * 10_000) == [7] * 10_000


@pytest.mark.parametrize("text", ["zero sevens", "0 7s", "7 x 0", "0 random digits"])
def test_none_is_not_enough(text: str, refuses) -> None:
    with refuses(f"Cannot draw '{text}': ask for 1 or more."):
        prompts.digits(text)


@pytest.mark.parametrize("names", [(), FASHION], ids=["digits", "classes"])
def test_whatever_is_typed_is_digits_or_one_sentence(names: tuple[str, ...], refuses) -> None:
    chance = random.Random(0)
    signs = [chr(chance.randrange(0x110000)) for _ in range(100)] + list("0123456789 -,.x*'<>&\n\\%{}\"")
    known = [*vocabulary.DICTIONARY, *vocabulary.counted(names), *names, "7s", "10", "2026", "sevn", "-", "0-9", ","]
    understood = 0
    for turn in range(400):
        pieces, joint = (signs, "") if turn % 2 else (known, " ")
        text = joint.join(chance.choices(pieces, k=chance.randint(1, 8)))
        try:
            drawn = prompts.digits(text, names)
        except BadInput:
            with refuses():
                prompts.digits(text, names)
        else:
            understood += 1
            assert 1 <= len(drawn) <= MAX_IMAGES
            assert set(drawn) <= set(ALL)
    assert understood > 20


@pytest.mark.parametrize(
    ("text", "names", "digits"),
    [
        ("sneaker", FASHION, [7]),
        ("two t-shirts, tshirt, a top and boots", FASHION, [0, 0, 0, 0, 9]),
        ("Ankle Boot, bag", FASHION, [9, 8]),
        ("T-SHIRT/TOP shirt\tankle  boot bag", FASHION, [0, 6, 9, 8]),
        ("0-2, bag 7,7 bag,,bag", FASHION, [0, 1, 2, 8, 7, 7, 8, 8]),
        ("two bags and three ankle boots", FASHION, [8, 8, 9, 9, 9]),
        ("3 x bag, dress x 2, a pair of dresses", FASHION, [8, 8, 8, 3, 3, 3, 3]),
        ("cat dog frog cat", CIFAR, [3, 5, 6, 3]),
        ("two cat", CIFAR, [2, 3]),
        ("tsu, su, o", DATASETS["kmnist"].names, [3, 2, 0]),
        ("a b, a, b a b", ["a", "b", "a b"], [2, 0, 1, 2]),  # the longest name first, and none beyond a comma
        ("a, b", ["a", "b", ","], [0, 1]),  # a comma only divides
        ("salt, pepper", ["pepper", "salt, pepper"], [1]),
        ("STRASSE", ["Straße", "."], [0]),
        ("seven all x", ["x", "all", "seven"], [2, 1, 0]),  # a name comes before any other word
        ("as, a", ["a", "as"], [1, 0]),  # and before a plural
        ("1", ["1", "0"], [1]),  # a digit always means itself
        ("7", ["", " "], [7]),
        ("all classes", ["a class", "b"], None),
        ("every numeral", ["a", "b", "c"], [0, 1, 2]),
        ("odd, even, all three", ["a", "b", "c"], [1, 0, 2, 0, 1, 2]),  # of as many classes as there are
    ],
    ids=str,
)
def test_names_are_understood(text: str, names: tuple[str, ...], digits: list[int] | None, refuses) -> None:
    if digits is None:
        with refuses("Cannot read"):
            prompts.digits(text, names)
    else:
        assert prompts.digits(text, names) == digits


@pytest.mark.parametrize("name", DATASETS)
def test_every_class_is_understood_by_its_name(name: str) -> None:
    names = DATASETS[name].names
    for text in (", ".join(names), " ".join(names).upper(), ",".join(names).lower()):
        assert prompts.digits(text, names) == list(range(10))


@pytest.mark.parametrize("text", ["", " , ", "sock", "bag-shirt", "1-", "x" * 10**6], ids=lambda text: text[:20])
def test_a_refusal_lists_the_names(text: str, refuses) -> None:
    with refuses("T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot."):
        prompts.digits(text, FASHION)


@pytest.mark.parametrize("text", ["A", "two as"])
def test_a_name_of_several_classes_is_refused(text: str, refuses) -> None:
    with refuses("names several classes: write one of the digits [0, 2] instead."):
        prompts.digits(text, ["a", "b", "A"])


@pytest.mark.parametrize("names", [["n" * 40] * 1000, [f"{'n o' * 12} {k}" for k in range(10)]], ids=["same", "long"])
@pytest.mark.parametrize("text", ["x" * 100, "n" * 40, "n " * 4999], ids=lambda text: text[:10])
def test_refusals_are_short_however_long_the_names_are(text: str, names: list[str], refuses) -> None:
    with refuses():
        prompts.digits(text, names)


@pytest.mark.parametrize("flag", ["--digits", "--prompt"])
def test_the_command_line_understands_words(flag: str, tiny_denoiser, tmp_path, capsys) -> None:
    Pipeline(tiny_denoiser).save_pretrained(tmp_path)
    command = ["sample", "--weights", str(tmp_path), "--steps", "1", "--out", str(tmp_path / "out.npz"), flag]
    main([*command, "a 4 and two 3s", "--count", "2"])
    with np.load(tmp_path / "out.npz") as file:
        assert file["labels"].tolist() == [4, 3, 3, 4, 3, 3]
    with pytest.raises(SystemExit):
        main([*command, "sevn"])
    assert capsys.readouterr().err.endswith("diffusion: Cannot read 'sevn': write 'seven' if you mean that.\n")


@pytest.mark.parametrize(
    ("text", "wanted", "how"),
    [
        ("a thick 7", [7], ["thick"]),
        ("thin 2026", [2, 0, 2, 6], ["thin"] * 4),
        ("a 4 and two bold 3s", [4, 3, 3], ["", "thick", "thick"]),
        ("two thin, slanted 4s", [4, 4], ["thin slanted"] * 2),
        ("thick 1, wide 0-2 twice", [1, 0, 1, 2, 0, 1, 2], ["thick", *["wide"] * 6]),
        ("upright digit 7", [7], ["upright"]),
        ("Thin and thin seven", [7], ["thin"]),
        ("7", [7], [""]),
    ],
)
def test_words_say_how_to_write(text, wanted, how):
    found, words = prompts.styled(text)
    assert found == wanted
    assert [" ".join(word for image, word in words if image == k) for k in range(len(found))] == how


@pytest.mark.parametrize(
    ("text", "told"),
    [("a thick thin 7", "thick and thin at once"), ("7 thick", "before a digit"), ("thick", "before a digit")],
)
def test_words_that_make_no_sense_are_refused(refuses, text, told):
    with refuses(told):
        prompts.styled(text)


def test_words_are_refused_where_only_digits_count(refuses):
    with refuses("leave 'thick' out"):
        prompts.digits("a bold 7")
