# SPDX-License-Identifier: MIT
"""A GPT-2 with the tensor names and layout of nanoGPT's checkpoints, in plain functions of torch.

What differs from GPT-2 as transformers has it: matrices are (out, in), GELU is the exact one with erf, the vectors
of biases may be missing everywhere, and a compiled model's names begin with `_orig_mod.`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

Tensors = dict[str, Any]


def shapes(args: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a checkpoint with these `model_args`, but for the head, which is the embedding."""
    dim = args["n_embd"]

    def both(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", shape
        if args["bias"]:
            yield f"{name}.bias", shape[:1]

    yield "transformer.wte.weight", (args["vocab_size"], dim)
    yield "transformer.wpe.weight", (args["block_size"], dim)
    for i in range(args["n_layer"]):
        block = f"transformer.h.{i}"
        yield from both(f"{block}.ln_1", dim)
        yield from both(f"{block}.attn.c_attn", 3 * dim, dim)
        yield from both(f"{block}.attn.c_proj", dim, dim)
        yield from both(f"{block}.ln_2", dim)
        yield from both(f"{block}.mlp.c_fc", 4 * dim, dim)
        yield from both(f"{block}.mlp.c_proj", dim, 4 * dim)
    yield from both("transformer.ln_f", dim)


def logits(args: dict[str, Any], tensors: Tensors, ids: list[int], gelu: str = "none") -> Any:
    """(positions, vocab_size). `gelu` is torch's word: "none" is erf, "tanh" the approximation."""
    dim, heads = args["n_embd"], args["n_head"]

    def norm(name: str, x: Any) -> Any:
        return functional.layer_norm(x, (dim,), tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), 1e-5)

    def linear(name: str, x: Any) -> Any:
        return functional.linear(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))

    x = tensors["transformer.wte.weight"][torch.tensor(ids)] + tensors["transformer.wpe.weight"][: len(ids)]
    for i in range(args["n_layer"]):
        block = f"transformer.h.{i}"
        # (3, heads, positions, head_dim)
        qkv = linear(f"{block}.attn.c_attn", norm(f"{block}.ln_1", x)).view(len(ids), 3, heads, -1).permute(1, 2, 0, 3)
        scores = qkv[0] @ qkv[1].transpose(1, 2) / (dim // heads) ** 0.5
        future = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ qkv[2]
        x = x + linear(f"{block}.attn.c_proj", mixed.transpose(0, 1).reshape(len(ids), dim))
        hidden = functional.gelu(linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x)), approximate=gelu)
        x = x + linear(f"{block}.mlp.c_proj", hidden)
    return norm("transformer.ln_f", x) @ tensors["transformer.wte.weight"].T
