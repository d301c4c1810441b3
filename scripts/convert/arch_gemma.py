# SPDX-License-Identifier: MIT
"""Gemma 2 and the text model of Gemma 3.

Their norms multiply by 1 + weight; GGUF holds the sum. The head is the embedding table.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import gguf
import numpy as np

from convert.arch_llama import add_common_keys
from convert.architectures import (
    LLAMA_BLOCK,
    Architecture,
    Model,
    Options,
    check_complete,
    check_shape,
    finish,
    gguf_names,
    required_names,
    vocabulary_rows,
)
from convert.checkpoint import Checkpoint
from convert.dims import Dims, hugging_face_dims
from convert.errors import ConvertError
from convert.hparams import Hparams
from convert.rope import rope_hparams, rope_kind
from convert.tensors import Tensor

GEMMA2_BLOCK = (*LLAMA_BLOCK, "post_attention_norm.weight", "post_ffw_norm.weight")
GEMMA3_BLOCK = (*GEMMA2_BLOCK, "attn_q_norm.weight", "attn_k_norm.weight")
# Of so many layers in a row all but the last look back only as far as the sliding window.
WINDOW_PERIODS: dict[str, int] = {"gemma2": 2, "gemma3": 6}
DEFAULT_THETA = {"gemma2": 10000.0, "gemma3": 1_000_000.0}
# What configurations leave out when it is the class's default.
DEFAULTS: dict[str, dict[str, object]] = {
    "gemma2": {"head_dim": 256, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3": {"head_dim": 256, "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 131072},
}
VISION = ("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector.")


def plus_one(tensor: Tensor, name: str) -> Tensor:
    return tensor.changed(name, tensor.shape, lambda values: (values + np.float32(1)).astype(np.float32))


def text_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Without the vision model and the names that it brings, and without a stored head."""
    named = {}
    for name, tensor in checkpoint.tensors.items():
        if name.startswith(VISION) or name.endswith("lm_head.weight"):
            continue
        for prefix in ("language_model.model.", "model.language_model."):
            if name.startswith(prefix):
                name = "model." + name.removeprefix(prefix)
        named[name] = tensor.renamed(name)
    return named


def full_layers(hparams: Hparams, architecture: str, n_layer: int) -> list[bool]:
    """Which layers see everything."""
    kinds = hparams.find("layer_types")
    if isinstance(kinds, list):
        if len(kinds) != n_layer or not set(kinds) <= {"full_attention", "sliding_attention"}:
            raise ConvertError(
                f"{hparams.source}: 'layer_types' is {kinds!r}, expected full_attention or sliding_attention for each "
                f"of {n_layer} layers"
            )
        return [kind == "full_attention" for kind in kinds]
    period = hparams.count_or(WINDOW_PERIODS[architecture], "sliding_window_pattern", "_sliding_window_pattern") or 1
    return [(i + 1) % period == 0 for i in range(n_layer)]


def window_period(hparams: Hparams, architecture: str, n_layer: int) -> int:
    """The period that these layers follow: GGUF holds a number, not a list, for these architectures."""
    full = full_layers(hparams, architecture, n_layer)
    # The architecture's own first: with few layers several would do.
    periods: list[int] = [WINDOW_PERIODS[architecture], *range(1, n_layer + 2)]
    for period in periods:
        if full == [(i + 1) % period == 0 for i in range(n_layer)]:
            return period
    raise ConvertError(f"{hparams.source}: 'layer_types' follows no period: every nth layer full_attention is expected")


def add_soft_caps(writer: gguf.GGUFWriter, hparams: Hparams) -> None:
    attention = hparams.real_or_none("attn_logit_softcapping")
    final = hparams.real_or_none("final_logit_softcapping")
    if attention:
        writer.add_attn_logit_softcapping(attention)
    if final:
        writer.add_final_logit_softcapping(final)


def add_scale(writer: gguf.GGUFWriter, hparams: Hparams, dims: Dims) -> None:
    """What queries are multiplied by, where it is not 1/sqrt(head_dim), as readers assume."""
    scalar = hparams.real("query_pre_attn_scalar", default=float(dims.head_dim))
    if scalar <= 0:
        raise ConvertError(f"{hparams.source}: 'query_pre_attn_scalar' is {scalar}, expected a number above 0")
    if scalar != dims.head_dim:
        writer.add_attention_scale(1 / math.sqrt(scalar))


def add_ropes(writer: gguf.GGUFWriter, hparams: Hparams, architecture: str) -> None:
    rope = rope_hparams(hparams)
    writer.add_rope_freq_base(rope.real("rope_theta", default=DEFAULT_THETA[architecture]))
    if rope_kind(rope) == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope.real("factor"))
    elif rope_kind(rope) != "default":
        raise ConvertError(f"{rope.source}: 'rope_type' is {rope_kind(rope)!r}, which {architecture} has no place for")
    if architecture == "gemma3":
        local = hparams.real("rope_local_base_freq", default=10000.0)
        if hparams.record("rope_parameters") is not None:
            local = rope_hparams(hparams, "sliding_attention").real("rope_theta", default=local)
        writer.add_rope_freq_base_swa(local)


def build_gemma(arch: gguf.MODEL_ARCH, block: tuple[str, ...]) -> Callable[[Checkpoint, Hparams, Options], Model]:
    architecture: str = gguf.MODEL_ARCH_NAMES[arch]

    def build(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> Model:
        del options
        text = hparams.record("text_config") or hparams
        hparams = Hparams({**DEFAULTS[architecture], **text.fields}, text.source)
        checkpoint.tensors = text_tensors(checkpoint)
        dims = hugging_face_dims(hparams, vocabulary_rows(checkpoint, hparams, "model.embed_tokens.weight"))
        found = gguf_names(checkpoint, arch, dims.n_layer)
        top = ("token_embd.weight", "output_norm.weight")
        check_complete(checkpoint, found, required_names(top, block, dims.n_layer))
        for name, tensor in found.items():
            check_shape(checkpoint, name, tensor, dims)

        def add_keys(writer: gguf.GGUFWriter) -> None:
            add_common_keys(writer, dims, hparams)
            writer.add_key_length(dims.head_dim)
            writer.add_value_length(dims.head_dim)
            add_ropes(writer, hparams, architecture)
            add_soft_caps(writer, hparams)
            add_scale(writer, hparams, dims)
            period = window_period(hparams, architecture, dims.n_layer)
            if period != 1:
                writer.add_sliding_window(hparams.count("sliding_window"))
            if period != WINDOW_PERIODS[architecture]:
                writer.add_sliding_window_pattern(period)

        norms = {f"{name}.weight": plus_one for name in GEMMA_NORMS}
        return Model(architecture, dims, finish(found, norms), add_keys)

    return build


GEMMA_NORMS: tuple[str, ...] = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "output_norm")
GEMMA_NORMS += ("attn_q_norm", "attn_k_norm")
GEMMA2 = Architecture("gemma2", ("gemma2",), build_gemma(gguf.MODEL_ARCH.GEMMA2, GEMMA2_BLOCK))
GEMMA3_TYPES = ("gemma3_text", "gemma3")
GEMMA3 = Architecture("gemma3", GEMMA3_TYPES, build_gemma(gguf.MODEL_ARCH.GEMMA3, GEMMA3_BLOCK))
