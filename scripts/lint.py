#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""All checks that read the code without running it. Each prints OK or FAIL; exit status 1 if any failed.

    python scripts/lint.py --only layers clang-format

`--fix` lets the formatters write what they would only complain about.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import layers
from compile_flags import compile_flags

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500
CPP_SUFFIXES = {".cpp", ".h"}
CODE_SUFFIXES = {".cpp", ".h", ".S", ".lds", ".py", ".sh", ".ps1", ".mk"}
# The run-time library that GCC expects of a freestanding program: clang declares parts of it differently.
TIDY_SKIPS = {f"src/platform/uefi/{name}.cpp" for name in ("memory_functions", "runtime", "throw_stubs")}
# Fuzzers, and programs of their own that scripts/bench.py compares with.
BUILT_ELSEWHERE = ("tests/fuzz/", "tests/bench/peer/", "tests/bench/roofline/")
TIDY_CACHE = ROOT / "build" / "lint"


@dataclass(frozen=True)
class Result:
    """A check that ran: its name, what it found (nothing: passed), and how long it took."""

    name: str
    complaints: list[str]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.complaints


def listed_by_git() -> list[str] | None:
    """Tracked files, and new ones that git does not ignore; None where this is no checkout (an unpacked archive)."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.split("\0") if done.returncode == 0 else None


def project_files(suffixes: set[str]) -> list[str]:
    """The project's files with these endings, from the root."""
    listed = listed_by_git()
    if listed is None:
        paths = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        listed = [path.as_posix() for path in paths if not path.parts[0].startswith((".", "build", "models"))]
    return sorted(name for name in set(listed) if Path(name).suffix in suffixes and (ROOT / name).is_file())


def run_tool(command: list[str]) -> list[str]:
    """What a tool printed when it failed, as complaints; nothing when it passed."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError as error:
        return [f"{command[0]}: {error.strerror}; `make lint` installs it"]
    if done.returncode == 0:
        return []
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.strip()] or [f"{command[0]} failed with {done.returncode}"]


# --- the checks -------------------------------------------------------------------------------------------------------


def clang_format() -> str:
    """The clang-format of the virtual environment: distributions' versions format differently from each other."""
    package = importlib.util.find_spec("clang_format")
    if package is not None and package.origin is not None:
        program = Path(package.origin).parent / "data" / "bin" / "clang-format"
        if program.exists():
            return str(program)
    return "clang-format"


def check_clang_format() -> list[str]:
    files = project_files(CPP_SUFFIXES)
    complaints = run_tool([clang_format(), "--dry-run", "-Werror", *files]) if files else []
    places = [line for line in complaints if "-Wclang-format-violations" in line]
    if not places:
        return complaints
    return [f"{name}: not formatted" for name in dict.fromkeys(place.split(":")[0] for place in places)]


def check_ruff() -> list[str]:
    return run_tool([sys.executable, "-m", "ruff", "check", "--output-format=concise", "."])


def check_ruff_format() -> list[str]:
    return run_tool([sys.executable, "-m", "ruff", "format", "--check", "."])


def check_mypy() -> list[str]:
    return run_tool([sys.executable, "-m", "mypy"])


def check_layers() -> list[str]:
    return layers.check_tree(ROOT)


def check_lengths() -> list[str]:
    """Files that have grown past what one reads in a sitting."""
    complaints = []
    for name in project_files(CODE_SUFFIXES):
        lines = (ROOT / name).read_bytes().count(b"\n")
        if lines > MAX_LINES:
            complaints.append(f"{name}: {lines} lines; at most {MAX_LINES}, about 400 is the aim")
    return complaints


def included_files() -> dict[str, set[str]]:
    """For each file of the project, those that its #include lines name."""
    graph: dict[str, set[str]] = {}
    for include in layers.includes_of(ROOT):
        target = layers.resolve(ROOT, include) if include.quoted else None
        if target is not None:
            graph.setdefault(str(include.file), set()).add(str(target))
    return graph


def closure(graph: dict[str, set[str]], start: str) -> list[str]:
    """A file and all that it includes, directly or not."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph.get(name, set())
    return sorted(seen)


def tidy_stamp(version: str, files: list[str], flags: list[str]) -> Path:
    """A name that changes with anything that clang-tidy's verdict on a file depends on."""
    digest = hashlib.sha256("\0".join([version, *flags]).encode())
    for name in [".clang-tidy", *files]:
        digest.update(hashlib.sha256((ROOT / name).read_bytes()).digest())
    return TIDY_CACHE / digest.hexdigest()[:32]


def tidy(source: str, flags: list[str], stamp: Path) -> list[str]:
    if stamp.exists():
        return []
    complaints = run_tool(["clang-tidy", "--quiet", source, "--", *flags])
    if not complaints:
        stamp.touch()
    return [line for line in complaints if not line.endswith("warnings generated.")]


def check_clang_tidy() -> list[str]:
    """clang-tidy over every file that the Makefile compiles; a file that passed is not read again until it changes."""
    program = shutil.which("clang-tidy")
    if program is None:
        return ["clang-tidy is not installed; `make lint` installs it"]
    try:
        flags = compile_flags(ROOT)
    except (OSError, RuntimeError) as error:
        return [str(error)]
    TIDY_CACHE.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    graph = included_files()
    sources = [source for source in flags if (ROOT / source).is_file() and source not in TIDY_SKIPS]
    stamps = [tidy_stamp(version, closure(graph, source), flags[source]) for source in sources]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(tidy, sources, [flags[source] for source in sources], stamps)
    # A finding in a header shows up with every file that includes it.
    return list(dict.fromkeys(line for lines in found for line in lines))


def check_compiled() -> list[str]:
    """Every source file belongs to some target: one that is forgotten in the Makefile is never built nor read."""
    try:
        compiled = set(compile_flags(ROOT))
    except (OSError, RuntimeError) as error:
        return [str(error)]
    sources = [name for name in project_files({".cpp"}) if not name.startswith(BUILT_ELSEWHERE)]
    return [f"{name}: no target of the Makefile compiles it" for name in sources if name not in compiled]


# In this order: the quick ones first.
CHECKS: dict[str, Callable[[], list[str]]] = {
    "layers": check_layers,
    "lengths": check_lengths,
    "compiled": check_compiled,
    "ruff": check_ruff,
    "ruff-format": check_ruff_format,
    "mypy": check_mypy,
    "clang-format": check_clang_format,
    "clang-tidy": check_clang_tidy,
}


def fix() -> None:
    """Writes what the formatters can correct by themselves."""
    files = project_files(CPP_SUFFIXES)
    for command in (
        [clang_format(), "-i", *files],
        [sys.executable, "-m", "ruff", "check", "--fix-only", "--quiet", "."],
        [sys.executable, "-m", "ruff", "format", "--quiet", "."],
    ):
        run_tool(command)


def run_check(name: str) -> Result:
    """Runs one check and prints its line, then what it found."""
    started = time.monotonic()
    complaints = CHECKS[name]()
    result = Result(name, complaints, time.monotonic() - started)
    print(f"{'OK' if result.passed else 'FAIL':4} {name} ({result.seconds:.1f} s)", flush=True)
    for complaint in complaints:
        print(f"     {complaint}", flush=True)
    return result


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CHECKS), default=list(CHECKS), help="run just these checks")
    parser.add_argument("--fix", action="store_true", help="let clang-format and ruff correct what they can, first")
    options = parser.parse_args(arguments)
    if options.fix:
        fix()
    results = [run_check(name) for name in options.only]
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
