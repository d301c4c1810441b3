#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a trained model as GGUF (f32, f16, q8_0) or as a llama2.c file (v0, v2) with its tokenizer beside it.

llama2.c's files hold no chat template and no token types: there the control tokens are text like any other.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import sentencepiece
from reference.llama2c_format import layout, pack_header, tensor_bytes
from reference.spm_ref import Tokenizer

from train.checkpoint import load_model
from train.gguf_file import TYPES, Facts, write_gguf
from train.model import Llama, tensors_llama2c

GROUP_SIZE = 32
LLAMA2C_VERSIONS = {"v0": 0, "v2": 2}


def write_llama2c(path: Path, model: Llama, version: int) -> None:
    config = replace(model.shape.to_llama2c(), version=version, group_size=GROUP_SIZE if version == 2 else 0)
    config.check()
    tensors = {name: tensor.numpy() for name, tensor in tensors_llama2c(model).items()}
    with path.open("wb") as file:
        file.write(pack_header(config))
        for spec in layout(config):
            if spec.name.startswith("freq_cis"):  # readers compute their own
                file.write(bytes(4 * spec.count))
                continue
            name, _, layer = spec.name.partition(".")
            values = tensors[name][int(layer)] if layer else tensors[name]
            for piece in tensor_bytes(spec, values, config.group_size):
                file.write(piece)


def write_tokenizer(path: Path, tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    pieces = []
    for token in range(tokenizer.vocab_size()):
        text = tokenizer.id_to_piece(token).replace("▁", " ")
        pieces.append((f"\n{text}\n" if token in (tokenizer.bos_id(), tokenizer.eos_id()) else text).encode())
    scores = [tokenizer.get_score(token) for token in range(tokenizer.vocab_size())]
    path.write_bytes(Tokenizer(pieces, scores).to_bytes())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a checkpoint of train.py")
    parser.add_argument("--vocabulary", type=Path, required=True, help="the sentencepiece model")
    parser.add_argument(
        "--to",
        nargs=2,
        action="append",
        required=True,
        metavar=("TYPE", "FILE"),
        help=f"GGUF: {', '.join(TYPES)}; llama2.c: {', '.join(LLAMA2C_VERSIONS)}; may be repeated",
    )
    parser.add_argument("--name", default=Facts.name, help="the model's name (default: %(default)s)")
    parser.add_argument("--description", default="", help="a sentence on it")
    parser.add_argument("--license", default="", help="its licence, as SPDX writes it")
    parser.add_argument("--dataset", action="append", default=[], help="what it was trained on; may be repeated")
    args = parser.parse_args()
    for kind, _ in args.to:
        if kind not in TYPES and kind not in LLAMA2C_VERSIONS:
            parser.error(f"--to: {kind} is not a type")
    return args


def main() -> int:
    args = parse()
    model = load_model(args.model)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(args.vocabulary))
    facts = Facts(args.name, args.description, args.license, args.dataset)
    for kind, name in args.to:
        out = Path(name)
        part = out.with_name(f".{out.name}.part")
        if kind in TYPES:
            write_gguf(part, model, tokenizer, kind, facts)
        else:
            write_llama2c(part, model, LLAMA2C_VERSIONS[kind])
            write_tokenizer(out.with_suffix(".tok.bin"), tokenizer)
        part.replace(out)
        print(f"{out}: {out.stat().st_size} bytes, {model.parameter_count()} parameters")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
