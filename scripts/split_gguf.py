#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Splits a GGUF file into parts that are no larger than a given size, as llama.cpp's gguf-split does.

    python scripts/split_gguf.py models/NAME.gguf models/NAME --max-size 4G

writes models/NAME-00001-of-0000N.gguf and so on. The first part has all metadata, each has whole tensors in their
order, and `split.no`, `split.count` and `split.tensors.count`. Bytes of tensors are copied as they are, a piece at a
time. Only Python's own library is needed.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
# The largest file of FAT32.
FAT32_BYTES = (4 << 30) - 1
COPY_BYTES = 4 << 20
# Value types of metadata, with the size of those that have one.
U16, I32, TEXT, ARRAY = 2, 5, 8, 9
VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
UNSIGNED = {0: 1, 2: 2, 4: 4, 10: 8}
# Tensor types: values and bytes of a block (ggml.h; github.com/ggml-org/ggml, docs/gguf.md).
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40)}
BLOCKS |= {10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)}
BLOCKS |= {16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82)}
BLOCKS |= {23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2)}
BLOCKS |= {34: (256, 54), 35: (256, 66), 39: (32, 17)}
MAX_DIMS = 4
MAX_TEXT = 1 << 30
MAX_PARTS = 0xFFFF

# Called with the bytes that were copied.
Progress = Callable[[int], object]


class SplitError(Exception):
    """One sentence: which file, which field, what was expected."""


@dataclass(frozen=True)
class Pair:
    """A key of the metadata, and where key and value lie in the file."""

    key: str
    begin: int
    end: int


@dataclass(frozen=True)
class Tensor:
    """`info` is its entry in the header without the offset; `begin` is in the file."""

    name: str
    info: bytes
    begin: int
    nbytes: int


@dataclass
class Source:
    path: Path
    version: int = 0
    alignment: int = DEFAULT_ALIGNMENT
    pairs: list[Pair] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)

    def kept(self, first: bool) -> list[Pair]:
        """Metadata of a part: everything in the first, in the others only what their own layout needs."""
        return [p for p in self.pairs if (first or p.key == "general.alignment") and not p.key.startswith("split.")]


@dataclass
class Part:
    head_bytes: int
    tensors: list[Tensor] = field(default_factory=list)
    data_bytes: int = 0
    info_bytes: int = 0


def padded(count: int, alignment: int) -> int:
    return -(-count // alignment) * alignment


# --- reading ----------------------------------------------------------------------------------------------------------


class Reader:
    """Numbers and texts of the file's header, with its end in view."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = path.stat().st_size

    def bytes(self, count: int, what: str) -> bytes:
        data = self.file.read(count) if count <= MAX_TEXT else b""
        if len(data) != count:
            raise SplitError(f"{self.path}: the file ends inside {what}: it is cut short or damaged")
        return data

    def number(self, count: int, what: str) -> int:
        return int.from_bytes(self.bytes(count, what), "little")

    def text(self, what: str) -> str:
        return self.bytes(self.number(8, what), what).decode("utf-8", "replace")

    def skip(self, count: int, what: str) -> None:
        if count > self.size - self.file.tell():
            raise SplitError(f"{self.path}: the file ends inside {what}: it is cut short or damaged")
        self.file.seek(count, os.SEEK_CUR)

    def skip_value(self, kind: int, key: str) -> None:
        if kind == TEXT:
            self.skip(self.number(8, key), key)
        elif kind == ARRAY:
            element, count = self.number(4, key), self.number(8, key)
            if element == TEXT:
                for _ in range(count):
                    self.skip(self.number(8, key), key)
            elif element in VALUE_BYTES:
                self.skip(count * VALUE_BYTES[element], key)
            else:
                raise SplitError(
                    f"{self.path}: '{key}' is an array of the value type {element}, which is not known here"
                )
        elif kind in VALUE_BYTES:
            self.skip(VALUE_BYTES[kind], key)
        else:
            raise SplitError(f"{self.path}: '{key}' has the value type {kind}, which is not known")


def read_pair(reader: Reader, source: Source) -> None:
    begin = reader.file.tell()
    key = reader.text("a key of the metadata")
    kind = reader.number(4, key)
    value_at = reader.file.tell()
    reader.skip_value(kind, key)
    end = reader.file.tell()
    source.pairs.append(Pair(key, begin, end))
    if key in ("general.alignment", "split.count") and kind in UNSIGNED:
        reader.file.seek(value_at)
        value = reader.number(UNSIGNED[kind], key)
        reader.file.seek(end)
        if key == "general.alignment":
            source.alignment = value
        elif value > 1:
            raise SplitError(f"{source.path}: is one of {value} parts already; join them with gguf-split --merge first")


def read_tensor(reader: Reader) -> tuple[str, bytes, int, int]:
    """Name, entry without offset, offset in the data, and size."""
    begin = reader.file.tell()
    name = reader.text("a tensor's name")
    n_dims = reader.number(4, name)
    if n_dims > MAX_DIMS:
        raise SplitError(f"{reader.path}: tensor {name} has {n_dims} dimensions, at most {MAX_DIMS} are expected")
    shape = [reader.number(8, name) for _ in range(n_dims)]
    kind = reader.number(4, name)
    end = reader.file.tell()
    offset = reader.number(8, name)
    if kind not in BLOCKS:
        raise SplitError(f"{reader.path}: tensor {name} is of type {kind}, which is not known here")
    values, block_bytes = BLOCKS[kind]
    if (shape[0] if shape else 1) % values != 0:
        raise SplitError(f"{reader.path}: tensor {name}: rows of {shape[0]} values, expected a multiple of {values}")
    count = 1
    for n in shape:
        count *= n
    reader.file.seek(begin)
    info = reader.bytes(end - begin, name)
    reader.file.seek(end + 8)
    return name, info, offset, count // values * block_bytes


def read_source(path: Path, file: BinaryIO) -> Source:
    reader = Reader(path, file)
    if reader.bytes(4, "the magic") != MAGIC:
        raise SplitError(f"{path}: starts with no 'GGUF': not a GGUF file")
    version = reader.number(4, "the version")
    if version not in VERSIONS:
        raise SplitError(f"{path}: GGUF version {version}, expected {' or '.join(map(str, VERSIONS))}")
    source = Source(path, version)
    n_tensors, n_pairs = reader.number(8, "the number of tensors"), reader.number(8, "the number of keys")
    for _ in range(n_pairs):
        read_pair(reader, source)
    if source.alignment < 8 or source.alignment % 8 != 0 or source.alignment > 1 << 20:
        raise SplitError(f"{path}: 'general.alignment' is {source.alignment}, expected a multiple of 8")
    entries = [read_tensor(reader) for _ in range(n_tensors)]
    start = padded(reader.file.tell(), source.alignment)
    for name, info, offset, nbytes in entries:
        if start + offset + nbytes > reader.size:
            raise SplitError(
                f"{path}: tensor {name} leaves the file: {nbytes} bytes from {start + offset}, the file has "
                f"{reader.size}; it is cut short or damaged"
            )
        source.tensors.append(Tensor(name, info, start + offset, nbytes))
    return source


# --- planning and writing ---------------------------------------------------------------------------------------------


def pack_pair(key: str, kind: int, value: int) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IH" if kind == U16 else "<Ii", kind, value)


def split_pairs(number: int, count: int, n_tensors: int) -> list[bytes]:
    """What gguf-split adds, with its types."""
    return [
        pack_pair("split.no", U16, number),
        pack_pair("split.count", U16, count),
        pack_pair("split.tensors.count", I32, n_tensors),
    ]


def new_part(source: Source, first: bool) -> Part:
    added = sum(map(len, split_pairs(0, 0, 0)))
    return Part(24 + added + sum(pair.end - pair.begin for pair in source.kept(first)))


def part_bytes(part: Part, alignment: int) -> int:
    head = part.head_bytes + part.info_bytes
    return padded(head, alignment) + part.data_bytes if part.tensors else head


def add_tensor(part: Part, tensor: Tensor, alignment: int, max_bytes: int) -> bool:
    """False when it does not fit, and then the part is as before."""
    info, data = len(tensor.info) + 8, padded(tensor.nbytes, alignment)
    if padded(part.head_bytes + part.info_bytes + info, alignment) + part.data_bytes + data > max_bytes:
        return False
    part.info_bytes += info
    part.data_bytes += data
    part.tensors.append(tensor)
    return True


def plan(source: Source, max_bytes: int) -> list[Part]:
    """Tensors in their order, as many in a part as fit."""
    parts = [new_part(source, first=True)]
    if parts[0].head_bytes > max_bytes:
        raise SplitError(
            f"{source.path}: its metadata take {parts[0].head_bytes} bytes and cannot be split; parts of {max_bytes} "
            "bytes are too small"
        )
    for tensor in source.tensors:
        if add_tensor(parts[-1], tensor, source.alignment, max_bytes):
            continue
        parts.append(new_part(source, first=False))
        if not add_tensor(parts[-1], tensor, source.alignment, max_bytes):
            raise SplitError(
                f"{source.path}: tensor {tensor.name} has {tensor.nbytes} bytes and cannot be split; parts of "
                f"{max_bytes} bytes are too small for it"
            )
    if len(parts) > MAX_PARTS:
        raise SplitError(f"{source.path}: {len(parts)} parts, at most {MAX_PARTS} can be numbered")
    return parts


def copy(file: BinaryIO, output: BinaryIO, begin: int, count: int) -> None:
    file.seek(begin)
    while count > 0:
        data = file.read(min(count, COPY_BYTES))
        if not data:
            raise SplitError("the file became shorter while it was read")
        output.write(data)
        count -= len(data)


def write_part(
    file: BinaryIO, output: BinaryIO, source: Source, part: Part, where: tuple[int, int], progress: Progress
) -> None:
    number, count = where
    kept = source.kept(number == 0)
    added = split_pairs(number, count, len(source.tensors))
    output.write(MAGIC + struct.pack("<IQQ", source.version, len(part.tensors), len(kept) + len(added)))
    for pair in kept:
        copy(file, output, pair.begin, pair.end - pair.begin)
    output.write(b"".join(added))
    offset = 0
    for tensor in part.tensors:
        output.write(tensor.info + struct.pack("<Q", offset))
        offset += padded(tensor.nbytes, source.alignment)
    output.write(bytes(-output.tell() % source.alignment if part.tensors else 0))
    for tensor in part.tensors:
        copy(file, output, tensor.begin, tensor.nbytes)
        output.write(bytes(-tensor.nbytes % source.alignment))
        progress(tensor.nbytes)


def part_names(folder: Path, stem: str, count: int) -> list[Path]:
    return [folder / f"{stem}-{i + 1:05d}-of-{count:05d}.gguf" for i in range(count)]


def no_progress(_: int) -> None:
    """For those who show none."""


def split_file(
    source_path: Path,
    output_folder: Path,
    max_bytes: int,
    progress: Progress = no_progress,
    *,
    stem: str | None = None,
    force: bool = False,
) -> list[Path]:
    """Writes the parts of a GGUF file into a folder, as STEM-00001-of-0000N.gguf, and returns their paths.

    No part is larger than `max_bytes`. Parts get their names when all are written; those that are there already are an
    error, unless `force`. Raises SplitError and OSError.
    """
    temporary: list[Path] = []
    try:
        with source_path.open("rb") as file:
            source = read_source(source_path, file)
            parts = plan(source, max_bytes)
            names = part_names(output_folder, stem or source_path.stem, len(parts))
            there = [name for name in names if name.exists()]
            if there and not force:
                raise SplitError(f"{there[0]}: is there already; remove it, or say --force")
            for i, (part, name) in enumerate(zip(parts, names, strict=True)):
                temporary.append(name.with_name(f".{name.name}.{os.getpid()}.part"))
                with temporary[-1].open("wb") as output:
                    write_part(file, output, source, part, (i, len(parts)), progress)
        for part_name, name in zip(temporary, names, strict=True):
            part_name.replace(name)
        return names
    finally:
        for part_name in temporary:
            part_name.unlink(missing_ok=True)


def parse_size(text: str) -> int:
    """A size with K, M or G for multiples of 1024. 4G is one byte less: the largest file of FAT32."""
    number, unit = text.strip().upper().removesuffix("B"), 1
    if number and number[-1] in "KMG":
        number, unit = number[:-1], 1 << 10 * (1 + "KMG".index(number[-1]))
    if not number.isdecimal() or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number with K, M or G, such as 4G")
    size = int(number) * unit
    return FAT32_BYTES if size == FAT32_BYTES + 1 else size


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("input", type=Path, help="a GGUF file")
    parser.add_argument("output_prefix", type=Path, help="folder and first part of the names")
    parser.add_argument(
        "--max-size", type=parse_size, default=FAT32_BYTES, help="of a part; default: 4G, FAT32's limit"
    )
    parser.add_argument("--force", action="store_true", help="replace parts that are there")
    args = parser.parse_args()
    prefix: Path = args.output_prefix
    try:
        names = split_file(args.input, prefix.parent, args.max_size, stem=prefix.name, force=args.force)
    except (SplitError, OSError) as error:
        print(f"split_gguf: {error}", file=sys.stderr)
        return 1
    for name in names:
        print(f"{name}: {name.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
