# SPDX-License-Identifier: MIT
"""Tables: printed row by row as they are measured, as text or Markdown, and kept as JSON.

The JSON file holds the last run of each section, with its date and the load of the machine: sections can be measured
one by one, and read together.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A key of a row, its heading, and how a value is written; text is aligned left, numbers right."""

    key: str
    heading: str
    style: str = "{}"

    @property
    def is_text(self) -> bool:
        return self.style == "{}"

    def text(self, row: Row) -> str:
        value = row.get(self.key)
        return "-" if value is None else self.style.format(value)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name, memory = platform.processor() or platform.machine(), 0
    if Path("/proc/cpuinfo").is_file():
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1] if found else name
        total = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
        memory = int(total[1]) * 1024 if total else 0
    return {"processor": name, "processors": os.cpu_count(), "memory_bytes": memory, "system": platform.platform()}


def load() -> float:
    """Programs that wanted to run in the last minute, ours among them."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def line(cells: Sequence[str], columns: Sequence[Column], markdown: bool) -> str:
    if markdown:
        return f"| {' | '.join(cells)} |"
    widths = [max(len(column.heading), 16 if column.is_text else 9) for column in columns]
    return "  " + "  ".join(
        cell.ljust(width) if column.is_text else cell.rjust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    )


def print_head(title: str, note: str, columns: Sequence[Column], markdown: bool) -> None:
    if markdown:
        print(f"\n### {title}\n\n{note}\n")
    else:
        print(f"\n{title}\n{note}\n")
    print(line([column.heading for column in columns], columns, markdown), flush=True)
    if markdown:
        print(f"|{'|'.join('---' if column.is_text else '--:' for column in columns)}|", flush=True)


class Table:
    """One section's figures, as they come."""

    def __init__(self, section: Row, columns: Sequence[Column], markdown: bool) -> None:
        self._section = section
        self._columns = columns
        self._markdown = markdown

    def add(self, **values: Any) -> None:
        row: Row = {**values, "load": round(load(), 2)}
        self._section["rows"].append(row)
        print(line([column.text(row) for column in self._columns], self._columns, self._markdown), flush=True)


class Results:
    """All sections measured so far; what is saved survives a run that is broken off."""

    def __init__(self, path: Path, markdown: bool) -> None:
        self._path = path
        self._markdown = markdown
        old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self.data: dict[str, Any] = {"machine": machine(), "sections": old.get("sections", {})}

    def table(self, name: str, title: str, note: str, columns: Sequence[Column]) -> Table:
        print_head(title, note, columns, self._markdown)
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        section: Row = {"title": title, "note": note, "date": now, "rows": []}
        section["columns"] = [[column.key, column.heading, column.style] for column in columns]
        self.data["sections"][name] = section
        return Table(section, columns, self._markdown)

    def rows(self, name: str) -> list[Row]:
        section = self.data["sections"].get(name, {})
        return list(section.get("rows", []))

    def save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")

    def show(self) -> None:
        """Prints what earlier runs measured."""
        for section in self.data["sections"].values():
            columns = [Column(*column) for column in section["columns"]]
            print_head(f"{section['title']} ({section['date']})", section["note"], columns, self._markdown)
            for row in section["rows"]:
                print(line([column.text(row) for column in columns], columns, self._markdown))
