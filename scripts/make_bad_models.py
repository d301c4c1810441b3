#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a folder of broken models and tokenizers, each wrong in one way, with a manifest.json.

A manifest entry is {"file", "tokenizer" (null: none beside it), "wrong" (what is), "words"}; a GGUF in parts is named
by its first. The sentence that refuses
the file must hold every one of `words`, in lower case; "a|b" asks for either. Where a header field is to blame the word
is the field's name as llama2.c spells it; what only the length of the file tells is called size. A sentence about the
tokenizer says tokenizer, whatever its file is called.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import bad_gguf
from reference.llama2c_format import HEADER_BYTES, HEADER_BYTES_V0, HEADER_FIELDS, Config, layout
from reference.random_weights import random_model
from reference.spm_ref import Tokenizer, synthetic_tokenizer

# One small good model a version; all that follow are these with a wound.
GOOD = {
    0: Config(16, 24, 1, 4, 2, 280, 32),
    1: Config(16, 24, 1, 4, 2, 280, 32, version=1),
    2: Config(16, 24, 1, 4, 2, 280, 32, version=2, group_size=8),
}
SHARED_OFFSET = 36
GROUP_OFFSET = 37
INT_MIN = -(1 << 31)
ANY_FIELD = "magic|size|dim|n_layers|n_heads|n_kv_heads|vocab_size|seq_len"


@dataclass(frozen=True)
class Bad:
    file: str
    data: bytes | None  # None: a folder of this name
    wrong: str
    words: tuple[str, ...]
    tokenizer: bytes | None = None
    beside: tuple[tuple[str, bytes], ...] = ()  # the other parts of a split model


def model(config: Config) -> bytes:
    return b"".join(random_model(config, seed=1))


def field_offset(version: int, field: str) -> int:
    return (0 if version == 0 else 8) + 4 * HEADER_FIELDS.index(field)


def with_int(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + struct.pack("<i", value) + data[offset + 4 :]


def fields() -> Iterator[Bad]:
    """Each header field zero, and negative, in each version."""
    for version, config in GOOD.items():
        good = model(config)
        for field in HEADER_FIELDS:
            for label, value in (("zero", 0), ("neg", -1)):
                words = (field,)
                if (version, field, label) == (0, "vocab_size", "neg"):
                    # -1 would be a separate head; this has no positive counterpart in 32 bits. Whoever takes the
                    # absolute value in 64 bits finds the file too small instead.
                    value, words = INT_MIN, ("size",)
                data = with_int(good, field_offset(version, field), value)
                yield Bad(f"v{version}_{field}_{label}.bin", data, f"{field} is {value}", words)
    separate = with_int(model(GOOD[0]), field_offset(0, "vocab_size"), -GOOD[0].vocab_size)
    yield Bad("v0_head_missing.bin", separate, "vocab_size < 0 promises a head that is not there", ("size",))


def shapes() -> Iterator[Bad]:
    """Files of exactly the size their header asks for, whose numbers make no model."""
    for version, config in GOOD.items():
        heads = replace(config, n_heads=3, n_kv_heads=1)
        yield Bad(f"v{version}_heads_dim.bin", model(heads), "n_heads 3 does not divide dim 16", ("n_heads", "dim"))
        both = ("n_kv_heads", "n_heads")
        kv = replace(config, n_kv_heads=3)
        yield Bad(f"v{version}_kv_heads.bin", model(kv), "n_kv_heads 3 does not divide n_heads 4", both)
        many = replace(config, n_kv_heads=8)
        yield Bad(f"v{version}_kv_many.bin", model(many), "n_kv_heads 8 is more than n_heads 4", both)
        odd = replace(config, dim=24, n_heads=8, n_kv_heads=8)
        yield Bad(f"v{version}_odd_head.bin", model(odd), "head size 3 is odd", ("n_heads", "dim"))


def overflows() -> Iterator[Bad]:
    good = GOOD[0]
    # The embedding is 2^32 bytes: in 32 bits it vanishes and the rest fits the file exactly.
    body = model(good)[HEADER_BYTES_V0 + 4 * good.vocab_size * good.dim :]
    header = struct.pack("<7i", *(getattr(replace(good, vocab_size=1 << 26), f) for f in HEADER_FIELDS))
    yield Bad("v0_wrap32.bin", header + body, "vocab_size * dim * 4 is 2^32", ("size",))
    # w1 is 2^64 bytes.
    header = struct.pack("<7i", 16, 1 << 28, 1 << 30, 4, 2, 280, 32)
    yield Bad("v0_wrap64.bin", header + body, "n_layers * hidden_dim * dim * 4 is 2^64", ("size",))
    most = (1 << 30, 1 << 30, 1 << 30, 1 << 20, 1 << 20, 1 << 30, 1 << 30)
    yield Bad("v0_huge.bin", struct.pack("<7i", *most) + body, "every field is huge", ("size",))
    for version in (1, 2):
        header = model(GOOD[version])[:HEADER_BYTES]
        for field, value in zip(HEADER_FIELDS, most, strict=True):
            header = with_int(header, field_offset(version, field), value)
        yield Bad(f"v{version}_huge.bin", header + body, "every field is huge", ("size",))


def identities() -> Iterator[Bad]:
    """Magic, version and flags; files that are something else."""
    v1, v2 = model(GOOD[1]), model(GOOD[2])
    yield Bad("magic_ak43.bin", with_int(v1, 0, 0x616B3433), "magic is ak43", (ANY_FIELD,))
    yield Bad("magic_swapped.bin", v1[3::-1] + v1[4:], "magic is byte-swapped", (ANY_FIELD,))
    for label, value in (("0", 0), ("3", 3), ("neg", -1), ("swapped", 1 << 24)):
        yield Bad(f"version_{label}.bin", with_int(v1, 4, value), f"version is {value}", ("version",))
    for version, data in ((1, v1), (2, v2)):
        for value in (2, 255):
            wounded = data[:SHARED_OFFSET] + bytes([value]) + data[SHARED_OFFSET + 1 :]
            name = f"v{version}_shared_{value}.bin"
            yield Bad(name, wounded, f"shared_classifier is {value}", ("shared_classifier",))
    groups = {"zero": 0, "neg": -8, "odd": 5, "dim_only": 16, "big": 4096, "max": (1 << 31) - 1, "min": INT_MIN}
    for label, value in groups.items():
        wounded = with_int(v2, GROUP_OFFSET, value)
        yield Bad(f"v2_group_{label}.bin", wounded, f"group_size {value} does not divide 16 and 24", ("group_size",))
    yield Bad("empty.bin", b"", "nothing in it", ("size|empty",))
    yield Bad("one_byte.bin", b"\x10", "one byte", ("size|dim",))
    yield Bad("all_ff.bin", b"\xff" * 4096, "all bits set", (ANY_FIELD,))
    yield Bad("all_zero.bin", bytes(4096), "all zero", (ANY_FIELD,))
    yield Bad("text.bin", b"Once upon a time, there was a text file.\n" * 40, "a text file", (ANY_FIELD,))
    yield Bad("gguf_magic.gguf", b"GGUF", "the magic of GGUF and no more", ("gguf",))
    yield Bad("gguf_cut.gguf", b"GGUF\x03\0\0\0" + b"\1\0\0\0\0\0\0\0", "GGUF header cut short", ("gguf",))
    yield Bad("gguf_three.gguf", b"GGU", "three of the four bytes of a magic", ("size|dim|magic",))
    yield Bad("dir.bin", None, "a folder named like a model", ("folder|directory",))


def cuts() -> Iterator[Bad]:
    """Files that end too early, or too late."""
    for version, config in GOOD.items():
        good = model(config)
        header_bytes = HEADER_BYTES_V0 if version == 0 else HEADER_BYTES
        for number, field in enumerate(HEADER_FIELDS):
            end = field_offset(version, field) + 2  # in the middle of the field
            if version != 2 or number == 0:  # version 2 differs from 1 only behind these
                yield Bad(f"v{version}_cut_h{number}.bin", good[:end], f"ends in {field}", (f"{field}|size",))
        if version:
            yield Bad(f"v{version}_cut_magic.bin", good[:4], "ends after magic", ("version|size",))
            yield Bad(f"v{version}_cut_pad.bin", good[:100], "ends in the header's padding", ("size",))
        if version == 2:
            yield Bad("v2_cut_group.bin", good[: GROUP_OFFSET + 2], "ends in group_size", ("group_size|size",))
        offset = header_bytes
        for spec in layout(config):
            name = spec.name.removesuffix(".0")
            yield Bad(f"v{version}_cut_{name}.bin", good[: offset + 6], f"ends in {name}", ("size",))
            if spec.quantized and name in ("token_embedding", "w3"):
                end = offset + spec.count + 6
                yield Bad(f"v2_cut_{name}_scale.bin", good[:end], f"ends in the scales of {name}", ("size",))
            offset += spec.size_bytes(config.group_size)
        yield Bad(f"v{version}_short.bin", good[:-1], "one byte too short", ("size",))
        yield Bad(f"v{version}_long.bin", good + b"\0", "one byte too long", ("size",))
        yield Bad(f"v{version}_garbage.bin", good + b"garbage " * 64, "garbage at its end", ("size",))


def tokenizers() -> Iterator[Bad]:
    """A good model, and a tokenizer that is not."""
    good_model = model(GOOD[0])
    tokenizer = synthetic_tokenizer(GOOD[0].vocab_size)
    good = tokenizer.to_bytes()
    last_piece = 8 + len(tokenizer.pieces[-1])  # bytes of the last entry: score, length, piece

    def entry(token: int) -> int:
        """Where the entry of a token starts."""
        return 4 + sum(8 + len(piece) for piece in tokenizer.pieces[:token])

    def bad(name: str, data: bytes | None, wrong: str, *words: str) -> Bad:
        return Bad(f"spm_{name}.bin", good_model, wrong, ("tokenizer", *words), tokenizer=data)

    def resized(vocab_size: int) -> bytes:
        return synthetic_tokenizer(vocab_size).to_bytes()

    def scored(score: float) -> bytes:
        scores = [*tokenizer.scores[:270], score, *tokenizer.scores[271:]]
        return Tokenizer(tokenizer.pieces, scores).to_bytes()

    yield bad("missing", None, "no tokenizer beside the model")
    yield bad("empty", b"", "an empty tokenizer")
    yield bad("cut_max", good[:3], "the tokenizer ends in max_token_length")
    yield bad("cut_score", good[: entry(100) + 2], "the tokenizer ends in a score")
    yield bad("cut_length", good[: entry(100) + 6], "the tokenizer ends in a length")
    yield bad("cut_piece", good[: entry(100) + 10], "the tokenizer ends in a piece")
    yield bad("cut_last", good[:-last_piece], "the tokenizer lacks the last token")
    yield bad("small", resized(279), "one token less than vocab_size")
    yield bad("big", resized(281), "one token more than vocab_size")
    yield bad("other", resized(512), "a tokenizer of 512 tokens for a model of 280")
    yield bad("garbage", good + b"\1\2\3", "bytes after the last token")
    yield bad("len_neg", with_int(good, entry(5) + 4, -1), "a length of -1", "length")
    yield bad("len_min", with_int(good, entry(5) + 4, INT_MIN), "a length of -2^31", "length")
    yield bad("len_max", with_int(good, entry(5) + 4, 9), "a length above max_token_length", "length")
    yield bad("len_huge", with_int(good, entry(5) + 4, (1 << 31) - 1), "a length of 2^31 - 1", "length")
    yield bad("max_zero", with_int(good, 0, 0), "max_token_length is 0", "length")
    yield bad("max_neg", with_int(good, 0, -1), "max_token_length is -1", "length")
    yield bad("score_nan", scored(float("nan")), "a score that is not a number", "score")
    yield bad("text", b"This is no tokenizer at all.\n" * 100, "a text file named like a tokenizer")
    yield bad("is_model", good_model, "a model named like a tokenizer")


def ggufs() -> Iterator[Bad]:
    for kind in bad_gguf.KINDS:
        for file, data, wrong, words, beside in kind():
            yield Bad(file, data, wrong, words, beside=tuple(beside.items()))


KINDS: tuple[Callable[[], Iterator[Bad]], ...] = (fields, shapes, overflows, identities, cuts, tokenizers, ggufs)


def make_bad_models(folder: Path) -> list[dict[str, object]]:
    """Writes the files and manifest.json; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest: list[dict[str, object]] = []
    for bad in (bad for kind in KINDS for bad in kind()):
        path = folder / bad.file
        if bad.data is None:
            path.mkdir(exist_ok=True)
            (path / "note.txt").write_text("This folder is named like a model.\n", encoding="ascii")
        else:
            path.write_bytes(bad.data)
        tokenizer = path.with_suffix(".tok.bin")
        if bad.tokenizer is not None:
            tokenizer.write_bytes(bad.tokenizer)
        for name, data in bad.beside:
            (folder / name).write_bytes(data)
        entry = asdict(replace(bad, data=None, beside=()))
        del entry["data"], entry["beside"]
        manifest.append({**entry, "tokenizer": None if bad.tokenizer is None else tokenizer.name})
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where they go (made when it is not there)")
    args = parser.parse_args()
    try:
        manifest = make_bad_models(args.folder)
    except OSError as error:
        print(f"make_bad_models: {error}", file=sys.stderr)
        return 1
    print(f"{args.folder}: {len(manifest)} bad files")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
