# SPDX-License-Identifier: MIT
"""Each architecture with packed weights: the tiny models, their matrices packed anew, against the same numbers kept as
float32. Types from Q8_0 on round their inputs to int8, as llama.cpp does. What an architecture reads of a tensor (rows
of embeddings, thirds of a fused matrix) must find its blocks.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as TensorType
from support import Float32Array, Tool, arch_reference

# One of each architecture, with rows of a multiple of 32 values.
MODELS = ("llama_gqa_tied", "gpt2", "qwen2_gqa", "qwen3", "phi3", "gemma2", "gemma3")
TYPES = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
# Of the largest logit, where weights are multiplied as floats.
TOLERANCE = 1e-4
# Of the norm of all logits, where inputs are rounded to int8 in blocks of 32 first. A wrong block gives more than 1.
ROUNDED_TOLERANCE = 6e-2
# Of the same, between kernel sets: a sum in another order can round an input the other way.
SET_TOLERANCE = 2e-2
FLOAT_TYPES = ("F16", "BF16")


def write_packed(source: Path, output: Path, kind: TensorType, unpacked: bool) -> None:
    """A copy with every matrix of this type, or of the values that the type keeps."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(output, str(reader.fields["general.architecture"].contents()))
    for name, entry in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            element = entry.types[-1] if len(entry.types) > 1 else None
            writer.add_key_value(name, entry.contents(), entry.types[0], sub_type=element)
    for tensor in reader.tensors:
        if tensor.data.ndim < 2:
            writer.add_tensor(tensor.name, tensor.data)
            continue
        packed = gguf.quantize(tensor.data, kind)
        if unpacked:
            writer.add_tensor(tensor.name, np.asarray(gguf.dequantize(packed, kind), np.float32))
        else:
            writer.add_tensor(tensor.name, packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits_of(llmk: Tool, model: Path, ids: list[int], kernels: str, *flags: str) -> Float32Array:
    output = model.with_suffix(".f32")
    words = ",".join(map(str, ids))
    result = llmk("logits", "-m", model, "--ids", words, "-o", output, "--kernels", kernels, *flags, "--kv", "f32")
    assert result.returncode == 0, result.stderr.decode()
    return np.fromfile(output, "<f4")


def distance(one: Float32Array, other: Float32Array) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("name", MODELS)
def test_packed_weights_give_the_same(
    name: str, type_name: str, cpu_kernels: list[str], llmk: Tool, tmp_path: Path
) -> None:
    reference = arch_reference(name)
    packed, unpacked = tmp_path / "packed.gguf", tmp_path / "unpacked.gguf"
    write_packed(reference.model, packed, TensorType[type_name], unpacked=False)
    write_packed(reference.model, unpacked, TensorType[type_name], unpacked=True)
    info = llmk("info", "-m", packed).stdout.decode()
    assert f"\ntype: {type_name}\n" in info
    expected = logits_of(llmk, unpacked, reference.prompt_ids, "scalar")
    # Packing has changed the numbers: it is not the float32 model that is compared.
    assert np.abs(expected - reference.logits.ravel()).max() > TOLERANCE * np.abs(expected).max()
    by_scalar = logits_of(llmk, packed, reference.prompt_ids, "scalar")
    for kernels in cpu_kernels:
        for flags in ((), ("--decode",)):
            logits = logits_of(llmk, packed, reference.prompt_ids, kernels, *flags)
            if type_name not in FLOAT_TYPES:
                assert distance(logits, expected) <= ROUNDED_TOLERANCE, (kernels, flags)
                assert distance(logits, by_scalar) <= SET_TOLERANCE, (kernels, flags)
                continue
            assert np.abs(logits - expected).max() <= TOLERANCE * np.abs(expected).max(), (kernels, flags)
