#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts a trained model into a larger shape: it says the same words, and costs what the larger one costs.

For measuring what depends on the words a model says (lookup decoding) at a size that no trained model at hand has. What
the small model does not fill is zeros: heads that add nothing, layers that pass everything on. Norms are scaled, since
they take a mean over more values; the rest of the arithmetic is the small model's. Llama models in GGUF whose head_dim
is the larger shape's, such as models/default.gguf. Weights are written as float32. Needs the `gguf` package.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGUFReader
from make_shape_gguf import Shape, Tensor, llama_tensors

HEAD_DIM = 64
SHAPES = {
    "110m": Shape("llama", 768, 2048, 12, 12, 12, 32000, 1024),
    "tinyllama-1.1b": Shape("llama", 2048, 5632, 22, 32, 4, 32000, 2048),
}
Array = npt.NDArray[np.float32]


class Small:
    """The trained model: its tensors as float32, its numbers."""

    def __init__(self, path: Path) -> None:
        self._reader = GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        if self.text("general.architecture") != "llama":
            raise ValueError(f"{path}: expected a llama, not a {self.text('general.architecture')}")
        self.dim = self.number("embedding_length")
        self.heads = self.number("attention.head_count")
        self.kv_heads = self.number("attention.head_count_kv")
        self.layers = self.number("block_count")
        if self.dim != self.heads * HEAD_DIM:
            raise ValueError(f"{path}: heads of {self.dim // self.heads} values, expected {HEAD_DIM}")

    @property
    def fields(self) -> dict[str, gguf.ReaderField]:
        return dict(self._reader.fields)

    def text(self, key: str) -> str:
        return str(self._reader.fields[key].contents())

    def number(self, key: str) -> int:
        return int(self._reader.fields[f"llama.{key}"].contents())

    def real(self, key: str) -> float:
        return float(self._reader.fields[f"llama.{key}"].contents())

    def tensor(self, name: str) -> Array:
        tensor = self._tensors[name]
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        return np.ascontiguousarray(values.reshape(tuple(int(n) for n in reversed(tensor.shape))), dtype=np.float32)


def heads_apart(matrix: Array, step: int) -> Array:
    """(heads * HEAD_DIM, ...): heads move to every `step`-th place."""
    heads = matrix.reshape(-1, HEAD_DIM, *matrix.shape[1:])
    wide = np.zeros((len(heads) * step, *heads.shape[1:]), np.float32)
    wide[::step] = heads
    return wide.reshape(-1, *matrix.shape[1:])


def widened(small: Small, shape: Shape, tensor: Tensor) -> Array:
    wide = np.zeros(tensor.shape, np.float32)
    name = tensor.name
    if name == "output.weight":
        name = "token_embd.weight"  # the small model's head is its embedding's
    if name.startswith("blk.") and int(name.split(".")[1]) >= small.layers:
        return wide
    values = small.tensor(name)
    if values.ndim == 1:
        wide[: len(values)] = values * np.float32(np.sqrt(small.dim / shape.dim))
        return wide
    step = shape.heads // shape.kv_heads
    if ".attn_q." in name:
        values = heads_apart(values, step)
    elif ".attn_output." in name:
        values = heads_apart(values.T, step).T
    wide[: values.shape[0], : values.shape[1]] = values
    return wide


def write(source: Path, output: Path, name: str) -> None:
    small, shape = Small(source), SHAPES[name]
    if small.heads != small.kv_heads or small.kv_heads > shape.kv_heads or small.layers > shape.layers:
        raise ValueError(f"{source}: does not fit {name}")
    writer = gguf.GGUFWriter(output, "llama")
    for key, field in small.fields.items():
        if key.startswith("tokenizer."):
            kind = field.types[0]
            sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub)
    writer.add_name(f"{small.text('general.name')} as {name}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(small.real("attention.layer_norm_rms_epsilon") * small.dim / shape.dim)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(small.real("rope.freq_base"))
    tensors = list(llama_tensors(shape))
    for tensor in tensors:
        size_bytes = int(np.prod(tensor.shape)) * 4
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size_bytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(widened(small, shape, tensor))
    writer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path, help="the trained model")
    parser.add_argument("output", type=Path, help="the model file, NAME.gguf")
    parser.add_argument("--shape", choices=SHAPES, default="tinyllama-1.1b", help="default: %(default)s")
    args = parser.parse_args()
    try:
        write(args.source, args.output, args.shape)
    except (OSError, ValueError) as error:
        print(f"widen_gguf: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {args.output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
