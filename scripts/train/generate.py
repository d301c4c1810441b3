# SPDX-License-Identifier: MIT
"""Samples from a model in PyTorch, token by token with a key-value cache. The project's own engine is faster; this one
needs nothing but a checkpoint, and is what evaluate.py asks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from train.model import Block, Llama, rotate


class Generator:
    """One conversation's cache, and its source of random numbers."""

    def __init__(self, model: Llama, seed: int) -> None:
        self._model = model
        self._random = torch.Generator().manual_seed(seed)
        shape = model.shape
        size = (shape.n_layers, 2, shape.n_kv_heads, shape.seq_len, shape.head_dim)
        self._cache = torch.zeros(size)
        self._length = 0

    def _attend(self, block: Block, layer: int, x: Tensor, end: int) -> Tensor:
        """x: (positions, dim), the last of `end` positions."""
        shape, count = self._model.shape, len(x)
        cos, sin = self._model.cos[end - count : end], self._model.sin[end - count : end]
        q = rotate(block.wq(x).view(1, count, -1, shape.head_dim), cos, sin)[0]
        k = rotate(block.wk(x).view(1, count, -1, shape.head_dim), cos, sin)[0]
        cache = self._cache[layer]
        cache[0, :, end - count : end] = k.transpose(0, 1)
        cache[1, :, end - count : end] = block.wv(x).view(count, -1, shape.head_dim).transpose(0, 1)
        keys, values = (part[:, :end].repeat_interleave(shape.n_heads // shape.n_kv_heads, 0) for part in cache)
        scores = q.transpose(0, 1) @ keys.transpose(1, 2) / shape.head_dim**0.5
        future = torch.ones(count, end, dtype=torch.bool).triu(end - count + 1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ values
        return block.wo(mixed.transpose(0, 1).reshape(count, -1))

    @torch.no_grad()
    def feed(self, ids: Sequence[int]) -> Tensor:
        """The logits behind the last of the ids."""
        model, end = self._model, self._length + len(ids)
        x = model.embedding(torch.tensor(ids))
        for layer, block in enumerate(model.blocks):
            x = x + self._attend(block, layer, block.attn_norm(x), end)
            h = block.ffn_norm(x)
            x = x + block.w2(functional.silu(block.w1(h)) * block.w3(h))
        self._length = end
        head = model.embedding.weight if model.head is None else model.head.weight
        return functional.linear(model.norm(x[-1]), head)

    def sample(self, logits: Tensor, temperature: float, top_p: float) -> int:
        if temperature == 0:
            return int(logits.argmax())
        chances, order = (logits / temperature).softmax(-1).sort(descending=True)
        kept = chances.cumsum(-1) - chances < top_p
        return int(order[torch.multinomial(chances * kept, 1, generator=self._random)])

    def answer(
        self, ids: Sequence[int], ends: Collection[int], limit: int, temperature: float, top_p: float = 1.0
    ) -> list[int]:
        """What comes behind `ids`, with the end token; at most `limit` tokens, and what the context holds."""
        said: list[int] = []
        logits = self.feed(ids)
        while True:
            said.append(self.sample(logits, temperature, top_p))
            if said[-1] in ends or len(said) == limit or self._length == self._model.shape.seq_len:
                return said
            logits = self.feed(said[-1:])
