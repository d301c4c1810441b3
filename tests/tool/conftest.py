# SPDX-License-Identifier: MIT
"""Fixtures for the tests of the image builder and the runner: a program that plays QEMU, firmware, a binary."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Plays QEMU. FAKE_QEMU_LOG receives the arguments of each start. As the accelerator probe (it speaks QMP on stdio) it
# succeeds unless the accelerator is named in FAKE_QEMU_BROKEN; as the guest it does FAKE_QEMU_GUEST.
FAKE_QEMU = """#!{python}
import json, os, signal, sys, time
arguments = sys.argv[1:]
with open(os.environ["FAKE_QEMU_LOG"], "a") as log:
    log.write(json.dumps(arguments) + "\\n")
accelerator = arguments[arguments.index("-accel") + 1]
if "-qmp" in arguments and arguments[arguments.index("-qmp") + 1] == "stdio":
    broken = os.environ.get("FAKE_QEMU_BROKEN", "")
    if broken == f"{{accelerator}}:exit":
        sys.exit("fake: no such accelerator")
    status = "internal-error" if broken == f"{{accelerator}}:stop" else "running"
    for line in sys.stdin:
        if "query-status" in line:
            print(json.dumps({{"return": {{"status": status, "running": status == "running"}}}}), flush=True)
    sys.exit(0)
exec(os.environ.get("FAKE_QEMU_GUEST", "sys.exit(0)"))
"""


@pytest.fixture
def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program to give to --qemu; its log is `fake_qemu.with_name("log")`."""
    folder = tmp_path / "fake qemu, with a comma"
    folder.mkdir()
    program = folder / "qemu-system-x86_64"
    program.write_text(FAKE_QEMU.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("FAKE_QEMU_LOG", str(program.with_name("log")))
    return program


@pytest.fixture
def firmware_folder(tmp_path: Path) -> Path:
    """A folder with OVMF's two files, as far as a program that only copies them can tell."""
    folder = tmp_path / "firmware"
    folder.mkdir()
    (folder / "OVMF_CODE.fd").write_bytes(b"code")
    (folder / "OVMF_VARS.fd").write_bytes(b"variables")
    return folder


@pytest.fixture
def efi(tmp_path: Path) -> Path:
    path = tmp_path / "BOOTX64.EFI"
    path.write_bytes(b"MZ" + os.urandom(5000))
    return path
