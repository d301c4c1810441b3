# SPDX-License-Identifier: MIT
"""llama2.c's tokenizer.bin from a SentencePiece model.

The model is a protocol buffer (sentencepiece_model.proto): field 1, repeated, is a piece, with the fields 1 (text),
2 (score, float32) and 3 (type, 1 if absent: 2 unknown, 3 control, 6 byte)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from reference.spm_ref import Tokenizer

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
CONTROL = 3


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("not a SentencePiece model: a number has no end")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field; of fixed ones their bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield key >> 3, value
            continue
        if kind not in (FIXED64, BYTES, FIXED32):
            raise ValueError(f"not a SentencePiece model: a field of wire type {kind}")
        length = {FIXED64: 8, FIXED32: 4}.get(kind)
        if length is None:
            length, at = varint(data, at)
        if length > len(data) - at:
            raise ValueError("not a SentencePiece model: a field leaves the file")
        yield key >> 3, data[at : at + length]
        at += length


def tokenizer_bin(model: bytes) -> bytes:
    """The bytes of tokenizer.bin, as llama2.c's tokenizer.py writes them."""
    pieces: list[bytes] = []
    scores: list[float] = []
    for number, value in fields(model):
        if number != 1 or not isinstance(value, bytes):
            continue
        piece = dict(fields(value))
        text, score = piece.get(1, b""), piece.get(2, bytes(4))
        if not isinstance(text, bytes) or not isinstance(score, bytes) or len(score) != 4:
            raise ValueError(f"not a SentencePiece model: piece {len(pieces)} is no text with a score")
        text = text.replace("▁".encode(), b" ")
        pieces.append(b"\n" + text + b"\n" if piece.get(3) == CONTROL else text)
        scores.append(struct.unpack("<f", score)[0])
    if not pieces:
        raise ValueError("not a SentencePiece model: it has no pieces")
    return Tokenizer(pieces, scores).to_bytes()
