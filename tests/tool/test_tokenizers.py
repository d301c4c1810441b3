# SPDX-License-Identifier: MIT
"""The host tool's token ids against those of the libraries that the models were trained with: `tokenizers` for
byte-level BPE, `sentencepiece` for SPM, on thousands of random texts (tests/random_text.py) and on llama.cpp's vectors.

A kind of vocabulary that the reference data have no file of is tested with GPT-2's vocabulary under that kind's
pre-tokenizer. `expected` is made of the library's own parts, as the models' tokenizer.json name them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from random_text import random_texts
from reference.make_pretokenizer_fixture import pre_tokenizers
from sentencepiece import SentencePieceProcessor
from support import Tool, assets, gguf_vectors, gguf_vocabulary
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence
from vocabularies import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    BpeVocabulary,
    alphabet,
    read_encoder,
    read_gguf,
    read_tiktoken,
    write_gguf,
)

TEXTS = 10_000
SPECIAL_TEXTS = 1_000
SEED = 20_240_607
# Of these the model cards' tokenizer.json have the normalizer NFC.
NORMALIZED = {"qwen2", "mpt"}
# These have no token for some bytes: falcon for a few controls and rare lead bytes, mpt for those past plane 3.
LACKING_BYTES = {"falcon", "mpt"}
LLAMA3_ADDED = {
    "<|begin_of_text|>": CONTROL,
    "<|end_of_text|>": CONTROL,
    "<|reserved_special_token_0|>": CONTROL,
    "<|reserved_special_token_00|>": CONTROL,
    "<|start_header_id|>": CONTROL,
    "<|end_header_id|>": CONTROL,
    "<|eom_id|>": CONTROL,
    "<|eot_id|>": CONTROL,
    "<|python_tag|>": CONTROL,
}
QWEN_ADDED = {
    "<|endoftext|>": CONTROL,
    "<|im_start|>": CONTROL,
    "<|im_end|>": CONTROL,
    "<tool_call>": USER_DEFINED,
    "</tool_call>": USER_DEFINED,
    "<think>": USER_DEFINED,
    "</think>": USER_DEFINED,
}


def llama_bpe() -> BpeVocabulary:
    folder = assets() / "tokenizers"
    return read_encoder(folder / "llama3.2_encoder.json", folder / "llama3.2_vocab.bpe", "llama-bpe", True)


def qwen2() -> BpeVocabulary:
    return read_tiktoken(assets() / "tokenizers/qwen.tiktoken", "qwen2", False)


def of_gguf(name: str) -> Callable[[], BpeVocabulary]:
    return lambda: read_gguf(gguf_vocabulary(name))


# The vocabulary of a kind, and whether llama.cpp has vectors for it.
OWN_VOCABULARIES = {
    "gpt-2": of_gguf("gpt-2"),
    "falcon": of_gguf("falcon"),
    "mpt": of_gguf("mpt"),
    "deepseek-coder": of_gguf("deepseek-coder"),
    "llama-bpe": llama_bpe,
    "qwen2": qwen2,
}
# Name in the file, and the name of the same expressions among pre_tokenizers().
BORROWED_VOCABULARY = {
    "default": "default",
    "deepseek-llm": "deepseek-llm",
    "starcoder": "starcoder",
    "refact": "starcoder",
    "gpt-4o": "gpt-4o",
    "tekken": "tekken",
}


@functools.cache
def vocabulary_of(kind: str) -> BpeVocabulary:
    if kind in OWN_VOCABULARIES:
        return OWN_VOCABULARIES[kind]()
    return vocabulary_of("gpt-2").with_pre(kind)


@functools.cache
def texts() -> list[str]:
    return list(random_texts(TEXTS, SEED))


def reference(kind: str, vocabulary: BpeVocabulary) -> Tokenizer:
    """The same tokenizer of the library's parts."""
    ids = {token: i for i, token in reversed(list(enumerate(vocabulary.tokens)))}
    # A side of a merge may begin with the blank that would part the two.
    merges = [(merge[: (at := merge.index(" ", 1))], merge[at + 1 :]) for merge in vocabulary.merges]
    tokenizer = Tokenizer(BPE(vocab=ids, merges=merges, ignore_merges=vocabulary.ignore_merges))
    if kind in NORMALIZED:
        tokenizer.normalizer = NFC()
    name = {"mpt": "gpt-2"}.get(kind, BORROWED_VOCABULARY.get(kind, kind))
    spell = ByteLevel(add_prefix_space=False, use_regex=False)
    words = pre_tokenizers()[name]
    tokenizer.pre_tokenizer = words if name == "gpt-2" else Sequence([words, spell])
    typed = list(zip(vocabulary.tokens, vocabulary.types, strict=True))
    control = [AddedToken(name, normalized=False, special=True) for name, kind in typed if kind in (CONTROL, UNKNOWN)]
    added = [AddedToken(name, normalized=False) for name, kind in typed if kind == USER_DEFINED]
    tokenizer.add_special_tokens(control)
    tokenizer.add_tokens(added)
    return tokenizer


def expected(tokenizer: Tokenizer, sources: list[str], parse_special: bool = False) -> list[list[int]]:
    tokenizer.encode_special_tokens = not parse_special
    return [encoding.ids for encoding in tokenizer.encode_batch(sources, add_special_tokens=False)]


def ids_of(llmk: Tool, arguments: list[str | Path], sources: list[str]) -> list[list[int]]:
    """What the host tool makes of these texts, in one run."""
    command = ["tokens", *arguments, "--no-bos", "--null"]
    result = llmk(*command, stdin="".join(text + "\0" for text in sources).encode())
    assert result.returncode == 0, result.stderr.decode()
    lines = result.stdout.decode().split("\n")
    assert len(lines) == len(sources) + 1
    return [[int(word) for word in line.split()] for line in lines[:-1]]


def assert_equal(sources: list[str], got: list[list[int]], wanted: list[list[int]]) -> None:
    wrong = [(text, a, b) for text, a, b in zip(sources, got, wanted, strict=True) if a != b]
    shown = "\n".join(f"{text!a}\n  got      {a}\n  expected {b}" for text, a, b in wrong[:5])
    assert not wrong, f"{len(wrong)} of {len(sources)} texts differ; the first:\n{shown}"


def missing_bytes(vocabulary: BpeVocabulary) -> set[int]:
    """Bytes without a token of their own. Nothing is right for them: `tokenizers` forgets the byte before it merges, so
    that its neighbours may join; llama.cpp and this project forget it afterwards."""
    tokens = set(vocabulary.tokens)
    return {byte for byte, letter in alphabet().items() if letter not in tokens}


def write(folder: Path, vocabulary: BpeVocabulary) -> Path:
    path = folder / "vocabulary.gguf"
    write_gguf(path, vocabulary)
    return path


def test_the_texts_are_worth_comparing() -> None:
    sources = texts()
    assert sources == list(random_texts(TEXTS, SEED)), "the same seed gives the same texts"
    assert len(set(sources)) > 0.9 * TEXTS
    assert not any("\0" in text for text in sources)
    assert max(map(len, sources)) > 60
    assert len(set("".join(sources))) > 10_000
    joined = "\n".join(sources)
    for part in ("'s", "'RE", "\r\n", "  ", "\u3000", "\u0301", "\u200d", "²", "\u1100", "<s>", "▁"):
        assert part in joined, f"{part!a}"


@pytest.mark.parametrize("kind", OWN_VOCABULARIES)
def test_vectors(kind: str, llmk: Tool, assets_dir: Path, tmp_path: Path) -> None:
    assert assets_dir.is_dir()
    vectors = gguf_vectors(kind)
    assert len(vectors) == 47
    sources = [vector.text for vector in vectors]
    wanted = [vector.ids for vector in vectors]
    vocabulary = vocabulary_of(kind)
    assert_equal(sources, ids_of(llmk, ["-m", write(tmp_path, vocabulary)], sources), wanted)
    # The library's tokenizer that the random texts are compared with is the right one.
    assert_equal(sources, expected(reference(kind, vocabulary), sources), wanted)


@pytest.mark.parametrize("kind", [*OWN_VOCABULARIES, *BORROWED_VOCABULARY])
def test_byte_level_bpe_on_random_texts(kind: str, llmk: Tool, assets_dir: Path, tmp_path: Path) -> None:
    assert assets_dir.is_dir()
    vocabulary = vocabulary_of(kind)
    missing = missing_bytes(vocabulary)
    assert (missing != set()) == (kind in LACKING_BYTES)
    sources = ["".join(c for c in text if missing.isdisjoint(c.encode())) for text in texts()]
    assert_equal(
        sources,
        ids_of(llmk, ["-m", write(tmp_path, vocabulary)], sources),
        expected(reference(kind, vocabulary), sources),
    )


def test_another_pre_tokenizer_shows(llmk: Tool, assets_dir: Path, tmp_path: Path) -> None:
    """The random texts tell every two pre-tokenizers apart, whichever of them GPT-2's vocabulary is used with."""
    assert assets_dir.is_dir()
    sources = texts()[:2000]
    seen: dict[str, list[list[int]]] = {}
    for kind in ("gpt-2", "default", "deepseek-llm", "deepseek-coder", "starcoder", "falcon", "llama-bpe", "qwen2"):
        path = write(tmp_path, vocabulary_of("gpt-2").with_pre(kind))
        seen[kind] = ids_of(llmk, ["-m", path], sources)
        for other, ids in seen.items():
            assert other == kind or ids != seen[kind], f"{kind} and {other} give the same ids"


# --- sentencepiece ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [("-m", "gguf/vocab/ggml-vocab-llama-spm.gguf"), ("--tokenizer", "tokenizers/llama2_tokenizer.bin")],
    ids=["gguf", "llama2c"],
)
def test_llama2_on_random_texts(arguments: tuple[str, str], llmk: Tool, assets_dir: Path) -> None:
    processor = SentencePieceProcessor(model_file=str(assets_dir / "tokenizers/llama2_tokenizer.model"))
    flag, path = arguments
    sources = texts()
    assert_equal(sources, ids_of(llmk, [flag, assets_dir / path], sources), processor.encode(sources))


def test_tinystories_on_random_texts(llmk: Tool, assets_dir: Path) -> None:
    """A small vocabulary. Its model drops blanks at the ends and all but one in a row, which tokenizer.bin does not
    say; so the texts have none of them."""
    processor = SentencePieceProcessor(model_file=str(assets_dir / "tokenizers/tinystories_tok4096.model"))
    sources = [re.sub("[ \u2581]+", " ", text).strip(" ") for text in texts()]
    tokenizer = assets_dir / "tokenizers/tinystories_tok4096.bin"
    assert_equal(sources, ids_of(llmk, ["--tokenizer", tokenizer], sources), processor.encode(sources))


# --- special tokens ---------------------------------------------------------------------------------------------------


def with_special(kind: str) -> BpeVocabulary:
    return vocabulary_of(kind).with_added(LLAMA3_ADDED if kind == "llama-bpe" else QWEN_ADDED)


def special_texts(vocabulary: BpeVocabulary) -> list[str]:
    """Texts with the names of special tokens in them, whole, in part and in other letters."""
    names = [token for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True) if kind != NORMAL]
    pieces = [*names, *names, *(name[:-1] for name in names), *(name[1:] for name in names), *map(str.upper, names)]
    return list(random_texts(SPECIAL_TEXTS, SEED, (*pieces, "<|", "|>", "<|<|", "system", "user\n\n")))


@pytest.mark.parametrize("kind", ["llama-bpe", "qwen2"])
def test_special_tokens(kind: str, llmk: Tool, assets_dir: Path, tmp_path: Path) -> None:
    """As a person types them: letters. As a template has them: tokens. Added ones that are no structure: both times."""
    assert assets_dir.is_dir()
    vocabulary = with_special(kind)
    path = write(tmp_path, vocabulary)
    sources = special_texts(vocabulary)
    library = reference(kind, vocabulary)
    control = {i for i, type_ in enumerate(vocabulary.types) if type_ == CONTROL}

    typed = ids_of(llmk, ["-m", path], sources)
    assert_equal(sources, typed, expected(library, sources))
    assert control.isdisjoint(token for ids in typed for token in ids)

    parsed = ids_of(llmk, ["-m", path, "--parse-special"], sources)
    assert_equal(sources, parsed, expected(library, sources, parse_special=True))
    assert control <= {token for ids in parsed for token in ids}, "every control token was met"
