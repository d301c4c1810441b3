# SPDX-License-Identifier: MIT
"""models/default.gguf as a story teller: its loss on text it was not trained on, and how it answers requests.

Measured with what a checkout has: the file, whose own vocabulary is used, and PyTorch. The text is TinyStories', from
the assets. The figures of the model card come from the same script.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from support import ROOT, Tool, assets, torch_python

MODEL = ROOT / "models/default.gguf"
EVALUATE = ROOT / "scripts/train/evaluate.py"
MAX_NATS_A_BYTE = 0.62
REQUESTS = 50
# glibc gives large blocks back at once, and takes them anew: without these half the time of a loss goes into that.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "2147483648"}


def valid_text() -> Path:
    return assets() / "text/tinystories-valid-head.txt"


def evaluate(*options: object) -> dict[str, str]:
    """The figures that the script prints, by their names."""
    environment = {**os.environ, **KEEP_MEMORY, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [str(torch_python()), str(EVALUATE), *map(str, options)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert result.returncode == 0, result.stderr
    return dict(line.split(": ", 1) for line in result.stdout.splitlines() if ": " in line)


def test_the_loss_is_low_and_below_that_of_stories260k() -> None:
    text = valid_text()
    llama2c = assets() / "llama2c"
    ours = evaluate("loss", MODEL, "--text", text)
    assert int(ours["tokens"].split("bytes: ")[1]) == text.stat().st_size
    assert float(ours["nats_a_byte"]) <= MAX_NATS_A_BYTE
    vocabulary = ("--vocabulary", llama2c / "tok512.bin")
    theirs = evaluate("loss", llama2c / "stories260K.bin", *vocabulary, "--text", text)
    assert int(theirs["tokens"].split("bytes: ")[1]) == text.stat().st_size
    assert float(ours["nats_a_byte"]) < float(theirs["nats_a_byte"])


def test_requests_are_answered() -> None:
    texts = sorted((assets() / "text").glob("tinystories-train-head*.txt"))
    if not texts:
        pytest.skip("the assets hold no text that the model was trained on")
    said = evaluate("requests", MODEL, "--text", valid_text(), "--text-train", *texts, "--count", REQUESTS)
    assert int(said["requests"].split(",")[0]) == REQUESTS
    assert said["requests"].split(",")[1] == " temperature 0.8"
    assert int(said["both_words"].split()[0]) >= 0.70 * REQUESTS
    assert int(said["ended_within_300"].split()[0]) >= 0.95 * REQUESTS
    assert float(said["copied_12_word_runs"].rstrip("%")) < 20


def test_the_scripts_read_the_vocabulary_as_the_host_tool_does(llmk: Tool) -> None:
    """So the loss above is that of the tokens which the program makes."""
    paragraphs = valid_text().read_text(encoding="utf-8", errors="ignore")[:50_000].split("\n\n")
    texts = [*paragraphs, "user\nTell me a story about a kite.", 'é "x" 42\n\n  日本 \U0001f600', "  two  blanks "]
    script = (
        "import sys; from pathlib import Path; from train.gguf_vocabulary import read_vocabulary\n"
        "tokenizer = read_vocabulary(Path(sys.argv[1]))\n"
        "for text in sys.stdin.buffer.read().decode().split('\\0')[:-1]: print(*tokenizer.encode(text))"
    )
    data = "".join(f"{text}\0" for text in texts).encode()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [str(torch_python()), "-c", script, str(MODEL)]
    expected = subprocess.run(command, input=data, capture_output=True, check=True, env=environment).stdout
    ours = llmk("tokens", "-m", MODEL, "--no-bos", "--null", stdin=data)
    assert ours.returncode == 0, ours.stderr.decode()
    assert len(re.findall(rb"\d+", expected)) > 10_000
    assert [line.split() for line in ours.stdout.splitlines()] == [line.split() for line in expected.splitlines()]
