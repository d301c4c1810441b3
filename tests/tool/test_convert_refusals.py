# SPDX-License-Identifier: MIT
"""Checkpoints that are not converted: each with one sentence, no output, and nothing of the checkpoint run."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import (
    Arrays,
    TorchSave,
    llama_folder,
    nano_gpt_tensors,
    safetensors_bytes,
    shards,
    write_index,
    write_json,
)
from convert.architectures import Options
from convert.conversion import Settings, convert
from convert.errors import ConvertError
from convert.inert_pickle import read_inert
from support import ROOT, torch_python


def refusal(source: Path, output: Path, settings: Settings | None = None) -> str:
    """The sentence, after a look that nothing was left behind."""
    before = sorted(output.parent.iterdir())
    with pytest.raises(ConvertError) as caught:
        convert(source, output, settings or Settings())
    assert sorted(output.parent.iterdir()) == before
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.fixture
def llama(tmp_path: Path) -> tuple[Path, Arrays]:
    """A folder that converts, and its tensors; tests spoil one thing of it."""
    folder = tmp_path / "tiny"
    tensors = llama_folder(folder)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder, tensors


def test_what_the_others_spoil_is_in_order(llama: tuple[Path, Arrays], tmp_path: Path) -> None:
    assert convert(llama[0], tmp_path / "out.gguf", Settings()).files == [tmp_path / "out.gguf"]


# --- tensors ----------------------------------------------------------------------------------------------------------

Spoil = Callable[[Arrays], object]


def cut(name: str) -> Spoil:
    return lambda tensors: tensors.update({name: np.ascontiguousarray(tensors[name][:-1])})


def poison(name: str) -> Spoil:
    def change(tensors: Arrays) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name].flat[3] = np.inf

    return change


Q = "model.layers.1.self_attn.q_proj.weight"
SPOILED_TENSORS: dict[str, tuple[Spoil, str]] = {
    "missing": (lambda t: t.pop(Q), r"blk\.1\.attn_q\.weight missing .*the checkpoint is not complete"),
    "no embedding": (lambda t: t.pop("model.embed_tokens.weight"), r"model\.embed_tokens\.weight is missing"),
    "shape": (cut(Q), r"tensor model\.layers\.1\.self_attn\.q_proj\.weight has the shape \[15, 16\], .* \[16, 16\]"),
    "rows": (cut("model.embed_tokens.weight"), r"'vocab_size' is 280, tensor model\.embed_tokens\.weight .* 279 rows"),
    "unknown": (lambda t: t.update(extra=np.ones(3, np.float32)), r"tensor extra \(shape \[3\]\) has no place"),
    "infinite": (poison(Q), r"tensor blk\.1\.attn_q\.weight holds values that are infinite"),
    "integers": (lambda t: t.update({Q: np.ones((16, 16), np.int64)}), r"is of type I64; weights are one of F64, F32"),
}


@pytest.mark.parametrize("name", SPOILED_TENSORS)
def test_tensors(name: str, llama: tuple[Path, Arrays], tmp_path: Path) -> None:
    folder, tensors = llama
    spoil, expected = SPOILED_TENSORS[name]
    spoil(tensors)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    assert re.search(expected, said := refusal(folder, tmp_path / "out.gguf")), said
    assert "model.safetensors" in said


def test_values_that_a_half_cannot_hold(llama: tuple[Path, Arrays], tmp_path: Path) -> None:
    folder, tensors = llama
    tensors[Q] = tensors[Q] * np.float32(1e9)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    said = refusal(folder, tmp_path / "out.gguf", Settings(type="f16"))
    assert "tensor blk.1.attn_q.weight holds values that F16 cannot hold" in said
    assert convert(folder, tmp_path / "out.gguf", Settings(type="f32")).files


# --- safetensors ------------------------------------------------------------------------------------------------------


def with_header(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


NORM = "model.norm.weight"
SPOILED_BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda b: b"", "its header should take 0 bytes, the file has 0"),
    "cut in the header": (lambda b: b[:100], r"its header should take \d+ bytes, the file has 100: it is cut short"),
    "cut in the data": (lambda b: b[:-50], r"tensor .* ends at byte \d+, the file has \d+: it is cut short"),
    "no JSON": (lambda b: b[:8] + b"x" + b[9:], "the header is not JSON"),
    "a list": (lambda b: struct.pack("<Q", 2) + b"[]", "the header is not an object"),
    "huge header": (lambda b: b"\xff" * 8 + b[8:], "its header should take 18446744073709551615 bytes"),
    "type": (lambda b: with_header(b, lambda h: h[NORM].update(dtype="F4")), "is of type F4"),
    "offsets": (lambda b: with_header(b, lambda h: h[NORM].update(data_offsets=[0])), "'data_offsets' is [0]"),
    "negative": (lambda b: with_header(b, lambda h: h[NORM].update(shape=[-16])), "'shape' is [-16]"),
    "bytes": (lambda b: with_header(b, lambda h: h[NORM].update(shape=[99])), "64 bytes for the shape [99] of F32"),
    "entry": (lambda b: with_header(b, lambda h: h.update({NORM: 7})), "its entry in the header is no object"),
}


@pytest.mark.parametrize("name", SPOILED_BYTES)
def test_safetensors(name: str, llama: tuple[Path, Arrays], tmp_path: Path) -> None:
    folder, _ = llama
    spoil, expected = SPOILED_BYTES[name]
    file = folder / "model.safetensors"
    file.write_bytes(spoil(file.read_bytes()))
    said = refusal(folder, tmp_path / "out.gguf")
    assert expected in said or re.search(expected, said), said
    assert "model.safetensors" in said


# --- files around the weights -----------------------------------------------------------------------------------------


def config(folder: Path, **changes: Any) -> None:
    fields = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**fields, **changes})


def shard(folder: Path) -> None:
    """Two shards, of which the second is not there."""
    weights = llama_folder(folder)
    parts = {f"model-{i}.safetensors": part for i, part in enumerate(shards(weights))}
    (folder / "model.safetensors").unlink()
    (folder / "model-0.safetensors").write_bytes(safetensors_bytes(parts["model-0.safetensors"]))
    write_index(folder / "model.safetensors.index.json", parts)


def elsewhere(folder: Path) -> None:
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"x": "../tiny/model.safetensors"}})


SPOILED_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "expected one of model.safetensors.index.json"),
    "no config": (lambda f: (f / "config.json").unlink(), "nothing says what model this is: expected config.json"),
    "config": (lambda f: (f / "config.json").write_text("{"), "config.json: not readable as JSON"),
    "list": (lambda f: (f / "config.json").write_text("[]"), "config.json: holds a list, expected an object"),
    "architecture": (lambda f: config(f, model_type="mamba"), "'model_type' is 'mamba', known are: gemma2"),
    "field": (lambda f: config(f, intermediate_size=None), "'intermediate_size' is missing"),
    "text": (lambda f: config(f, hidden_size="16"), "'hidden_size' is '16', expected a whole number above 0"),
    "heads": (lambda f: config(f, num_attention_heads=3), "'num_attention_heads' 3 does not divide 'hidden_size' 16"),
    "kv heads": (lambda f: config(f, num_key_value_heads=3), "'num_key_value_heads' 3 does not divide"),
    "experts": (lambda f: config(f, num_local_experts=8), "a mixture of experts"),
    "untied": (lambda f: config(f, tie_word_embeddings=False), "output.weight missing"),
    "blocks": (lambda f: config(f, num_hidden_layers=3), "blk.2.attn_norm.weight, blk.2.attn_q.weight"),
    "fewer blocks": (lambda f: config(f, num_hidden_layers=1), "has no place in the architecture llama with 1 blocks"),
    "shard": (shard, "model-1.safetensors is missing: model.safetensors.index.json names it"),
    "path": (elsewhere, "names '../tiny/model.safetensors', expected a file beside it"),
    "index": (lambda f: write_json(f / "model.safetensors.index.json", {}), "'weight_map' is missing"),
    "tokenizer": (lambda f: (f / "tokenizer.model").unlink(), "no tokenizer in "),
    "cut tokenizer": (lambda f: (f / "tokenizer.model").write_bytes(b"\x0a\x7f<un"), "not a SentencePiece model"),
}


@pytest.mark.parametrize("name", SPOILED_FOLDERS)
def test_folders(name: str, llama: tuple[Path, Arrays], tmp_path: Path) -> None:
    folder, _ = llama
    spoil, expected = SPOILED_FOLDERS[name]
    spoil(folder)
    said = refusal(folder, tmp_path / "out.gguf")
    assert expected in said, said


def test_the_wrong_kind_of_model(llama: tuple[Path, Arrays], tmp_path: Path) -> None:
    said = refusal(llama[0], tmp_path / "out.gguf", Settings(model="nanogpt"))
    assert "this is a llama model, --model nanogpt converts gpt2; say --model auto" in said


def test_an_output_that_is_there_stays(llama: tuple[Path, Arrays], tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    output.write_bytes(b"mine")
    assert "is there already; say --force" in refusal(llama[0], output)
    assert output.read_bytes() == b"mine"
    convert(llama[0], output, Settings(force=True))
    assert output.read_bytes()[:4] == b"GGUF"


def test_a_name_that_is_no_file(tmp_path: Path) -> None:
    assert "there is no such file or folder" in refusal(tmp_path / "none", tmp_path / "out.gguf")
    (tmp_path / "notes.txt").write_text("words")
    assert "expected .safetensors, .bin" in refusal(tmp_path / "notes.txt", tmp_path / "out.gguf")
    with pytest.raises(ConvertError, match="there is no folder"):
        convert(tmp_path / "notes.txt", tmp_path / "none/out.gguf", Settings())


def test_heads_of_gpt2(tmp_path: Path) -> None:
    (tmp_path / "nano.safetensors").write_bytes(safetensors_bytes(nano_gpt_tensors()))
    settings = Settings(no_vocabulary=True, options=Options(n_head=5))
    assert "'n_head' 5 does not divide 'n_embd' 32" in refusal(tmp_path / "nano.safetensors", tmp_path / "o", settings)


# --- pickles ----------------------------------------------------------------------------------------------------------


class Runs:
    """Unpickled by somebody careless, it makes a folder."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def zip_checkpoint(path: Path, content: object) -> Path:
    """A checkpoint as torch lays it out, with any pickle in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, 2))
    return path


@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, subprocess.check_call, np.save])
def test_pickles_that_call_are_refused(function: Callable[..., object], tmp_path: Path) -> None:
    file = zip_checkpoint(tmp_path / "evil.pt", {"model": {}, "x": Runs(function, str(tmp_path / "made"), "1")})
    with pytest.raises(ConvertError, match=r"evil\.pt: the checkpoint calls [\w.]+, which is not needed for weights"):
        read_inert(file, "said")
    assert sorted(tmp_path.iterdir()) == [file]


def test_a_pickle_that_runs_a_command_is_refused(tmp_path: Path) -> None:
    """The whole way, with torch."""
    save = TorchSave(torch_python())
    made = tmp_path / "made"
    save.add(tmp_path / "new.pt", nano_gpt_tensors(), key="model", evil=f"mkdir {made}")
    save.add(tmp_path / "old.pt", nano_gpt_tensors(), key="model", evil=f"mkdir {made}", legacy=True)
    (tmp_path / "words.pt").write_text("no checkpoint at all")
    save.write()
    command = [str(torch_python()), str(ROOT / "scripts/convert_all.py"), str(tmp_path), "--no-vocab"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if " failed " in line}
    assert sorted(rows) == ["new.pt", "old.pt", "words.pt"], done.stdout
    assert re.search(r"new\.pt: the checkpoint calls (posix|nt|os)\.system", rows["new.pt"])
    assert "old.pt: torch refuses to load it safely" in rows["old.pt"]
    assert "words.pt: " in rows["words.pt"]
    assert not made.exists()
    assert not list(tmp_path.glob("*.gguf"))
    assert not list(tmp_path.glob(".*"))
