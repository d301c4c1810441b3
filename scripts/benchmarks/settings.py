# SPDX-License-Identifier: MIT
"""What is measured: shapes, types, kernel sets, threads, at three sizes of the whole; and the models for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
FOLDER = BUILD / "bench"
LLMK = BUILD / "host/llmk"
LARGE_BYTES = 1 << 30
# Worst first. A new set of the program belongs here; the program says which of them this machine has.
SETS = ("scalar", "sse2", "avx2", "avx_vnni", "avx512", "avx512_vnni", "amx_int8", "amx_bf16")
TYPES = ("f32", "f16", "q8_0", "q4_0", "q4_k", "q6_k", "q4_k_m")
QUICK, DEFAULT, FULL = range(3)


@dataclass(frozen=True)
class Case:
    """A shape of scripts/make_shape_gguf.py, and what of it is worth the time."""

    shape: str
    context: int
    decode: int  # tokens of a run
    types: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]  # by size of the whole


CASES = {
    "15m": Case("stories-15m", 256, 128, (("f32", "q8_0"), ("f32", "q8_0"), ("f32", "f16", "q8_0", "q4_0"))),
    "110m": Case("stories-110m", 1024, 48, (("f32", "q8_0"), ("f32", "q8_0", "q4_k"), TYPES)),
    "gpt2": Case("gpt2-124m", 1024, 48, ((), ("f32", "f16"), TYPES)),
    "tinyllama": Case("tinyllama-1.1b", 2048, 16, ((), ("f32", "q8_0", "q4_0", "q4_k_m"), TYPES)),
}


@dataclass
class Settings:
    size: int = DEFAULT
    runs: int = 5
    shapes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    chosen_sets: tuple[str, ...] = ()
    chosen_threads: tuple[int, ...] = ()
    storage: tuple[str, ...] = ()
    prompts: tuple[int, ...] = ()
    peers: tuple[str, ...] = ()
    llama2c: Path | None = None

    def cases(self) -> Iterator[tuple[str, str]]:
        """(shape, type), the large ones last."""
        for name, case in CASES.items():
            chosen = name in self.shapes
            if self.shapes and not chosen:
                continue
            # A shape asked for by name has types at every size.
            kinds = case.types[max(self.size, DEFAULT) if chosen else self.size]
            all_kinds = case.types[FULL]
            yield from ((name, kind) for kind in ([k for k in all_kinds if k in self.types] if self.types else kinds))

    @cached_property
    def usable_sets(self) -> list[str]:
        """Those that this machine runs, the best last; scalar, which is there to be checked against, left out."""
        path = model("15m", "q8_0")
        return [name for name in SETS[1:] if _llmk_takes(path, name)]

    @property
    def best_set(self) -> str:
        return self.usable_sets[-1]

    def sets(self, shape: str, kind: str) -> list[str]:
        """The best and the one that most machines have; SSE2 where it does not take for ever."""
        if self.chosen_sets:
            return [name for name in self.usable_sets if name in self.chosen_sets]
        if self.size == FULL:
            return self.usable_sets
        small = shape in ("15m", "110m") and kind in ("f32", "q8_0")
        wanted = {self.best_set, "avx2", *(("sse2",) if small else ())}
        return [self.best_set] if self.size == QUICK else [name for name in self.usable_sets if name in wanted]

    @property
    def threads(self) -> list[int]:
        return list(self.chosen_threads) or sorted({1, min(os.cpu_count() or 1, 16)})


def _llmk_takes(path: Path, name: str) -> bool:
    return subprocess.run([LLMK, "info", "-m", path, "--kernels", name], capture_output=True).returncode == 0


class ProgramFailed(SystemExit):
    """Ends the run, unless somebody can do without that program; says what it said."""


def output_of(program: Path, *arguments: object) -> str:
    """What a program prints."""
    done = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise ProgramFailed(f"bench: {program.name} {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def run_script(name: str, *arguments: object) -> None:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def model(shape: str, kind: str) -> Path:
    """A GGUF file with random weights; made once, until tidy() removes it."""
    path = FOLDER / f"{CASES[shape].shape}-{kind}.gguf"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        run_script("make_shape_gguf.py", unfinished, "--shape", CASES[shape].shape, "--type", kind)
        unfinished.rename(path)
    return path


def llama2c_model(shape: str) -> Path:
    """The float32 model as run.c reads it, its tokenizer beside it."""
    path = FOLDER / f"{shape}.bin"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        run_script("make_shape_model.py", path, "--shape", shape)
    return path


def tidy() -> None:
    """Removes the models that take the most room."""
    for path in [*FOLDER.glob("*.gguf"), *FOLDER.glob("*.bin")]:
        with contextlib.suppress(OSError):
            if path.stat().st_size >= LARGE_BYTES:
                path.unlink()
