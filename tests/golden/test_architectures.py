# SPDX-License-Identifier: MIT
"""Each architecture against transformers: logits of 64 positions and 32 greedy tokens of tiny models, for each kernel
set. scripts/reference/make_arch_fixtures.py made the files; `make parity` shows that they are made the same today.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import ARCH_MODELS, GOLDEN, ArchReference, Tool, arch_reference

# Of the largest logit. Asked is 1e-3; what float32 needs is a hundredth of that, so little that is wrong would hide.
TOLERANCE = 1e-4
# With keys and values packed: half as much is seen in these models, whose random keys are larger than trained ones.
TOLERANCE_KV = {"f16": 1e-2, "q8_0": 5e-2}
POSITIONS = 64
CONTINUATION = 32
MAX_FILE_BYTES = 300 << 10
ARCHITECTURES = {"llama", "gpt2", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"}


def options(expected: ArchReference, kernels: str) -> list[object]:
    context = ["--ctx", expected.context] if expected.context else []
    return ["-m", expected.model, "--kernels", kernels, *context]


def logit_difference(llmk: Tool, expected: ArchReference, kernels: str, kv: str, folder: Path, *flags: str) -> float:
    """The largest, relative to the largest logit."""
    output = folder / "out.f32"
    ids = ",".join(map(str, expected.prompt_ids))
    result = llmk("logits", *options(expected, kernels), "--ids", ids, "-o", output, "--kv", kv, *flags)
    assert result.returncode == 0, result.stderr.decode()
    logits = np.fromfile(output, "<f4")
    assert logits.size == expected.logits.size
    return float(np.abs(logits.reshape(expected.logits.shape) - expected.logits).max() / np.abs(expected.logits).max())


def cache_type(llmk: Tool, expected: ArchReference, kv: str) -> str:
    """What the model's heads allow."""
    said = llmk("info", "-m", expected.model, "--kv", kv).stdout.decode()
    return said.partition("kv_type: ")[2].splitlines()[0]


@pytest.mark.parametrize("name", ARCH_MODELS)
def test_logits(name: str, kernels: str, llmk: Tool, tmp_path: Path) -> None:
    expected = arch_reference(name)
    assert logit_difference(llmk, expected, kernels, "f32", tmp_path) <= TOLERANCE
    # The same without batches: the path that answers take.
    assert logit_difference(llmk, expected, kernels, "f32", tmp_path, "--decode") <= TOLERANCE


@pytest.mark.parametrize("kv", ["f16", "q8_0"])
@pytest.mark.parametrize("name", ARCH_MODELS)
def test_logits_with_a_packed_cache(name: str, kv: str, kernels: str, llmk: Tool, tmp_path: Path) -> None:
    """Near, but not the same: the type that was asked for is the one in use."""
    expected = arch_reference(name)
    tolerance = TOLERANCE_KV[cache_type(llmk, expected, kv)]
    for flags in ((), ("--decode",)):
        difference = logit_difference(llmk, expected, kernels, kv, tmp_path, *flags)
        assert TOLERANCE / 10 < difference <= tolerance


@pytest.mark.parametrize("name", ARCH_MODELS)
def test_greedy_continuation(name: str, kernels: str, llmk: Tool) -> None:
    """From the text: the file's own tokenizer makes the prompt's ids."""
    expected = arch_reference(name)
    steps = str(len(expected.ids) - 1)
    flags = ["-p", expected.prompt, "-n", steps, "--temp", "0", "--ids"]
    result = llmk("generate", *options(expected, kernels), *flags)
    assert result.returncode == 0, result.stderr.decode()
    assert [int(word) for word in result.stdout.split()] == expected.ids


@pytest.mark.parametrize("name", ARCH_MODELS)
def test_under_the_sanitizers(name: str, llmk_checked: Tool) -> None:
    expected = arch_reference(name)
    flags = ["-p", expected.prompt, "-n", str(POSITIONS + 2), "--temp", "0", "--ids"]
    result = llmk_checked("generate", *options(expected, "auto"), *flags)
    assert result.returncode == 0, result.stderr.decode()
    assert [int(word) for word in result.stdout.split()] == expected.ids[: POSITIONS + 3]


def test_the_fixtures_are_whole() -> None:
    """Each has its three files and is small, and together they hold every architecture and both kinds of vocabulary."""
    folder = GOLDEN / "arch"
    assert {path.name for path in folder.iterdir()} == {
        f"{name}{end}" for name in ARCH_MODELS for end in (".gguf", ".json", ".logits.f32")
    }
    for name in ARCH_MODELS:
        expected = arch_reference(name)
        assert expected.model.stat().st_size <= MAX_FILE_BYTES
        assert expected.logits.shape[0] == len(expected.prompt_ids) == POSITIONS
        assert expected.ids[:POSITIONS] == expected.prompt_ids
        assert len(expected.ids) == POSITIONS + CONTINUATION
        data = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        assert data["smallest_gap"] > 50 * TOLERANCE
        assert min(data["effects"].values()) > 100 * TOLERANCE


def test_every_architecture_has_a_fixture(llmk: Tool) -> None:
    said = [llmk("info", "-m", arch_reference(name).model).stdout.decode().splitlines() for name in ARCH_MODELS]
    assert {line for lines in said for line in lines if line.startswith("architecture: ")} == {
        f"architecture: {name}" for name in ARCHITECTURES
    }
    assert {line for lines in said for line in lines if line.startswith("tokenizer_kind: ")} == {
        "tokenizer_kind: spm",
        "tokenizer_kind: bpe",
    }
