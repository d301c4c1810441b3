# SPDX-License-Identifier: MIT
"""`llmk bench` on this machine: decode, prefill, long contexts, and the time until the first word."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.limits import Limits, prefill_tok_s
from benchmarks.results import Column, Results
from benchmarks.settings import CASES, FULL, LLMK, QUICK, Settings, model, output_of
from benchmarks.turns import beside, held

Json = dict[str, Any]
WHAT = [
    Column("shape", "shape"),
    Column("type", "type"),
    Column("set", "kernels"),
    Column("threads", "threads", "{:d}"),
]
SPEED = [
    Column("tok_s", "tok/s", "{:.2f}"),
    Column("limit_tok_s", "limit", "{:.2f}"),
    Column("share", "of limit", "{:.0%}"),
]
READ = [
    Column("tok_s", "tok/s", "{:.2f}"),
    Column("read_gb_s", "read, GB/s", "{:.1f}"),
    Column("limit_tok_s", "limit", "{:.2f}"),
    Column("share", "of limit", "{:.0%}"),
    Column("of_peak", "of peak read", "{:.0%}"),
]
SHORT_PROMPT = 8
PROMPTS = (128, 512)
CONTEXTS = (0, 512, 2048)
# Of the longer contexts, where the cache and not the weights make the difference.
CONTEXT_TYPES = ("f32", "q8_0")
FIRST_WORDS = "Once upon a time"


def bench(path: Path, kernels: str, threads: int, runs: int, prompt: int, decode: int, context: int = 0) -> Json:
    """One object of `llmk bench --json`."""
    options = ["-m", path, "--kernels", kernels, "-t", threads, "-r", runs, "-p", prompt, "-n", decode]
    options += ["--context", context] if context else []
    data: Json = json.loads(output_of(LLMK, "bench", *options, "--json"))
    return data


def our_speed(path: Path, kernels: str, threads: int, prompt: int, decode: int) -> float:
    """Of decode, or of prefill where nothing is decoded; and so is the next."""
    data = bench(path, kernels, threads, 1, prompt, decode)
    return float(data["decode_tok_s" if decode else "prefill_tok_s"])


def held_against_reads(data: Json, limits: Limits, threads: int) -> Json:
    """Decode beside a bare loop that reads the same weights in turns with it, and beside the fastest that was read."""
    speed = float(data["decode_tok_s"])
    share = float(data["read_share"])
    peak = limits.decode_tok_s(data["model_bytes"] + data["cache_bytes"], threads)
    read = float(data["read_gb_s"])
    return {
        "tok_s": speed,
        "read_gb_s": read,
        "limit_tok_s": speed / share,
        "share": share,
        "of_peak": speed / peak,
    }


def decode(settings: Settings, limits: Limits, results: Results) -> None:
    note = (
        "One token after another, and after each one a bare loop on the same processors that reads the weights that a "
        "token needs. Limit: what that loop reads / bytes of a token. Peak read: the fastest reading of the limits."
    )
    table = results.table("decode", "Decode", note, WHAT + READ)
    for shape, kind in settings.cases():
        path = model(shape, kind)
        for kernels in settings.sets(shape, kind):
            for threads in settings.threads:
                data = bench(path, kernels, threads, settings.runs, SHORT_PROMPT, CASES[shape].decode)
                row = {"shape": shape, "type": kind, "set": kernels, "threads": threads}
                table.add(**row, **held_against_reads(data, limits, threads))


def prefill(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        "A prompt at once. Limit: the peak of the set's instructions, of int8 for packed types, of float32 for F32 and "
        "F16, / operations of a token; before and after each prompt the peak is measured for half a second."
    )
    columns = [*WHAT, Column("prompt", "tokens", "{:d}"), *SPEED, Column("first_ms", "first token, ms", "{:.1f}")]
    table = results.table("prefill", "Prefill", note, columns)
    for shape, kind in settings.cases():
        path = model(shape, kind)
        for prompt in settings.prompts or PROMPTS:
            for kernels in prefill_sets(settings, shape, kind, prompt):
                for threads in settings.threads:
                    row = {"shape": shape, "type": kind, "set": kernels, "threads": threads, "prompt": prompt}
                    ours = partial(our_speed, path, kernels, threads, prompt, 0)
                    found = beside(partial(prefill_tok_s, shape, kind, kernels, threads), ours, settings.runs)
                    first_ms = 1000.0 * prompt / found.theirs
                    table.add(
                        **row, tok_s=found.theirs, limit_tok_s=found.ours, share=1 / found.ratio, first_ms=first_ms
                    )


def scaling(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        "A prompt on all processors, on one, on all, ...: how many times as fast as one those around it are. Limit: "
        "the same of the peak of the set's instructions, measured before each prompt."
    )
    columns = [*WHAT, Column("prompt", "tokens", "{:d}"), Column("tok_s", "tok/s", "{:.2f}")]
    columns += [Column("one_tok_s", "of one", "{:.2f}"), Column("ratio", "ratio", "{:.2f}")]
    columns += [Column("least", "least", "{:.2f}"), Column("most", "most", "{:.2f}")]
    columns += [Column("limit", "limit", "{:.2f}"), Column("of_limit", "of limit", "{:.0%}")]
    table = results.table("scaling", "Processors beside one", note, columns)
    threads, prompt = settings.threads[-1], (settings.prompts or PROMPTS)[0]
    for shape, kind in settings.cases() if threads > 1 else ():
        path = model(shape, kind)
        for kernels in settings.sets(shape, kind):
            peaks: dict[int, list[float]] = {threads: [], 1: []}
            together, alone = (partial(behind_peak, peaks[n], path, shape, kind, kernels, n, prompt) for n in peaks)
            found = beside(together, alone, settings.runs)
            limit = held(peaks[threads], peaks[1]).ratio
            row = {"shape": shape, "type": kind, "set": kernels, "threads": threads, "prompt": prompt}
            ratios = {"ratio": found.ratio, "least": found.least, "most": found.most}
            ratios |= {"limit": limit, "of_limit": found.ratio / limit}
            table.add(**row, tok_s=found.ours, one_tok_s=found.theirs, **ratios)


def behind_peak(
    peaks: list[float], path: Path, shape: str, kind: str, kernels: str, threads: int, prompt: int
) -> float:
    """The speed of a prompt, after what the peak would allow was added to `peaks`."""
    peaks.append(prefill_tok_s(shape, kind, kernels, threads))
    return our_speed(path, kernels, threads, prompt, 0)


def prefill_sets(settings: Settings, shape: str, kind: str, prompt: int) -> list[str]:
    """The longer prompt is for the best set, unless everything was asked for."""
    sets = settings.sets(shape, kind)
    asked_for = bool(settings.prompts) or settings.size == FULL or bool(settings.chosen_sets)
    if prompt >= CASES[shape].context or (prompt > PROMPTS[0] and settings.size == QUICK and not settings.prompts):
        return []
    return sets if prompt == PROMPTS[0] or asked_for else sets[-1:]


def context(settings: Settings, limits: Limits, results: Results) -> None:
    note = "Decode behind so many tokens. Limit: as of decode, the bytes of the cache counted as well."
    columns = [*WHAT, Column("context", "context", "{:d}"), *READ]
    table = results.table("context", "Long contexts", note, columns)
    for shape, kind in settings.cases():
        if settings.size != FULL and not settings.types and kind not in CONTEXT_TYPES:
            continue
        path, case = model(shape, kind), CASES[shape]
        sets = settings.sets(shape, kind)
        # The last of them stops short of the end of the model's context.
        room = case.context - case.decode - SHORT_PROMPT
        depths = sorted({min(depth, room) for depth in CONTEXTS})
        for kernels, threads, depth in product(sets if settings.chosen_sets else sets[-1:], settings.threads, depths):
            data = bench(path, kernels, threads, settings.runs, 0, case.decode, depth)
            row = {"shape": shape, "type": kind, "set": kernels, "threads": threads, "context": depth}
            table.add(**row, **held_against_reads(data, limits, threads))


def first_word(settings: Settings, _limits: Limits, results: Results) -> None:
    note = "From the start of the program to the first word of its answer, file in the system's cache, all processors."
    columns = [Column("shape", "shape"), Column("type", "type"), Column("seconds", "seconds", "{:.3f}")]
    table = results.table("first", "Time to the first word", note, columns)
    for shape, kind in settings.cases():
        path = model(shape, kind)
        times = [time_to_first_byte(path, settings.threads[-1]) for _ in range(settings.runs)]
        table.add(shape=shape, type=kind, seconds=statistics.median(times))


def time_to_first_byte(path: Path, threads: int) -> float:
    command = [LLMK, "generate", "-m", path, "-t", threads, "-p", FIRST_WORDS, "-n", 64, "--temp", 0]
    started = time.monotonic()
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        # The prompt comes first, as it was given.
        text = process.stdout.read(len(FIRST_WORDS) + 1)
        took = time.monotonic() - started
        process.kill()
    if len(text) <= len(FIRST_WORDS):
        raise SystemExit(f"bench: llmk said nothing with {path.name}")
    return took
