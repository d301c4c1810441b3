#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Finishes the PE image that objcopy wrote, in place.

objcopy cannot set DllCharacteristics. Without NX_COMPAT, firmware that enforces memory protection refuses the image or
maps all of it executable; DYNAMIC_BASE says what is true, that it runs at any address. The time stamp becomes 0 and
the checksum right, so that the same sources give the same bytes.

Standard library only: it runs in `make all`, before the virtual environment exists.
"""

import argparse
import struct
from pathlib import Path

NX_COMPAT = 0x0100
DYNAMIC_BASE = 0x0040

# Offsets (PE format specification, "COFF File Header" and "Optional Header"), from the signature "PE\0\0".
TIME_DATE_STAMP = 8
OPTIONAL_HEADER = 24
MAGIC_PE32_PLUS = 0x020B
CHECKSUM = OPTIONAL_HEADER + 64
DLL_CHARACTERISTICS = OPTIONAL_HEADER + 70


def checksum(image: bytes, field_offset: int) -> int:
    """The PE checksum: a folded sum of 16-bit words with the field itself left out, plus the file's length."""
    clean = image[:field_offset] + bytes(4) + image[field_offset + 4 :]
    if len(clean) % 2:
        clean += b"\0"
    total: int = sum(struct.unpack(f"<{len(clean) // 2}H", clean))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(image)


def finish(image: bytearray) -> None:
    """Sets the fields. Raises ValueError when it is not a PE32+ image."""
    if len(image) < 0x40 or image[:2] != b"MZ":
        raise ValueError("no MZ header")
    (pe,) = struct.unpack_from("<I", image, 0x3C)
    if len(image) < pe + DLL_CHARACTERISTICS + 2 or image[pe : pe + 4] != b"PE\0\0":
        raise ValueError("no PE header")
    (magic,) = struct.unpack_from("<H", image, pe + OPTIONAL_HEADER)
    if magic != MAGIC_PE32_PLUS:
        raise ValueError(f"not PE32+: magic {magic:#x}")
    struct.pack_into("<I", image, pe + TIME_DATE_STAMP, 0)
    struct.pack_into("<H", image, pe + DLL_CHARACTERISTICS, NX_COMPAT | DYNAMIC_BASE)
    struct.pack_into("<I", image, pe + CHECKSUM, checksum(bytes(image), pe + CHECKSUM))


def main() -> None:
    parser = argparse.ArgumentParser(description="Finish the PE image that objcopy wrote, in place.")
    parser.add_argument("image", type=Path, help="the image, such as build/BOOTX64.EFI")
    image_path: Path = parser.parse_args().image
    image = bytearray(image_path.read_bytes())
    try:
        finish(image)
    except ValueError as error:
        parser.exit(1, f"{image_path}: {error}\n")
    image_path.write_bytes(image)


if __name__ == "__main__":
    main()
