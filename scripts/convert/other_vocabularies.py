# SPDX-License-Identifier: MIT
"""Vocabularies in other files than tokenizer.json: SentencePiece's model, GPT-2's pair of files, and the small ones of
models that people train themselves (characters, or characters with merges).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.checkpoint import read_json
from convert.errors import ConvertError
from convert.pre_tokenizers import check_name
from convert.sentencepiece_model import read_sentencepiece
from convert.tokenizer_json import fill_gaps, token_list
from convert.vocabulary import AddedToken, Type, Vocabulary, looks_special, put_added

# The words and the merges of one vocabulary, as Hugging Face and as OpenAI name the files.
PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
# Tokenizers of transformers that have these files and cut texts otherwise than GPT-2's.
PRE_OF_CLASS = {"Qwen2Tokenizer": "qwen2", "Qwen2TokenizerFast": "qwen2"}
BLANK = "\u2581"


def read_sentencepiece_vocabulary(path: Path) -> Vocabulary:
    model = read_sentencepiece(path)
    texts, scores, types = (list(column) for column in zip(*model.pieces, strict=True))
    vocabulary = Vocabulary("llama", texts, types, scores)
    vocabulary.add_space_prefix = model.add_dummy_prefix
    vocabulary.special = {name: i for name, i in model.special.items() if i < len(texts)}
    return vocabulary


def read_merges(path: Path) -> list[str]:
    """Lines of two parts; the first may be a version."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise ConvertError(f"{path}: not readable as text: {error}") from error
    merges = [line.rstrip("\r") for i, line in enumerate(lines) if line and not (i == 0 and line.startswith("#"))]
    for merge in merges:
        if len(merge.split(" ")) != 2:
            raise ConvertError(f"{path}: {merge!r} is no merge, expected two parts with a blank between")
    return merges


def read_pair(words: Path, merges: Path, pre: str | None, tokenizer_class: str) -> Vocabulary:
    texts, types = fill_gaps(token_list(words, read_json(words)))
    name = check_name(pre) if pre else PRE_OF_CLASS.get(tokenizer_class, "gpt-2")
    vocabulary = Vocabulary("gpt2", texts, types, merges=read_merges(merges), pre=name)
    put_added(vocabulary, [AddedToken(i, text, True) for i, text in enumerate(texts) if looks_special(text)])
    end = next((i for i, text in enumerate(texts) if text == "<|endoftext|>"), None)
    if end is not None:
        vocabulary.special |= {"bos": end, "eos": end}
    return vocabulary


# --- models that people train themselves ------------------------------------------------------------------------------


def own_vocabulary(tokens: list[str], scores: list[float]) -> Vocabulary:
    """Tokens of characters, with nothing added to a text: SentencePiece's rules fit them, merges across blanks too."""
    texts = [token.replace(" ", BLANK) for token in tokens]
    vocabulary = Vocabulary("llama", texts, [Type.NORMAL] * len(texts), scores)
    vocabulary.is_standard = False
    vocabulary.add_bos = vocabulary.add_eos = vocabulary.add_space_prefix = False
    vocabulary.notes.append("a vocabulary of characters: no token ends an answer, so texts go on to their limit")
    if " " in tokens:
        # What a text has and the vocabulary has not: readers would take token 0, whatever that is.
        vocabulary.special["unk"] = tokens.index(" ")
    return vocabulary


def read_characters(path: Path, table: Any) -> Vocabulary:
    """nanoGPT's `itos` (a list, or text by id) or `stoi` (id by text)."""
    if isinstance(table, list):
        tokens = table
    elif isinstance(table, dict) and all(isinstance(value, int) for value in table.values()):
        tokens = [text if text is not None else "" for text in token_list(path, table)]
    elif isinstance(table, dict) and all(str(key).isdigit() for key in table):
        tokens = [table.get(str(i)) for i in range(len(table))]
    else:
        tokens = []
    if not tokens or not all(isinstance(token, str) for token in tokens):
        raise ConvertError(f"{path}: expected a list of tokens, 'itos' (text by id) or 'stoi' (id by text)")
    return own_vocabulary(tokens, [0.0] * len(tokens))


def read_merged_characters(path: Path, table: dict[str, Any]) -> Vocabulary:
    """`vocab`, a list of tokens, and `merges`, pairs of ids in order: each made the next token after the characters.

    SentencePiece's rule also joins a pair that is no merge when its text is a token, which few texts notice.
    """
    tokens, merges = table["vocab"], table["merges"]
    n_base = table.get("n_base", len(tokens) - len(merges))
    if n_base + len(merges) != len(tokens):
        raise ConvertError(
            f"{path}: {len(tokens)} tokens, expected 'n_base' {n_base} and one for each of {len(merges)} merges"
        )
    for i, pair in enumerate(merges):
        ids = pair if isinstance(pair, list) else []
        parts = [tokens[j] for j in ids if isinstance(j, int) and 0 <= j < n_base + i]
        if len(parts) != 2 or "".join(parts) != tokens[n_base + i]:
            raise ConvertError(f"{path}: merge {i} is {pair!r}, which does not make token {n_base + i}")
    return own_vocabulary(tokens, [-float(max(0, i - n_base)) for i in range(len(tokens))])


def read_own_vocabulary(path: Path, content: Any) -> Vocabulary:
    if isinstance(content, dict) and isinstance(content.get("vocab"), list) and isinstance(content.get("merges"), list):
        return read_merged_characters(path, content)
    if isinstance(content, dict):
        content = content.get("itos") or content.get("stoi") or content
    return read_characters(path, content)
