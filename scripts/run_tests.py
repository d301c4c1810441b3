#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every suite that is built, says what was skipped and why, and ends with one line: `N passed, N failed`.

The suites, in this order: lint (each check counts as one), the GoogleTest programs unit, check and check_modelled (the
sets that are modelled there), then pytest on tests/golden, once more for the modelled sets, on tests/tool, efisim
(tests/efisim, and tests/e2e in it) and tests/e2e in QEMU. A program that crashes, is missing or runs nothing is a
failure. `make test` builds what is needed first. Exit status: 0 only if something ran and nothing failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lint

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test-results"
DEFAULT_ASSETS = "../shared/assets"
# The sets that check_modelled has in other instructions than their own; all others, tiles of BF16 too, are check's.
MODELLED = "*/avx512:*/avx512_vnni:*/modelled_tiles-*/Bf16PanelsCheck.*"
# Of tests that were skipped for the same reason.
SKIPS_NAMED = 4


@dataclass
class Counts:
    """How the tests of a suite went; of each that was skipped, its name and why."""

    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    @property
    def ran(self) -> int:
        return self.passed + self.failed

    def summary(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


def say(message: str) -> None:
    print(message, flush=True)


def environment() -> dict[str, str]:
    """The tests' environment: LLMK_ASSETS as an absolute path, since some tests change their folder."""
    assets = ROOT / os.environ.get("LLMK_ASSETS", DEFAULT_ASSETS)
    return {**os.environ, "LLMK_ASSETS": str(assets.resolve())}


def result_file(name: str) -> Path:
    """Where a suite is to write what it counted; nothing of an earlier run stays there."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / name
    path.unlink(missing_ok=True)
    return path


def end_of(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit status {returncode}"


# --- reports ----------------------------------------------------------------------------------------------------------


def count_report(text: str) -> Counts:
    """The counts in a JUnit report, GoogleTest's or pytest's; an error in a fixture is a failure.

    GoogleTest's tests that are switched off (DISABLED_) are not counted.
    """
    counts = Counts()
    for case in ElementTree.fromstring(text).iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
        elif case.get("status") == "notrun":
            continue
        elif skip is not None:
            # GoogleTest puts the place before the reason, in a line of its own.
            reason = skip.get("message", "").split("\n")[-1]
            counts.skipped.append(f"{case.get('classname')}.{case.get('name')}: {reason}")
        else:
            counts.passed += 1
    return counts


# --- GoogleTest -------------------------------------------------------------------------------------------------------


def run_gtest(name: str, tests: str = "*") -> Counts:
    program = ROOT / "build" / "tests" / name
    if not program.is_file():
        say(f"{program.relative_to(ROOT)} is not there: `make tests` builds it")
        return Counts(failed=1)
    report = result_file(f"{name}.xml")
    command = [str(program), f"--gtest_output=xml:{report}", "--gtest_brief=1", f"--gtest_filter={tests}"]
    returncode = subprocess.run(command, cwd=ROOT, env=environment()).returncode
    try:
        counts = count_report(report.read_text(encoding="utf-8"))
    except (OSError, ElementTree.ParseError):
        say(f"{name} crashed ({end_of(returncode)}) and left no report")
        return Counts(failed=1)
    if counts.ran == 0:
        say(f"{name} ran no test")
        counts.failed = 1
    elif returncode != 0 and counts.failed == 0:
        say(f"{name}: every test passed, yet the program failed ({end_of(returncode)}): a leak, or a crash at its end")
        counts.failed = 1
    return counts


# --- pytest -----------------------------------------------------------------------------------------------------------


def run_pytest(name: str, folders: Sequence[str] = (), options: Sequence[str] = ()) -> Counts:
    """The tests of tests/NAME, or of these folders of tests/."""
    paths = [ROOT / "tests" / folder for folder in folders or (name,)]
    for folder in paths:
        if not folder.is_dir():
            say(f"{folder.relative_to(ROOT)} is not there")
            return Counts(failed=1)
    report = result_file(f"{name}.xml")
    command = [sys.executable, "-m", "pytest", *map(str, paths), *options]
    command += [f"--junitxml={report}", "-o", "junit_family=xunit2"]
    returncode = subprocess.run(command, cwd=ROOT, env=environment()).returncode
    try:
        counts = count_report(report.read_text(encoding="utf-8"))
    except (OSError, ElementTree.ParseError):
        say(f"pytest stopped ({end_of(returncode)}) and left no report")
        return Counts(failed=1)
    if returncode != 0 and counts.failed == 0:
        say(f"pytest on {name}: {end_of(returncode)}" + (", no test was found" if counts.ran == 0 else ""))
        counts.failed = 1
    return counts


# --- all of them ------------------------------------------------------------------------------------------------------


def run_lint() -> Counts:
    results = [lint.run_check(name) for name in lint.CHECKS]
    passed = sum(result.passed for result in results)
    return Counts(passed, len(results) - passed)


SUITES: dict[str, Callable[[], Counts]] = {
    "lint": run_lint,
    "unit": lambda: run_gtest("unit"),
    "check": lambda: run_gtest("check"),
    "check_modelled": lambda: run_gtest("check_modelled", MODELLED),
    "golden": lambda: run_pytest("golden"),
    "golden_modelled": lambda: run_pytest("golden_modelled", ("golden",), ("--modelled",)),
    "tool": lambda: run_pytest("tool"),
    "efisim": lambda: run_pytest("efisim", ("efisim", "e2e"), ("--guest", "efisim")),
    "e2e": lambda: run_pytest("e2e"),
}


def skips_by_reason(skipped: Sequence[str]) -> dict[str, list[str]]:
    """The names of tests by why they were skipped."""
    reasons: dict[str, list[str]] = {}
    for line in skipped:
        name, _, reason = line.partition(": ")
        reasons.setdefault(reason, []).append(name)
    return reasons


def run_suites(names: list[str]) -> Counts:
    """Runs the suites, prints a table of them, and returns the sum."""
    rows: list[str] = []
    total = Counts()
    for name in names:
        say(f"--- {name} ---")
        started = time.monotonic()
        counts = SUITES[name]()
        seconds = time.monotonic() - started
        say(f"{name}: {counts.summary()} in {seconds:.1f} s\n")
        rows.append(f"{name:16}{counts.passed:8}{counts.failed:8}{len(counts.skipped):9}{seconds:10.1f}")
        total.add(counts)
    say(f"{'suite':16}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>10}")
    say("\n".join(rows))
    for reason, names in skips_by_reason(total.skipped).items():
        rest = f" and {len(names) - SKIPS_NAMED} more" if len(names) > SKIPS_NAMED else ""
        say(f"skipped, {reason}: {', '.join(names[:SKIPS_NAMED])}{rest}")
    return total


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SUITES), default=list(SUITES), help="run just these suites")
    total = run_suites(parser.parse_args(arguments).only)
    say(total.summary())
    return 0 if total.ran > 0 and total.failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
