#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed of lookup decoding: a conversation whose answers repeat, and a text that does not, with and without (A B A).

What lookup brings depends on the words, so they must be a trained model's, and on the weights being read from memory,
so it must be large: the default model is put into a larger shape (widen_gguf.py), which says the same and costs what
that shape costs. Asked for the same story again and again, it repeats much of what it said, as a summary repeats its
text. Nothing passes or fails; figures are medians of rounds. Answers with and without are compared, and must be equal.

    .venv/bin/python scripts/bench_lookup.py --shape tinyllama-1.1b
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
LLMK = BUILD / "host/llmk"
STATS = re.compile(
    r"\[stats\] tokens=(\d+) time_ms=(\d+) tok_s=[\d.]+ prefill_tokens=\d+ prefill_ms=\d+"
    r"(?: drafted=(\d+) accepted=(\d+))?"
)
ASK = "Tell me a story about a girl and a flower."
# Name, settings, what is said; the last answer is measured.
CASES = {
    "told again": (("/temp 0",), (ASK, ASK, ASK)),
    "plain text": (("/temp 0.9", "/seed 7", "/repeat 1.3 256", "/norepeat 3"), (ASK, ASK)),
}


@dataclass(frozen=True)
class Turn:
    tokens: int
    tok_s: float
    drafted: int
    accepted: int


@dataclass(frozen=True)
class Lookup:
    """A case, both ways."""

    case: str
    shape: str
    kernels: str
    threads: int
    tokens: int
    tok_s_without: float
    tok_s_with: float
    drafted: int
    accepted: int

    @property
    def ratio(self) -> float:
        return self.tok_s_with / self.tok_s_without


def volume(shape: str) -> Path:
    """A folder with the widened model alone; made once."""
    folder = BUILD / "bench/lookup" / shape
    path = folder / f"{shape}.gguf"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if shape == "default":
            shutil.copyfile(ROOT / "models/default.gguf", path)
        else:
            script = ROOT / "scripts/widen_gguf.py"
            command = [sys.executable, script, ROOT / "models/default.gguf", path, "--shape", shape]
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return folder


def talk(folder: Path, case: str, lookup: str, kernels: str, threads: int, max_tokens: int) -> tuple[str, Turn]:
    """What was said, and the last turn's figures."""
    settings, texts = CASES[case]
    lines = [*settings, f"/lookup {lookup}", f"/max_tokens {max_tokens}", *texts]
    command = [str(LLMK), "repl", "--esp", str(folder), "-t", str(threads), "--kernels", kernels]
    result = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    turns = STATS.findall(result.stdout)
    if len(turns) != len(texts):
        raise RuntimeError(f"{folder}: {len(turns)} answers to {len(texts)} texts: {result.stdout[-400:]}")
    tokens, time_ms, drafted, accepted = (int(figure or 0) for figure in turns[-1])
    # Figures and lines about time differ from run to run; the words must not.
    words = result.stdout.split(f"> {texts[0]}", 1)[1]
    words = re.sub(r"\n?\[(?:stats|budget)\][^\n]*\n", "", words)
    return words, Turn(tokens, 1000.0 * tokens / max(time_ms, 1), drafted, accepted)


def measure(shape: str, case: str, kernels: str, threads: int, rounds: int, max_tokens: int = 160) -> Lookup:
    folder = volume(shape)
    without: list[float] = []
    ahead: list[float] = []
    for _ in range(rounds):
        words, plain = talk(folder, case, "off", kernels, threads, max_tokens)
        guessed_words, guessed = talk(folder, case, "on", kernels, threads, max_tokens)
        _, again = talk(folder, case, "off", kernels, threads, max_tokens)
        if guessed_words != words:
            raise RuntimeError(f"{shape}, {case}: another answer with lookup than without")
        without += [plain.tok_s, again.tok_s]
        ahead.append(guessed.tok_s)
    speeds = (statistics.median(without), statistics.median(ahead))
    return Lookup(case, shape, kernels, threads, guessed.tokens, *speeds, guessed.drafted, guessed.accepted)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shape", choices=("default", "110m", "tinyllama-1.1b"), default="110m")
    parser.add_argument("--kernels", default="avx2")
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=160, help="the longest answer (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one object a line")
    args = parser.parse_args()
    for case in CASES:
        figures = measure(args.shape, case, args.kernels, args.threads, args.rounds, args.tokens)
        if args.json:
            print(json.dumps({**asdict(figures), "ratio": figures.ratio}), flush=True)
            continue
        print(
            f"{figures.shape} {figures.kernels} x{figures.threads}, {figures.case}: {figures.tok_s_without:.2f} tok/s "
            f"without, {figures.tok_s_with:.2f} with lookup, {figures.ratio:.2f}x ({figures.accepted} of "
            f"{figures.drafted} guesses came true in {figures.tokens} tokens)",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
