# SPDX-License-Identifier: MIT
"""What a person sees of a conversion: a bar while it runs, and a few lines at its end."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm

from convert.conversion import Done

MIB = 1 << 20


class Bar:
    """One bar, begun anew for each stage; none where the output is no terminal."""

    def __init__(self) -> None:
        self.bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def begin(self, what: str, values: int) -> None:
        self.close()
        hidden = not sys.stderr.isatty()
        self.bar = tqdm(total=values, desc=what, unit="value", unit_scale=True, disable=hidden, leave=False)

    def advance(self, values: int) -> None:
        if self.bar is not None:
            self.bar.update(values)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def describe(done: Done) -> str:
    """The files with their size, and what there is to say of them."""
    names = ", ".join(str(file) for file in done.files)
    head = f"{names}: {done.arch}, {done.parameters} parameters, {done.size_bytes / MIB:.1f} MiB"
    return "\n".join([head, *(f"  {note}" for note in done.notes)])
