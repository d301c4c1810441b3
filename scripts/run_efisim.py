#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs build/BOOTX64.EFI itself as a process of this system, at full speed, with this terminal as its console.

    python scripts/run_efisim.py --models story.bin chat.gguf -- --processors 4

The models are staged in a folder that stands for the stick and goes afterwards; `--keep FOLDER` names one that stays.
What follows `--` goes to build/tests/efisim, whose `--help` lists it. Ctrl-A X leaves. Linux on x86-64 only.

`--beside-host` measures instead: the binary's speed over that of build/host/llmk, in the same chat.

From tests and benchmarks: `stage([...], folder)`, `chat_speeds(...)`, `beside_host(...)`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import make_image
from fat_image import MIB, ImageError

ROOT = Path(__file__).resolve().parent.parent
EFISIM = ROOT / "build/tests/efisim"
EFI = ROOT / "build/BOOTX64.EFI"
HOST = ROOT / "build/host/llmk"
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


def timed(command: list[str]) -> tuple[float, float]:
    """Tokens a second of the best turn, and seconds of processor time of the whole run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    speed = max(speeds_of(command))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return speed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@dataclass(frozen=True)
class BesideHost:
    """Speed of the binary itself over that of the host build."""

    ratios: list[float]  # one a round
    best: float  # of the best turn of each
    cpu_time: float  # host's least processor time over the binary's: with one thread what counts on a busy machine


def beside_host(model: Path, kernels: str, threads: int, rounds: int = 5, tokens: int = 200) -> BesideHost:
    """In the same chat, host and binary taking turns (A B A). Greedy, so that both say the same."""
    settings = {"kernels": kernels, "threads": threads, "temp": 0, "max_tokens": tokens, "stats": "on"}
    with typed_volume(model, ["Once upon a time"] * 3, settings) as volume:
        host = [str(HOST), "repl", "--esp", str(volume), "-t", str(threads)]
        binary = command_for(volume, ["--processors", str(threads)])
        hosts = [timed(host)]
        ours: list[tuple[float, float]] = []
        ratios: list[float] = []
        for _ in range(rounds):
            ours.append(timed(binary))
            hosts.append(timed(host))
            ratios.append(2 * ours[-1][0] / (hosts[-2][0] + hosts[-1][0]))
    best = max(speed for speed, _ in ours) / max(speed for speed, _ in hosts)
    return BesideHost(ratios, best, min(cpu for _, cpu in hosts) / min(cpu for _, cpu in ours))


def print_ratios(models: list[Path], kernels: str, rounds: int) -> None:
    for model in models:
        for threads in (1, 2):
            found = beside_host(model, kernels, threads, rounds)
            low, high = min(found.ratios), max(found.ratios)
            print(
                f"{model.name}, {kernels}, {threads} threads: the binary itself runs at "
                f"{statistics.median(found.ratios):.3f} of the host build ({low:.3f} to {high:.3f}); "
                f"best of each {found.best:.3f}, by processor time {found.cpu_time:.3f}",
                flush=True,
            )


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", help="model files (default: as for `make image`)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="stage in this folder, and leave it there")
    parser.add_argument("--beside-host", metavar="KERNELS", help="measure with this kernel set: a ratio a thread count")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of the measurement (default: %(default)s)")
    parser.add_argument("efisim_arguments", nargs="*", metavar="-- ARGUMENT", help="more arguments for efisim")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    chosen = ["--models", *map(str, options.models)] if options.models else ["--default-models"]
    if options.beside_host:
        print_ratios(options.models or [ROOT / "models/default.gguf"], options.beside_host, options.rounds)
        return 0
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
