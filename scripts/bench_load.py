#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How fast a model gets into memory under QEMU, and how long it is from power-on to the first token.

    python scripts/bench_load.py                    # both parts; build/BOOTX64.EFI must be there
    python scripts/bench_load.py --only load --storage usb --shape 110m
    python scripts/bench_load.py --only boot --runs 5

Loading is held against a bare loop in the same guest that reads the same file in pieces of the same size (`/bench
read`): bare, load, bare, load, ... bare, the ratio of each load to the mean of the two around it, and the median of
these. Nothing here passes or fails: machines are shared and drift.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qemu_command import STORAGE, build_command
from run_qemu import config_from

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/bench"
PROMPT = "Once upon a time"
BARE = re.compile(r"read in pieces of [^:]*: ([0-9.]+) MB/s .*?; its weights were loaded at ([0-9.]+) MB/s")
ESCAPES = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]")
# What the boot shows, in its order: the stage that ends there, and how to know it.
STAGES = (
    ("firmware", re.compile(r"LLM Bare-Metal")),
    ("processors", re.compile(r"\[ATTN\]")),
    ("look at the model", re.compile(r"\[#*\.*\] ")),
    ("loading, vocabulary", re.compile(r"/help lists commands")),
    ("prompt", re.compile(r"> " + PROMPT)),
    ("prefill, first token", re.compile(r"> " + PROMPT + r"\n+[^\n]")),
)


def script(name: str, *arguments: object) -> None:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def image_with(shape: str, lines: list[str], settings: dict[str, object]) -> Path:
    """An image with a model of that shape and random weights, and lines that are typed at its prompt."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = FOLDER / f"{shape}.bin"
    if not model.is_file():
        script("make_shape_model.py", model, "--shape", shape)
    typed, config, image = (FOLDER / name for name in ("load.txt", "load.cfg", "load.img"))
    typed.write_text("".join(f"{line}\n" for line in [*lines, "/shutdown"]), encoding="utf-8")
    written = {"autorun": "load.txt", **settings}
    config.write_text("".join(f"{key} = {value}\n" for key, value in written.items()), encoding="utf-8")
    files = ("--file", f"{typed}:load.txt", "--file", f"{config}:llmk.cfg")
    efi = ROOT / "build/BOOTX64.EFI"
    script("make_image.py", "--efi", efi, "--output", image, "--models", model, *files)
    return image


def plain(output: bytes) -> str:
    return ESCAPES.sub("", output.decode("latin-1")).replace("\r", "")


def run_guest(image: Path, storage: str, smp: int, watch: Callable[[float, bytes], None] | None = None) -> str:
    """Runs the guest to its power-off and returns what it said. `watch` gets the seconds since power-on and all of the
    output so far, with each piece of it."""
    arguments = ["--image", str(image), "--accel", "tcg", "--cpu", "max", "--smp", str(smp), "--storage", storage]
    with tempfile.TemporaryDirectory(prefix="llmk-") as scratch:
        command = build_command(config_from(arguments, Path(scratch)))
        output = b""
        started = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as guest:
            assert guest.stdout is not None
            while piece := os.read(guest.stdout.fileno(), 65536):
                output += piece
                if watch is not None:
                    watch(time.monotonic() - started, output)
    return plain(output)


def load_ratios(pairs: list[tuple[float, float]]) -> list[float]:
    """Of (bare, the load before it) in their order: each load over the mean of the bare loops around it. The first has
    none before it, and memory that nobody has touched yet: it does not count."""
    around = itertools.pairwise(pairs)
    return [load / ((before + after) / 2) for (before, _), (after, load) in around]


def bench_load(storage: str, shape: str, smp: int, runs: int) -> None:
    lines = ["/bench read"]
    for _ in range(runs):
        lines += [f"/load {shape} drop", "/bench read"]
    output = run_guest(image_with(shape, lines, {}), storage, smp)
    pairs = [(float(bare), float(load)) for bare, load in BARE.findall(output)]
    ratios = load_ratios(pairs)
    if not ratios:
        raise SystemExit(f"bench_load: the guest on {storage} measured nothing; it said:\n{output[-2000:]}")
    bare = statistics.median(bare for bare, _ in pairs)
    load = statistics.median(load for _, load in pairs[1:])
    print(
        f"  {storage:<7} load {load:7.1f} MB/s, bare loop {bare:7.1f} MB/s, ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def stage_ends(marks: list[tuple[float, str]]) -> list[float]:
    """The seconds at which each of STAGES ended, from (seconds, all output so far)."""
    return [next((at for at, text in marks if pattern.search(text)), float("nan")) for _, pattern in STAGES]


def bench_boot(storage: str, smp: int, runs: int) -> None:
    image = image_with("15m", [PROMPT], {"temp": 0, "max_tokens": 4})
    ends: list[list[float]] = []
    for _ in range(runs):
        marks: list[tuple[float, str]] = []
        run_guest(image, storage, smp, lambda at, output, marks=marks: marks.append((at, plain(output))))  # type: ignore[misc]
        ends.append(stage_ends(marks))
    middle = [statistics.median(column) for column in zip(*ends, strict=True)]
    before = 0.0
    for (name, _), end in zip(STAGES, middle, strict=True):
        print(f"  {name:<24} {end - before:6.2f} s, at {end:5.2f} s", flush=True)
        before = end
    totals = [row[-1] for row in ends]
    print(f"  power-on to first token  {statistics.median(totals):6.2f} s ({min(totals):.2f} to {max(totals):.2f})")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", choices=("load", "boot"), help="one of the two parts")
    parser.add_argument("--storage", choices=STORAGE, action="append", help="controllers (default: all, boot on ahci)")
    parser.add_argument(
        "--shape", choices=("15m", "42m", "110m"), default="110m", help="to load (default: %(default)s)"
    )
    parser.add_argument("--smp", type=int, default=2, metavar="N", help="emulated processors (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each figure (default: %(default)s)")
    options = parser.parse_args()
    if options.only != "boot":
        print(f"loading {options.shape} under QEMU TCG, -smp {options.smp}", flush=True)
        for storage in options.storage or STORAGE:
            bench_load(storage, options.shape, options.smp, options.runs)
    if options.only != "load":
        storage = (options.storage or ["ahci"])[0]
        print(f"15m, float32, from QEMU's start on {storage}, TCG, -smp {options.smp}", flush=True)
        bench_boot(storage, options.smp, options.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
