# SPDX-License-Identifier: MIT
"""Trained GPT-2 models of other people, converted by our converter: minGPT's gpt-nano-sort against the activations that
were published with it, and a nanoGPT checkpoint against greedy texts and logits of a float64 forward pass.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from checkpoints import safetensors_bytes, write_json
from support import ROOT, Tool, assets, torch_python

Floats = npt.NDArray[np.float32]
# Of the largest logit: some ten times what float32 needs, here and in the references.
TOLERANCE = 1e-5


def converted(python: Path | str, source: Path, output: Path, *options: object) -> Path:
    script = str(ROOT / "scripts/convert_models.py")
    command = [str(python), script, "--input", str(source), "--output", str(output), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


def logits(llmk: Tool, model: Path, ids: list[int], kernels: str, folder: Path, *flags: str) -> Floats:
    output = folder / "logits.f32"
    result = llmk(
        "logits",
        "-m",
        model,
        "--ids",
        ",".join(map(str, ids)),
        "-o",
        output,
        "--kernels",
        kernels,
        *flags,
        "--kv",
        "f32",
    )
    assert result.returncode == 0, result.stderr.decode()
    return np.fromfile(output, "<f4").reshape(len(ids), -1)


def relative(found: Floats, expected: npt.NDArray[Any]) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# --- gpt-nano-sort ----------------------------------------------------------------------------------------------------


def arrays(path: Path) -> dict[str, Floats]:
    """The tensors of llm-viz' JSON: shape, and float32 in base 64."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: np.frombuffer(base64.b64decode(entry["data"]), "<f4").reshape(entry["shape"])
        for name, entry in content.items()
        if "data" in entry
    }


@pytest.fixture(scope="module")
def nano_sort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as minGPT would leave it in a folder: weights, and a config.json of its own kind."""
    source = assets() / "gpt2/gpt-nano-sort-model.json"
    folder = tmp_path_factory.mktemp("gpt-nano-sort")
    (folder / "model.safetensors").write_bytes(safetensors_bytes({k: v.copy() for k, v in arrays(source).items()}))
    write_json(folder / "config.json", json.loads(source.read_text(encoding="utf-8"))["config"])
    write_json(folder / "meta.json", ["A", "B", "C"])
    return converted(sys.executable, folder, folder / "sort.gguf", "--model", "nanogpt")


@pytest.fixture(scope="module")
def published() -> dict[str, Floats]:
    return arrays(assets() / "gpt2/gpt-nano-sort-t0-partials.json")


@pytest.mark.parametrize("row", range(3))
def test_sort_against_its_published_logits(
    row: int, kernels: str, nano_sort: Path, published: dict[str, Floats], llmk: Tool, tmp_path: Path
) -> None:
    ids = published["idx"][row].astype(int).tolist()
    for flags in ([], ["--decode"]):
        found = logits(llmk, nano_sort, ids, kernels, tmp_path, *flags)
        assert relative(found, published["lm_head"][row]) <= TOLERANCE
    shifted = np.exp(found - found.max(-1, keepdims=True))
    assert np.abs(shifted / shifted.sum(-1, keepdims=True) - published["probs"][row]).max() <= TOLERANCE


def test_sort_keeps_the_published_activations(nano_sort: Path, published: dict[str, Floats]) -> None:
    """The file's tensors, one by one, between the activations before and after them."""
    t = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(nano_sort).tensors}

    def linear(name: str, x: Any) -> Any:
        return x @ t[f"{name}.weight"].T + t.get(f"{name}.bias", np.zeros(1, np.float32))

    def norm(name: str, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(1e-5))
        return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]

    p = published
    steps = {
        "tok_emb": t["token_embd.weight"][p["idx"].astype(int)],
        "pos_emb": t["position_embd.weight"][None],
        "ln1": norm("blk.0.attn_norm", p["x"]),
        "qkv": linear("blk.0.attn_qkv", p["ln1"]),
        "yProj": linear("blk.0.attn_output", p["y"]),
        "ln2": norm("blk.0.ffn_norm", p["attnResid"]),
        "fc": linear("blk.0.ffn_up", p["ln2"]),
        "gelu": p["fc"] / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (p["fc"] + 0.044715 * p["fc"] ** 3))),
        "mlp": linear("blk.0.ffn_down", p["gelu"]),
        "ln_f": norm("output_norm", p["block2"]),
        "lm_head": linear("output", p["ln_f"]),
    }
    for name, found in steps.items():
        assert relative(found, p[name]) <= 1e-5, name
    assert "gpt2.feed_forward.activation" not in gguf.GGUFReader(nano_sort).fields


def test_it_sorts(nano_sort: Path, llmk: Tool) -> None:
    """What it was trained for: six letters, and then the same in order."""
    for letters in ("CBABBC", "AACBCA", "BACCAB"):
        result = llmk("generate", "-m", nano_sort, "-p", letters, "-n", "11", "--temp", "0", "--ids")
        said = "".join("ABC"[int(word)] for word in result.stdout.split())
        assert said == letters + "".join(sorted(letters))[: len(said) - 6], result.stderr.decode()
        assert len(said) == 12


# --- micro-lm ---------------------------------------------------------------------------------------------------------


def micro_cases() -> dict[str, Any]:
    content = json.loads((assets() / "ref/micro-lm-base.greedy.json").read_text(encoding="utf-8"))
    return {name: case for name, case in content.items() if "|" in name}


@pytest.fixture(scope="module")
def micro_lm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint, with each GELU. Its configuration is an object of a class that is nowhere to be found."""
    folder = tmp_path_factory.mktemp("micro-lm")
    source = assets() / "gpt2/micro-lm-base.pth"
    options = ["--model", "nanogpt", "--vocab", source.with_name("micro-lm-base_bpe_tokenizer.json")]
    return {
        "erf": converted(torch_python(), source, folder / "erf.gguf", *options),
        "tanh": converted(torch_python(), source, folder / "tanh.gguf", *options, "--gelu", "tanh"),
    }


@pytest.mark.parametrize("gelu", ["erf", "tanh"])
def test_micro_lm(gelu: str, kernels: str, micro_lm: dict[str, Path], llmk: Tool, tmp_path: Path) -> None:
    cases = {name.partition("|")[2]: case for name, case in micro_cases().items() if name.startswith(gelu)}
    assert len(cases) == 2
    for prompt, case in cases.items():
        steps = str(len(case["ids"]) - 1)
        command = ["generate", "-m", micro_lm[gelu], "-p", prompt, "-n", steps, "--temp", "0", "--kernels", kernels]
        result = llmk(*command, "--ids")
        assert [int(word) for word in result.stdout.split()] == case["ids"], result.stderr.decode()
        assert llmk(*command).stdout.decode().rstrip("\n") == case["text"].rstrip("\n")


def test_micro_lm_logits(kernels: str, micro_lm: dict[str, Path], llmk: Tool, tmp_path: Path) -> None:
    """At the last of 64 positions. The GELUs differ there by more than the tolerance, so each must be the right one."""
    for name, case in micro_cases().items():
        gelu = name.partition("|")[0]
        ids = case["ids"]
        expected = np.array(case["last_pos_logits"])
        found = logits(llmk, micro_lm[gelu], ids, kernels, tmp_path)[-1]
        assert relative(found, expected) <= TOLERANCE, name
        other = logits(llmk, micro_lm["tanh" if gelu == "erf" else "erf"], ids, kernels, tmp_path)[-1]
        assert relative(other, expected) > TOLERANCE, name
