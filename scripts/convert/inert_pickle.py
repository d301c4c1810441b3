# SPDX-License-Identifier: MIT
"""Reads zip checkpoints of PyTorch without running anything that they name.

torch.load(weights_only=True) refuses a file for one object of a class that it does not know, and training programs like
to store their configuration so. Here such an object becomes a Record with its fields; its class is never imported.
Tensors are read as torch stores them. Whatever else a pickle can do (calling functions, above all) is refused by name.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import ConvertError
from convert.tensors import Floats, Tensor

# Storages by the name of their class in the module torch.
STORAGES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "BFloat16Storage": "<u2"}


class Record:
    """An object of a class that is not loaded: only its fields."""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


class Storage:
    """The type of a storage, as the pickle names it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class InertUnpickler(pickle.Unpickler):
    """Knows ordered dicts, tensors and records. Nothing is imported, so nothing of the file can run."""

    def __init__(self, path: Path, refusal: str, data: bytes, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(BytesIO(data))
        self.path = path
        self.refusal = refusal
        self.archive = archive
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, requires_grad, hooks: data
        if module == "torch" and name in STORAGES:
            return Storage(name)
        if module.split(".")[0] in ("torch", "builtins", "__builtin__"):
            raise self.refused(f"{module}.{name}")
        return record_class(self.path, self.refusal, f"{module}.{name}")

    def refused(self, name: str) -> ConvertError:
        return ConvertError(
            f"{self.path}: the checkpoint calls {name}, which is not needed for weights, so it is not loaded; "
            f"save only the state dict (torch says: {self.refusal})"
        )

    def persistent_load(self, pid: Any) -> tuple[str, str, int]:
        """A storage: type, entry of the archive, number of values."""
        kind, storage, key, _device, count = pid
        if kind != "storage" or not isinstance(storage, Storage):
            raise ConvertError(f"{self.path}: a storage of an unknown type; weights are one of {', '.join(STORAGES)}")
        return STORAGES[storage.kind], f"{self.folder}data/{key}", int(count)

    def rebuild_tensor(
        self, storage: tuple[str, str, int], offset: int, size: Any, stride: Any, *_others: object
    ) -> Tensor:
        dtype, entry, count = storage
        shape = tuple(int(n) for n in size) or (1,)
        strides = tuple(int(n) for n in stride) or (1,)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if min(shape) < 1 or min(strides) < 0 or offset < 0 or last >= count:
            raise ConvertError(f"{self.path}: {entry}: shape {shape} with strides {strides} leaves its {count} values")

        def rows(begin: int, end: int) -> Floats:
            with zipfile.ZipFile(self.path) as archive:
                values = np.frombuffer(archive.read(entry), np.dtype(dtype))
            if values.size != count:
                raise ConvertError(f"{self.path}: {entry} has {values.size} values, expected {count}")
            if dtype == "<u2":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            steps = tuple(step * values.itemsize for step in strides)
            view = np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False)
            return np.ascontiguousarray(view[begin:end], dtype=np.float32)

        if prod(shape) > count:
            raise ConvertError(f"{self.path}: {entry}: shape {shape} has more than its {count} values")
        return Tensor(entry, shape, self.path, rows)


def record_class(path: Path, refusal: str, name: str) -> type[Record]:
    """A class whose objects hold fields. Calling it is what a pickle does with functions, and is refused."""

    def called(cls: type, *arguments: object) -> None:
        raise ConvertError(
            f"{path}: the checkpoint calls {name}, which is not needed for weights, so it is not loaded; "
            f"save only the state dict (torch says: {refusal})"
        )

    meta = type("RecordType", (type,), {"__call__": called})
    made: type[Record] = type.__new__(meta, name, (Record,), {})
    return made


def read_inert(path: Path, refusal: str) -> Any:
    """The checkpoint's object; `refusal` is what torch said of it."""
    if not zipfile.is_zipfile(path):
        raise ConvertError(f"{path}: torch refuses to load it safely ({refusal}); save only the state dict")
    known: tuple[type[Exception], ...] = (pickle.UnpicklingError, ValueError, TypeError, AttributeError, KeyError)
    known += (EOFError, IndexError, zipfile.BadZipFile, OverflowError)
    read: Callable[[zipfile.ZipFile, str], bytes] = zipfile.ZipFile.read
    with zipfile.ZipFile(path) as archive:
        entries = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(entries) != 1:
            raise ConvertError(f"{path}: no data.pkl in it: not a PyTorch checkpoint")
        try:
            data = read(archive, entries[0])
            return InertUnpickler(path, refusal, data, archive, entries[0].removesuffix("data.pkl")).load()
        except known as error:
            raise ConvertError(f"{path}: torch refuses to load it safely ({refusal}): {error}") from error
