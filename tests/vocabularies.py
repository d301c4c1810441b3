# SPDX-License-Identifier: MIT
"""Vocabularies alone, read from the reference data in their several forms and written as GGUF: what a tokenizer under
test and the reference library are both made of."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY = 5, 6, 7, 8, 9
# struct's letter for each of GGUF's value types; strings and arrays have none.
LETTERS = "BbHhIif?__Qqd"


@dataclass(frozen=True)
class BpeVocabulary:
    """Byte-level BPE: token id i is tokens[i], in GPT-2's alphabet; merges are "left right"."""

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    ignore_merges: bool = False

    def with_pre(self, pre: str) -> BpeVocabulary:
        return replace(self, pre=pre)

    def with_added(self, names: dict[str, int]) -> BpeVocabulary:
        """With more tokens at the end, each with its type."""
        return replace(self, tokens=[*self.tokens, *names], types=[*self.types, *names.values()])


def alphabet() -> dict[int, str]:
    """GPT-2's character for each byte: those that print are themselves, the others 256 and on."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {byte: chr(byte) for byte in printing} | {byte: chr(256 + i) for i, byte in enumerate(others)}


# --- GGUF -------------------------------------------------------------------------------------------------------------


@dataclass
class GgufReader:
    """The metadata of a GGUF file, little-endian."""

    file: BinaryIO
    values: dict[str, object] = field(default_factory=dict)

    def number(self, letter: str) -> int | float | bool:
        form = struct.Struct(f"<{letter}")
        value: int | float | bool = form.unpack(self.file.read(form.size))[0]
        return value

    def text(self) -> str:
        return self.file.read(int(self.number("Q"))).decode()

    def value(self, kind: int) -> object:
        if kind == GGUF_STRING:
            return self.text()
        if kind != GGUF_ARRAY:
            return self.number(LETTERS[kind])
        element, count = int(self.number("I")), int(self.number("Q"))
        return [self.value(element) for _ in range(count)]

    def read(self) -> dict[str, object]:
        magic, _, _, keys = struct.unpack("<4sIQQ", self.file.read(24))
        assert magic == b"GGUF"
        for _ in range(keys):
            key = self.text()
            self.values[key] = self.value(int(self.number("I")))
        return self.values


def read_gguf(path: Path) -> BpeVocabulary:
    with path.open("rb") as file:
        values = GgufReader(file).read()
    tokens, types, merges = (values[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type", "merges"))
    assert isinstance(tokens, list)
    assert isinstance(types, list)
    assert isinstance(merges, list)
    return BpeVocabulary(str(values["tokenizer.ggml.pre"]), tokens, types, merges)


def write_gguf(path: Path, vocabulary: BpeVocabulary) -> None:
    """A GGUF v3 file with this vocabulary and no tensors."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    def array(element: int, items: list[bytes]) -> bytes:
        return struct.pack("<IQ", element, len(items)) + b"".join(items)

    pairs: list[tuple[str, int, bytes]] = [
        ("general.architecture", GGUF_STRING, text("llama")),
        ("tokenizer.ggml.model", GGUF_STRING, text("gpt2")),
        ("tokenizer.ggml.pre", GGUF_STRING, text(vocabulary.pre)),
        ("tokenizer.ggml.tokens", GGUF_ARRAY, array(GGUF_STRING, [text(token) for token in vocabulary.tokens])),
        (
            "tokenizer.ggml.token_type",
            GGUF_ARRAY,
            array(GGUF_I32, [struct.pack("<i", kind) for kind in vocabulary.types]),
        ),
        ("tokenizer.ggml.merges", GGUF_ARRAY, array(GGUF_STRING, [text(merge) for merge in vocabulary.merges])),
        ("tokenizer.ggml.ignore_merges", GGUF_BOOL, struct.pack("<?", vocabulary.ignore_merges)),
        ("tokenizer.ggml.add_bos_token", GGUF_BOOL, struct.pack("<?", False)),
    ]
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, 0, len(pairs))]
    parts += [text(key) + struct.pack("<I", kind) + value for key, kind, value in pairs]
    path.write_bytes(b"".join(parts))


# --- other forms ------------------------------------------------------------------------------------------------------


def read_tiktoken(path: Path, pre: str, ignore_merges: bool) -> BpeVocabulary:
    """A list of tokens by rank. A token's merge is the last one when its bytes are merged by the tokens before it."""
    tokens = [base64.b64decode(line.split()[0]) for line in path.read_bytes().splitlines() if line]
    ranks = {token: rank for rank, token in enumerate(tokens)}
    letters = alphabet()
    spelled = {token: "".join(letters[byte] for byte in token) for token in tokens}
    merges = []
    for rank, token in enumerate(tokens):
        parts = merged(token, ranks, rank)
        if len(parts) == 2:
            merges.append(f"{spelled[parts[0]]} {spelled[parts[1]]}")
    return BpeVocabulary(pre, [spelled[token] for token in tokens], [NORMAL] * len(tokens), merges, ignore_merges)


def merged(token: bytes, ranks: dict[bytes, int], below: int) -> list[bytes]:
    """The bytes of a token after all merges of a lower rank than `below`."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        candidates = [ranks.get(parts[i] + parts[i + 1], below) for i in range(len(parts) - 1)]
        best = min(candidates)
        if best >= below:
            break
        at = candidates.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def read_encoder(encoder: Path, bpe: Path, pre: str, ignore_merges: bool) -> BpeVocabulary:
    """GPT-2's own pair of files: a token's id by its spelling, and the merges, one a line."""
    ids: dict[str, int] = json.loads(encoder.read_text(encoding="utf-8"))
    tokens = sorted(ids, key=lambda token: ids[token])
    assert [ids[token] for token in tokens] == list(range(len(tokens)))
    lines = bpe.read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines if line and not line.startswith("#version")]
    return BpeVocabulary(pre, tokens, [NORMAL] * len(tokens), merges, ignore_merges)
