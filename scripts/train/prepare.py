#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns text files into stories: cut, capitals restored, doubles and validation stories left out, nouns found.

Writes OUT/stories/NAME.jsonl for each text file; a file that is there already is left as it is (--force makes anew).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tqdm import tqdm

from train.stories import (
    END_OF_TEXT,
    NounFinder,
    Story,
    as_published,
    clean,
    paragraph_keys,
    repair,
    spaced,
    split_lines,
    split_marked,
    without_known,
)
from train.truecase import TrueCaser, accuracy

# What is a noun, and what stands where it stands, more stories would not tell better.
ENOUGH_STORIES = 20_000


def read_text(path: Path) -> str:
    # A file cut at some byte may end within a character.
    return path.read_text(encoding="utf-8", errors="ignore")


def is_lowercased(text: str) -> bool:
    return text[:100000] == text[:100000].lower()


def split(text: str) -> list[str]:
    return split_marked(text) if END_OF_TEXT in text else split_lines(text)


def prepare(texts: list[Path], valid: Path | None, out: Path) -> dict[str, int]:
    """Cased files first: the lower-cased ones give what those lack. Returns the count of stories of each file."""
    loaded = {path: read_text(path) for path in texts}
    known = set(paragraph_keys(read_text(valid))) if valid else set()
    order = sorted(texts, key=lambda path: is_lowercased(loaded[path]))
    kept: dict[Path, list[str]] = {}
    for path in order:
        kept[path] = without_known(map(repair, split(loaded[path])), known)
    cased = [story for path in order if not is_lowercased(loaded[path]) for story in kept[path]]
    lowercased = [story for path in order if is_lowercased(loaded[path]) for story in kept[path]]
    if lowercased:
        caser = TrueCaser(cased, lowercased)
        if valid:
            print(f"capitals restored right: {accuracy(caser, read_text(valid)):.4f} of the validation text's words")
        for path in order:
            if is_lowercased(loaded[path]):
                kept[path] = [caser.restore(story) for story in tqdm(kept[path], desc=f"capitals {path.name}")]
    all_stories = [story for path in order for story in kept[path]][:ENOUGH_STORIES]
    finder = NounFinder(all_stories)
    out.mkdir(parents=True, exist_ok=True)
    (out.parent / "near.json").write_text(json.dumps(finder.near(all_stories)), encoding="utf-8")
    for path in order:
        lines = []
        for story in tqdm(kept[path], desc=f"nouns {path.name}"):
            cleaned = clean(story)
            made = Story(as_published(spaced(story)), cleaned, finder.of(cleaned))
            lines.append(json.dumps(made.to_json(), ensure_ascii=False))
        part = out / f"{path.stem}.jsonl.part"
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        part.replace(out / f"{path.stem}.jsonl")
    return {path.name: len(kept[path]) for path in order}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="text files with stories")
    parser.add_argument("--valid", type=Path, help="validation text: no story of it may be trained on")
    parser.add_argument("--out", type=Path, required=True, help="the working folder")
    parser.add_argument("--force", action="store_true", help="make anew what is there")
    return parser.parse_args()


def main() -> int:
    args = parse()
    out = args.out / "stories"
    if not args.force and all((out / f"{path.stem}.jsonl").is_file() for path in args.text):
        print(f"{out}: all there, nothing to do")
        return 0
    for name, count in prepare(args.text, args.valid, out).items():
        print(f"{name}: {count} stories")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
