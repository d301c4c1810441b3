# SPDX-License-Identifier: MIT
"""Gives lower-cased text its capitals back, from what cased text of the same kind shows.

Counts say how often a word stands capitalised: after the word before it, behind each kind of sentence mark, and in the
middle of a sentence at all. Names that the cased text lacks come from the lower-cased text itself ("a boy named kofi").
Words in capitals throughout are not restored.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
NAMED = re.compile(r"\b(?:named|name was|name is|names were|mr\.|mrs\.|miss|dr\.) ([a-z]+)\b")
OPENING_QUOTES = '"“«‘'
CLOSING_QUOTES = '"”»’'
MIDDLE = "middle"
# Fewer sightings of a word in its place than this, and the place alone decides.
ENOUGH = 2


def contexts(text: str) -> Iterator[tuple[re.Match[str], str, str]]:
    """Each word with the kind of place it stands in, and the word before it in the same sentence ("" if none)."""
    previous, end, in_quote = "", 0, False
    for match in TOKEN.finditer(text):
        gap = text[end : match.start()]
        opened = False
        for mark in gap:
            if mark in OPENING_QUOTES + CLOSING_QUOTES:
                in_quote = not in_quote
                opened = in_quote
            elif mark == "\n":
                in_quote = opened = False
        yield match, place_of(gap, opened, first=end == 0), previous
        previous, end = match.group().lower().replace("’", "'"), match.end()


def place_of(gap: str, opened: bool, first: bool) -> str:
    if first or "\n" in gap:
        return "start"
    marks = "".join(mark for mark in gap if mark in ".!?,:;-")
    if opened:
        return "quote" + marks[-1:]
    closed = any(mark in CLOSING_QUOTES for mark in gap)
    if closed:
        return "closed" + marks[-1:]
    return marks[-1] if marks and marks[-1] in ".!?:" else MIDDLE


class TrueCaser:
    """Learns from cased texts, then restores lower-cased ones."""

    def __init__(self, cased: Iterable[str], lowercased: Iterable[str] = ()) -> None:
        self._pairs: defaultdict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
        self._words: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        self._placed: defaultdict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
        self._places: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        for text in cased:
            self._learn(text)
        named: Counter[str] = Counter(name for text in lowercased for name in NAMED.findall(text))
        self._names = {name for name, count in named.items() if not self._words[name][False]}

    def _learn(self, text: str) -> None:
        for match, place, previous in contexts(text):
            word = match.group()
            lower, capital = word.lower().replace("’", "'"), word[0].isupper()
            self._places[place][capital] += 1
            self._placed[place, lower][capital] += 1
            if place == MIDDLE:
                self._words[lower][capital] += 1
                self._pairs[previous, lower][capital] += 1

    def _is_capital(self, word: str, place: str, previous: str) -> bool:
        if place == MIDDLE:
            for seen in (self._pairs.get((previous, word)), self._words.get(word)):
                if seen and seen.total() >= ENOUGH:
                    return seen[True] > seen[False]
            return word in self._names
        seen = self._placed.get((place, word))
        if seen and seen.total() >= ENOUGH:
            return seen[True] > seen[False]
        anywhere = self._words.get(word, Counter())
        if word in self._names or anywhere[True] > anywhere[False]:
            return True
        seen = self._places.get(place, Counter())
        return seen[True] >= seen[False]

    def restore(self, text: str) -> str:
        pieces, end = [], 0
        for match, place, previous in contexts(text):
            word = match.group()
            pieces.append(text[end : match.start()])
            capital = self._is_capital(word.lower().replace("’", "'"), place, previous)
            pieces.append(word[0].upper() + word[1:] if capital else word)
            end = match.end()
        return "".join(pieces) + text[end:]


def accuracy(caser: TrueCaser, text: str) -> float:
    """The share of the words of a cased text that come back right after it was lower-cased."""
    words, restored = TOKEN.findall(text), TOKEN.findall(caser.restore(text.lower()))
    same = sum(a[0].isupper() == b[0].isupper() for a, b in zip(words, restored, strict=True))
    return same / max(1, len(words))
