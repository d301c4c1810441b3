# SPDX-License-Identifier: MIT
"""llama2.c's tokenizer.bin: reading, writing, a naive reference encoder, and synthetic vocabularies of any size.

    file    int32 max_token_length, then for each token: float32 score, int32 length, `length` bytes
    ids     0 <unk>, 1 <s> (BOS), 2 </s> (EOS), 3..258 the bytes <0x00>..<0xFF>, then pieces; a space is a space

Encoding (sentencepiece BPE): one space before a text that is not empty; every character that is a piece becomes its
id, every other its UTF-8 bytes as byte tokens; then, while two neighbours joined make a piece, join the pair whose
piece has the highest score, the leftmost of equals. This rescans after every join: the definition, not the fast way.
"""

from __future__ import annotations

import string
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

BOS = 1
EOS = 2
FIRST_BYTE = 3
FIRST_PIECE = 259

# Common English, in an order in which every piece is the join of two earlier ones: real text becomes merged tokens.
LETTERS = " etaonihsrdlumwy.,"
MERGES = [" t", "he", " the", "in", "er", " a", "nd", " and", "on", " h", "at", " he", " s", "re", "ou", "ed", " w"]


@dataclass(frozen=True)
class Tokenizer:
    pieces: list[bytes]
    scores: list[float]

    def encode(self, text: str, bos: bool = True) -> list[int]:
        ids_of = {piece: i for i, piece in reversed(list(enumerate(self.pieces))) if i >= FIRST_PIECE}
        ids: list[int] = []
        for character in (" " + text) if text else "":
            raw = character.encode()
            ids.extend([ids_of[raw]] if raw in ids_of else [FIRST_BYTE + byte for byte in raw])
        while True:
            best: tuple[float, int, int] | None = None
            for i, (left, right) in enumerate(pairwise(ids)):
                # Byte tokens are spelled <0xNN>; they join with nothing.
                joined = ids_of.get(self.pieces[left] + self.pieces[right]) if min(left, right) >= FIRST_PIECE else None
                if joined is not None and (best is None or self.scores[joined] > best[0]):
                    best = (self.scores[joined], i, joined)
            if best is None:
                return [BOS, *ids] if bos else ids
            ids[best[1] : best[1] + 2] = [best[2]]

    def to_bytes(self) -> bytes:
        parts = [struct.pack("<i", max(len(piece) for piece in self.pieces))]
        for piece, score in zip(self.pieces, self.scores, strict=True):
            parts.append(struct.pack("<fi", score, len(piece)) + piece)
        return b"".join(parts)


def read_tokenizer(path: Path) -> Tokenizer:
    data = path.read_bytes()
    pieces: list[bytes] = []
    scores: list[float] = []
    offset = 4
    while offset < len(data):
        score, length = struct.unpack_from("<fi", data, offset)
        pieces.append(data[offset + 8 : offset + 8 + length])
        scores.append(score)
        offset += 8 + length
    return Tokenizer(pieces, scores)


def synthetic_tokenizer(vocab_size: int) -> Tokenizer:
    """Unique printable pieces, best merges first, single characters last (as in Llama 2's own vocabulary).

    Small vocabularies take LETTERS and as many MERGES as fit; large ones take all of printable ASCII, then MERGES, then
    every earlier piece prolonged by a lower-case letter, breadth first, so that each is the join of two others."""
    room = vocab_size - FIRST_PIECE
    if room < len(LETTERS):
        raise ValueError(f"vocab_size {vocab_size}: at least {FIRST_PIECE + len(LETTERS)} are needed")
    if room <= len(LETTERS) + len(MERGES):
        pieces = [*MERGES[: room - len(LETTERS)], *LETTERS]
    else:
        others = (chr(code) for code in range(0x20, 0x7F) if chr(code) not in LETTERS)
        characters = [*LETTERS, *others][: room - len(MERGES)]
        merges = list(dict.fromkeys(MERGES))
        known = set(merges)
        queue = [" ", *string.ascii_lowercase]
        for stem in queue:
            if len(merges) >= room - len(characters):
                break
            for letter in string.ascii_lowercase:
                if stem + letter not in known:
                    known.add(stem + letter)
                    merges.append(stem + letter)
                queue.append(stem + letter)
        pieces = [*merges[: room - len(characters)], *characters]
    special = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256))]
    scores = [0.0] * FIRST_PIECE + [-float(i) for i in range(room)]
    return Tokenizer([*special, *(piece.encode() for piece in pieces)], scores)
