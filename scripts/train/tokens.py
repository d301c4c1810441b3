#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the ids of a text in a sentencepiece vocabulary, to compare with the host tool's `llmk tokens --no-bos`."""

from __future__ import annotations

import argparse
from pathlib import Path

import sentencepiece


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--vocabulary", type=Path, required=True, help="the sentencepiece model")
    parser.add_argument("--text", required=True, help="the text")
    args = parser.parse_args()
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(args.vocabulary))
    print(*tokenizer.encode(args.text))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
