# SPDX-License-Identifier: MIT
"""The numbers under UEFI: greedy ids and logits of every reference model, for each kernel set, in one boot a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from e2e.guest import FAULT, Command, build_image, commands_of, fetch_logits, list_image, remove_image, run_script
from support import GUEST_KERNELS, Reference, asset_reference

TOLERANCE_FLOAT = 2e-4
TOLERANCE_INT8 = 2e-2
# A rounding that falls the other way may change a word of an int8 text, later than this.
INT8_IDS = 150
BOOT_LIMIT_S = 240.0

# This one is split on its way to the image: three files that are one model.
SPLIT, MAX_PART_KIB = "stories260K_gguf", 500
MODELS = ("stories260K", "stories260K_v1", SPLIT, "babyllama", "stories260K_int8", "babyllama_int8")
PROMPTED = "stories260K_prompt"


@dataclass(frozen=True)
class GoldenBoot:
    name: str
    expected: Reference
    image: Path
    lines: list[str]
    commands: list[Command]

    def ids(self, line: str) -> list[int]:
        """What `/generate --ids` printed."""
        output = next(command.output for command in self.commands if command.line == line)
        numbers = next(text for text in output if text and text[0].isdigit())
        return [int(word) for word in numbers.split()]


def generate_line(expected: Reference, kernels: str) -> str:
    steps = INT8_IDS if expected.is_int8 else expected.steps
    return f'/generate -p "{expected.prompt}" -n {steps} --temp 0 --ids --kernels {kernels}'


def logits_line(expected: Reference, kernels: str) -> str:
    ids = ",".join(map(str, expected.ids[:8]))
    return f"/logits --ids {ids} -o {kernels}.f32 --kernels {kernels}"


def prompted(name: str) -> Reference | None:
    """A second text of the same model, told in the same boot."""
    return asset_reference(PROMPTED) if name == "stories260K" else None


@pytest.fixture(scope="module", params=MODELS)
def boot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoldenBoot]:
    name = str(request.param)
    expected = asset_reference(name)
    script: list[str] = []
    for kernels in GUEST_KERNELS:
        script += [generate_line(expected, kernels), logits_line(expected, kernels)]
        if other := prompted(name):
            script.append(generate_line(other, kernels))
    options = ["--max-file-size", f"{MAX_PART_KIB}K"] if name == SPLIT else []
    image = tmp_path_factory.mktemp(name) / "golden.img"
    # References are in float32, and so is what their tolerances and near ties allow for.
    config = {"kv": "f32"}
    build_image(image, [expected.model], config, autorun=[*script, "/models", "/shutdown"], options=options)
    screen = run_script(image, BOOT_LIMIT_S)
    yield GoldenBoot(name, expected, image, screen.lines, commands_of(screen))
    remove_image(image)


@pytest.mark.parametrize("kernels", GUEST_KERNELS)
def test_greedy_ids(boot: GoldenBoot, kernels: str) -> None:
    ids = boot.ids(generate_line(boot.expected, kernels))
    if boot.expected.is_int8:
        assert ids[:INT8_IDS] == boot.expected.ids[:INT8_IDS]
    else:
        assert ids == boot.expected.ids
    if other := prompted(boot.name):
        assert boot.ids(generate_line(other, kernels)) == other.ids


@pytest.mark.parametrize("kernels", GUEST_KERNELS)
def test_logits(boot: GoldenBoot, kernels: str) -> None:
    expected = boot.expected.logits
    logits = fetch_logits(boot.image, f"{kernels}.f32", expected.shape[1])
    assert logits.shape == expected.shape
    tolerance = TOLERANCE_INT8 if boot.expected.is_int8 else TOLERANCE_FLOAT
    assert np.abs(logits - expected).max() <= tolerance


def test_one_model_is_listed(boot: GoldenBoot) -> None:
    stem = boot.expected.model.stem
    files = [entry for entry in list_image(boot.image) if entry.path.startswith(f"models/{stem}")]
    parts = sorted(entry.path for entry in files if not entry.path.endswith(".tok.bin"))
    if boot.name == SPLIT:
        assert len(parts) >= 3
        assert parts == [f"models/{stem}-{n:05d}-of-{len(parts):05d}.gguf" for n in range(1, len(parts) + 1)]
        assert all(entry.size_bytes <= MAX_PART_KIB * 1024 for entry in files)
    else:
        assert parts == [f"models/{boot.expected.model.name}"]
    (listed,) = [line for command in boot.commands if command.line == "/models" for line in command.output if line]
    behind = f" in {len(parts)} files" if boot.name == SPLIT else ""
    assert re.fullmatch(rf"\[\+\] models/{stem}\.\w+ +llama +\S+ +\S.* [\d.]+ [KM]iB{behind}", listed), listed


def test_no_fault(boot: GoldenBoot) -> None:
    assert not FAULT.search("\n".join(boot.lines))


@pytest.mark.firmware
def test_emulated_fma_is_not_chosen(boot: GoldenBoot) -> None:
    """Under TCG, AVX2+FMA can be several times slower than SSE2: neither expectation nor calibration takes it."""
    chosen = [line for line in boot.lines if line.startswith("[DJIBLAS] SGEMM kernel: ")]
    assert chosen
    assert not [line for line in chosen if "avx2" in line.lower()]
    assert any(line.startswith("[ATTN] SIMD path: ") for line in boot.lines)
