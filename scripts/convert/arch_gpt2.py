# SPDX-License-Identifier: MIT
"""GPT-2 as Hugging Face, nanoGPT and minGPT store it.

Hugging Face keeps OpenAI's Conv1D, whose matrices are (in, out); the other two have Linear layers, (out, in), as GGUF.
They are told apart by the shape of the feed-forward layer, which is never square. Feed-forward layers have GELU's tanh
form (Hugging Face's gelu_new, minGPT) or the exact one (nanoGPT): GGUF has no key for that, llama.cpp takes tanh for
granted, so the exact one is said in a key of ours.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import gguf
import numpy as np

from convert.architectures import (
    Architecture,
    Model,
    Options,
    check_complete,
    check_shape,
    finish,
    gguf_names,
    required_names,
    vocabulary_rows,
)
from convert.checkpoint import Checkpoint
from convert.dims import Dims
from convert.errors import ConvertError
from convert.hparams import Hparams
from convert.tensors import Tensor, of_values

# `gelu_erf` where the feed-forward layers have the exact GELU, x/2 (1 + erf(x/sqrt 2)); without the key it is tanh's.
ACTIVATION_KEY = "gpt2.feed_forward.activation"
ERF = "gelu_erf"
# transformers' names.
TANH_NAMES = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
ERF_NAMES = ("gelu", "gelu_python")

EMBEDDINGS = ("transformer.wte.weight", "wte.weight")
TOP = ("token_embd.weight", "position_embd.weight", "output_norm.weight")
BLOCK = ("attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up", "ffn_down")
BLOCK_WEIGHTS = tuple(f"{name}.weight" for name in BLOCK)
MATRICES = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")


def tensor_of(checkpoint: Checkpoint, *names: str) -> Tensor:
    for name in names:
        if name in checkpoint.tensors:
            return checkpoint.tensors[name]
    raise ConvertError(f"{checkpoint.source}: tensor {names[0]} is missing; is this a whole GPT-2 model?")


def count_blocks(checkpoint: Checkpoint) -> int:
    blocks = 0
    while any(f"{prefix}h.{blocks}.ln_1.weight" in checkpoint.tensors for prefix in ("transformer.", "")):
        blocks += 1
    return blocks


def is_conv1d(checkpoint: Checkpoint, n_embd: int) -> bool:
    """Whether matrices are (in, out)."""
    up = tensor_of(checkpoint, "transformer.h.0.mlp.c_fc.weight", "h.0.mlp.c_fc.weight")
    if len(up.shape) != 2 or n_embd not in up.shape or up.shape[0] == up.shape[1]:
        raise ConvertError(
            f"{up.file}: tensor {up.name} has the shape {list(up.shape)}, expected a matrix with one side of {n_embd}"
        )
    return up.shape[0] == n_embd


def head_count(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> int:
    n_head = options.n_head or hparams.count_or(None, "n_head")
    if n_head is None:
        raise ConvertError(
            f"{checkpoint.source}: nothing says how many heads it has: there is no model_args in it and no config.json "
            "beside it; say --heads N"
        )
    return n_head


def gpt2_dims(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> Dims:
    """From the tensors, which a state dict alone has too; what the configuration says must agree."""
    vocab_size = vocabulary_rows(checkpoint, Hparams({}, ""), *EMBEDDINGS)
    positions = tensor_of(checkpoint, "transformer.wpe.weight", "wpe.weight")
    up = tensor_of(checkpoint, "transformer.h.0.mlp.c_fc.weight", "h.0.mlp.c_fc.weight")
    n_embd = positions.shape[-1]
    n_ff = prod(up.shape) // max(1, n_embd)
    n_head = head_count(checkpoint, hparams, options)
    if n_embd % n_head != 0:
        raise ConvertError(
            f"{hparams.source or checkpoint.source}: 'n_head' {n_head} does not divide 'n_embd' {n_embd}"
        )
    dims = Dims(
        vocab_size, n_embd, n_ff, count_blocks(checkpoint), n_head, n_head, n_embd // n_head, positions.shape[0]
    )
    said = {"n_layer": dims.n_layer, "n_embd": dims.n_embd, "vocab_size": dims.vocab_size}
    for name, value in said.items():
        if hparams.count_or(value, name) != value:
            raise ConvertError(f"{hparams.source}: '{name}' is {hparams.find(name)}, the tensors have {value}")
    return dims


def is_erf(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> tuple[bool, str]:
    """Whether GELU is the exact one, and why."""
    if options.gelu is not None:
        return options.gelu == "erf", "as --gelu says"
    named = hparams.text("activation_function")
    if named in ERF_NAMES or named in TANH_NAMES:
        return named in ERF_NAMES, f"'activation_function' is '{named}'"
    if named:
        raise ConvertError(
            f"{hparams.source}: 'activation_function' is {named!r}, known are: {', '.join(TANH_NAMES + ERF_NAMES)}"
        )
    if hparams.find("bias") is not None:
        return True, "a nanoGPT checkpoint; older nanoGPT had tanh's: then say --gelu tanh"
    return False, "no nanoGPT checkpoint; say --gelu erf if it was trained with torch's nn.GELU()"


def zero_biases(found: dict[str, Tensor], dims: Dims, file: Path) -> list[Tensor]:
    """For models trained without biases: llama.cpp asks for them."""
    names = [f"blk.{i}.{name}.bias" for i in range(dims.n_layer) for name in BLOCK] + ["output_norm.bias"]
    made = []
    for name in names:
        if name not in found:
            shape = dims.shape(name.split(".")[-2], "bias") or ()
            made.append(of_values(name, np.zeros(shape, np.float32), file))
    return made


def transposed(tensor: Tensor, name: str) -> Tensor:
    return tensor.changed(name, tensor.shape[::-1], lambda values: values.T)


def is_same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same values."""
    return a.shape == b.shape and all(np.array_equal(x, y) for x, y in zip(a.chunks(), b.chunks(), strict=True))


def drop_tied(found: dict[str, Tensor], hparams: Hparams) -> None:
    """lm_head is the embedding table in GPT-2 and nanoGPT, stored or not; minGPT trains one of its own."""
    head = found.get("output.weight")
    if head is not None and (hparams.flag("tie_word_embeddings", False) or is_same(head, found["token_embd.weight"])):
        del found["output.weight"]


def build_gpt2(checkpoint: Checkpoint, hparams: Hparams, options: Options) -> Model:
    dims = gpt2_dims(checkpoint, hparams, options)
    conv1d = is_conv1d(checkpoint, dims.n_embd)
    found = gguf_names(checkpoint, gguf.MODEL_ARCH.GPT2, dims.n_layer)
    check_complete(checkpoint, found, required_names(TOP, BLOCK_WEIGHTS, dims.n_layer))
    for name, tensor in found.items():
        turned = conv1d and name.endswith(".weight") and name.split(".")[-2] in MATRICES
        shaped = Tensor(tensor.name, tensor.shape[::-1], tensor.file, tensor.rows) if turned else tensor
        check_shape(checkpoint, name, shaped, dims)
    drop_tied(found, hparams)
    erf, why = is_erf(checkpoint, hparams, options)

    def add_keys(writer: gguf.GGUFWriter) -> None:
        writer.add_block_count(dims.n_layer)
        writer.add_context_length(dims.n_ctx)
        writer.add_embedding_length(dims.n_embd)
        writer.add_feed_forward_length(dims.n_ff)
        writer.add_head_count(dims.n_head)
        writer.add_layer_norm_eps(hparams.real("layer_norm_epsilon", default=1e-5))
        if erf:
            writer.add_string(ACTIVATION_KEY, ERF)

    changes = {f"{name}.weight": transposed for name in MATRICES} if conv1d else {}
    biases = zero_biases(found, dims, checkpoint.source)
    notes: tuple[str, ...] = (f"GELU in its {'exact (erf)' if erf else 'tanh'} form: {why}",)
    if biases:
        notes += (f"{len(biases)} biases that the model has not are written as zeros",)
    return Model("gpt2", dims, finish(found, changes) + biases, add_keys, notes)


GPT2 = Architecture("gpt2", ("gpt2",), build_gpt2)
