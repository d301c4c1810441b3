# SPDX-License-Identifier: MIT
"""Lookup decoding, on and off: a trained model in a larger shape, since guesses depend on the words it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.results import Column, Results
from benchmarks.settings import FOLDER, LLMK, QUICK, ROOT, Settings, run_script
from benchmarks.turns import beside

TRAINED = ROOT / "models/default.gguf"
ASK = "Tell me a story about a girl and a flower."
# Settings, and what is said: the last answer is measured. Asked again and again and greedy, the model repeats much of
# what it has said, as a summary repeats its text; with a temperature and penalties for repetition it does not.
TALKS = {
    "told again": ("/temp 0", ASK, ASK, ASK),
    "new": ("/temp 0.9", "/seed 7", "/repeat 1.3 256", "/norepeat 3", ASK, ASK),
}
MOST_TOKENS = 160
STATS = re.compile(r"\[stats\] tokens=(\d+) time_ms=(\d+)(?:.* drafted=(\d+) accepted=(\d+))?")
# Figures and lines about time differ from run to run; the words must not.
TIMES = re.compile(r"\n?\[(?:stats|budget)\][^\n]*\n")
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


class Talk:
    """A conversation with lookup on or off: the speed of its last answer, and what was said, which must not differ."""

    def __init__(self, path: Path, name: str, kernels: str, threads: int, mode: str) -> None:
        self._folder = path.parent
        self._texts = [line for line in TALKS[name] if not line.startswith("/")]
        settings = [line for line in TALKS[name] if line.startswith("/")]
        self._lines = [*settings, f"/lookup {mode}", f"/max_tokens {MOST_TOKENS}", *self._texts]
        self._options = ["-t", str(threads), "--kernels", kernels]
        self.said = ""
        self.tokens = 0
        self.accepted = 0

    def __call__(self) -> float:
        command = [str(LLMK), "repl", "--esp", str(self._folder), *self._options]
        done = subprocess.run(command, input="\n".join(self._lines) + "\n", capture_output=True, text=True, check=True)
        turns = STATS.findall(done.stdout)
        if len(turns) != len(self._texts):
            raise SystemExit(f"bench: {len(turns)} answers to {len(self._texts)} texts: {done.stdout[-400:]}")
        tokens, time_ms, _, accepted = (int(figure or 0) for figure in turns[-1])
        self.said = TIMES.sub("", done.stdout.split(f"> {self._texts[0]}", 1)[1])
        self.tokens, self.accepted = tokens, accepted
        return 1000.0 * tokens / max(time_ms, 1)


def widened(shape: str) -> Path:
    """The model alone in a folder, which stands for a stick."""
    path = FOLDER / "lookup" / shape / f"{shape}.gguf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        run_script("widen_gguf.py", TRAINED, path, "--shape", shape)
    return path


def lookup(settings: Settings, _limits: Limits, results: Results) -> None:
    note = (
        "llmk repl, /lookup on, off, on, ...: the same words either way. models/default.gguf in a larger shape, "
        "float32; a story that is told a third time, and another one."
    )
    table = results.table("lookup", "Lookup decoding", note, COLUMNS)
    for shape in ("110m",) if settings.size == QUICK else ("110m", "tinyllama-1.1b"):
        path, kernels = widened(shape), settings.sets("110m", "f32")[-1]
        for text in TALKS:
            for threads in settings.threads:
                on, off = (Talk(path, text, kernels, threads, mode) for mode in ("on", "off"))
                found = beside(on, off, settings.runs)
                if on.said != off.said:
                    raise SystemExit(f"bench: lookup decoding changed what {path.name} says; that is a bug")
                row = {"shape": shape, "text": text, "threads": threads, "tokens": on.tokens}
                table.add(**row, accepted=on.accepted, **vars(found))
