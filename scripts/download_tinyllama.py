#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Downloads TinyLlama-1.1B-Chat-v1.0 into models/: `download_models.py tinyllama-TYPE` under a name of its own.

Exit status: as download_models.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import download_models

TYPES = ("q4_0", "q8_0", "safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--type", choices=TYPES, default="q4_0", help="GGUF, or as it was published (default: q4_0)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: models/")
    args = parser.parse_args()
    folder = ["--output", str(args.output)] if args.output else []
    return download_models.main([f"tinyllama-{args.type}", *folder])


if __name__ == "__main__":
    raise SystemExit(main())
