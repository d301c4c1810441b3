# SPDX-License-Identifier: MIT
"""The 15M shape in QEMU's software emulation, by the shipped binary: each kernel set, and its own choice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.results import Column, Results
from benchmarks.settings import BUILD, FOLDER, QUICK, ROOT, SETS, Settings, llama2c_model, model, run_script

BINARY = BUILD / "BOOTX64.EFI"
NOTE = (
    "QEMU TCG, -cpu max, OVMF. The choice is the set that the program measured to be the fastest; the share is of the "
    "best forced one."
)
COLUMNS = [
    Column("type", "type"),
    Column("smp", "-smp", "{:d}"),
    Column("set", "kernels"),
    Column("chosen", "by"),
    Column("decode_tok_s", "tok/s", "{:.2f}"),
    Column("prefill_tok_s", "prefill", "{:.2f}"),
    Column("share", "of best", "{:.0%}"),
]


def boot(path: Path, smp: int, commands: list[str], timeout_s: int) -> str:
    """What the program says while it runs these commands on this model, then powers off."""
    script, config, image = FOLDER / "bench.txt", FOLDER / "llmk.cfg", FOLDER / "bench.img"
    script.write_text("\n".join([*commands, "/shutdown", ""]), encoding="utf-8")
    config.write_text("autorun = bench.txt\n", encoding="utf-8")
    files = ["--file", f"{script}:bench.txt", "--file", f"{config}:llmk.cfg"]
    run_script("make_image.py", "--efi", BINARY, "--output", image, "--models", path, *files)
    run = [sys.executable, str(ROOT / "scripts/run_qemu.py"), "--image", str(image), "--accel", "tcg", "--cpu", "max"]
    run += ["--smp", str(smp), "--timeout", str(timeout_s)]
    done = subprocess.run(run, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SystemExit(f"bench: QEMU ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", done.stdout.decode("latin-1")).replace("\r", "")


def emulated(settings: Settings, _limits: Limits, results: Results) -> None:
    table = results.table("emulated", "Under emulation", NOTE, COLUMNS)
    runs = 1 if settings.size == QUICK else 3
    forced = SETS[1:3] if settings.size == QUICK else SETS[1:]
    commands = [f"/bench --json -p 32 -n 24 -r {runs}"]
    commands += [f"/bench --json -p 16 -n 12 -r {runs} --kernels {name}" for name in forced]
    for kind, path in (("f32", llama2c_model("15m")), ("q8_0", model("15m", "q8_0"))):
        for smp in (1, 2):
            output = boot(path, smp, commands, 900)
            rows = [json.loads(line) for line in re.findall(r'^\{"model".*\}$', output, flags=re.MULTILINE)]
            if not rows:
                raise SystemExit(f"bench: the program under QEMU printed no figures:\n{output[-2000:]}")
            best = max(row["decode_tok_s"] for row in rows[1:] or rows)
            for number, row in enumerate(rows):
                speeds = {key: row[key] for key in ("decode_tok_s", "prefill_tok_s")}
                chosen = "force" if number else "the program"
                share = row["decode_tok_s"] / best
                table.add(type=kind, smp=smp, set=row["kernels"], chosen=chosen, share=share, **speeds)
