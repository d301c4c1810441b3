# SPDX-License-Identifier: MIT
"""Writes a model as a GGUF file, tensor by tensor, and reads it again to see that it is what was meant.

Everything goes into a file of another name, which gets its own when it has been validated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import dequantize, quant_shape_to_byte_shape, quantize

from convert.architectures import kind_of
from convert.errors import ConvertError
from convert.tensors import CHUNK_VALUES, Floats, Tensor

Type = gguf.GGMLQuantizationType
TYPES = {"f32": Type.F32, "f16": Type.F16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
# Tensors that stay float32 whatever is asked for: small, or added to activations as they are.
ALWAYS_F32 = ("position_embd", "rope_freqs", "rope_factors_long", "rope_factors_short")
# Called with the bytes that were done.
Progress = Callable[[int], object]


@dataclass(frozen=True)
class Planned:
    """A tensor and how it is stored."""

    tensor: Tensor
    type: Type

    @property
    def byte_shape(self) -> tuple[int, ...]:
        return tuple(quant_shape_to_byte_shape(self.tensor.shape, self.type))

    @property
    def nbytes(self) -> int:
        return prod(self.byte_shape)


def type_of(tensor: Tensor, wanted: Type) -> Type:
    """How a tensor is stored when `wanted` is asked for."""
    kind, suffix = kind_of(tensor.name)
    if len(tensor.shape) == 1 or suffix != "weight" or kind in ALWAYS_F32:
        return Type.F32
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    return Type.F16 if tensor.shape[-1] % block != 0 else wanted


def plan(tensors: list[Tensor], wanted: str) -> tuple[list[Planned], list[str]]:
    """The tensors as they will be stored, and what to say about it."""
    planned = [Planned(tensor, type_of(tensor, TYPES[wanted])) for tensor in tensors]
    odd = [p.tensor for p in planned if p.type == Type.F16 and TYPES[wanted] not in (Type.F16, Type.F32)]
    notes = [
        f"{tensor.name} is stored as F16: rows of {tensor.shape[-1]} are no multiple of 32, as {wanted} needs"
        for tensor in odd[:3]
    ]
    if len(odd) > 3:
        notes.append(f"and {len(odd) - 3} more tensors as F16, for the same reason")
    return planned, notes


def encode(values: Floats, planned: Planned) -> npt.NDArray[Any]:
    """Rows as they are stored, as bytes or numbers. A value that cannot be stored is an error."""
    tensor = planned.tensor
    if not np.isfinite(values).all():
        raise ConvertError(f"{tensor.file}: tensor {tensor.name} holds values that are infinite or not numbers")
    with np.errstate(over="ignore"):
        encoded: npt.NDArray[Any] = quantize(np.ascontiguousarray(values), planned.type)
    return encoded


def pad(count: int) -> bytes:
    return bytes(-count % gguf.GGUF_DEFAULT_ALIGNMENT)


def write_data(writer: gguf.GGUFWriter, planned: list[Planned], progress: Progress) -> None:
    """Tensor data behind the header, in the order of the tensor infos."""
    assert writer.fout is not None, "the header is written"
    file = writer.fout[0]
    file.write(pad(file.tell()))
    for item in planned:
        written = 0
        for chunk in item.tensor.chunks():
            encoded = encode(chunk, item)
            written += file.write(encoded.tobytes())
            progress(chunk.size)
        if written != item.nbytes:
            raise ConvertError(
                f"{item.tensor.file}: tensor {item.tensor.name} gave {written} bytes, expected {item.nbytes}"
            )
        file.write(pad(written))


def write_file(
    path: Path, arch: str, add_keys: Callable[[gguf.GGUFWriter], None], planned: list[Planned], progress: Progress
) -> None:
    writer = gguf.GGUFWriter(path, arch)
    try:
        add_keys(writer)
        for item in planned:
            # The package derives the shape of packed types from that of their bytes.
            dtype = {Type.F32: np.float32, Type.F16: np.float16}.get(item.type, np.uint8)
            shape = item.byte_shape if dtype == np.uint8 else item.tensor.shape
            writer.add_tensor_info(item.tensor.name, shape, np.dtype(dtype), item.nbytes, item.type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        write_data(writer, planned, progress)
    finally:
        writer.close()


# --- validation -------------------------------------------------------------------------------------------------------


def stored_chunks(data: npt.NDArray[Any], type_: Type, n_row: int) -> Iterator[Floats]:
    """A stored tensor's values, some rows at a time."""
    rows = data.reshape(-1, data.shape[-1])
    step = max(1, CHUNK_VALUES // max(1, n_row))
    for begin in range(0, rows.shape[0], step):
        with np.errstate(invalid="ignore", over="ignore"):
            yield dequantize(np.ascontiguousarray(rows[begin : begin + step]).view(np.uint8), type_)


def validate_tensor(path: Path, stored: gguf.ReaderTensor, expected: Planned, progress: Progress) -> None:
    name = expected.tensor.name
    shape = tuple(int(n) for n in reversed(stored.shape))
    if (shape, stored.tensor_type, stored.n_bytes) != (expected.tensor.shape, expected.type, expected.nbytes):
        raise ConvertError(
            f"{path}: tensor {name} was read again as {stored.tensor_type.name} {list(shape)}, "
            f"expected {expected.type.name} {list(expected.tensor.shape)}"
        )
    for values in stored_chunks(stored.data, expected.type, shape[-1]):
        if not np.isfinite(values).all():
            raise ConvertError(
                f"{path}: tensor {name} holds values that {expected.type.name} cannot hold (they became infinite); "
                "say --type f32"
            )
        progress(values.size)


def validate(path: Path, planned: list[Planned], progress: Progress) -> None:
    """Reads the file again: every tensor with its shape, type and size, and values that are finite."""
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, OSError) as error:
        raise ConvertError(f"{path}: the file that was written is not readable: {error}") from error
    found = {tensor.name: tensor for tensor in reader.tensors}
    if sorted(found) != sorted(item.tensor.name for item in planned):
        raise ConvertError(f"{path}: {len(found)} tensors were read again, {len(planned)} were written")
    for item in planned:
        validate_tensor(path, found[item.tensor.name], item, progress)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A name beside `path` for a file that is not ready. Whatever is left there is removed at the end."""
    name = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield name
    finally:
        name.unlink(missing_ok=True)
