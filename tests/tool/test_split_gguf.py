# SPDX-License-Identifier: MIT
"""GGUF files split by scripts/split_gguf.py, and models that are written in parts."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from checkpoints import LLAMA, llama_folder, safetensors_bytes
from convert.conversion import Settings, convert
from convert.errors import ConvertError
from split_gguf import FAT32_BYTES, SplitError, parse_size, split_file
from support import ROOT, Tool, tiny_reference

VALUES = np.arange(96, dtype=np.float32)


def write_model(path: Path, tensors: int = 6, alignment: int = 32) -> Path:
    """A file with metadata of several types and tensors of several lengths and types."""
    writer = gguf.GGUFWriter(path, "llama")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    writer.add_array("words", ["a", "bc", "é" * 50])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_float64("real", 0.25)
    writer.add_bool("flag", True)
    for i in range(tensors):
        values = (VALUES[: 32 * (1 + i % 3)] + 1000 * i).reshape(-1, 32)
        writer.add_tensor(f"t{i}", values.astype(np.float16) if i == 2 else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def metadata(reader: gguf.GGUFReader) -> dict[str, object]:
    return {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}


@pytest.mark.parametrize("alignment", [32, 64])
def test_parts_hold_what_the_file_holds(alignment: int, tmp_path: Path) -> None:
    source = write_model(tmp_path / "model.gguf", alignment=alignment)
    seen: list[int] = []
    parts = split_file(source, tmp_path, 1000, seen.append)
    count = len(parts)
    assert count >= 3
    assert [part.name for part in parts] == [f"model-{i + 1:05d}-of-{count:05d}.gguf" for i in range(count)]
    assert all(part.stat().st_size <= 1000 for part in parts)
    whole = gguf.GGUFReader(source)
    readers = [gguf.GGUFReader(part) for part in parts]
    split_keys = ("split.no", "split.count", "split.tensors.count")
    assert [tuple(metadata(reader)[key] for key in split_keys) for reader in readers] == [
        (i, count, 6) for i in range(count)
    ]
    first = {key: value for key, value in metadata(readers[0]).items() if key not in split_keys}
    assert first == metadata(whole)
    assert "words" not in metadata(readers[1])
    joined = [tensor for reader in readers for tensor in reader.tensors]
    assert [tensor.name for tensor in joined] == [tensor.name for tensor in whole.tensors]
    for found, expected in zip(joined, whole.tensors, strict=True):
        assert found.tensor_type == expected.tensor_type
        assert np.array_equal(found.data, expected.data)
        assert found.data_offset % alignment == 0
    assert sum(seen) == sum(tensor.n_bytes for tensor in whole.tensors)


def test_types_of_the_split_keys_are_those_of_gguf_split(tmp_path: Path) -> None:
    (part, *_) = split_file(write_model(tmp_path / "m.gguf"), tmp_path, 1000)
    fields = gguf.GGUFReader(part).fields
    assert fields["split.no"].types == fields["split.count"].types == [gguf.GGUFValueType.UINT16]
    assert fields["split.tensors.count"].types == [gguf.GGUFValueType.INT32]


def test_a_file_that_fits_is_one_part(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m.gguf")
    (part,) = split_file(source, tmp_path, FAT32_BYTES)
    assert part.name == "m-00001-of-00001.gguf"
    assert len(gguf.GGUFReader(part).tensors) == 6


def test_the_program(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m.gguf")
    script = ROOT / "scripts/split_gguf.py"
    # Nothing but Python's own library: -I -S leaves the environment's packages out.
    command = [sys.executable, "-S", str(script), str(source), str(tmp_path / "parts"), "--max-size", "1K"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"parts-00001-of-0000\d\.gguf: \d+ bytes", done.stdout)
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (1, "")
    assert "is there already" in again.stderr
    assert subprocess.run([*command, "--force"], capture_output=True).returncode == 0


@pytest.mark.parametrize(("text", "size"), [("4G", FAT32_BYTES), ("2g", 2 << 30), ("300K", 300 << 10), ("77", 77)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


# --- refusals ---------------------------------------------------------------------------------------------------------


def patched(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + value + data[at + len(value) :]


def retyped(data: bytes) -> bytes:
    """The first tensor's type is none."""
    at = data.index(b"t0") + 2 + 4 + 16
    return data[:at] + struct.pack("<I", 99) + data[at + 4 :]


SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "magic": (patched(0, b"GGML"), "starts with no 'GGUF'"),
    "version": (patched(4, b"\x07"), "GGUF version 7, expected 2 or 3"),
    "cut metadata": (lambda data: data[:60], "the file ends inside"),
    "cut data": (lambda data: data[:-40], r"tensor t5 leaves the file"),
    "many keys": (patched(16, b"\xff" * 8), "the file ends inside|has the value type"),
    "type": (retyped, "tensor t0 is of type 99"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_refusals(name: str, tmp_path: Path) -> None:
    spoil, expected = SPOILED[name]
    source = write_model(tmp_path / "m.gguf")
    source.write_bytes(spoil(source.read_bytes()))
    with pytest.raises(SplitError, match=expected):
        split_file(source, tmp_path, 1000)
    assert list(tmp_path.iterdir()) == [source]


def test_parts_that_are_too_small(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m.gguf")
    with pytest.raises(SplitError, match=r"its metadata take \d+ bytes and cannot be split"):
        split_file(source, tmp_path, 200)
    writer = gguf.GGUFWriter(tmp_path / "n.gguf", "llama")
    writer.add_tensor("small", VALUES)
    writer.add_tensor("large", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(SplitError, match=r"tensor large has 1024 bytes and cannot be split"):
        split_file(tmp_path / "n.gguf", tmp_path, 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "n.gguf"]


def test_a_part_is_not_split_again(tmp_path: Path) -> None:
    parts = split_file(write_model(tmp_path / "m.gguf"), tmp_path, 1000)
    with pytest.raises(SplitError, match=r"is one of \d parts already"):
        split_file(parts[0], tmp_path, 500)


# --- models in parts --------------------------------------------------------------------------------------------------


def llama_in_parts(folder: Path) -> list[Path]:
    tensors = llama_folder(folder / "tiny")
    (folder / "tiny/model.safetensors").write_bytes(safetensors_bytes(tensors))
    return convert(folder / "tiny", folder / "tiny.gguf", Settings(split_max_bytes=20000)).files


def test_a_model_is_written_in_parts(tmp_path: Path) -> None:
    files = llama_in_parts(tmp_path)
    assert len(files) > 1
    assert not (tmp_path / "tiny.gguf").exists()
    assert all(file.stat().st_size <= 20000 for file in files)
    with pytest.raises(ConvertError, match="is there already"):
        llama_in_parts(tmp_path)


def test_a_model_in_parts_runs(llmk: Tool, tmp_path: Path) -> None:
    files = llama_in_parts(tmp_path)
    expected = tiny_reference(LLAMA)
    options = ["-p", expected.prompt, "-n", expected.steps, "--temp", "0", "--ids"]
    result = llmk("generate", "-m", files[0], *options)
    assert [int(word) for word in result.stdout.split()] == expected.ids, result.stderr.decode()


def test_a_missing_part_is_named(llmk: Tool, tmp_path: Path) -> None:
    files = llama_in_parts(tmp_path)
    files[1].unlink()
    result = llmk("generate", "-m", files[0], "-n", "4")
    assert result.returncode == 1
    assert files[1].name in result.stderr.decode()
