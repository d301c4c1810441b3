# SPDX-License-Identifier: MIT
"""What the bench of loading makes of a guest's words. The figures themselves are never tested."""

from __future__ import annotations

import math

import pytest
from benchmarks import guest, loading, plot

LINE = (
    "m.bin: 58.0 MiB read in pieces of 4.0 MiB: {bare} MB/s (median of 5, 95.4 to 106.8); "
    "its weights were loaded at {load} MB/s, 90 % of it\n"
)


def test_each_load_is_held_against_the_loops_around_it() -> None:
    text = "".join(LINE.format(bare=bare, load=load) for bare, load in ((100.0, 10.0), (300.0, 180.0), (100.0, 100.0)))
    pairs = [(float(bare), float(load)) for bare, load in loading.BARE.findall(text)]
    assert pairs == [(100.0, 10.0), (300.0, 180.0), (100.0, 100.0)]
    assert loading.load_ratios(pairs) == pytest.approx([180 / 200, 100 / 200])
    assert loading.load_ratios(pairs[:1]) == []


def test_a_stage_ends_when_its_mark_is_first_seen() -> None:
    pieces = [
        (1.0, "BdsDxe: starting Boot0001\n"),
        (2.0, "LLM Bare-Metal 0.1.0\n"),
        (2.5, "[ATTN] SIMD path: SSE2\n"),
        (3.0, "m.bin [#...................] 1 MiB"),
        (3.4, "m.bin [####################] 9 MiB"),
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
    assert loading.stage_ends(marks) == [2.0, 2.5, 3.5, 3.6, 4.0]
    assert math.isnan(loading.stage_ends(marks[:4])[-1])


def test_a_guest_is_shown_without_what_moves_the_cursor() -> None:
    assert guest.plain(b"\x1b[2J\x1b[01;01H\x1b[?25lone\r\n\x1b[0mtwo") == "one\ntwo"


def test_a_bar_of_loading_is_its_share_of_the_loop() -> None:
    row = {"storage": "nvme", "shape": "110m", "type": "f32", "ours": 2400.0, "theirs": 3000.0, "ratio": 0.8}
    assert list(plot.bars("load", [row])) == [plot.Bar("110m f32, nvme", 0.8, "80%, 2400 MB/s")]
