# SPDX-License-Identifier: MIT
"""The programs that judge the others: how tests are counted, what counts as a failure, which flags lint reads."""

from __future__ import annotations

import sys
from pathlib import Path

import compile_flags
import lint
import pytest
import run_tests
from run_tests import Counts

GTEST_REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="5" failures="1" disabled="1" errors="0" name="AllTests">
 <testsuite name="A" tests="4" failures="1" disabled="1" skipped="1" errors="0">
  <testcase name="ok" status="run" result="completed" classname="A" />
  <testcase name="bad" status="run" result="completed" classname="A"><failure message="a.cpp:1"/></testcase>
  <testcase name="Vectors" status="run" result="skipped" classname="A">
   <skipped message="a.cpp:2&#x0A;no assets"/></testcase>
  <testcase name="DISABLED_off" status="notrun" result="suppressed" classname="A" />
 </testsuite>
 <testsuite name="B" tests="1" failures="0" disabled="0" skipped="0" errors="0">
  <testcase name="ok" status="run" result="completed" classname="B" /></testsuite>
</testsuites>"""
GTEST_SKIPPED = ["A.Vectors: no assets"]

JUNIT_REPORT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4">
 <testcase classname="tests.test_a" name="test_ok" />
 <testcase classname="tests.test_a" name="test_bad"><failure message="assert 0">...</failure></testcase>
 <testcase classname="tests.test_a" name="test_fixture"><error message="failed on setup">...</error></testcase>
 <testcase classname="tests.test_a" name="test_c"><skipped message="no torch">...</skipped></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (GTEST_REPORT, Counts(passed=2, failed=1, skipped=GTEST_SKIPPED)),
        (JUNIT_REPORT, Counts(passed=1, failed=2, skipped=["tests.test_a.test_c: no torch"])),
    ],
)
def test_reports_are_counted(report: str, expected: Counts) -> None:
    assert run_tests.count_report(report) == expected


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    monkeypatch.setattr(run_tests, "RESULTS", tmp_path / "results")
    return tmp_path


def gtest_program(root: Path, body: str) -> None:
    program = root / "build" / "tests" / "unit"
    program.parent.mkdir(parents=True)
    start = f"#!{sys.executable}\nimport os, signal, sys\nreport = sys.argv[1].removeprefix('--gtest_output=xml:')\n"
    program.write_text(f"{start}text = '''{GTEST_REPORT}'''\n{body}\n", encoding="utf-8")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("open(report, 'w').write(text); sys.exit(1)", Counts(2, 1, GTEST_SKIPPED)),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Counts(failed=1)),
        ("open(report, 'w').write('<'); sys.exit(1)", Counts(failed=1)),
        # Every test passed, then the sanitizer found a leak.
        ("open(report, 'w').write(text.replace('failure ', 'none ')); sys.exit(23)", Counts(3, 1, GTEST_SKIPPED)),
    ],
)
def test_a_gtest_program_that_crashes_or_leaks_has_failed(root: Path, body: str, expected: Counts) -> None:
    gtest_program(root, body)
    assert run_tests.run_gtest("unit") == expected


def test_a_report_of_an_earlier_run_does_not_count(root: Path) -> None:
    gtest_program(root, "sys.exit(0)")
    (root / "results").mkdir()
    (root / "results" / "unit.xml").write_text(GTEST_REPORT, encoding="utf-8")
    assert run_tests.run_gtest("unit") == Counts(failed=1)


def test_a_missing_program_or_folder_has_failed(root: Path) -> None:
    assert run_tests.run_gtest("unit") == Counts(failed=1)
    assert run_tests.run_pytest("tool") == Counts(failed=1)
    assert not (root / "build").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def test_a(): pass\ndef test_b(): assert 0\n", Counts(1, 1)),
        (
            "import pytest\ndef test_a(): pytest.skip('no assets')\ndef test_b(): pass\n",
            Counts(1, 0, ["tests.tool.test_it.test_a: no assets"]),
        ),
        ("no tests here", Counts(failed=1)),
        ("", Counts(failed=1)),
    ],
)
def test_pytest_is_counted(root: Path, text: str, expected: Counts) -> None:
    folder = root / "tests" / "tool"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    assert run_tests.run_pytest("tool") == expected


@pytest.mark.parametrize(
    ("counts", "status"), [(Counts(1, 0), 0), (Counts(1, 1), 1), (Counts(0, 0), 1), (Counts(0, 0, ["a"]), 1)]
)
def test_success_needs_something_that_ran(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], counts: Counts, status: int
) -> None:
    monkeypatch.setattr(run_tests, "SUITES", {"unit": lambda: counts})
    assert run_tests.main(["--only", "unit"]) == status
    assert capsys.readouterr().out.splitlines()[-1] == f"{counts.passed} passed, {counts.failed} failed"


def test_skipped_tests_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    skipped = [*GTEST_SKIPPED, *(f"test_{number}: no torch" for number in range(6))]
    monkeypatch.setattr(run_tests, "SUITES", {"unit": lambda: Counts(1, 0, skipped)})
    assert run_tests.main(["--only", "unit"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "skipped, no assets: A.Vectors",
        "skipped, no torch: test_0, test_1, test_2, test_3 and 2 more",
        "1 passed, 0 failed",
    ]


def test_flags_are_read_from_makes_commands() -> None:
    commands = """mkdir -p build/host/src
g++ -std=c++20 -O2 -Iinclude -DVERSION='"1.0"' -Wall -MMD -c src/a.cpp -o build/host/src/a.o
g++ -std=c++20 -mavx2 -isystem /usr/include/efi -c kernels/b.cpp -o build/efi/kernels/b.o
g++ -std=c++20 -ffreestanding -c src/a.cpp -o build/efi/src/a.o
g++ -MMD -c src/crt0.S -o build/efi/src/crt0.o
ld -shared -o build/efi/llmk.so
"""
    assert compile_flags.parse_commands(commands) == {
        "src/a.cpp": ["-std=c++20", "-Iinclude", '-DVERSION="1.0"'],
        "kernels/b.cpp": ["-std=c++20", "-mavx2", "-isystem", "/usr/include/efi"],
    }


def test_a_files_closure_is_all_that_it_includes() -> None:
    graph = {"a.cpp": {"b.h", "c.h"}, "b.h": {"d.h"}, "d.h": {"b.h"}, "other.cpp": {"e.h"}}
    assert lint.closure(graph, "a.cpp") == ["a.cpp", "b.h", "c.h", "d.h"]
