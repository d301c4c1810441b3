#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/golden/data/templates: tiny vocabularies, and the ids that `transformers` makes of conversations.

    VOCABULARY.gguf   a vocabulary and nothing else
    cases.json        conversations; of each family its template (template_texts.py), and of each vocabulary that it is
                      tried with the ids of apply_chat_template, one list a conversation

To make them anew, with what scripts/requirements-parity.txt installs:

    python scripts/reference/make_template_fixtures.py
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reference.template_texts import TEMPLATES

OUTPUT = Path(__file__).resolve().parents[2] / "tests/golden/data/templates"
BLOCK = "\u2581"
BOS, EOS, UNK = "<s>", "</s>", "<unk>"
MARKERS = (
    "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endoftext|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<start_of_turn>", "<end_of_turn>", "[INST]",
    "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
)  # fmt: skip
# Tokens wherever they stand, no structure.
THOUGHTS = ("<think>", "</think>")
DEEPSEEK = ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>")
# phi3's tokenizer drops the blanks behind these.
SWALLOWING = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CORPUS = """the user and the assistant talk about the weather and about what there is to see in the town where they
live and the system says how it should be said so that the answer is short and kind and true and what is not known is
not said as if it were known User Assistant USER ASSISTANT Instruction Response system model date Today Cutting SYS
INST you are a helpful one and this is that with more words for the merging of pieces here there when then"""
MERGES = 150

SYSTEM = " Be brief,\nand kind. "
TURNS = (
    ("What is the weather like?", "It is sunny.\nAnd warm."),
    ("  and tomorrow? ", " Rain, they say;  12 degrees "),
    ("\nCaf\u00e9 or na\u00efve: \u2615 \u65e5\u672c?", "<think>\nHm, \u2615.\n</think>\n\nBoth are right."),
    ("def f(x):\n    return x  # {text}\n\n", "It returns x.\n\n"),
    ("[INSTRUCTION] <user> 'it''s' 1234567", "I see: ok"),
)


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer of ours, as GGUF and as `tokenizers` has it."""

    name: str
    byte_level: bool
    markers: tuple[str, ...]
    space_before: bool = True

    @property
    def special(self) -> tuple[str, ...]:
        return (UNK, BOS, EOS, *self.markers, *(THOUGHTS if self.markers else ()))


VOCABULARIES = {
    each.name: each
    for each in (
        Vocabulary("bpe", True, MARKERS + DEEPSEEK),
        Vocabulary("spm", False, MARKERS),
        Vocabulary("spm-plain", False, ()),
        Vocabulary("spm-nospace", False, MARKERS, space_before=False),
    )
}
# Where models of these families have other vocabularies than byte-level BPE, those; else that and one more.
TRIED = {
    "chatml": ("bpe", "spm", "spm-nospace"),
    "llama2": ("spm-plain", "spm-nospace"),
    "zephyr": ("spm-plain", "bpe"),
    "mistral": ("spm-plain", "bpe"),
    "mistral-v1": ("spm-plain",),
    "mistral-v3": ("spm", "spm-plain"),
    "gemma": ("spm-nospace", "bpe"),
    "phi3": ("spm", "bpe"),
    "vicuna": ("spm-plain", "bpe"),
    "alpaca": ("spm-plain", "bpe"),
}


def merges_of(words: list[list[str]], count: int) -> list[tuple[str, str]]:
    """The pairs that byte pair encoding joins, the most frequent first; of equals the first in the alphabet."""
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = [best[0] + best[1]]
                at += 1
    return merges


def entries_of(vocabulary: Vocabulary) -> tuple[list[str], list[tuple[str, str]], int]:
    """Tokens, merges, and how many tokens come before what the merges made."""
    blank = "\u0120" if vocabulary.byte_level else BLOCK
    words = [list(blank + word) for word in CORPUS.split()]
    letters = sorted({letter for word in words for letter in word})
    merges = merges_of(words, MERGES)
    if vocabulary.byte_level:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokens = [*vocabulary.special, *letters]
    else:
        tokens = [*vocabulary.special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    first = len(tokens)
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    return tokens, merges, first


def hugging_face(vocabulary: Vocabulary, family: str) -> Any:
    tokens, merges, first = entries_of(vocabulary)
    ids = {token: i for i, token in enumerate(tokens)}
    if vocabulary.byte_level:
        tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        # sentencepiece joins whatever makes a piece, the earliest piece first.
        splits = [
            (piece[:at], piece[at:])
            for piece in tokens[first:]
            for at in range(1, len(piece))
            if piece[:at] in ids and piece[at:] in ids
        ]
        tokenizer = Tokenizer(models.BPE(vocab=ids, merges=splits, unk_token=UNK, fuse_unk=True, byte_fallback=True))
        replace = normalizers.Replace(" ", BLOCK)
        tokenizer.normalizer = (
            normalizers.Sequence([normalizers.Prepend(BLOCK), replace]) if vocabulary.space_before else replace
        )
    swallowing = SWALLOWING if family == "phi3" else ()
    tokenizer.add_special_tokens(
        [
            AddedToken(name, special=True, normalized=False, rstrip=name in swallowing)
            for name in vocabulary.special
            if name not in THOUGHTS
        ]
    )
    if vocabulary.markers:
        tokenizer.add_tokens([AddedToken(name, normalized=False) for name in THOUGHTS])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, unk_token=UNK)
    wrapped.chat_template = TEMPLATES[family]
    return wrapped


def write_gguf(vocabulary: Vocabulary, path: Path) -> None:
    tokens, merges, first = entries_of(vocabulary)
    types = []
    for i, token in enumerate(tokens):
        if token in THOUGHTS:
            types.append(gguf.TokenType.USER_DEFINED)
        elif i < len(vocabulary.special):
            types.append(gguf.TokenType.UNKNOWN if token == UNK else gguf.TokenType.CONTROL)
        else:
            is_byte = not vocabulary.byte_level and token.startswith("<0x")
            types.append(gguf.TokenType.BYTE if is_byte else gguf.TokenType.NORMAL)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2" if vocabulary.byte_level else "llama")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if vocabulary.byte_level:
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges([f"{left} {right}" for left, right in merges])
    else:
        # Letters last: nothing is joined into one.
        writer.add_token_scores([float(first - i) if i >= first else -1e4 for i in range(len(tokens))])
        writer.add_add_space_prefix(vocabulary.space_before)
    for index, add in enumerate((writer.add_unk_token_id, writer.add_bos_token_id, writer.add_eos_token_id)):
        add(index)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def conversations() -> list[list[dict[str, str]]]:
    """Of 1, 2 and 5 turns, without and with a system prompt, the last turn without its answer."""
    result = []
    for turns in (1, 2, 5):
        messages = []
        for user, answer in TURNS[:turns]:
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
        for system in ([], [{"role": "system", "content": SYSTEM}]):
            result.append(system + messages[:-1])
    return result


def main() -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for vocabulary in VOCABULARIES.values():
        write_gguf(vocabulary, OUTPUT / f"{vocabulary.name}.gguf")
    families: dict[str, Any] = {}
    for family, text in TEMPLATES.items():
        ids = {}
        for name in TRIED.get(family, ("bpe",)):
            tokenizer = hugging_face(VOCABULARIES[name], family)
            ids[name] = [
                tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
                for messages in conversations()
            ]
        families[family] = {"template": text, "ids": ids}
    lines = [
        f'"conversations": {json.dumps(conversations(), ensure_ascii=False)}',
        *(
            f"{json.dumps(family)}: {json.dumps(case, ensure_ascii=False, separators=(',', ':'))}"
            for family, case in families.items()
        ),
    ]
    (OUTPUT / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
