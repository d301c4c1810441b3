# SPDX-License-Identifier: MIT
"""Random Unicode texts, the same ones for the same seed, made to meet what tokenizers decide by.

Texts hold no NUL, which ends a text on the host tool's input, and no surrogate, which is no character. What a character
is changes with the version of Unicode, and each library has a version of its own; so the characters of which all of
them must say the same are taken:

- those that were assigned in Unicode 3.2 and are of the same category in this Python's Unicode;
- scripts and pictures of Unicode 4.0 to 8.0, in whole blocks (NEWER_BLOCKS);
- private use, noncharacters, and planes 4 to 13, which are unassigned and have been so for ever.
"""

from __future__ import annotations

import functools
import random
import unicodedata
from collections.abc import Callable, Iterator

# First and last of runs whose every assigned character is a letter, digit or picture since Unicode 8.0 or before.
NEWER_BLOCKS = (
    (0x07C0, 0x07E7),  # N'Ko digits and letters
    (0x1B05, 0x1B33),  # Balinese letters
    (0x1B50, 0x1B59),  # Balinese digits
    (0x1D7CE, 0x1D7FF),  # mathematical digits
    (0x2C30, 0x2C5E),  # Glagolitic
    (0x2D30, 0x2D65),  # Tifinagh
    (0xA500, 0xA60B),  # Vai
    (0xAB70, 0xABBF),  # small Cherokee letters
    (0x10280, 0x1029C),  # Lycian
    (0x12000, 0x1236E),  # cuneiform
    (0x1F300, 0x1F3FA),  # pictures
    (0x1F400, 0x1F4FC),
    (0x1F600, 0x1F64F),  # faces
    (0x1F680, 0x1F6C5),  # vehicles
)
ALWAYS_UNASSIGNED = ((0x40000, 0xDFFFD), (0xFDD0, 0xFDEF), (0xFFFE, 0xFFFF))
PRIVATE_USE = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))

BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2003\u2007\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_QUITE_BLANKS = "\x1c\x1d\x1e\x1f\u180e\u200b\u200c\u200d\u2060\ufeff\xad"
LINE_ENDS = ("\n", "\r", "\r\n", "\n\n", "\n\n\n", "\n ", " \n", "\r\r", "\t\n", "\u2028")
CONTRACTIONS = (
    "'s",
    "'t",
    "'re",
    "'ve",
    "'m",
    "'ll",
    "'d",
    "'S",
    "'T",
    "'RE",
    "'Ve",
    "'M",
    "'lL",
    "'D",
    "'",
    "''",
    "’s",
)
MORE_CONTRACTIONS = ("'\u017f", "'\u212a", "'l", "'r", "'v", "'x", "I'm", "we'LL", "d'd", "'s's", " 's", "1's")
WORDS = ("the", "Hello", "HTTPServer", "camelCase", "naïve", "Straße", "ΑΒΓ", "привет", "return", "i", "A", "Zz", "ǅ")
SCRIPTS = (
    (0x00C0, 0x024F),  # Latin
    (0x0370, 0x03FF),  # Greek
    (0x1F00, 0x1FFF),  # Greek with accents
    (0x0400, 0x04FF),  # Cyrillic
    (0x0531, 0x0587),  # Armenian
    (0x05D0, 0x05EA),  # Hebrew
    (0x0620, 0x065F),  # Arabic, marks too
    (0x0900, 0x097F),  # Devanagari
    (0x0980, 0x0A7F),  # Bengali, Gurmukhi
    (0x0B80, 0x0BFF),  # Tamil
    (0x0E00, 0x0E5B),  # Thai
    (0x0F00, 0x0FCF),  # Tibetan
    (0x1000, 0x1059),  # Burmese
    (0x10A0, 0x10FF),  # Georgian
    (0x1100, 0x11FF),  # Hangul, in parts
    (0x3040, 0x30FF),  # kana
    (0x4E00, 0x9FA5),  # Chinese characters
    (0xAC00, 0xD7A3),  # Hangul
    (0xF900, 0xFA6A),  # compatibility ideographs: form C makes others of them
    (0xFF01, 0xFF9F),  # full and half width
)
MARKS = (
    "\u0300\u0301\u0302\u0303\u0304\u0307\u0308\u030a\u0316\u0323\u0327\u0328\u0331\u0338\u0345"
    "\u05b0\u0651\u093c\u0e48\u3099\u309a\u20dd"
)
DIGIT_ZEROS = (0x30, 0x30, 0x30, 0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10, 0x1D7CE)
OTHER_NUMBERS = "²³¹¼½¾ⅠⅫⅳ①⑳㊿〇〡六৴௰"
PICTURES = ("😀", "👍", "❤", "❤️", "☎︎", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👨🏽‍💻", "🇩🇪", "🇫🇷🇯🇵", "1️⃣", "#️⃣", "👋🏿", "🤷‍♀️", "‍", "️")
SIGNS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~§©«»¿×÷–—‘’“”†…€№→∀∞≠。、「」！？￥\ufffd'
SPELLED_TOKENS = ("<s>", "</s>", "<unk>", "<0x0A>", "<|endoftext|>", "▁", "▁▁the", "Ġ", "Ċ")


def within(generator: random.Random, ranges: tuple[tuple[int, int], ...]) -> str:
    """A code point of one of the ranges."""
    return chr(generator.randint(*generator.choice(ranges)))


@functools.cache
def stable_characters() -> list[str]:
    """Every character assigned in Unicode 3.2 and of the same category now."""
    characters = (chr(code) for code in range(1, 0x110000))
    return [c for c in characters if category_is_stable(c)]


def category_is_stable(character: str) -> bool:
    category = unicodedata.category(character)
    return category not in ("Cs", "Co", "Cn") and category == unicodedata.ucd_3_2_0.category(character)


def of_a_script(generator: random.Random) -> str:
    """A few characters of one script, those that are assigned and stable."""
    first, last = generator.choice(SCRIPTS)
    characters = (chr(generator.randint(first, last)) for _ in range(generator.randint(1, 7)))
    return "".join(c for c in characters if category_is_stable(c))


def digits(generator: random.Random) -> str:
    zero = generator.choice(DIGIT_ZEROS)
    return "".join(chr(zero + generator.randrange(10)) for _ in range(generator.randint(1, 9)))


def several(characters: str, most: int) -> Callable[[random.Random], str]:
    return lambda generator: "".join(generator.choices(characters, k=generator.randint(1, most)))


def one_of(texts: tuple[str, ...]) -> Callable[[random.Random], str]:
    return lambda generator: generator.choice(texts)


# What a text is put together of, and how often each is taken.
PIECES: tuple[tuple[int, Callable[[random.Random], str]], ...] = (
    (8, several("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 9)),
    (6, one_of(WORDS)),
    (10, several(" ", 1)),
    (3, several(" ", 6)),
    (4, several(BLANKS, 4)),
    (2, several(NOT_QUITE_BLANKS, 2)),
    (4, one_of(LINE_ENDS)),
    (3, one_of(CONTRACTIONS)),
    (2, one_of(MORE_CONTRACTIONS)),
    (6, digits),
    (2, several(OTHER_NUMBERS, 3)),
    (8, of_a_script),
    (4, several(MARKS, 3)),
    (6, several(SIGNS, 3)),
    (3, one_of(PICTURES)),
    (1, one_of(SPELLED_TOKENS)),
    (1, several("".join(map(chr, [*range(1, 0x20), *range(0x7F, 0xA0)])), 3)),
    (3, lambda generator: generator.choice(stable_characters())),
    (1, lambda generator: within(generator, NEWER_BLOCKS)),
    (1, lambda generator: within(generator, ALWAYS_UNASSIGNED)),
    (1, lambda generator: within(generator, PRIVATE_USE)),
)


def random_texts(count: int, seed: int, more_pieces: tuple[str, ...] = ()) -> Iterator[str]:
    """So many texts of up to 16 pieces; a third of the pieces are of `more_pieces` where there are any."""
    generator = random.Random(seed)
    weights = [weight for weight, _ in PIECES]
    makers = [maker for _, maker in PIECES]
    if more_pieces:
        makers.append(one_of(more_pieces))
        weights.append(sum(weights) // 2)
    for _ in range(count):
        chosen = generator.choices(makers, weights, k=generator.randint(0, 16))
        yield "".join(maker(generator) for maker in chosen)
