# SPDX-License-Identifier: MIT
"""A disk image that holds one FAT32 partition: its geometry, its making, and what is on it.

Used by make_image.py (writes) and run_qemu.py (lists). The partition table is sgdisk's work, the file system is
mtools'; both run without root and without loop devices, on Linux and macOS. This file does not decide *what* goes
on an image.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
MIB = 1024 * 1024
MIB_SECTORS = MIB // SECTOR
PARTITION_START = MIB_SECTORS
# The backup GPT takes the last 33 sectors; a whole MiB keeps the image a multiple of one.
TAIL_SECTORS = MIB_SECTORS
# FAT32 begins at 65,525 clusters: with fewer, firmware takes the volume for FAT16 and reads rubbish.
MIN_CLUSTERS = 65_600
MAX_CLUSTER_SECTORS = 64  # 32 KiB: 64 KiB clusters are not read everywhere
RESERVED_SECTORS = 32
FAT_COUNT = 2
FAT_ENTRIES_PER_SECTOR = SECTOR // 4
MAX_FILE_BYTES = 4 * 1024 * MIB - 1
COPY_CHUNK_BYTES = 4 * MIB


class ImageError(Exception):
    """What went wrong, as a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Entry:
    """A file on the image: path with forward slashes and without a leading one, size in bytes."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class Geometry:
    """Where things lie, in sectors of 512 bytes; `partition_sectors` starts at PARTITION_START."""

    partition_sectors: int
    cluster_sectors: int
    fat_sectors: int

    @property
    def clusters(self) -> int:
        data = self.partition_sectors - RESERVED_SECTORS - FAT_COUNT * self.fat_sectors
        return data // self.cluster_sectors

    @property
    def cluster_bytes(self) -> int:
        return self.cluster_sectors * SECTOR

    @property
    def image_bytes(self) -> int:
        return (PARTITION_START + self.partition_sectors + TAIL_SECTORS) * SECTOR


def ceil_div(value: int, divisor: int) -> int:
    return -(-value // divisor)


def _lay_out(partition_sectors: int, cluster_sectors: int) -> Geometry:
    """FATs for a partition of this size, long enough that the data area begins on a 1 MiB boundary.

    Flash is erased and written in large blocks: clusters that straddle none of them are read and written faster.
    The FATs are lengthened rather than the reserved area, because mformat takes no more than 255 reserved sectors.
    """
    upper_clusters = (partition_sectors - RESERVED_SECTORS) // cluster_sectors
    fat_sectors = ceil_div(upper_clusters + 2, FAT_ENTRIES_PER_SECTOR)
    padding = -(RESERVED_SECTORS + FAT_COUNT * fat_sectors) % MIB_SECTORS
    return Geometry(partition_sectors, cluster_sectors, fat_sectors + padding // FAT_COUNT)


def _partition_for(clusters: int, cluster_sectors: int) -> Geometry:
    """The smallest whole-MiB partition with at least this many clusters."""
    sectors = ceil_div(clusters * cluster_sectors, MIB_SECTORS) * MIB_SECTORS
    while True:
        geometry = _lay_out(sectors, cluster_sectors)
        if geometry.clusters >= clusters:
            return geometry
        sectors += MIB_SECTORS


def needed_clusters(sizes: list[int], slack_bytes: int, cluster_sectors: int) -> int:
    cluster_bytes = cluster_sectors * SECTOR
    return sum(ceil_div(size, cluster_bytes) for size in sizes) + ceil_div(slack_bytes, cluster_bytes)


def _cluster_sizes() -> list[int]:
    """Sectors a cluster, largest first: firmware loads a file faster from larger clusters."""
    return [1 << shift for shift in range(MAX_CLUSTER_SECTORS.bit_length() - 1, -1, -1)]


def plan(sizes: list[int], slack_bytes: int, image_mib: int | None = None) -> Geometry:
    """The geometry for files of these sizes: of `image_mib` exactly, or as small as it can be.

    The clusters are the largest that leave at least MIN_CLUSTERS of them. `slack_bytes` stays free for what the
    application writes, and pays for the directories.
    """
    if image_mib is not None:
        return _plan_fixed(sizes, slack_bytes, image_mib)
    for cluster_sectors in _cluster_sizes():
        clusters = needed_clusters(sizes, slack_bytes, cluster_sectors)
        if clusters >= MIN_CLUSTERS:
            return _partition_for(clusters, cluster_sectors)
    return _partition_for(MIN_CLUSTERS, 1)


def _plan_fixed(sizes: list[int], slack_bytes: int, image_mib: int) -> Geometry:
    smallest = plan(sizes, slack_bytes).image_bytes // MIB
    partition_sectors = image_mib * MIB_SECTORS - PARTITION_START - TAIL_SECTORS
    if image_mib < smallest:
        raise ImageError(f"{image_mib} MiB is too small: these files need an image of at least {smallest} MiB")
    for cluster_sectors in _cluster_sizes():
        geometry = _lay_out(partition_sectors, cluster_sectors)
        wanted = max(MIN_CLUSTERS, needed_clusters(sizes, slack_bytes, cluster_sectors))
        if geometry.clusters >= wanted:
            return geometry
    raise ImageError(f"{image_mib} MiB is too small for these files")


def find_tool(name: str) -> str:
    """The path of a tool; /usr/sbin is looked at too, because it is not in an ordinary user's PATH on Debian."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=search)
    if found is None:
        package = "gdisk (Homebrew: gptfdisk)" if name == "sgdisk" else "mtools"
        raise ImageError(f"{name} is not installed: install the package {package}, or run `make image`")
    return found


def _tool_environment() -> dict[str, str]:
    """mtools take the character set of names and the form of dates from here, whatever the user's locale is."""
    fixed = {"LC_ALL": "C.UTF-8", "MTOOLS_DATE_STRING": "yyyy-mm-dd", "MTOOLS_TWENTY_FOUR_HOUR_CLOCK": "1"}
    return {**os.environ, **fixed}


def _run_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a tool to its end; when it fails, its last line says why."""
    command = [find_tool(name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=_tool_environment())
    if done.returncode != 0:
        raise ImageError(f"{name} failed: {_last_line(done.stderr or done.stdout)}")
    return done


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it did not say why"


def _drive(image: Path) -> str:
    return f"{image}@@{PARTITION_START * SECTOR}"


def create(image: Path, geometry: Geometry, label: str) -> None:
    """An empty image: holes where nothing is, a GPT with one EFI system partition, FAT32 in it."""
    with image.open("wb") as file:
        file.truncate(geometry.image_bytes)
    end = PARTITION_START + geometry.partition_sectors - 1
    partition = [f"--new=1:{PARTITION_START}:{end}", "--typecode=1:EF00", f"--change-name=1:{label}"]
    _run_tool("sgdisk", "--clear", *partition, str(image))
    size = ["-T", str(geometry.partition_sectors), "-H", str(PARTITION_START)]
    layout = ["-c", str(geometry.cluster_sectors), "-R", str(RESERVED_SECTORS)]
    _run_tool("mformat", "-i", _drive(image), "-F", *size, *layout, "-L", str(geometry.fat_sectors), "-v", label, "::")


def make_directory(image: Path, path: str) -> None:
    _run_tool("mmd", "-i", _drive(image), f"::/{path}")


def copy_in(image: Path, source: Path, path: str, advance: Callable[[int], object]) -> None:
    """Copies a file to `path` on the image; `advance` is told of every chunk.

    The bytes go through mcopy's standard input: so their progress can be shown, and no name of the host's is
    ever taken for an option or a pattern.
    """
    command = [find_tool("mcopy"), "-i", _drive(image), "-o", "-", f"::/{path}"]
    with (
        source.open("rb") as file,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_tool_environment()
        ) as process,
    ):
        assert process.stdin is not None
        try:
            while chunk := file.read(COPY_CHUNK_BYTES):
                process.stdin.write(chunk)
                advance(len(chunk))
        except BrokenPipeError:
            pass  # mcopy gave up; its message is read below
        _, errors = process.communicate()
    if process.returncode != 0:
        raise ImageError(f"{source} could not be copied to {path}: {_last_line(errors.decode(errors='replace'))}")


# `NAME     EXT   1056540 2025-11-21  22:33  the long name`: the last column only where it differs from the first two.
_MDIR_FILE = re.compile(r"^(.{8}) (.{3}) +(\d+) \d{4}-\d\d-\d\d +\d\d?:\d\d *(.*)$")
_MDIR_DIRECTORY = re.compile(r"^Directory for ::/?(.*)$")


def parse_listing(text: str) -> list[Entry]:
    """The files in the output of `mdir -/`."""
    entries: list[Entry] = []
    directory = ""
    for line in text.splitlines():
        if match := _MDIR_DIRECTORY.match(line):
            directory = match[1].strip("/")
        elif match := _MDIR_FILE.match(line):
            short = ".".join(part for part in (match[1].strip(), match[2].strip()) if part)
            name = match[4].strip() or short
            entries.append(Entry(f"{directory}/{name}".lstrip("/"), int(match[3])))
    return entries


def list_files(image: Path) -> list[Entry]:
    """Every file on the image, hidden ones too."""
    return parse_listing(_run_tool("mdir", "-/", "-a", "-i", _drive(image), "::").stdout)


def cluster_count(image: Path) -> int:
    """The number of clusters by the boot sector, computed as firmware does."""
    with image.open("rb") as file:
        file.seek(PARTITION_START * SECTOR)
        boot_sector = file.read(SECTOR)
    bytes_per_sector, cluster_sectors, reserved, fats = struct.unpack_from("<HBHB", boot_sector, 11)
    total_sectors, fat_sectors = struct.unpack_from("<II", boot_sector, 32)
    if bytes_per_sector != SECTOR or cluster_sectors == 0 or boot_sector[510:512] != b"\x55\xaa":
        raise ImageError(f"{image}: there is no FAT boot sector at 1 MiB")
    return int((total_sectors - reserved - fats * fat_sectors) // cluster_sectors)


def _verify_tables(image: Path) -> None:
    """Both partition tables as sgdisk sees them.

    It repairs a damaged one in memory, finds no problems then, and succeeds: only its warnings tell.
    """
    done = _run_tool("sgdisk", "--verify", str(image))
    warnings = [line for line in done.stderr.splitlines() if re.match(r"Caution|Warning|.*: ERROR", line)]
    if warnings or "No problems found" not in done.stdout:
        reason = warnings[0] if warnings else _last_line(done.stdout)
        raise ImageError(f"{image}: sgdisk finds the partition table wrong: {reason}")


def verify(image: Path, expected: list[Entry]) -> None:
    """Raises ImageError unless firmware will read this image: clusters, both partition tables, every file."""
    clusters = cluster_count(image)
    if clusters < MIN_CLUSTERS:
        raise ImageError(f"{image}: {clusters} clusters; firmware needs {MIN_CLUSTERS} to see FAT32")
    with image.open("rb") as file:
        file.seek(-SECTOR, os.SEEK_END)
        if file.read(8) != b"EFI PART":
            raise ImageError(f"{image}: there is no backup partition table in the last sector")
    _verify_tables(image)
    # FAT names are equal whatever their case.
    found = {(entry.path.lower(), entry.size_bytes) for entry in list_files(image)}
    wanted = {(entry.path.lower(), entry.size_bytes) for entry in expected}
    if found != wanted:
        names = ", ".join(sorted(path for path, _ in found ^ wanted))
        raise ImageError(f"{image}: what was read back differs from what was written: {names}")
