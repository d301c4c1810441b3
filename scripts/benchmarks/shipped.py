# SPDX-License-Identifier: MIT
"""The shipped binary: under tests/efisim beside the host tool, and in QEMU's software emulation."""

from __future__ import annotations

import json
import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import run_efisim

from benchmarks import guest
from benchmarks.limits import Limits
from benchmarks.native import SHORT_PROMPT, our_speed
from benchmarks.peers import PROMPT
from benchmarks.results import Column, Results
from benchmarks.settings import CASES, QUICK, SETS, Settings, llama2c_model, model
from benchmarks.turns import beside

EFISIM_TYPES = ("f32", "q8_0", "q4_k_m")
# Until a run is given up: without an answer the program waits for a key.
EFISIM_SECONDS = 300


def figures(output: str) -> list[dict[str, Any]]:
    """What /bench --json printed, one row a command."""
    rows = [json.loads(line) for line in re.findall(r'^\{"model".*\}$', output.replace("\r", ""), flags=re.MULTILINE)]
    if not rows:
        raise SystemExit(f"bench: the program printed no figures:\n{output[-2000:]}")
    return rows


def efisim_speed(path: Path, kernels: str, threads: int, prompt: int, decode: int, first: int) -> float:
    """Of decode, or of prefill where nothing is decoded. With several processors `first` tokens are decoded before, as
    a person would have taken some time to type: for 100 ms after the load the firmware starts no other processor, and
    the prompt of a small model is over by then."""
    bench = f"/bench --kernels {kernels}"
    commands = [f"{bench} --json -p {prompt} -n {decode} -r 1"]
    if threads > 1:
        commands.insert(0, f"{bench} -p {SHORT_PROMPT} -n {first} -r 3")
    with run_efisim.typed_volume(path, commands, {}) as volume:
        memory = path.stat().st_size // 2**30 + 4
        options = ["--processors", str(threads), "--memory", f"{memory}G", "--timeout", str(EFISIM_SECONDS)]
        words = run_efisim.command_for(volume, options)
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    return float(figures(done.stdout)[0]["decode_tok_s" if decode else "prefill_tok_s"])


def efisim(settings: Settings, _limits: Limits, results: Results) -> None:
    note = "BOOTX64.EFI as a process (tests/efisim), the host tool, BOOTX64.EFI, ...: the ratio should be one."
    columns = [
        *(Column(key, key) for key in ("shape", "type", "what")),
        Column("threads", "threads", "{:d}"),
        Column("ours", "BOOTX64.EFI", "{:.2f}"),
        Column("theirs", "llmk", "{:.2f}"),
        *(Column(key, key, "{:.3f}") for key in ("ratio", "least", "most")),
    ]
    table = results.table("efisim", "The binary itself", note, columns)
    for shape, kind in settings.cases():
        if kind not in EFISIM_TYPES and not settings.types:
            continue
        path, kernels = model(shape, kind), settings.sets(shape, kind)[-1]
        for what, prompt, decode in (("decode", SHORT_PROMPT, CASES[shape].decode), (f"prefill {PROMPT}", PROMPT, 0)):
            for threads in settings.threads:
                binary = partial(efisim_speed, path, kernels, threads, prompt, decode, CASES[shape].decode)
                host = partial(our_speed, path, kernels, threads, prompt, decode)
                found = beside(binary, host, settings.runs)
                table.add(shape=shape, type=kind, what=what, threads=threads, **vars(found))


def emulated(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        "The 15M shape in QEMU TCG, -cpu max, OVMF. The choice is the set that the program takes there; "
        "the share is of the best forced one."
    )
    columns = [
        Column("type", "type"),
        Column("smp", "-smp", "{:d}"),
        Column("set", "kernels"),
        Column("chosen", "by"),
        Column("decode_tok_s", "tok/s", "{:.2f}"),
        Column("prefill_tok_s", "prefill", "{:.2f}"),
        Column("share", "of best", "{:.0%}"),
    ]
    table = results.table("emulated", "Under emulation", note, columns)
    runs = 1 if settings.size == QUICK else 3
    forced = SETS[1:3] if settings.size == QUICK else SETS[1:]
    bench = f"/bench --json -p 16 -n 12 -r {runs}"
    # The program's own choice before and after the others: speeds drift.
    commands = [bench, *(f"{bench} --kernels {name}" for name in forced), bench]
    for kind, path in (("f32", llama2c_model("15m")), ("q8_0", model("15m", "q8_0"))):
        image = guest.image_with(path, commands)
        for smp in (1, 2):
            first, *others, last = figures(guest.run(image, smp))
            best = max(row["decode_tok_s"] for row in others or [first])
            for row in (first, *others, last):
                speeds = {key: row[key] for key in ("decode_tok_s", "prefill_tok_s")}
                chosen = "the program" if row is first or row is last else "force"
                share = row["decode_tok_s"] / best
                table.add(type=kind, smp=smp, set=row["kernels"], chosen=chosen, share=share, **speeds)
