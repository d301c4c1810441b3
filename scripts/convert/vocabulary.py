# SPDX-License-Identifier: MIT
"""A vocabulary as GGUF holds it: tokens, scores or merges, types, special ids, flags, and the chat template.

The same for all sources; source files fill it (find_vocabulary.py says which).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import gguf

from convert.errors import ConvertError

Type = gguf.TokenType
# Scores of tokens that are not found by merging, as llama.cpp's converter has them.
ADDED_SCORE = -1000.0
PADDING_SCORE = -10000.0


@dataclass
class Vocabulary:
    """`kind` is `tokenizer.ggml.model`: "llama" (SentencePiece, with scores) or "gpt2" (bytes, with merges)."""

    kind: str
    tokens: list[str]
    types: list[int]
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)
    pre: str = "default"
    # By the names in GGUF's keys without `_token_id`: bos, eos, unk, pad, eot, eom.
    special: dict[str, int] = field(default_factory=dict)
    add_bos: bool | None = None
    add_eos: bool | None = None
    add_space_prefix: bool | None = None
    ignore_merges: bool | None = None
    chat_template: Any = None
    # Whether the files beside it speak of special ids, flags and a template for it.
    is_standard: bool = True
    notes: list[str] = field(default_factory=list)

    def put(self, token_id: int, text: str, token_type: int) -> None:
        """Sets a token, with unused ones before it where there are gaps."""
        self.pad(token_id + 1)
        self.tokens[token_id] = text
        self.types[token_id] = token_type
        if self.kind == "llama":
            self.scores[token_id] = ADDED_SCORE

    def pad(self, size: int) -> None:
        """Unused tokens up to `size`, which is how many rows the embedding table has."""
        for token_id in range(len(self.tokens), size):
            self.tokens.append(f"[PAD{token_id}]")
            self.types.append(Type.UNUSED)
            if self.kind == "llama":
                self.scores.append(PADDING_SCORE)

    def cut(self, size: int, source: object) -> None:
        """Leaves out what the embedding table has no rows for."""
        beyond = len(self.tokens) - size
        if beyond <= 0:
            return
        if beyond > size // 2 + 8:
            raise ConvertError(f"{source}: {len(self.tokens)} tokens, the model has {size} rows: another's tokenizer")
        self.notes.append(f"{beyond} tokens past the model's {size} rows are left out, from {self.tokens[size]!r} on")
        del self.tokens[size:], self.types[size:], self.scores[size:]
        self.special = {name: token_id for name, token_id in self.special.items() if token_id < size}

    def add_keys(self, writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model(self.kind)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list([token.encode("utf-8") for token in self.tokens])
        if self.scores:
            writer.add_token_scores(self.scores)
        writer.add_token_types(self.types)
        if self.merges:
            writer.add_token_merges(self.merges)
        for name, token_id in self.special.items():
            getattr(writer, f"add_{name}_token_id")(token_id)
        flags = {"bos_token": self.add_bos, "eos_token": self.add_eos, "space_prefix": self.add_space_prefix}
        for key, flag in flags.items():
            if flag is not None:
                getattr(writer, f"add_add_{key}")(flag)
        if self.ignore_merges is not None:
            writer.add_bool("tokenizer.ggml.ignore_merges", self.ignore_merges)
        if self.chat_template:
            writer.add_chat_template(self.chat_template)


def looks_special(text: str) -> bool:
    """Added tokens whose name alone says that they structure a prompt, though nothing declares them special."""
    pairs = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
    return text in ("<pad>", "<mask>") or any(text.startswith(a) and text.endswith(b) for a, b in pairs)


@dataclass(frozen=True)
class AddedToken:
    id: int
    text: str
    is_special: bool


def added_token(token_id: object, entry: object, source: object) -> AddedToken:
    """From an entry of tokenizer.json's added_tokens or tokenizer_config.json's added_tokens_decoder."""
    try:
        assert isinstance(entry, dict)
        return AddedToken(int(str(token_id)), str(entry["content"]), bool(entry.get("special", False)))
    except (AssertionError, KeyError, ValueError) as error:
        raise ConvertError(f"{source}: an added token {token_id!r}: {entry!r}, expected 'id' and 'content'") from error


def put_added(vocabulary: Vocabulary, added: Iterable[AddedToken]) -> None:
    """Control tokens, and tokens of the user's own, which are found in texts before anything else."""
    for token in sorted(added, key=lambda t: t.id):
        if token.id > len(vocabulary.tokens) + (1 << 20):
            size = len(vocabulary.tokens)
            raise ConvertError(f"the added token {token.text!r} has the id {token.id}, the vocabulary {size} tokens")
        if token.is_special or looks_special(token.text):
            vocabulary.put(token.id, token.text, Type.CONTROL)
        else:
            # SentencePiece's blank: such tokens are compared with the text as it is.
            vocabulary.put(token.id, token.text.replace("\u2581", " "), Type.USER_DEFINED)
