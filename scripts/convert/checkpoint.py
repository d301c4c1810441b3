# SPDX-License-Identifier: MIT
"""Finds what belongs to a checkpoint: one file, shards with their index, or a folder as Hugging Face lays it out.

Gives its tensors by name, its configuration (config.json, or what a training program stored beside the weights), and
the folder in which a tokenizer may lie.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.pytorch_file import read_pytorch
from convert.safetensors_file import read_safetensors
from convert.tensors import Tensor

PYTORCH_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
INDEX_SUFFIX = ".index.json"
# What a folder may hold, the first that is there is taken.
FOLDER_NAMES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "ckpt.pt",
    "model.pt",
)
# torch.compile and data-parallel training put these before each name.
WRAPPERS = ("_orig_mod.", "module.")


@dataclass
class Checkpoint:
    """`config` is what the checkpoint's own files say of the model; `source` is what to call it in messages."""

    source: Path
    folder: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any]
    config_source: str
    # What a PyTorch file held beside its tensors.
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_config_json(self) -> bool:
        return self.config_source.endswith("config.json")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConvertError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConvertError(f"{path}: holds a {type(value).__name__}, expected an object")
    return value


def weights_file(path: Path) -> Path:
    """The file, or index of shards, that holds the weights of what a person named."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ConvertError(f"{path}: there is no such file or folder")
    for name in FOLDER_NAMES:
        if (path / name).is_file():
            return path / name
    files = sorted(p for p in path.iterdir() if p.suffix in (*PYTORCH_SUFFIXES, ".safetensors") and p.is_file())
    if len(files) == 1:
        return files[0]
    found = f"found {', '.join(p.name for p in files)}; name one of them" if files else "found none"
    raise ConvertError(f"{path}: expected one of {', '.join(FOLDER_NAMES)} in this folder, {found}")


def read_shards(index: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of the files that an index names; each must be where the index says."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ConvertError(f"{index}: 'weight_map' is missing, expected the file of each tensor")
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(map(str, weight_map.values()))):
        shard = index.parent / name
        if Path(name).name != name:
            raise ConvertError(f"{index}: 'weight_map' names {name!r}, expected a file beside it")
        if not shard.is_file():
            raise ConvertError(f"{shard} is missing: {index.name} names it; get it as well")
        tensors |= read_file(shard)[0]
    for name, shard_name in weight_map.items():
        if name not in tensors:
            raise ConvertError(
                f"{index.parent / str(shard_name)}: tensor {name} is missing, {index.name} says it is here"
            )
    return tensors, {}


def read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if path.name.endswith(INDEX_SUFFIX):
        return read_shards(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path), {}
    if path.suffix in PYTORCH_SUFFIXES:
        return read_pytorch(path)
    raise ConvertError(f"{path}: expected .safetensors, {', '.join(PYTORCH_SUFFIXES)}, an index of shards or a folder")


def fields_of(value: object) -> dict[str, Any] | None:
    """The fields of a dict or of a configuration object."""
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return dict(vars(value)) if hasattr(value, "__dict__") and not isinstance(value, type) else None


def stored_config(extra: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """What a training program stored beside the weights: nanoGPT's model_args, or a config of the same fields."""
    for key in ("model_args", "config"):
        fields = fields_of(extra.get(key))
        if fields and "n_layer" in fields:
            return fields, key
    return None


def find_config(folder: Path, extra: dict[str, Any]) -> tuple[dict[str, Any], str]:
    stored = stored_config(extra)
    if stored is not None:
        return stored
    file = folder / "config.json"
    return (read_json(file), str(file)) if file.is_file() else ({}, "")


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """New names without what wrappers put before all of them."""
    result = {name: name for name in names}
    for wrapper in WRAPPERS:
        if result and all(new.startswith(wrapper) for new in result.values()):
            result = {name: new.removeprefix(wrapper) for name, new in result.items()}
    return result


def holds_model(folder: Path) -> bool:
    """Whether a folder as a whole is one checkpoint."""
    return any((folder / name).is_file() for name in FOLDER_NAMES)


def is_weights(path: Path) -> bool:
    """Whether a file by itself may be a checkpoint: what training programs write beside one is not."""
    side_files = ("optimizer", "scheduler", "training_args", "rng_state", "tokenizer")
    return path.suffix in (*PYTORCH_SUFFIXES, ".safetensors") and not path.name.startswith(side_files)


def find_checkpoints(folder: Path) -> list[Path]:
    """Every checkpoint at or under a folder, folders that are one before what lies within them."""
    if not folder.is_dir():
        raise ConvertError(f"{folder}: there is no such folder")
    found: list[Path] = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        within = any(parent in found for parent in path.parents)
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not within and not hidden and (holds_model(path) if path.is_dir() else is_weights(path)):
            found.append(path)
    if not found:
        raise ConvertError(f"{folder}: no checkpoint in it: expected {', '.join(FOLDER_NAMES)}, or other weights")
    return found


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads names, shapes and configuration; the values of tensors later, when they are asked for."""
    file = weights_file(path)
    tensors, extra = read_file(file)
    config, config_source = find_config(file.parent, extra)
    names = unwrapped(tensors)
    renamed = {names[name]: tensor.renamed(names[name]) for name, tensor in tensors.items()}
    return Checkpoint(file, file.parent, renamed, config, config_source, extra)
