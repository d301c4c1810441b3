# SPDX-License-Identifier: MIT
"""Beside others, on the same file and with as many threads: llama.cpp, ik_llama.cpp, llama2.c's run.c, plain loops."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.native import SHORT_PROMPT, our_speed
from benchmarks.results import Column, Results, Row
from benchmarks.settings import (
    BUILD,
    CASES,
    FULL,
    QUICK,
    SETS,
    ProgramFailed,
    Settings,
    llama2c_model,
    model,
    output_of,
)
from benchmarks.turns import Speed, beside

PLAIN = {"sse2": BUILD / "tests/plain-sse2", "avx2": BUILD / "tests/plain-avx2"}
PROMPT = 128


@dataclass(frozen=True)
class Build:
    """A llama.cpp: how it is called, and our sets that use no more than its instructions, the best first."""

    key: str  # what --peers calls it
    name: str
    program: Path
    argument: str | Path
    sets: tuple[str, ...]

    @property
    def is_there(self) -> bool:
        return self.program.is_file() and (isinstance(self.argument, str) or self.argument.is_file())


def llama_cpp(build: str, *sets: str) -> Build:
    folder = BUILD / "peers/llama.cpp"
    return Build(build, f"llama.cpp {build}", folder / "llama_cpp", folder / build / "bin/libggml-cpu.so", sets)


def ik_llama_cpp(weights: str) -> Build:
    """It was compiled for this machine, and uses no tiles."""
    program = BUILD / "peers/ik_llama.cpp/llama_cpp"
    return Build(
        f"ik-{weights}", f"ik_llama.cpp {weights}", program, weights, ("avx512_vnni", "avx512", "avx_vnni", "avx2")
    )


SSE2 = llama_cpp("sse2", "sse2")
BUILDS = (
    SSE2,
    llama_cpp("avx2", "avx2"),
    llama_cpp("avx512", "avx512_vnni", "avx512", "avx2"),
    llama_cpp("amx", "amx_bf16", "amx_int8", "avx512_vnni", "avx512", "avx2"),
    ik_llama_cpp("as-is"),
    ik_llama_cpp("repacked"),
)
PEERS = (*(build.key for build in BUILDS), "plain")
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


def llama_cpp_speed(build: Build, path: Path, threads: int, prompt: int, decode: int) -> float:
    data = json.loads(output_of(build.program, build.argument, path, threads, prompt, decode, 0, 1))
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


def builds(settings: Settings) -> Iterator[tuple[Build, str]]:
    """(llama.cpp, set of ours to hold against it) that are at hand and run here: the best of no more instructions, of
    the chosen sets where some are; SSE2, which takes minutes a prompt, when it or everything is asked for."""
    ours = [name for name in settings.usable_sets if name in (settings.chosen_sets or SETS)]
    for build in BUILDS:
        if build.key not in (settings.peers or PEERS):
            continue
        usable = [name for name in build.sets if name in ours]
        if build.is_there and usable and (build is not SSE2 or settings.size == FULL or settings.peers):
            yield build, usable[0]


def takes(build: Build, path: Path) -> bool:
    """Whether it can load the file; says what it said if not."""
    try:
        llama_cpp_speed(build, path, 1, 1, 1)
    except ProgramFailed as failure:
        print(f"  ({build.name} does not take {path.name}: {failure})", flush=True)
        return False
    return True


def runs_of(settings: Settings, shape: str) -> Iterator[tuple[str, int, int]]:
    """What is compared: (its name, tokens of prompt, tokens after it)."""
    yield "decode", SHORT_PROMPT, CASES[shape].decode
    yield from ((f"prefill {prompt}", prompt, 0) for prompt in settings.prompts or (PROMPT,))


def peers(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        "Ours, a peer, ours, ...: the ratio of each to the mean of ours around it. Same file, same number of threads."
    )
    table = results.table("peers", "Beside others", note, COLUMNS)
    rounds = 1 if settings.size == QUICK else settings.runs

    def compare(peer: str, row: Row, ours: Speed, theirs: Speed) -> None:
        table.add(**row, peer=peer, **vars(beside(ours, theirs, rounds)))

    if not any(build.is_there for build in BUILDS):
        print("  (no llama.cpp: `make peers` builds some)", flush=True)
    for shape, kind in settings.cases():
        path = model(shape, kind)
        there = [(build, kernels) for build, kernels in builds(settings) if takes(build, path)]
        for (what, prompt, decode), (build, kernels), threads in product(
            runs_of(settings, shape), there, settings.threads
        ):
            row = {"shape": shape, "type": kind, "what": what, "threads": threads, "set": kernels}
            ours = partial(our_speed, path, kernels, threads, prompt, decode)
            theirs = partial(llama_cpp_speed, build, path, threads, prompt, decode)
            compare(build.name, row, ours, theirs)
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
    for kernels in PLAIN if "plain" in (settings.peers or PEERS) else ():
        if kernels in settings.usable_sets and kernels in (settings.chosen_sets or PLAIN):
            yield kernels, f"plain, -Ofast {kernels.upper()}", partial(plain_speed, kernels, path, decode)
    if settings.llama2c is not None:
        yield settings.best_set, settings.llama2c.name, partial(llama2c_speed, settings.llama2c, path)
