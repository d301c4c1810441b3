# SPDX-License-Identifier: MIT
"""What is common to all architectures: their tensors under GGUF's names, each with the shape that it must have.

A row of arch_*.py says what is special: its keys, which tensors a block has, how their values change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import gguf

from convert.checkpoint import Checkpoint
from convert.dims import Dims
from convert.errors import ConvertError
from convert.hparams import Hparams
from convert.tensors import Tensor

# Buffers that are no weights: causal masks, and frequencies that follow from the configuration.
BUFFERS = re.compile(r"(\.attn\.(bias|masked_bias)|\.rotary_emb\.inv_freq|\.rotary_emb\.(cos|sin)_cached)$")
SUFFIXES = (".weight", ".bias")


@dataclass(frozen=True)
class Options:
    """What a person may say of a checkpoint that it does not say itself."""

    n_head: int | None = None
    gelu: str | None = None


@dataclass(frozen=True)
class Model:
    """A checkpoint in terms of GGUF: everything but vocabulary and type of weights. `notes` are for the person."""

    arch: str
    dims: Dims
    tensors: list[Tensor]
    add_keys: Callable[[gguf.GGUFWriter], None]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """`model_types` are config.json's. `build` makes the model of a checkpoint."""

    name: str
    model_types: tuple[str, ...]
    build: Callable[[Checkpoint, Hparams, Options], Model]


# GGUF's names within a block, without suffix: what Llama and its kind have.
LLAMA_BLOCK = (
    "attn_norm.weight",
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_output.weight",
    "ffn_norm.weight",
    "ffn_gate.weight",
    "ffn_up.weight",
    "ffn_down.weight",
)


def kind_of(name: str) -> tuple[str, str]:
    """Name of a GGUF tensor without block and suffix, and the suffix."""
    kind, _, suffix = re.sub(r"^blk\.\d+\.", "", name).rpartition(".")
    return kind, suffix


def gguf_names(checkpoint: Checkpoint, arch: gguf.MODEL_ARCH, n_layer: int) -> dict[str, Tensor]:
    """The checkpoint's tensors under GGUF's names, in the checkpoint's order."""
    names = gguf.get_tensor_name_map(arch, n_layer)
    found: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors.items():
        if BUFFERS.search(name):
            continue
        new_name = names.get_name(name, try_suffixes=SUFFIXES)
        if new_name is None:
            raise ConvertError(
                f"{tensor.file}: tensor {name} (shape {list(tensor.shape)}) has no place in the architecture "
                f"{gguf.MODEL_ARCH_NAMES[arch]} with {n_layer} blocks"
            )
        if new_name in found:
            raise ConvertError(f"{tensor.file}: tensor {name} and {found[new_name].name} are both {new_name}")
        found[new_name] = tensor
    return found


def required_names(top: Sequence[str], block: Sequence[str], n_layer: int) -> list[str]:
    return [*top, *(f"blk.{i}.{name}" for i in range(n_layer) for name in block)]


def check_complete(checkpoint: Checkpoint, found: dict[str, Tensor], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in found]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ConvertError(
            f"{checkpoint.source}: {', '.join(missing[:3])}{more} missing (names as in GGUF); the checkpoint is not "
            f"complete, or {checkpoint.config_source or 'the configuration'} belongs to another one"
        )


def check_shape(checkpoint: Checkpoint, name: str, tensor: Tensor, dims: Dims) -> None:
    expected = dims.shape(*kind_of(name))
    if expected is not None and tensor.shape != expected:
        raise ConvertError(
            f"{tensor.file}: tensor {tensor.name} has the shape {list(tensor.shape)}, "
            f"{checkpoint.config_source or 'the other tensors'} asks for {list(expected)}"
        )


def vocabulary_rows(checkpoint: Checkpoint, hparams: Hparams, *names: str) -> int:
    """Rows of the embedding table: that is the size of the vocabulary, padding included."""
    table = next((checkpoint.tensors[name] for name in names if name in checkpoint.tensors), None)
    if table is None:
        raise ConvertError(f"{checkpoint.source}: tensor {names[0]} is missing; is this a whole model?")
    rows = table.shape[0]
    said = hparams.count_or(None, "vocab_size")
    if said is not None and said != rows:
        raise ConvertError(
            f"{hparams.source}: 'vocab_size' is {said}, tensor {table.name} of {table.file} has {rows} rows"
        )
    return rows


def drop_tied_head(found: dict[str, Tensor], tied: bool) -> None:
    """A head that is the embedding table is not written: readers take the table."""
    if tied:
        found.pop("output.weight", None)


def finish(found: dict[str, Tensor], changes: Mapping[str, Callable[[Tensor, str], Tensor]]) -> list[Tensor]:
    """The tensors under their new names; `changes` is by kind and suffix, or by kind."""
    tensors = []
    for name, tensor in found.items():
        kind, suffix = kind_of(name)
        change = changes.get(f"{kind}.{suffix}") or changes.get(kind)
        tensors.append(change(tensor, name) if change else tensor.renamed(name))
    return tensors
