# SPDX-License-Identifier: MIT
"""Hyperparameters out of a checkpoint's configuration, each checked for its type as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convert.errors import ConvertError


@dataclass(frozen=True)
class Hparams:
    """Fields of a configuration; `source` is its file or field, for messages."""

    fields: Mapping[str, Any]
    source: str

    def find(self, *names: str) -> Any:
        """The first of these names that has a value, or None: checkpoints differ in spelling."""
        return next((self.fields[name] for name in names if self.fields.get(name) is not None), None)

    def count(self, *names: str) -> int:
        value = self.count_or(None, *names)
        if value is None:
            raise ConvertError(f"{self.source}: '{names[0]}' is missing, expected a number above 0")
        return value

    def count_or(self, default: int | None, *names: str) -> int | None:
        value = self.find(*names)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConvertError(f"{self.source}: '{names[0]}' is {value!r}, expected a whole number above 0")
        return value

    def real(self, *names: str, default: float | None = None) -> float:
        value = self.find(*names)
        value = default if value is None else value
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ConvertError(f"{self.source}: '{names[0]}' is {value!r}, expected a number")
        return float(value)

    def real_or_none(self, *names: str) -> float | None:
        return None if self.find(*names) is None else self.real(*names)

    def flag(self, name: str, default: bool) -> bool:
        value = self.find(name)
        if value is not None and not isinstance(value, bool):
            raise ConvertError(f"{self.source}: '{name}' is {value!r}, expected true or false")
        return default if value is None else value

    def text(self, name: str, default: str = "") -> str:
        value = self.find(name)
        if value is not None and not isinstance(value, str):
            raise ConvertError(f"{self.source}: '{name}' is {value!r}, expected a text")
        return default if value is None else value

    def record(self, name: str) -> Hparams | None:
        value = self.find(name)
        if value is not None and not isinstance(value, dict):
            raise ConvertError(f"{self.source}: '{name}' is {value!r}, expected an object")
        return None if value is None else Hparams(value, f"{self.source}: {name}")

    def numbers(self, name: str) -> list[float]:
        value = self.find(name)
        if not isinstance(value, list) or not all(isinstance(n, (int, float)) for n in value):
            raise ConvertError(f"{self.source}: '{name}' is {value!r}, expected a list of numbers")
        return [float(n) for n in value]
