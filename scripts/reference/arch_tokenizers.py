# SPDX-License-Identifier: MIT
"""Tiny vocabularies of both kinds, written as the tokenizer files of a checkpoint folder, for make_arch_fixtures.py.

    sentencepiece    tokenizer.model (byte fallback, pieces of spm_ref.py), tokenizer_config.json
    byte-level BPE   tokenizer.json, vocab.json, merges.txt, tokenizer_config.json

Each is read back by its own library, which then says the ids that a text has: the reference for ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import models, normalizers, pre_tokenizers

from reference.bpe_ref import Pair, byte_letters, english_merges
from reference.spm_ref import FIRST_BYTE, FIRST_PIECE, synthetic_tokenizer

Encode = Callable[[str], list[int]]
# Its classes are made when it is imported, where no type checker sees them.
PROTO: Any = sentencepiece_model_pb2

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# The cuts before merging, as these families' tokenizer.json spell them; without one, that of GPT-2.
CUTS = {
    "llama-bpe": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + REST,
    "qwen2": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + REST,
}


@dataclass(frozen=True)
class Spm:
    """A sentencepiece vocabulary: `pieces` of spm_ref.py, then tokens of its own that are not in tokenizer.model."""

    pieces: int = 282
    # Ids 0, 1, 2 and so on, before the bytes: name, and what it is.
    first: tuple[tuple[str, str], ...] = (("<unk>", "unk"), ("<s>", "bos"), ("</s>", "eos"))
    added: tuple[str, ...] = ()
    # Of `added`, the one that ends an answer; else the "eos" of `first`.
    eos: str = ""
    space_before: bool = True
    tokenizer_class: str = "LlamaTokenizer"

    @property
    def size(self) -> int:
        return self.pieces - FIRST_BYTE + len(self.first) + len(self.added)

    def id_of(self, role: str) -> int:
        if role == "eos" and self.eos:
            return self.size - len(self.added) + self.added.index(self.eos)
        return [what for _, what in self.first].index(role)

    def ends(self) -> set[int]:
        """What a text must not hold: reserved tokens, beginnings and ends."""
        return set(range(len(self.first))) | set(range(self.size - len(self.added), self.size))

    def write(self, folder: Path) -> Encode:
        proto = PROTO.ModelProto()
        kinds = PROTO.ModelProto.SentencePiece
        reference = synthetic_tokenizer(self.pieces)
        for name, what in self.first:
            proto.pieces.add(piece=name, score=0.0, type=kinds.UNKNOWN if what == "unk" else kinds.CONTROL)
        for piece, score in list(zip(reference.pieces, reference.scores, strict=True))[FIRST_BYTE:]:
            is_byte = len(proto.pieces) - len(self.first) < FIRST_PIECE - FIRST_BYTE
            text = piece.decode() if is_byte else piece.decode().replace(" ", "\u2581")
            proto.pieces.add(piece=text, score=score, type=kinds.BYTE if is_byte else kinds.NORMAL)
        trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
        trainer.model_type = PROTO.TrainerSpec.BPE
        trainer.vocab_size, trainer.byte_fallback = len(proto.pieces), True
        roles = [what for _, what in self.first]
        for what in ("unk", "bos", "eos", "pad"):
            setattr(trainer, f"{what}_id", roles.index(what) if what in roles else -1)
            if what in roles:
                setattr(trainer, f"{what}_piece", self.first[roles.index(what)][0])
        normalizer.name, normalizer.add_dummy_prefix = "identity", self.space_before
        normalizer.remove_extra_whitespaces, normalizer.escape_whitespaces = False, True
        (folder / "tokenizer.model").write_bytes(proto.SerializeToString())
        names = [name for name, _ in self.first] + list(self.added)
        added = {
            str(id_): {"content": name, "special": True, "lstrip": False, "rstrip": False, "normalized": False}
            for id_, name in [*enumerate(names[: len(self.first)]), *enumerate(self.added, len(proto.pieces))]
        }
        config = {
            "tokenizer_class": self.tokenizer_class,
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": self.first[self.id_of("bos")][0],
            "eos_token": self.eos or self.first[self.id_of("eos")][0],
            "unk_token": self.first[self.id_of("unk")][0],
            "added_tokens_decoder": added,
        }
        write_json(folder / "tokenizer_config.json", config)
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        return lambda text: [self.id_of("bos"), *processor.encode(text)]


@dataclass(frozen=True)
class Bpe:
    """A byte-level BPE vocabulary: 256 bytes, the merges of spm_ref.py, then special tokens."""

    cut: str = ""
    special: tuple[str, ...] = ("<|endoftext|>",)
    bos: str = ""
    eos: str = "<|endoftext|>"
    nfc: bool = False
    tokenizer_class: str = "GPT2Tokenizer"
    merges: list[Pair] = field(default_factory=english_merges)

    @property
    def size(self) -> int:
        return 256 + len(self.merges) + len(self.special)

    def id_of(self, role: str) -> int:
        return 256 + len(self.merges) + self.special.index(self.bos if role == "bos" else self.eos)

    def ends(self) -> set[int]:
        return set(range(256 + len(self.merges), self.size))

    def write(self, folder: Path) -> Encode:
        pieces = [*byte_letters(), *(left + right for left, right in self.merges)]
        vocabulary = {piece: id_ for id_, piece in enumerate(pieces)}
        tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, self.merges, ignore_merges=self.cut == "llama-bpe"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        if self.cut:
            split = pre_tokenizers.Split(tokenizers.Regex(CUTS[self.cut]), behavior="isolated")
            letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
        if self.nfc:
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.decoder = tokenizers.decoders.ByteLevel()
        tokenizer.add_special_tokens(list(self.special))
        tokenizer.save(str(folder / "tokenizer.json"))
        write_json(folder / "vocab.json", vocabulary)
        merges = "".join(f"{left} {right}\n" for left, right in self.merges)
        (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
        added = {
            str(256 + len(self.merges) + i): {"content": name, "special": True} for i, name in enumerate(self.special)
        }
        config: dict[str, Any] = {"tokenizer_class": self.tokenizer_class, "add_bos_token": bool(self.bos)}
        config |= {"bos_token": self.bos or None, "eos_token": self.eos, "added_tokens_decoder": added}
        write_json(folder / "tokenizer_config.json", config)
        before = [self.id_of("bos")] if self.bos else []
        return lambda text: [*before, *tokenizer.encode(text, add_special_tokens=False).ids]


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


LLAMA_BPE = Bpe(
    cut="llama-bpe",
    special=("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    tokenizer_class="PreTrainedTokenizerFast",
)
QWEN2 = Bpe(
    cut="qwen2",
    special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    eos="<|im_end|>",
    nfc=True,
    tokenizer_class="Qwen2Tokenizer",
)
PHI3 = Spm(added=("<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>"), eos="<|endoftext|>")
GEMMA = Spm(
    first=(("<pad>", "pad"), ("<eos>", "eos"), ("<bos>", "bos"), ("<unk>", "unk")),
    space_before=False,
    tokenizer_class="GemmaTokenizer",
)
