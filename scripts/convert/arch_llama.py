# SPDX-License-Identifier: MIT
"""Llama and its kind (Mistral, TinyLlama, SmolLM2), Qwen 2 and Qwen 3."""

from __future__ import annotations

from collections.abc import Callable

import gguf

from convert.architectures import (
    LLAMA_BLOCK,
    Architecture,
    Model,
    Options,
    check_complete,
    check_shape,
    drop_tied_head,
    finish,
    gguf_names,
    required_names,
    vocabulary_rows,
)
from convert.checkpoint import Checkpoint
from convert.dims import Dims, hugging_face_dims
from convert.errors import ConvertError
from convert.hparams import Hparams
from convert.rope import add_rope, llama3_tensors, permuted, refuse_kinds, rope_hparams
from convert.tensors import Tensor

EMBEDDINGS = ("model.embed_tokens.weight", "embed_tokens.weight")


def named_tensors(
    checkpoint: Checkpoint, arch: gguf.MODEL_ARCH, dims: Dims, hparams: Hparams, block: tuple[str, ...]
) -> dict[str, Tensor]:
    """The tensors under GGUF's names: all that must be there, with their shapes."""
    found = gguf_names(checkpoint, arch, dims.n_layer)
    # A checkpoint without a head of its own can only mean that the embedding table is the head.
    drop_tied_head(found, hparams.flag("tie_word_embeddings", "output.weight" not in found))
    top = ["token_embd.weight", "output_norm.weight"]
    if not hparams.flag("tie_word_embeddings", "output.weight" not in found):
        top.append("output.weight")
    check_complete(checkpoint, found, required_names(top, block, dims.n_layer))
    for name, tensor in found.items():
        check_shape(checkpoint, name, tensor, dims)
    return found


def add_common_keys(writer: gguf.GGUFWriter, dims: Dims, hparams: Hparams) -> None:
    writer.add_block_count(dims.n_layer)
    writer.add_context_length(dims.n_ctx)
    writer.add_embedding_length(dims.n_embd)
    writer.add_feed_forward_length(dims.n_ff)
    writer.add_head_count(dims.n_head)
    writer.add_head_count_kv(dims.n_head_kv)
    writer.add_layer_norm_rms_eps(hparams.real("rms_norm_eps", default=1e-6))


def add_head_length(writer: gguf.GGUFWriter, dims: Dims, hparams: Hparams) -> None:
    """Said where the configuration says it, as llama.cpp's converter does."""
    if hparams.find("head_dim") is not None:
        writer.add_key_length(dims.head_dim)
        writer.add_value_length(dims.head_dim)


def swap_rows(n_head: int) -> Callable[[Tensor, str], Tensor]:
    return lambda tensor, name: tensor.changed(name, tensor.shape, lambda values: permuted(values, n_head))


def build_llama(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> Model:
    del options
    if hparams.count_or(0, "num_local_experts", "num_experts"):
        raise ConvertError(f"{hparams.source}: a mixture of experts, which is not converted here")
    dims = hugging_face_dims(hparams, vocabulary_rows(checkpoint, hparams, *EMBEDDINGS))
    rope = rope_hparams(hparams)
    refuse_kinds(rope, ("default", "linear", "llama3"), "llama")
    found = named_tensors(checkpoint, gguf.MODEL_ARCH.LLAMA, dims, hparams, LLAMA_BLOCK)

    def add_keys(writer: gguf.GGUFWriter) -> None:
        add_common_keys(writer, dims, hparams)
        add_head_length(writer, dims, hparams)
        add_rope(writer, rope)
        writer.add_vocab_size(dims.vocab_size)
        writer.add_rope_dimension_count(dims.head_dim)
        # Mistral's first model. llama.cpp's converter leaves it out, and answers change past the window without it.
        window = hparams.count_or(None, "sliding_window")
        if window is not None and window < dims.n_ctx:
            writer.add_sliding_window(window)

    tensors = finish(found, {"attn_q": swap_rows(dims.n_head), "attn_k": swap_rows(dims.n_head_kv)})
    return Model("llama", dims, tensors + llama3_tensors(rope, dims.head_dim, checkpoint.source), add_keys)


def build_qwen(arch: gguf.MODEL_ARCH, block: tuple[str, ...]) -> Callable[[Checkpoint, Hparams, Options], Model]:
    name = gguf.MODEL_ARCH_NAMES[arch]

    def build(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> Model:
        del options
        if hparams.flag("use_sliding_window", False):
            raise ConvertError(f"{hparams.source}: 'use_sliding_window' is true, which {name} has no key for in GGUF")
        dims = hugging_face_dims(hparams, vocabulary_rows(checkpoint, hparams, *EMBEDDINGS))
        rope = rope_hparams(hparams)
        refuse_kinds(rope, ("default", "linear"), name)
        found = named_tensors(checkpoint, arch, dims, hparams, block)

        def add_keys(writer: gguf.GGUFWriter) -> None:
            add_common_keys(writer, dims, hparams)
            add_head_length(writer, dims, hparams)
            add_rope(writer, rope)

        return Model(name, dims, finish(found, {}), add_keys)

    return build


QWEN2_BLOCK = (*LLAMA_BLOCK, "attn_q.bias", "attn_k.bias", "attn_v.bias")
QWEN3_BLOCK = (*LLAMA_BLOCK, "attn_q_norm.weight", "attn_k_norm.weight")

LLAMA = Architecture("llama", ("llama", "mistral"), build_llama)
QWEN2 = Architecture("qwen2", ("qwen2",), build_qwen(gguf.MODEL_ARCH.QWEN2, QWEN2_BLOCK))
QWEN3 = Architecture("qwen3", ("qwen3",), build_qwen(gguf.MODEL_ARCH.QWEN3, QWEN3_BLOCK))
