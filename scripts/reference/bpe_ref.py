# SPDX-License-Identifier: MIT
"""Synthetic vocabularies for byte-level BPE, as GPT-2 spells them: a letter for each byte, and merges of any number."""

from __future__ import annotations

import string

from reference.spm_ref import MERGES

Pair = tuple[str, str]


def byte_letters() -> list[str]:
    """GPT-2's letter for each byte, in the order of its vocabulary: printable bytes, then the others from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [*map(chr, printable), *(chr(0x100 + i) for i in range(256 - len(printable)))]


def english_merges() -> list[Pair]:
    """Those of spm_ref.py, each as a pair that is there before it."""
    known = set(byte_letters())
    pairs = []
    for piece in (merge.replace(" ", "Ġ") for merge in MERGES):
        pairs.append(next((piece[:i], piece[i:]) for i in range(1, len(piece)) if {piece[:i], piece[i:]} <= known))
        known.add(piece)
    return pairs


def synthetic_merges(count: int) -> list[Pair]:
    """The English ones, then every earlier piece prolonged by a lower-case letter, breadth first."""
    pairs = english_merges()
    known = {left + right for left, right in pairs}
    queue = ["Ġ", *string.ascii_lowercase]
    for stem in queue:
        if len(pairs) >= count:
            break
        for letter in string.ascii_lowercase:
            if stem + letter not in known:
                known.add(stem + letter)
                pairs.append((stem, letter))
            queue.append(stem + letter)
    return pairs[:count]
