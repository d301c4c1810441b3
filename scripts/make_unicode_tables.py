#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the Unicode data of src/tokenizer: classes of characters, and what normalization form C needs.

    python scripts/make_unicode_tables.py            # write src/tokenizer/unicode_{classes,forms}.cpp
    python scripts/make_unicode_tables.py --check    # exit status 1 if they are not what would be written

The data are those of this Python's `unicodedata`; the files say which version of Unicode that is. src/tokenizer/
unicode_tables.h, which is written by hand, says what the tables hold.
"""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "src" / "tokenizer"
CODE_POINTS = 0x110000
LINE_WIDTH = 120
# In the order of enum class CharClass.
CLASSES = ("other", "upper", "lower", "letter", "mark", "number", "punctuation", "symbol", "whitespace")
CLASS_OF_CATEGORY = {"Lu": "upper", "Lt": "upper", "Ll": "lower"}
CLASS_OF_MAJOR = {
    "L": "letter",
    "M": "mark",
    "N": "number",
    "P": "punctuation",
    "S": "symbol",
    "Z": "whitespace",
}
# White_Space but not of category Z: tab to carriage return, and next line.
CONTROL_BLANKS = {*range(0x09, 0x0E), 0x85}
HANGUL = range(0xAC00, 0xD7A4)


def char_class(code: int) -> int:
    """The index in CLASSES of a code point."""
    category = unicodedata.category(chr(code))
    if code in CONTROL_BLANKS:
        return CLASSES.index("whitespace")
    name = CLASS_OF_CATEGORY.get(category) or CLASS_OF_MAJOR.get(category[0], "other")
    return CLASSES.index(name)


def combining_class(code: int) -> int:
    """The canonical combining class of a code point."""
    return unicodedata.combining(chr(code))


def runs(value_of: Callable[[int], int], bits: int) -> list[int]:
    """`start << bits | value` for each run of code points of the same value."""
    packed = []
    previous = -1
    for code in range(CODE_POINTS):
        value = value_of(code)
        if value != previous:
            packed.append(code << bits | value)
            previous = value
    return packed


def decompositions() -> list[tuple[int, int, int]]:
    """Canonical decompositions, one step deep, by code point; the second is 0 where there is one only."""
    rows = []
    for code in range(CODE_POINTS):
        parts = unicodedata.decomposition(chr(code)).split()
        if parts and not parts[0].startswith("<"):
            codes = [int(part, 16) for part in parts]
            rows.append((code, codes[0], codes[1] if len(codes) > 1 else 0))
    return rows


def compositions(rows: list[tuple[int, int, int]]) -> list[int]:
    """Indices of the rows whose two parts compose again, by these parts."""
    composed = [
        index
        for index, (code, first, second) in enumerate(rows)
        if second and unicodedata.normalize("NFC", chr(first) + chr(second)) == chr(code)
    ]
    return sorted(composed, key=lambda index: rows[index][1:])


def array(declaration: str, values: Iterable[int]) -> str:
    """A C++ array, its values in lines as clang-format would break them."""
    lines = [f"{declaration} = {{"]
    line = "   "
    for value in values:
        item = f" {value:#x},"
        if len(line) + len(item) > LINE_WIDTH:
            lines.append(line)
            line = "   "
        line += item
    return "\n".join([*lines, line, "};", ""])


def source(purpose: str, *arrays: str) -> str:
    """A whole file around its arrays."""
    return "\n".join(
        [
            "// SPDX-License-Identifier: MIT",
            "//",
            f"// {purpose} of Unicode {unicodedata.unidata_version}.",
            "// Made by scripts/make_unicode_tables.py; do not edit.",
            '#include "tokenizer/unicode_tables.h"',
            "",
            "namespace llmk {",
            "",
            "// clang-format off",
            *arrays,
            "// clang-format on",
            "",
            "} // namespace llmk",
            "",
        ]
    )


def files() -> dict[str, str]:
    """The content of each file by its name."""
    rows = decompositions()
    packed = [code << 42 | first << 21 | second for code, first, second in rows]
    classes = runs(char_class, 4)
    combining = runs(combining_class, 8)
    composed = compositions(rows)
    return {
        "unicode_classes.cpp": source(
            "Classes of characters",
            array(f"constexpr uint32_t kClassRunArray[{len(classes)}]", classes),
            "const std::span<const uint32_t> kClassRuns = kClassRunArray;",
        ),
        "unicode_forms.cpp": source(
            "Canonical combining classes, decompositions and compositions",
            array(f"constexpr uint32_t kCombiningRunArray[{len(combining)}]", combining),
            "const std::span<const uint32_t> kCombiningRuns = kCombiningRunArray;",
            "",
            array(f"constexpr uint64_t kDecompositionArray[{len(packed)}]", packed),
            "const std::span<const uint64_t> kDecompositions = kDecompositionArray;",
            "",
            array(f"constexpr uint16_t kCompositionArray[{len(composed)}]", composed),
            "const std::span<const uint16_t> kCompositions = kCompositionArray;",
        ),
    }


def check(contents: dict[str, str]) -> int:
    """Says which files are not what would be written; 0 if all are, or are of another version of Unicode."""
    status = 0
    for name, content in contents.items():
        path = FOLDER / name
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        version = re.search(r"of Unicode ([0-9.]+)\.\n", there)
        if version and version[1] != unicodedata.unidata_version:
            print(f"{path}: of Unicode {version[1]}; this Python knows {unicodedata.unidata_version}, not compared")
        elif there != content:
            print(f"{path}: not what scripts/make_unicode_tables.py writes")
            status = 1
    return status


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    contents = files()
    if parser.parse_args().check:
        return check(contents)
    for name, content in contents.items():
        (FOLDER / name).write_text(content, encoding="utf-8")
        print(f"{FOLDER / name}: Unicode {unicodedata.unidata_version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
