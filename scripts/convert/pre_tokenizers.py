# SPDX-License-Identifier: MIT
"""Which of GGUF's `tokenizer.ggml.pre` a tokenizer.json means, by the structure of its normalizer and pre-tokenizer.

The names are those of src/tokenizer/pretokenize.cpp. Several stand for the same cuts; then the one is taken that
llama.cpp's converter gives the best-known model of that kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.errors import ConvertError

KNOWN = tuple(
    "default gpt-2 llama-bpe qwen2 stablelm2 gpt-4o tekken smollm starcoder refact command-r falcon mpt olmo "
    "deepseek-coder deepseek-llm".split()
)

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
ENDING = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + ENDING
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + ENDING
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
SLASH_ENDING = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = f"{LEAD}{UPPER}*{LOWER}+{CONTRACTIONS}?|{LEAD}{UPPER}+{LOWER}*{CONTRACTIONS}?|" + r"\p{N}{1,3}|" + SLASH_ENDING
TEKKEN = f"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*|" + r"\p{N}|" + SLASH_ENDING

BYTES = "bytes"
WORDS = "gpt-2 words, bytes"
DIGITS = "each digit"
NUMBERS = "runs of digits"
# Pre-tokenizers one after the other: a regular expression by itself, others in the words of `steps`.
STRUCTURES: dict[tuple[str, ...], str] = {
    (WORDS,): "gpt-2",
    (GPT2, BYTES): "gpt-2",
    (DIGITS, WORDS): "smollm",
    (LLAMA3, BYTES): "llama-bpe",
    (QWEN2, BYTES): "stablelm2",
    (GPT4O, BYTES): "gpt-4o",
    (TEKKEN, BYTES): "tekken",
    ("punctuation", WORDS, NUMBERS, "[0-9][0-9][0-9]"): "falcon",
    (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", DIGITS, BYTES): "deepseek-coder",
}
# deepseek-llm lists the letters with case one by one; this is how that expression starts.
DEEPSEEK_LLM_LETTERS = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺ"
# The names of those that put a text into form C before they cut it so.
NFC_NAMES = {"gpt-2": "mpt", "smollm": "command-r", "stablelm2": "qwen2"}


def split_step(step: dict[str, Any]) -> str:
    pattern = step.get("pattern", {})
    text = str(pattern.get("Regex", pattern.get("String", "")))
    # "Removed" with "invert" keeps the matches, as "Isolated" does; they differ in what lies between matches.
    isolated = step.get("behavior") == "Isolated" and not step.get("invert", False)
    inverted = step.get("behavior") == "Removed" and step.get("invert", False)
    return text if isolated or inverted else f"Split with {step.get('behavior')}"


def steps(pre_tokenizer: object) -> list[str]:
    """A pre-tokenizer of tokenizer.json in this file's words, a Sequence as its parts."""
    if not isinstance(pre_tokenizer, dict):
        return []
    kind = pre_tokenizer.get("type")
    if kind == "Sequence":
        return [step for part in pre_tokenizer.get("pretokenizers", []) for step in steps(part)]
    if kind == "ByteLevel":
        return [WORDS if pre_tokenizer.get("use_regex", True) else BYTES]
    if kind == "Digits":
        return [DIGITS if pre_tokenizer.get("individual_digits") else NUMBERS]
    if kind == "Punctuation":
        contiguous = pre_tokenizer.get("behavior") == "Contiguous"
        return ["punctuation" if contiguous else f"Punctuation with {pre_tokenizer.get('behavior')}"]
    if kind == "Split":
        return [split_step(pre_tokenizer)]
    return [str(kind)]


def normalizers(normalizer: object) -> list[str]:
    """The kinds of a normalizer's parts."""
    if not isinstance(normalizer, dict):
        return []
    if normalizer.get("type") == "Sequence":
        return [kind for part in normalizer.get("normalizers", []) for kind in normalizers(part)]
    return [str(normalizer.get("type"))]


def is_deepseek_llm(found: list[str]) -> bool:
    return len(found) > 1 and found[0] == r"[\r\n]" and found[1].startswith(DEEPSEEK_LLM_LETTERS)


def recognise(path: Path, tokenizer: dict[str, Any]) -> str:
    """The name for a tokenizer.json's byte-level BPE."""
    found = steps(tokenizer.get("pre_tokenizer"))
    normalized = normalizers(tokenizer.get("normalizer"))
    name = "deepseek-llm" if is_deepseek_llm(found) else STRUCTURES.get(tuple(found))
    if name is None:
        raise ConvertError(
            f"{path}: 'pre_tokenizer' is none that is known: {' then '.join(found) or 'none'}; say --pre NAME if it "
            f"cuts texts as one of {', '.join(KNOWN)} does"
        )
    if normalized == ["NFC"] and name in NFC_NAMES:
        return NFC_NAMES[name]
    if normalized:
        raise ConvertError(
            f"{path}: 'normalizer' is {' then '.join(normalized)}, which GGUF has no key for with the pre-tokenizer "
            f"{name}; say --pre {name} to leave it out"
        )
    return name


def check_name(name: str) -> str:
    """A name that a person gave."""
    if name not in KNOWN:
        raise ConvertError(f"--pre {name}: known are {', '.join(KNOWN)}")
    return name
