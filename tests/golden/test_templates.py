# SPDX-License-Identifier: MIT
"""Conversations rendered by the host tool have the ids of transformers' apply_chat_template.

Vocabularies, templates and ids are of scripts/reference/make_template_fixtures.py. The template stands in the file, so
that it is recognised too.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from support import GOLDEN, Tool

TEMPLATES = GOLDEN / "templates"
CASES: dict[str, Any] = json.loads((TEMPLATES / "cases.json").read_text(encoding="utf-8"))
CONVERSATIONS: list[list[dict[str, str]]] = CASES.pop("conversations")
TRIED = [(family, vocabulary) for family, case in CASES.items() for vocabulary in case["ids"]]


def with_template(vocabulary: bytes, template: str) -> bytes:
    """A GGUF file with one key more in front of the others."""
    count = struct.unpack_from("<Q", vocabulary, 16)[0]
    key, text = b"tokenizer.chat_template", template.encode()
    pair = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(text)) + text
    return vocabulary[:16] + struct.pack("<Q", count + 1) + pair + vocabulary[24:]


def as_text(messages: list[dict[str, str]]) -> str:
    return "".join(f"[{message['role']}]\n{message['content']}\n" for message in messages)


def model(tmp_path: Path, vocabulary: str, template: str) -> Path:
    path = tmp_path / f"{vocabulary}.gguf"
    path.write_bytes(with_template((TEMPLATES / f"{vocabulary}.gguf").read_bytes(), template))
    return path


@pytest.mark.parametrize(("family", "vocabulary"), TRIED)
def test_ids(llmk: Tool, tmp_path: Path, family: str, vocabulary: str) -> None:
    case = CASES[family]
    path = model(tmp_path, vocabulary, case["template"])
    info = llmk("info", "-m", path).stdout.decode()
    assert f"template: {family} (recognised in the file)" in info
    for messages, wanted in zip(CONVERSATIONS, case["ids"][vocabulary], strict=True):
        result = llmk("render", "-m", path, "--ids", stdin=as_text(messages).encode())
        assert result.returncode == 0, result.stderr
        ids = [int(word) for word in result.stdout.split()]
        shown = llmk("render", "-m", path, stdin=as_text(messages).encode()).stdout.decode()
        assert ids == wanted, shown


def test_tokens_parses_control_tokens_when_asked(llmk: Tool) -> None:
    path = TEMPLATES / "bpe.gguf"
    text = "<|im_start|>user"
    plain = llmk("tokens", "-m", path, "--no-bos", "-p", text).stdout.split()
    parsed = llmk("tokens", "-m", path, "--no-bos", "--parse-special", "-p", text).stdout.split()
    assert parsed[0] == b"3", "the first marker behind <unk>, <s>, </s>"
    assert b"3" not in plain
    assert len(parsed) < len(plain)


def test_default_model_form(llmk: Tool, tmp_path: Path) -> None:
    """ChatML in a SentencePiece vocabulary without a dummy prefix, BOS once: parts' tokens are those of the whole."""
    template = "{{ bos_token }}" + CASES["chatml"]["template"]
    path = model(tmp_path, "spm-nospace", template)
    talk = "[user]\nthe user\n[assistant]\nis there\n[user]\nwhat is it\n"
    ids = llmk("render", "-m", path, "--ids", stdin=talk.encode()).stdout.split()
    wanted = [b"1"]
    start, end = b"3", b"4"
    line = llmk("tokens", "-m", path, "--no-bos", "-p", "\n").stdout.strip()
    for role, text in (("user", "the user"), ("assistant", "is there"), ("user", "what is it"), ("assistant", None)):
        pieces = llmk("tokens", "-m", path, "--no-bos", "-p", role).stdout.split()
        wanted += [start, *pieces, line]
        if text is not None:
            wanted += [*llmk("tokens", "-m", path, "--no-bos", "-p", text).stdout.split(), end, line]
    assert ids == wanted


@pytest.mark.parametrize(
    ("options", "talk", "words"),
    [
        ([], "", "there is no message of a user"),
        ([], "[system]\nbe brief\n", "there is no message of a user"),
        ([], "[assistant]\nhello\n", "message 1 is [assistant], expected [user]"),
        ([], "[user]\na\n[user]\nb\n", "message 2 is [user], expected [assistant]"),
        ([], "[user]\na\n[system]\nb\n", "message 2 is [system], expected [assistant]"),
        (["--template", "chatnl"], "a", "there is no template 'chatnl'; known are auto, chatml, "),
    ],
)
def test_misuse(llmk: Tool, options: list[str], talk: str, words: str) -> None:
    result = llmk("render", "-m", TEMPLATES / "bpe.gguf", *options, stdin=talk.encode())
    assert result.returncode == 1
    assert words in result.stderr.decode()
    assert result.stdout == b""


def test_rendered_text(llmk: Tool) -> None:
    def render(*options: str, talk: str = "hello") -> str:
        return llmk("render", "-m", TEMPLATES / "spm.gguf", *options, stdin=talk.encode()).stdout.decode()

    assert render() == "hello\n", "the file has no template"
    assert render("--template", "gemma", "--system", "Be kind.") == (
        "<s><start_of_turn>user\nBe kind.\n\nhello<end_of_turn>\n<start_of_turn>model\n\n"
    )
    talk = "[system]\r\nBe kind.\n[user]\nhello\n\nyou\n[assistant]\nyes\n"
    assert render("--template", "zephyr", talk=talk) == (
        "<s><|system|>\nBe kind.</s>\n<|user|>\nhello\n\nyou</s>\n<|assistant|>\nyes</s>\n"
    )
    result = llmk("render", "-m", TEMPLATES / "spm.gguf", "--template", "llama2", "-p", "hello")
    assert result.stdout.decode() == "<s>[INST] hello [/INST]\n"
