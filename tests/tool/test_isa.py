# SPDX-License-Identifier: MIT
"""No instruction beyond the baseline outside its kernel set's folder: in the objects, and in the linked binary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support import ROOT, built


def isa_lint(*places: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/isa_lint.py"), *map(str, places)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_binary_keeps_every_set_in_its_folder() -> None:
    result = isa_lint(built("efi/llmk.so").parent)
    assert result.returncode == 0, result.stdout + result.stderr


def test_avx_in_a_baseline_place_is_found(tmp_path: Path) -> None:
    """The AVX2 objects, passed off as something else, must not pass."""
    objects = built("efi/kernels/avx2/avx2.o")
    copy = tmp_path / "innocent.o"
    copy.write_bytes(objects.read_bytes())
    result = isa_lint(copy)
    assert result.returncode == 1
    assert "innocent.o" in result.stdout + result.stderr
