# SPDX-License-Identifier: MIT
"""Encodes long texts with a llama2.c vocabulary: word by word, each word once.

reference/spm_ref.py is the definition, in time that grows with the square of the text. Pieces never span a blank but in
front, so that words can be encoded alone: the same ids, in linear time.
"""

from __future__ import annotations

import re
from functools import lru_cache

from reference.spm_ref import Tokenizer


class FastTokenizer:
    def __init__(self, tokenizer: Tokenizer) -> None:
        spanning = [
            piece for piece in tokenizer.pieces[259:] if piece.rstrip(b" ").count(b" ") > piece.startswith(b" ")
        ]
        if spanning:
            raise ValueError(f"piece {spanning[0]!r} spans a blank")
        self._word = lru_cache(maxsize=None)(lambda word: tuple(tokenizer.encode(word, bos=False)))

    def encode(self, text: str) -> list[int]:
        # The reference puts a blank in front of what it encodes, so that a word is passed without its own.
        words = re.findall(r" [^ ]*", f" {text}")
        return [token for word in words for token in (self._word(word[1:]) if word != " " else self._lone_blank())]

    def _lone_blank(self) -> tuple[int, ...]:
        return self._word(" ")[:1]
