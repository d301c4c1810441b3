# SPDX-License-Identifier: MIT
"""Reads .safetensors files: https://github.com/huggingface/safetensors, "Format".

Eight bytes of header length, the header in JSON, then the tensors' bytes. Everything the header says is checked before
it is used; the values are read from the file when they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import ConvertError
from convert.tensors import Floats, Tensor

MAX_HEADER_BYTES = 100_000_000
# The types of weights, with NumPy's type of the same size. NumPy has no bfloat16: it is the upper half of a float32.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
# Masks and counters of some checkpoints; no weights, so they are listed but cannot be read as floats.
OTHER_DTYPES = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8}
OTHER_DTYPES |= {"F8_E4M3": 1, "F8_E5M2": 1}


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the data start."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little") if size >= 8 else 0
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise ConvertError(
                f"{path}: its header should take {length} bytes, the file has {size}: it is cut short or not a "
                "safetensors file"
            )
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ConvertError(f"{path}: the header is not JSON ({error}): no safetensors file") from error
    if not isinstance(header, dict):
        raise ConvertError(f"{path}: the header is not an object: no safetensors file")
    header.pop("__metadata__", None)
    return header, 8 + length


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def pair(entry: dict[str, Any], path: Path, name: str) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Shape and offsets of a tensor's entry."""
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not all(is_count(n) for n in shape):
        raise ConvertError(f"{path}: tensor {name}: 'shape' is {shape!r}, expected a list of counts")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(is_count(n) for n in offsets):
        raise ConvertError(f"{path}: tensor {name}: 'data_offsets' is {offsets!r}, expected two offsets")
    return tuple(shape), (offsets[0], offsets[1])


def row_reader(path: Path, name: str, dtype: str, shape: tuple[int, ...], start: int) -> Callable[[int, int], Floats]:
    """Reads rows of a tensor whose bytes start at `start` of the file."""

    def rows(begin: int, end: int) -> Floats:
        if dtype not in DTYPES:
            raise ConvertError(f"{path}: tensor {name} is of type {dtype}; weights are one of {', '.join(DTYPES)}")
        stored = np.dtype(DTYPES[dtype])
        row_values = prod(shape[1:])
        count = (end - begin) * row_values
        values = np.fromfile(path, stored, count, offset=start + begin * row_values * stored.itemsize)
        if values.size != count:
            raise ConvertError(f"{path}: tensor {name}: the file ends inside it")
        if dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32, copy=False).reshape((end - begin, *shape[1:]))

    return rows


def read_tensor(path: Path, name: str, entry: object, start: int, size: int) -> Tensor:
    if not isinstance(entry, dict):
        raise ConvertError(f"{path}: tensor {name}: its entry in the header is no object")
    dtype = str(entry.get("dtype"))
    item_bytes = np.dtype(DTYPES[dtype]).itemsize if dtype in DTYPES else OTHER_DTYPES.get(dtype)
    if item_bytes is None:
        raise ConvertError(f"{path}: tensor {name} is of type {dtype}; weights are one of {', '.join(DTYPES)}")
    shape, (begin, end) = pair(entry, path, name)
    if end - begin != prod(shape) * item_bytes:
        raise ConvertError(
            f"{path}: tensor {name}: {end - begin} bytes for the shape {list(shape)} of {dtype}, "
            f"expected {prod(shape) * item_bytes}"
        )
    if start + end > size:
        raise ConvertError(
            f"{path}: tensor {name} ends at byte {start + end}, the file has {size}: it is cut short; get it again"
        )
    # A single number becomes a row of one, so that every tensor has a first dimension.
    shape = shape or (1,)
    return Tensor(name, shape, path, row_reader(path, name, dtype, shape, start + begin))


def read_safetensors(path: Path) -> dict[str, Tensor]:
    header, start = read_header(path)
    size = path.stat().st_size
    return {name: read_tensor(path, name, entry, start, size) for name, entry in header.items()}
