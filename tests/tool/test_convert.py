# SPDX-License-Identifier: MIT
"""Checkpoints through scripts/convert_models.py: what comes out runs, and gives the numbers of what went in."""

from __future__ import annotations

import json
import subprocess
import sys
from math import erf
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from checkpoints import (
    CHARACTERS,
    GPT2_ARGS,
    LLAMA,
    TEMPLATE,
    Arrays,
    TorchSave,
    golden_llama,
    halves,
    llama_config,
    llama_folder,
    nano_gpt_tensors,
    safetensors_bytes,
    shards,
    write_index,
    write_json,
)
from support import ROOT, Tool, tiny_reference, torch_python

# The reference logits are float64's; what float32 and packed weights may differ by, of the largest logit. What four
# bits leave of these small models is shown by the weights themselves.
TOLERANCE = {"f32": 1e-4, "f16": 5e-3, "q8_0": 6e-2, "q4_0": 1.0}
# What a weight may differ by, of the largest in its block of 32 (f16: of itself).
WEIGHT_TOLERANCE = {"f32": 0.0, "f16": 2.0**-11, "q8_0": 0.51 / 127 + 2.0**-11, "q4_0": 1 / 8 + 2.0**-11}
TYPES = tuple(TOLERANCE)


def run_convert(python: Path | str, source: Path, output: Path, *options: object) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "scripts/convert_models.py")
    command = [str(python), script, "--input", str(source), "--output", str(output), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True)


def convert(source: Path, output: Path, *options: object, python: Path | str = sys.executable) -> gguf.GGUFReader:
    """Converts, and reads the result."""
    done = run_convert(python, source, output, *options)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in output.parent.iterdir() if path.name.endswith(".part")] == []
    return gguf.GGUFReader(output)


def tensors_of(reader: gguf.GGUFReader) -> Arrays:
    return {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}


def value(reader: gguf.GGUFReader, key: str) -> Any:
    return reader.fields[key].contents()


def logits(llmk: Tool, model: Path, ids: list[int], folder: Path) -> npt.NDArray[np.float32]:
    output = folder / "logits.f32"
    result = llmk("logits", "-m", model, "--ids", ",".join(map(str, ids)), "-o", output, "--kv", "f32")
    assert result.returncode == 0, result.stderr.decode()
    return np.fromfile(output, "<f4").reshape(len(ids), -1)


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def assert_weights(stored: npt.NDArray[Any], expected: npt.NDArray[Any], type_: str) -> None:
    """That a matrix is what the type leaves of it."""
    blocks = 32 if expected.shape[-1] % 32 == 0 else 1
    error = np.abs(stored - expected).reshape(-1, blocks)
    largest = np.abs(expected).reshape(-1, blocks).max(-1, keepdims=True)
    assert (error <= WEIGHT_TOLERANCE[type_] * largest + 1e-7).all()


# --- a Llama: the golden model, whose logits are known ----------------------------------------------------------------


def assert_golden(llmk: Tool, model: Path, folder: Path, type_: str = "f32") -> None:
    """That a file is the golden model, with the golden tokenizer."""
    expected = tiny_reference(LLAMA)
    rows = expected.logits.shape[0]
    assert difference(logits(llmk, model, expected.ids[:rows], folder), expected.logits) <= TOLERANCE[type_]
    if type_ == "f32":
        result = llmk("generate", "-m", model, "-p", expected.prompt, "-n", expected.steps, "--temp", "0", "--ids")
        assert [int(word) for word in result.stdout.split()] == expected.ids, result.stderr.decode()


@pytest.mark.parametrize("type_", TYPES)
def test_llama_from_safetensors(type_: str, llmk: Tool, tmp_path: Path) -> None:
    tensors = llama_folder(tmp_path / "tiny")
    (tmp_path / "tiny/model.safetensors").write_bytes(safetensors_bytes(tensors))
    output = tmp_path / "tiny.gguf"
    reader = convert(tmp_path / "tiny", output, "--model", "tinyllama_chat", "--type", type_)
    assert_golden(llmk, output, tmp_path, type_)
    assert value(reader, "general.name") == "tiny"
    assert value(reader, "general.architecture") == "llama"
    assert value(reader, "tokenizer.chat_template") == TEMPLATE
    assert value(reader, "llama.attention.head_count_kv") == tiny_shape()["num_key_value_heads"]
    said = llmk("info", "-m", output).stdout.decode()
    assert "architecture: llama\n" in said


def tiny_shape() -> dict[str, Any]:
    return llama_config(golden_llama()[0])


def test_llama_from_bfloat16_and_half(llmk: Tool, tmp_path: Path) -> None:
    tensors = llama_folder(tmp_path / "tiny")
    halved: Arrays = {}
    for name, values in tensors.items():
        # bfloat16 is the upper half of a float32.
        stored = values.astype(np.float16) if "mlp" in name else (values.view(np.uint32) >> 16).astype(np.uint16)
        halved[name] = stored
    (tmp_path / "tiny/model.safetensors").write_bytes(safetensors_bytes(halved))
    reader = convert(tmp_path / "tiny", tmp_path / "tiny.gguf")
    found = tensors_of(reader)
    assert np.array_equal(found["blk.0.ffn_up.weight"], halved["model.layers.0.mlp.up_proj.weight"].astype(np.float32))
    exact = (tensors["model.embed_tokens.weight"].view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert np.array_equal(found["token_embd.weight"], exact)


def test_llama_from_sharded_safetensors_by_its_index(llmk: Tool, tmp_path: Path) -> None:
    tensors = llama_folder(tmp_path / "tiny")
    parts = {f"model-{i + 1:05d}-of-00002.safetensors": part for i, part in enumerate(shards(tensors))}
    for name, part in parts.items():
        (tmp_path / "tiny" / name).write_bytes(safetensors_bytes(part))
    index = tmp_path / "tiny/model.safetensors.index.json"
    write_index(index, parts)
    convert(index, tmp_path / "tiny.gguf")
    assert_golden(llmk, tmp_path / "tiny.gguf", tmp_path)


def test_query_and_key_rows_are_arranged_for_neighbours(tmp_path: Path) -> None:
    """Values, not logits: each row where llama.cpp expects it."""
    tensors = llama_folder(tmp_path / "tiny")
    (tmp_path / "tiny/model.safetensors").write_bytes(safetensors_bytes(tensors))
    found = tensors_of(convert(tmp_path / "tiny", tmp_path / "tiny.gguf"))
    shape = tiny_shape()
    for kind, heads in (("q", shape["num_attention_heads"]), ("k", shape["num_key_value_heads"])):
        name = f"model.layers.1.self_attn.{kind}_proj.weight"
        assert np.array_equal(halves(found[f"blk.1.attn_{kind}.weight"], heads), tensors[name])
        assert not np.array_equal(found[f"blk.1.attn_{kind}.weight"], tensors[name])


def test_llama3_scaling_becomes_a_tensor(tmp_path: Path) -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 64
    tensors = llama_folder(tmp_path / "tiny", rope_scaling=scaling, head_dim=4)
    (tmp_path / "tiny/model.safetensors").write_bytes(safetensors_bytes(tensors))
    reader = convert(tmp_path / "tiny", tmp_path / "tiny.gguf")
    factors = tensors_of(reader)["rope_freqs.weight"]
    # The first frequency, 1, has 64 / 2 pi = 10.2 waves in the first context, more than 4: as it is. The second, 1/100,
    # has 0.1, less than 1: all of the factor.
    assert factors.tolist() == [1.0, 8.0]
    assert value(reader, "llama.attention.key_length") == 4


def test_other_rope_scalings(tmp_path: Path) -> None:
    tensors = llama_folder(tmp_path / "tiny", rope_scaling={"type": "linear", "factor": 2.5}, rope_theta=20000.0)
    (tmp_path / "tiny/model.safetensors").write_bytes(safetensors_bytes(tensors))
    reader = convert(tmp_path / "tiny", tmp_path / "tiny.gguf")
    assert value(reader, "llama.rope.scaling.type") == "linear"
    assert value(reader, "llama.rope.scaling.factor") == 2.5
    assert value(reader, "llama.rope.freq_base") == 20000.0
    # Transformers 5 has all of it in one object.
    config = json.loads((tmp_path / "tiny/config.json").read_text())
    del config["rope_theta"], config["rope_scaling"]
    config["rope_parameters"] = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 20000.0}
    write_json(tmp_path / "tiny/config.json", config)
    done = run_convert(sys.executable, tmp_path / "tiny", tmp_path / "yarn.gguf")
    assert done.returncode == 1
    assert "'rope_type' is 'yarn', known are: default, linear" in done.stderr


# --- GPT-2 ------------------------------------------------------------------------------------------------------------


def nano_gpt_logits(ids: list[int], *, bias: bool = True, exact: bool = True) -> npt.NDArray[np.float64]:
    """GPT-2's forward pass in float64 on the checkpoint's weights."""
    t = {name: values.astype(np.float64) for name, values in nano_gpt_tensors(bias=bias).items()}
    dim, heads = 32, 2

    def norm(name: str, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * t[f"{name}.weight"] + t.get(f"{name}.bias", 0)

    def linear(name: str, x: Any) -> Any:
        return x @ t[f"{name}.weight"].T + t.get(f"{name}.bias", 0)

    def gelu(x: Any) -> Any:
        if exact:
            return x / 2 * (1 + np.vectorize(erf)(x / np.sqrt(2)))
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    x = t["transformer.wte.weight"][ids] + t["transformer.wpe.weight"][: len(ids)]
    for i in range(2):
        block = f"transformer.h.{i}"
        qkv = linear(f"{block}.attn.c_attn", norm(f"{block}.ln_1", x))
        mixed = np.zeros_like(x)
        for head in range(heads):
            q, k, v = (qkv[:, part * dim + head * 16 :][:, :16] for part in range(3))
            scores = np.where(np.tri(len(ids)) > 0, q @ k.T / 4, -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, head * 16 : head * 16 + 16] = weights / weights.sum(-1, keepdims=True) @ v
        x = x + linear(f"{block}.attn.c_proj", mixed)
        x = x + linear(f"{block}.mlp.c_proj", gelu(linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x))))
    result: npt.NDArray[np.float64] = norm("transformer.ln_f", x) @ t["transformer.wte.weight"].T
    return result


IDS = [3, 9, 9, 1, 30, 39, 0, 12]


@pytest.mark.parametrize("type_", TYPES)
def test_nanogpt_from_safetensors(type_: str, llmk: Tool, tmp_path: Path) -> None:
    tensors = nano_gpt_tensors()
    (tmp_path / "nano.safetensors").write_bytes(safetensors_bytes(tensors))
    write_json(tmp_path / "meta.json", {"itos": dict(enumerate(CHARACTERS))})
    output = tmp_path / "nano.gguf"
    options = ["--model", "nanogpt", "--heads", 2, "--gelu", "erf", "--type", type_]
    reader = convert(tmp_path / "nano.safetensors", output, *options)
    assert value(reader, "gpt2.feed_forward.activation") == "gelu_erf"
    found = tensors_of(reader)
    assert "output.weight" not in found
    assert_weights(found["blk.1.ffn_down.weight"], tensors["transformer.h.1.mlp.c_proj.weight"], type_)
    assert np.array_equal(found["blk.1.attn_qkv.bias"], tensors["transformer.h.1.attn.c_attn.bias"])
    assert difference(logits(llmk, output, IDS, tmp_path), nano_gpt_logits(IDS)) <= TOLERANCE[type_]
    said = llmk("tokens", "-m", output, "-p", "cab, é").stdout.split()
    assert [int(word) for word in said] == [CHARACTERS.index(c) for c in "cab, é"]
    # No BOS stands before the first character, so that is part of the text.
    assert llmk("generate", "-m", output, "-p", "cab", "-n", "4", "--temp", "0").stdout.startswith(b"cab")


def hugging_face_gpt2(folder: Path, activation: str) -> Arrays:
    """The same model as transformers stores it: Conv1D, whose matrices are (in, out), and masks among the tensors."""
    tensors = nano_gpt_tensors()
    del tensors["lm_head.weight"]
    stored: Arrays = {"h.0.attn.bias": np.tril(np.ones((1, 1, 24, 24), np.float32))}
    for name, values in tensors.items():
        matrix = values.ndim == 2 and ".h." in name
        stored[name.removeprefix("transformer.")] = np.ascontiguousarray(values.T) if matrix else values
    config = {"model_type": "gpt2", "activation_function": activation, "n_layer": 2, "n_head": 2, "n_embd": 32}
    folder.mkdir()
    write_json(folder / "config.json", {**config, "vocab_size": 40, "n_ctx": 24, "n_positions": 24})
    (folder / "model.safetensors").write_bytes(safetensors_bytes(stored))
    return stored


@pytest.mark.parametrize(("activation", "exact"), [("gelu_new", False), ("gelu", True)])
def test_gpt2_of_hugging_face(activation: str, exact: bool, llmk: Tool, tmp_path: Path) -> None:
    hugging_face_gpt2(tmp_path / "gpt2", activation)
    write_json(tmp_path / "chars.json", list(CHARACTERS))
    output = tmp_path / "gpt2.gguf"
    reader = convert(tmp_path / "gpt2", output, "--vocab", tmp_path / "chars.json")
    assert ("gpt2.feed_forward.activation" in reader.fields) == exact
    assert difference(logits(llmk, output, IDS, tmp_path), nano_gpt_logits(IDS, exact=exact)) <= TOLERANCE["f32"]


# --- PyTorch ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def from_pytorch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of all kinds, and the folder `gguf` that one run of convert_all.py makes of them."""
    folder = tmp_path_factory.mktemp("pytorch")
    save = TorchSave(torch_python())
    tensors = llama_folder(folder / "whole")
    save.add(folder / "whole/pytorch_model.bin", tensors)
    llama_folder(folder / "sharded")
    parts = {f"pytorch_model-{i + 1:05d}-of-00002.bin": part for i, part in enumerate(shards(tensors))}
    write_index(folder / "sharded/pytorch_model.bin.index.json", parts)
    for name, part in parts.items():
        save.add(folder / "sharded" / name, part)
    args = {"model_args": {**GPT2_ARGS, "bias": True}, "iter_num": 7, "best_val_loss": 1.5}
    save.add(folder / "nano/ckpt.pt", nano_gpt_tensors(), key="model", extra=args)
    args = {"model_args": {**GPT2_ARGS, "bias": False}}
    save.add(folder / "plain/ckpt.pt", nano_gpt_tensors(bias=False), key="model", extra=args, prefix="_orig_mod.")
    save.add(folder / "record/weights.pth", nano_gpt_tensors(), key="model_state_dict", config_class=args["model_args"])
    for name in ("nano", "plain", "record"):
        write_json(folder / name / "meta.json", list(CHARACTERS))
    head = {"lm_head.weight": 2 * nano_gpt_tensors()["lm_head.weight"]}
    save.add(folder / "mingpt/model.pt", {**nano_gpt_tensors(), **head}, legacy=True)
    write_json(folder / "mingpt/meta.json", {"stoi": {c: i for i, c in enumerate(CHARACTERS)}})
    save.write()
    command = [str(torch_python()), str(ROOT / "scripts/convert_all.py"), str(folder), "--output", str(folder / "gguf")]
    done = subprocess.run(command, capture_output=True, text=True)
    (folder / "said.txt").write_text(f"{done.returncode}\n{done.stdout}\n{done.stderr}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["whole", "sharded"])
def test_llama_from_pytorch(name: str, from_pytorch: Path, llmk: Tool, tmp_path: Path) -> None:
    assert_golden(llmk, from_pytorch / f"gguf/{name}.gguf", tmp_path)


@pytest.mark.parametrize(("name", "bias"), [("nano", True), ("plain", False), ("weights", True)])
def test_nanogpt_from_pytorch(name: str, bias: bool, from_pytorch: Path, llmk: Tool, tmp_path: Path) -> None:
    """As nanoGPT writes it; compiled and without biases; with its configuration as an object of a class of its own,
    which torch refuses: only the fields are taken, and the class is never looked for."""
    model = from_pytorch / f"gguf/{name}.gguf"
    assert difference(logits(llmk, model, IDS, tmp_path), nano_gpt_logits(IDS, bias=bias)) <= TOLERANCE["f32"]
    if not bias:
        assert not tensors_of(gguf.GGUFReader(model))["blk.1.ffn_up.bias"].any()


def test_a_state_dict_of_mingpt_needs_its_heads(from_pytorch: Path, llmk: Tool, tmp_path: Path) -> None:
    """No configuration in it, a head of its own, tanh's GELU; in the format from before torch 1.6."""
    said = (from_pytorch / "said.txt").read_text(encoding="utf-8").splitlines()
    assert said[0] == "1"
    (row,) = [line for line in said if line.startswith("mingpt ")]
    assert " failed " in row
    assert "nothing says how many heads it has" in row
    output = tmp_path / "min.gguf"
    convert(from_pytorch / "mingpt", output, "--heads", 2, python=torch_python())
    expected = 2 * nano_gpt_logits(IDS, exact=False)
    assert difference(logits(llmk, output, IDS, tmp_path), expected) <= TOLERANCE["f32"]


def test_convert_all_skips_what_is_there(from_pytorch: Path, tmp_path: Path) -> None:
    said = (from_pytorch / "said.txt").read_text(encoding="utf-8")
    assert len([line for line in said.splitlines() if " converted " in line]) == 5
    for name in ("whole", "sharded", "nano", "plain", "weights", "model"):
        (tmp_path / f"{name}.gguf").touch()
    (tmp_path / "mingpt.gguf").touch()
    command = [sys.executable, str(ROOT / "scripts/convert_all.py"), str(from_pytorch), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count(" skipped ")) == (0, 6), done.stdout + done.stderr
