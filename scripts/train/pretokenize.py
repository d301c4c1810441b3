#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Encodes the stories, several files at a time: OUT/stories/NAME.jsonl becomes OUT/tokens/NAME.npz.

Each holds `ids` (both forms of all stories, one behind the other), `ends` (where the plain and the clean form of each
end) and `nouns` (JSON, a line a story). A file that is newer than its stories and the vocabulary is left as it is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np
import sentencepiece
from tqdm import tqdm


def encode_file(stories: Path, vocabulary: Path, out: Path) -> tuple[str, int]:
    """Returns the file's name and its count of tokens."""
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    ids: list[int] = []
    ends: list[int] = []
    nouns: list[str] = []
    with stories.open(encoding="utf-8") as lines:
        for line in lines:
            story = json.loads(line)
            for form in ("plain", "clean"):
                ids.extend(tokenizer.encode(story[form]))
                ends.append(len(ids))
            nouns.append(json.dumps(story["nouns"]))
    part = out.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            ids=np.array(ids, dtype=np.uint16),
            ends=np.array(ends, dtype=np.int64),
            nouns=np.frombuffer("\n".join(nouns).encode(), dtype=np.uint8),
        )
    part.replace(out)
    return stories.name, len(ids)


def is_fresh(out: Path, *sources: Path) -> bool:
    return out.is_file() and all(out.stat().st_mtime >= source.stat().st_mtime for source in sources)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the working folder")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="files at a time (default: processors)"
    )
    return parser.parse_args()


def main() -> int:
    args = parse()
    vocabulary, tokens = args.out / "vocabulary.model", args.out / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    todo = []
    for stories in sorted((args.out / "stories").glob("*.jsonl")):
        if is_fresh(tokens / f"{stories.stem}.npz", stories, vocabulary):
            print(f"{stories.stem}: encoded already")
        else:
            todo.append(stories)
    with multiprocessing.Pool(max(1, min(args.workers, len(todo)))) as pool:
        jobs = [
            pool.apply_async(encode_file, (stories, vocabulary, tokens / f"{stories.stem}.npz")) for stories in todo
        ]
        for job in tqdm(jobs, desc="encode", unit="file"):
            name, count = job.get()
            tqdm.write(f"{name}: {count} tokens")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
