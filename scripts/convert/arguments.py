# SPDX-License-Identifier: MIT
"""Options that both programs have, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path

from split_gguf import FAT32_BYTES, parse_size

from convert.architectures import Options
from convert.conversion import MODELS, Settings
from convert.output import TYPES


def add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        choices=["auto", *MODELS],
        default="auto",
        help="what the checkpoint must be; auto (the default) goes by its files",
    )
    parser.add_argument("--type", choices=list(TYPES), default="f32", help="of matrices; default: %(default)s")
    parser.add_argument(
        "--split-max-size",
        type=parse_size,
        default=FAT32_BYTES,
        metavar="SIZE",
        help="largest file, with K, M or G; larger models become NAME-00001-of-0000N.gguf. Default: 4G, FAT32's limit",
    )
    parser.add_argument("--vocab", type=Path, metavar="PATH", help="tokenizer, or its folder, if not beside the input")
    parser.add_argument("--no-vocab", action="store_true", help="write no vocabulary: for tests of the model alone")
    parser.add_argument("--pre", metavar="NAME", help="tokenizer.ggml.pre, where tokenizer.json is not recognised")
    parser.add_argument("--heads", type=int, metavar="N", help="heads of a GPT-2 whose checkpoint does not say")
    parser.add_argument("--gelu", choices=("erf", "tanh"), help="GELU of a GPT-2, if not as its configuration says")
    parser.add_argument("--force", action="store_true", help="replace an output that is there")


def settings_of(args: argparse.Namespace) -> Settings:
    return Settings(
        model=args.model,
        type=args.type,
        options=Options(n_head=args.heads, gelu=args.gelu),
        vocabulary=args.vocab,
        no_vocabulary=args.no_vocab,
        pre=args.pre,
        name=getattr(args, "name", None),
        split_max_bytes=args.split_max_size,
        force=args.force,
    )
