#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs build/BOOTX64.EFI itself as a process of this system, at full speed, with this terminal as its console.

    python scripts/run_efisim.py --models story.bin chat.gguf -- --processors 4

The models are staged in a folder that stands for the stick and goes afterwards; `--keep FOLDER` names one that stays.
What follows `--` goes to build/tests/efisim, whose `--help` lists it. Ctrl-A X leaves. Linux on x86-64 only.

`make bench BENCH=efisim` holds its speed against that of build/host/llmk.

From tests and benchmarks: `stage([...], folder)`, `typed_volume(...)`, `chat_speeds(...)`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import make_image
from fat_image import MIB, ImageError

ROOT = Path(__file__).resolve().parent.parent
EFISIM = ROOT / "build/tests/efisim"
EFI = ROOT / "build/BOOTX64.EFI"
# Smaller files are copied, so that a volume is a thing of its own; larger ones are linked.
COPIED_BYTES = 64 * MIB
# Exit statuses of efisim: power-off, reboot, the user left.
GOOD_ENDS = (0, 3, 4)
STATS = re.compile(r"\[stats\] tokens=(\d+) time_ms=\d+ tok_s=([\d.]+) prefill_tokens=\d+ prefill_ms=\d+")


def stage(arguments: list[str], folder: Path) -> None:
    """Puts into the folder what make_image.py with these arguments would put on an image."""
    options = make_image.parse_arguments(["--efi", str(EFI), "--output", str(folder), *arguments])
    with contextlib.ExitStack() as stack:
        items = make_image.collect_items(options, stack)
        make_image.check_items(items)
        for item in items:
            place = folder / item.destination
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            if item.source.parent.name.startswith(f"{folder.name}.parts."):
                shutil.move(item.source, place)
            elif item.source.stat().st_size > COPIED_BYTES:
                place.symlink_to(item.source.resolve())
            else:
                shutil.copyfile(item.source, place)


def command_for(volume: Path, arguments: list[str]) -> list[str]:
    return [str(EFISIM), "--efi", str(EFI), "--volume", str(volume), *arguments]


@contextlib.contextmanager
def typed_volume(model: Path, lines: list[str], settings: Mapping[str, object]) -> Iterator[Path]:
    """A volume with this model, on which the program types these lines itself and powers off."""
    with tempfile.TemporaryDirectory(prefix="llmk-") as scratch:
        volume = Path(scratch) / "volume"
        volume.mkdir()
        (volume / "autorun.txt").write_text("".join(f"{line}\n" for line in [*lines, "/shutdown"]), encoding="utf-8")
        config = {**settings, "autorun": "autorun.txt"}
        (volume / "llmk.cfg").write_text("".join(f"{k} = {v}\n" for k, v in config.items()), encoding="utf-8")
        stage(["--models", str(model)], volume)
        yield volume


def speeds_of(command: list[str]) -> list[float]:
    """Tokens a second of each turn, as its `[stats]` line tells them."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return [float(found[2]) for found in STATS.finditer(done.stdout)]


def chat_speeds(model: Path, lines: list[str], settings: Mapping[str, object], processors: int = 1) -> list[float]:
    """Of a chat in which the program itself types these lines."""
    with typed_volume(model, lines, settings) as volume:
        return speeds_of(command_for(volume, ["--processors", str(processors)]))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", help="model files (default: as for `make image`)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="stage in this folder, and leave it there")
    parser.add_argument("efisim_arguments", nargs="*", metavar="-- ARGUMENT", help="more arguments for efisim")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    chosen = ["--models", *map(str, options.models)] if options.models else ["--default-models"]
    # All of a small machine, a part of a large one, as run_qemu.py.
    processors = ["--processors", str(min(4, len(os.sched_getaffinity(0))))]
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmk-"))) / "volume"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            stage(chosen, folder)
        except (ImageError, OSError) as error:
            print(f"run_efisim: {error}", file=sys.stderr)
            return 1
        done = subprocess.run(command_for(folder, [*processors, *options.efisim_arguments]))
    return 0 if done.returncode in GOOD_ENDS else 1


if __name__ == "__main__":
    sys.exit(main())
