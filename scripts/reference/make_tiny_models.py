#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the tiny random models of tests/golden/data with their tokenizers and golden values.

For each NAME: NAME.bin (the model), NAME.tok.bin (its tokenizer), NAME.json (prompt, prompt_ids, ids of greedy decoding
with the prompt included) and NAME.logits.f32 (float32 logits of positions 0..7
of those ids, one row of vocab_size a position). Everything follows from the seeds below: a second run writes the same
bytes. The values are those of llama_ref.py in float64.

The seeds were searched (--search NAME) for models whose golden values do not hang on the order of a summation: the
likeliest token leads by more than float32, or a flip of one int8 step, can move it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reference.llama2c_format import Config, FloatArray
from reference.llama_ref import Llama, greedy, logits_of
from reference.random_weights import write_random_model
from reference.spm_ref import FIRST_BYTE, synthetic_tokenizer

STEPS = 32
LOGIT_POSITIONS = 8
MIN_GAP_FLOAT = 1e-2
MIN_GAP_INT8 = 5e-2
# No activation of positions 0..7 may lie this near the middle between two int8 steps, so that these logits can be held
# to a float32 tolerance: float32 differs from float64 by some 1e-5 of a step here.
MIN_ROUNDING_MARGIN = 1e-4
MIN_DISTINCT_IDS = 8
# A capital and a punctuation mark that no piece holds: byte fallback is part of the test.
DEFAULT_PROMPT = "The hat on the dune!"


@dataclass(frozen=True)
class Tiny:
    config: Config
    seed: int
    prompt: str = DEFAULT_PROMPT


# dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
MODELS = {
    # Grouped-query attention, legacy file, both kinds of head.
    "tiny_v0_shared": Tiny(Config(16, 24, 2, 4, 2, 280, 64), 4),
    "tiny_v0_separate": Tiny(Config(12, 20, 1, 2, 1, 280, 64, shared_classifier=False), 7),
    "tiny_v1": Tiny(Config(16, 28, 2, 4, 2, 280, 48, version=1), 1),
    "tiny_v2_gs32": Tiny(Config(32, 64, 2, 4, 2, 288, 64, version=2, group_size=32), 12),
    "tiny_v2_separate": Tiny(Config(16, 24, 2, 4, 4, 280, 64, shared_classifier=False, version=2, group_size=8), 138),
    # Groups of 15 and products that are not multiples of 4: vectors end inside groups, scales start unaligned.
    "tiny_v2_odd_group": Tiny(Config(30, 45, 2, 3, 1, 289, 64, version=2, group_size=15), 45),
    # One KV head for all, and one for each; the latter's seq_len ends with the golden steps.
    "tiny_mqa": Tiny(Config(16, 20, 2, 4, 1, 280, 64), 7, prompt="the end"),
    "tiny_mha": Tiny(Config(12, 20, 2, 3, 3, 280, 32, shared_classifier=False, version=1), 14, prompt=""),
    # No dimension is a multiple of 4, head size 6: every vector loop has a tail.
    "tiny_odd_dim": Tiny(Config(18, 25, 2, 3, 1, 279, 64), 3),
}


def golden(model: Llama, prompt_ids: list[int]) -> tuple[list[int], FloatArray, float, float]:
    """Greedy ids, logits of the first positions, smallest gap of a chosen token, rounding margin of those positions."""
    ids, gaps = greedy(model, prompt_ids, STEPS)
    logits = logits_of(model, ids[:LOGIT_POSITIONS])
    return ids, logits, float(gaps[len(prompt_ids) - 1 :].min()), model.rounding_margin


def complaint(config: Config, ids: list[int], prompt_ids: list[int], gap: float, margin: float) -> str:
    """Why a seed is no good; empty when it is."""
    said = ids[len(prompt_ids) :]
    if len(ids) != STEPS + 1:
        return f"{len(ids)} ids"
    if min(said) < FIRST_BYTE:
        return "a special token"
    if len(set(said)) < MIN_DISTINCT_IDS:
        return f"only {len(set(said))} distinct ids"
    if gap < (MIN_GAP_INT8 if config.version == 2 else MIN_GAP_FLOAT):
        return f"gap {gap:.4f}"
    return f"rounding margin {margin:.1e}" if config.version == 2 and margin < MIN_ROUNDING_MARGIN else ""


def make(name: str, tiny: Tiny, folder: Path) -> str:
    """Writes the four files; returns a line about them. Raises ValueError when the seed does not serve."""
    tokenizer = synthetic_tokenizer(tiny.config.vocab_size)
    model_path = folder / f"{name}.bin"
    write_random_model(model_path, tiny.config, tiny.seed)
    (folder / f"{name}.tok.bin").write_bytes(tokenizer.to_bytes())
    prompt_ids = tokenizer.encode(tiny.prompt)
    ids, logits, gap, margin = golden(Llama(model_path), prompt_ids)
    if wrong := complaint(tiny.config, ids, prompt_ids, gap, margin):
        raise ValueError(f"{name}: seed {tiny.seed} does not serve: {wrong}")
    (folder / f"{name}.logits.f32").write_bytes(logits.astype("<f4").tobytes())
    golden_values = {
        "prompt": tiny.prompt,
        "prompt_ids": prompt_ids,
        "steps": STEPS,
        "ids": ids,
        "logits": f"{name}.logits.f32",
        "smallest_gap": round(gap, 4),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in golden_values.items()]
    (folder / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    size = sum((folder / f"{name}{end}").stat().st_size for end in (".bin", ".tok.bin", ".json", ".logits.f32"))
    text = b"".join(tokenizer.pieces[i] for i in ids[len(prompt_ids) :]).decode("ascii", "replace")
    return f"{name}: {size} bytes, gap {gap:.3f}, margin {margin:.1e}, {text!r}"


def search(name: str, tries: int) -> int:
    """The first seed that serves."""
    for seed in range(1, tries + 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                make(name, Tiny(MODELS[name].config, seed, MODELS[name].prompt), Path(folder))
            except ValueError:
                continue
        return seed
    raise SystemExit(f"make_tiny_models: no seed up to {tries} serves for {name}")


def main() -> int:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    folder = root / "tests/golden/data"
    parser.add_argument("-o", "--output", type=Path, default=folder, help="folder (default: %(default)s)")
    parser.add_argument("--search", metavar="NAME", choices=sorted(MODELS), help="only print a seed that serves")
    parser.add_argument("--tries", type=int, default=1000, help="seeds that --search looks at")
    args = parser.parse_args()
    if args.search:
        print(search(args.search, args.tries))
        return 0
    args.output.mkdir(parents=True, exist_ok=True)
    for name, tiny in MODELS.items():
        print(make(name, tiny, args.output))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
