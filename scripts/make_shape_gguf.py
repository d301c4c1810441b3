#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a GGUF file of a published model's true shape with random weights, and a vocabulary of its size inside.

For memory and speed at true sizes, where the words do not matter: stories 15M and 110M, GPT-2 124M and TinyLlama 1.1B,
of one type or of the mix that llama.cpp calls Q4_K_M, cut into shards if asked (NAME-00001-of-0000N.gguf, as gguf-split
names them). All tensors are slices of one pool of a million normal values, each begun elsewhere: gigabytes take
seconds, and the same arguments write the same bytes.
Needs the `gguf` package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as TensorType
from reference.bpe_ref import byte_letters, synthetic_merges
from reference.k_quants import quantize_q4_k, quantize_q6_k
from reference.random_weights import normals
from reference.spm_ref import FIRST_BYTE, FIRST_PIECE, synthetic_tokenizer

POOL_VALUES = 1 << 20
# Where the next tensor begins: a prime number of rows of 256 values, the longest block of any type.
POOL_STEP = 1009 * 256
# What most matrices are of, and llama.cpp's number for such a file.
TYPES = {
    "f32": (TensorType.F32, 0),
    "f16": (TensorType.F16, 1),
    "q8_0": (TensorType.Q8_0, 7),
    "q4_0": (TensorType.Q4_0, 2),
    "q4_k": (TensorType.Q4_K, 14),
    "q6_k": (TensorType.Q6_K, 18),
    "q4_k_m": (TensorType.Q4_K, 15),
}
# The package unpacks these two only.
QUANTIZERS = {TensorType.Q4_K: quantize_q4_k, TensorType.Q6_K: quantize_q6_k}
UNITS = {"K": 1000, "M": 1000**2, "G": 1000**3}

Array = npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    architecture: str
    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    context: int
    tied: bool = False  # the embedding is the head too


SHAPES = {
    "stories-15m": Shape("llama", 288, 768, 6, 6, 6, 32000, 256, True),
    "stories-110m": Shape("llama", 768, 2048, 12, 12, 12, 32000, 1024, True),
    "gpt2-124m": Shape("gpt2", 768, 3072, 12, 12, 12, 50257, 1024, True),
    "tinyllama-1.1b": Shape("llama", 2048, 5632, 22, 32, 4, 32000, 2048),
}


@dataclass(frozen=True)
class Tensor:
    """A name, its (rows, columns) or (length,), and what its values scatter about and by."""

    name: str
    shape: tuple[int, ...]
    mean: float = 0.0
    deviation: float = 0.02


def llama_tensors(shape: Shape) -> Iterator[Tensor]:
    kv_dim = shape.dim // shape.heads * shape.kv_heads
    yield Tensor("token_embd.weight", (shape.vocab, shape.dim))
    for i in range(shape.layers):
        yield Tensor(f"blk.{i}.attn_norm.weight", (shape.dim,), 1.0)
        yield Tensor(f"blk.{i}.attn_q.weight", (shape.dim, shape.dim))
        yield Tensor(f"blk.{i}.attn_k.weight", (kv_dim, shape.dim))
        yield Tensor(f"blk.{i}.attn_v.weight", (kv_dim, shape.dim))
        yield Tensor(f"blk.{i}.attn_output.weight", (shape.dim, shape.dim))
        yield Tensor(f"blk.{i}.ffn_norm.weight", (shape.dim,), 1.0)
        yield Tensor(f"blk.{i}.ffn_gate.weight", (shape.hidden, shape.dim))
        yield Tensor(f"blk.{i}.ffn_up.weight", (shape.hidden, shape.dim))
        yield Tensor(f"blk.{i}.ffn_down.weight", (shape.dim, shape.hidden))
    yield Tensor("output_norm.weight", (shape.dim,), 1.0)
    if not shape.tied:
        yield Tensor("output.weight", (shape.vocab, shape.dim))


def gpt2_tensors(shape: Shape) -> Iterator[Tensor]:
    def both(name: str, *size: int) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", size, 1.0 if len(size) == 1 else 0.0)
        yield Tensor(f"{name}.bias", size[:1])

    yield Tensor("token_embd.weight", (shape.vocab, shape.dim))
    yield Tensor("position_embd.weight", (shape.context, shape.dim))
    for i in range(shape.layers):
        yield from both(f"blk.{i}.attn_norm", shape.dim)
        yield from both(f"blk.{i}.attn_qkv", 3 * shape.dim, shape.dim)
        yield from both(f"blk.{i}.attn_output", shape.dim, shape.dim)
        yield from both(f"blk.{i}.ffn_norm", shape.dim)
        yield from both(f"blk.{i}.ffn_up", shape.hidden, shape.dim)
        yield from both(f"blk.{i}.ffn_down", shape.dim, shape.hidden)
    yield from both("output_norm", shape.dim)


def tensors_of(shape: Shape) -> list[Tensor]:
    return list(llama_tensors(shape) if shape.architecture == "llama" else gpt2_tensors(shape))


def is_finer(tensor: Tensor, shape: Shape) -> bool:
    """Whether Q4_K_M has the matrix in six bits: the head, and of half the layers, the first and the last among them,
    the values of attention and the way down."""
    name = tensor.name.removesuffix(".weight")
    if not name.startswith("blk."):
        return name == ("token_embd" if shape.tied else "output")
    _, layer, part = name.split(".")
    eighth, i = shape.layers // 8, int(layer)
    chosen = i < eighth or i >= shape.layers - eighth or (i - eighth) % 3 == 2
    return chosen and part in ("attn_v", "attn_qkv", "ffn_down")


def type_of(tensor: Tensor, shape: Shape, type_name: str) -> TensorType:
    """Vectors are float32 in every file, and so are learned positions, which are not multiplied with."""
    if len(tensor.shape) == 1 or tensor.name == "position_embd.weight":
        return TensorType.F32
    if type_name == "q4_k_m" and is_finer(tensor, shape):
        return TensorType.Q6_K
    return TYPES[type_name][0]


class Pool:
    """Values of every type, made once each: a slice of them is a tensor."""

    def __init__(self) -> None:
        self._normals = normals(1, 0, POOL_VALUES).astype(np.float32)
        self._packed: dict[TensorType, Array] = {}

    def _blocks(self, tensor: Tensor, kind: TensorType) -> Array:
        """(blocks, bytes or values of one block) of the whole pool."""
        if len(tensor.shape) == 1:
            return (tensor.mean + tensor.deviation * self._normals).reshape(-1, 1)
        if kind not in self._packed:
            values = tensor.deviation * self._normals
            quantize = QUANTIZERS.get(kind)
            self._packed[kind] = quantize(values) if quantize else gguf.quantize(values, kind)
        values_in_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        packed = self._packed[kind]
        return packed.reshape(-1, 1) if values_in_block == 1 else packed.reshape(-1, block_bytes)

    def tensor(self, number: int, tensor: Tensor, kind: TensorType) -> Array:
        """The bytes of a tensor as the file has them."""
        blocks = self._blocks(tensor, kind)
        values_in_block = POOL_VALUES // len(blocks)
        start = number * POOL_STEP % POOL_VALUES // values_in_block
        count = int(np.prod(tensor.shape)) // values_in_block
        rolled = np.concatenate([blocks[start:], blocks[:start]])
        made: Array = np.resize(rolled, (count, blocks.shape[1]))
        return made


def add_spm(writer: gguf.GGUFWriter, vocab: int) -> None:
    tokenizer = synthetic_tokenizer(vocab)
    pieces = ["<unk>", "<s>", "</s>"]
    pieces += [piece.decode().replace(" ", "\u2581") for piece in tokenizer.pieces[FIRST_BYTE:]]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * (FIRST_PIECE - FIRST_BYTE) + [gguf.TokenType.NORMAL] * (vocab - FIRST_PIECE)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(tokenizer.scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def add_bpe(writer: gguf.GGUFWriter, vocab: int) -> None:
    merges = synthetic_merges(vocab - 257)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*byte_letters(), *(left + right for left, right in merges), "<|endoftext|>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * (vocab - 1) + [gguf.TokenType.CONTROL])
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_bos_token_id(vocab - 1)
    writer.add_eos_token_id(vocab - 1)


def add_keys(writer: gguf.GGUFWriter, name: str, shape: Shape, file_type: int) -> None:
    writer.add_name(f"{name}, random weights")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    if shape.architecture == "llama":
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_dimension_count(shape.dim // shape.heads)
        writer.add_rope_freq_base(10000.0)
        writer.add_vocab_size(shape.vocab)
        add_spm(writer, shape.vocab)
    else:
        writer.add_layer_norm_eps(1e-5)
        add_bpe(writer, shape.vocab)


def write(output: Path, name: str, type_name: str, split_bytes: int = 0) -> list[Path]:
    """Returns the files written, in order."""
    shape = SHAPES[name]
    writer = gguf.GGUFWriter(output, shape.architecture, split_max_size=split_bytes)
    add_keys(writer, name, shape, TYPES[type_name][1])
    tensors, pool = [(tensor, type_of(tensor, shape, type_name)) for tensor in tensors_of(shape)], Pool()
    if uneven := [tensor.name for tensor, of in tensors if tensor.shape[-1] % gguf.GGML_QUANT_SIZES[of][0] != 0]:
        raise ValueError(f"{uneven[0]}: its rows are no whole blocks of {type_name}; choose another type")
    for tensor, of in tensors:
        values_in_block, block_bytes = gguf.GGML_QUANT_SIZES[of]
        size_bytes = int(np.prod(tensor.shape)) // values_in_block * block_bytes
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size_bytes, raw_dtype=of)
    files = writer.format_shard_names(output) if split_bytes else [output]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, (tensor, of) in enumerate(tensors):
        writer.write_tensor_data(pool.tensor(number, tensor, of))
    writer.close()
    return list(files)


def size_of(text: str) -> int:
    """ "4G" and the like, in powers of 1000 as gguf-split counts."""
    number, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    if not number.isdigit() or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of bytes, with K, M or G behind it or not")
    return int(number) * unit


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("output", type=Path, help="the model file, NAME.gguf")
    parser.add_argument("--shape", choices=SHAPES, default="gpt2-124m", help="default: %(default)s")
    parser.add_argument("--type", choices=TYPES, default="q4_0", help="of the matrices (default: %(default)s)")
    parser.add_argument("--split-max-size", type=size_of, default=0, metavar="N", help="bytes of tensors a shard: 4G")
    return parser.parse_args()


def main() -> int:
    args = parse()
    try:
        files = write(args.output, args.shape, args.type, args.split_max_size)
    except (OSError, ValueError) as error:
        print(f"make_shape_gguf: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(f"{file}: {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
