# SPDX-License-Identifier: MIT
"""A small terminal: what a person at the end of the serial line sees, and everything that was there before.

OVMF's serial console sends text, cursor positions and colours. Lines are kept whole: a line that ran over the right
edge by itself is one line here (the firmware sends no line end for it), and what scrolled away or was cleared stays in
the transcript. Only what EDK2's terminal driver sends is understood; all else is dropped.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

# What OVMF gives a serial console beside the standard VGA.
COLUMNS = 100
ROWS = 31

_ESCAPE = re.compile(r"\x1b\[([0-9;=?]*)([A-Za-z])")
_UNFINISHED = re.compile(r"\x1b(\[[0-9;=?]*)?$")


@dataclass
class _Row:
    cells: list[str] = field(default_factory=list)
    continues: bool = False  # the next row is the rest of this line

    def put(self, column: int, character: str) -> None:
        if len(self.cells) <= column:
            self.cells.extend(" " * (column + 1 - len(self.cells)))
        self.cells[column] = character

    @property
    def text(self) -> str:
        return "".join(self.cells)


class Screen:
    def __init__(self, columns: int = COLUMNS, rows: int = ROWS) -> None:
        self.columns = columns
        self.rows = rows
        self._past: list[_Row] = []
        self._shown = [_Row() for _ in range(rows)]
        self._row = 0
        self._column = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> None:
        text = self._rest + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else ""
        text = text[: len(text) - len(self._rest)]
        at = 0
        for escape in _ESCAPE.finditer(text):
            self._write(text[at : escape.start()])
            self._control(escape[1], escape[2])
            at = escape.end()
        self._write(text[at:])

    # --- what is there ------------------------------------------------------------------------------------------------

    @property
    def current_line(self) -> str:
        """The row that the cursor is on, up to the cursor."""
        return self._shown[self._row].text[: self._column]

    @property
    def visible(self) -> str:
        return "\n".join(_lines(self._shown))

    @property
    def lines(self) -> list[str]:
        """Everything since power-on, line by line, without blanks at the ends."""
        return _lines([*self._past, *self._shown])

    @property
    def transcript(self) -> str:
        return "\n".join(self.lines)

    # --- what changes it ----------------------------------------------------------------------------------------------

    def _write(self, text: str) -> None:
        for character in text:
            if character == "\n":
                # The carriage return comes with it, but not always before it.
                self._shown[self._row].continues = False
                self._next_row()
                self._column = 0
            elif character == "\r":
                self._column = 0
            elif character == "\b":
                self._column = max(0, self._column - 1)
            elif character >= " ":
                self._put(character)

    def _put(self, character: str) -> None:
        if self._column == self.columns:
            self._shown[self._row].continues = True
            self._next_row()
            self._column = 0
        self._shown[self._row].put(self._column, character)
        self._column += 1

    def _next_row(self) -> None:
        if self._row < self.rows - 1:
            self._row += 1
            return
        self._past.append(self._shown.pop(0))
        self._shown.append(_Row())

    def _control(self, parameters: str, kind: str) -> None:
        numbers = [int(word) for word in parameters.split(";") if word.isdecimal()]
        if kind == "H":
            row, column = (*numbers, 1, 1)[:2]
            self._row = min(max(row, 1), self.rows) - 1
            self._column = min(max(column, 1), self.columns) - 1
        elif kind == "J":
            self._past += self._used()
            self._shown = [_Row() for _ in range(self.rows)]
            self._row = self._column = 0

    def _used(self) -> list[_Row]:
        """The rows down to the last that holds something."""
        last = max((i for i, row in enumerate(self._shown) if row.text.strip()), default=-1)
        return self._shown[: last + 1]


def _lines(rows: list[_Row]) -> list[str]:
    """Whole lines, without blanks at their ends, and without empty ones at the end of all."""
    lines: list[str] = []
    joined = ""
    for row in rows:
        joined += row.text
        if not row.continues:
            lines.append(joined.rstrip())
            joined = ""
    if joined:
        lines.append(joined.rstrip())
    while lines and not lines[-1]:
        lines.pop()
    return lines
