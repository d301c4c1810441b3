# SPDX-License-Identifier: MIT
"""What a story is in a text file, how it is cleaned, and which of its nouns a request can name.

Knows text only: files of tokens are the matter of pretokenize.py.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from train.chat import with_article

END_OF_TEXT = "<|endoftext|>"
# UTF-8 read as Windows-1252 and saved again: the published files are full of it, some characters were lost at that.
MOJIBAKE = {
    "â€œ": "“", "â€™": "’", "â€˜": "‘", "â€“": "–", "â€”": "—", "â€¦": "…", "â€\x9d": "”", "â€": "”",
    "ã©": "é", "ã±": "ñ", "Ã©": "é", "Ã±": "ñ",
}  # fmt: skip
PUBLISHED = {"“": "â€œ", "”": "â€", "’": "â€™", "‘": "â€˜", "–": "â€“", "—": "â€”"}
PLAIN_MARKS = str.maketrans(
    {"“": '"', "”": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."}
)
# A story begins a paragraph with one of these; how the files without a mark between stories are cut.
OPENING = re.compile(r"once upon a time|(?:once|one|one day,?) there (?:was|were|lived)", re.I)
# So does one that brings in people, if the story before has come to some length.
INTRODUCTION = re.compile(
    r"There (?:was|were|lived)\b|[A-Z][a-z]+(?: and [A-Z][a-z]+)* (?:(?:like|love)[sd]? (?:to|\w+ing)\b|lived|had an? |"
    r"(?:was|were|are|is) (?:an?|the|twins|friends|best|playing|at|in|on|three|two|brothers?|sisters?|siblings)\b)"
)
SHORTEST_STORY = 400
# A block of a lower-cased file that is shorter than this continues the story before it.
SHORT_BLOCK = 150
# So is one that begins like this, and is no longer than that.
CONTINUATION = re.compile(
    r"[\"“]|(?:the|then|so|and|but|his|her|he|she|they|from|suddenly|after|when|in the end|finally|next|later|soon|"
    r"that|as) ",
    re.I,
)
SHORT_CONTINUATION = 450

FUNCTION_WORDS = frozenset(
    "and was is were are in on at to of with for had has that who said as but or so when because from by could would "
    "did can will came went ran saw got looked felt wanted liked loved made gave took fell started began asked "
    "together again too up down into behind near under over inside outside away out while then they he she it i".split()
)
DETERMINERS = frozenset("a an the her his their my your our its some".split())
# Nouns by their place in a sentence, but no subject of a story.
NO_SUBJECTS = frozenset(
    "day time one lot bit way end moment while thing things something nothing everything top side back front idea name "
    "other others rest first next same friend friends fun story moral lesson kind most best hand hands head face eyes "
    "minute minutes hour hours week morning afternoon evening night home place work help turn first second little good "
    "big new old happy sad inside outside all".split()
)
UNCOUNTED = frozenset("water sand rain snow milk sun moon sky grass food dirt mud wind air fur soil".split())
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[.,!?]")


@dataclass(frozen=True)
class Story:
    """`plain` as the source has it (capitals restored), `clean` as an answer should read, and the nouns to ask for."""

    plain: str
    clean: str
    nouns: list[tuple[str, float]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def letters(text: str) -> str:
    """What is left of a text to compare it by: capitals, marks and blanks do not count."""
    return re.sub("[^a-z]", "", text.lower())


def repair(text: str) -> str:
    for wrong, right in MOJIBAKE.items():
        text = text.replace(wrong, right)
    return text


def as_published(text: str) -> str:
    """The damage of `repair` again: a text to be met as it stands must have been seen as it stands."""
    for right, wrong in PUBLISHED.items():
        text = text.replace(right, wrong)
    return text


def clean(text: str) -> str:
    """Repaired, straight quotes, one blank line between paragraphs, no blanks at the ends of lines."""
    lines = [re.sub(r"\s+", " ", line).strip() for line in repair(text).translate(PLAIN_MARKS).split("\n")]
    return "\n\n".join(line for line in lines if line)


def spaced(text: str) -> str:
    """One blank line between paragraphs; blanks before it stay."""
    return re.sub(r"\n\s*", "\n\n", text.strip())


def split_marked(text: str) -> list[str]:
    """Stories with the end-of-text mark between them. What follows the last mark is cut off somewhere: dropped."""
    return [story for part in text.split(END_OF_TEXT)[:-1] if (story := part.strip())]


def split_lines(text: str) -> list[str]:
    """Stories with a single line break between them, and blank lines between their paragraphs."""
    stories: list[str] = []
    for block in re.split(r"(?<!\n)(?<!\n )\n(?!\s*\n)", text):
        limit = SHORT_CONTINUATION if CONTINUATION.match(block) else SHORT_BLOCK
        if stories and len(block) < limit:
            stories[-1] += "\n\n" + block.strip()
        elif block.strip():
            stories.append(block.strip())
    return stories


def split_paragraphs(text: str) -> list[str]:
    """Stories with nothing but blank lines between and within them: cut where a paragraph looks like the first of one.

    Nothing is lost: the pieces joined are the text."""
    cuts: list[int] = []
    for match in re.finditer(r"\n\n", text):
        begin, length = match.end(), match.end() - (cuts[-1] if cuts else 0)
        if OPENING.match(text, begin) or (length >= SHORTEST_STORY and INTRODUCTION.match(text, begin)):
            cuts.append(begin)
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if a < b]


def paragraph_keys(text: str) -> list[str]:
    return [key for line in text.split("\n") if len(key := letters(repair(line))) >= 40]


def without_known(stories: Iterable[str], known: set[str]) -> list[str]:
    """Those of which less than half is in `known` paragraphs already; adds theirs."""
    kept = []
    for story in stories:
        keys = paragraph_keys(story)
        if keys and sum(len(key) for key in keys if key in known) * 2 < sum(map(len, keys)):
            kept.append(story)
            known.update(keys)
    return kept


class NounFinder:
    """Tells nouns by where they stand: behind an article, with no noun behind them."""

    def __init__(self, stories: Sequence[str], min_count: int = 8, min_share: float = 0.35) -> None:
        total: Counter[str] = Counter()
        as_noun: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        definite: Counter[str] = Counter()
        self._in_stories: Counter[str] = Counter()
        for story in stories:
            words = WORD.findall(story.lower())
            total.update(words)
            self._in_stories.update(set(words))
            for before, word, after in zip(words, words[1:], words[2:], strict=False):
                if before in DETERMINERS and (after in FUNCTION_WORDS or after in ".,!?"):
                    as_noun[word] += 1
                    counted[word] += before in ("a", "an")
                    definite[word] += before == "the"
        self._stories = len(stories)
        self.nouns = (
            {
                word
                for word, count in as_noun.items()
                if count >= min_count and count >= min_share * total[word] and word.isalpha() and len(word) > 2
            }
            - NO_SUBJECTS
            - FUNCTION_WORDS
            - DETERMINERS
        )
        self._definite = {word for word in self.nouns if definite[word] * 2 > as_noun[word]}
        self.countable = {
            word
            for word in self.nouns - UNCOUNTED
            if not re.search("[^s]s$", word) and (total[f"{word}s"] >= 3 or counted[word] * 33 >= as_noun[word] > 0)
        }

    def near(self, stories: Iterable[str], count: int = 12, known: int = 20) -> dict[str, list[str]]:
        """To each noun of `known` stories or more those of its kind that stand most often between the same words.

        They have the article that a request gives them."""
        words = sorted(word for word in self.nouns if self._in_stories[word] >= known)
        around: dict[str, Counter[str]] = {word: Counter() for word in words}
        for story in stories:
            told = WORD.findall(story.lower())
            for before, word, after in zip(told, told[1:], told[2:], strict=False):
                if word in around:
                    around[word].update((f"{before} _", f"_ {after}"))
        length = {word: math.sqrt(sum(n for n in counts.values())) for word, counts in around.items()}
        # Square roots: the cosine of such vectors is how far two distributions overlap.
        roots = {word: {key: math.sqrt(n) for key, n in counts.items()} for word, counts in around.items()}

        def overlap(a: str, b: str) -> float:
            return sum(n * roots[b].get(key, 0) for key, n in roots[a].items()) / (length[a] * length[b])

        near = {}
        for word in words:
            alike = (other for other in words if other != word and self._kind(other) == self._kind(word))
            near[word] = [self.with_article(b) for b in sorted(alike, key=lambda b: -overlap(word, b))[:count]]
        return near

    def _kind(self, word: str) -> str:
        if word in self.countable:
            return "countable"
        return "plural" if re.search("[^s]s$", word) else "mass"

    def of(self, story: str) -> list[tuple[str, float]]:
        """The nouns that a request can name, with their article, and their weight: often here, seldom elsewhere."""
        counts = Counter(WORD.findall(story.lower()))
        found = []
        for word, count in counts.items():
            if word in self.nouns:
                weight = count * math.log(self._stories / self._in_stories[word])
                found.append((self.with_article(word), round(weight, 2)))
        return sorted(found, key=lambda item: -item[1])

    def with_article(self, word: str) -> str:
        if word not in self.countable:
            return f"the {word}" if word in self._definite else word
        return with_article(word)
