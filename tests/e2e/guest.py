# SPDX-License-Identifier: MIT
"""Boots the binary in QEMU and talks to it over the serial line, as a person or through an autorun file.

    image = build_image(folder / "x.img", models=[model], autorun=["/generate -p '' -n 20"])
    with Guest(image) as guest:
        guest.wait_for_power_off(60)
    blocks = commands_of(guest.screen)

Every run ends by /shutdown: a guest that has to be killed is a failure. A transcript lies beside the image.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import cast

import fat_image
import numpy as np
import pexpect
import pytest
from e2e.screen import Screen
from support import ROOT, Float32Array, built

PROMPT = ">"
# Emulated, on a machine with two busy cores: firmware alone takes ten seconds.
BOOT_S = 120.0
COMMAND_S = 120.0
POWER_OFF_S = 30.0
# The console's queues are small: a key at a time, and a pause that an idle guest polls within.
KEY_PAUSE_S = 0.02
QUIET_S = 0.4
KEYS = {"enter": "\r", "up": "\x1b[A", "down": "\x1b[B", "escape": "\x1b", "ctrl-c": "\x03", "backspace": "\x7f"}
# What a CPU exception looks like: EDK2's handler, and ours.
FAULT = re.compile(r"X64 Exception|#(UD|GP|PF|DE|MC)\b|Invalid Opcode|RIP *[-:=]", re.IGNORECASE)


class GuestError(AssertionError):
    """The guest did not do what it was waited for; the message ends with what its screen shows."""


def build_image(
    image: Path,
    models: Iterable[Path],
    config: Mapping[str, object] | None = None,
    autorun: Iterable[str] = (),
    files: Mapping[str, Path] | None = None,
    options: Iterable[str] = (),
) -> Path:
    """`config` are the lines of llmk.cfg; `autorun` is typed by the guest itself, and must end with /shutdown; `files`
    are others, by their paths on the image; `options` are make_image.py's."""
    settings = dict(config or {})
    extra = dict(files or {})
    folder = image.with_suffix(".files")
    folder.mkdir(parents=True, exist_ok=True)
    if lines := list(autorun):
        settings["autorun"] = "autorun.txt"
        extra["autorun.txt"] = folder / "autorun.txt"
        extra["autorun.txt"].write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    extra["llmk.cfg"] = folder / "llmk.cfg"
    extra["llmk.cfg"].write_text("".join(f"{k} = {v}\n" for k, v in settings.items()), encoding="utf-8")
    command: list[str | Path] = [sys.executable, ROOT / "scripts/make_image.py", "--efi", built("BOOTX64.EFI")]
    command += ["--output", image, *options, "--models", *models]
    for destination, source in extra.items():
        command += ["--file", f"{source}:{destination}"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.fail(f"make_image.py: {result.stderr}", pytrace=False)
    return image


def fetch(image: Path, path: str) -> bytes:
    """The content of a file that the guest wrote."""
    drive = f"{image}@@{fat_image.PARTITION_START * fat_image.SECTOR}"
    result = subprocess.run([fat_image.find_tool("mcopy"), "-i", drive, f"::/{path}", "-"], capture_output=True)
    if result.returncode != 0:
        raise GuestError(f"{path} is not on the image: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


def fetch_logits(image: Path, path: str, vocab_size: int) -> Float32Array:
    return np.frombuffer(fetch(image, path), "<f4").reshape(-1, vocab_size)


@dataclass(frozen=True)
class Command:
    """A line at the prompt and what came after it, up to the next prompt."""

    line: str
    output: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.output)


def commands_of(screen: Screen) -> list[Command]:
    """The transcript parted at its prompts; what came before the first is left out."""
    commands: list[Command] = []
    for line in screen.lines:
        if line.startswith(PROMPT + " ") and line.strip() != PROMPT:
            commands.append(Command(line[len(PROMPT) + 1 :].strip()))
        elif commands and line.strip() != PROMPT:
            commands[-1].output.append(line)
    return commands


class Guest:
    """One run of QEMU. Leaving the context kills what still runs."""

    def __init__(
        self,
        image: Path,
        cpu: str = "max",
        memory_mib: int = 256,
        processors: int = 2,
        limit_s: float = 600.0,
        flags: Iterable[str] = (),
    ) -> None:
        self.screen = Screen()
        self.image = image
        arguments = [str(ROOT / "scripts/run_qemu.py"), "--image", str(image), "--accel", "tcg", "--cpu", cpu]
        arguments += ["--mem", str(memory_mib), "--smp", str(processors), "--timeout", str(limit_s)]
        arguments += flags
        self._child = pexpect.spawn(sys.executable, arguments, cwd=str(ROOT), env=dict(os.environ))
        # Closing asks first: the runner then stops QEMU and removes its files.
        self._child.delayafterterminate = 3.0
        self._raw = image.with_suffix(".serial.log").open("wb")

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close(force=True)
        self._raw.close()
        self.image.with_suffix(".transcript.txt").write_text(self.screen.transcript + "\n", encoding="utf-8")

    # --- reading ------------------------------------------------------------------------------------------------------

    def _pump(self, wait_s: float) -> bool:
        """Takes what has come; waits this long for the first of it. False when QEMU has gone."""
        try:
            # Bytes: the spawn has no encoding, which the type stubs do not tell apart.
            data = cast(bytes, self._child.read_nonblocking(65536, wait_s))
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self._raw.write(data)
        self.screen.feed(data)
        return True

    def _wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        end = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > end:
                raise GuestError(f"no {what} within {timeout_s:g} s; the screen:\n{self.screen.visible}")
            if not self._pump(0.1) and not done():
                raise GuestError(f"QEMU ended before {what}; the screen:\n{self.screen.visible}")

    def wait_for(self, pattern: str, timeout_s: float = COMMAND_S) -> None:
        """Until the visible screen holds the pattern."""
        expression = re.compile(pattern)
        self._wait(lambda: expression.search(self.screen.visible) is not None, timeout_s, repr(pattern))

    def wait_for_prompt(self, timeout_s: float = BOOT_S) -> None:
        self._wait(lambda: self.screen.current_line.rstrip() == PROMPT, timeout_s, "prompt")

    def leave_alone(self, seconds: float) -> None:
        """Types nothing for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._pump(0.5):
            pass

    def settle(self) -> None:
        """Until nothing has come for a moment."""
        end = time.monotonic() + COMMAND_S
        before = -1
        while before != self._raw.tell() and time.monotonic() < end:
            before = self._raw.tell()
            self._pump(QUIET_S)

    def wait_for_power_off(self, timeout_s: float = POWER_OFF_S) -> None:
        end = time.monotonic() + timeout_s
        while self._pump(0.2):
            if time.monotonic() > end:
                raise GuestError(f"still running after {timeout_s:g} s; the screen:\n{self.screen.visible}")
        self._child.close()
        if self._child.exitstatus != 0:
            raise GuestError(f"run_qemu.py ended with {self._child.exitstatus}; the screen:\n{self.screen.visible}")

    # --- typing -------------------------------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """A name of KEYS, or a character."""
        self._child.send(KEYS.get(key, key))
        time.sleep(KEY_PAUSE_S)

    def type_line(self, text: str) -> None:
        """Types it, waits until it stands there, then Enter."""
        for character in text:
            self.press(character)
            self._pump(0)
        tail = text[-30:]
        self._wait(lambda: self.screen.current_line.endswith(tail), COMMAND_S, f"echo of {text!r}")
        self.press("enter")

    def run(self, line: str, timeout_s: float = COMMAND_S) -> Command:
        """A line at the prompt, and what it answers."""
        self.type_line(line)
        self._wait(lambda: self.screen.current_line.rstrip() != f"{PROMPT} {line}", timeout_s, "answer")
        self.wait_for_prompt(timeout_s)
        return commands_of(self.screen)[-1]

    def shut_down(self) -> None:
        self.type_line("/shutdown")
        self.wait_for_power_off()


def run_script(
    image: Path, timeout_s: float, cpu: str = "max", memory_mib: int = 256, flags: Iterable[str] = ()
) -> Screen:
    """Boots an image whose autorun ends with /shutdown, and returns what was on the screen."""
    with Guest(image, cpu=cpu, memory_mib=memory_mib, flags=flags) as guest:
        guest.wait_for_power_off(timeout_s)
        return guest.screen
