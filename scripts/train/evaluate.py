#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures a model: its loss on a text (loss), how it answers requests with two words (requests), its logits (logits).

The requests are made of nouns that stand together in a story of a text it was not trained on.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import sentencepiece
import torch
from reference.spm_ref import read_tokenizer
from tqdm import tqdm

from train.chat import IM_END, listed, pick_nouns
from train.checkpoint import load_model
from train.data import Conversation
from train.generate import Generator
from train.gguf_vocabulary import read_vocabulary
from train.llama2c_tokens import FastTokenizer
from train.model import Llama
from train.prepare import prepare
from train.score import score_text
from train.stories import NounFinder, clean, split_paragraphs

RUN_WORDS = 12
# A word that a request asks for is in at least this many training stories.
KNOWN_STORIES = 20


@dataclass(frozen=True)
class Result:
    """What came of a request."""

    words: list[str]
    request: str
    answer: str
    ended: bool

    @property
    def held(self) -> int:
        """How many of the words the answer holds, as they are or in the plural."""
        return sum(bool(re.search(rf"\b{word}(?:s|es)?\b", self.answer, re.I)) for word in self.words)


def training_stories(folder: Path | None, texts: list[Path], valid: Path) -> list[str]:
    """Those of a working folder; without one they are made of the text again."""
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            prepare(texts, valid, Path(made) / "stories")
            return training_stories(Path(made) / "stories", [], valid)
    stories = []
    for path in sorted(folder.glob("*.jsonl")):
        stories += [json.loads(line)["clean"] for line in path.read_text(encoding="utf-8").splitlines()]
    return stories


def word_pairs(training: Sequence[str], valid: str, count: int, seed: int) -> list[list[str]]:
    """Two nouns, with their articles, of each of `count` stories of the validation text."""
    rng = random.Random(seed)
    finder = NounFinder(training)
    in_stories: Counter[str] = Counter()
    for story in training:
        in_stories.update(set(re.findall("[a-z]+", story.lower())))
    pairs = []
    stories = split_paragraphs(valid)[1:]  # the first one may be cut
    rng.shuffle(stories)
    for story in stories:
        nouns = [n for n in finder.of(clean(story)) if in_stories[n[0].split()[-1]] >= KNOWN_STORIES and n[1] > 1]
        if len(nouns) >= 2:
            pairs.append(pick_nouns(nouns, 2, rng))
        if len(pairs) == count:
            break
    return pairs


def ask(
    model: Llama, tokenizer: sentencepiece.SentencePieceProcessor, nouns: list[str], args: argparse.Namespace, seed: int
) -> Result:
    request = f"Tell me a story about {listed(nouns)}."
    conversation = Conversation(tokenizer)
    conversation.say("user", request)
    ends = {tokenizer.piece_to_id(IM_END), tokenizer.eos_id()}
    prompt = [*conversation.ids, *conversation.opening()]
    said = Generator(model, seed).answer(prompt, ends, args.limit, args.temperature, args.top_p)
    ended = said[-1] in ends
    answer = tokenizer.decode(said[:-1] if ended else said)
    return Result([noun.split()[-1] for noun in nouns], request, answer, ended)


def runs(text: str) -> list[str]:
    words = re.findall(r"[a-z']+", text.lower())
    return [" ".join(words[at : at + RUN_WORDS]) for at in range(len(words) - RUN_WORDS + 1)]


def copied_share(answers: Sequence[str], training: Sequence[str]) -> float:
    """The share of the answers' runs of 12 words that stand in a training story."""
    made = [run for answer in answers for run in runs(answer)]
    wanted = set(made)
    known = {run for story in training for run in runs(story) if run in wanted}
    return sum(run in known for run in made) / max(1, len(made))


def load_tokenizer(model: Path, vocabulary: Path | None) -> sentencepiece.SentencePieceProcessor:
    """The vocabulary that is named, or the model file's own."""
    if vocabulary is not None:
        return sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    if model.suffix != ".gguf":
        raise SystemExit(f"{model} holds no vocabulary: name its own with --vocabulary")
    return read_vocabulary(model)


def encoder(model: Path, vocabulary: Path | None) -> tuple[Callable[[str], Sequence[int]], int, int]:
    """How a text becomes tokens, BOS, and the token that ends a story."""
    if vocabulary is not None and vocabulary.suffix == ".bin":
        # llama2.c's own models learn BOS behind a story.
        return FastTokenizer(read_tokenizer(vocabulary)).encode, 1, 1
    tokenizer = load_tokenizer(model, vocabulary)
    return tokenizer.encode, tokenizer.bos_id(), tokenizer.eos_id()


def measure_loss(args: argparse.Namespace) -> int:
    model = load_model(args.model)
    text = args.text.read_text(encoding="utf-8", errors="ignore")
    score = score_text(model, text, *encoder(args.model, args.vocabulary))
    print(f"parameters: {model.parameter_count()}")
    print(f"tokens: {score.tokens}, bytes: {score.size_bytes}")
    print(f"nats_a_token: {score.nats_a_token:.4f}")
    print(f"nats_a_byte: {score.nats_a_byte:.4f}")
    return 0


def measure_requests(args: argparse.Namespace) -> int:
    model = load_model(args.model)
    tokenizer = load_tokenizer(args.model, args.vocabulary)
    training = training_stories(args.stories, args.text_train, args.text)
    pairs = word_pairs(training, args.text.read_text(encoding="utf-8", errors="ignore"), args.count, args.seed)
    results = [
        ask(model, tokenizer, pair, args, args.seed * 1000 + number)
        for number, pair in enumerate(tqdm(pairs, desc="requests", unit="answer"))
    ]
    if args.show:
        for result in results:
            print(f"> {result.request}\n{result.answer}{'' if result.ended else ' [...]'}\n")
    both, one = sum(r.held == 2 for r in results), sum(r.held >= 1 for r in results)
    print(f"requests: {len(results)}, temperature {args.temperature}, top-p {args.top_p}")
    print(f"both_words: {both} ({both / len(results):.0%}), one_or_both: {one}")
    ended = sum(r.ended for r in results)
    print(f"ended_within_{args.limit}: {ended} ({ended / len(results):.0%})")
    print(f"copied_{RUN_WORDS}_word_runs: {copied_share([r.answer for r in results], training):.1%}")
    return 0


def write_logits(args: argparse.Namespace) -> int:
    """As the host tool's `llmk logits` does, to compare with it."""
    ids = torch.tensor([[int(number) for number in args.ids.split(",")]])
    with torch.no_grad():
        args.out.write_bytes(load_model(args.model)(ids)[0].numpy().astype("<f4").tobytes())
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    loss = commands.add_parser("loss", help="nats a token and a byte of a text")
    loss.set_defaults(run=measure_loss)
    requests = commands.add_parser("requests", help="answers to requests with two words")
    requests.set_defaults(run=measure_requests)
    logits = commands.add_parser("logits", help="float32, a row of vocab_size for each id")
    logits.set_defaults(run=write_logits)
    logits.add_argument("--ids", required=True, metavar="1,2,3", help="the tokens to run")
    logits.add_argument("--out", type=Path, required=True, help="the file to write")
    for command in (loss, requests, logits):
        command.add_argument("model", type=Path, help="a checkpoint, a GGUF file or a llama2.c file (v0, v1)")
    for command in (loss, requests):
        command.add_argument(
            "--vocabulary", type=Path, help="a sentencepiece model or llama2.c's (default: what the GGUF file holds)"
        )
        command.add_argument("--text", type=Path, required=True, help="text that the model was not trained on")
    training = requests.add_mutually_exclusive_group(required=True)
    training.add_argument("--stories", type=Path, help="the training stories: OUT/stories")
    training.add_argument("--text-train", type=Path, nargs="+", help="the text they were made of")
    requests.add_argument("--count", type=int, default=50, help="default: %(default)s")
    requests.add_argument("--temperature", type=float, default=0.8, help="default: %(default)s")
    requests.add_argument("--top-p", type=float, default=0.9, help="default: %(default)s")
    requests.add_argument("--limit", type=int, default=300, help="tokens of an answer (default: %(default)s)")
    requests.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    requests.add_argument("--show", action="store_true", help="print the answers too")
    return parser.parse_args()


def main() -> int:
    args = parse()
    return int(args.run(args))


if __name__ == "__main__":
    raise SystemExit(main())
