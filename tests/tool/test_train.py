# SPDX-License-Identifier: MIT
"""scripts/train: a dry run of the whole way from text to a chat model, on stories made here; and the model we ship.

The dry run learns nothing worth reading. It shows that each step does its work, that a broken run goes on as if it had
not been, and that an exported model computes in the host tool what it computes in PyTorch.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, Tool, torch_python
from train.chat import IM_END, IM_START, TEMPLATE, Turn, listed, render, replace_noun
from train.stories import NounFinder, clean, repair, split_lines, split_marked, split_paragraphs, without_known
from train.truecase import TrueCaser, accuracy

SCRIPTS = ROOT / "scripts/train"
SHAPE = "--dim 64 --hidden-dim 96 --n-layers 2 --n-heads 4 --n-kv-heads 2 --seq-len 128".split()
TRAINING = "--epochs 3 --batch-tokens 512 --warmup 2 --log-every 1 --device cpu --precision float32 --threads 1".split()
VOCABULARY = 330
LAYERS = 2
FEW_STEPS, STEPS = 3, 6
IDS = [1, 3, 300, 301, 302, 4, 15, 290, 280, 270, 265, 1, 2]

NAMES = ("Kofi", "Ines", "Oskar", "Wanda", "Pavel", "Runa")
THINGS = ("kite", "boat", "drum", "lamp", "goat", "shell", "ladder", "pebble")
PLACES = ("hill", "harbour", "meadow", "bridge")


def story(rng: random.Random) -> str:
    name, friend = rng.sample(NAMES, 2)
    thing, other = rng.sample(THINGS, 2)
    place = rng.choice(PLACES)
    return (
        f"Once upon a time, a child named {name} had a {thing}. {name} took the {thing} to the {place}, and {friend} "
        f'came too.\n\n"May I hold it?" asked {friend}. "I have a {other}, and you may hold that." They sat on the '
        f"{place} and played.\n\n"
        f"When the sun went down, {name} had a {other} and {friend} had a {thing}. I think they were glad."
    )


def stories(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [story(rng) for _ in range(count)]


def marked(texts: list[str]) -> str:
    return "".join(f"{text}\n<|endoftext|>\n" for text in texts)


@dataclass(frozen=True)
class Run:
    """A finished dry run: its folder, and what each script said."""

    folder: Path
    said: dict[str, str]

    @property
    def vocabulary(self) -> Path:
        return self.folder / "work/vocabulary.model"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "work/last.pt"

    def losses(self, work: str = "work") -> list[tuple[int, float]]:
        lines = [json.loads(line) for line in (self.folder / work / "log.jsonl").read_text().splitlines()]
        return [(line["step"], line["loss"]) for line in lines if "loss" in line]


Script = Callable[..., str]


@pytest.fixture(scope="module")
def script() -> Script:
    """Runs a script of scripts/train with PyTorch's Python, and returns what it printed."""
    python = torch_python()
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}

    def run(name: str, *options: object) -> str:
        command = [str(python), str(SCRIPTS / name), *map(str, options)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="module")
def dry_run(script: Script, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Text to GGUF in one command, broken off after a few steps; then the same command again, for a few more."""
    folder = tmp_path_factory.mktemp("train")
    texts = {"cased.txt": marked(stories(60, 1)), "lower.txt": "\n".join(stories(40, 2)).lower()}
    texts["valid.txt"] = "\n\n".join(stories(5, 3))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    command: list[object] = ["--text", folder / "cased.txt", folder / "lower.txt", "--valid", folder / "valid.txt"]
    command += ["--work", folder / "work", "--out", folder / "model.gguf", "--vocab-size", VOCABULARY]
    said = {}
    for name, steps in (("first", FEW_STEPS), ("second", STEPS)):
        said[name] = script("make_default.py", *command, *SHAPE, *TRAINING, "--steps", steps)
    exports = [part for kind in ("f32", "f16", "q8_0") for part in ("--to", kind, folder / f"{kind}.gguf")]
    exports += [part for kind in ("v0", "v2") for part in ("--to", kind, folder / f"{kind}.bin")]
    vocabulary = ("--vocabulary", folder / "work/vocabulary.model")
    said["export"] = script("export.py", folder / "work/last.pt", *vocabulary, *exports, "--name", "Dry run")
    return Run(folder, said)


def test_what_is_there_is_not_made_again(dry_run: Run) -> None:
    for step in ("all there, nothing to do", "vocabulary.model: there already", "cased: encoded already"):
        assert step not in dry_run.said["first"]
        assert step in dry_run.said["second"]


def test_a_broken_training_goes_on_as_if_it_had_not_been(dry_run: Run, script: Script) -> None:
    assert f"goes on at epoch 1, step {FEW_STEPS}" in dry_run.said["second"]
    unbroken = dry_run.folder / "unbroken"
    unbroken.mkdir()
    for name in ("tokens", "vocabulary.model"):
        (unbroken / name).symlink_to(dry_run.folder / "work" / name)
    script("train.py", "--out", unbroken, *SHAPE, *TRAINING, "--steps", STEPS)
    losses = dry_run.losses()
    assert [step for step, _ in losses] == list(range(1, STEPS + 1))
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in dry_run.losses("unbroken")], abs=1e-5)
    assert losses[-1][1] < losses[0][1]


def test_a_loss_curve_is_drawn(dry_run: Run) -> None:
    assert (dry_run.folder / "work/loss.png").read_bytes().startswith(b"\x89PNG")
    assert "nats a byte" in dry_run.said["second"]


def test_the_host_tool_computes_what_pytorch_computes(dry_run: Run, script: Script, llmk: Tool) -> None:
    ids = ",".join(map(str, IDS))
    theirs = dry_run.folder / "torch.f32"
    script("evaluate.py", "logits", dry_run.checkpoint, "--ids", ids, "--out", theirs)
    expected = np.fromfile(theirs, "<f4").reshape(len(IDS), VOCABULARY)
    assert expected.std() > 0.01
    for name in ("f32.gguf", "v0.bin"):
        ours = dry_run.folder / f"{name}.f32"
        result = llmk("logits", "-m", dry_run.folder / name, "--ids", ids, "-o", ours)
        assert result.returncode == 0, result.stderr.decode()
        np.testing.assert_allclose(np.fromfile(ours, "<f4").reshape(expected.shape), expected, rtol=0, atol=1e-3)
    # Rounded weights: not the same, but near.
    for name in ("f16.gguf", "q8_0.gguf", "v2.bin"):
        ours = dry_run.folder / f"{name}.f32"
        result = llmk("logits", "-m", dry_run.folder / name, "--ids", ids, "-o", ours)
        assert result.returncode == 0, result.stderr.decode()
        np.testing.assert_allclose(np.fromfile(ours, "<f4").reshape(expected.shape), expected, rtol=0, atol=0.1)


def test_gguf_and_llama2c_say_the_same(dry_run: Run, llmk: Tool) -> None:
    said = []
    for name in ("f32.gguf", "v0.bin"):
        options = ["-p", "", "-n", "24", "--temp", "0", "--ids"]
        result = llmk("generate", "-m", dry_run.folder / name, *options)
        assert result.returncode == 0, result.stderr.decode()
        said.append(result.stdout)
    assert said[0] == said[1]
    assert len(said[0].split()) > 2


def test_the_vocabulary_is_the_same_on_both_sides(dry_run: Run, llmk: Tool, script: Script) -> None:
    for text in ("user\nTell me a story about a kite.", "assistant\nOnce upon a time, Kofi\n\n  sat.", 'é "x" 42\n'):
        expected = script("tokens.py", "--vocabulary", dry_run.vocabulary, "--text", text)
        result = llmk("tokens", "-m", dry_run.folder / "q8_0.gguf", "--no-bos", stdin=text.encode())
        assert result.stdout.split() == expected.encode().split()


def test_an_exported_file_says_what_it_is(dry_run: Run, llmk: Tool) -> None:
    said = llmk("info", "-m", dry_run.folder / "model.gguf").stdout.decode()
    for line in ("type: Q8_0", "kind: chat", f"vocab_size: {VOCABULARY}", "context_length: 128", "head_count_kv: 2"):
        assert re.search(rf"^{line}$", said, re.MULTILINE), line
    assert TEMPLATE.encode() in (dry_run.folder / "model.gguf").read_bytes()


def test_losses_and_requests_are_measured(dry_run: Run, script: Script) -> None:
    common = ("--vocabulary", dry_run.vocabulary, "--text", dry_run.folder / "valid.txt")
    said = script("evaluate.py", "loss", dry_run.folder / "q8_0.gguf", *common)
    size = (dry_run.folder / "valid.txt").stat().st_size
    assert f"bytes: {size}\n" in said
    token, byte = (float(re.search(rf"nats_a_{unit}: (\S+)", said)[1]) for unit in ("token", "byte"))  # type: ignore[index]
    assert 1 < token < 7
    assert 0.2 < byte < token
    requests = ("--stories", dry_run.folder / "work/stories", "--count", 3, "--limit", 12)
    said = script("evaluate.py", "requests", dry_run.checkpoint, *common, *requests)
    for line in ("requests: 3,", r"both_words: \d", r"ended_within_12: \d", r"copied_12_word_runs: \d"):
        assert re.search(rf"^{line}", said, re.MULTILINE), said


def test_a_download_is_cut_into_shards_once(tmp_path: Path, script: Script) -> None:
    source = tmp_path / "all.txt"
    source.write_text(marked(stories(30, 4)) + "This one is cut", encoding="utf-8")
    options = ("--from", source, "--out", tmp_path, "--shard-mib", 0.004)
    assert "0 written now" not in script("download.py", *options)
    shards = sorted((tmp_path / "text").glob("train-*.txt"))
    assert len(shards) > 1
    assert "".join(shard.read_text(encoding="utf-8") for shard in shards) == marked(stories(30, 4))
    shards[1].unlink()
    assert f"{len(shards)} shards, 1 written now" in script("download.py", *options)


def test_stories_are_cut_out_of_all_three_kinds_of_text() -> None:
    texts = stories(6, 5)
    assert split_marked(marked(texts) + "This one is cut") == texts
    assert split_lines("\n".join(texts)) == texts
    parts = split_paragraphs("\n\n".join(texts))
    assert "".join(parts) == "\n\n".join(texts)
    assert [part.removesuffix("\n\n") for part in parts] == texts


def test_a_story_that_is_known_is_left_out() -> None:
    texts = stories(4, 6)
    known = set[str]()
    assert without_known(texts[:2], known) == texts[:2]
    assert without_known([text.lower() for text in texts], known) == [text.lower() for text in texts[2:]]


def test_capitals_come_back() -> None:
    caser = TrueCaser(stories(30, 7), ["a child named zola sat."])
    text = stories(1, 8)[0]
    assert caser.restore(text.lower()) == text
    assert accuracy(caser, text) == 1
    assert caser.restore("once upon a time, i saw zola.") == "Once upon a time, I saw Zola."


def test_marks_are_repaired_and_made_plain() -> None:
    assert repair("â€œNoâ€\x9d, donâ€™t") == "“No”, don’t"
    assert clean("“No”,  don’t \n \nstop… ") == '"No", don\'t\n\nstop...'


def test_nouns_of_a_story() -> None:
    texts = stories(60, 9)
    nouns = [noun for noun, _ in NounFinder(texts).of(texts[0])]
    assert set(nouns) & {f"a {thing}" for thing in THINGS}
    assert listed(["a kite"]) == "a kite"
    assert listed(["a kite", "an owl", "snow"]) == "a kite, an owl and snow"


def test_a_noun_takes_the_place_of_another() -> None:
    text = "A tree stood there. An old tree, two trees, the treetop. Tree!"
    assert replace_noun(text, "tree", "owl") == "An owl stood there. An old owl, two owls, the treetop. Owl!"
    assert replace_noun("an owl saw owls", "owl", "bush") == "a bush saw bushes"


def test_a_conversation_is_rendered_as_the_template_says() -> None:
    turns = [Turn("user", "Hello"), Turn("assistant", "Hi!")]
    expected = f"{IM_START}user\nHello{IM_END}\n{IM_START}assistant\nHi!{IM_END}\n"
    assert render(turns) == expected
    assert render(turns, generate=True) == f"{expected}{IM_START}assistant\n"


MODEL = ROOT / "models/default.gguf"
CARD = ROOT / "models/README.md"


def test_the_default_model_is_what_its_card_says(llmk: Tool) -> None:
    size = MODEL.stat().st_size
    assert size <= 12_000_000
    said = llmk("info", "-m", MODEL).stdout.decode()
    facts = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    assert (facts["kind"], facts["type"], facts["context_length"]) == ("chat", "Q8_0", "512")
    card = CARD.read_text(encoding="utf-8")
    rows = {"parameters": facts["parameters"], "size": f"{size} bytes", "vocabulary": facts["vocab_size"]}
    rows |= {"layers": facts["block_count"], "width": facts["embedding_length"]}
    for name, value in rows.items():
        assert re.search(rf"^\| {name} \| {value}\b", card, re.MULTILINE), (name, value)


def test_the_default_model_holds_its_chat_template() -> None:
    data = MODEL.read_bytes()
    for text in (TEMPLATE, IM_START, IM_END, "tokenizer.ggml.eot_token_id", "CDLA-Sharing-1.0"):
        assert text.encode() in data


def test_the_default_model_tells_a_story(llmk: Tool) -> None:
    result = llmk("generate", "-m", MODEL, "-p", "Once upon a time", "-n", "60", "--temp", "0")
    assert result.returncode == 0, result.stderr.decode()
    assert re.match(r"Once upon a time,? there (was|were) [a-z ]+", result.stdout.decode())
