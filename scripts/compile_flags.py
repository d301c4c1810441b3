# SPDX-License-Identifier: MIT
"""The compiler flags of each C++ file, asked of the Makefile, in the form that clang-tidy takes."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

# Host first: most files are compiled for it and for the firmware, and one look at each is enough.
TARGETS = ("build/host/llmk", "build/efi/llmk.so", "build/tests/unit", "build/tests/check")
OPTIONAL_TARGETS = ("build/tests/bench", "build/tests/efisim", "build/check/llmk", "build/tests/check_modelled")
# What changes the meaning of the code. Warnings, optimization and sanitizers are GCC's business.
MEANINGFUL = ("-I", "-D", "-std=", "-m", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-fshort-wchar")
WITH_VALUE = ("-isystem", "-include")


def _meaningful(words: list[str]) -> list[str]:
    kept: list[str] = []
    for index, word in enumerate(words):
        if word.startswith(MEANINGFUL):
            kept.append(word)
        elif word in WITH_VALUE:
            kept += words[index : index + 2]
    return kept


def parse_commands(text: str) -> dict[str, list[str]]:
    """The flags by file, from the commands that `make -n` printed; the first command for a file counts."""
    flags: dict[str, list[str]] = {}
    for line in text.splitlines():
        if " -c " not in line:
            continue
        words = shlex.split(line)
        source = words[words.index("-c") + 1]
        if source.endswith(".cpp"):
            flags.setdefault(source, _meaningful(words))
    return flags


def compile_flags(root: Path) -> dict[str, list[str]]:
    """The flags by file, for every C++ file that the Makefile compiles. Raises RuntimeError when make fails."""
    command = ["make", "--always-make", "--dry-run", "--keep-going", "--no-print-directory", "LLMK_NO_SETUP=1"]
    done = subprocess.run([*command, *TARGETS, *OPTIONAL_TARGETS], cwd=root, capture_output=True, text=True)
    flags = parse_commands(done.stdout)
    if not flags:
        raise RuntimeError(f"make printed no compiler command: {done.stderr.strip()}")
    return flags
