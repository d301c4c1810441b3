#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Llama in NumPy float64: the reference that logits and token ids of the C++ engine are proved against.

Slow and plain on purpose: one position at a time, one formula a line, float64 throughout, so that what it prints is the
model's value and not one order of summation of it. llama2.c files only (see llama2c_format.py).

    RMSNorm      y_i = g_i * x_i / sqrt(mean(x^2) + 1e-5)
    RoPE         the pair (x_2j, x_2j+1) of each head turns by the angle  position * 10000^(-2j / head_size)
    attention    a = softmax(q . k_t / sqrt(head_size)) over t <= position; query head h reads KV head
                 floor(h * n_kv_heads / n_heads)
    SwiGLU       w2 (silu(w1 x) * w3 x),  silu(z) = z / (1 + exp(-z))
    block        x += wo attention(rms_att(x));  x += ffn(rms_ffn(x))
    logits       wcls rms_final(x), wcls = token_embedding when shared

Version 2 multiplies int8 weights with activations that are themselves quantized to int8, group by group, before every
matrix product: sum over groups of (q_w . q_x) * scale_w * scale_x. Embedding rows are dequantized.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reference.llama2c_format import FloatArray, QuantizedTensor, read_model

RMS_EPSILON = 1e-5
ROPE_THETA = 10000.0
BOS = 1


class Llama:
    """A model and the KV cache of one sequence; `forward` must be called for positions 0, 1, 2, ... in order."""

    def __init__(self, path: Path) -> None:
        self.config, self.tensors = read_model(path)
        # For each layer, for each position: (n_kv_heads, head_size).
        self.keys: list[list[FloatArray]] = []
        self.values: list[list[FloatArray]] = []
        # How close any activation came to the midpoint between two int8 steps (0.5 = never near). Near a midpoint
        # float32 and float64 may round to different sides, and both are right.
        self.rounding_margin = 0.5
        self.reset()

    def reset(self) -> None:
        self.keys = [[] for _ in range(self.config.n_layers)]
        self.values = [[] for _ in range(self.config.n_layers)]
        self.rounding_margin = 0.5

    def forward(self, token: int) -> FloatArray:
        """Appends `token` to the sequence and returns the logits that follow it, (vocab_size,)."""
        c = self.config
        position = len(self.keys[0])
        if position >= c.seq_len:
            raise ValueError(f"position {position} is beyond seq_len {c.seq_len}")
        if not 0 <= token < c.vocab_size:
            raise ValueError(f"token {token} is outside 0..{c.vocab_size - 1}")
        x = self._embedding_row(token)
        for layer in range(c.n_layers):
            x = x + self._attention(layer, position, rms_norm(x, self._vector("rms_att", layer)))
            x = x + self._feed_forward(layer, rms_norm(x, self._vector("rms_ffn", layer)))
        x = rms_norm(x, self._vector("rms_final"))
        return self._product(self.tensors["token_embedding" if c.shared_classifier else "wcls"], x)

    def _attention(self, layer: int, position: int, x: FloatArray) -> FloatArray:
        c = self.config
        q = self._linear("wq", layer, x).reshape(c.n_heads, c.head_size)
        k = self._linear("wk", layer, x).reshape(c.n_kv_heads, c.head_size)
        v = self._linear("wv", layer, x).reshape(c.n_kv_heads, c.head_size)
        self.keys[layer].append(rope(k, position))
        self.values[layer].append(v)
        rotated = rope(q, position)
        # (positions, n_kv_heads, head_size) -> one KV head for each query head
        group = c.n_heads // c.n_kv_heads
        keys = np.repeat(np.stack(self.keys[layer]), group, axis=1)
        values = np.repeat(np.stack(self.values[layer]), group, axis=1)
        scores = np.einsum("hd,thd->ht", rotated, keys) / np.sqrt(c.head_size)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        return self._linear("wo", layer, np.einsum("ht,thd->hd", weights, values).reshape(c.dim))

    def _feed_forward(self, layer: int, x: FloatArray) -> FloatArray:
        gate = self._linear("w1", layer, x)
        return self._linear("w2", layer, gate / (1.0 + np.exp(-gate)) * self._linear("w3", layer, x))

    def _embedding_row(self, token: int) -> FloatArray:
        table = self.tensors["token_embedding"]
        if not isinstance(table, QuantizedTensor):
            return np.asarray(table[token], dtype=np.float64)
        row = QuantizedTensor(table.values[token : token + 1], table.scales[token : token + 1])
        return np.asarray(row.dequantized()[0], dtype=np.float64)

    def _vector(self, name: str, layer: int | None = None) -> FloatArray:
        tensor = self.tensors[name]
        assert not isinstance(tensor, QuantizedTensor)
        return np.asarray(tensor if layer is None else tensor[layer], dtype=np.float64)

    def _linear(self, name: str, layer: int, x: FloatArray) -> FloatArray:
        if self.config.version == 2:
            return self._product(self.tensors[f"{name}.{layer}"], x)
        return self._product(self._vector(name, layer), x)

    def _product(self, weight: FloatArray | QuantizedTensor, x: FloatArray) -> FloatArray:
        if not isinstance(weight, QuantizedTensor):
            return np.asarray(weight @ x, dtype=np.float64)
        rows, groups = weight.scales.shape
        x_values, x_scales = self._quantize(x.reshape(groups, -1))
        sums = np.einsum("rgi,gi->rg", weight.values.reshape(rows, groups, -1), x_values)
        return np.asarray(np.sum(sums * weight.scales * x_scales, axis=1), dtype=np.float64)

    def _quantize(self, groups: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(groups, group_size) -> whole numbers -127..127, and one scale a group, kept in float64."""
        scales = np.abs(groups).max(axis=1) / 127.0
        ratio = np.abs(np.divide(groups, scales[:, None], out=np.zeros_like(groups), where=scales[:, None] > 0))
        self.rounding_margin = min(self.rounding_margin, float(np.abs(ratio - np.floor(ratio) - 0.5).min()))
        return np.copysign(np.floor(ratio + 0.5), groups), scales


def rms_norm(x: FloatArray, gain: FloatArray) -> FloatArray:
    return np.asarray(gain * x / np.sqrt(np.mean(x * x) + RMS_EPSILON), dtype=np.float64)


def rope(heads: FloatArray, position: int) -> FloatArray:
    """Turns each pair of neighbours of (heads, head_size)."""
    head_size = heads.shape[1]
    angle = position * ROPE_THETA ** (-np.arange(0, head_size, 2) / head_size)
    even, odd = heads[:, 0::2], heads[:, 1::2]
    turned = np.empty_like(heads)
    turned[:, 0::2] = even * np.cos(angle) - odd * np.sin(angle)
    turned[:, 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return turned


def logits_of(model: Llama, ids: Sequence[int]) -> FloatArray:
    """(len(ids), vocab_size): the logits after each id."""
    model.reset()
    return np.stack([model.forward(token) for token in ids])


def greedy(model: Llama, prompt_ids: Sequence[int], steps: int) -> tuple[list[int], FloatArray]:
    """Feeds `steps` positions as llama2.c counts them: prompt ids while there are any, then the likeliest token; ends
    before a BOS. Returns the ids (the first prompt id included: steps + 1 when no BOS came), and for each step the gap
    between the two largest logits."""
    model.reset()
    ids = [prompt_ids[0]]
    gaps: list[float] = []
    for step in range(min(steps, model.config.seq_len)):
        logits = model.forward(ids[-1])
        second, first = np.partition(logits, -2)[-2:]
        gaps.append(float(first - second))
        token = prompt_ids[step + 1] if step + 1 < len(prompt_ids) else int(np.argmax(logits))
        if token == BOS:
            break
        ids.append(token)
    return ids, np.array(gaps)


def compare(model: Llama, reference: Path, positions: int) -> str:
    """One line on how this model differs from a NAME.json (prompt_ids, ids) with NAME.logits_first8.f32 beside it."""
    expected = json.loads(reference.read_text(encoding="utf-8"))
    wanted = list(expected["ids"])
    steps = min(len(wanted), positions)
    ids, gaps = greedy(model, expected["prompt_ids"], steps)
    same = next((i for i, (a, b) in enumerate(zip(ids, wanted, strict=False)) if a != b), min(len(ids), len(wanted)))
    raw = np.fromfile(reference.with_name(reference.stem + ".logits_first8.f32"), "<f4")
    raw = raw.reshape(-1, model.config.vocab_size)
    ours = logits_of(model, wanted[: len(raw)])
    difference = float(np.abs(ours - raw).max())
    return (
        f"{reference.name}: {same} of {len(wanted)} ids equal, largest logit difference {difference:.2e} over "
        f"{len(raw)} positions, smallest gap {gaps.min():.2e}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    sub = parser.add_subparsers(dest="command", required=True)
    p = sub.add_parser("logits", help="the logits after each of the given ids")
    p.add_argument("model", type=Path)
    p.add_argument("--ids", required=True, help="token ids, parted by commas")
    p.add_argument("-o", "--output", type=Path, help="write float32 rows here instead of printing the largest")
    p = sub.add_parser("greedy", help="greedy token ids, those of the prompt included")
    p.add_argument("model", type=Path)
    p.add_argument("--ids", default="1", help="token ids of the prompt, parted by commas (default: BOS alone)")
    p.add_argument("-n", "--steps", type=int, default=32)
    p = sub.add_parser("compare", help="how this reference differs from another's ids and logits")
    p.add_argument("model", type=Path)
    p.add_argument("reference", type=Path, help="NAME.json, with NAME.logits_first8.f32 beside it")
    p.add_argument("--positions", type=int, default=1 << 30, help="compare only so many ids")
    args = parser.parse_args()

    model = Llama(args.model)
    if args.command == "compare":
        print(compare(model, args.reference, args.positions))
        return 0
    ids = [int(word) for word in args.ids.split(",")]
    if args.command == "greedy":
        print(*greedy(model, ids, args.steps)[0])
        return 0
    rows = logits_of(model, ids)
    if args.output:
        args.output.write_bytes(rows.astype("<f4").tobytes())
        return 0
    for position, row in enumerate(rows):
        best = np.argsort(-row)[:5]
        print(f"{position}: " + "  ".join(f"{token} {row[token]:.6f}" for token in best))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
