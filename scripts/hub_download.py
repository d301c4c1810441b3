# SPDX-License-Identifier: MIT
"""One file of a Hugging Face repository: downloaded so that it can be cut at any time, and checked before it is used.

A download grows in NAME.HASH.part beside its target, HASH from the server's ETag, so that a later run goes on where
this one ended and never joins two versions of a file. Once complete its size and SHA-256 (of small files git's own
hash) must be the server's, and the table's where the table has them; only then it gets its name. Whatever is wrong is
removed or renamed, never left where a machine would boot it.

huggingface_hub does the talking (endpoint, token, redirects, retries). Its own hf_hub_download goes on only within one
run, which for a file of gigabytes is not enough."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model_table import RemoteFile

FAT32_MAX_BYTES = 2**32 - 1
# What stays free besides.
SPARE_BYTES = 64 * 2**20
CHUNK_BYTES = 2**20


class DownloadError(Exception):
    """One sentence: which file, what is wrong, what to do."""


@dataclass(frozen=True)
class Offered:
    """What the server says of a file."""

    file: RemoteFile
    url: str
    etag: str
    size_bytes: int

    @property
    def hash_name(self) -> str:
        """How the ETag was made: of large files SHA-256, of others git's, which is SHA-1 with a header in front."""
        if re.fullmatch("[0-9a-f]{64}", self.etag):
            return "SHA-256"
        return "git SHA-1" if re.fullmatch("[0-9a-f]{40}", self.etag) else ""

    def part_of(self, folder: Path) -> Path:
        target = folder / self.file.local
        tag = re.sub("[^0-9A-Za-z]", "", self.etag)[:12]
        return target.with_name(f"{target.name}.{tag}.part")


def endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def ask(file: RemoteFile) -> Offered:
    """Size and hash of a file, from the server."""
    from httpx2 import HTTPError
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )

    where = f"{file.repo}/{file.path}"
    url = hf_hub_url(file.repo, file.path, revision=file.revision)
    try:
        metadata = get_hf_file_metadata(url)
    except GatedRepoError:
        raise DownloadError(
            f"{where}: the repository asks to accept its licence: do so at {endpoint()}/{file.repo}, then set HF_TOKEN "
            "to a token of that account (or run `hf auth login`)"
        ) from None
    except RepositoryNotFoundError:
        raise DownloadError(f"{where}: {endpoint()} has no such repository, or not for everybody") from None
    except RemoteEntryNotFoundError:
        raise DownloadError(f"{where}: the repository has no such file; see {endpoint()}/{file.repo}") from None
    except OfflineModeIsEnabled:
        raise DownloadError(f"{where}: HF_HUB_OFFLINE is set, so nothing is asked of the network") from None
    except (HTTPError, OSError) as error:
        raise DownloadError(f"{where}: no answer from {endpoint()}: {one_line(error)}") from None
    if metadata.etag is None or metadata.size is None:
        raise DownloadError(f"{where}: {endpoint()} says neither size nor hash of it; is HF_ENDPOINT a hub?")
    offered = Offered(file, url, metadata.etag, metadata.size)
    check_pin(offered)
    return offered


def check_pin(offered: Offered) -> None:
    """The table's size and SHA-256 against the server's, before a byte is loaded."""
    file = offered.file
    for what, pinned, said in (
        ("size", file.size_bytes, offered.size_bytes),
        ("SHA-256", file.sha256, offered.etag if offered.hash_name == "SHA-256" else file.sha256),
    ):
        if pinned and pinned != said:
            raise DownloadError(
                f"{file.repo}/{file.path}: the server offers {what} {said}, scripts/model_table.py expects {pinned}; "
                "the repository has changed, or this is not it"
            )


def one_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def hash_of(path: Path, kind: str) -> str:
    """SHA-256, or git's hash of a file as a blob."""
    digest = hashlib.sha256() if kind == "SHA-256" else hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def complaint(path: Path, offered: Offered) -> str:
    """What is wrong with a file that should be complete; empty if nothing is."""
    size = path.stat().st_size
    if size != offered.size_bytes:
        return f"its size is {size}, the server's {offered.size_bytes}"
    wanted = [("SHA-256", offered.file.sha256)] if offered.file.sha256 else []
    wanted += [(offered.hash_name, offered.etag)] if offered.hash_name else []
    for kind, value in dict(wanted).items():
        found = hash_of(path, kind)
        if found != value:
            return f"its {kind} is {found}, expected {value}"
    return ""


def missing_bytes(offered: Iterable[Offered], folder: Path) -> int:
    """Bytes still to be loaded for these files."""
    total = 0
    for each in offered:
        target, part = folder / each.file.local, each.part_of(folder)
        if not (target.is_file() and target.stat().st_size == each.size_bytes):
            total += each.size_bytes - (min(part.stat().st_size, each.size_bytes) if part.is_file() else 0)
    return total


def check_space(needed: int, folder: Path) -> None:
    existing = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if needed and needed + SPARE_BYTES > free:
        raise DownloadError(
            f"{folder}: {needed} bytes are to be loaded, {free} are free; make room, or choose another --output"
        )


def set_aside(path: Path) -> Path:
    """Renames a file so that nothing takes it for a model."""
    aside = path.with_name(path.name + ".rejected")
    path.replace(aside)
    return aside


def load(offered: Offered, part: Path) -> None:
    """Brings a part to its full size, from where it ends."""
    from httpx2 import HTTPError
    from huggingface_hub import get_token
    from huggingface_hub.file_download import http_get

    # Compressed on the way, a range would be one of the compressed bytes.
    headers = {"Accept-Encoding": "identity"}
    if token := get_token():
        headers["authorization"] = f"Bearer {token}"
    name = offered.file.local
    part.touch()  # where that fails, nothing was cut
    try:
        with part.open("ab") as file:
            begin = file.tell()
            http_get(
                offered.url,
                file,
                resume_size=begin,
                headers=headers,
                expected_size=offered.size_bytes,
                displayed_filename=name,
            )
    except (HTTPError, OSError) as error:
        if not isinstance(error, HTTPError) and error.errno is None:
            # The answer came to its end, and was of another size.
            found = part.stat().st_size
            part.unlink()
            raise DownloadError(
                f"{name}: what was loaded is refused and removed: its size is {found}, the server promised "
                f"{offered.size_bytes}; try again"
            ) from None
        raise DownloadError(
            f"{name}: the download was cut: {one_line(error)}; {part.stat().st_size} of {offered.size_bytes} bytes are "
            "kept, run the same command again to go on"
        ) from None


def fetch(offered: Offered, folder: Path) -> str:
    """Makes sure that a file is in the folder and right. Returns what was done: "loaded", "resumed" or "there"."""
    target, part = folder / offered.file.local, offered.part_of(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        wrong = complaint(target, offered)
        if not wrong:
            return "there"
        print(f"{target}: {wrong}; it is now {set_aside(target).name}")
    begin = part.stat().st_size if part.is_file() else 0
    if begin > offered.size_bytes:
        part.unlink()
        begin = 0
    load(offered, part)
    if wrong := complaint(part, offered):
        part.unlink()
        raise DownloadError(f"{target.name}: what was loaded is refused and removed: {wrong}; try again")
    part.replace(target)
    return "resumed" if begin else "loaded"
