#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Downloads models from Hugging Face into models/, checked by size and hash; what was cut goes on where it ended.

    download_models.py                    choose from a numbered list (on a terminal)
    download_models.py --list             the list
    download_models.py stories15M gpt2    these
    download_models.py OWNER/REPOSITORY/FILE    any file of any repository
    download_models.py --all              all of the list, some gigabytes

Exit status: 0 all is there and right, 1 something is not (a line says what), 2 wrong usage, 130 interrupted.
The network is used for what was named, and for nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from hub_download import FAT32_MAX_BYTES, DownloadError, Offered, ask, check_space, fetch, missing_bytes
from model_table import MODELS, Model, find_model
from sentencepiece_to_bin import tokenizer_bin

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "models"
WRONG_USAGE = 2
INTERRUPTED = 130


def say(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    print(f"download_models: {text}", file=sys.stderr, flush=True)


def table() -> str:
    """The known models, numbered."""
    width = max(len(model.name) for model in MODELS)
    return "\n".join(
        f"{number:3}  {model.name:<{width}}  {model.megabytes:5} MB  {model.what} ({model.licence})"
        for number, model in enumerate(MODELS, 1)
    )


def choose() -> list[str]:
    """Asks a person; the names that were chosen."""
    say(table())
    words = input("Numbers or names, parted by blanks (nothing: none): ").replace(",", " ").split()
    return [MODELS[int(word) - 1].name if word.isdigit() and 0 < int(word) <= len(MODELS) else word for word in words]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a name of the list, or OWNER/REPOSITORY/FILE")
    parser.add_argument("--all", action="store_true", help="every model of the list")
    parser.add_argument("--list", action="store_true", help="print the list and do nothing")
    parser.add_argument("--output", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="default: models/")
    args = parser.parse_args(arguments)
    if args.all and args.names:
        parser.error("--all takes no names")
    return args


def wanted_models(args: argparse.Namespace) -> list[Model]:
    """ValueError for a name that is none."""
    if args.all:
        return list(MODELS)
    names: list[str] = args.names
    if not names:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ValueError("name a model, or --all; --list shows them")
        names = choose()
    models = []
    for name in dict.fromkeys(names):
        model = find_model(name)
        if model is None:
            raise ValueError(f"'{name}' is not in the list; --list shows it, and OWNER/REPOSITORY/FILE is any other")
        models.append(model)
    return models


def write_tokenizer(model: Model, folder: Path) -> None:
    """llama2.c's form of a SentencePiece model."""
    source, target = model.tokenizer
    if source:
        (folder / target).write_bytes(tokenizer_bin((folder / source).read_bytes()))
        say(f"{folder / target}: made from {source}")


def fat32_remark(each: Offered) -> str:
    if each.size_bytes <= FAT32_MAX_BYTES:
        return ""
    return (
        f"{each.file.local}: {each.size_bytes} bytes are more than FAT32 takes in a file (4 GiB - 1): `make image` "
        "splits it on the way; for a stick that you fill yourself, split it with gguf-split --split-max-size 4G"
    )


def download(model: Model, folder: Path) -> None:
    """All files of a model. DownloadError, OSError or ValueError when one is not to be had."""
    offered = [ask(file) for file in model.files]
    check_space(missing_bytes(offered, folder), folder)
    for each in offered:
        done = fetch(each, folder)
        checked = each.hash_name or "size only: the server names no hash"
        say(f"{folder / each.file.local}: {done}, {each.size_bytes} bytes, {checked} checked")
        if remark := fat32_remark(each):
            say(remark)
    write_tokenizer(model, folder)
    if model.after:
        say(f"{model.name}: {model.after.format(folder=folder)}")


def run(models: list[Model], folder: Path) -> int:
    """Downloads these, one after the other; one that fails does not stop the others."""
    if importlib.util.find_spec("huggingface_hub") is None:
        complain("the package huggingface_hub is not installed for this Python: use .venv/bin/python after `make test`")
        return 1
    if not sys.stderr.isatty():
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    failed = 0
    for model in models:
        say(f"{model.name}: {model.what}; licence: {model.licence}")
        try:
            download(model, folder)
        except (DownloadError, OSError, ValueError) as error:
            complain(str(error))
            failed += 1
    if failed:
        complain(f"{failed} of {len(models)} not downloaded")
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    if args.list:
        say(table())
        return 0
    try:
        models = wanted_models(args)
        return run(models, args.output)
    except ValueError as error:
        complain(str(error))
        return WRONG_USAGE
    except (KeyboardInterrupt, EOFError):
        complain("interrupted; run the same command again to go on")
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
