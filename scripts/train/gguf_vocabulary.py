# SPDX-License-Identifier: MIT
"""The vocabulary inside a GGUF file as a sentencepiece model: the file alone is enough to measure a model.

sentencepiece reads a protocol buffer; this writes the fields it needs (sentencepiece_model.proto of
google/sentencepiece; wire format: protobuf.dev, "Encoding"). Vocabularies of the kind "llama" only: BPE by scores, with
byte fallback.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gguf
import sentencepiece

VARINT, BYTES, FIXED32 = 0, 2, 5
PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_TYPE = 1, 2, 3
MODEL_TYPE, BPE, BYTE_FALLBACK, UNK_ID, BOS_ID, EOS_ID = 3, 2, 35, 40, 41, 42
NORMALIZER_NAME, ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES = 1, 3, 4


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3 | VARINT) + varint(value)


def message(field: int, data: bytes) -> bytes:
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def piece(text: str, score: float, kind: int) -> bytes:
    """GGUF's token types have SentencePiece's numbers."""
    score_field = varint(PIECE_SCORE << 3 | FIXED32) + struct.pack("<f", score)
    return message(PIECES, message(PIECE_TEXT, text.encode()) + score_field + number(PIECE_TYPE, kind))


def read_vocabulary(path: Path) -> sentencepiece.SentencePieceProcessor:
    """The vocabulary of a GGUF file; ValueError where it is none that sentencepiece can stand for."""
    reader = gguf.GGUFReader(path)

    def stored(key: str, default: Any = None) -> Any:
        entry = reader.get_field(f"tokenizer.ggml.{key}")
        if entry is None and default is None:
            raise ValueError(f"{path}: tokenizer.ggml.{key} is missing: name a vocabulary with --vocabulary")
        return default if entry is None else entry.contents()

    if (kind := stored("model")) != "llama":
        raise ValueError(f'{path}: tokenizer.ggml.model is {kind}, not "llama": name a vocabulary with --vocabulary')
    parts = zip(stored("tokens"), stored("scores"), stored("token_type"), strict=True)
    ids = {UNK_ID: "unknown_token_id", BOS_ID: "bos_token_id", EOS_ID: "eos_token_id"}
    trainer = number(MODEL_TYPE, BPE) + number(BYTE_FALLBACK, 1)
    trainer += b"".join(number(field, stored(key)) for field, key in ids.items())
    normalizer = message(NORMALIZER_NAME, b"identity") + number(REMOVE_EXTRA_WHITESPACES, 0)
    normalizer += number(ADD_DUMMY_PREFIX, int(bool(stored("add_space_prefix", True))))
    proto = b"".join(piece(*part) for part in parts) + message(TRAINER, trainer) + message(NORMALIZER, normalizer)
    return sentencepiece.SentencePieceProcessor(model_proto=proto)
