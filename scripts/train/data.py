# SPDX-License-Identifier: MIT
"""Training examples: each epoch presents each story anew, as plain text or as the answer to a request.

An example is a row of ids and the targets of its positions; a negative target is not learned (what the user says). Rows
of like length share a batch, so that there is little padding and no text sees another one's.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencepiece
import torch

from train.chat import (
    CONTINUE,
    IM_END,
    IM_START,
    SMALL_TALK,
    SYSTEM,
    bare,
    choose_nouns,
    replace_noun,
    request,
)

Ids = npt.NDArray[np.uint16]
IGNORED = -1


@dataclass(frozen=True)
class Mix:
    """Shares of the forms a story is presented in; what is left is plain."""

    chat: float = 0.65
    two_turns: float = 0.08
    continuation: float = 0.05
    small_talk: float = 0.02
    system: float = 0.04
    # An answer is at most this long: nearly every one then ends before a chat's limit of tokens.
    longest_answer: int = 235
    # How often another noun takes the place of one that is asked for.
    swapped: float = 0.4
    # How much more than any other token the first mention of such a noun counts.
    mention: float = 10.0


class Stories:
    """From a working folder: the tokens of all stories, and to each noun those that may take its place."""

    def __init__(self, folder: Path) -> None:
        self.plain: list[Ids] = []
        self.clean: list[Ids] = []
        self.nouns: list[list[tuple[str, float]]] = []
        near = folder / "near.json"
        self.near: dict[str, list[str]] = json.loads(near.read_text(encoding="utf-8")) if near.is_file() else {}
        for path in sorted((folder / "tokens").glob("*.npz")):
            with np.load(path) as data:
                parts = np.split(data["ids"], data["ends"][:-1])
                self.nouns += [json.loads(line) for line in bytes(data["nouns"]).decode().split("\n")]
            self.plain += parts[0::2]
            self.clean += parts[1::2]
        if not self.plain:
            raise FileNotFoundError(f"no stories in {folder}")


@dataclass(frozen=True)
class Row:
    """What goes in, what is to come out at each position, and how much that counts."""

    ids: list[int]
    targets: list[int]
    weights: list[float]


def rows_of(ids: list[int], context: int) -> list[Row]:
    """A story in rows of the context; later rows begin with the half of the one before, which is not learned again."""
    rows = []
    for at in range(0, max(1, len(ids) - 1), context // 2):
        inputs, targets = ids[at : at + context], ids[at + 1 : at + 1 + context]
        known = context // 2 if at else 0
        rows.append(Row(inputs[: len(targets)], [IGNORED] * known + targets[known:], [1.0] * len(targets)))
        if at + context >= len(ids) - 1:
            break
    return rows


class Conversation:
    """Writes the ids of a conversation turn by turn, and how much each is to be learned."""

    def __init__(self, tokenizer: sentencepiece.SentencePieceProcessor) -> None:
        self._tokenizer = tokenizer
        self._start, self._end = (tokenizer.piece_to_id(piece) for piece in (IM_START, IM_END))
        self._newline = tokenizer.encode("\n")
        self.ids: list[int] = [tokenizer.bos_id()]
        self._weights: list[float] = [0]

    def _add(self, ids: Sequence[int], weights: Sequence[float]) -> None:
        self.ids.extend(ids)
        self._weights.extend(weights)

    def say(self, role: str, content: str) -> None:
        ids = [self._start, *self._tokenizer.encode(f"{role}\n{content}"), self._end, *self._newline]
        self._add(ids, [0] * len(ids))

    def opening(self) -> list[int]:
        """What stands in front of an answer."""
        return [self._start, *self._tokenizer.encode("assistant\n")]

    def answer(self, content: Sequence[int], weights: Sequence[float] = ()) -> None:
        opening = self.opening()
        self._add(opening, [0] * len(opening))
        self._add([*content, self._end], [*(weights or [1] * len(content)), 1])
        self._add(self._newline, [0])

    def row(self) -> Row:
        pairs = list(zip(self.ids[1:], self._weights[1:], strict=True))
        return Row(
            self.ids[:-1], [id_ if weight else IGNORED for id_, weight in pairs], [weight for _, weight in pairs]
        )


class Examples:
    """Makes the rows of an epoch; the same seed and epoch make the same."""

    def __init__(self, stories: Stories, vocabulary: Path, context: int, mix: Mix, seed: int) -> None:
        self._stories = stories
        self._tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
        self._context = context
        self._mix = mix
        self._seed = seed
        pieces = [self._tokenizer.id_to_piece(token) for token in range(self._tokenizer.vocab_size())]
        self._sizes = [
            1 if self._tokenizer.is_byte(token) else len(piece.replace("▁", " ").encode())
            for token, piece in enumerate(pieces)
        ]

    def _plain(self, story: Ids) -> Iterator[Row]:
        yield from rows_of([self._tokenizer.bos_id(), *story.tolist(), self._tokenizer.eos_id()], self._context)

    def _open(self, rng: random.Random) -> Conversation:
        conversation = Conversation(self._tokenizer)
        if rng.random() < self._mix.system:
            conversation.say("system", rng.choice(SYSTEM))
        return conversation

    def _swapped(self, text: str, nouns: list[str], rng: random.Random) -> tuple[str, list[str]]:
        """Other nouns in the place of some: then nothing but the request tells which to use."""
        taken = []
        for noun in nouns:
            near = self._stories.near.get(bare(noun), [])
            others = [other for other in near if not re.search(rf"\b{bare(other)}", text)]
            if others and rng.random() < self._mix.swapped:
                other = rng.choice(others)
                text, noun = replace_noun(text, bare(noun), bare(other)), other
            taken.append(noun)
        return text, taken

    def _weights(self, ids: list[int], text: str, nouns: list[str]) -> list[float]:
        """More for the tokens of the first mention of each noun that was asked for."""
        weights = [1.0] * len(ids)
        data = text.encode()
        for noun in nouns:
            mention = re.search(rf" ?\b{bare(noun)}(?:e?s)?\b".encode(), data, re.I)
            if mention is None:
                continue
            begin = 0
            for position, token in enumerate(ids):
                end = begin + self._sizes[token]
                if begin < mention.end() and end > mention.start():
                    weights[position] = self._mix.mention
                begin = end
        return weights

    def _tell(self, conversation: Conversation, story: int, rng: random.Random, again: bool = False) -> None:
        ids = self._stories.clean[story].tolist()
        text: str = self._tokenizer.decode(ids)
        nouns = choose_nouns(self._stories.nouns[story], rng)
        changed, nouns = self._swapped(text, nouns, rng)
        if changed != text:
            text, ids = changed, self._tokenizer.encode(changed)
        conversation.say("user", request(nouns, rng, again))
        conversation.answer(ids, self._weights(ids, text, nouns))

    def _continue(self, story: int, rng: random.Random) -> Conversation:
        conversation = self._open(rng)
        ids = self._stories.clean[story].tolist()
        cut = rng.randrange(4, max(5, min(40, len(ids) // 2)))
        conversation.say("user", rng.choice(CONTINUE).format(self._tokenizer.decode(ids[:cut])))
        conversation.answer(ids[cut:] if rng.random() < 0.5 else ids)
        return conversation

    def _small_talk(self, story: int, rng: random.Random) -> Conversation:
        conversation = self._open(rng)
        said, answer = rng.choice(SMALL_TALK)
        conversation.say("user", said)
        conversation.answer(self._tokenizer.encode(answer))
        self._tell(conversation, story, rng)
        return conversation

    def _present(self, story: int, other: int, rng: random.Random) -> Iterator[Row]:
        mix, kind = self._mix, rng.random()
        if len(self._stories.clean[story]) > mix.longest_answer or not self._stories.nouns[story]:
            yield from self._plain(self._stories.plain[story])
            return
        if (kind := kind - mix.small_talk) < 0:
            conversation = self._small_talk(story, rng)
        elif (kind := kind - mix.continuation) < 0:
            conversation = self._continue(story, rng)
        elif (kind := kind - mix.chat) < 0:
            conversation = self._open(rng)
            self._tell(conversation, story, rng)
            second_fits = len(conversation.ids) + len(self._stories.clean[other]) + 50 < self._context
            if kind > -mix.two_turns and second_fits and len(self._stories.clean[other]) <= mix.longest_answer:
                self._tell(conversation, other, rng, again=True)
        else:
            yield from self._plain(self._stories.plain[story])
            return
        row = conversation.row()
        if len(row.ids) <= self._context:
            yield row
        else:
            yield from self._plain(self._stories.plain[story])

    def epoch(self, number: int) -> list[Row]:
        rng = random.Random(self._seed * 1_000_003 + number)
        count = len(self._stories.plain)
        return [row for story in range(count) for row in self._present(story, rng.randrange(count), rng)]


@dataclass(frozen=True)
class Batch:
    """Rows of one width: (rows, width) each."""

    ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def batches(rows: list[Row], tokens: int, rng: random.Random, multiple: int = 16) -> list[Batch]:
    """Rows of like length together, about `tokens` a batch with its padding, in any order."""
    # The noise keeps the same stories from meeting each epoch.
    ordered = sorted(rows, key=lambda row: len(row.ids) + rng.uniform(0, multiple))
    groups: list[list[Row]] = [[]]
    for row in ordered:
        width = -(-len(row.ids) // multiple) * multiple
        if groups[-1] and (len(groups[-1]) + 1) * width > tokens:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    return [padded(group, multiple) for group in groups]


def padded(rows: Sequence[Row], multiple: int = 1) -> Batch:
    width = -(-max(len(row.ids) for row in rows) // multiple) * multiple
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    targets = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    weights = torch.zeros(len(rows), width)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = torch.tensor(row.ids)
        targets[number, : len(row.ids)] = torch.tensor(row.targets)
        weights[number, : len(row.ids)] = torch.tensor(row.weights)
    return Batch(ids, targets, weights)
