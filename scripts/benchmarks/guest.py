# SPDX-License-Identifier: MIT
"""`BOOTX64.EFI` in QEMU's software emulation, typing lines itself: what the sections that measure it there share."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import run_qemu
from qemu_command import build_command

from benchmarks.settings import BUILD, FOLDER, run_script

BINARY = BUILD / "BOOTX64.EFI"
TIMEOUT_S = 900
ESCAPES = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]")
Watch = Callable[[float, bytes], None]


def image_with(model: Path, lines: Sequence[str], settings: Mapping[str, object] | None = None) -> Path:
    """An image with this model, on which the program types these lines and powers off. The next call replaces it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    typed, config, image = (FOLDER / name for name in ("bench.txt", "bench.cfg", "bench.img"))
    typed.write_text("".join(f"{line}\n" for line in [*lines, "/shutdown"]), encoding="utf-8")
    written = {**(settings or {}), "autorun": "bench.txt"}
    config.write_text("".join(f"{key} = {value}\n" for key, value in written.items()), encoding="utf-8")
    files = ("--file", f"{typed}:bench.txt", "--file", f"{config}:llmk.cfg")
    run_script("make_image.py", "--efi", BINARY, "--output", image, "--models", model, *files)
    return image


def plain(output: bytes) -> str:
    """Without what moves the cursor and colours."""
    return ESCAPES.sub("", output.decode("latin-1")).replace("\r", "")


def run(image: Path, smp: int, storage: str = "ahci", watch: Watch | None = None) -> str:
    """Runs the guest to its power-off and returns what it said. `watch` gets the seconds since QEMU's start and all of
    the output so far, with each piece of it."""
    arguments = ["--image", str(image), "--accel", "tcg", "--cpu", "max", "--smp", str(smp), "--storage", storage]
    output = b""
    with tempfile.TemporaryDirectory(prefix="llmk-") as scratch:
        command = build_command(run_qemu.config_from(arguments, Path(scratch)))
        started = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as guest:
            assert guest.stdout is not None
            limit = threading.Timer(TIMEOUT_S, guest.kill)
            limit.start()
            try:
                while piece := os.read(guest.stdout.fileno(), 65536):
                    output += piece
                    if watch is not None:
                        watch(time.monotonic() - started, output)
            finally:
                limit.cancel()
    if guest.returncode != 0:
        raise SystemExit(f"bench: QEMU ended with {guest.returncode}; the guest said:\n{plain(output)[-2000:]}")
    return plain(output)
