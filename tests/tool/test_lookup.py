# SPDX-License-Identifier: MIT
"""Lookup decoding says what would have been said without it: fifty prompts on real weights, greedy and drawn.

The default model. Guesses are run whether they pay or not, so that nothing here hangs on the clock; that some came true
and some did not is counted, or the comparison would prove nothing.
Which kernels: each prompt meets one of the sets, each set as many of them; the scalar set, the slowest, the
shortest answers.
"""

from __future__ import annotations

import re

import pytest
from support import ROOT, Tool

MODEL = ROOT / "models/default.gguf"
PROMPTS = 50
NOUNS = ("cat", "dog", "bird", "boy", "girl", "tree", "ball", "boat", "cake", "flower")
STEPS = {"scalar": 90, "sse2": 160}
MOST_STEPS = 220
# A cool temperature repeats itself; the chain's other links are on in turn.
DRAWN = (
    ("--temp", "0.3", "--top-p", "0.95"),
    ("--temp", "0.5", "--top-k", "40", "--min-p", "0.05", "--loop-escape"),
    ("--temp", "0.4", "--repeat", "1.1", "--norepeat", "6", "--top-p", "1"),
)


def prompt(number: int) -> str:
    """A story's beginning, told twice, so that there is something to guess."""
    one, other = NOUNS[number % len(NOUNS)], NOUNS[(number * 3 + number // len(NOUNS) + 1) % len(NOUNS)]
    start = f"Once upon a time, there was a {one} who had a {other}. The {one} loved the {other} very much."
    return f'{start} The {one} said, "I love my {other}." {start} The {one} said, "I'


def said(llmk: Tool, kernels: str, number: int, lookup: int, *flags: str) -> tuple[bytes, int, int]:
    """The ids, and how many tokens were guessed and came true."""
    result = llmk(
        *(
            "generate",
            "-m",
            MODEL,
            "--kernels",
            kernels,
            "-p",
            prompt(number),
            "-n",
            STEPS.get(kernels, MOST_STEPS),
            "--ids",
        ),
        *("--lookup", lookup, "--lookup-always", *flags),
    )
    assert result.returncode == 0, result.stderr
    counts = re.search(rb"drafted=(\d+) accepted=(\d+)", result.stderr)
    return result.stdout, *((int(counts[1]), int(counts[2])) if counts else (0, 0))


def check(llmk: Tool, kernels: str, number: int, *flags: str) -> tuple[int, int]:
    plain, *none = said(llmk, kernels, number, 0, *flags)
    assert none == [0, 0]
    ahead, drafted, accepted = said(llmk, kernels, number, 7, *flags)
    assert ahead == plain, f"prompt {number}, {flags}"
    return drafted, accepted


@pytest.mark.parametrize("draw", ["greedy", "drawn"])
def test_fifty_prompts(llmk: Tool, cpu_kernels: list[str], kernels: str, draw: str) -> None:
    drafted = accepted = 0
    for number in range(cpu_kernels.index(kernels), PROMPTS, len(cpu_kernels)):
        flags = ("--temp", "0") if draw == "greedy" else (*DRAWN[number % len(DRAWN)], "--seed", str(number))
        counts = check(llmk, kernels, number, *flags)
        drafted, accepted = drafted + counts[0], accepted + counts[1]
    assert accepted > 0
    assert drafted > accepted, "some guesses are wrong, and leave nothing"
