#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the default model from text files: stories, vocabulary, tokens, training, export. One command, hours of work.

Broken off, the same command goes on where it stopped. Needs PyTorch, sentencepiece, gguf, NumPy, tqdm and matplotlib.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAME = "Small Stories"
DESCRIPTION = "Tells short stories for children, about what one asks for. Trained on a part of TinyStories."
DATASET = "roneneldan/TinyStories (CDLA-Sharing-1.0)"


def run(script: str, *options: object) -> None:
    print(f"== {script}", flush=True)
    subprocess.run([sys.executable, str(HERE / script), *map(str, options)], check=True)


def parse() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], epilog="Other options go to train.py: see train.py --help."
    )
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="text files with stories")
    parser.add_argument("--valid", type=Path, required=True, help="validation text")
    parser.add_argument("--work", type=Path, default=ROOT / "build/train", help="working folder (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "models/default.gguf", help="default: %(default)s")
    parser.add_argument("--vocab-size", type=int, default=3072, help="default: %(default)s")
    return parser.parse_known_args()


def main() -> int:
    args, training = parse()
    vocabulary = args.work / "vocabulary.model"
    try:
        run("prepare.py", "--text", *args.text, "--valid", args.valid, "--out", args.work)
        run("vocabulary.py", "--out", args.work, "--size", args.vocab_size)
        run("pretokenize.py", "--out", args.work)
        run("train.py", "--out", args.work, "--valid", args.valid, *training)
        facts = ("--name", NAME, "--description", DESCRIPTION, "--license", "MIT", "--dataset", DATASET)
        run("export.py", args.work / "best.pt", "--vocabulary", vocabulary, "--to", "q8_0", args.out, *facts)
    except subprocess.CalledProcessError as error:
        print(f"make_default: {Path(error.cmd[1]).name} failed with {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
