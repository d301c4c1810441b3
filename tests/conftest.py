# SPDX-License-Identifier: MIT
"""Fixtures of all Python tests: the host tool in its two builds, its kernel sets, and the reference data."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import KERNEL_FLAGS, KERNELS, MODELLED_KERNELS, Tool, assets, built

TIMEOUT_S = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--guest",
        choices=("qemu", "efisim"),
        default="qemu",
        help="what tests/e2e boots the binary in: QEMU with firmware, or a process of this machine",
    )
    parser.addoption(
        "--modelled",
        action="store_true",
        help="only what asks for a kernel set of AVX-512, of build/modelled/llmk, which any processor with AVX2 runs",
    )


def pytest_configure(config: pytest.Config) -> None:
    os.environ["LLMK_GUEST"] = str(config.getoption("--guest"))


def asks_for_modelled(item: pytest.Item) -> bool:
    """Whether a test is for one of the modelled kernel sets, or takes those that there are in turn."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "kernels" in callspec.params:
        return callspec.params["kernels"] in MODELLED_KERNELS
    return "cpu_kernels" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only firmware can show is no test of the other kind, and of modelled kernels only theirs are."""
    dropped: list[pytest.Item] = []
    if config.getoption("--guest") != "qemu":
        dropped = [item for item in items if item.get_closest_marker("firmware") is not None]
    if config.getoption("--modelled"):
        dropped = [item for item in items if not asks_for_modelled(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


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
def llmk(pytestconfig: pytest.Config) -> Tool:
    """build/host/llmk, as people run it."""
    return tool(built("modelled/llmk" if pytestconfig.getoption("--modelled") else "host/llmk"))


@pytest.fixture(scope="session")
def llmk_checked() -> Tool:
    """The same sources under ASan and UBSan."""
    return tool(built("check/llmk"))


@pytest.fixture(scope="session")
def cpu_kernels(pytestconfig: pytest.Config) -> list[str]:
    """The kernel sets that this processor can run, told apart from the program under test by the system's own word."""
    flags = set()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            flags = set(line.split())
            break
    if pytestconfig.getoption("--modelled"):
        # What AVX-512's sets lack they have of AVX2's, which are not modelled.
        return list(MODELLED_KERNELS) if KERNEL_FLAGS["avx2"] <= flags else []
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
