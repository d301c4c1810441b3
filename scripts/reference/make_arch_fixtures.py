#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/golden/data/arch: a tiny random model of each architecture, with its logits and ids by transformers.

For each NAME of arch_models.py a checkpoint with random weights (norms and biases included) is written as its makers
publish theirs, and converted by our converter. The folder gets

    NAME.gguf          the converted model, float32
    NAME.json          prompt, prompt_ids, ids (the prompt's, then 32 of greedy decoding), configuration, versions
    NAME.logits.f32    float32 logits of the prompt's 64 positions, one row of vocab_size a position

The values are those of transformers' own classes with eager attention in float64 (norms and rotations of some of them
are float32 whatever one asks). Each fixture must hold what it is there for: with a feature taken away (`without` in
arch_models.py), with biases zero or with norms plain, the logits must change by more than a hundredth. Nor may a choice
of greedy decoding hang on rounding: the likeliest token leads by more than a hundredth of the largest logit.

Needs the packages of scripts/requirements-parity.txt. `make parity` runs it with --check.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np
import numpy.typing as npt
import torch
import transformers

from reference import nano_gpt
from reference.arch_models import FIXTURES, POSITIONS, Config, Fixture
from reference.arch_tokenizers import write_json
from reference.random_weights import EMBEDDING_STD, SPECIAL_ROW_SCALE, normals

SCRIPTS = Path(__file__).resolve().parents[1]
FOLDER = SCRIPTS.parent / "tests/golden/data/arch"
CHECK_FOLDER = SCRIPTS.parent / "build/parity"
CONTINUATION = 32
# Relative to the largest logit.
MIN_GAP = 1e-2
MIN_EFFECT = 1e-2
CHECK_TOLERANCE = 1e-5
MIN_DISTINCT_IDS = 8
MAX_FILE_BYTES = 300 << 10
# Capitals, digits, marks and letters of two bytes: more than the vocabularies' merges. Cut after 64 tokens.
TEXT = (
    "The hat on the dune! At noon the wind sang and we heard it here, on a shore of sand and 42 stones; "
    "où es-tu, said she, and the land was so still that one heard the rain in the trees, then the sea."
)

FloatArray = npt.NDArray[np.float64]
Tensors = dict[str, Any]
# Logits (positions, vocab_size) of ids, in float64.
Forward = Callable[[list[int]], FloatArray]


# --- the models -------------------------------------------------------------------------------------------------------


def full_config(fixture: Fixture, changes: Config) -> Config:
    vocabulary = fixture.vocabulary
    config = fixture.config | {"vocab_size": vocabulary.size + fixture.padding} | changes
    if fixture.model != "NanoGpt":
        config |= {"bos_token_id": vocabulary.id_of("bos" if has_bos(fixture) else "eos")}
        config |= {"eos_token_id": vocabulary.id_of("eos"), "pad_token_id": None}
    return config


def has_bos(fixture: Fixture) -> bool:
    return getattr(fixture.vocabulary, "bos", "<s>") != ""


def transformers_model(fixture: Fixture, changes: Config) -> Any:
    name = fixture.model
    config_class = getattr(transformers, f"{name}TextConfig" if name == "Gemma3" else f"{name}Config")
    model_class = getattr(transformers, f"{name}LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM")
    # transformers writes into the dictionaries it is given.
    config = config_class(**json.loads(json.dumps(full_config(fixture, changes))))
    config._attn_implementation = "eager"
    return model_class(config).eval()


def shapes_of(fixture: Fixture) -> dict[str, tuple[int, ...]]:
    if fixture.model == "NanoGpt":
        return dict(nano_gpt.shapes(full_config(fixture, {})))
    return {name: tuple(value.shape) for name, value in transformers_model(fixture, {}).named_parameters()}


def is_norm(name: str) -> bool:
    return "norm" in name or ".ln_" in name


def plain_norm(fixture: Fixture) -> float:
    """What a norm's weight is when it does nothing."""
    return 0.0 if fixture.model.startswith("Gemma") else 1.0


def has_gelu_bias(fixture: Fixture) -> bool:
    return fixture.model == "GPT2" or bool(fixture.config.get("bias"))


def near_the_forms_difference(name: str, values: FloatArray) -> FloatArray:
    """Weights of a feed-forward network whose GELU works around -2.3, where its two forms, never more than 5e-4 apart,
    differ by some hundredths of the value; the second matrix brings the small values back to size."""
    if name.endswith("bias"):
        return np.asarray(0.2 * values - (2.3 if "c_fc" in name else 0.0))
    return np.asarray(values * (0.1 if "c_fc" in name else 5.0))


def random_values(fixture: Fixture, name: str, shape: tuple[int, ...], seed: int) -> FloatArray:
    values = normals(seed, 0, int(np.prod(shape))).reshape(shape)
    if has_gelu_bias(fixture) and "mlp.c_" in name:
        return near_the_forms_difference(name, values)
    if name.endswith("bias"):
        return np.asarray(0.2 * values)
    if is_norm(name):
        return np.asarray(plain_norm(fixture) + 0.25 * values)
    if "wpe" in name:
        return np.asarray(0.1 * values)
    if "embed_tokens" in name or "wte" in name or "lm_head" in name:
        values *= EMBEDDING_STD
        # What greedy decoding should not say: ends, and rows that no token has.
        values[[*fixture.vocabulary.ends(), *range(fixture.vocabulary.size, shape[0])]] *= SPECIAL_ROW_SCALE
        return values
    fan_in = shape[0] if fixture.model == "GPT2" else shape[1]
    return np.asarray(values * (1.6 / np.sqrt(fan_in)))


def random_tensors(fixture: Fixture, seed: int) -> Tensors:
    """Float32, by names in their order."""
    shapes = shapes_of(fixture)
    return {
        name: torch.from_numpy(random_values(fixture, name, shapes[name], seed * 4096 + i).astype(np.float32))
        for i, name in enumerate(sorted(shapes))
    }


def fill(model: Any, tensors: Tensors) -> Any:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])
    return model


def forward_of(fixture: Fixture, tensors: Tensors, changes: Config) -> Forward:
    if fixture.model == "NanoGpt":
        doubles = {name: value.double() for name, value in tensors.items()}
        gelu = str(changes.get("gelu", "none"))
        return lambda ids: np.asarray(nano_gpt.logits(full_config(fixture, {}), doubles, ids, gelu).numpy())
    model = fill(transformers_model(fixture, changes), tensors).double()

    def forward(ids: list[int]) -> FloatArray:
        with torch.no_grad():
            return np.asarray(model(torch.tensor([ids]), use_cache=False).logits[0].numpy())

    return forward


# --- golden values ----------------------------------------------------------------------------------------------------


def cut_text(encode: Callable[[str], list[int]]) -> str:
    """The longest beginning of TEXT that has 64 tokens."""
    lengths = [length for length in range(len(TEXT) + 1) if len(encode(TEXT[:length])) == POSITIONS]
    if not lengths:
        raise ValueError(f"no beginning of TEXT has {POSITIONS} tokens")
    return TEXT[: lengths[-1]]


def continue_greedily(fixture: Fixture, forward: Forward, prompt_ids: list[int]) -> tuple[list[int], float]:
    """The ids, and the smallest lead of one that was chosen. ValueError when the seed does not serve."""
    ids, smallest = list(prompt_ids), np.inf
    for _ in range(CONTINUATION):
        last = forward(ids)[-1]
        second, first = np.argsort(last)[-2:]
        gap = float((last[first] - last[second]) / np.abs(last).max())
        if gap < MIN_GAP:
            raise ValueError(f"a lead of {gap:.1e} at step {len(ids) - POSITIONS}")
        smallest = min(smallest, gap)
        ids.append(int(first))
    said = ids[POSITIONS:]
    if set(said) & (fixture.vocabulary.ends() | set(range(fixture.vocabulary.size, forward([0]).shape[1]))):
        raise ValueError("a token that ends the text")
    if len(set(said)) < MIN_DISTINCT_IDS:
        raise ValueError(f"only {len(set(said))} distinct ids")
    return ids, smallest


def relative(values: FloatArray, expected: FloatArray) -> float:
    """The largest difference, as a share of the largest logit."""
    return float(np.abs(values - expected).max() / np.abs(expected).max())


def effects(fixture: Fixture, tensors: Tensors, ids: list[int], logits: FloatArray) -> dict[str, float]:
    """How far the logits move without each feature. ValueError for a feature that the fixture does not show."""
    found = {
        name: relative(forward_of(fixture, tensors, changes)(ids), logits) for name, changes in fixture.without.items()
    }
    groups = {"biases": [name for name in tensors if name.endswith("bias")]}
    for kind in ("q_norm", "k_norm", "layernorm", "ln_", "norm.weight"):
        groups[f"weights of {kind}"] = [name for name in tensors if kind in name and name.endswith("weight")]
    for label, names in groups.items():
        plain = 0.0 if label == "biases" else plain_norm(fixture)
        if names:
            changed = tensors | {name: torch.full_like(tensors[name], plain) for name in names}
            found[label] = relative(forward_of(fixture, changed, {})(ids), logits)
    if weak := [name for name, change in found.items() if not change > MIN_EFFECT]:
        raise ValueError(f"changes nothing: {', '.join(f'{name} ({found[name]:.1e})' for name in weak)}")
    return found


# --- files ------------------------------------------------------------------------------------------------------------


def as_old_config(folder: Path) -> None:
    """config.json as most published checkpoints have it."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    parameters = config.pop("rope_parameters")
    if "full_attention" in parameters:
        config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        config["sliding_window_pattern"] = 6
        config.pop("layer_types")
        parameters = parameters["full_attention"]
    config["rope_theta"] = parameters.pop("rope_theta")
    if "partial_rotary_factor" in parameters:
        config["partial_rotary_factor"] = parameters.pop("partial_rotary_factor")
    scaled = parameters.get("rope_type", "default") != "default"
    if config["model_type"] == "phi3":
        parameters["type"] = parameters.pop("rope_type", "default")
    if scaled and "original_max_position_embeddings" in config:
        parameters.pop("original_max_position_embeddings")
    config["rope_scaling"] = parameters if scaled else None
    write_json(path, config)


def write_checkpoint(fixture: Fixture, tensors: Tensors, folder: Path) -> tuple[Path, str]:
    """What the converter takes, and the word for it."""
    if fixture.model == "NanoGpt":
        config = full_config(fixture, {})
        named = {f"_orig_mod.{name}": value for name, value in tensors.items()}
        named["_orig_mod.lm_head.weight"] = tensors["transformer.wte.weight"]
        torch.save({"model": named, "model_args": config, "iter_num": 1}, folder / "ckpt.pt")
        return folder / "ckpt.pt", "nanogpt"
    fill(transformers_model(fixture, {}), tensors).save_pretrained(folder)
    if fixture.old_config:
        as_old_config(folder)
    return folder, "auto"


def convert(source: Path, model: str, output: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "convert_models.py"), "--model", model]
    command += ["--input", str(source), "--output", str(output), "--type", "f32", "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the converter says: {(done.stderr or done.stdout).strip()}")


@dataclass(frozen=True)
class Values:
    """What a fixture's reference says."""

    prompt: str
    ids: list[int]
    logits: FloatArray
    smallest_gap: float
    effects: dict[str, float]


def compute(fixture: Fixture, seed: int, encode: Callable[[str], list[int]]) -> tuple[Tensors, Values]:
    tensors = random_tensors(fixture, seed)
    forward = forward_of(fixture, tensors, {})
    prompt = cut_text(encode)
    prompt_ids = encode(prompt)
    ids, gap = continue_greedily(fixture, forward, prompt_ids)
    logits = forward(prompt_ids)
    return tensors, Values(prompt, ids, logits, gap, effects(fixture, tensors, prompt_ids, logits))


def facts(name: str, fixture: Fixture, values: Values) -> dict[str, Any]:
    return {
        "model": fixture.model,
        "prompt": values.prompt,
        "prompt_ids": values.ids[:POSITIONS],
        "ids": values.ids,
        "context": fixture.context,
        "seed": fixture.seed,
        "config": full_config(fixture, {}),
        "smallest_gap": round(values.smallest_gap, 4),
        "effects": {label: round(change, 3) for label, change in values.effects.items()},
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "command": f"scripts/reference/make_arch_fixtures.py {name}",
    }


def make(name: str, folder: Path) -> str:
    """Writes the three files; returns a line about them."""
    fixture = FIXTURES[name]
    output = folder / f"{name}.gguf"
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint = Path(temporary) / name  # the converter names the model after it
        checkpoint.mkdir()
        encode = fixture.vocabulary.write(checkpoint)
        tensors, values = compute(fixture, fixture.seed, encode)
        convert(*write_checkpoint(fixture, tensors, checkpoint), output)
    if output.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{output}: {output.stat().st_size} bytes, more than {MAX_FILE_BYTES}")
    (folder / f"{name}.logits.f32").write_bytes(values.logits.astype("<f4").tobytes())
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in facts(name, fixture, values).items()]
    (folder / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    least = min(values.effects.values(), default=0.0)
    return f"{output.stat().st_size} bytes, gap {values.smallest_gap:.3f}, least effect {least:.3f}"


def search(name: str, tries: int) -> int:
    """The first seed that serves."""
    fixture = FIXTURES[name]
    with tempfile.TemporaryDirectory() as temporary:
        encode = fixture.vocabulary.write(Path(temporary))
    why = ""
    for seed in range(1, tries + 1):
        try:
            compute(fixture, seed, encode)
        except ValueError as error:
            why = str(error)
            continue
        return seed
    raise ValueError(f"no seed up to {tries} serves; the last one: {why}")


def difference(name: str, made: Path, committed: Path) -> str:
    """What differs from the committed fixture; empty when nothing does."""
    values = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for folder in (made, committed)]
    if wrong := [key for key in ("prompt", "prompt_ids", "ids", "config") if values[0][key] != values[1][key]]:
        return f"other {', '.join(wrong)}"
    logits = [np.fromfile(folder / f"{name}.logits.f32", "<f4").astype(np.float64) for folder in (made, committed)]
    if logits[0].size != logits[1].size or not (change := relative(*logits)) <= CHECK_TOLERANCE:
        return "other logits" if logits[0].size != logits[1].size else f"logits differ by {change:.1e} of the largest"
    if (made / f"{name}.gguf").read_bytes() != (committed / f"{name}.gguf").read_bytes():
        return "the converter makes another file"
    return ""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of these only (default: all)")
    parser.add_argument("-o", "--output", type=Path, help=f"folder (default: {FOLDER}, with --check {CHECK_FOLDER})")
    parser.add_argument("--check", action="store_true", help="compare what is made with the committed files")
    parser.add_argument("--search", action="store_true", help="only print seeds that serve")
    parser.add_argument("--tries", type=int, default=2000, help="seeds that --search looks at (default: %(default)s)")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(FIXTURES)):
        parser.error(f"{unknown[0]}: no such fixture; there are {', '.join(FIXTURES)}")
    args.output = (args.output or (CHECK_FOLDER if args.check else FOLDER)).resolve()
    if args.check and args.output == FOLDER:
        parser.error("--check compares with the committed files: name another folder with --output")
    return args


def main() -> int:
    args = parse()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    names = args.names or list(FIXTURES)
    failures = 0
    args.output.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name}: ", end="", flush=True)
        try:
            line = f"seed {search(name, args.tries)}" if args.search else make(name, args.output)
            if args.check and not args.search and (wrong := difference(name, args.output, FOLDER)):
                raise ValueError(wrong)
        except (ValueError, RuntimeError, OSError) as error:
            failures += 1
            line = f"FAILED: {error}"
        print(line, flush=True)
    print(f"{len(names) - failures} of {len(names)} fixtures" + (" as committed" if args.check else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
