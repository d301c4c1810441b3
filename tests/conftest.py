# SPDX-License-Identifier: MIT
"""Fixtures of all Python tests: the host tool in its two builds, its kernel sets, and the reference data."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import KERNEL_FLAGS, KERNELS, Tool, assets, built

TIMEOUT_S = 300


# What the sanitizers end a program with, so that a finding cannot look like a refusal, which is 1.
SANITIZER_EXIT = "exitcode=99"


def tool(program: Path) -> Tool:
    environment = {**os.environ, "ASAN_OPTIONS": SANITIZER_EXIT, "UBSAN_OPTIONS": SANITIZER_EXIT}

    def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [str(program), *map(str, arguments)]
        return subprocess.run(
            command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False, env=environment
        )

    return run


@pytest.fixture(scope="session")
def llmk() -> Tool:
    """build/host/llmk, as people run it."""
    return tool(built("host/llmk"))


@pytest.fixture(scope="session")
def llmk_checked() -> Tool:
    """The same sources under ASan and UBSan."""
    return tool(built("check/llmk"))


@pytest.fixture(scope="session")
def cpu_kernels() -> list[str]:
    """The kernel sets that this processor can run, told apart from the program under test by the system's own word."""
    flags = set()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            flags = set(line.split())
            break
    return [name for name, needed in KERNEL_FLAGS.items() if needed <= flags]


@pytest.fixture(params=KERNELS)
def kernels(request: pytest.FixtureRequest, cpu_kernels: list[str]) -> str:
    """Each kernel set in turn."""
    name = str(request.param)
    if name not in cpu_kernels:
        pytest.skip(f"this processor has no {name}")
    return name


@pytest.fixture
def assets_dir() -> Path:
    """Skips where the reference data are not there."""
    return assets()
