# SPDX-License-Identifier: MIT
"""The llama2.c checkpoint formats (versions 0, 1, 2) as a list of tensors: one description for reading and writing.

This file knows bytes, not arithmetic: headers, the order and shape of the tensors, and the quantization of int8 groups.
The forward pass is in llama_ref.py.

    version 0 (legacy)   7 int32, float32 tensors; vocab_size < 0 says that the head is separate; no magic
    version 1 ("ak42")   magic, version, 7 int32, uint8 shared_classifier, zeros up to 256 bytes, float32 tensors
    version 2 ("ak42")   as 1, with int32 group_size after shared_classifier (at byte 37: unaligned); norms are float32,
                         every matrix is int8 values followed by one float32 scale a group

Source: export.py, run.c and runq.c of karpathy/llama2.c (the format; no code of it is here).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Int8Array = npt.NDArray[np.int8]

MAGIC = 0x616B3432
HEADER_BYTES_V0 = 28
HEADER_BYTES = 256  # versions 1 and 2
HEADER_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")


@dataclass(frozen=True)
class Config:
    """Hyper-parameters, with the names that llama2.c gives them."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    shared_classifier: bool = True
    version: int = 0
    group_size: int = 0  # version 2 only

    @property
    def head_size(self) -> int:
        return self.dim // self.n_heads

    @property
    def kv_dim(self) -> int:
        return self.head_size * self.n_kv_heads

    def check(self) -> None:
        """Raises ValueError with the field's name when the numbers do not make a model."""
        for field in HEADER_FIELDS:
            if getattr(self, field) <= 0:
                raise ValueError(f"{field} is {getattr(self, field)}: it must be positive")
        if self.dim % self.n_heads:
            raise ValueError(f"n_heads {self.n_heads} does not divide dim {self.dim}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_kv_heads {self.n_kv_heads} does not divide n_heads {self.n_heads}")
        if self.head_size % 2:
            raise ValueError(f"dim / n_heads is {self.head_size}: RoPE needs an even head size")
        group = self.group_size
        if self.version == 2 and (group <= 0 or self.dim % group or self.hidden_dim % group):
            raise ValueError(f"group_size {self.group_size} does not divide dim and hidden_dim")


@dataclass(frozen=True)
class TensorSpec:
    """One run of bytes in the file. `shape` is (n_layers, rows, columns), (rows, columns) or (n,)."""

    name: str
    shape: tuple[int, ...]
    quantized: bool = False

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=object))

    def size_bytes(self, group_size: int) -> int:
        return self.count + 4 * (self.count // group_size) if self.quantized else 4 * self.count


def layout(c: Config) -> list[TensorSpec]:
    """The tensors in the order of the file. A quantized (n_layers, ...) tensor is stored layer by layer, values then
    scales, so that each layer of it is a tensor of its own here: `wq.0`, `wq.1`, ..."""
    matrices = {
        "wq": (c.dim, c.dim),
        "wk": (c.kv_dim, c.dim),
        "wv": (c.kv_dim, c.dim),
        "wo": (c.dim, c.dim),
        "w1": (c.hidden_dim, c.dim),
        "w2": (c.dim, c.hidden_dim),
        "w3": (c.hidden_dim, c.dim),
    }
    embedding = TensorSpec("token_embedding", (c.vocab_size, c.dim), quantized=c.version == 2)
    rms_att = TensorSpec("rms_att", (c.n_layers, c.dim))
    rms_ffn = TensorSpec("rms_ffn", (c.n_layers, c.dim))
    rms_final = TensorSpec("rms_final", (c.dim,))
    head = [] if c.shared_classifier else [TensorSpec("wcls", (c.vocab_size, c.dim), quantized=c.version == 2)]

    def stacked(*names: str) -> list[TensorSpec]:
        if c.version == 2:
            return [TensorSpec(f"{n}.{i}", matrices[n], quantized=True) for n in names for i in range(c.n_layers)]
        return [TensorSpec(n, (c.n_layers, *matrices[n])) for n in names]

    if c.version == 0:
        # Cosine and sine tables that early writers stored; readers compute their own.
        freq = (c.seq_len, c.head_size // 2)
        tables = [TensorSpec("freq_cis_real", freq), TensorSpec("freq_cis_imag", freq)]
        attention, ffn = stacked("wq", "wk", "wv", "wo"), stacked("w1", "w2", "w3")
        return [embedding, rms_att, *attention, rms_ffn, *ffn, rms_final, *tables, *head]
    return [rms_att, rms_ffn, rms_final, embedding, *stacked("wq", "wk", "wv", "wo", "w1", "w2", "w3"), *head]


def file_size_bytes(c: Config) -> int:
    header = HEADER_BYTES_V0 if c.version == 0 else HEADER_BYTES
    return header + sum(t.size_bytes(c.group_size) for t in layout(c))


def pack_header(c: Config) -> bytes:
    """The header as it stands in the file. Does not check: bad headers are made with it too."""
    fields = [int(getattr(c, f)) for f in HEADER_FIELDS]
    if c.version == 0:
        if not c.shared_classifier:
            fields[5] = -fields[5]
        return struct.pack("<7i", *fields)
    header = struct.pack("<Ii7iB", MAGIC, c.version, *fields, int(c.shared_classifier))
    if c.version == 2:
        header += struct.pack("<i", c.group_size)
    return header.ljust(HEADER_BYTES, b"\0")


def read_header(data: bytes) -> Config:
    """Raises ValueError with the field's name for a header that makes no model."""
    if len(data) < HEADER_BYTES_V0:
        raise ValueError(f"size {len(data)} is less than a header")
    if struct.unpack_from("<I", data)[0] != MAGIC:
        dim, hidden, layers, heads, kv_heads, vocab, seq = struct.unpack_from("<7i", data)
        shared, version, group = int(vocab >= 0), 0, 0
    else:
        if len(data) < HEADER_BYTES:
            raise ValueError(f"size {len(data)} is less than a header")
        version, dim, hidden, layers, heads, kv_heads, vocab, seq, shared, group = struct.unpack_from("<8iBi", data, 4)
        if version not in (1, 2):
            raise ValueError(f"version {version} is not known")
        if shared not in (0, 1):
            raise ValueError(f"shared_classifier is {shared}: it must be 0 or 1")
    vocab = abs(vocab) if version == 0 else vocab
    group = group if version == 2 else 0
    config = Config(dim, hidden, layers, heads, kv_heads, vocab, seq, shared == 1, version, group)
    config.check()
    return config


def quantize(values: npt.NDArray[np.floating], group_size: int) -> tuple[Int8Array, Float32Array]:
    """Symmetric int8 of groups along the last axis: scale = max|v| / 127, q = round(v / scale), halves away from zero.

    Values keep their shape; scales have one entry a group, in order. A group of zeros has scale 0 and values 0."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1, group_size)
    scales = np.abs(flat).max(axis=1) / 127.0
    ratio = np.divide(flat, scales[:, None], out=np.zeros_like(flat), where=scales[:, None] > 0)
    rounded = np.copysign(np.floor(np.abs(ratio) + 0.5), ratio)
    return rounded.astype(np.int8).reshape(np.shape(values)), scales.astype(np.float32)


@dataclass(frozen=True)
class QuantizedTensor:
    """int8 values (rows, columns) and float scales (rows, columns / group_size), both widened to float64."""

    values: FloatArray
    scales: FloatArray

    def dequantized(self) -> FloatArray:
        return self.values * np.repeat(self.scales, self.values.shape[1] // self.scales.shape[1], axis=1)


def read_tensor(data: bytes, offset: int, spec: TensorSpec, group_size: int) -> FloatArray | QuantizedTensor:
    if not spec.quantized:
        return np.frombuffer(data, "<f4", spec.count, offset).reshape(spec.shape).astype(np.float64)
    rows, columns = spec.shape
    values = np.frombuffer(data, np.int8, spec.count, offset).reshape(spec.shape).astype(np.float64)
    scales = np.frombuffer(data, "<f4", spec.count // group_size, offset + spec.count).astype(np.float64)
    return QuantizedTensor(values, scales.reshape(rows, columns // group_size))


def read_model(path: Path) -> tuple[Config, dict[str, FloatArray | QuantizedTensor]]:
    """All tensors of a file by name. Raises ValueError when the header is wrong or the size is not exact."""
    data = path.read_bytes()
    config = read_header(data)
    # A layer is far more than a byte: no list of 2^30 layers is made to find that the file is too short.
    if config.n_layers > len(data) or len(data) != file_size_bytes(config):
        raise ValueError(f"size is {len(data)} bytes: not what the header asks for")
    offset = HEADER_BYTES_V0 if config.version == 0 else HEADER_BYTES
    tensors: dict[str, FloatArray | QuantizedTensor] = {}
    for spec in layout(config):
        tensors[spec.name] = read_tensor(data, offset, spec, config.group_size)
        offset += spec.size_bytes(config.group_size)
    return config, tensors


def tensor_bytes(spec: TensorSpec, values: npt.NDArray[np.floating], group_size: int) -> Iterable[bytes]:
    """The bytes of a tensor in pieces; `values` are its real numbers before quantization."""
    if not spec.quantized:
        yield values.astype("<f4").tobytes()
        return
    integers, scales = quantize(values, group_size)
    yield integers.tobytes()
    yield scales.astype("<f4").tobytes()
