# SPDX-License-Identifier: MIT
"""Lookup decoding, on and off: a trained model in a larger shape, since guesses depend on the words it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.peers import beside
from benchmarks.results import Column, Results
from benchmarks.settings import FOLDER, LLMK, QUICK, ROOT, Settings, run_script

TRAINED = ROOT / "models/default.gguf"
GUESSES = 7
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play with her red ball in the park. One day, "
    "the ball rolled into the pond and Lily was sad. A big dog saw her and jumped into the water. The dog brought the "
    "ball back to Lily. Lily hugged the dog and said thank you. Then they played with the ball together all day long."
)
# A text that is told again, and one that begins.
TEXTS = {"retold": f"{STORY} {STORY} Once upon a time, there was a little", "new": "Once upon a time"}
TOKENS = {"retold": 400, "new": 150}
STATS = re.compile(r"\[stats\] tokens=(\d+) time_ms=\d+ tok_s=([\d.]+)(?:.* drafted=(\d+) accepted=(\d+))?")
COLUMNS = [
    Column("shape", "shape"),
    Column("text", "text"),
    Column("threads", "threads", "{:d}"),
    Column("tokens", "tokens", "{:d}"),
    Column("accepted", "guessed", "{:d}"),
    Column("ours", "on, tok/s", "{:.2f}"),
    Column("theirs", "off, tok/s", "{:.2f}"),
    *(Column(key, key, "{:.2f}") for key in ("ratio", "least", "most")),
]


class Run:
    """One text, with so many guesses: its speed, and what came out, which must not depend on the guesses."""

    def __init__(self, path: Path, text: str, threads: int, guesses: int) -> None:
        self._options = ["-m", path, "-t", threads, "-p", TEXTS[text], "-n", TOKENS[text], "--lookup", guesses]
        self.said = b""
        self.tokens = 0
        self.accepted = 0

    def __call__(self) -> float:
        command = [str(LLMK), "generate", *map(str, self._options), "--temp", "0"]
        done = subprocess.run(command, capture_output=True, check=True)
        found = STATS.search(done.stderr.decode(errors="replace"))
        if found is None:
            raise SystemExit("bench: llmk generate printed no [stats]")
        self.said, self.tokens, self.accepted = done.stdout, int(found[1]), int(found[4] or 0)
        return float(found[2])


def widened(shape: str) -> Path:
    path = FOLDER / f"default-{shape}.gguf"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        run_script("widen_gguf.py", TRAINED, path, "--shape", shape)
    return path


def lookup(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        "llmk generate --lookup, on, off, on, ...: greedy, the same text either way. models/default.gguf in a larger "
        "shape, float32; a story that is told again, and a new one."
    )
    table = results.table("lookup", "Lookup decoding", note, COLUMNS)
    for shape in ("110m",) if settings.size == QUICK else ("110m", "tinyllama-1.1b"):
        path = widened(shape)
        for text in TEXTS:
            for threads in settings.threads:
                on, off = (Run(path, text, threads, guesses) for guesses in (GUESSES, 0))
                found = beside(on, off, settings.runs)
                if on.said != off.said:
                    raise SystemExit(f"bench: lookup decoding changed what {path.name} says; that is a bug")
                row = {"shape": shape, "text": text, "threads": threads, "tokens": on.tokens}
                table.add(**row, accepted=on.accepted, **vars(found))
