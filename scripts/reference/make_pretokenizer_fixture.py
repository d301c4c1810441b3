#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/golden/data/pretokenize.txt: how the `tokenizers` package cuts pseudo-random texts, as checksums.

The first line is the pool of characters, in hexadecimal. Then a line for each pre-tokenizer: its name, how many texts
go into one checksum, and the checksums (FNV-1a, 32 bits, of each word's bytes and a byte 0xFF behind it; the words are
those of the normalized text). Texts are drawn from the pool by a linear congruential generator, which
tests/unit/tokenizer/pretokenize_test.cpp has too. To make it anew, from the root of the repository:

    .venv/bin/python -m pip install tokenizers==0.23.3
    .venv/bin/python scripts/reference/make_pretokenizer_fixture.py
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tokenizers import NormalizedString, PreTokenizedString, Regex
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Punctuation, Sequence, Split

OUTPUT = Path(__file__).resolve().parents[2] / "tests/golden/data/pretokenize.txt"
TEXTS = 2000
BATCH = 25

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+SHORT|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*SHORT|\p{{N}}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
ASIAN = "[一-龥ࠀ-一가-퟿]+"
# deepseek-llm's list of letters, as src/tokenizer/pretokenize.cpp has it: first and last of each range.
CASED = """41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376-377 37B-37D 37F 386 388-38A 38C
38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77
1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE
1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126
2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183-2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2-2CF3 A640-A66D
A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3
104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"""

CONTRACTION_CHARACTERS = "'stremvldSTREMVLD"
COMMON = " \n\r\t'.,!?-/0123456789abcxyzABCXYZ_`~$(=\u3000\u0301"
# From each category this many, evenly over all of it.
PER_CATEGORY = 16


def letters_of_deepseek() -> str:
    """The list as a class of a regular expression."""
    ranges = [part.split("-") for part in CASED.split()]
    return "".join("-".join(rf"\x{{{end}}}" for end in part) for part in ranges)


def split(expression: str) -> PreTokenizer:
    """Cuts into the matches of an expression and what is between."""
    return Split(Regex(expression), "isolated")


def splits(*expressions: str) -> PreTokenizer:
    """One after the other."""
    return Sequence([split(expression) for expression in expressions])


def pre_tokenizers() -> dict[str, PreTokenizer]:
    """A pre-tokenizer for each expression that src/tokenizer/pretokenize.cpp has."""
    words = ByteLevel(add_prefix_space=False, use_regex=True)
    return {
        "gpt-2": words,
        "llama-bpe": split(CL100K.replace("DIGITS", "{1,3}")),
        "qwen2": split(CL100K.replace("DIGITS", "")),
        "gpt-4o": split(O200K.replace("DIGITS", "{1,3}").replace("SHORT", SHORT)),
        "tekken": split(O200K.replace("DIGITS", "").replace("SHORT", "")),
        "starcoder": Sequence([Digits(individual_digits=True), split(GPT2)]),
        "falcon": Sequence([Punctuation("contiguous"), split(GPT2), split("[0-9][0-9][0-9]")]),
        "default": splits(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
        "deepseek-coder": splits(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", ASIAN, r"\p{N}"),
        "deepseek-llm": splits(
            r"[\r\n]",
            rf"\s?[{letters_of_deepseek()}]+",
            r"\s?[!-/:-~！-／：-～‘-‟\x{3000}-。]+",
            r"\s+$",
            ASIAN,
            r"\p{N}+",
        ),
    }


def pool() -> list[int]:
    """Characters of every category whose properties have not changed since Unicode 3.2, the likely ones repeated."""
    by_category: dict[str, list[int]] = {}
    for code in range(0x110000):
        category = unicodedata.category(chr(code))
        if category not in ("Cs", "Co", "Cn") and category == unicodedata.ucd_3_2_0.category(chr(code)):
            by_category.setdefault(category, []).append(code)
    chosen = [ord(c) for c in COMMON * 6 + CONTRACTION_CHARACTERS * 2]
    for codes in by_category.values():
        step = max(1, len(codes) // PER_CATEGORY)
        chosen += codes[::step][:PER_CATEGORY]
    return chosen


def texts(characters: list[int]) -> Iterator[str]:
    """Pseudo-random texts, the same for each kind."""
    state = 1

    def random() -> int:
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return state >> 8

    while True:
        yield "".join(chr(characters[random() % len(characters)]) for _ in range(random() % 24))


def words_of(pre: PreTokenizer, text: str) -> list[str]:
    """Words as they stand in the text: offsets, since ByteLevel spells them in its own alphabet."""
    pieces = PreTokenizedString(text)
    pre.pre_tokenize(pieces)
    return [text[begin:end] for _, (begin, end), _ in pieces.get_splits("original", "char")]


def checksums(name: str, pre: PreTokenizer, characters: list[int]) -> str:
    """A line of the fixture."""
    source = texts(characters)
    sums = []
    for _ in range(TEXTS // BATCH):
        total = 2166136261
        for _ in range(BATCH):
            text = NormalizedString(next(source))
            if name == "qwen2":
                NFC().normalize(text)
            for word in words_of(pre, text.normalized):
                for byte in word.encode() + b"\xff":
                    total = (total ^ byte) * 16777619 % 2**32
        sums.append(f"{total:x}")
    return f"{name} {BATCH} {' '.join(sums)}"


def main() -> None:
    """Writes the file."""
    characters = pool()
    lines = [" ".join(f"{code:x}" for code in characters)]
    lines += [checksums(name, pre, characters) for name, pre in pre_tokenizers().items()]
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
