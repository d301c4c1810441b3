# SPDX-License-Identifier: MIT
"""Fixtures of the tests of efisim: the binary as a process, on a folder with the default model."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import run_efisim
from e2e.guest import GUEST_VARIABLE, Command, build_image, commands_of
from e2e.screen import Screen
from support import ROOT, built

MODEL = ROOT / "models/default.gguf"
LIMIT_S = 60


@dataclass(frozen=True)
class Run:
    """How a run ended and what was shown."""

    volume: Path
    status: int
    screen: Screen
    errors: str

    @property
    def commands(self) -> list[Command]:
        return commands_of(self.screen)

    def output(self, line: str) -> list[str]:
        return next(command.output for command in self.commands if command.line == line)

    def answer(self, line: str) -> str:
        """What was said. Lines about budgets, on a busy machine, may stand in its middle."""
        return "".join(text for text in self.output(line) if not text.startswith("["))


# Runs these lines, typed by the program itself, on a machine with these options.
Runner = Callable[..., Run]


@pytest.fixture(autouse=True)
def as_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GUEST_VARIABLE, "efisim")
    built("tests/efisim")


def run_on(volume: Path, *options: object) -> Run:
    """As it is: no keyboard, and no terminal."""
    command = run_efisim.command_for(volume, ["--timeout", str(LIMIT_S), *map(str, options)])
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * LIMIT_S)
    screen = Screen()
    screen.feed(done.stdout)
    return Run(volume, done.returncode, screen, done.stderr.decode(errors="replace"))


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    def start(lines: list[str], *options: object, model: Path = MODEL, config: dict[str, object] | None = None) -> Run:
        volume = tmp_path / "volume"
        settings: dict[str, object] = {"temp": 0, "max_tokens": 24, "kernels": "sse2", **(config or {})}
        build_image(volume, [model], settings, lines)
        return run_on(volume, *options)

    return start
