#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/golden/data/quants: blocks of each packed tensor type, and what the `gguf` package unpacks them to.

For each TYPE: TYPE.bin (blocks as in a GGUF file) and TYPE.f32 (their values, float32). tests/check reads them; only
this script needs the package. To make them anew, from the root of the repository:

    .venv/bin/python -m pip install gguf==0.19.0
    .venv/bin/python scripts/reference/make_quant_fixtures.py

and `git diff --stat tests/golden/data/quants` must then be empty. All bytes come from SHAKE-256 of the type's name, so
they are the same everywhere; but the binary16 scales are made finite, since of a NaN only that it is one is promised,
and go round through all kinds: random, of a weight's size, subnormal, and the least and the greatest there are.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).resolve().parents[2] / "tests/golden/data/quants"
# Blocks of 1, 32 and 256 values: .bin and .f32 together stay below 6 KB.
BLOCK_COUNTS = {1: 960, 32: 32, 256: 4}
HALF_INFINITY = 0x7C00
HALF_SIGN = 0x8000

Bytes = npt.NDArray[np.uint8]
Halves = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Type:
    """A packed type: its name in the package, and where in a block its binary16 scales start."""

    name: str
    scales: tuple[int, ...] = ()

    @property
    def id(self) -> gguf.GGMLQuantizationType:
        return gguf.GGMLQuantizationType[self.name]


TYPES = (
    Type("F16"),
    Type("BF16"),
    Type("Q8_0", (0,)),
    Type("Q4_0", (0,)),
    Type("Q4_1", (0, 2)),
    Type("Q5_0", (0,)),
    Type("Q5_1", (0, 2)),
    Type("Q2_K", (80, 82)),
    Type("Q3_K", (108,)),
    Type("Q4_K", (0, 2)),
    Type("Q5_K", (0, 2)),
    Type("Q6_K", (208,)),
    Type("IQ4_NL", (0,)),
    Type("IQ4_XS", (0,)),
)

# Patterns that a conversion gets wrong first: zeros, subnormals' ends, normals' ends, infinities and quiet NaNs (what
# becomes of signalling ones depends on how NumPy was compiled).
SPECIAL_HALVES = {
    "F16": (0x0000, 0x0001, 0x0002, 0x01FF, 0x0200, 0x03FF, 0x0400, 0x0401, 0x3C00, 0x7BFF, 0x7C00, 0x7E00, 0x7FFF),
    "BF16": (0x0000, 0x0001, 0x007F, 0x0080, 0x3F80, 0x7F7F, 0x7F80, 0x7FC0, 0x7FFF),
}


def random_bytes(label: str, count: int) -> Bytes:
    digest = hashlib.shake_256(f"llmk {label}".encode()).digest(count)
    array: Bytes = np.frombuffer(digest, dtype=np.uint8).copy()
    return array


def random_halves(label: str, count: int) -> Halves:
    return random_bytes(label, 2 * count).view("<u2").astype(np.uint16)


def finite_scales(label: str, count: int) -> Halves:
    """Binary16 patterns, none infinite or NaN; four kinds in turn, with signs of all."""
    halves = random_halves(label, count)
    sign, magnitude = halves & HALF_SIGN, halves & (HALF_SIGN - 1)
    kinds = np.stack(
        [
            magnitude % HALF_INFINITY,  # anything
            0x1400 + magnitude % 0x1000,  # 2^-10 to 2^-6
            1 + magnitude % 0x3FF,  # subnormal
            np.where(magnitude % 2 == 0, 1, HALF_INFINITY - 1),  # the least and the greatest
        ]
    )
    turn = np.arange(count)
    scales: Halves = (kinds[turn % len(kinds), turn] | sign).astype(np.uint16)
    return scales


def make_plain(kind: Type) -> Bytes:
    """F16 and BF16: the special patterns with both signs, then random ones, NaNs made quiet."""
    special = np.array(SPECIAL_HALVES[kind.name], dtype=np.uint16)
    halves = random_halves(kind.name, BLOCK_COUNTS[1])
    infinity, quiet = (HALF_INFINITY, 0x0200) if kind.name == "F16" else (0x7F80, 0x0040)
    halves |= np.where((halves & (HALF_SIGN - 1)) > infinity, quiet, 0).astype(np.uint16)
    halves[: 2 * len(special)] = np.concatenate([special, special | HALF_SIGN])
    return halves.astype("<u2").view(np.uint8)


def make_blocks(kind: Type) -> Bytes:
    """The bytes of one fixture."""
    if not kind.scales:
        return make_plain(kind)
    values, size = gguf.GGML_QUANT_SIZES[kind.id]
    count = BLOCK_COUNTS[values]
    blocks = random_bytes(kind.name, count * size).reshape(count, size)
    for at in kind.scales:
        scales = finite_scales(f"{kind.name} {at}", count)
        blocks[:, at : at + 2] = scales.astype("<u2").view(np.uint8).reshape(count, 2)
    return blocks.reshape(-1)


def make(kind: Type, folder: Path) -> str:
    """Writes the two files; returns a line about them."""
    packed = make_blocks(kind)
    values: npt.NDArray[np.float32] = gguf.dequantize(packed, kind.id)
    if kind.scales and not np.isfinite(values).all():
        raise ValueError(f"{kind.name}: a value is not finite")
    path = folder / kind.name.lower()
    path.with_suffix(".bin").write_bytes(packed.tobytes())
    path.with_suffix(".f32").write_bytes(values.astype("<f4").tobytes())
    return f"{kind.name}: {packed.size} bytes, {values.size} values"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="folder (default: %(default)s)")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for kind in TYPES:
        print(make(kind, folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
