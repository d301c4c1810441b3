# SPDX-License-Identifier: MIT
"""The layer check, on small trees that keep the rules or break one."""

from __future__ import annotations

from pathlib import Path

import layers
import pytest

# One header in every place that rules speak of.
HEADERS = (
    *(f"src/{name}/{name}.h" for group in layers.GROUPS for name in group),
    "src/platform/uefi/firmware.h",
    "src/platform/host/host.h",
    "include/llmk/platform.h",
    "kernels/djiblas.h",
    "kernels/avx2/vector.h",
    "kernels/sse2/vector.h",
    "tests/fake/fake.h",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in HEADERS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#pragma once\n", encoding="utf-8")
    return tmp_path


def complaints(tree: Path, file: str, line: str) -> list[str]:
    """What the check says about one more file with one #include."""
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"// a comment\n#include {line}\n", encoding="utf-8")
    return layers.check_tree(tree)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("src/base/a.cpp", '"base/base.h"'),
        ("src/base/a.cpp", '"base.h"'),
        ("src/base/a.cpp", '"llmk/platform.h"'),
        ("src/log/a.cpp", '"base/base.h"'),
        ("src/cpu/a.cpp", '"log/log.h"'),
        ("src/cpu/a.cpp", '"kernels/djiblas.h"'),
        ("src/cpu/a.cpp", "<immintrin.h>"),
        ("src/model/a.cpp", '"format/format.h"'),
        ("src/engine/a.cpp", '"model/model.h"'),
        ("src/boot/a.cpp", '"repl/repl.h"'),
        ("src/platform/host/a.cpp", '"boot/boot.h"'),
        ("src/platform/host/a.cpp", "<thread>"),
        ("src/platform/uefi/a.cpp", '"firmware.h"'),
        ("src/platform/uefi/a.cpp", "<efi.h>"),
        ("src/engine/a.cpp", "<span>"),
        ("include/llmk/a.h", '"base/base.h"'),
        ("kernels/avx2/a.cpp", '"kernels/djiblas.h"'),
        ("kernels/avx2/a.cpp", '"kernels/avx2/vector.h"'),
        ("kernels/avx2/a.cpp", "<immintrin.h>"),
        ("tests/check/a.cpp", '"kernels/avx2/vector.h"'),
        ("tests/unit/a.cpp", '"fake/fake.h"'),
        ("tests/unit/a.cpp", "<vector>"),
    ],
)
def test_what_the_rules_allow_passes(tree: Path, file: str, line: str) -> None:
    assert complaints(tree, file, line) == []


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("src/base/a.cpp", '"mem/mem.h"', "base may not include mem"),
        ("src/mem/a.cpp", '"log/log.h"', "mem may not include log"),
        ("src/log/a.cpp", '"mem/mem.h"', "log may not include mem"),
        ("src/tokenizer/a.cpp", '"format/format.h"', "tokenizer may not include format"),
        ("src/format/a.cpp", '"model/model.h"', "format may not include model"),
        ("src/model/a.cpp", '"engine/engine.h"', "model may not include engine"),
        ("src/engine/a.h", '"../repl/repl.h"', "engine may not include repl"),
        ("src/repl/a.cpp", '"boot/boot.h"', "repl may not include boot"),
        ("src/repl/a.cpp", '"platform/platform.h"', "repl may not include platform"),
        ("src/model/a.cpp", '"kernels/djiblas.h"', "only src/cpu includes kernels/"),
        ("src/platform/uefi/a.cpp", '"kernels/djiblas.h"', "only src/cpu includes kernels/"),
        ("kernels/avx2/a.cpp", '"kernels/sse2/vector.h"', "a kernel includes its own folder only"),
        ("kernels/avx2/a.cpp", '"base/base.h"', "a kernel includes its own folder only"),
        ("include/llmk/a.h", '"engine/engine.h"', "include/llmk stands on base only"),
        ("src/platform/host/a.cpp", "<efi.h>", "only src/platform/uefi knows"),
        ("tests/unit/a.cpp", "<efilib.h>", "only src/platform/uefi knows"),
        ("src/engine/a.cpp", "<vector>", "not for freestanding code"),
        ("src/platform/uefi/a.cpp", "<thread>", "not for freestanding code"),
        ("src/engine/a.cpp", "<immintrin.h>", "not for freestanding code"),
        ("kernels/avx2/a.cpp", "<cmath>", "not for freestanding code"),
        ("src/engine/a.cpp", '"engine/missing.h"', "no such file in the project"),
        ("src/news/a.cpp", '"base/base.h"', "src/news has no place in the order"),
    ],
)
def test_each_broken_rule_is_one_complaint_with_its_place(tree: Path, file: str, line: str, why: str) -> None:
    found = complaints(tree, file, line)
    assert len(found) == 1
    assert found[0].startswith(f"{file}:2: ")
    assert why in found[0]


def test_spaces_and_assembler_are_read_too(tree: Path) -> None:
    path = tree / "src" / "base" / "a.S"
    path.write_text('  #  include   "repl/repl.h"\n', encoding="utf-8")
    assert layers.check_tree(tree) == ["src/base/a.S:1: base may not include repl: repl/repl.h"]


def test_the_program_fails_on_a_bad_tree_and_passes_a_good_one(tree: Path) -> None:
    assert layers.main([str(tree)]) == 0
    complaints(tree, "src/base/a.cpp", '"repl/repl.h"')
    assert layers.main([str(tree)]) == 1
