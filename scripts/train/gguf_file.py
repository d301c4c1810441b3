# SPDX-License-Identifier: MIT
"""A model and its vocabulary as one GGUF file, and back: the `llama` architecture, F32, F16 or Q8_0."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import gguf
import numpy as np
import sentencepiece
import torch
from torch import Tensor

from train.chat import IM_END, TEMPLATE
from train.model import Llama, Shape

TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
# Ours by their names in GGUF, within a block.
BLOCK_TENSORS = {
    "attn_norm": "attn_norm",
    "wq": "attn_q",
    "wk": "attn_k",
    "wv": "attn_v",
    "wo": "attn_output",
    "ffn_norm": "ffn_norm",
    "w1": "ffn_gate",
    "w3": "ffn_up",
    "w2": "ffn_down",
}


@dataclass(frozen=True)
class Facts:
    """What the file says of itself."""

    name: str = "Stories"
    description: str = ""
    license: str = ""
    datasets: list[str] = field(default_factory=list)


def named_tensors(model: Llama) -> Iterator[tuple[str, Tensor]]:
    yield "token_embd.weight", model.embedding.weight
    for number, block in enumerate(model.blocks):
        for ours, name in BLOCK_TENSORS.items():
            yield f"blk.{number}.{name}.weight", block.get_parameter(f"{ours}.weight")
    yield "output_norm.weight", model.norm.weight
    if model.head is not None:
        yield "output.weight", model.head.weight


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_vocab_size(shape.vocab_size)
    writer.add_context_length(shape.seq_len)
    writer.add_embedding_length(shape.dim)
    writer.add_feed_forward_length(shape.hidden_dim)
    writer.add_block_count(shape.n_layers)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)


def token_type(tokenizer: sentencepiece.SentencePieceProcessor, token: int) -> gguf.TokenType:
    if tokenizer.is_unknown(token):
        return gguf.TokenType.UNKNOWN
    if tokenizer.is_control(token):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if tokenizer.is_byte(token) else gguf.TokenType.NORMAL


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    tokens = range(tokenizer.vocab_size())
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([tokenizer.id_to_piece(token).encode() for token in tokens])
    writer.add_token_scores([tokenizer.get_score(token) for token in tokens])
    writer.add_token_types([token_type(tokenizer, token) for token in tokens])
    writer.add_bos_token_id(tokenizer.bos_id())
    writer.add_eos_token_id(tokenizer.eos_id())
    writer.add_eot_token_id(tokenizer.piece_to_id(IM_END))
    writer.add_unk_token_id(tokenizer.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def write_gguf(
    path: Path, model: Llama, tokenizer: sentencepiece.SentencePieceProcessor, kind: str, facts: Facts
) -> None:
    weight_type, file_type = TYPES[kind]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(facts.name)
    if facts.description:
        writer.add_description(facts.description)
    if facts.license:
        writer.add_license(facts.license)
    if facts.datasets:
        writer.add_dataset_count(len(facts.datasets))
        for number, dataset in enumerate(facts.datasets):
            writer.add_dataset_name(number, dataset)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_shape(writer, model.shape)
    add_vocabulary(writer, tokenizer)
    for name, tensor in named_tensors(model):
        values = tensor.detach().float().cpu().numpy()
        kept = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else weight_type
        writer.add_tensor(name, gguf.quants.quantize(values, kept), raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def stored(reader: gguf.GGUFReader, key: str) -> float:
    entry = reader.get_field(f"llama.{key}")
    if entry is None:
        raise ValueError(f"llama.{key} is missing")
    return float(entry.contents())


def read_gguf(path: Path) -> Llama:
    """The model of a file that write_gguf made, its weights as they were stored."""
    reader = gguf.GGUFReader(path)
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    shape = Shape(
        dim=int(stored(reader, "embedding_length")),
        hidden_dim=int(stored(reader, "feed_forward_length")),
        n_layers=int(stored(reader, "block_count")),
        n_heads=int(stored(reader, "attention.head_count")),
        n_kv_heads=int(stored(reader, "attention.head_count_kv")),
        vocab_size=len(tensors["token_embd.weight"]),
        seq_len=int(stored(reader, "context_length")),
        separate_head="output.weight" in tensors,
        norm_eps=stored(reader, "attention.layer_norm_rms_epsilon"),
        rope_theta=stored(reader, "rope.freq_base"),
    )
    model = Llama(shape)
    with torch.no_grad():
        for name, tensor in named_tensors(model):
            tensor.copy_(torch.from_numpy(tensors[name].reshape(tensor.shape).copy()))
    return model.eval()
