# SPDX-License-Identifier: MIT
"""The numbers: greedy ids, logits and published texts of the host tool equal to the references, for each kernel set."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support import (
    ASSET_REFERENCES,
    GGUF_REFERENCES,
    TINY_MODELS,
    Reference,
    Tool,
    asset_reference,
    published_texts,
    tiny_reference,
)

TOLERANCE_FLOAT = 2e-4
TOLERANCE_INT8 = 2e-2
# The tiny int8 models are chosen so that no activation of these positions can round to two sides.
TOLERANCE_TINY = 5e-4
# A rounding that falls the other way may change a word of an int8 text, later than this.
INT8_IDS = 150
PUBLISHED = range(6)


def ids_of(output: bytes) -> list[int]:
    return [int(word) for word in output.split()]


def greedy_ids(llmk: Tool, expected: Reference, kernels: str) -> list[int]:
    options = ["-p", expected.prompt, "-n", str(expected.steps), "--temp", "0", "--ids", "--kernels", kernels]
    # Activations that are rounded to int8 make near ties of their own; a cache in F16 would decide some of them.
    options += ["--kv", "f32"] if expected.is_int8 else []
    result = llmk("generate", "-m", expected.model, *options)
    assert result.returncode == 0, result.stderr.decode()
    # Nothing but the ids, parted by spaces.
    assert re.fullmatch(rb"\d+( \d+)*\n?", result.stdout), result.stdout[:200]
    return ids_of(result.stdout)


def logit_difference(llmk: Tool, expected: Reference, kernels: str, folder: Path, *flags: str) -> float:
    """The largest over positions 0..7."""
    rows, vocab_size = expected.logits.shape
    output = folder / "out.f32"
    ids = ",".join(map(str, expected.ids[:rows]))
    result = llmk(
        "logits", "-m", expected.model, "--ids", ids, "-o", output, "--kernels", kernels, *flags, "--kv", "f32"
    )
    assert result.returncode == 0, result.stderr.decode()
    logits = np.fromfile(output, "<f4")
    assert logits.size == rows * vocab_size
    return float(np.abs(logits.reshape(rows, vocab_size) - expected.logits).max())


@pytest.mark.parametrize("name", TINY_MODELS)
def test_tiny_models(name: str, kernels: str, llmk: Tool, tmp_path: Path) -> None:
    expected = tiny_reference(name)
    assert greedy_ids(llmk, expected, kernels) == expected.ids
    assert logit_difference(llmk, expected, kernels, tmp_path) <= TOLERANCE_TINY
    # The same without batches: the path that answers take.
    assert logit_difference(llmk, expected, kernels, tmp_path, "--decode") <= TOLERANCE_TINY


@pytest.mark.parametrize("name", sorted(ASSET_REFERENCES | GGUF_REFERENCES))
def test_real_models(name: str, kernels: str, llmk: Tool, tmp_path: Path) -> None:
    expected = asset_reference(name)
    ids = greedy_ids(llmk, expected, kernels)
    if expected.is_int8:
        assert ids[:INT8_IDS] == expected.ids[:INT8_IDS]
    else:
        assert ids == expected.ids
    tolerance = TOLERANCE_INT8 if expected.is_int8 else TOLERANCE_FLOAT
    assert logit_difference(llmk, expected, kernels, tmp_path) <= tolerance
    assert logit_difference(llmk, expected, kernels, tmp_path, "--decode") <= tolerance


@pytest.mark.parametrize("number", PUBLISHED)
def test_published_texts(number: int, llmk: Tool, assets_dir: Path) -> None:
    published = published_texts()
    assert len(published) == len(PUBLISHED)
    text = published[number]
    model = assets_dir / "llama2c/stories260K.bin"
    # The draws of a seeded text follow the last bits of the logits: scalar alone is held to it.
    result = llmk("generate", "-m", model, *text.options, "--kernels", "scalar", "--kv", "f32")
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().rstrip("\n") == text.text
