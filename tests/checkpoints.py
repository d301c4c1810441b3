# SPDX-License-Identifier: MIT
"""Tiny checkpoints for the tests of the converter, written with none of its code: a Llama in Hugging Face's layout made
from one of our own llama2.c models, and files of PyTorch, SentencePiece and safetensors.
"""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from reference.llama2c_format import Config, read_model
from reference.spm_ref import FIRST_BYTE, read_tokenizer
from support import GOLDEN, ROOT

Arrays = dict[str, npt.NDArray[Any]]
# The golden model that the checkpoints hold, in llama2.c's format.
LLAMA = "tiny_v1"
SPM_UNKNOWN, SPM_CONTROL, SPM_NORMAL, SPM_BYTE = 2, 3, 1, 6


# --- files ------------------------------------------------------------------------------------------------------------


def safetensors_bytes(tensors: Arrays) -> bytes:
    """A file of these tensors; uint16 stands for bfloat16."""
    names = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int64": "I64"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in tensors.items():
        span = [len(data), len(data) + values.nbytes]
        header[name] = {"dtype": names[values.dtype.name], "shape": list(values.shape), "data_offsets": span}
        data += values.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class TorchSave:
    """Collects checkpoints and writes them by tests/torch_save.py, in one run: torch takes seconds to load."""

    def __init__(self, python: Path) -> None:
        self.python = python
        self.jobs: list[dict[str, Any]] = []

    def add(self, path: Path, tensors: Arrays, **spec: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        source = path.with_name(path.name + ".npz")
        # The stub takes every keyword for `allow_pickle`.
        np.savez(source, **tensors)  # type: ignore[arg-type]
        self.jobs.append({"source": str(source), "output": str(path), **spec})

    def write(self) -> None:
        program = str(ROOT / "tests/torch_save.py")
        done = subprocess.run([str(self.python), program], input=json.dumps(self.jobs), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for job in self.jobs:
            Path(job["source"]).unlink()


def message(number: int, data: bytes) -> bytes:
    """A protocol buffer's field of bytes."""
    assert len(data) < 1 << 14
    length = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
    return bytes([number << 3 | 2]) + length + data


def sentencepiece_bytes(pieces: list[tuple[str, float, int]], *, model_type: int = 2, prefix: bool = True) -> bytes:
    """A tokenizer.model with these pieces, scores and types."""
    model = b""
    for text, score, kind in pieces:
        piece = message(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score)
        model += message(1, piece + (bytes([3 << 3, kind]) if kind != SPM_NORMAL else b""))
    model += message(2, bytes([3 << 3, model_type]))
    return model + message(3, bytes([3 << 3, int(prefix)]))


# --- a Llama ----------------------------------------------------------------------------------------------------------


def halves(matrix: npt.NDArray[Any], n_heads: int) -> npt.NDArray[Any]:
    """Rows of each head, from pairs of neighbours (llama2.c) to two halves (Hugging Face): 0, 2, 4... 1, 3, 5..."""
    rows = []
    size = matrix.shape[0] // n_heads
    for head in range(n_heads):
        for parity in (0, 1):
            rows += [matrix[head * size + i] for i in range(parity, size, 2)]
    return np.stack(rows)


def llama_tensors(config: Config, weights: dict[str, npt.NDArray[Any]]) -> Arrays:
    """A llama2.c model's weights under Hugging Face's names."""
    tensors: Arrays = {"model.embed_tokens.weight": weights["token_embedding"]}
    tensors["model.norm.weight"] = weights["rms_final"]
    for i in range(config.n_layers):
        block = f"model.layers.{i}"
        tensors |= {
            f"{block}.input_layernorm.weight": weights["rms_att"][i],
            f"{block}.post_attention_layernorm.weight": weights["rms_ffn"][i],
            f"{block}.self_attn.q_proj.weight": halves(weights["wq"][i], config.n_heads),
            f"{block}.self_attn.k_proj.weight": halves(weights["wk"][i], config.n_kv_heads),
            f"{block}.self_attn.v_proj.weight": weights["wv"][i],
            f"{block}.self_attn.o_proj.weight": weights["wo"][i],
            f"{block}.mlp.gate_proj.weight": weights["w1"][i],
            f"{block}.mlp.down_proj.weight": weights["w2"][i],
            f"{block}.mlp.up_proj.weight": weights["w3"][i],
        }
    return {name: np.ascontiguousarray(values, np.float32) for name, values in tensors.items()}


def golden_llama() -> tuple[Config, Arrays]:
    """Shape and weights of the golden model, in Hugging Face's names."""
    config, weights = read_model(GOLDEN / f"{LLAMA}.bin")
    plain = {name: values for name, values in weights.items() if isinstance(values, np.ndarray)}
    return config, llama_tensors(config, plain)


def llama_config(config: Config, **more: Any) -> dict[str, Any]:
    """Its config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.seq_len,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": config.shared_classifier,
        **more,
    }


def golden_pieces() -> list[tuple[str, float, int]]:
    """The golden model's tokenizer.bin as SentencePiece spells it."""
    tokenizer = read_tokenizer(GOLDEN / f"{LLAMA}.tok.bin")
    pieces = []
    for i, (text, score) in enumerate(zip(tokenizer.pieces, tokenizer.scores, strict=True)):
        kind = SPM_NORMAL
        if i < FIRST_BYTE:
            kind = SPM_UNKNOWN if i == 0 else SPM_CONTROL
        elif i < FIRST_BYTE + 256:
            kind = SPM_BYTE
        # tokenizer.bin has lines around the names of the first three.
        spelled = ("<unk>", "<s>", "</s>")[i] if i < FIRST_BYTE else text.decode().replace(" ", "\u2581")
        pieces.append((spelled, score, kind))
    return pieces


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


TEMPLATE = "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token }}{% endfor %}"


def llama_folder(folder: Path, **config: Any) -> Arrays:
    """A folder as TinyLlama's Chat is laid out, without weights; returns them."""
    shape, tensors = golden_llama()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", llama_config(shape, **config))
    (folder / "tokenizer.model").write_bytes(sentencepiece_bytes(golden_pieces()))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    write_json(folder / "tokenizer_config.json", {**special, "chat_template": TEMPLATE})
    return tensors


def shards(tensors: Arrays) -> list[Arrays]:
    """Two halves of a checkpoint."""
    names = list(tensors)
    middle = len(names) // 2
    return [{name: tensors[name] for name in part} for part in (names[:middle], names[middle:])]


def write_index(path: Path, parts: dict[str, Arrays]) -> None:
    """The index of shards, by file name."""
    weight_map = {name: file for file, tensors in parts.items() for name in tensors}
    write_json(path, {"metadata": {"total_size": 0}, "weight_map": weight_map})


# --- GPT-2 ------------------------------------------------------------------------------------------------------------

GPT2_ARGS = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 24, "vocab_size": 40, "bias": True, "dropout": 0.0}


def nano_gpt_tensors(*, bias: bool = True, seed: int = 1) -> Arrays:
    """A nanoGPT's weights under its names, of GPT2_ARGS' shape; the head is the embedding, stored once more."""
    random = np.random.default_rng(seed)
    dim, vocab, context = 32, 40, 24

    def values(*shape: int) -> npt.NDArray[Any]:
        return random.normal(0, 0.2, shape).astype(np.float32)

    tensors: Arrays = {"transformer.wte.weight": values(vocab, dim), "transformer.wpe.weight": values(context, dim)}
    shapes = {"ln_1": (dim,), "attn.c_attn": (3 * dim, dim), "attn.c_proj": (dim, dim), "ln_2": (dim,)}
    shapes |= {"mlp.c_fc": (4 * dim, dim), "mlp.c_proj": (dim, 4 * dim)}
    named = {f"h.{i}.{name}": shape for i in range(2) for name, shape in shapes.items()}
    for name, shape in {**named, "ln_f": (dim,)}.items():
        tensors[f"transformer.{name}.weight"] = values(*shape) + (1 if len(shape) == 1 else 0)
        if bias:
            tensors[f"transformer.{name}.bias"] = values(shape[0])
    return {**tensors, "lm_head.weight": tensors["transformer.wte.weight"]}


CHARACTERS = "\n abcdefghijklmnopqrstuvwxyz.,!?'-:0123é"
