# SPDX-License-Identifier: MIT
"""Each architecture under UEFI, in one boot: the tiny models of tests/golden/data/arch are loaded one after the other
with /load, and give the logits and the greedy ids of transformers there too, with each kernel set in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from e2e.guest import FAULT, Command, build_image, commands_of, fetch_logits, remove_image, run_script
from support import ARCH_MODELS, GUEST_KERNELS, arch_reference

TOLERANCE = 1e-4
BOOT_LIMIT_S = 240.0


@dataclass(frozen=True)
class ArchBoot:
    image: Path
    lines: list[str]
    # Those between the /load of a model and the next.
    commands: dict[str, list[Command]]


def script_of(name: str) -> list[str]:
    expected = arch_reference(name)
    kernels = GUEST_KERNELS[ARCH_MODELS.index(name) % len(GUEST_KERNELS)]
    ids = ",".join(map(str, expected.prompt_ids))
    return [
        f"/load {name}.gguf",
        *([f"/ctx {expected.context}"] if expected.context else []),
        f"/logits --ids {ids} -o {name}.f32 --kernels {kernels}",
        f'/generate -p "{expected.prompt}" -n {len(expected.ids) - 1} --temp 0 --ids --kernels {kernels}',
    ]


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchBoot]:
    image = build_image(
        tmp_path_factory.mktemp("architectures") / "architectures.img",
        [arch_reference(name).model for name in ARCH_MODELS],
        # The references kept keys and values in float32.
        config={"default": f"{ARCH_MODELS[0]}.gguf", "timeout": 0, "kv": "f32"},
        autorun=[*(line for name in ARCH_MODELS for line in script_of(name)), "/shutdown"],
    )
    screen = run_script(image, BOOT_LIMIT_S)
    commands: dict[str, list[Command]] = {}
    name = ""
    for command in commands_of(screen):
        if command.line.startswith("/load "):
            name = command.line.removeprefix("/load ").removesuffix(".gguf")
        commands.setdefault(name, []).append(command)
    yield ArchBoot(image, screen.lines, commands)
    remove_image(image)


@pytest.mark.parametrize("name", ARCH_MODELS)
def test_logits(boot: ArchBoot, name: str) -> None:
    expected = arch_reference(name).logits
    logits = fetch_logits(boot.image, f"{name}.f32", expected.shape[1])
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("name", ARCH_MODELS)
def test_greedy_ids(boot: ArchBoot, name: str) -> None:
    command = next(command for command in boot.commands[name] if command.line.startswith("/generate"))
    numbers = next(text for text in command.output if text and text[0].isdigit())
    assert [int(word) for word in numbers.split()] == arch_reference(name).ids


def test_no_fault(boot: ArchBoot) -> None:
    assert not FAULT.search("\n".join(boot.lines))
