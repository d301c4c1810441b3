#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the EFI binary, and the ELF file that it was made from, for what firmware and shim refuse or silently break.

Prints a line for each violation and exits 1 if there was one. Standard library only.
"""

from __future__ import annotations

import argparse
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = 4096

# PE format specification: "COFF File Header", "Optional Header", "Section Table".
MACHINE_X86_64 = 0x8664
MAGIC_PE32_PLUS = 0x020B
SUBSYSTEM_EFI_APPLICATION = 10
FILE_RELOCS_STRIPPED = 0x0001
DLL_DYNAMIC_BASE = 0x0040
DLL_NX_COMPAT = 0x0100
DIRECTORY_BASE_RELOCATION = 5
SECTION_EXECUTE = 0x20000000
SECTION_WRITE = 0x80000000
SECTION_HEADER_BYTES = 40

# System V ABI, chapters 4 and 5, and its supplement for AMD64.
SHT_SYMTAB = 2
SHT_RELA = 4
SHT_DYNSYM = 11
SHF_WRITE = 0x1
SHF_ALLOC = 0x2
R_X86_64_RELATIVE = 8
SYMBOL_BYTES = 24
RELA_BYTES = 24

# The linker makes them, and nothing in the image reads them: src/platform/uefi/llmk.lds.
LINKER_ONLY = (".dynamic", ".dynsym", ".dynstr", ".hash", ".gnu.hash", ".gnu.version")
CONSTRUCTORS = (".preinit_array", ".init_array", ".ctors")


@dataclass(frozen=True)
class PeSection:
    name: str
    virtual_size: int
    address: int
    raw_size: int
    raw_offset: int
    flags: int


@dataclass(frozen=True)
class Pe:
    """The header fields that matter here."""

    machine: int
    characteristics: int
    time_stamp: int
    entry: int
    section_alignment: int
    image_size: int
    subsystem: int
    dll_characteristics: int
    base_relocations: tuple[int, int]
    sections: list[PeSection]


@dataclass(frozen=True)
class ElfSection:
    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int

    @property
    def in_memory(self) -> bool:
        return bool(self.flags & SHF_ALLOC) and self.size > 0


def parse_pe(image: bytes) -> Pe:
    """Raises struct.error or ValueError when it is not a PE file at all."""
    if image[:2] != b"MZ":
        raise ValueError("no MZ header")
    (pe,) = struct.unpack_from("<I", image, 0x3C)
    if image[pe : pe + 4] != b"PE\0\0":
        raise ValueError("no PE header")
    machine, count, time_stamp, _, _, optional_size, characteristics = struct.unpack_from("<HHIIIHH", image, pe + 4)
    optional = pe + 24
    (magic,) = struct.unpack_from("<H", image, optional)
    if magic != MAGIC_PE32_PLUS:
        raise ValueError(f"not PE32+: magic {magic:#x}")
    (entry,) = struct.unpack_from("<I", image, optional + 16)
    (section_alignment,) = struct.unpack_from("<I", image, optional + 32)
    (image_size,) = struct.unpack_from("<I", image, optional + 56)
    subsystem, dll_characteristics = struct.unpack_from("<HH", image, optional + 68)
    directory = optional + 112 + 8 * DIRECTORY_BASE_RELOCATION
    relocation_address, relocation_size = struct.unpack_from("<II", image, directory)
    sections = []
    for index in range(count):
        at = optional + optional_size + index * SECTION_HEADER_BYTES
        name, virtual_size, address, raw_size, raw_offset, flags = struct.unpack_from("<8sIIII12xI", image, at)
        text = name.rstrip(b"\0").decode("ascii", "replace")
        sections.append(PeSection(text, virtual_size, address, raw_size, raw_offset, flags))
    return Pe(
        machine=machine,
        characteristics=characteristics,
        time_stamp=time_stamp,
        entry=entry,
        section_alignment=section_alignment,
        image_size=image_size,
        subsystem=subsystem,
        dll_characteristics=dll_characteristics,
        base_relocations=(relocation_address, relocation_size),
        sections=sections,
    )


def lint_headers(pe: Pe) -> list[str]:
    """What the firmware's loader looks at."""
    checks = (
        (pe.machine == MACHINE_X86_64, f"machine is {pe.machine:#x}, not x86-64"),
        (pe.subsystem == SUBSYSTEM_EFI_APPLICATION, f"subsystem is {pe.subsystem}, not EFI application"),
        (pe.section_alignment == PAGE, f"section alignment is {pe.section_alignment}, not {PAGE}"),
        (bool(pe.dll_characteristics & DLL_NX_COMPAT), "NX_COMPAT is not set"),
        (bool(pe.dll_characteristics & DLL_DYNAMIC_BASE), "DYNAMIC_BASE is not set"),
        (not pe.characteristics & FILE_RELOCS_STRIPPED, "marked as not relocatable"),
        (pe.base_relocations[1] > 0, "no base relocation directory: the loader would not move the image"),
        (pe.time_stamp == 0, "the time stamp is not 0: the build is not reproducible"),
    )
    return [complaint for good, complaint in checks if not good]


def lint_sections(pe: Pe, image: bytes) -> list[str]:
    complaints = []
    end = PAGE
    for section in pe.sections:
        if section.address % PAGE:
            complaints.append(f"{section.name}: address {section.address:#x} is not on a page boundary")
        if section.address < end:
            complaints.append(f"{section.name}: overlaps what lies before it, up to {end:#x}")
        end = section.address + max(section.virtual_size, 1)
        if section.flags & SECTION_EXECUTE and section.flags & SECTION_WRITE:
            complaints.append(f"{section.name}: writable and executable")
        if section.raw_size and section.raw_offset + section.raw_size > len(image):
            complaints.append(f"{section.name}: its bytes lie outside the file")
        if section.name in CONSTRUCTORS:
            complaints.append(f"{section.name}: constructors that nobody calls")
        if section.name == ".bss" and section.raw_size:
            complaints.append(f".bss: takes {section.raw_size} bytes of the file")
    if end > pe.image_size:
        complaints.append(f"image size {pe.image_size:#x} is short of the last section's end {end:#x}")
    holders = [section for section in pe.sections if 0 <= pe.entry - section.address < section.virtual_size]
    if not any(section.flags & SECTION_EXECUTE for section in holders):
        complaints.append(f"the entry point {pe.entry:#x} is in no executable section")
    return complaints


def lint_sbat(pe: Pe, image: bytes) -> list[str]:
    """Rows of six fields, after a row for the table itself: SBAT.md of the shim project."""
    section = next((section for section in pe.sections if section.name == ".sbat"), None)
    if section is None:
        return [".sbat: missing, so shim will not start the image"]
    text = image[section.raw_offset : section.raw_offset + section.raw_size].split(b"\0")[0]
    rows = [line.split(b",") for line in text.splitlines()]
    if not rows or rows[0][:2] != [b"sbat", b"1"]:
        return [".sbat: does not begin with sbat,1"]
    if any(len(row) != 6 or not row[1].isdigit() for row in rows):
        return [".sbat: a row is not component,generation,vendor,package,version,url"]
    return [] if len(rows) > 1 else [".sbat: has no row for this program"]


def lint_pe(image: bytes) -> list[str]:
    """The violations of a PE image."""
    try:
        pe = parse_pe(image)
    except (struct.error, ValueError) as error:
        return [str(error)]
    return lint_headers(pe) + lint_sections(pe, image) + lint_sbat(pe, image)


def text_at(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("ascii", "replace")


def elf_sections(elf: bytes) -> list[ElfSection]:
    """Raises struct.error or ValueError when it is not a 64-bit ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a little-endian 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names_index = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQI", elf, table + index * size) for index in range(count)]
    names = headers[names_index][4]
    return [ElfSection(text_at(elf, names + header[0]), *header[1:]) for header in headers]


def lint_relocations(sections: list[ElfSection], elf: bytes) -> list[str]:
    """crt0.S applies RELATIVE relocations only, and after the firmware has made constants read-only."""
    complaints = []
    writable = [section for section in sections if section.in_memory and section.flags & SHF_WRITE]
    for table in (section for section in sections if section.in_memory and section.kind == SHT_RELA):
        for at in range(table.offset, table.offset + table.size, RELA_BYTES):
            target, info, _ = struct.unpack_from("<QQq", elf, at)
            kind = info & 0xFFFFFFFF
            if kind != R_X86_64_RELATIVE:
                complaints.append(f"ELF: relocation at {target:#x} has type {kind}, not R_X86_64_RELATIVE")
            if not any(0 <= target - section.address <= section.size - 8 for section in writable):
                complaints.append(f"ELF: relocation at {target:#x} lands in no writable section")
    return complaints


def lint_symbols(sections: list[ElfSection], elf: bytes) -> list[str]:
    complaints = []
    for table in (section for section in sections if section.kind in (SHT_SYMTAB, SHT_DYNSYM)):
        names = sections[table.link].offset
        for at in range(table.offset + SYMBOL_BYTES, table.offset + table.size, SYMBOL_BYTES):
            name, _, _, section_index = struct.unpack_from("<IBBH", elf, at)
            if section_index == 0:
                complaints.append(f"ELF: undefined symbol {text_at(elf, names + name)}")
    return complaints


def lint_elf(elf: bytes, image: bytes) -> list[str]:
    """The violations of the ELF file, and what of it the image lacks: objcopy drops sections that it is not told of."""
    try:
        sections = elf_sections(elf)
        carried = {section.name for section in parse_pe(image).sections}
    except (struct.error, ValueError) as error:
        return [f"ELF: {error}"]
    complaints = []
    for section in sections:
        if section.in_memory and section.name in CONSTRUCTORS:
            complaints.append(f"ELF: {section.name}: constructors that nobody calls")
        elif section.in_memory and section.name not in carried and not section.name.startswith(LINKER_ONLY):
            complaints.append(f"ELF: {section.name} is not in the image")
    return complaints + lint_relocations(sections, elf) + lint_symbols(sections, elf)


def main() -> None:
    parser = argparse.ArgumentParser(description="Check the EFI binary and the ELF file that it was made from.")
    parser.add_argument("image", type=Path, help="the image, such as build/BOOTX64.EFI")
    parser.add_argument("--elf", type=Path, help="what it was made from, such as build/efi/llmk.so")
    arguments = parser.parse_args()
    image: bytes = arguments.image.read_bytes()
    complaints = lint_pe(image)
    if arguments.elf is not None:
        complaints += lint_elf(arguments.elf.read_bytes(), image)
    for complaint in complaints:
        print(f"{arguments.image}: {complaint}")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
