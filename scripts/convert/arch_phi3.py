# SPDX-License-Identifier: MIT
"""Phi-3 and Phi-4: q, k and v in one matrix, gate and up in another, and longrope's factors."""

from __future__ import annotations

import math

import gguf
import numpy as np

from convert.arch_llama import EMBEDDINGS, named_tensors
from convert.architectures import Architecture, Model, Options, finish, vocabulary_rows
from convert.checkpoint import Checkpoint
from convert.dims import Dims, hugging_face_dims
from convert.errors import ConvertError
from convert.hparams import Hparams
from convert.rope import refuse_kinds, rope_hparams, rope_kind
from convert.tensors import Tensor, of_values

BLOCK = (
    "attn_norm.weight",
    "attn_qkv.weight",
    "attn_output.weight",
    "ffn_norm.weight",
    "ffn_up.weight",
    "ffn_down.weight",
)


def rope_dims(dims: Dims, hparams: Hparams) -> int:
    """Values of a head that RoPE turns: Phi-4-mini leaves some as they are."""
    rope = rope_hparams(hparams)
    factor = rope.real_or_none("partial_rotary_factor") or hparams.real("partial_rotary_factor", default=1.0)
    return int(factor * dims.head_dim)


def first_context(hparams: Hparams, rope: Hparams, dims: Dims) -> int:
    """The context that the model was first trained with."""
    name = "original_max_position_embeddings"
    return rope.count_or(None, name) or hparams.count_or(None, name) or dims.n_ctx


def attention_factor(hparams: Hparams, rope: Hparams, dims: Dims) -> float:
    """What longrope multiplies cosines and sines by."""
    said = rope.real_or_none("attention_factor")
    if said is not None:
        return said
    first = first_context(hparams, rope, dims)
    scale = dims.n_ctx / first
    return math.sqrt(1 + math.log(scale) / math.log(first)) if scale > 1 else 1.0


def longrope_tensors(rope: Hparams, n_rot: int, checkpoint: Checkpoint) -> list[Tensor]:
    if rope_kind(rope) != "longrope":
        return []
    made = []
    for length in ("long", "short"):
        factors = rope.numbers(f"{length}_factor")
        if len(factors) != n_rot // 2:
            raise ConvertError(
                f"{rope.source}: '{length}_factor' has {len(factors)} numbers, expected {n_rot // 2}, one for each pair"
            )
        made.append(of_values(f"rope_factors_{length}.weight", np.array(factors, np.float32), checkpoint.source))
    return made


def build_phi3(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> Model:
    del options
    base = hugging_face_dims(hparams, vocabulary_rows(checkpoint, hparams, *EMBEDDINGS))
    dims = Dims(**{**vars(base), "fused_gate": True})
    rope = rope_hparams(hparams)
    refuse_kinds(rope, ("default", "longrope"), "phi3")
    found = named_tensors(checkpoint, gguf.MODEL_ARCH.PHI3, dims, hparams, BLOCK)
    n_rot = rope_dims(dims, hparams)

    def add_keys(writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(dims.n_ctx)
        writer.add_rope_scaling_orig_ctx_len(first_context(hparams, rope, dims))
        writer.add_embedding_length(dims.n_embd)
        writer.add_feed_forward_length(dims.n_ff)
        writer.add_block_count(dims.n_layer)
        writer.add_head_count(dims.n_head)
        writer.add_head_count_kv(dims.n_head_kv)
        writer.add_layer_norm_rms_eps(hparams.real("rms_norm_eps", default=1e-5))
        writer.add_rope_dimension_count(n_rot)
        writer.add_rope_freq_base(rope.real("rope_theta", default=10000.0))
        # Written where there is none as well, since readers may have a default of their own.
        writer.add_sliding_window(hparams.count_or(0, "sliding_window") or 0)
        if rope_kind(rope) == "longrope":
            writer.add_rope_scaling_attn_factors(attention_factor(hparams, rope, dims))

    return Model("phi3", dims, finish(found, {}) + longrope_tensors(rope, n_rot, checkpoint), add_keys)


PHI3 = Architecture("phi3", ("phi3",), build_phi3)
