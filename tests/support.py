# SPDX-License-Identifier: MIT
"""What the Python tests share: where things are, the reference data outside the project, and how it is read."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/golden/data"
BUILD = ROOT / "build"
AVX512_FLAGS = frozenset({"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"})
# Each kernel set, best last, and the flags of /proc/cpuinfo that it needs.
KERNEL_FLAGS = {
    "scalar": frozenset[str](),
    "sse2": frozenset({"sse2"}),
    "avx2": frozenset({"avx2", "fma", "f16c"}),
    "avx_vnni": frozenset({"avx2", "fma", "f16c", "avx_vnni"}),
    "avx512": AVX512_FLAGS,
    "avx512_vnni": AVX512_FLAGS | {"avx512_vnni"},
    "amx_int8": AVX512_FLAGS | {"avx512_vnni", "amx_tile", "amx_int8"},
    "amx_bf16": AVX512_FLAGS | {"avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"},
}
KERNELS = tuple(KERNEL_FLAGS)
# Those that QEMU's emulation has: no AVX-512, no VNNI.
GUEST_KERNELS = tuple(name for name, flags in KERNEL_FLAGS.items() if not flags & {"avx512f", "avx_vnni"})
# Those that build/modelled/llmk has in instructions that need SSE2 only.
MODELLED_KERNELS = ("avx512", "avx512_vnni")

# Runs a program with these arguments; `stdin=` are the bytes that it reads.
Tool = Callable[..., "subprocess.CompletedProcess[bytes]"]
Float32Array = npt.NDArray[np.float32]


def assets() -> Path:
    """The folder of real models and references, named by LLMK_ASSETS; skips the test where it is not there."""
    folder = (ROOT / os.environ.get("LLMK_ASSETS", "../shared/assets")).resolve()
    if not folder.is_dir():
        pytest.skip("no assets: set LLMK_ASSETS to the folder of reference models")
    return folder


def built(path: str) -> Path:
    """A file that `make tests` builds. Without it the test fails: a run that proved nothing must not look green."""
    file = BUILD / path
    if not file.is_file():
        pytest.fail(f"build/{path} is missing: run `make tests`", pytrace=False)
    return file


def torch_python() -> Path:
    """A Python that has torch: LLMK_TORCH_PYTHON, or that of .venv-torch, which `make test` sets up."""
    named = os.environ.get("LLMK_TORCH_PYTHON")
    python = Path(named) if named else ROOT / ".venv-torch/bin/python"
    if not python.is_file():
        pytest.skip("no torch: scripts/setup.sh torch installs it, or LLMK_TORCH_PYTHON names a Python that has it")
    return python


@dataclass(frozen=True)
class Reference:
    """Greedy ids of a model, and the logits of the first positions; how to run it to get them."""

    model: Path
    prompt: str
    prompt_ids: list[int]
    ids: list[int]
    # llama2.c's count, with which the ids were made: each step makes one id after the first, and the step that makes
    # a BOS ends the text without it.
    steps: int
    logits: Float32Array
    is_int8: bool


# In the assets: reference (NAME.json, NAME.logits_first8.f32), and the model that it was made from.
ASSET_REFERENCES = {
    "stories260K": ("stories260K.empty", "llama2c/stories260K.bin"),
    "stories260K_v1": ("stories260K.empty", "llama2c/stories260K_v1_ak42.bin"),
    "stories260K_prompt": ("stories260K.prompt", "llama2c/stories260K.bin"),
    "babyllama": ("en10_tok361.empty", "llama2c/babyllama_tok361_970K.bin"),
    "stories260K_int8": ("stories260K_q80_gs4.empty", "llama2c/derived_stories260K_v2_q80_gs4.bin"),
    "babyllama_int8": ("en10_tok361_q80_gs32.empty", "llama2c/derived_babyllama_tok361_v2_q80_gs32.bin"),
}
# The same weights in a GGUF file must give the same.
GGUF_REFERENCES = {
    "stories260K_gguf": ("stories260K.empty", "gguf/stories260K.gguf"),
    "stories260K_gguf_prompt": ("stories260K.prompt", "gguf/stories260K.gguf"),
}
# Ours, in tests/golden/data.
TINY_MODELS = sorted(path.stem for path in GOLDEN.glob("tiny_*.json"))


def read_reference(values: Path, logits: Path, model: Path) -> Reference:
    data = json.loads(values.read_text(encoding="utf-8"))
    magic, version = np.fromfile(model, "<u4", 2)
    return Reference(
        model=model,
        prompt=data["prompt"],
        prompt_ids=data["prompt_ids"],
        ids=data["ids"],
        steps=data["steps"] if "steps" in data else len(data["max_logit_per_step"]),
        logits=np.fromfile(logits, "<f4").reshape(8, -1),
        is_int8=bool(magic == 0x616B3432 and version == 2),
    )


def asset_reference(name: str) -> Reference:
    stem, model = (ASSET_REFERENCES | GGUF_REFERENCES)[name]
    ref = assets() / "ref"
    return read_reference(ref / f"{stem}.json", ref / f"{stem}.logits_first8.f32", assets() / model)


def tiny_reference(name: str) -> Reference:
    return read_reference(GOLDEN / f"{name}.json", GOLDEN / f"{name}.logits.f32", GOLDEN / f"{name}.bin")


# Made with transformers, in tests/golden/data/arch.
ARCH_MODELS = sorted(path.stem for path in (GOLDEN / "arch").glob("*.json"))


@dataclass(frozen=True)
class ArchReference:
    """A tiny model of an architecture: its prompt, the logits there, and greedy ids with the prompt's before them."""

    model: Path
    prompt: str
    prompt_ids: list[int]
    ids: list[int]
    context: int
    logits: Float32Array


def arch_reference(name: str) -> ArchReference:
    folder = GOLDEN / "arch"
    data = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    logits = np.fromfile(folder / f"{name}.logits.f32", "<f4").reshape(len(data["prompt_ids"]), -1)
    model = folder / f"{name}.gguf"
    return ArchReference(model, data["prompt"], data["prompt_ids"], data["ids"], data["context"], logits)


@dataclass(frozen=True)
class Published:
    """A published text and llama2.c's options that made it, as the host tool spells them."""

    options: list[str]
    text: str

    @property
    def is_greedy(self) -> bool:
        return float(self.options[self.options.index("--temp") + 1]) == 0.0


OPTION_NAMES = {"-t": "--temp", "-p": "--top-p", "-s": "--seed", "-n": "-n", "-i": "-p"}


def published_texts() -> list[Published]:
    """The texts of stories260K.published.md. A section that "continues after N" holds only what follows N's text."""
    markdown = (assets() / "ref/stories260K.published.md").read_text(encoding="utf-8")
    texts: list[Published] = []
    for section in re.split(r"^## \d+\. ", markdown, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        command = re.search(r"`([^`]*)`", title[title.index(": `") :])
        assert command is not None, title
        words = shlex.split(command[1])
        options = ["-p", ""]
        for name, value in pairwise(words):
            if name == "-i":
                options[1] = value
            elif name in OPTION_NAMES:
                options += [OPTION_NAMES[name], value]
        text = body.rstrip("\n")
        if continued := re.search(r"continues after (\d+)", title):
            text = texts[int(continued[1]) - 1].text + text
        texts.append(Published(options, text))
    return texts


@dataclass(frozen=True)
class TokenVector:
    text: str
    ids: list[int]


# Vocabulary-only GGUF files that lie beside their vectors.
GGUF_VOCABULARIES = ("llama-spm", "gpt-2", "falcon", "mpt", "deepseek-coder")


def gguf_vocabulary(name: str) -> Path:
    return assets() / f"gguf/vocab/ggml-vocab-{name}.gguf"


def llama_spm_vectors() -> list[TokenVector]:
    """llama.cpp's test texts for the Llama 2 vocabulary, and their ids without BOS."""
    return gguf_vectors("llama-spm")


def gguf_vectors(name: str) -> list[TokenVector]:
    """llama.cpp's test texts for a vocabulary, and their ids without BOS."""
    stem = gguf_vocabulary(name)
    # Bytes: some of the texts are nothing but line ends.
    texts = stem.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = stem.with_suffix(".gguf.out").read_text(encoding="utf-8").split("\n")
    return [TokenVector(text, [int(i) for i in line.split()]) for text, line in zip(texts, lines, strict=True)]
