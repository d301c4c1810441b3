# SPDX-License-Identifier: MIT
"""Random llama2.c models that are the same bytes on every machine and with every NumPy, written tensor by tensor.

Weights come from SplitMix64 by index (a counter, no state), so any part can be made alone and files of gigabytes need
a few megabytes of memory. The scales make a model that talks: the blocks outweigh the embedding in the residual stream,
so a shared head does not just repeat the last token, and the rows of <unk>, BOS, EOS and the byte tokens are small, so
that greedy decoding stays with printable pieces and never ends at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reference.llama2c_format import Config, FloatArray, TensorSpec, layout, pack_header, tensor_bytes
from reference.spm_ref import FIRST_BYTE, FIRST_PIECE

CHUNK_VALUES = 1 << 19
EMBEDDING_STD = 0.12
SPECIAL_ROW_SCALE = 0.05
BYTE_ROW_SCALE = 0.25
# Standard deviation of a matrix is gain / sqrt(columns).
GAINS = {"wq": 1.6, "wk": 1.6, "wv": 1.5, "wo": 1.5, "w1": 1.5, "w2": 2.0, "w3": 1.5}


def _split_mix(seed: int, start: int, count: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea, Flood 2014) at counters start .. start + count - 1 of a stream."""
    z = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64((seed * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def normals(seed: int, start: int, count: int) -> FloatArray:
    """Nearly normal, mean 0, variance 1: the sum of the four 16-bit parts of one random word. No logarithm or cosine is
    used, whose last bits depend on the library."""
    z = _split_mix(seed, start, count)
    total = np.zeros(count, dtype=np.float64)
    for shift in (0, 16, 32, 48):
        total += ((z >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64)
    # The mean of a part is 65535 / 2, its variance 65536^2 / 12.
    return np.asarray((total - 2.0 * 65535.0) / (65536.0 / np.sqrt(3.0)), dtype=np.float64)


def _values(config: Config, spec: TensorSpec, seed: int, start: int, count: int) -> FloatArray:
    """Values start .. start + count - 1 of a tensor, in order; start and count are multiples of the row length."""
    name = spec.name.split(".")[0]
    columns = spec.shape[-1]
    if name.startswith("freq_cis"):
        # Readers of version 0 skip these, but a true file has true values.
        position = np.arange(start // columns, (start + count) // columns)
        angle = np.outer(position, 10000.0 ** (-np.arange(0, config.head_size, 2) / config.head_size))
        return np.asarray(np.cos(angle) if name.endswith("real") else np.sin(angle), dtype=np.float64)
    random = normals(seed, start, count)
    if name.startswith("rms"):
        return 1.0 + 0.15 * random
    if name in GAINS:
        return np.asarray(random * (GAINS[name] / np.sqrt(columns)), dtype=np.float64)
    rows = np.asarray(random.reshape(-1, columns) * EMBEDDING_STD, dtype=np.float64)
    first = start // columns
    rows[: max(0, FIRST_BYTE - first)] *= SPECIAL_ROW_SCALE
    rows[max(0, FIRST_BYTE - first) : max(0, FIRST_PIECE - first)] *= BYTE_ROW_SCALE
    return rows


def random_model(config: Config, seed: int) -> Iterator[bytes]:
    """The bytes of a model file, in pieces."""
    yield pack_header(config)
    for number, spec in enumerate(layout(config)):
        columns = spec.shape[-1]
        # A quantized tensor is all values, then all scales: it is made whole. The others are made a few rows at a time.
        step = spec.count if spec.quantized else max(1, CHUNK_VALUES // columns) * columns
        for start in range(0, spec.count, step):
            count = min(step, spec.count - start)
            values = _values(config, spec, seed * 4096 + number, start, count)
            yield from tensor_bytes(spec, values, config.group_size)


def write_random_model(path: Path, config: Config, seed: int) -> None:
    config.check()
    with path.open("wb") as file:
        for part in random_model(config, seed):
            file.write(part)
