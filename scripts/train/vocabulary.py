#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains the vocabulary: sentencepiece BPE with byte fallback, and the two control tokens of the chat form.

A space is never put in front of a text (no dummy prefix), and a line break is always the byte token <0x0A>: so the
tokens of a text are those of its pieces, wherever a request, a line break or a control token parts it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import sentencepiece

from train.chat import IM_END, IM_START

# More text than this teaches a vocabulary of a few thousand pieces nothing.
MAX_BYTES = 200_000_000


def sentences(folder: Path, limit: int = MAX_BYTES) -> Iterator[str]:
    size = 0
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                story = json.loads(line)
                # Both forms of a story count, so that neither is strange to the vocabulary.
                for text in {story["plain"], story["clean"]}:
                    for paragraph in text.split("\n"):
                        if paragraph:
                            yield paragraph
                            size += len(paragraph)
                if size > limit:
                    return


def request_lines() -> list[str]:
    return ["user", "assistant", "system", *(["Tell me a story about a dog and a ball."] * 20)]


def train(folder: Path, out: Path, size: int, seed: int) -> None:
    texts = [*sentences(folder), *request_lines()]
    random.Random(seed).shuffle(texts)
    part = out.with_suffix(".part")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(part),
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        character_coverage=0.9999,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        split_digits=True,
        allow_whitespace_only_pieces=False,
        max_sentence_length=100_000,
        control_symbols=[IM_START, IM_END],
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
    )
    Path(f"{part}.vocab").unlink()
    Path(f"{part}.model").replace(out)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the working folder, with stories/ in it")
    parser.add_argument("--size", type=int, default=3072, help="pieces (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="make anew what is there")
    return parser.parse_args()


def main() -> int:
    args = parse()
    out = args.out / "vocabulary.model"
    if out.is_file() and not args.force:
        print(f"{out}: there already")
        return 0
    train(args.out / "stories", out, args.size, args.seed)
    print(f"{out}: {args.size} pieces")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
