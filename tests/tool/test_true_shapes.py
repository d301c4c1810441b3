# SPDX-License-Identifier: MIT
"""Models of true shapes, with random weights, run in the memory that their size predicts: file + KV cache + 64 MiB."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import BUILD, ROOT, Tool, built

BESIDE_FILE_AND_KV = 64 << 20
CONTEXT = 128
STEPS = 6
# What a large model wants of this machine, in memory and on its disk.
LARGE_BYTES = 12 << 30
# Shape, type, bytes of a shard (FAT32 holds files below 4 GiB), whether it is large.
MODELS = {
    "gpt2_f32": ("gpt2-124m", "f32", "", False),
    "gpt2_f16": ("gpt2-124m", "f16", "", False),
    "gpt2_q4_k_m": ("gpt2-124m", "q4_k_m", "", False),
    "tinyllama_q4_0": ("tinyllama-1.1b", "q4_0", "", False),
    "tinyllama_q8_0": ("tinyllama-1.1b", "q8_0", "", True),
    "tinyllama_f32_in_two": ("tinyllama-1.1b", "f32", "4G", True),
}


@dataclass(frozen=True)
class Shaped:
    name: str
    files: list[Path]

    @property
    def size_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


def available_bytes() -> int:
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(r"^MemAvailable: +(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> Iterator[Shaped]:
    """Made for its tests, then removed: gigabytes."""
    name = str(request.param)
    shape, kind, split, large = MODELS[name]
    room = min(available_bytes(), shutil.disk_usage(ROOT).free)
    if large and room < LARGE_BYTES:
        pytest.skip(f"{room >> 30} GiB of memory or disk are free; {LARGE_BYTES >> 30} are wanted for a large model")
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        command = [sys.executable, "scripts/make_shape_gguf.py", f"{folder}/{name}.gguf"]
        command += ["--shape", shape, "--type", kind, *(["--split-max-size", split] if split else [])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        yield Shaped(name, sorted(Path(folder).iterdir()))


def planned(llmk: Tool, model: Shaped) -> dict[str, int]:
    """What the program means to take, by `llmk info`."""
    result = llmk("info", "-m", model.files[0], "--ctx", CONTEXT)
    assert result.returncode == 0, result.stderr.decode()
    found = re.search(r"^memory_bytes: (\d+) \(.*kv (\d+) for (\d+) positions", result.stdout.decode(), re.MULTILINE)
    assert found is not None, result.stdout.decode()
    assert int(found[3]) == CONTEXT
    return {"total": int(found[1]), "kv": int(found[2])}


# A process inherits the peak of the one that started it, and this one has grown by all the tests before: one in between
# has not.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def run_measured(arguments: list[str]) -> tuple[str, int]:
    """What the host tool printed, and the most memory it had at once, in bytes."""
    command = [sys.executable, "-c", MEASURE, str(built("host/llmk")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout, int(done.stderr) * 1024


def test_runs_in_the_memory_that_its_size_predicts(model: Shaped, llmk: Tool) -> None:
    plan = planned(llmk, model)
    room = model.size_bytes + plan["kv"] + BESIDE_FILE_AND_KV
    assert plan["total"] <= room
    options = ["--ctx", str(CONTEXT), "-p", "The hat", "-n", str(STEPS), "--temp", "0", "--ids"]
    text, peak = run_measured(["generate", "-m", str(model.files[0]), *options])
    # A token or more is said; random weights may say an end early.
    assert re.search(r"^\d+( \d+){2,}$", text, re.MULTILINE), text
    # The weights are read into memory, not mapped: less would mean that something else was measured.
    assert 0.9 * model.size_bytes <= peak <= room
    assert len(model.files) == (2 if model.name.endswith("in_two") else 1)
