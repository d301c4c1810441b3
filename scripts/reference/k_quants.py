# SPDX-License-Identifier: MIT
"""Quantizes to Q4_K and Q6_K, which the `gguf` package only unpacks: plain rounding, nothing searched for.

For shapes with random weights and for tests: the blocks are valid, their scales those of the values. Layouts are those
of ggml-common.h: 256 values a block, in 8 or 16 parts, each with a scale (and Q4_K a minimum) in steps of the block's
binary16 scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BLOCK = 256
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def _half_bytes(values: Floats) -> Bytes:
    """(blocks,) to (blocks, 2): binary16, low byte first."""
    return values.astype("<f2").view(np.uint8).reshape(-1, 2)


def _rounded(values: Floats) -> Floats:
    """As a reader sees a binary16 scale; 1 where it is zero, so that one can divide by it."""
    seen = values.astype(np.float16).astype(np.float32)
    return np.where(seen == 0.0, np.float32(1.0), seen)


def _steps(values: Floats, step: Floats, low: int, high: int) -> npt.NDArray[np.int32]:
    steps: npt.NDArray[np.int32] = np.clip(np.rint(values / step), low, high).astype(np.int32)
    return steps


def quantize_q4_k(values: Floats) -> Bytes:
    """Values, a multiple of 256, to (blocks, 144) bytes: scale, scale of the minima, 12 bytes of both, 4-bit values."""
    parts = values.reshape(-1, 8, 32).astype(np.float32)
    minimum = np.maximum(-parts.min(axis=2), 0.0)
    scale = (parts.max(axis=2) + minimum) / 15.0
    d = scale.max(axis=1) / 63.0
    d_min = minimum.max(axis=1) / 63.0
    scales = _steps(scale, _rounded(d)[:, None], 0, 63)
    minima = _steps(minimum, _rounded(d_min)[:, None], 0, 63)
    step = np.maximum(_rounded(d)[:, None] * scales, np.float32(1e-30))[:, :, None]
    bias = (_rounded(d_min)[:, None] * minima)[:, :, None]
    quants = _steps(parts + bias, step, 0, 15)
    # Six bits each: those of parts 0 to 3 whole, those of 4 to 7 as four bits and, above the former's, two.
    packed = np.concatenate(
        [
            scales[:, :4] | (scales[:, 4:] >> 4 << 6),
            minima[:, :4] | (minima[:, 4:] >> 4 << 6),
            (scales[:, 4:] & 15) | ((minima[:, 4:] & 15) << 4),
        ],
        axis=1,
    )
    nibbles = (quants[:, 0::2] | (quants[:, 1::2] << 4)).reshape(-1, 128)
    return np.concatenate(
        [_half_bytes(d), _half_bytes(d_min), packed.astype(np.uint8), nibbles.astype(np.uint8)], axis=1
    )


def quantize_q6_k(values: Floats) -> Bytes:
    """Values, a multiple of 256, to (blocks, 210) bytes: low 4 bits, high 2 bits, int8 scales of 16 parts, scale."""
    parts = values.reshape(-1, 16, 16).astype(np.float32)
    scale = np.abs(parts).max(axis=2) / 31.0
    d = scale.max(axis=1) / 127.0
    scales = _steps(scale, _rounded(d)[:, None], 0, 127)
    step = np.maximum(_rounded(d)[:, None] * scales, np.float32(1e-30))[:, :, None]
    # (blocks, halves, quarters, 32): a byte of low bits serves quarters k and k + 2, one of high bits all four.
    quants = (_steps(parts, step, -32, 31) + 32).reshape(-1, 2, 4, 32)
    low = (quants[:, :, :2] & 15) | ((quants[:, :, 2:] & 15) << 4)
    high = sum(quants[:, :, k] >> 4 << 2 * k for k in range(4))
    columns = [low.reshape(-1, 128).astype(np.uint8), np.asarray(high, dtype=np.uint8).reshape(-1, 64)]
    return np.concatenate([*columns, scales.astype(np.uint8), _half_bytes(d)], axis=1)
