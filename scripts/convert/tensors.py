# SPDX-License-Identifier: MIT
"""A tensor of a checkpoint before it is read: known by name and shape, its values fetched when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
# Values that are in memory as float32 at one time, of a tensor that is taken over row by row.
CHUNK_VALUES = 16 << 20


@dataclass(frozen=True)
class Tensor:
    """`shape` is PyTorch's, the last dimension is contiguous. `rows(a, b)` gives rows a to b of the first dimension."""

    name: str
    shape: tuple[int, ...]
    file: Path
    rows: Callable[[int, int], Floats]

    def read(self) -> Floats:
        """All of it."""
        return self.rows(0, self.shape[0])

    def chunks(self) -> Iterator[Floats]:
        """All of it in whole rows, CHUNK_VALUES or one row at a time."""
        step = max(1, CHUNK_VALUES // max(1, prod(self.shape[1:])))
        for begin in range(0, self.shape[0], step):
            yield self.rows(begin, min(begin + step, self.shape[0]))

    def part(self, name: str, begin: int, end: int) -> Tensor:
        """Rows begin to end as a tensor of their own."""
        shape = (end - begin, *self.shape[1:])
        return Tensor(name, shape, self.file, lambda a, b: self.rows(begin + a, begin + b))

    def changed(self, name: str, shape: tuple[int, ...], change: Callable[[Floats], Floats]) -> Tensor:
        """What `change` makes of the whole tensor. It is read as a whole for each call, so it is for smaller ones."""

        def rows(begin: int, end: int) -> Floats:
            return np.ascontiguousarray(change(self.read())[begin:end])

        return WholeTensor(name, shape, self.file, rows)

    def renamed(self, name: str) -> Tensor:
        return type(self)(name, self.shape, self.file, self.rows)


class WholeTensor(Tensor):
    """One that is never taken in parts, because each part costs the whole."""

    def chunks(self) -> Iterator[Floats]:
        yield self.read()


def of_values(name: str, values: Floats, file: Path) -> Tensor:
    """A tensor that is computed, not read."""
    return Tensor(name, values.shape, file, lambda begin, end: values[begin:end])
