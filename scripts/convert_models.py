#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Converts a checkpoint of PyTorch or Hugging Face to a GGUF file that the program on the stick and `llmk` run.

    .venv-torch/bin/python scripts/convert_models.py --model auto --input FOLDER --output models/NAME.gguf --type q8_0

The input is a .bin, .pt or .pth of PyTorch, a .safetensors, an index of shards, or a folder as Hugging Face lays it
out. Nothing of the input is run. The output is read again before it gets its name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convert.arguments import add_settings, settings_of
from convert.conversion import Done, convert
from convert.errors import ConvertError
from convert.show import Bar, describe


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--input", type=Path, required=True, metavar="X", help="checkpoint: a file, an index or a folder"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="Y", help="the GGUF file to write")
    parser.add_argument("--name", help="general.name of the file; default: the folder's or the file's")
    add_settings(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> Done:
    with Bar() as bar:
        return convert(args.input, args.output, settings_of(args), bar.advance, bar.begin)


def main() -> int:
    args = parse()
    try:
        print(describe(run(args)))
    except (ConvertError, OSError) as error:
        print(f"convert_models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
