#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the disk image that a PC or QEMU boots: GPT, one FAT32 EFI system partition, the binary and the models.

    python scripts/make_image.py --efi build/BOOTX64.EFI --output build/llmk.img --models story.bin chat.gguf

Models go to \\models, each llama2.c .bin with its tokenizer, a split GGUF with all its parts; a GGUF that is larger
than a file of FAT32 is split on the way. The binary goes to \\EFI\\BOOT\\BOOTX64.EFI. The image is as small as its
content allows, is checked after writing and appears under its name only when it is whole.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fat_image
import image_models
import split_gguf
from fat_image import MAX_FILE_BYTES, MIB, Entry, ImageError

ROOT = Path(__file__).resolve().parent.parent
EFI_DESTINATION = "EFI/BOOT/BOOTX64.EFI"
# Room for logs, dumps and saved sessions, and for the directories themselves.
SLACK_BYTES = 16 * MIB
MODEL_SUFFIXES = (".bin", ".gguf")
LLAMA2C_MAGIC = b"ak42"[::-1]  # 0x616b3432, little endian
PROGRESS_MIN_BYTES = 64 * MIB
TOKENIZER_NAME = re.compile(r"tok\d+\.bin|tokenizer[^/]*\.bin|.+\.tok\.bin", re.IGNORECASE)
# What a FAT long name cannot hold, and the trailing dot or space that firmware and Windows drop.
BAD_NAME = re.compile(r'[\x00-\x1f\x7f"*:<>?|\\/]|[. ]$')


@dataclass(frozen=True)
class Item:
    """A file of the host's and where it goes: a path on the image, with forward slashes."""

    source: Path
    destination: str


def warn(message: str) -> None:
    print(f"make_image: {message}", file=sys.stderr)


# --- which files ------------------------------------------------------------------------------------------------------


def is_tokenizer(path: Path) -> bool:
    return TOKENIZER_NAME.fullmatch(path.name) is not None


def llama2c_vocab_size(path: Path) -> int | None:
    """The vocabulary size in the header of a llama2.c file of version 0, 1 or 2; None when there is no such header."""
    with path.open("rb") as file:
        header = file.read(36)
    offset = 8 if header[:4] == LLAMA2C_MAGIC else 0
    if len(header) < offset + 28:
        return None
    # dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len. Version 0 marks a separate head by a
    # negative vocabulary.
    fields: tuple[int, ...] = struct.unpack_from("<7i", header, offset)
    return abs(fields[5])


def tokenizer_for(model: Path) -> Path | None:
    """The tokenizer that the application would choose for this llama2.c model, from the same folder."""
    names = [f"{model.stem}.tok.bin", f"tok{llama2c_vocab_size(model)}.bin", "tokenizer.bin"]
    return next((model.with_name(name) for name in names if model.with_name(name).is_file()), None)


def with_tokenizers(models: list[Path]) -> list[Path]:
    """The models, each llama2.c one followed by its tokenizer; a file that is named twice is kept once."""
    chosen: dict[Path, Path] = {}
    for model in models:
        chosen.setdefault(model.resolve(), model)
        if model.suffix.lower() != ".bin" or is_tokenizer(model):
            continue
        tokenizer = tokenizer_for(model)
        if tokenizer is not None:
            chosen.setdefault(tokenizer.resolve(), tokenizer)
        elif not any(is_tokenizer(other) for other in models):
            expected = f"{model.stem}.tok.bin, tok{llama2c_vocab_size(model)}.bin or tokenizer.bin"
            warn(f"{model} has no tokenizer beside it ({expected}): it will not be able to talk")
    return list(chosen.values())


def leave_out(what: str) -> None:
    warn(f"left out: {what}")


def existing(models: list[Path]) -> list[Path]:
    """Those of the models named that are there; the others are named and left out."""
    present = [model for model in models if model.is_file()]
    for model in models:
        if not model.is_file():
            leave_out(f"{model} ({'not a file' if model.exists() else 'no such file'})")
    if models and not present:
        raise ImageError("none of the models named exists")
    return present


def fit_for_fat(models: list[Path], limit: image_models.Limit) -> list[Path]:
    """The models with their tokenizers and parts, none larger than a file may be; the others are named and left out."""
    complete = image_models.with_parts(with_tokenizers(models), leave_out)
    fit = image_models.split_large(complete, limit, leave_out)
    if models and all(is_tokenizer(path) for path in fit):
        raise ImageError("none of the models can be put on the image")
    return fit


def models_in(folder: Path) -> list[Path]:
    """The model and tokenizer files of a folder, by name; dot-files such as macOS's `._x.gguf` are not models."""
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in MODEL_SUFFIXES and path.is_file()]
    return sorted(path for path in files if not path.name.startswith("."))


def default_models(root: Path) -> list[Path]:
    """What is in models/, else the small model of the assets folder."""
    own = models_in(root / "models")
    if any(not is_tokenizer(path) for path in own):
        return own
    assets = root / os.environ.get("LLMK_ASSETS", "../shared/assets") / "llama2c"
    fallback = [assets / "stories260K.bin", assets / "tok512.bin"]
    if fallback[0].is_file():
        return [path for path in fallback if path.is_file()]
    raise ImageError(
        "there is no model: put a .gguf file, or a llama2.c .bin and its tokenizer.bin, into models/.\n"
        "A small one: stories15M.bin from karpathy/tinyllamas on Hugging Face, with tokenizer.bin of karpathy/llama2.c."
    )


def parse_file_option(text: str) -> Item:
    """SRC:DEST; the last colon parts them, so that a Windows path keeps its drive letter."""
    source, colon, destination = text.rpartition(":")
    if not colon or not source or not destination.strip("/\\"):
        raise ImageError(f"--file {text}: write it as SRC:DEST, for example --file my.cfg:llmk.cfg")
    return Item(Path(source), destination.replace("\\", "/").strip("/"))


# --- checks -----------------------------------------------------------------------------------------------------------


def check_destination(path: str) -> None:
    for name in PurePosixPath(path).parts:
        if BAD_NAME.search(name) or len(name.encode("utf-16-le")) > 2 * 255:
            raise ImageError(f"{path}: {name!r} is not a name that FAT32 can hold")


def check_items(items: list[Item]) -> None:
    """Everything that can be known to fail is said before a byte is written."""
    taken: dict[str, Path] = {}
    for item in items:
        if not item.source.is_file():
            raise ImageError(f"{item.source}: no such file")
        check_destination(item.destination)
        if item.source.stat().st_size > MAX_FILE_BYTES:
            size = item.source.stat().st_size
            raise ImageError(
                f"{item.source} has {size:,} bytes and FAT32 files end at {MAX_FILE_BYTES:,}: "
                "name it with --models, and a GGUF file is split"
            )
        other = taken.setdefault(item.destination.lower(), item.source)
        if other != item.source:
            raise ImageError(f"{other} and {item.source} would both be {item.destination} on the image")
    directories = {parent.lower() for item in items for parent in parents(item.destination)}
    if clash := directories & taken.keys():
        raise ImageError(f"{', '.join(sorted(clash))} would be a file and a folder on the image")


def check_label(label: str) -> str:
    if not re.fullmatch(r"[A-Z0-9_-]{1,11}", label):
        raise ImageError(f"--label {label}: 1 to 11 of A-Z 0-9 _ -")
    return label


def check_output(output: Path, content_bytes: int) -> None:
    """The image is renamed into place, so a device node would be replaced by a file: refused."""
    if output.exists() and not output.is_file():
        raise ImageError(f"{output} is not a file; write the image to a file, then copy that to the stick with dd")
    output.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output.parent).free
    if free < content_bytes:
        raise ImageError(f"{output.parent} has {free // MIB} MiB free and the image needs {content_bytes // MIB} MiB")


# --- writing ----------------------------------------------------------------------------------------------------------


def parents(path: str) -> list[str]:
    """The folders above a path, outermost first."""
    return [str(parent) for parent in reversed(PurePosixPath(path).parents) if str(parent) != "."]


@contextlib.contextmanager
def progress(total_bytes: int, what: str = "image") -> Iterator[Callable[[int], object]]:
    """A progress bar for a copy that takes a while, where there is a terminal and tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda _: None
        return
    quiet = total_bytes < PROGRESS_MIN_BYTES or not sys.stderr.isatty()
    with tqdm(total=total_bytes, unit="B", unit_scale=True, desc=what, disable=quiet) as bar:
        yield bar.update


def write_image(image: Path, items: list[Item], geometry: fat_image.Geometry, label: str) -> None:
    fat_image.create(image, geometry, label)
    made: set[str] = set()
    with progress(sum(item.source.stat().st_size for item in items)) as advance:
        for item in items:
            for folder in parents(item.destination):
                if folder.lower() not in made:
                    fat_image.make_directory(image, folder)
                    made.add(folder.lower())
            fat_image.copy_in(image, item.source, item.destination, advance)
    fat_image.verify(image, [Entry(item.destination, item.source.stat().st_size) for item in items])


def make_image(items: list[Item], output: Path, size_mib: int | None, label: str) -> fat_image.Geometry:
    """Writes the image under another name, checks it, and only then gives it its own."""
    check_items(items)
    sizes = [item.source.stat().st_size for item in items]
    check_output(output, sum(sizes))
    geometry = fat_image.plan(sizes, SLACK_BYTES, size_mib)
    handle, name = tempfile.mkstemp(dir=output.parent, prefix=f"{output.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write_image(temporary, items, geometry, check_label(label))
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 would hide it from a QEMU run by another user
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    return geometry


def scratch_folder(output: Path, stack: contextlib.ExitStack) -> Path:
    """A folder beside the image, where there must be room for it anyway, that goes with `stack`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=output.parent, prefix=f"{output.name}.parts.")))


def collect_items(arguments: argparse.Namespace, stack: contextlib.ExitStack) -> list[Item]:
    if not arguments.efi.is_file():
        raise ImageError(f"{arguments.efi}: no such file; `make` builds the binary")
    models = existing(arguments.models)
    if arguments.default_models:
        models += default_models(ROOT)
    items = [Item(arguments.efi, EFI_DESTINATION)]
    limit = image_models.Limit(
        max_bytes=min(arguments.max_file_size, MAX_FILE_BYTES),
        folder=lambda: scratch_folder(arguments.output, stack),
        progress=lambda size: progress(size, "split"),
    )
    items += [Item(model, f"models/{model.name}") for model in fit_for_fat(models, limit)]
    return items + [parse_file_option(text) for text in arguments.file]


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--efi", type=Path, required=True, metavar="FILE", help="the EFI binary")
    parser.add_argument("--output", type=Path, required=True, metavar="IMG", help="the image to write")
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="models for \\models, a llama2.c .bin with its tokenizer; one that does not exist is left out",
    )
    parser.add_argument(
        "--default-models",
        action="store_true",
        help="take what is in models/, else the small model of the assets folder ($LLMK_ASSETS)",
    )
    parser.add_argument(
        "--file", action="append", default=[], metavar="SRC:DEST", help="any other file, for example my.cfg:llmk.cfg"
    )
    parser.add_argument("--size", type=int, metavar="MB", help="size of the image in MiB (default: by its content)")
    parser.add_argument(
        "--max-file-size",
        type=split_gguf.parse_size,
        default=MAX_FILE_BYTES,
        metavar="SIZE",
        help="split GGUF files above this, with K, M or G (default: 4G, FAT32's limit of 4 GiB - 1)",
    )
    parser.add_argument("--label", default="LLMK", help="volume label (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        with contextlib.ExitStack() as stack:
            items = collect_items(options, stack)
            geometry = make_image(items, options.output, options.size, options.label)
            sizes = [item.source.stat().st_size for item in items]
    except (ImageError, OSError) as error:
        warn(str(error))
        return 1
    cluster = f"{geometry.clusters:,} clusters of {geometry.cluster_bytes:,} bytes"
    print(f"{options.output}: {geometry.image_bytes // MIB} MiB, FAT32, {cluster}, {len(items)} files")
    for item, size in zip(items, sizes, strict=True):
        print(f"  \\{item.destination.replace('/', chr(92))}  {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
