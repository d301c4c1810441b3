# SPDX-License-Identifier: MIT
"""The Llama architecture in PyTorch: what is trained, and what the exports are checked against.

Rotary embedding turns neighbouring pairs of a head (as llama2.c does, and GGUF's `llama` expects). Works with torch
1.13 and later. Knows nothing of files but llama2.c's, which it reads to compare models.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torch
from reference.llama2c_format import Config, QuantizedTensor, read_model
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Hyper-parameters; the head is the embedding's unless `separate_head`."""

    dim: int = 256
    hidden_dim: int = 704
    n_layers: int = 6
    n_heads: int = 4
    n_kv_heads: int = 4
    vocab_size: int = 3072
    seq_len: int = 512
    separate_head: bool = False
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    def to_llama2c(self) -> Config:
        config = Config(
            self.dim,
            self.hidden_dim,
            self.n_layers,
            self.n_heads,
            self.n_kv_heads,
            self.vocab_size,
            self.seq_len,
            shared_classifier=not self.separate_head,
        )
        config.check()
        return config


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight).type_as(x)


def rope_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (seq_len, head_dim / 2) each."""
    frequencies = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2, dtype=torch.float64) / shape.head_dim)
    angles = torch.outer(torch.arange(shape.seq_len, dtype=torch.float64), frequencies)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (batch, positions, heads, head_dim)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[:, None].type_as(x), sin[:, None].type_as(x)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    """Causal attention of (batch, heads, positions, head_dim)."""
    fused = getattr(functional, "scaled_dot_product_attention", None)
    if fused is not None:
        return fused(q, k, v, dropout_p=dropout, is_causal=True)
    scores = (q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    future = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool, device=q.device).triu(1)
    weights = scores.float().masked_fill(future, -torch.inf).softmax(-1).type_as(q)
    return functional.dropout(weights, dropout) @ v


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        kv_dim = shape.head_dim * shape.n_kv_heads
        self.shape = shape
        self.dropout = dropout
        self.attn_norm = RMSNorm(shape.dim, shape.norm_eps)
        self.wq = nn.Linear(shape.dim, shape.dim, bias=False)
        self.wk = nn.Linear(shape.dim, kv_dim, bias=False)
        self.wv = nn.Linear(shape.dim, kv_dim, bias=False)
        self.wo = nn.Linear(shape.dim, shape.dim, bias=False)
        self.ffn_norm = RMSNorm(shape.dim, shape.norm_eps)
        self.w1 = nn.Linear(shape.dim, shape.hidden_dim, bias=False)
        self.w2 = nn.Linear(shape.hidden_dim, shape.dim, bias=False)
        self.w3 = nn.Linear(shape.dim, shape.hidden_dim, bias=False)

    def drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout) if self.training and self.dropout > 0 else x

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, positions, _ = x.shape
        q = rotate(self.wq(x).view(batch, positions, -1, self.shape.head_dim), cos, sin)
        k = rotate(self.wk(x).view(batch, positions, -1, self.shape.head_dim), cos, sin)
        v = self.wv(x).view(batch, positions, -1, self.shape.head_dim)
        groups = self.shape.n_heads // self.shape.n_kv_heads
        if groups > 1:
            k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), 0.0)
        return self.wo(mixed.transpose(1, 2).reshape(batch, positions, -1))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.attn_norm(x), cos, sin))
        h = self.ffn_norm(x)
        return x + self.drop(self.w2(functional.silu(self.w1(h)) * self.w3(h)))


class Llama(nn.Module):
    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        shape.to_llama2c()  # checks
        self.shape = shape
        self.dropout = dropout
        self.embedding = nn.Embedding(shape.vocab_size, shape.dim)
        self.blocks = nn.ModuleList(Block(shape, dropout) for _ in range(shape.n_layers))
        self.norm = RMSNorm(shape.dim, shape.norm_eps)
        self.head = nn.Linear(shape.dim, shape.vocab_size, bias=False) if shape.separate_head else None
        cos, sin = rope_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset()

    def reset(self) -> None:
        """Small random weights; what adds to the residual stream starts smaller the deeper the model is."""
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                deep = name.endswith(("wo.weight", "w2.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * self.shape.n_layers) if deep else 0.02)

    def hidden(self, ids: Tensor) -> Tensor:
        """(batch, positions) -> (batch, positions, dim), normed."""
        x = self.embedding(ids)
        if self.training and self.dropout > 0:
            x = functional.dropout(x, self.dropout)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.norm(x)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """The logits; with targets the loss of each that is not negative, in nats (their order: row by row)."""
        weight = self.embedding.weight if self.head is None else self.head.weight
        x = self.hidden(ids)
        if targets is None:
            return functional.linear(x, weight)
        wanted = targets >= 0
        return functional.cross_entropy(functional.linear(x[wanted], weight).float(), targets[wanted], reduction="none")

    def parameter_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())


def tensors_llama2c(model: Llama) -> dict[str, Tensor]:
    """The weights under the names of reference/llama2c_format.py, layers stacked."""
    tensors = {"token_embedding": model.embedding.weight, "rms_final": model.norm.weight}
    if model.head is not None:
        tensors["wcls"] = model.head.weight
    for name, path in STACKED.items():
        tensors[name] = torch.stack([block.get_parameter(path) for block in model.blocks])
    return {name: tensor.detach().float().cpu() for name, tensor in tensors.items()}


STACKED = {"rms_att": "attn_norm.weight", "rms_ffn": "ffn_norm.weight"} | {
    name: f"{name}.weight" for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
}


def load_llama2c(path: Path) -> Llama:
    """A llama2.c file of version 0 or 1."""
    config, tensors = read_model(path)
    values = {n: torch.tensor(t, dtype=torch.float32) for n, t in tensors.items() if not isinstance(t, QuantizedTensor)}
    shape = Shape(
        config.dim,
        config.hidden_dim,
        config.n_layers,
        config.n_heads,
        config.n_kv_heads,
        config.vocab_size,
        config.seq_len,
        not config.shared_classifier,
    )
    model = Llama(shape)
    with torch.no_grad():
        model.embedding.weight.copy_(values["token_embedding"])
        model.norm.weight.copy_(values["rms_final"])
        if model.head is not None:
            model.head.weight.copy_(values["wcls"])
        for name, parameter in STACKED.items():
            for block, layer in zip(model.blocks, values[name], strict=True):
                block.get_parameter(parameter).copy_(layer)
    return model.eval()
