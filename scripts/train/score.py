# SPDX-License-Identifier: MIT
"""How many nats a model needs for a text, each byte of it counted.

The text is cut into stories. A story costs its tokens and the end token, given BOS in front: the end token stands for
the blank line between stories. So the whole is a code of the text, byte for byte, and vocabularies can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from train.data import Row, padded, rows_of
from train.model import Llama
from train.stories import split_paragraphs


@dataclass(frozen=True)
class Score:
    nats: float
    tokens: int
    size_bytes: int

    @property
    def nats_a_token(self) -> float:
        return self.nats / max(1, self.tokens)

    @property
    def nats_a_byte(self) -> float:
        return self.nats / max(1, self.size_bytes)


@torch.no_grad()
def score_rows(model: Llama, rows: list[Row], batch_tokens: int = 8192) -> tuple[float, int]:
    """Nats and tokens. The model's own precision, unless the caller casts."""
    device = model.embedding.weight.device
    rows = sorted(rows, key=lambda row: len(row.ids))
    nats, tokens, at = 0.0, 0, 0
    while at < len(rows):
        end = at + 1
        while end < len(rows) and (end - at + 1) * len(rows[end].ids) <= batch_tokens:
            end += 1
        batch = padded(rows[at:end])
        losses = model(batch.ids.to(device), batch.targets.to(device))
        nats, tokens, at = nats + float(losses.double().sum()), tokens + losses.numel(), end
    return nats, tokens


def score_text(
    model: Llama, text: str, encode: Callable[[str], Sequence[int]], bos: int, end: int, every: int = 1
) -> Score:
    """`every` > 1 takes that share of the stories only: for a look while training."""
    rows: list[Row] = []
    size = 0
    for story in split_paragraphs(text)[::every]:
        size += len(story.encode())
        rows += rows_of([bos, *encode(story.removesuffix("\n\n")), end], model.shape.seq_len)
    training = model.training
    model.eval()
    nats, tokens = score_rows(model, rows)
    model.train(training)
    return Score(nats, tokens, size)
