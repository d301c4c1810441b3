# SPDX-License-Identifier: MIT
"""No instruction beyond the baseline outside its kernel set's folder: in the objects, and in the linked binary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, built


def isa_lint(*places: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/isa_lint.py"), *map(str, places)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_binary_keeps_every_set_in_its_folder() -> None:
    result = isa_lint(built("efi/llmk.so").parent)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["avx2/avx2.o", "avx512/avx512.o", "avx512/gemm.o"])
def test_avx_in_a_baseline_place_is_found(name: str, tmp_path: Path) -> None:
    """Objects of AVX sets, passed off as something else, must not pass."""
    objects = built(f"efi/kernels/{name}")
    copy = tmp_path / "innocent.o"
    copy.write_bytes(objects.read_bytes())
    result = isa_lint(copy)
    assert result.returncode == 1
    assert "innocent.o" in result.stdout + result.stderr


def misplaced(name: str, folder: str, tmp_path: Path) -> str:
    """What is said of an object that lies in another set's folder; it must not pass."""
    place = tmp_path / "kernels" / folder / Path(name).name
    place.parent.mkdir(parents=True)
    place.write_bytes(built(f"efi/kernels/{name}").read_bytes())
    result = isa_lint(place)
    assert result.returncode == 1
    return result.stderr


@pytest.mark.parametrize("name", ["avx512.o", "gemm.o", "half.o", "activations.o"])
def test_avx512_in_the_avx2_folder_is_found(name: str, tmp_path: Path) -> None:
    assert "AVX-512" in misplaced(f"avx512/{name}", "avx2", tmp_path)


def test_bf16_in_the_amx_int8_folder_is_found(tmp_path: Path) -> None:
    said = misplaced("amx_bf16/panels.o", "amx_int8", tmp_path)
    assert ": BF16, in " in said
    for mnemonic in ("tdpbf16ps", "vcvtne2ps2bf16"):
        assert mnemonic in said, mnemonic


def test_amx_in_the_avx512_vnni_folder_is_found(tmp_path: Path) -> None:
    lines = misplaced("amx_int8/panels.o", "avx512_vnni", tmp_path).splitlines()
    assert all(": AMX, in " in line for line in lines)
    for mnemonic in ("ldtilecfg", "tileloadd", "tilestored", "tilezero", "tdpbsud", "tilerelease"):
        assert any(f": {mnemonic}" in line for line in lines), mnemonic
