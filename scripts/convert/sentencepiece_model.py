# SPDX-License-Identifier: MIT
"""Reads SentencePiece's tokenizer.model, a protocol buffer (sentencepiece_model.proto of google/sentencepiece).

Of its fields only the pieces, the kind of model and the prefix of a blank are of use here, so the wire format
(protobuf.dev, "Encoding") is read as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from convert.errors import ConvertError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Fields of ModelProto, SentencePiece, TrainerSpec and NormalizerSpec.
PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_TYPE = 1, 2, 3
MODEL_TYPE = 3
ADD_DUMMY_PREFIX = 3
# TrainerSpec's field of each special id, and the id when it is left out; -1 is none.
SPECIAL_IDS = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2), "pad": (43, -1)}
MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "character"}
# SentencePiece's types have GGUF's numbers (normal 1, unknown 2, control 3, user-defined 4, unused 5, byte 6).
NORMAL = 1


@dataclass
class SentencePieceModel:
    pieces: list[tuple[str, float, int]] = field(default_factory=list)
    # The proto's default.
    model_type: int = 1
    add_dummy_prefix: bool = True
    special: dict[str, int] = field(default_factory=dict)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        value: int | bytes
        if kind == VARINT:
            value, at = varint(data, at)
        elif kind == BYTES:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(data):
            raise ValueError("a field that leaves the file")
        yield tag >> 3, kind, value


def read_piece(data: bytes) -> tuple[str, float, int]:
    text, score, kind = "", 0.0, NORMAL
    for number, wire, value in fields(data):
        if number == PIECE_TEXT and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == PIECE_SCORE and wire == FIXED32 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif number == PIECE_TYPE and isinstance(value, int):
            kind = value
    return text, score, kind


def number_of(data: bytes, wanted: int, default: int) -> int:
    """A number field of a message, or what it is when it is left out."""
    value = default
    for number, _, found in fields(data):
        if number == wanted and isinstance(found, int):
            value = found
    return value


def parse(data: bytes) -> SentencePieceModel:
    model = SentencePieceModel()
    for number, _, value in fields(data):
        if not isinstance(value, bytes):
            continue
        if number == PIECES:
            model.pieces.append(read_piece(value))
        elif number == TRAINER:
            model.model_type = number_of(value, MODEL_TYPE, 1)
            ids = {name: number_of(value, number, default) for name, (number, default) in SPECIAL_IDS.items()}
            # Below none is written as a number of 64 bits.
            model.special = {name: token_id for name, token_id in ids.items() if 0 <= token_id < 1 << 31}
        elif number == NORMALIZER:
            model.add_dummy_prefix = number_of(value, ADD_DUMMY_PREFIX, 1) != 0
    return model


def is_tiktoken(path: Path) -> bool:
    """Whether this is a list of base64 words and ranks, as Llama 3 has it under the same name."""
    with path.open("rb") as file:
        words = file.readline(4096).split()
    return len(words) == 2 and words[1].isdigit()


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """The model; refuses kinds that GGUF's "llama" vocabulary cannot hold."""
    if is_tiktoken(path):
        raise ConvertError(f"{path}: a tiktoken vocabulary, which is not read here; its tokenizer.json is")
    try:
        model = parse(path.read_bytes())
    except (ValueError, IndexError, struct.error) as error:
        raise ConvertError(f"{path}: not a SentencePiece model, or cut short: {error}") from error
    if not model.pieces:
        raise ConvertError(f"{path}: holds no pieces: not a SentencePiece model")
    if MODEL_TYPES.get(model.model_type) != "BPE":
        kind = MODEL_TYPES.get(model.model_type, str(model.model_type))
        raise ConvertError(
            f"{path}: a model of the kind {kind}, expected BPE, which Llama's, Mistral's and Gemma's are"
        )
    return model
