# SPDX-License-Identifier: MIT
"""Machines of other kinds: each storage controller reads every byte, and no watchdog resets one after five minutes."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from e2e.guest import FAULT, Guest, build_image, commands_of, fetch, run_script
from support import ROOT, asset_reference

pytestmark = pytest.mark.firmware

BOOT_LIMIT_S = 120.0
WATCHDOG_S = 300
# Real seconds that the machine is left alone: with the clock let loose, virtual minutes pass meanwhile.
IDLE_S = 20.0


@pytest.mark.parametrize("storage", ["nvme", "usb", "virtio"])
def test_every_controller_reads_the_model(storage: str, tmp_path: Path) -> None:
    """A wrong byte would be another weight or another word: the ids are those of the reference."""
    expected = asset_reference("stories260K_prompt")
    line = f'/generate -p "{expected.prompt}" -n {expected.steps} --temp 0 --ids'
    image = build_image(tmp_path / "disk.img", [expected.model], autorun=[line, "/shutdown"])
    screen = run_script(image, BOOT_LIMIT_S, flags=["--storage", storage])
    output = next(command.output for command in commands_of(screen) if command.line == line)
    ids = next(text for text in output if text and text[0].isdigit())
    assert [int(word) for word in ids.split()] == expected.ids
    assert not FAULT.search(screen.transcript)


@pytest.mark.parametrize(
    ("topology", "threads", "note", "used"),
    [
        ("4", None, "4 processors: 4 cores, 0 further threads", 4),
        ("4,sockets=1,cores=2,threads=2", None, "4 processors: 2 cores, 2 further threads", 2),
        ("4,sockets=1,cores=2,threads=2", 3, "4 processors: 2 cores, 2 further threads", 3),
        ("2", 1, None, 1),
        ("1", None, "one processor: the firmware counts no other", 1),
    ],
)
def test_processors_share_the_work(
    topology: str, threads: int | None, note: str | None, used: int, tmp_path: Path
) -> None:
    """One a core unless told otherwise; the ids are the reference's, twice, with a rest at the prompt between.

    The set is forced: calibration would count the processors that are worth their work on the machine below.
    """
    expected = asset_reference("stories260K_prompt")
    line = f'/generate -p "{expected.prompt}" -n {expected.steps} --temp 0 --ids'
    config: dict[str, object] = {"kernels": "sse2"} | ({} if threads is None else {"threads": threads})
    image = build_image(tmp_path / "disk.img", [expected.model], config=config)
    with Guest(image, processors=1, flags=["--", "-smp", topology]) as guest:
        guest.wait_for_prompt(BOOT_LIMIT_S)
        for _ in range(2):
            ids = next(text for text in guest.run(line).output if text and text[0].isdigit())
            assert [int(word) for word in ids.split()] == expected.ids
        cpu = guest.run("/cpu").output
        guest.shut_down()
    found = next(text for text in cpu if text.startswith("processors in use"))
    assert found == f"processors in use: {used}" + (f"; {note}" if note else "")
    assert not FAULT.search(guest.screen.transcript)


def test_a_load_is_cancelled_begun_again_and_verified(tmp_path: Path) -> None:
    """Ctrl-C while weights are read leads to the menu; what is loaded then has its checksums, above 4 GiB too."""
    model = tmp_path / "story15m.bin"
    script = ROOT / "scripts/make_shape_model.py"
    subprocess.run([sys.executable, script, model, "--shape", "15m"], check=True, capture_output=True)
    image = build_image(tmp_path / "disk.img", [model], config={"max_tokens": 4, "temp": 0})
    with Guest(image, memory_mib=6144) as guest:
        guest.wait_for(r"\[ATTN\]", BOOT_LIMIT_S)
        guest.press("ctrl-c")
        guest.wait_for(r"loading was cancelled", BOOT_LIMIT_S)
        guest.settle()
        assert "story15m.bin" in guest.screen.visible, "the menu"
        guest.press("enter")
        guest.wait_for_prompt(BOOT_LIMIT_S)
        assert "of WEIGHTS are as they were loaded" in guest.run("/verify").text
        failsafe = guest.run("/test_failsafe weights").text
        assert "checksum is no longer that of the load" in failsafe
        assert "[failsafe] weights: passed" in failsafe
        assert re.search(r"read in pieces of 4.0 MiB: [1-9][0-9.]* MB/s", guest.run("/bench read").text)
        guest.shut_down()
    assert not FAULT.search(guest.screen.transcript)


def dump_time(guest: Guest) -> datetime:
    """The guest's clock, as it writes it into a dump."""
    guest.run("/save_dump")
    found = re.search(rb"time: (\S+ \S+)", fetch(guest.image, "llmk-dump.txt"))
    assert found is not None
    return datetime.strptime(found[1].decode() + "Z", "%Y-%m-%d %H:%M:%S%z")


def test_the_firmware_watchdog_is_off(tmp_path: Path) -> None:
    """UEFI resets a program after five minutes unless it says otherwise."""
    image = build_image(tmp_path / "idle.img", [asset_reference("stories260K").model])
    flags = ["--", "-icount", "shift=auto,sleep=off", "-rtc", "clock=vm"]
    with Guest(image, processors=1, flags=flags) as guest:
        guest.wait_for_prompt(BOOT_LIMIT_S)
        before = dump_time(guest)
        guest.leave_alone(IDLE_S)
        after = dump_time(guest)
        guest.shut_down()
    assert (after - before).total_seconds() > WATCHDOG_S
    assert guest.screen.transcript.count("[DJIBLAS] SGEMM kernel") == 1, "it was reset"
