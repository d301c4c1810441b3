# SPDX-License-Identifier: MIT
"""What the machine allows: read bandwidth and arithmetic peaks, measured in the run that is held against them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import make_shape_gguf

from benchmarks.results import Column, Results
from benchmarks.settings import BUILD, CASES, Settings, output_of

PROGRAM = BUILD / "tests/roofline"
# The peak that a kernel set can reach on floats, and on int8: the set of instructions that it does the products with.
FLOAT_PEAK = {"avx_vnni": "avx2", "avx512_vnni": "avx512", "amx_int8": "avx512", "amx_bf16": "avx512"}
INT8_PEAK = {"amx_int8": "avx512_vnni", "amx_bf16": "avx512_vnni"}
FLOAT_TYPES = ("f32", "f16")
NOTE = (
    "Read: sums of a buffer in memory, best of several ways. Peaks: multiply-adds in registers, two operations each; "
    "int8 of SSE2 on values widened before."
)


@dataclass(frozen=True)
class Limits:
    read_gb_s: dict[int, float]  # by threads
    peaks: dict[tuple[str, str, int], float]  # set, "float" or "int8", threads: 1e9 operations a second

    def decode_tok_s(self, bytes_per_token: float, threads: int) -> float:
        return self.read_gb_s[threads] * 1e9 / bytes_per_token


def operations(shape: str) -> int:
    """Of a prefill token: a multiplication and an addition for each weight but the tables' and the head's, which is
    needed for the last token only."""
    tensors = make_shape_gguf.tensors_of(make_shape_gguf.SHAPES[CASES[shape].shape])
    return sum(2 * t.shape[0] * t.shape[1] for t in tensors if len(t.shape) == 2 and t.name.startswith("blk."))


def peak_of(kind: str, kernels: str) -> tuple[str, str]:
    """The set whose instructions do the products of a type, and on what: "float" or "int8"."""
    floats = kind in FLOAT_TYPES
    return (FLOAT_PEAK if floats else INT8_PEAK).get(kernels, kernels), "float" if floats else "int8"


def prefill_tok_s(shape: str, kind: str, kernels: str, threads: int) -> float:
    """What the peak allows, as it is now: measured when called, and as a mean, since a prompt takes as long."""
    return float(output_of(PROGRAM, "--peak", *peak_of(kind, kernels), threads)) * 1e9 / operations(shape)


def measure(settings: Settings) -> Limits:
    data = json.loads(output_of(PROGRAM, *settings.threads))
    peaks = {(row["set"], row["kind"], int(row["threads"])): float(row["gop_s"]) for row in data["peaks"]}
    return Limits({int(count): float(speed) for count, speed in data["read_gb_s"].items()}, peaks)


def print_limits(limits: Limits, results: Results, name: str, title: str) -> None:
    columns = [Column("what", "what"), Column("threads", "threads", "{:d}"), Column("value", "1e9 / s", "{:.1f}")]
    table = results.table(name, title, NOTE, columns)
    for count, speed in limits.read_gb_s.items():
        table.add(what="bytes read", threads=count, value=speed)
    for (name, kind, count), speed in limits.peaks.items():
        table.add(what=f"{kind} {name}", threads=count, value=speed)
