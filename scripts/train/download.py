#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fetches TinyStories from Hugging Face and cuts it into shards: OUT/text/train-NNN.txt, and OUT/text/valid.txt.

What is there already is not fetched or written again. About 1.9 GB; TinyStories is under CDLA-Sharing-1.0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tqdm import tqdm

from train.stories import END_OF_TEXT

REPOSITORY = "roneneldan/TinyStories"
FILES = {"train": "TinyStories-train.txt", "valid": "TinyStories-valid.txt"}


def fetch(name: str) -> Path:
    """From the cache of huggingface_hub where it is there; a broken download goes on."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(REPOSITORY, FILES[name], repo_type="dataset"))


def stories(path: Path) -> Iterator[str]:
    """Each story with its mark, as it stands; what follows the last mark is not one."""
    lines: list[str] = []
    with path.open(encoding="utf-8", errors="ignore") as file:
        for line in file:
            lines.append(line)
            if line.strip() == END_OF_TEXT:
                yield "".join(lines)
                lines.clear()


def cut(source: Path, out: Path, shard_bytes: int, most: int | None = None) -> int:
    """Shards of about this size, each ending with a story. Returns how many were written; the others were there."""
    out.mkdir(parents=True, exist_ok=True)
    shard: list[str] = []
    size, number, written = 0, 0, 0

    def flush() -> None:
        nonlocal shard, size, number, written
        path = out / f"train-{number:03}.txt"
        if shard and not path.is_file():
            part = path.with_suffix(".part")
            part.write_text("".join(shard), encoding="utf-8")
            part.replace(path)
            written += 1
        shard, size, number = [], 0, number + 1

    with tqdm(total=source.stat().st_size, desc=source.name, unit="B", unit_scale=True) as bar:
        for story in stories(source):
            shard.append(story)
            length = len(story.encode())
            size += length
            bar.update(length)
            if size >= shard_bytes:
                flush()
                if number == most:
                    return written
    flush()
    return written


def write_valid(source: Path, out: Path, most_bytes: int | None) -> None:
    """The validation text with blank lines for marks; whole stories, until there are so many bytes."""
    size, kept = 0, []
    for story in stories(source):
        kept.append(story.replace(END_OF_TEXT, "").strip())
        size += len(kept[-1].encode())
        if most_bytes and size >= most_bytes:
            break
    out.write_text("\n\n".join(kept) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the working folder")
    parser.add_argument("--shard-mib", type=float, default=32, help="size of a shard (default: %(default)s)")
    parser.add_argument("--shards", type=int, help="no more than this many (default: all)")
    parser.add_argument("--valid-mib", type=float, help="of the validation text (default: all)")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="cut this file; nothing is fetched")
    return parser.parse_args()


def main() -> int:
    args = parse()
    out = args.out / "text"
    try:
        source = args.source or fetch("train")
        written = cut(source, out, int(args.shard_mib * 2**20), args.shards)
        if not args.source and not (out / "valid.txt").is_file():
            write_valid(fetch("valid"), out / "valid.txt", int(args.valid_mib * 2**20) if args.valid_mib else None)
    except ImportError:
        print("download: huggingface_hub is missing: pip install huggingface_hub", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"download: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {len(sorted(out.glob('train-*.txt')))} shards, {written} written now")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
