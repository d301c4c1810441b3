#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Converts every checkpoint under a folder to GGUF, in one run and with torch loaded once.

    .venv-torch/bin/python scripts/convert_all.py downloads --output models --type q8_0

A checkpoint is a folder as Hugging Face lays it out, or a .pt, .pth, .bin or .safetensors by itself. What has its
output already is skipped. A table of results ends the run; the exit status is 0 when nothing failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from convert.arguments import add_settings, settings_of
from convert.checkpoint import find_checkpoints
from convert.conversion import Settings, convert, output_there
from convert.errors import ConvertError
from convert.show import MIB, Bar

HEADINGS = ("checkpoint", "result", "MiB", "seconds", "")


@dataclass(frozen=True)
class Outcome:
    """A row of the table. `result` is converted, skipped or failed."""

    source: str
    result: str
    size_bytes: int
    seconds: float
    said: str


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the checkpoints are, at any depth")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the files go; default: the same folder")
    add_settings(parser)
    return parser.parse_args()


def output_names(folder: Path, sources: list[Path], output: Path) -> dict[Path, Path]:
    """NAME.gguf for each, where NAME is the checkpoint's; with its folders in front where two have the same."""
    stems = {source: (source.name if source.is_dir() else source.stem) or "model" for source in sources}
    for source in sources:
        if list(stems.values()).count(stems[source]) > 1:
            parts = source.relative_to(folder).with_suffix("" if source.is_file() else source.suffix).parts
            stems[source] = "-".join(parts) or stems[source]
    return {source: output / f"{stem}.gguf" for source, stem in stems.items()}


def convert_one(source: Path, output: Path, name: str, settings: Settings) -> Outcome:
    if output_there(output) and not settings.force:
        return Outcome(name, "skipped", 0, 0.0, f"{output} is there")
    started = time.monotonic()
    try:
        with Bar() as bar:
            done = convert(source, output, replace(settings, name=output.stem), bar.advance, bar.begin)
    except (ConvertError, OSError) as error:
        return Outcome(name, "failed", 0, time.monotonic() - started, str(error))
    files = ", ".join(str(file) for file in done.files)
    for note in done.notes:
        print(f"  {note}")
    return Outcome(name, "converted", done.size_bytes, time.monotonic() - started, files)


def table(outcomes: list[Outcome]) -> str:
    rows = [HEADINGS]
    for outcome in outcomes:
        size = f"{outcome.size_bytes / MIB:.1f}" if outcome.size_bytes else ""
        rows.append((outcome.source, outcome.result, size, f"{outcome.seconds:.1f}", outcome.said))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}"
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def main() -> int:
    args = parse()
    try:
        sources = find_checkpoints(args.folder)
        output: Path = args.output or args.folder
        output.mkdir(parents=True, exist_ok=True)
    except (ConvertError, OSError) as error:
        print(f"convert_all: {error}", file=sys.stderr)
        return 1
    outcomes = []
    for i, (source, target) in enumerate(output_names(args.folder, sources, output).items()):
        name = str(source.relative_to(args.folder)) if source != args.folder else source.name
        print(f"[{i + 1}/{len(sources)}] {name}", flush=True)
        outcomes.append(convert_one(source, target, name, settings_of(args)))
    print(table(outcomes))
    failed = sum(outcome.result == "failed" for outcome in outcomes)
    if failed:
        print(f"convert_all: {failed} of {len(outcomes)} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
