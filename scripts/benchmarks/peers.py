# SPDX-License-Identifier: MIT
"""Beside others, on the same file and with as many threads: llama.cpp, llama2.c's run.c, and plain loops.

The two take turns, A B A B ... A, and each B is held against the mean of the two A around it, so that drift cancels.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.native import SHORT_PROMPT, bench
from benchmarks.results import Column, Results, Row
from benchmarks.settings import BUILD, CASES, FULL, QUICK, SETS, Settings, llama2c_model, model, output_of

LLAMA_CPP = BUILD / "peers/llama.cpp"
PLAIN = {"sse2": BUILD / "tests/plain-sse2", "avx2": BUILD / "tests/plain-avx2"}
PROMPT = 128
# A build of llama.cpp, and our sets that use no more than its instructions, the best first.
BUILDS = {
    "sse2": ("sse2",),
    "avx2": ("avx2",),
    "avx512": ("avx512_vnni", "avx512", "avx2"),
    "amx": ("amx_bf16", "amx_int8", "avx512_vnni", "avx512", "avx2"),
}
COLUMNS = [
    Column("shape", "shape"),
    Column("type", "type"),
    Column("what", "what"),
    Column("threads", "threads", "{:d}"),
    Column("set", "kernels"),
    Column("ours", "tok/s", "{:.2f}"),
    Column("peer", "peer"),
    Column("theirs", "its tok/s", "{:.2f}"),
    Column("ratio", "ratio", "{:.2f}"),
    Column("least", "least", "{:.2f}"),
    Column("most", "most", "{:.2f}"),
]

Speed = Callable[[], float]


@dataclass(frozen=True)
class Beside:
    """Medians of both, and of the ratios, with the least and the most."""

    ours: float
    theirs: float
    ratio: float
    least: float
    most: float


def beside(ours: Speed, theirs: Speed, rounds: int) -> Beside:
    mine = [ours()]
    ratios: list[float] = []
    others: list[float] = []
    for _ in range(rounds):
        others.append(theirs())
        mine.append(ours())
        ratios.append((mine[-2] + mine[-1]) / 2 / others[-1])
    return Beside(
        statistics.median(mine), statistics.median(others), statistics.median(ratios), min(ratios), max(ratios)
    )


def our_speed(path: Path, kernels: str, threads: int, prompt: int, decode: int) -> float:
    """Of decode, or of prefill where nothing is decoded; and so is the next."""
    data = bench(path, kernels, threads, 1, prompt, decode)
    return float(data["decode_tok_s" if decode else "prefill_tok_s"])


def llama_cpp_speed(build: str, path: Path, threads: int, prompt: int, decode: int) -> float:
    program, backend = LLAMA_CPP / "llama_cpp", LLAMA_CPP / build / "bin/libggml-cpu.so"
    data = json.loads(output_of(program, backend, path, threads, prompt, decode, 0, 1))
    return float(data["decode_tok_s" if decode else "prefill_tok_s"])


def plain_speed(kernels: str, path: Path, decode: int) -> float:
    """Of tests/bench/peer/plain_llama.cpp: run.c's loops as a compiler vectorizes them for that set."""
    return float(output_of(PLAIN[kernels], path, decode))


def llama2c_speed(program: Path, path: Path) -> float:
    tokenizer = path.with_suffix(".tok.bin")
    command = [str(program), str(path), "-z", str(tokenizer), "-t", "0.0", "-n", "128", "-i", "The"]
    output = subprocess.run(command, check=True, capture_output=True).stderr
    found = re.search(rb"achieved tok/s: ([0-9.]+)", output)
    if found is None:
        raise SystemExit(f"bench: {program} did not say its speed")
    return float(found[1])


def builds(settings: Settings) -> Iterator[tuple[str, str]]:
    """(build of llama.cpp, set of ours to hold against it) that are at hand and run here: the best of no more
    instructions, of the chosen sets where some are; SSE2, which takes minutes a prompt, when everything is asked for."""
    ours = [name for name in settings.usable_sets if name in (settings.chosen_sets or SETS)]
    for build, sets in BUILDS.items():
        there = (LLAMA_CPP / build / "bin/libggml-cpu.so").is_file()
        usable = [name for name in sets if name in ours]
        if there and usable and (build != "sse2" or settings.size == FULL):
            yield build, usable[0]


def peers(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        "Ours, a peer, ours, ...: the ratio of each to the mean of ours around it. Same file, same number of threads."
    )
    table = results.table("peers", "Beside others", note, COLUMNS)
    rounds = 1 if settings.size == QUICK else settings.runs

    def compare(peer: str, row: Row, ours: Speed, theirs: Speed) -> None:
        table.add(**row, peer=peer, **vars(beside(ours, theirs, rounds)))

    if not list(builds(settings)):
        print("  (no llama.cpp: `make peers` builds one)", flush=True)
    for shape, kind in settings.cases():
        path = model(shape, kind)
        for what, prompt, decode in (("decode", SHORT_PROMPT, CASES[shape].decode), (f"prefill {PROMPT}", PROMPT, 0)):
            for build, kernels in builds(settings):
                for threads in settings.threads:
                    row = {"shape": shape, "type": kind, "what": what, "threads": threads, "set": kernels}
                    ours = partial(our_speed, path, kernels, threads, prompt, decode)
                    theirs = partial(llama_cpp_speed, build, path, threads, prompt, decode)
                    compare(f"llama.cpp {build}", row, ours, theirs)
    # TinyLlama has to be made for them: when it is asked for.
    shapes = {"15m", "110m"} | ({"tinyllama"} if settings.shapes or settings.size == FULL else set())
    for shape in sorted({shape for shape, kind in settings.cases() if kind == "f32"} & shapes):
        path = llama2c_model(shape)
        decode = CASES[shape].decode
        for kernels, peer, other in float_peers(settings, path, decode):
            row = {"shape": shape, "type": "f32", "what": "decode", "threads": 1, "set": kernels}
            compare(peer, row, partial(our_speed, path, kernels, 1, SHORT_PROMPT, decode), other)


def float_peers(settings: Settings, path: Path, decode: int) -> Iterator[tuple[str, str, Speed]]:
    """(set of ours, name, speed) of those that read llama2.c's float32 files."""
    for kernels in PLAIN:
        if kernels in settings.usable_sets and kernels in (settings.chosen_sets or PLAIN):
            yield kernels, f"plain, -Ofast {kernels.upper()}", partial(plain_speed, kernels, path, decode)
    if settings.llama2c is not None:
        yield settings.best_set, settings.llama2c.name, partial(llama2c_speed, settings.llama2c, path)
