# SPDX-License-Identifier: MIT
"""Reads PyTorch checkpoints (.bin, .pt, .pth) with torch.load(weights_only=True), which runs no code of the file.

torch is loaded on first use and kept. A file that torch refuses because it holds an object of a program's own class,
such as the model's configuration, is read by inert_pickle.py, where such objects are bare records.
"""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from convert.errors import ConvertError
from convert.inert_pickle import read_inert
from convert.tensors import Floats, Tensor

NEEDS_TORCH = "PyTorch checkpoints need the package torch (1.13 or newer): run this with a Python that has it"


@lru_cache(maxsize=1)
def torch_module() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise ConvertError(f"{NEEDS_TORCH} ({error})") from error
    module: ModuleType = torch
    return module


def load_weights_only(path: Path) -> Any:
    """The checkpoint as torch gives it, mapped from the file where this torch can do that."""
    torch = torch_module()
    try:
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except TypeError:
        pass  # torch before 2.1 has no mmap
    except (RuntimeError, ValueError) as error:
        # The format from before torch 1.6 cannot be mapped.
        if "mmap" not in str(error):
            raise
    return torch.load(str(path), map_location="cpu", weights_only=True)


# The file whose content was asked for last: shards are taken over one after the other.
@lru_cache(maxsize=1)
def load(path: Path) -> Any:
    try:
        return load_weights_only(path)
    except pickle.UnpicklingError as error:
        return read_inert(path, first_sentence(error))
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ConvertError(
            f"{path}: not a PyTorch checkpoint, or cut short (torch says: {first_sentence(error)})"
        ) from error


def first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."


def is_tensor(value: object) -> bool:
    return isinstance(value, (Tensor, torch_module().Tensor))


def as_tensor(path: Path, keys: tuple[str, ...], name: str, value: Any) -> Tensor:
    """A tensor found under `keys` of the checkpoint; its values come from the file again when they are asked for."""
    if isinstance(value, Tensor):
        return value.renamed(name)
    shape = tuple(int(n) for n in value.shape) or (1,)

    def rows(begin: int, end: int) -> Floats:
        found = load(path)
        for key in keys:
            found = found[key]
        if not found.is_floating_point():
            raise ConvertError(f"{path}: tensor {name} is of type {found.dtype}; weights are floating-point numbers")
        part = found.detach().reshape(shape)[begin:end].to(torch_module().float32)
        values: Floats = np.ascontiguousarray(part.numpy())
        return values

    return Tensor(name, shape, path, rows)


# Where training programs put the state dict.
STATE_KEYS = ("model", "state_dict", "model_state_dict", "module")


def read_pytorch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and what else the checkpoint says of the model (nanoGPT's model_args, for example)."""
    content = load(path)
    if not isinstance(content, dict):
        raise ConvertError(f"{path}: holds a {type(content).__name__}, expected a state dict: save model.state_dict()")
    keys: tuple[str, ...] = ()
    found = content
    for key in STATE_KEYS:
        if isinstance(content.get(key), dict) and any(is_tensor(value) for value in content[key].values()):
            keys, found = (key,), content[key]
            break
    tensors = {
        str(name): as_tensor(path, (*keys, name), str(name), value) for name, value in found.items() if is_tensor(value)
    }
    if not tensors:
        raise ConvertError(f"{path}: holds no tensors, expected a state dict, at the top or under {STATE_KEYS}")
    others = {str(key): value for key, value in content.items() if key not in STATE_KEYS and not is_tensor(value)}
    return tensors, others
