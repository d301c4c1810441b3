# SPDX-License-Identifier: MIT
"""Speed as ratios: decode against the memory bandwidth measured in the same run and against a peer, prefill in GFLOP/s.

Nothing here passes or fails: machines are shared and drift. Peers and program take turns (A B A), figures are medians.

    make bench
    make bench LLAMA2C=~/llama2.c/run      # beside llama2.c's run.c as well
    python scripts/bench.py --only emulated
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
FOLDER = BUILD / "bench"
LLMK = BUILD / "host/llmk"
PLAIN = BUILD / "tests/plain"
SHAPES = ("15m", "110m")
SETS = ("scalar", "sse2", "avx2")


@dataclass(frozen=True)
class Speed:
    """One line of `llmk bench --json`."""

    kernels: str
    threads: int
    prefill_tok_s: float
    decode_tok_s: float
    model_bytes: int
    read_gb_s: float

    @property
    def share(self) -> float:
        """Of the read bandwidth that decode uses."""
        return self.model_bytes * self.decode_tok_s / (self.read_gb_s * 1e9)


def run_script(name: str, *arguments: object, quiet: bool = False) -> None:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL if quiet else None)


def model(shape: str, name: str | None = None) -> Path:
    """A model of that shape with random weights; made once."""
    path = FOLDER / f"{name or shape}.bin"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        run_script("make_shape_model.py", path, "--shape", shape)
    return path


def block_parameters(path: Path) -> int:
    """Weights that a prefill token is multiplied with: all but the table, whose product is needed for the last only."""
    with path.open("rb") as file:
        header: tuple[int, ...] = struct.unpack("<7i", file.read(28))
    dim, hidden, layers, heads, kv_heads = header[:5]
    kv_dim = dim // heads * kv_heads
    return layers * (2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden)


def usable_sets() -> list[str]:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    return [name for name in SETS if name != "avx2" or (" avx2" in flags and " fma" in flags)]


def measure(path: Path, kernels: str, threads: int, runs: int, prompt: int, decode: int) -> Speed:
    command = [LLMK, "bench", "-m", path, "--kernels", kernels, "-t", threads, "-r", runs, "-p", prompt, "-n", decode]
    output = subprocess.run([*map(str, command), "--json"], check=True, capture_output=True, text=True).stdout
    data = json.loads(output)
    return Speed(**{name: data[name] for name in Speed.__dataclass_fields__})


def decode_speed(path: Path, decode: int) -> float:
    """Of our best set on one thread."""
    return measure(path, usable_sets()[-1], 1, 1, 8, decode).decode_tok_s


def plain_speed(path: Path) -> float:
    """Decode of tests/bench/peer/plain_llama.cpp: run.c's loops as a compiler vectorizes them."""
    output = subprocess.run([PLAIN, path, "64"], check=True, capture_output=True, text=True).stdout
    return float(output)


def llama2c_speed(program: Path, path: Path) -> float:
    tokenizer = path.with_suffix(".tok.bin")
    result = subprocess.run(
        [program, path, "-z", tokenizer, "-t", "0.0", "-n", "128", "-i", "The"], check=True, capture_output=True
    )
    found = re.search(rb"achieved tok/s: ([0-9.]+)", result.stderr)
    if found is None:
        raise SystemExit(f"bench: {program} did not say its speed")
    return float(found[1])


def beside(name: str, ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> None:
    """A B A B ... A: the ratio of each B to the mean of the two A around it, so that drift cancels."""
    first = [ours()]
    ratios: list[float] = []
    others: list[float] = []
    for _ in range(rounds):
        others.append(theirs())
        first.append(ours())
        ratios.append((first[-2] + first[-1]) / 2 / others[-1])
    print(
        f"  beside {name}: {statistics.median(first):9.2f} tok/s, it {statistics.median(others):9.2f}; "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def native(runs: int, llama2c: Path | None) -> None:
    threads = sorted({1, min(os.cpu_count() or 1, 16)})
    for shape in SHAPES:
        path = model(shape)
        decode = 64 if shape == "15m" else 24
        print(f"\n{shape}, float32, random weights, {path.stat().st_size:,} bytes", flush=True)
        for kernels in usable_sets():
            for count in threads:
                speed = measure(path, kernels, count, runs if kernels != "scalar" else 1, 128, decode)
                flops = speed.prefill_tok_s * 2 * block_parameters(path) / 1e9
                decode_text = (
                    f"{speed.decode_tok_s:8.2f} tok/s, {speed.share * 100:4.0f} % of {speed.read_gb_s:5.1f} GB/s"
                )
                prefill_text = f"{speed.prefill_tok_s:9.1f} tok/s, {flops:6.1f} GFLOP/s"
                print(f"  {kernels:<7} {count} threads: decode {decode_text}; prefill {prefill_text}", flush=True)
        if "avx2" in usable_sets():
            beside(
                "plain loops, -Ofast -mavx2 -mfma",
                partial(decode_speed, path, decode),
                partial(plain_speed, path),
                runs,
            )
        if llama2c is not None:
            beside("llama2.c", partial(decode_speed, path, decode), partial(llama2c_speed, llama2c, path), runs)


def emulated(smp: int) -> None:
    """Decode of the 15M shape in QEMU's software emulation, each kernel set and the calibrated choice."""
    print(f"\n15m under QEMU TCG, -cpu max, -smp {smp} (llama2.c on a minimal Linux there: 8.6 tok/s, one processor)")
    script = FOLDER / "bench.txt"
    lines = ["/kernels", "/bench -p 32 -n 24 -r 3"]
    lines += [f"/bench -p 16 -n 12 -r 3 --kernels {name}" for name in SETS]
    script.write_text("\n".join([*lines, "/shutdown", ""]), encoding="utf-8")
    config = FOLDER / "llmk.cfg"
    config.write_text("autorun = bench.txt\n", encoding="utf-8")
    image = FOLDER / "bench.img"
    binary = BUILD / "BOOTX64.EFI"
    files = ["--file", f"{script}:bench.txt", "--file", f"{config}:llmk.cfg"]
    run_script("make_image.py", "--efi", binary, "--output", image, "--models", model("15m"), *files, quiet=True)
    run = [sys.executable, str(ROOT / "scripts/run_qemu.py"), "--image", str(image), "--accel", "tcg", "--cpu", "max"]
    run += ["--smp", str(smp), "--timeout", "600"]
    output = subprocess.run(run, check=False, capture_output=True, stdin=subprocess.DEVNULL).stdout.decode("latin-1")
    plain = re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", output).replace("\r", "")
    for line in re.findall(r"^(?:\[DJIBLAS\].*|15m\.bin .*tok/s.*|.*% of .* read.*)$", plain, flags=re.MULTILINE):
        print(f"  {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", choices=("native", "emulated"), help="one of the two parts")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each figure (default 5)")
    parser.add_argument("--smp", type=int, default=2, metavar="N", help="emulated processors (default 2)")
    default = os.environ.get("LLAMA2C")
    parser.add_argument(
        "--llama2c", type=Path, default=Path(default) if default else None, metavar="PROGRAM", help="run.c, compiled"
    )
    options = parser.parse_args()
    if options.only != "emulated":
        native(options.runs, options.llama2c)
    if options.only != "native":
        emulated(options.smp)
    return 0


if __name__ == "__main__":
    sys.exit(main())
