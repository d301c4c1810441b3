# SPDX-License-Identifier: MIT
"""Makes models fit for FAT32: a split model with all its parts, and no file larger than the file system takes.

Used by make_image.py. What cannot be made fit is left out with a sentence; the image holds the rest.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import split_gguf

# NAME-00001-of-00003.gguf, as gguf-split writes it; FAT knows no letter case.
PART_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)

# Shows the progress of copying so many bytes.
Progress = Callable[[int], AbstractContextManager[Callable[[int], object]]]


def part_names(path: Path) -> list[str]:
    """The names of all parts of the model that a file is a part of, by its name; none for a file that is whole."""
    match = PART_NAME.fullmatch(path.name)
    if match is None or not 1 <= int(match[2]) <= int(match[3]) or int(match[3]) == 1:
        return []
    return [f"{match[1]}-{number:05d}-of-{match[3]}.gguf" for number in range(1, int(match[3]) + 1)]


def with_parts(models: list[Path], leave_out: Callable[[str], object]) -> list[Path]:
    """The models, each part of a split one followed by the others; a model that lacks one is left out."""
    chosen: dict[Path, Path] = {}
    refused: set[str] = set()
    for model in models:
        names = part_names(model)
        if not names:
            chosen.setdefault(model.resolve(), model)
            continue
        beside = {path.name.lower(): path for path in model.parent.iterdir() if path.is_file()}
        missing = [name for name in names if name.lower() not in beside]
        if not missing:
            for name in names:
                part = beside[name.lower()]
                chosen.setdefault(part.resolve(), part)
            continue
        first = str(model.parent / names[0]).lower()
        if first not in refused:
            refused.add(first)
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            leave_out(f"{model}: of its {len(names)} parts {missing[0]}{more} is missing from {model.parent}")
    return list(chosen.values())


def is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == split_gguf.MAGIC


@dataclass(frozen=True)
class Limit:
    """Files of more than `max_bytes` are split into `folder()`, which is asked for when one is."""

    max_bytes: int
    folder: Callable[[], Path]
    progress: Progress


def split_large(models: list[Path], limit: Limit, leave_out: Callable[[str], object]) -> list[Path]:
    """The models, each GGUF file that is too large replaced by its parts; other large files are left out."""
    fit: list[Path] = []
    for model in models:
        size = model.stat().st_size
        if size <= limit.max_bytes:
            fit.append(model)
        elif not is_gguf(model):
            leave_out(f"{model}: it has {size:,} bytes and files may have {limit.max_bytes:,}; only GGUF can be split")
        else:
            try:
                fit += split(model, limit)
            except split_gguf.SplitError as error:
                leave_out(f"{error} (it has {size:,} bytes and files may have {limit.max_bytes:,})")
    # All parts of a split model or none: one of them may have been left out just now.
    return with_parts_left(fit, leave_out)


def split(model: Path, limit: Limit) -> list[Path]:
    folder = limit.folder()
    size = model.stat().st_size
    free = shutil.disk_usage(folder).free
    if free < size:
        raise split_gguf.SplitError(
            f"{model}: splitting needs {size:,} bytes beside the image, {folder.parent} has {free:,}"
        )
    with limit.progress(size) as advance:
        return split_gguf.split_file(model, folder, limit.max_bytes, advance)


def with_parts_left(models: list[Path], leave_out: Callable[[str], object]) -> list[Path]:
    """The models without the parts of those of which a part is not among them."""
    there = {str(model).lower() for model in models}
    complete: list[Path] = []
    for model in models:
        lacking = [name for name in part_names(model) if str(model.with_name(name)).lower() not in there]
        if lacking:
            leave_out(f"{model}: {lacking[0]} was left out, and it is a part of the same model")
        else:
            complete.append(model)
    return complete
