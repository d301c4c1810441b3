# SPDX-License-Identifier: MIT
"""The vocabulary of a model, as GGUF holds it: tokens, scores or merges, types, special ids, and the chat template."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import gguf

from convert.checkpoint import Checkpoint
from convert.errors import ConvertError


@dataclass
class Vocabulary:
    notes: list[str] = field(default_factory=list)

    def add_keys(self, writer: gguf.GGUFWriter) -> None:
        del writer


def find_vocabulary(checkpoint: Checkpoint, vocab_size: int, named: Path | None, pre: str | None) -> Vocabulary:
    raise ConvertError(f"{checkpoint.folder}: vocabularies are not taken over yet; say --no-vocab")
