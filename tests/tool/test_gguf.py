# SPDX-License-Identifier: MIT
"""GGUF files of other people's making through the host tool: models that run, vocabularies alone, and refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import GGUF_VOCABULARIES, Tool, gguf_vectors, gguf_vocabulary


def test_a_half_precision_model_generates(kernels: str, llmk: Tool, assets_dir: Path) -> None:
    model = assets_dir / "gguf/llama-2-tiny-random.gguf"
    options = ["-p", "Once upon a time", "-n", "40", "--temp", "0", "--ids", "--kernels", kernels]
    result = llmk("generate", "-m", model, *options)
    assert result.returncode == 0, result.stderr.decode()
    ids = [int(word) for word in result.stdout.split()]
    assert ids[:5] == [1, 9038, 2501, 263, 931]
    assert all(0 <= token < 32000 for token in ids)


def test_a_half_precision_model_under_the_sanitizers(llmk_checked: Tool, assets_dir: Path) -> None:
    model = assets_dir / "gguf/llama-2-tiny-random.gguf"
    result = llmk_checked("generate", "-m", model, "-p", "Once upon a time", "-n", "8", "--temp", "0")
    assert result.returncode == 0, result.stderr.decode()


@pytest.mark.parametrize("name", GGUF_VOCABULARIES)
def test_vectors_of_a_vocabulary_alone(name: str, llmk: Tool, assets_dir: Path) -> None:
    assert assets_dir.is_dir()
    vectors = gguf_vectors(name)
    assert len(vectors) == 47
    for vector in vectors:
        result = llmk("tokens", "-m", gguf_vocabulary(name), "--no-bos", stdin=vector.text.encode())
        assert (result.returncode, [int(word) for word in result.stdout.split()]) == (0, vector.ids), vector.text


def test_a_vocabulary_may_be_named_as_tokenizer(llmk: Tool, assets_dir: Path) -> None:
    vocabulary = assets_dir / "gguf/vocab/ggml-vocab-llama-spm.gguf"
    result = llmk("tokens", "--tokenizer", vocabulary, "-p", "Hello world")
    assert result.stdout.split() == [b"1", b"15043", b"3186"]
    model = assets_dir / "gguf/llama-2-tiny-random.gguf"
    result = llmk("generate", "-m", model, "--tokenizer", vocabulary, "-p", "Hello world", "-n", "3", "--ids")
    assert result.stdout.split()[:3] == [b"1", b"15043", b"3186"], result.stderr.decode()


def test_info_of_a_model(llmk: Tool, assets_dir: Path) -> None:
    result = llmk("info", "-m", assets_dir / "gguf/stories260K.gguf")
    assert result.returncode == 0, result.stderr.decode()
    said = result.stdout.decode()
    for line in ("format: GGUF v3", "architecture: llama", "type: F32", "tokenizer_kind: spm", "tokens: 512"):
        assert re.search(rf"^{line}$", said, re.MULTILINE), line


def test_info_of_a_vocabulary_alone(llmk: Tool, assets_dir: Path) -> None:
    result = llmk("info", "-m", assets_dir / "gguf/vocab/ggml-vocab-gpt-2.gguf")
    assert result.returncode == 0, result.stderr.decode()
    said = result.stdout.decode()
    for line in ("architecture: gpt2", "tokenizer_kind: bpe", "tokens: 50257", "merges: 50000", "pre_tokenizer: gpt-2"):
        assert re.search(rf"^{line}$", said, re.MULTILINE), line


REFUSED = {
    "example.gguf": "byte-swapped",
    "merlion-test-model.gguf": "'tokenizer.ggml.model' is missing",
    "test_writer.gguf": "'dict1' has the value type 13",
    "vocab/ggml-vocab-llama-spm.gguf": "a vocabulary only",
    "vocab/ggml-vocab-falcon.gguf": "architecture 'falcon' is not known; known are: ",
    "vocab/old-v1-llama-467382.gguf": "version 1",
    "vocab/old-badmagic-FUGG-v1-llama.gguf": "byte-swapped",
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusals_are_one_sentence(name: str, llmk_checked: Tool, assets_dir: Path) -> None:
    result = llmk_checked("generate", "-m", assets_dir / "gguf" / name, "-n", "4")
    error = result.stderr.decode("utf-8", "replace")
    assert result.returncode == 1, error
    assert result.stdout == b""
    assert len(error.splitlines()) == 1, error
    assert REFUSED[name] in error
