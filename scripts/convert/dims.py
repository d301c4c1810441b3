# SPDX-License-Identifier: MIT
"""The dimensions that all architectures share, and the shape that each tensor of a GGUF file has with them."""

from __future__ import annotations

from dataclasses import dataclass

from convert.errors import ConvertError
from convert.hparams import Hparams

NORMS = ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm", "output_norm")


@dataclass(frozen=True)
class Dims:
    vocab_size: int
    n_embd: int
    n_ff: int
    n_layer: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_ctx: int
    fused_gate: bool = False

    @property
    def q(self) -> int:
        return self.n_head * self.head_dim

    @property
    def kv(self) -> int:
        return self.n_head_kv * self.head_dim

    def weight_shape(self, kind: str) -> tuple[int, ...] | None:
        """Shape of a weight by its GGUF name without block and suffix, rows first; None for one that is not known."""
        shapes: dict[str, tuple[int, ...]] = {
            "token_embd": (self.vocab_size, self.n_embd),
            "output": (self.vocab_size, self.n_embd),
            "position_embd": (self.n_ctx, self.n_embd),
            "attn_q": (self.q, self.n_embd),
            "attn_k": (self.kv, self.n_embd),
            "attn_v": (self.kv, self.n_embd),
            "attn_qkv": (self.q + 2 * self.kv, self.n_embd),
            "attn_output": (self.n_embd, self.q),
            "attn_q_norm": (self.head_dim,),
            "attn_k_norm": (self.head_dim,),
            "ffn_gate": (self.n_ff, self.n_embd),
            "ffn_up": (2 * self.n_ff if self.fused_gate else self.n_ff, self.n_embd),
            "ffn_down": (self.n_embd, self.n_ff),
        }
        return (self.n_embd,) if kind in NORMS else shapes.get(kind)

    def shape(self, kind: str, suffix: str) -> tuple[int, ...] | None:
        """As weight_shape, for `suffix` weight or bias: a bias has a value for each row of its weight."""
        shape = self.weight_shape(kind)
        if shape is None or suffix == "weight":
            return shape
        return shape[:1]


def hugging_face_dims(hparams: Hparams, vocab_size: int) -> Dims:
    """Of a config.json in the names that all but GPT-2 use."""
    n_embd = hparams.count("hidden_size")
    n_head = hparams.count("num_attention_heads")
    n_head_kv = hparams.count_or(n_head, "num_key_value_heads") or n_head
    head_dim = hparams.count_or(None, "head_dim")
    if head_dim is None:
        if n_embd % n_head != 0:
            raise ConvertError(
                f"{hparams.source}: 'num_attention_heads' {n_head} does not divide 'hidden_size' {n_embd}"
            )
        head_dim = n_embd // n_head
    if n_head % n_head_kv != 0:
        raise ConvertError(
            f"{hparams.source}: 'num_key_value_heads' {n_head_kv} does not divide 'num_attention_heads' {n_head}"
        )
    return Dims(
        vocab_size=vocab_size,
        n_embd=n_embd,
        n_ff=hparams.count("intermediate_size"),
        n_layer=hparams.count("num_hidden_layers"),
        n_head=n_head,
        n_head_kv=n_head_kv,
        head_dim=head_dim,
        n_ctx=hparams.count("max_position_embeddings"),
    )
