# SPDX-License-Identifier: MIT
"""The rows of make_arch_fixtures.py: tiny configurations of each architecture, each with what it is there to show.

The sizes are small and hold the feature: several queries a KV head, windows that end before the 64th position, caps
that bend the values they meet. Rows of a multiple of 32 values, in one model of each architecture, can be packed in
blocks; other lengths leave ends to every vector loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reference.arch_tokenizers import GEMMA, LLAMA_BPE, PHI3, QWEN2, Bpe, Spm

Config = dict[str, Any]

POSITIONS = 64
CONTEXT = 128


@dataclass(frozen=True)
class Fixture:
    """A model, and for each of its features the entries of the configuration that take the feature away."""

    model: str  # as transformers names its classes; "NanoGpt" is nano_gpt.py
    vocabulary: Spm | Bpe
    seed: int
    config: Config
    without: dict[str, Config] = field(default_factory=dict)
    # Write config.json as checkpoints made before transformers 5 have it: rope_theta and rope_scaling.
    old_config: bool = False
    # Rows of the embedding beyond the tokenizer's tokens.
    padding: int = 0
    # Positions to run it with, where the factors of RoPE follow from that; 0 is the model's own length.
    context: int = 0


def rope(kind: str = "default", theta: float = 10000.0, **more: Any) -> Config:
    return {"rope_type": kind, "rope_theta": theta, **more}


DEFAULT_ROPE = {"rope_parameters": rope()}


def sizes(dim: int, hidden: int, layers: int, heads: int, kv_heads: int, **more: Any) -> Config:
    return {
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": CONTEXT,
        **more,
    }


LLAMA = {"rms_norm_eps": 1e-5, **DEFAULT_ROPE}
LLAMA3_ROPE = rope(
    "llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
)
# Of length head_dim x partial_rotary_factor / 2.
SHORT, LONG = [1.0, 1.1, 1.3, 1.6], [1.2, 1.9, 3.1, 5.5]
LONGROPE_32 = rope("longrope", short_factor=SHORT, long_factor=LONG, original_max_position_embeddings=32)
LONGROPE_128 = LONGROPE_32 | {"original_max_position_embeddings": 128}
PARTIAL = rope(
    "longrope",
    partial_rotary_factor=0.75,
    short_factor=SHORT[:3],
    long_factor=LONG[:3],
    original_max_position_embeddings=32,
)
GEMMA3_ROPE = {
    "sliding_attention": rope(theta=10000.0),
    "full_attention": rope("linear", 100000.0, factor=8.0),
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
NANO_GPT = {"n_embd": 24, "n_layer": 2, "n_head": 3, "block_size": CONTEXT, "dropout": 0.0}
NO_GPT2_BIAS = {"activation_function": "gelu"}

FIXTURES = {
    "llama_gqa_tied": Fixture(
        "Llama", Spm(), 25, sizes(32, 64, 2, 4, 2, tie_word_embeddings=True, **LLAMA), old_config=True
    ),
    "llama_mha_untied": Fixture(
        "Llama",
        Spm(),
        3,
        sizes(24, 40, 2, 3, 3, tie_word_embeddings=False, **LLAMA | {"rms_norm_eps": 1e-2}),
        {"epsilon": {"rms_norm_eps": 1e-5}},
    ),
    "llama3_rope_scaled": Fixture(
        "Llama",
        LLAMA_BPE,
        7,
        sizes(32, 48, 2, 2, 1, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_parameters=LLAMA3_ROPE),
        {"rope scaling": {"rope_parameters": rope(theta=500000.0)}, "rope theta": DEFAULT_ROPE},
        old_config=True,
    ),
    "llama_linear_rope": Fixture(
        "Llama",
        Spm(),
        2,
        sizes(24, 40, 2, 2, 2, rms_norm_eps=1e-5, rope_parameters=rope("linear", factor=4.0)),
        {"rope scaling": DEFAULT_ROPE},
    ),
    # Mistral Nemo's heads are not of dim / heads either.
    "mistral_sliding": Fixture(
        "Mistral",
        Spm(),
        1,
        sizes(24, 40, 2, 4, 2, head_dim=8, sliding_window=16, **LLAMA),
        {"sliding window": {"sliding_window": None}},
    ),
    "gpt2": Fixture("GPT2", Bpe(), 1080, GPT2, {"tanh form of GELU": NO_GPT2_BIAS}),
    "gpt2_nanogpt": Fixture("NanoGpt", Bpe(), 266, NANO_GPT | {"bias": True}, {"erf form of GELU": {"gelu": "tanh"}}),
    "gpt2_nanogpt_no_bias": Fixture("NanoGpt", Bpe(), 3, NANO_GPT | {"bias": False}, padding=7),
    "qwen2_gqa": Fixture(
        "Qwen2",
        QWEN2,
        8,
        sizes(32, 64, 2, 4, 2, tie_word_embeddings=True, rope_parameters=rope(theta=1000000.0)),
        {"rope theta": DEFAULT_ROPE},
        old_config=True,
        padding=9,
    ),
    "qwen2_untied": Fixture(
        "Qwen2", QWEN2, 21, sizes(24, 40, 2, 3, 1, tie_word_embeddings=False, **DEFAULT_ROPE), padding=5
    ),
    "qwen3": Fixture(
        "Qwen3",
        QWEN2,
        2,
        sizes(32, 64, 2, 4, 2, head_dim=16, tie_word_embeddings=True, rope_parameters=rope(theta=1000000.0)),
        {"rope theta": DEFAULT_ROPE},
    ),
    "phi3": Fixture("Phi3", PHI3, 5, sizes(32, 64, 2, 4, 2, **DEFAULT_ROPE), old_config=True),
    "phi3_sliding": Fixture(
        "Phi3",
        PHI3,
        1,
        sizes(24, 40, 2, 3, 3, sliding_window=16, **DEFAULT_ROPE),
        {"sliding window": {"sliding_window": None}},
    ),
    "phi3_longrope_long": Fixture(
        "Phi3",
        PHI3,
        1,
        sizes(24, 40, 2, 3, 3, original_max_position_embeddings=32, rope_parameters=LONGROPE_32),
        {
            "long factors": {"rope_parameters": LONGROPE_32 | {"long_factor": SHORT}},
            "factor of the attention": {"rope_parameters": LONGROPE_32 | {"attention_factor": 1.0}},
        },
        old_config=True,
    ),
    "phi3_longrope_short": Fixture(
        "Phi3",
        PHI3,
        23,
        sizes(24, 40, 2, 3, 3, original_max_position_embeddings=128, rope_parameters=LONGROPE_128)
        | {"max_position_embeddings": 512},
        {
            "short factors": {"rope_parameters": LONGROPE_128 | {"short_factor": LONG}},
            "factor of the attention": {"rope_parameters": LONGROPE_128 | {"attention_factor": 1.0}},
        },
        old_config=True,
        context=128,
    ),
    # The shape of Phi-4-mini: three quarters of a head turn, grouped queries, the head is the embedding.
    "phi3_partial_rope": Fixture(
        "Phi3",
        PHI3,
        3,
        sizes(32, 48, 2, 4, 2, tie_word_embeddings=True, original_max_position_embeddings=32)
        | {"rope_parameters": PARTIAL},
        {"long factors": {"rope_parameters": PARTIAL | {"long_factor": SHORT[:3]}}},
        padding=6,
    ),
    "gemma2": Fixture(
        "Gemma2",
        GEMMA,
        311,
        sizes(
            32,
            64,
            3,
            2,
            1,
            head_dim=32,
            query_pre_attn_scalar=16,
            sliding_window=16,
            attn_logit_softcapping=1.5,
            final_logit_softcapping=4.0,
            **DEFAULT_ROPE,
        ),
        {
            "scale of the scores": {"query_pre_attn_scalar": 32},
            "cap of the scores": {"attn_logit_softcapping": None},
            "cap of the logits": {"final_logit_softcapping": None},
            "sliding window": {"sliding_window": CONTEXT},
            "alternation": {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        },
    ),
    "gemma3": Fixture(
        "Gemma3",
        GEMMA,
        28,
        sizes(32, 32, 7, 2, 1, head_dim=16, query_pre_attn_scalar=16, sliding_window=16, rope_parameters=GEMMA3_ROPE),
        {
            "sliding window": {"sliding_window": CONTEXT},
            "one layer that sees all": {"layer_types": ["sliding_attention"] * 7},
            "rope scaling": {"rope_parameters": GEMMA3_ROPE | {"full_attention": rope(theta=100000.0)}},
            "rope theta": {"rope_parameters": GEMMA3_ROPE | {"sliding_attention": rope(theta=100000.0)}},
        },
        old_config=True,
    ),
}
