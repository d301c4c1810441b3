# SPDX-License-Identifier: MIT
"""Boots the binary and talks to it, as a person or through an autorun file: in QEMU over the serial line, or, with
`pytest --guest efisim`, as a process of this machine (tests/efisim), where an image is a folder.

    image = build_image(folder / "x.img", models=[model], autorun=["/generate -p '' -n 20"])
    with Guest(image) as guest:
        guest.wait_for_power_off(60)
    blocks = commands_of(guest.screen)

Every run ends by /shutdown: a guest that has to be killed is a failure. A transcript lies beside the image.
"""

from __future__ import annotations

import os
import re
import shutil
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
import run_efisim
from e2e.screen import COLUMNS, ROWS, Screen
from support import ROOT, Float32Array, built

PROMPT = ">"
# Emulated, on a machine with two busy cores: firmware alone takes ten seconds.
BOOT_S = 120.0
COMMAND_S = 120.0
POWER_OFF_S = 30.0
# What tells the two kinds of guests apart; tests/conftest.py sets it.
GUEST_VARIABLE = "LLMK_GUEST"
# qemu64 as CPUID: without FMA, XSAVE, AVX and F16C, AVX2 and AVX-512.
WITHOUT_AVX = ("1.ecx-0x3c001000", "7.ebx-0xdc230020")
KEYS = {"enter": "\r", "up": "\x1b[A", "down": "\x1b[B", "escape": "\x1b", "ctrl-c": "\x03", "backspace": "\x7f"}
# What a CPU exception looks like: EDK2's handler, and ours.
FAULT = re.compile(r"X64 Exception|#(UD|GP|PF|DE|MC)\b|Invalid Opcode|RIP *[-:=]", re.IGNORECASE)


@dataclass(frozen=True)
class Pace:
    """Seconds: the pause after a key, and how long nothing must come for the screen to be still."""

    key: float
    quiet: float


# The firmware's queues are small: a key at a time, and a pause that an idle guest polls within.
PACES = {"qemu": Pace(0.02, 0.4), "efisim": Pace(0.0, 0.15)}


def guest_kind() -> str:
    return os.environ.get(GUEST_VARIABLE, "qemu")


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
    arguments = [*options, "--models", *map(str, models)]
    for destination, source in extra.items():
        arguments += ["--file", f"{source}:{destination}"]
    binary = built("BOOTX64.EFI")
    if guest_kind() == "efisim":
        run_efisim.stage(arguments, image)
        return image
    command = [sys.executable, str(ROOT / "scripts/make_image.py"), "--efi", str(binary), "--output", str(image)]
    command += arguments
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.fail(f"make_image.py: {result.stderr}", pytrace=False)
    return image


def fetch(image: Path, path: str) -> bytes:
    """The content of a file that the guest wrote."""
    if image.is_dir():
        if not (image / path).is_file():
            raise GuestError(f"{path} is not in {image}")
        return (image / path).read_bytes()
    drive = f"{image}@@{fat_image.PARTITION_START * fat_image.SECTOR}"
    result = subprocess.run([fat_image.find_tool("mcopy"), "-i", drive, f"::/{path}", "-"], capture_output=True)
    if result.returncode != 0:
        raise GuestError(f"{path} is not on the image: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


def list_image(image: Path) -> list[fat_image.Entry]:
    """The files on the image."""
    if not image.is_dir():
        return fat_image.list_files(image)
    files = [path for path in sorted(image.rglob("*")) if path.is_file()]
    return [fat_image.Entry(path.relative_to(image).as_posix(), path.stat().st_size) for path in files]


def remove_image(image: Path) -> None:
    """It is large, and pytest keeps the folders of the last runs."""
    if image.is_dir():
        shutil.rmtree(image)
    else:
        image.unlink()


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
    """One run of QEMU or efisim; `flags` are the runner's. Leaving the context kills what still runs."""

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
        self._pace = PACES[guest_kind()]
        arguments = self._command(cpu, memory_mib, processors, limit_s)
        arguments += flags
        self._child = pexpect.spawn(
            arguments[0], arguments[1:], cwd=str(ROOT), env=dict(os.environ), dimensions=(ROWS, COLUMNS)
        )
        # Closing asks first: the runner then stops QEMU and removes its files.
        self._child.delayafterterminate = 3.0
        self._raw = image.with_suffix(".serial.log").open("wb")

    def _command(self, cpu: str, memory_mib: int, processors: int, limit_s: float) -> list[str]:
        if guest_kind() == "efisim":
            built("tests/efisim")
            options = ["--memory", f"{memory_mib}M", "--processors", str(processors), "--timeout", str(limit_s)]
            if cpu == "qemu64":
                options += ["--symbols", str(built("efi/llmk.so"))]
                options += [word for change in WITHOUT_AVX for word in ("--cpuid", change)]
            return run_efisim.command_for(self.image, options)
        runner = [sys.executable, str(ROOT / "scripts/run_qemu.py"), "--image", str(self.image), "--accel", "tcg"]
        runner += ["--cpu", cpu, "--mem", str(memory_mib), "--smp", str(processors), "--timeout", str(limit_s)]
        return runner

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
        """Takes what has come; waits this long for the first of it. False when the guest has gone."""
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
                raise GuestError(f"the guest ended before {what}; the screen:\n{self.screen.visible}")

    def wait_for(self, pattern: str, timeout_s: float = COMMAND_S) -> None:
        """Until the visible screen holds the pattern."""
        expression = re.compile(pattern)
        self._wait(lambda: expression.search(self.screen.visible) is not None, timeout_s, repr(pattern))

    def wait_for_prompt(self, timeout_s: float = BOOT_S) -> None:
        self._wait(lambda: self.screen.current_line.rstrip() == PROMPT, timeout_s, "prompt")

    def wait_for_words(self, count: int) -> None:
        """Until the last line has an answer of so many words, however far it has scrolled since."""
        self._wait(lambda: len(commands_of(self.screen)[-1].text.split()) >= count, COMMAND_S, f"{count} words")

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
            self._pump(self._pace.quiet)

    def wait_for_power_off(self, timeout_s: float = POWER_OFF_S) -> None:
        end = time.monotonic() + timeout_s
        while self._pump(0.2):
            if time.monotonic() > end:
                raise GuestError(f"still running after {timeout_s:g} s; the screen:\n{self.screen.visible}")
        self._child.close()
        if self._child.exitstatus != 0:
            raise GuestError(f"the runner ended with {self._child.exitstatus}; the screen:\n{self.screen.visible}")

    # --- typing -------------------------------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """A name of KEYS, or a character."""
        self._child.send(KEYS.get(key, key))
        time.sleep(self._pace.key)

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
