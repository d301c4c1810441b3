# SPDX-License-Identifier: MIT
"""Under QEMU: how fast a model gets into memory, and how long it is from power-on to the first token."""

from __future__ import annotations

import itertools
import re
import statistics
from pathlib import Path

from qemu_command import STORAGE

from benchmarks import guest
from benchmarks.limits import Limits
from benchmarks.results import Column, Results
from benchmarks.settings import QUICK, Settings, llama2c_model, model

SMP = 2
PROMPT = "Once upon a time"
BARE = re.compile(r"read in pieces of [^:]*: ([0-9.]+) MB/s .*?; its weights were loaded at ([0-9.]+) MB/s")
# What the boot shows, in its order: the stage that ends there, and how to know it.
STAGES = (
    ("firmware", re.compile(r"LLM Bare-Metal")),
    ("processors, calibration", re.compile(r"\[ATTN\]")),
    ("look at the model, loading", re.compile(r"\[#+\.*\] .*\n")),
    ("prompt", re.compile(r"> " + PROMPT)),
    ("prefill, first token", re.compile(r"> " + PROMPT + r"\n+[^\n]")),
)


def load_ratios(pairs: list[tuple[float, float]]) -> list[float]:
    """Of (bare, the load before it) in their order: each load over the mean of the bare loops around it. The first has
    none before it, and memory that nobody has touched yet: it does not count."""
    around = itertools.pairwise(pairs)
    return [load / ((before + after) / 2) for (before, _), (after, load) in around]


def model_of(shape: str, kind: str) -> Path:
    """Float32 as llama2.c has it, which is loaded as it lies; what is packed is in GGUF."""
    return llama2c_model(shape) if kind == "f32" else model(shape, kind)


def load(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        f"QEMU TCG, -smp {SMP}. A bare loop in the guest that reads the file in pieces of 4 MiB (/bench read), /load, "
        "the loop, ...: the ratio of each load to the mean of the loops around it."
    )
    columns = [
        *(Column(key, key) for key in ("storage", "shape", "type")),
        Column("ours", "load, MB/s", "{:.0f}"),
        Column("theirs", "loop, MB/s", "{:.0f}"),
        *(Column(key, key, "{:.2f}") for key in ("ratio", "least", "most")),
    ]
    table = results.table("load", "Loading", note, columns)
    lines = ["/bench read"]
    for shape in settings.shapes or (("15m",) if settings.size == QUICK else ("110m",)):
        for kind in settings.types or ("f32",):
            path = model_of(shape, kind)
            image = guest.image_with(path, lines + [f"/load {path.stem} drop", "/bench read"] * settings.runs)
            for storage in settings.storage or STORAGE:
                output = guest.run(image, SMP, storage)
                pairs = [(float(bare), float(load)) for bare, load in BARE.findall(output)]
                ratios = load_ratios(pairs)
                if len(ratios) != settings.runs:
                    raise SystemExit(f"bench: the guest on {storage} was not measured; it said:\n{output[-2000:]}")
                bare = statistics.median(bare for bare, _ in pairs)
                loaded = statistics.median(load for _, load in pairs[1:])
                row = {"storage": storage, "shape": shape, "type": kind, "ours": loaded, "theirs": bare}
                table.add(**row, ratio=statistics.median(ratios), least=min(ratios), most=max(ratios))


def stage_ends(marks: list[tuple[float, str]]) -> list[float]:
    """The seconds at which each of STAGES ended, from (seconds, all output so far)."""
    return [next((at for at, text in marks if pattern.search(text)), float("nan")) for _, pattern in STAGES]


def boot(settings: Settings, _limits: Limits, results: Results) -> None:
    note = f"The 15M shape in float32, QEMU TCG, -smp {SMP}, ahci, from QEMU's start: medians of each stage's end."
    columns = [
        Column("stage", "stage"),
        Column("seconds", "seconds", "{:.2f}"),
        *(Column(key, key, "{:.2f}") for key in ("end", "least", "most")),
    ]
    table = results.table("boot", "From power-on to the first token", note, columns)
    image = guest.image_with(llama2c_model("15m"), [PROMPT], {"temp": 0, "max_tokens": 4})
    runs: list[list[float]] = []
    for _ in range(settings.runs):
        marks: list[tuple[float, str]] = []

        def watch(at: float, output: bytes, marks: list[tuple[float, str]] = marks) -> None:
            marks.append((at, guest.plain(output)))

        guest.run(image, SMP, watch=watch)
        runs.append(stage_ends(marks))
    before = 0.0
    for (stage, _), ends in zip(STAGES, zip(*runs, strict=True), strict=True):
        end = statistics.median(ends)
        table.add(stage=stage, seconds=end - before, end=end, least=min(ends), most=max(ends))
        before = end
