# SPDX-License-Identifier: MIT
"""RoPE out of a config.json: its base, and how it is scaled for longer contexts.

Transformers up to 4 has `rope_theta` and `rope_scaling`; since 5 both are in `rope_parameters`, which for Gemma 3 is an
object for each kind of layer.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from convert.errors import ConvertError
from convert.hparams import Hparams
from convert.tensors import Tensor, of_values

KINDS = ("default", "linear", "llama3", "longrope")


def rope_hparams(hparams: Hparams, layers: str = "full_attention") -> Hparams:
    """Everything that is said of RoPE in layers of this kind, in the names of `rope_parameters`."""
    parameters = hparams.record("rope_parameters")
    if parameters is not None:
        return parameters.record(layers) or parameters
    scaling = hparams.record("rope_scaling")
    fields: dict[str, Any] = dict(scaling.fields) if scaling else {}
    fields.setdefault("rope_theta", hparams.find("rope_theta"))
    # Spelled `type` before transformers 4.43.
    fields.setdefault("rope_type", fields.get("type"))
    return Hparams(fields, scaling.source if scaling else hparams.source)


def rope_kind(rope: Hparams) -> str:
    kind = rope.text("rope_type", "default")
    # The names under which longrope was published first.
    kind = "longrope" if kind == "su" else kind
    if kind not in KINDS:
        raise ConvertError(f"{rope.source}: 'rope_type' is {kind!r}, known are: {', '.join(KINDS)}")
    return kind


def add_rope(writer: gguf.GGUFWriter, rope: Hparams, default_theta: float = 10000.0) -> None:
    """The base and linear scaling. llama3's and longrope's scaling are tensors."""
    writer.add_rope_freq_base(rope.real("rope_theta", default=default_theta))
    if rope_kind(rope) == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope.real("factor"))


def refuse_kinds(rope: Hparams, allowed: tuple[str, ...], architecture: str) -> None:
    if rope_kind(rope) not in allowed:
        raise ConvertError(
            f"{rope.source}: 'rope_type' is {rope_kind(rope)!r}, which {architecture} has no place for in GGUF; "
            f"known are: {', '.join(allowed)}"
        )


def llama3_factors(rope: Hparams, head_dim: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What each frequency is divided by (Llama 3.1): 1 for short waves, `factor` for long ones, a blend between."""
    factor = rope.real("factor", default=8.0)
    low = rope.real("low_freq_factor", default=1.0)
    high = rope.real("high_freq_factor", default=4.0)
    context = rope.real("original_max_position_embeddings", default=8192.0)
    if not (factor > 0 and high > low > 0):
        raise ConvertError(f"{rope.source}: expected 'factor' above 0 and 'high_freq_factor' above 'low_freq_factor'")
    factors = []
    for i in range(0, head_dim, 2):
        # How many waves fit into the context that the model was first trained with.
        waves = context / (2 * math.pi * rope.real("rope_theta", default=10000.0) ** (i / head_dim))
        smooth = min(1.0, max(0.0, (waves - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


def llama3_tensors(rope: Hparams, head_dim: int, file: Path) -> list[Tensor]:
    """`rope_freqs.weight`, if the scaling is llama3's."""
    if rope_kind(rope) != "llama3":
        return []
    return [of_values("rope_freqs.weight", llama3_factors(rope, head_dim), file)]


def permuted(weights: np.ndarray[Any, np.dtype[np.float32]], n_head: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows of a head, from halves that RoPE pairs up to neighbours that it pairs up: 0, h/2, 1, h/2 + 1..."""
    half = weights.shape[0] // n_head // 2
    heads = weights.reshape(n_head, 2, half, *weights.shape[1:])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(weights.shape)
