#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a llama2.c model of a given shape with random weights, and a tokenizer of its vocabulary size beside it.

For speed and memory tests at true sizes, where the words do not matter: NAME.bin gets NAME.tok.bin. The same arguments
write the same bytes on any machine. Memory use stays small for any size.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reference.llama2c_format import HEADER_FIELDS, Config, file_size_bytes
from reference.random_weights import write_random_model
from reference.spm_ref import synthetic_tokenizer

# dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len: those of the published stories models.
SHAPES = {
    "260k": (64, 172, 5, 8, 4, 512, 512),
    "15m": (288, 768, 6, 6, 6, 32000, 256),
    "42m": (512, 1376, 8, 8, 8, 32000, 1024),
    "110m": (768, 2048, 12, 12, 12, 32000, 1024),
    "tinyllama": (2048, 5632, 22, 32, 4, 32000, 2048),
}
OPTIONS = ("dim", "hidden", "layers", "heads", "kv-heads", "vocab", "seq")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("output", type=Path, help="the model file, NAME.bin")
    parser.add_argument("--shape", choices=[*SHAPES, "custom"], default="15m", help="default: %(default)s")
    for option, field in zip(OPTIONS, HEADER_FIELDS, strict=True):
        parser.add_argument(f"--{option}", type=int, metavar="N", help=f"{field}, instead of the shape's")
    parser.add_argument("--separate", action="store_true", help="a head of its own (default: the embedding's)")
    parser.add_argument("--version", type=int, choices=(0, 1, 2), default=0, help="file version (default: %(default)s)")
    parser.add_argument("--group", type=int, default=32, help="group size of version 2 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    return parser.parse_args()


def main() -> int:
    args = parse()
    numbers = dict(zip(OPTIONS, SHAPES.get(args.shape, ()), strict=False))
    numbers |= {option: value for option in OPTIONS if (value := getattr(args, option.replace("-", "_"))) is not None}
    if missing := [option for option in OPTIONS if option not in numbers]:
        print(f"make_shape_model: --shape custom needs --{' --'.join(missing)}", file=sys.stderr)
        return 2
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = (numbers[option] for option in OPTIONS)
    config = Config(
        dim,
        hidden_dim,
        n_layers,
        n_heads,
        n_kv_heads,
        vocab_size,
        seq_len,
        shared_classifier=not args.separate,
        version=args.version,
        group_size=args.group if args.version == 2 else 0,
    )
    try:
        config.check()
        tokenizer = synthetic_tokenizer(config.vocab_size)
        write_random_model(args.output, config, args.seed)
        args.output.with_suffix(".tok.bin").write_bytes(tokenizer.to_bytes())
    except (ValueError, OSError) as error:
        print(f"make_shape_model: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {file_size_bytes(config)} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
