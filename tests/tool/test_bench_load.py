# SPDX-License-Identifier: MIT
"""What the bench of loading makes of a guest's words. The figures themselves are never tested."""

from __future__ import annotations

import math

import bench_load
import pytest

LINE = (
    "m.bin: 58.0 MiB read in pieces of 4.0 MiB: {bare} MB/s (median of 5, 95.4 to 106.8); "
    "its weights were loaded at {load} MB/s, 90 % of it\n"
)


def test_each_load_is_held_against_the_loops_around_it() -> None:
    text = "".join(LINE.format(bare=bare, load=load) for bare, load in ((100.0, 10.0), (300.0, 180.0), (100.0, 100.0)))
    pairs = [(float(bare), float(load)) for bare, load in bench_load.BARE.findall(text)]
    assert pairs == [(100.0, 10.0), (300.0, 180.0), (100.0, 100.0)]
    assert bench_load.load_ratios(pairs) == pytest.approx([180 / 200, 100 / 200])
    assert bench_load.load_ratios(pairs[:1]) == []


def test_a_stage_ends_when_its_mark_is_first_seen() -> None:
    pieces = [
        (1.0, "BdsDxe: starting Boot0001\n"),
        (2.0, "LLM Bare-Metal 0.1.0\n"),
        (2.5, "[ATTN] SIMD path: SSE2\n"),
        (3.0, "m.bin [#...................] 1 MiB"),
        (3.5, "\nType the start. /help lists commands\n> "),
        (3.6, "Once upon a time\n"),
        (4.0, " there"),
        (4.5, " was"),
    ]
    marks = []
    seen = ""
    for at, piece in pieces:
        seen += piece
        marks.append((at, seen))
    assert bench_load.stage_ends(marks) == [2.0, 2.5, 3.0, 3.5, 3.6, 4.0]
    assert math.isnan(bench_load.stage_ends(marks[:4])[-1])
