# SPDX-License-Identifier: MIT
"""Reads tokenizer.json of Hugging Face's tokenizers: BPE over bytes (GPT-2's kind), or over characters with a fallback
to bytes, which is how SentencePiece's BPE models are spelled there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from convert.checkpoint import read_json
from convert.errors import ConvertError
from convert.pre_tokenizers import check_name, recognise
from convert.vocabulary import AddedToken, Type, Vocabulary, added_token, put_added

BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


def model_of(path: Path, tokenizer: dict[str, Any]) -> dict[str, Any]:
    model = tokenizer.get("model")
    if not isinstance(model, dict):
        raise ConvertError(f"{path}: 'model' is missing: not a tokenizer.json")
    # Files from before tokenizers 0.10 do not name BPE.
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind != "BPE":
        raise ConvertError(f"{path}: a {kind} tokenizer, which GGUF's vocabularies here cannot hold; expected BPE")
    if not isinstance(model.get("vocab"), dict) or not isinstance(model.get("merges"), list):
        raise ConvertError(f"{path}: 'model' has no 'vocab' or no 'merges', expected both")
    return model


def token_list(path: Path, vocab: dict[str, Any]) -> list[str | None]:
    """Tokens by id; None where an id is not used."""
    ids = list(vocab.values())
    if not all(isinstance(i, int) and 0 <= i < 2 * len(ids) + 1024 for i in ids) or len(set(ids)) != len(ids):
        raise ConvertError(f"{path}: 'vocab' has ids that are no counts, far apart or not unique")
    tokens: list[str | None] = [None] * (max(ids, default=-1) + 1)
    for text, token_id in vocab.items():
        tokens[token_id] = text
    return tokens


def merge_pairs(path: Path, merges: list[Any]) -> list[tuple[str, str]]:
    """Merges, which are "a b" in older files and ["a", "b"] in newer ones."""
    pairs = []
    for merge in merges:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise ConvertError(f"{path}: 'merges' has {merge!r}, expected a pair")
        pairs.append((parts[0], parts[1]))
    return pairs


def added_tokens(path: Path, tokenizer: dict[str, Any]) -> list[AddedToken]:
    entries = tokenizer.get("added_tokens") or []
    return [added_token(entry.get("id") if isinstance(entry, dict) else None, entry, path) for entry in entries]


def fill_gaps(tokens: list[str | None]) -> tuple[list[str], list[int]]:
    """Texts and types, unused where an id has no token."""
    texts = [f"[PAD{i}]" if text is None else text for i, text in enumerate(tokens)]
    return texts, [Type.UNUSED if text is None else Type.NORMAL for text in tokens]


# --- bytes ------------------------------------------------------------------------------------------------------------


def is_byte_level(tokenizer: dict[str, Any]) -> bool:
    """Whether tokens are spelled in GPT-2's letters for bytes."""

    def holds(part: object) -> bool:
        if isinstance(part, dict):
            return part.get("type") == "ByteLevel" or any(holds(value) for value in part.values())
        return isinstance(part, list) and any(holds(value) for value in part)

    return holds(tokenizer.get("pre_tokenizer")) or holds(tokenizer.get("decoder"))


def read_byte_level(path: Path, tokenizer: dict[str, Any], pre: str | None) -> Vocabulary:
    model = model_of(path, tokenizer)
    texts, types = fill_gaps(token_list(path, model["vocab"]))
    pairs = merge_pairs(path, model["merges"])
    name = check_name(pre) if pre else recognise(path, tokenizer)
    # A blank within a part cannot be told from the one between them; the letter for the byte can.
    merges = [" ".join(part.replace(" ", "\u0120") for part in pair) for pair in pairs]
    vocabulary = Vocabulary("gpt2", texts, types, merges=merges, pre=name)
    put_added(vocabulary, added_tokens(path, tokenizer))
    # Readers take it for granted with llama-bpe and tekken, and not with others.
    ignore_merges = bool(model.get("ignore_merges", False))
    if ignore_merges != (name in ("llama-bpe", "tekken")):
        vocabulary.ignore_merges = ignore_merges
    return vocabulary


# --- characters with byte fallback ------------------------------------------------------------------------------------


def scores_of(tokens: list[str], pairs: list[tuple[str, str]]) -> list[float]:
    """SentencePiece merges the pair whose result has the highest score, so the results' order in the merges is their
    score; what no merge makes comes after them and is never compared."""
    ranks: dict[str, int] = {}
    for left, right in pairs:
        ranks.setdefault(left + right, len(ranks))
    return [-float(ranks.get(token, len(ranks))) for token in tokens]


def adds_blank(tokenizer: dict[str, Any]) -> bool:
    """Whether a text gets a blank in front."""

    def holds(part: object) -> bool:
        if isinstance(part, list):
            return any(holds(value) for value in part)
        if not isinstance(part, dict):
            return False
        if part.get("type") == "Prepend":
            return part.get("prepend") == "\u2581"
        if part.get("type") == "Metaspace":
            scheme = part.get("prepend_scheme", "always" if part.get("add_prefix_space", True) else "never")
            return scheme in ("always", "first")
        return any(holds(part.get(name)) for name in ("normalizers", "pretokenizers"))

    return holds(tokenizer.get("normalizer")) or holds(tokenizer.get("pre_tokenizer"))


def read_byte_fallback(path: Path, tokenizer: dict[str, Any]) -> Vocabulary:
    model = model_of(path, tokenizer)
    texts, types = fill_gaps(token_list(path, model["vocab"]))
    unknown = model.get("unk_token")
    for i, text in enumerate(texts):
        if BYTE_TOKEN.fullmatch(text):
            types[i] = Type.BYTE
        elif text == unknown:
            types[i] = Type.UNKNOWN
    vocabulary = Vocabulary("llama", texts, types, scores_of(texts, merge_pairs(path, model["merges"])))
    vocabulary.add_space_prefix = adds_blank(tokenizer)
    put_added(vocabulary, added_tokens(path, tokenizer))
    return vocabulary


def read_tokenizer_json(path: Path, pre: str | None) -> Vocabulary:
    tokenizer = read_json(path)
    if is_byte_level(tokenizer):
        return read_byte_level(path, tokenizer, pre)
    if model_of(path, tokenizer).get("byte_fallback"):
        return read_byte_fallback(path, tokenizer)
    raise ConvertError(
        f"{path}: BPE over characters without 'byte_fallback', which GGUF's vocabularies here cannot hold; expected "
        "ByteLevel, or 'byte_fallback'"
    )
