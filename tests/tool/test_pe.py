# SPDX-License-Identifier: MIT
"""The built EFI binary passes scripts/pe_lint.py, and each thing that it checks for is found in a copy broken so."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pe_finish
import pe_lint
import pytest
from support import ROOT, built

Breaker = Callable[[bytearray], None]


@pytest.fixture(scope="module")
def image() -> bytes:
    return built("BOOTX64.EFI").read_bytes()


@pytest.fixture(scope="module")
def elf() -> bytes:
    return built("efi/llmk.so").read_bytes()


def pe_offset(image: bytearray) -> int:
    return int(struct.unpack_from("<I", image, 0x3C)[0])


def patched(field: str, offset: int, change: Callable[[int], int]) -> Breaker:
    """Changes a field, of this struct format, at an offset from the PE signature."""

    def apply(image: bytearray) -> None:
        at = pe_offset(image) + offset
        (value,) = struct.unpack_from(field, image, at)
        struct.pack_into(field, image, at, change(value))

    return apply


def section_patched(name: str, field_offset: int, change: Callable[[int], int]) -> Breaker:
    """Changes a 32-bit field in the header of a section."""

    def apply(image: bytearray) -> None:
        at = image.index(name.encode().ljust(8, b"\0"), pe_offset(image)) + field_offset
        (value,) = struct.unpack_from("<I", image, at)
        struct.pack_into("<I", image, at, change(value))

    return apply


def renamed(old: str, new: str) -> Breaker:
    def apply(image: bytearray) -> None:
        at = image.index(old.encode().ljust(8, b"\0"), pe_offset(image))
        image[at : at + 8] = new.encode().ljust(8, b"\0")

    return apply


def replaced(old: bytes, new: bytes) -> Breaker:
    def apply(image: bytearray) -> None:
        at = image.index(old)
        image[at : at + len(new)] = new

    return apply


def emptied(image: bytearray) -> None:
    image.clear()


# What is broken -> how, and a word of the complaint.
BROKEN_IMAGES: dict[str, tuple[Breaker, str]] = {
    "empty file": (emptied, "MZ"),
    "no PE signature": (patched("<I", 0, lambda _: 0), "PE header"),
    "PE32": (patched("<H", 24, lambda _: 0x10B), "PE32+"),
    "other machine": (patched("<H", 4, lambda _: 0x14C), "machine"),
    "boot driver": (patched("<H", 24 + 68, lambda _: 11), "subsystem"),
    "small alignment": (patched("<I", 24 + 32, lambda _: 512), "alignment"),
    "NX bit cleared": (patched("<H", 24 + 70, lambda flags: flags & ~0x100), "NX_COMPAT"),
    "fixed base": (patched("<H", 24 + 70, lambda flags: flags & ~0x40), "DYNAMIC_BASE"),
    "relocations stripped": (patched("<H", 22, lambda flags: flags | 1), "relocatable"),
    "no relocation directory": (patched("<I", 24 + 112 + 5 * 8 + 4, lambda _: 0), "relocation directory"),
    "time stamp": (patched("<I", 8, lambda _: 1234567890), "time stamp"),
    "image too small": (patched("<I", 24 + 56, lambda size: size // 2), "image size"),
    "entry point in data": (patched("<I", 24 + 16, lambda _: 16), "entry point"),
    "code writable": (section_patched(".text", 36, lambda flags: flags | 0x80000000), "writable and executable"),
    "data executable": (section_patched(".data", 36, lambda flags: flags | 0x20000000), "writable and executable"),
    "section off its page": (section_patched(".rodata", 12, lambda address: address + 512), "page boundary"),
    "sections overlap": (section_patched(".text", 8, lambda size: size + (1 << 20)), "overlaps"),
    "cut file": (section_patched(".data", 20, lambda offset: offset + (1 << 28)), "outside the file"),
    "bss with bytes": (section_patched(".bss", 16, lambda _: 512), ".bss"),
    "no sbat": (renamed(".sbat", ".other"), ".sbat: missing"),
    "sbat of another kind": (replaced(b"sbat,1,", b"sbat,2,"), "sbat,1"),
    "sbat row short": (replaced(b"llmk,1,", b"llmk;1,"), "a row is not"),
    "constructors": (renamed(".sbat", ".ctors"), "constructors"),
}


def test_image_passes(image: bytes, elf: bytes) -> None:
    assert pe_lint.lint_pe(image) == []
    assert pe_lint.lint_elf(elf, image) == []


@pytest.mark.parametrize("wrong", BROKEN_IMAGES)
def test_broken_image_is_found(image: bytes, wrong: str) -> None:
    breaker, word = BROKEN_IMAGES[wrong]
    broken = bytearray(image)
    breaker(broken)
    assert word in "\n".join(pe_lint.lint_pe(bytes(broken)))


def with_relocation(elf: bytes, target: int | None = None, kind: int = pe_lint.R_X86_64_RELATIVE) -> bytes:
    """A copy whose first relocation is of this kind, and of this place unless it keeps its own."""
    table = next(section for section in pe_lint.elf_sections(elf) if section.kind == pe_lint.SHT_RELA)
    broken = bytearray(elf)
    own_target, _, addend = struct.unpack_from("<QQq", elf, table.offset)
    struct.pack_into("<QQq", broken, table.offset, own_target if target is None else target, kind, addend)
    return bytes(broken)


def test_absolute_relocation_is_found(image: bytes, elf: bytes) -> None:
    assert "type 1" in "\n".join(pe_lint.lint_elf(with_relocation(elf, kind=1), image))


@pytest.mark.parametrize("section", [".text", ".rodata"])
def test_relocation_of_constants_is_found(image: bytes, elf: bytes, section: str) -> None:
    address = next(entry.address for entry in pe_lint.elf_sections(elf) if entry.name == section)
    assert "no writable section" in "\n".join(pe_lint.lint_elf(with_relocation(elf, target=address), image))


def test_undefined_symbol_is_found(image: bytes, elf: bytes) -> None:
    table = next(section for section in pe_lint.elf_sections(elf) if section.kind == pe_lint.SHT_SYMTAB)
    broken = bytearray(elf)
    last = table.offset + table.size - pe_lint.SYMBOL_BYTES
    struct.pack_into("<H", broken, last + 6, 0)
    assert "undefined symbol" in "\n".join(pe_lint.lint_elf(bytes(broken), image))


def test_section_that_objcopy_dropped_is_found(image: bytes, elf: bytes) -> None:
    without_data = bytearray(image)
    renamed(".data", ".other")(without_data)
    assert pe_lint.lint_elf(elf, bytes(without_data)) == ["ELF: .data is not in the image"]


def test_command_line(image: bytes, tmp_path: Path) -> None:
    broken = bytearray(image)
    BROKEN_IMAGES["NX bit cleared"][0](broken)
    path = tmp_path / "broken.efi"
    path.write_bytes(broken)
    command: list[str | Path] = [sys.executable, ROOT / "scripts/pe_lint.py", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, f"{path}: NX_COMPAT is not set\n")

    finish: list[str | Path] = [sys.executable, ROOT / "scripts/pe_finish.py", path]
    subprocess.run(finish, check=True)
    assert path.read_bytes() == image
    assert subprocess.run(command).returncode == 0


def test_finish_refuses_other_files() -> None:
    for data in (b"", b"MZ", b"\x7fELF" + bytes(100)):
        with pytest.raises(ValueError, match="header"):
            pe_finish.finish(bytearray(data))


def test_checksum() -> None:
    """By hand: words 1 and 0xffff fold to 1, and the length is 8; the field at 4 does not count."""
    assert pe_finish.checksum(bytes.fromhex("0100ffff aabbccdd"), 4) == 1 + 8
