#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that every file includes only what its layer may: the order of docs/ARCHITECTURE.md, read from #include lines.

    base <- mem, log <- cpu, sentinel, tokenizer, format <- model <- engine <- repl, boot <- platform

A folder of src/ includes itself, the folders in groups left of its own, and include/llmk; folders of one group do not
include each other, but for `boot`, which starts the REPL. kernels/ stands alone under src/cpu. <efi.h> stays in
src/platform/uefi, and hosted headers stay in src/platform/host and tests/.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
GROUPS: tuple[tuple[str, ...], ...] = (
    ("base",),
    ("mem", "log"),
    ("cpu", "sentinel", "tokenizer", "format"),
    ("model",),
    ("engine",),
    ("repl", "boot"),
    ("platform",),
)
EXCEPTIONS = {("boot", "repl")}
SUFFIXES = {".h", ".cpp", ".S", ".inc"}
SOURCE_FOLDERS = ("include", "src", "kernels", "tests")
# Where a quoted name is looked for, in the compiler's order after the including file's own folder.
INCLUDE_PATH = ("include", "src", ".", "tests")

# Headers without code of their own in a library: the freestanding ones of C++20, and those whose parts in use here
# are freestanding by C++26. <cstring> is for memcpy and its like, which compilers require anyway.
FREESTANDING = frozenset(
    "algorithm array atomic bit cfloat climits compare concepts cstdarg cstddef cstdint cstring initializer_list "
    "iterator limits new numbers optional source_location span stdarg.h stddef.h stdint.h string.h string_view tuple "
    "type_traits utility version".split()
)
INTRINSICS = re.compile(r"(\w*intrin|cpuid)\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


@dataclass(frozen=True)
class Include:
    """One #include line: where it stands and what it names."""

    file: PurePosixPath
    line: int
    name: str
    quoted: bool

    def complaint(self, why: str) -> str:
        return f"{self.file}:{self.line}: {why}: {self.name}"


def allowed_layers(layer: str) -> set[str]:
    """The folders of src/ that a folder of src/ may include."""
    position = next(index for index, group in enumerate(GROUPS) if layer in group)
    left = {name for group in GROUPS[:position] for name in group}
    return left | {layer} | {other for owner, other in EXCEPTIONS if owner == layer}


def includes_of(root: Path) -> Iterator[Include]:
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield from _includes_in(root, path)


def _includes_in(root: Path, path: Path) -> Iterator[Include]:
    file = PurePosixPath(path.relative_to(root).as_posix())
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if match := INCLUDE.match(line):
            yield Include(file, number, match[1] or match[2], match[1] is not None)


def resolve(root: Path, include: Include) -> PurePosixPath | None:
    """The file of the project that a quoted include names, from the root; None when there is none."""
    for folder in (include.file.parent.as_posix(), *INCLUDE_PATH):
        path = (root / folder / include.name).resolve()
        if path.is_file() and path.is_relative_to(root.resolve()):
            return PurePosixPath(path.relative_to(root.resolve()).as_posix())
    return None


def zone_of(file: PurePosixPath) -> str:
    """The name that the rules know a file by: a folder of src/, or `llmk`, `kernels`, `tests`."""
    parts = file.parts
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "src"
    return "llmk" if parts[0] == "include" else parts[0]


def check_quoted(root: Path, include: Include) -> str | None:
    target = resolve(root, include)
    if target is None:
        return include.complaint("there is no such file in the project")
    zone, wanted = zone_of(include.file), zone_of(target)
    if zone == "tests":
        return None
    if zone == "kernels":
        same_folder = target.parent == include.file.parent
        is_shared = target.parent == PurePosixPath("kernels")
        return None if same_folder or is_shared else include.complaint("a kernel includes its own folder only")
    if wanted == "kernels":
        return None if zone == "cpu" else include.complaint("only src/cpu includes kernels/")
    if zone == "llmk":
        # The contracts are written in terms of Status, Result and the like.
        return None if wanted in ("llmk", "base") else include.complaint("include/llmk stands on base only")
    if zone not in {name for group in GROUPS for name in group}:
        return include.complaint(f"src/{zone} has no place in the order of layers")
    if wanted == "llmk" or wanted in allowed_layers(zone):
        return None
    return include.complaint(f"{zone} may not include {wanted}")


def check_system(include: Include) -> str | None:
    folder, zone = include.file.as_posix(), zone_of(include.file)
    if include.name.startswith("efi"):
        at_home = folder.startswith("src/platform/uefi/")
        return None if at_home else include.complaint("only src/platform/uefi knows the firmware's headers")
    if folder.startswith(("src/platform/host/", "tests/")) or include.name in FREESTANDING:
        return None
    if INTRINSICS.fullmatch(include.name) and zone in ("kernels", "cpu", "platform"):
        return None
    return include.complaint("this header is not for freestanding code")


def check_tree(root: Path) -> list[str]:
    """One line for each include that breaks a rule."""
    complaints = (
        check_quoted(root, include) if include.quoted else check_system(include) for include in includes_of(root)
    )
    return [complaint for complaint in complaints if complaint is not None]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, help="the tree to check (default: this project)")
    complaints = check_tree(parser.parse_args(arguments).root)
    print(*complaints, sep="\n", end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
