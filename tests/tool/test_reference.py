# SPDX-License-Identifier: MIT
"""The reference itself: against published ids and logits, and that the golden data follow from the scripts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import make_bad_models
import numpy as np
import pytest
from reference import make_tiny_models
from reference.k_quants import Bytes, Floats, quantize_q4_k, quantize_q6_k
from reference.llama2c_format import Config, file_size_bytes, quantize, read_model
from reference.llama_ref import Llama, greedy, logits_of
from reference.spm_ref import read_tokenizer, synthetic_tokenizer
from support import ASSET_REFERENCES, GOLDEN, ROOT, TINY_MODELS, asset_reference, llama_spm_vectors

# llama2.c adds in float32; a rounding of an int8 activation that falls the other way moves a logit this far.
TOLERANCE_FLOAT = 2e-4
TOLERANCE_INT8 = 2e-2
FAST_POSITIONS = 24


@pytest.mark.parametrize("name", sorted(make_tiny_models.MODELS))
def test_golden_data_are_reproduced_byte_for_byte(name: str, tmp_path: Path) -> None:
    make_tiny_models.make(name, make_tiny_models.MODELS[name], tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in GOLDEN.glob(f"{name}.*"))
    for file in made:
        assert (tmp_path / file).read_bytes() == (GOLDEN / file).read_bytes(), file


def test_golden_data_hold_nothing_else() -> None:
    assert sorted(make_tiny_models.MODELS) == TINY_MODELS
    # Beside the models stand what the scripts of the same folder make for architectures, tokenizers and packed types.
    others = {"arch", "pretokenize", "quants", "templates"}
    assert {path.name.split(".")[0] for path in GOLDEN.iterdir()} == set(TINY_MODELS) | others


@pytest.mark.parametrize("name", sorted(ASSET_REFERENCES))
def test_published_ids_and_logits(name: str) -> None:
    expected = asset_reference(name)
    model = Llama(expected.model)
    ids, _ = greedy(model, expected.prompt_ids, FAST_POSITIONS)
    assert ids == expected.ids[: FAST_POSITIONS + 1]
    difference = np.abs(logits_of(model, expected.ids[:8]) - expected.logits).max()
    assert difference <= (TOLERANCE_INT8 if expected.is_int8 else TOLERANCE_FLOAT)


def test_llama_spm_vectors(assets_dir: Path) -> None:
    tokenizer = read_tokenizer(assets_dir / "tokenizers/llama2_tokenizer.bin")
    vectors = llama_spm_vectors()
    assert len(vectors) == 47
    for vector in vectors:
        assert tokenizer.encode(vector.text, bos=False) == vector.ids, vector.text


def test_prompt_ids(assets_dir: Path) -> None:
    expected = asset_reference("stories260K_prompt")
    assert read_tokenizer(assets_dir / "llama2c/tok512.bin").encode(expected.prompt) == expected.prompt_ids


@pytest.mark.parametrize("vocab_size", [277, 288, 300, 389, 512, 4096, 32000])
def test_synthetic_tokenizers_are_of_the_size_and_unique(vocab_size: int, tmp_path: Path) -> None:
    tokenizer = synthetic_tokenizer(vocab_size)
    assert len(set(tokenizer.pieces)) == vocab_size
    path = tmp_path / "x.tok.bin"
    path.write_bytes(tokenizer.to_bytes())
    assert read_tokenizer(path) == tokenizer
    ids = tokenizer.encode("the hat", bos=False)
    assert b"".join(tokenizer.pieces[i] for i in ids) == b" the hat"


def test_quantize_rounds_halves_away_from_zero() -> None:
    values, scales = quantize(np.array([127.0, -2.5, 2.5, 0.4, 0.0, 0.0, 0.0, 0.0]), 4)
    assert values.tolist() == [127, -3, 3, 0, 0, 0, 0, 0]
    assert scales.tolist() == [1.0, 0.0]


def test_make_shape_model_writes_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "shape.bin"
    script = ROOT / "scripts/make_shape_model.py"
    options = ["--shape", "260k", "--layers", "2", "--version", "2", "--group", "4", "--separate"]
    subprocess.run([sys.executable, script, path, *options], check=True, capture_output=True)
    config, _ = read_model(path)
    assert config == Config(64, 172, 2, 8, 4, 512, 512, shared_classifier=False, version=2, group_size=4)
    assert path.stat().st_size == file_size_bytes(config)
    assert len(read_tokenizer(path.with_suffix(".tok.bin")).pieces) == 512
    # It talks: no special token, no loop of one word.
    ids, _ = greedy(Llama(path), [1], 32)
    assert len(ids) == 33
    assert min(ids[1:]) > 2
    assert len(set(ids)) > 8


def test_make_shape_model_custom_needs_every_dimension(tmp_path: Path) -> None:
    script = ROOT / "scripts/make_shape_model.py"
    options = ["--shape", "custom", "--dim", "8"]
    result = subprocess.run([sys.executable, script, tmp_path / "x.bin", *options], capture_output=True, text=True)
    assert result.returncode == 2
    assert "--hidden" in result.stderr


def test_the_reference_reader_refuses_every_bad_model(tmp_path: Path) -> None:
    """The bad models are bad for a reader that shares no code with the C++ one."""
    manifest = make_bad_models.make_bad_models(tmp_path)
    assert len({str(entry["file"]) for entry in manifest}) == len(manifest)
    for entry in manifest:
        path = tmp_path / str(entry["file"])
        if path.is_dir() or path.name.startswith("spm_"):
            continue
        with pytest.raises(ValueError, match=r"\w"):
            read_model(path)


@pytest.mark.parametrize(
    ("quantize_k", "kind", "step"),
    [
        (quantize_q4_k, gguf.GGMLQuantizationType.Q4_K, 1 / 15),
        (quantize_q6_k, gguf.GGMLQuantizationType.Q6_K, 1 / 31),
    ],
)
def test_k_quants_unpack_to_what_was_packed(
    quantize_k: Callable[[Floats], Bytes], kind: gguf.GGMLQuantizationType, step: float
) -> None:
    values = np.random.default_rng(1).normal(0.0, 0.02, (16, 256)).astype(np.float32)
    values[1] = 0.0
    values[2] = np.abs(values[2])
    unpacked = gguf.dequantize(quantize_k(values), kind).reshape(values.shape)
    # Half a step of the part's range, and as much again for scales that are themselves rounded to six bits or more.
    ranges = np.ptp(values.reshape(16, 8, 32), axis=2).max(axis=1, keepdims=True)
    assert np.all(np.abs(unpacked - values) <= step * ranges)
    assert np.all(unpacked[1] == 0.0)
