# SPDX-License-Identifier: MIT
"""The host tool build/host/llmk from its command line: texts, ids, tokens, logits, figures and refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from reference.llama2c_format import HEADER_FIELDS, read_model
from support import (
    GOLDEN,
    KERNELS,
    Tool,
    llama_spm_vectors,
    tiny_reference,
)

TINY = GOLDEN / "tiny_v0_shared.bin"


def ids_of(output: bytes) -> list[int]:
    return [int(word) for word in output.split()]


# --- generate ---------------------------------------------------------------------------------------------------------


def generate(llmk: Tool, *options: str) -> bytes:
    result = llmk("generate", "-m", TINY, *options)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def test_a_seed_makes_the_text(llmk: Tool) -> None:
    first = generate(llmk, "-p", "the hat", "--seed", "7", "--ids", "-n", "60")
    assert generate(llmk, "-p", "the hat", "--seed", "7", "--ids", "-n", "60") == first
    assert generate(llmk, "-p", "the hat", "--seed", "8", "--ids", "-n", "60") != first


def test_defaults_are_those_of_run_c(llmk: Tool) -> None:
    plain = generate(llmk, "-p", "the hat", "--seed", "7", "--ids")
    spelled = ["-n", "256", "--temp", "1.0", "--top-p", "0.9"]
    assert generate(llmk, "-p", "the hat", "--seed", "7", "--ids", *spelled) == plain


def test_steps_end_with_the_context(llmk: Tool) -> None:
    expected = tiny_reference("tiny_mha")  # its seq_len is the number of its golden steps
    result = llmk("generate", "-m", expected.model, "-n", "1000", "--temp", "0", "--ids")
    assert result.returncode == 0, result.stderr.decode()
    assert ids_of(result.stdout) == expected.ids


def test_the_prompt_is_part_of_the_text(llmk: Tool) -> None:
    assert generate(llmk, "-p", "the hat", "--temp", "0", "-n", "20").startswith(b"the hat")


def test_another_tokenizer_can_be_named(llmk: Tool, tmp_path: Path) -> None:
    model = tmp_path / "alone.bin"
    model.write_bytes(TINY.read_bytes())
    options = ["-p", "the hat", "--temp", "0", "-n", "20"]
    assert llmk("generate", "-m", model, *options).returncode == 1
    result = llmk("generate", "-m", model, "--tokenizer", TINY.with_suffix(".tok.bin"), *options)
    assert result.stdout == generate(llmk, *options)


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_of_a_prompt(llmk: Tool) -> None:
    expected = tiny_reference("tiny_v1")
    result = llmk("tokens", "-m", expected.model, "-p", expected.prompt)
    assert (result.returncode, ids_of(result.stdout)) == (0, expected.prompt_ids)
    assert re.fullmatch(rb"\d+( \d+)*\n?", result.stdout)


def test_tokens_of_standard_input_byte_for_byte(llmk: Tool) -> None:
    expected = tiny_reference("tiny_v1")
    result = llmk("tokens", "-m", expected.model, stdin=expected.prompt.encode())
    assert (result.returncode, ids_of(result.stdout)) == (0, expected.prompt_ids)
    # A line end is text too: byte token 3 + 10 follows.
    result = llmk("tokens", "-m", expected.model, stdin=expected.prompt.encode() + b"\n")
    assert ids_of(result.stdout) == [*expected.prompt_ids, 13]


def test_tokens_without_bos_from_a_tokenizer_alone(llmk: Tool) -> None:
    expected = tiny_reference("tiny_v1")
    tokenizer = expected.model.with_suffix(".tok.bin")
    result = llmk("tokens", "--tokenizer", tokenizer, "--no-bos", "-p", expected.prompt)
    assert (result.returncode, ids_of(result.stdout)) == (0, expected.prompt_ids[1:])


def test_many_texts_parted_by_nul(llmk_checked: Tool) -> None:
    expected = tiny_reference("tiny_v1")
    prompt = expected.prompt.encode()
    tokens = ("tokens", "-m", expected.model, "--null")
    result = llmk_checked(*tokens, stdin=b"\0".join([prompt, b"", prompt + b"\n", prompt]))
    assert result.returncode == 0, result.stderr.decode()
    lines = [ids_of(line) for line in result.stdout.split(b"\n")]
    assert lines == [expected.prompt_ids, [1], [*expected.prompt_ids, 13], expected.prompt_ids, []]
    # A NUL that ends the last text starts no other.
    assert llmk_checked(*tokens, stdin=prompt + b"\0").stdout == llmk_checked(*tokens, stdin=prompt).stdout
    assert llmk_checked(*tokens, stdin=b"").stdout == b""
    refused = llmk_checked(*tokens, "-p", "x")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"--null reads texts from standard input" in refused.stderr


@pytest.mark.parametrize("number", range(47))
def test_llama_spm_vectors(number: int, llmk: Tool, assets_dir: Path) -> None:
    vector = llama_spm_vectors()[number]
    tokenizer = assets_dir / "tokenizers/llama2_tokenizer.bin"
    result = llmk("tokens", "--tokenizer", tokenizer, "--no-bos", stdin=vector.text.encode())
    assert (result.returncode, ids_of(result.stdout)) == (0, vector.ids), vector.text


# --- info, bench ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny_v0_separate", "tiny_v1", "tiny_v2_gs32"])
def test_info_holds_every_number_of_the_header(name: str, llmk: Tool) -> None:
    model = GOLDEN / f"{name}.bin"
    result = llmk("info", "-m", model)
    assert result.returncode == 0, result.stderr.decode()
    config, _ = read_model(model)
    for field in HEADER_FIELDS:
        assert re.search(rf"\b{getattr(config, field)}\b", result.stdout.decode()), field


def test_bench_prints_one_json_object_a_line(llmk: Tool, kernels: str) -> None:
    options = ["-p", "16", "-n", "8", "-t", "1", "-r", "2", "--json", "--kernels", kernels]
    result = llmk("bench", "-m", TINY, *options)
    assert result.returncode == 0, result.stderr.decode()
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines
    for line in lines:
        assert Path(line["model"]).name == TINY.name
        assert (line["kernels"], line["threads"]) == (kernels, 1)
        assert isinstance(line["type"], str)
        # The file, or its tensors alone: as much as a token reads.
        assert 0 < line["model_bytes"] <= TINY.stat().st_size
        for speed in ("prefill_tok_s", "decode_tok_s", "read_gb_s", "read_share"):
            assert line[speed] > 0, speed


def test_bench_of_one_run_holds_decode_against_what_was_read(llmk: Tool) -> None:
    result = llmk("bench", "-m", TINY, "-p", "4", "-n", "8", "-t", "1", "-r", "1", "--json")
    assert result.returncode == 0, result.stderr.decode()
    line = json.loads(result.stdout)
    bytes_per_token = line["model_bytes"] + line["cache_bytes"]
    share = line["decode_tok_s"] * bytes_per_token / (line["read_gb_s"] * 1e9)
    assert share == pytest.approx(line["read_share"], rel=0.05)


def test_bench_behind_a_context(llmk: Tool) -> None:
    options = ["-p", "0", "-n", "8", "-r", "1", "--json", "--context"]
    read = []
    for context in (0, 20, 40):
        result = llmk("bench", "-m", TINY, *options, context)
        assert result.returncode == 0, result.stderr.decode()
        line = json.loads(result.stdout)
        assert line["context"] == context
        read.append(line["cache_bytes"])
    assert read[2] - read[1] == read[1] - read[0] > 0
    result = llmk("bench", "-m", TINY, *options, 57)
    assert result.returncode == 1
    assert b"--context, -p and -n: 57, 0 and 8 tokens together do not fit the context of 64" in result.stderr


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSED = {
    "no such file": ["generate", "-m", "no-such-file.bin"],
    "unknown kernels": ["generate", "-m", str(TINY), "--kernels", "mmx"],
    "ids beyond the vocabulary": ["logits", "-m", str(TINY), "--ids", "1,280", "-o", "out.f32"],
    "ids that are no numbers": ["logits", "-m", str(TINY), "--ids", "1,x", "-o", "out.f32"],
    "output that cannot be written": ["logits", "-m", str(TINY), "--ids", "1", "-o", "no-such-folder/out.f32"],
    "a model as tokenizer": ["tokens", "--tokenizer", str(TINY), "-p", "x"],
}


@pytest.mark.parametrize("why", REFUSED)
def test_refusals_are_one_line_and_exit_code_1(why: str, llmk: Tool) -> None:
    result = llmk(*REFUSED[why])
    assert result.returncode == 1
    assert result.stdout == b""
    assert len(result.stderr.splitlines()) == 1, result.stderr.decode()


MISUSED = {
    "nothing": [],
    "unknown command": ["sing"],
    "unknown option": ["generate", "-m", str(TINY), "--loud"],
    "no model": ["generate"],
    "option without its value": ["generate", "-m"],
    "number that is none": ["generate", "-m", str(TINY), "-n", "many"],
    "logits without ids": ["logits", "-m", str(TINY), "-o", "out.f32"],
}


@pytest.mark.parametrize("how", MISUSED)
def test_misuse_is_an_error_on_standard_error(how: str, llmk: Tool) -> None:
    result = llmk(*MISUSED[how])
    assert result.returncode in (1, 2)
    assert result.stdout == b""
    assert result.stderr


def test_help(llmk: Tool) -> None:
    result = llmk("--help")
    assert result.returncode == 0
    for command in (b"generate", b"tokens", b"logits", b"info", b"bench", b"repl"):
        assert command in result.stdout


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_work_or_are_refused(llmk: Tool, cpu_kernels: list[str], name: str) -> None:
    result = llmk("generate", "-m", TINY, "--kernels", name, "-n", "1")
    if name in cpu_kernels:
        assert result.returncode == 0, result.stderr.decode()
    else:
        assert result.returncode == 1
        assert b"this CPU lacks" in result.stderr
