# SPDX-License-Identifier: MIT
"""efisim itself: what it answers, what it refuses, how it ends, and that it sees what firmware would trip over."""

from __future__ import annotations

import struct
import subprocess
import time
from pathlib import Path

import pytest
import run_efisim
from e2e.guest import Guest, build_image
from efisim.conftest import MODEL, Runner, run_on
from support import built

TURN = "Tell me a story about a dog."


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return build_image(tmp_path / "volume", [MODEL], {"temp": 0, "max_tokens": 24, "kernels": "sse2"})


def test_reset_is_told_from_power_off(run: Runner) -> None:
    assert run(["/shutdown"]).status == 0
    assert run(["/reboot"]).status == 3


@pytest.mark.parametrize("processors", [1, 2])
def test_the_program_gives_everything_back(volume: Path, processors: int) -> None:
    """Back to the firmware from the menu: pages, pool, events, files and processors are the firmware's again."""
    with Guest(volume, processors=processors) as guest:
        guest.wait_for_prompt()
        guest.run(TURN)
        guest.run("/save_log")
        guest.type_line("/exit")
        guest.wait_for(r"\[\+\] +1 default\.gguf")
        guest.settle()
        guest.press("escape")
        guest.wait_for_power_off()


def test_another_place_in_memory_changes_nothing(run: Runner) -> None:
    assert len({run([TURN, "/shutdown"], "--base", "random").answer(TURN) for _ in range(3)}) == 1


def test_a_device_that_fails_on_large_reads(run: Runner) -> None:
    """Reads of 4 MiB fail, then those of 1 MiB: what is loaded is the same."""
    whole = run([TURN, "/shutdown"])
    pieces = run([TURN, "/shutdown"], "--largest-read", "131072")
    assert pieces.status == 0, pieces.errors
    assert pieces.answer(TURN) == whole.answer(TURN) != ""


def test_the_watchdog_is_disarmed(run: Runner) -> None:
    """Armed at the start for a second; a device of 4 MB a second makes the load last longer."""
    done = run([TURN, "/shutdown"], "--watchdog", 1, "--slow-disk", "4000000")
    assert done.status == 0, done.errors


def test_the_watchdog_fires(volume: Path, tmp_path: Path) -> None:
    """Were it not for the program: so the test above means something."""
    ends = broken_efi(tmp_path / "loop.efi", entry=b"\xeb\xfe")  # jmp to itself
    started = time.monotonic()
    done = run_on(volume, "--efi", ends, "--watchdog", 1)
    assert done.status == 71
    assert "watchdog" in done.errors
    assert time.monotonic() - started < 20


def broken_efi(path: Path, entry: bytes = b"", section_flags: int = 0) -> Path:
    """A copy of the binary with other bytes at its entry, or flags added to its first section."""
    data = bytearray(built("BOOTX64.EFI").read_bytes())
    (pe,) = struct.unpack_from("<I", data, 0x3C)
    (optional_bytes,) = struct.unpack_from("<H", data, pe + 20)
    section = pe + 24 + optional_bytes
    (entry_address,) = struct.unpack_from("<I", data, pe + 24 + 16)
    address, _, at = struct.unpack_from("<III", data, section + 12)
    if entry:
        begin = entry_address - address + at
        data[begin : begin + len(entry)] = entry
    (flags,) = struct.unpack_from("<I", data, section + 36)
    struct.pack_into("<I", data, section + 36, flags | section_flags)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (b"\x0f\x0b", "#UD on processor 0 in the program at +0x"),  # ud2
        (b"\x0f\x30", "#GP on processor 0 in the program at +0x"),  # wrmsr
        (b"\x0f\x20\xd8", "#GP on processor 0 in the program at +0x"),  # mov rax, cr3
        (b"\x31\xc0\x8b\x00", "#PF on processor 0 in the program at +0x"),  # mov eax, [0]
        (
            b"\x48\x83\xec\x28\x48\x8b\x42\x60\xff\x50\x18",
            "function 1 of EFI_BOOT_SERVICES",
        ),  # BootServices->RaiseTPL()
    ],
)
def test_a_fault_ends_the_run_with_its_place(volume: Path, tmp_path: Path, entry: bytes, words: str) -> None:
    done = run_on(volume, "--efi", broken_efi(tmp_path / "broken.efi", entry))
    assert done.status == 70
    assert words in done.errors


def test_a_section_that_is_writable_and_executable_is_refused(volume: Path, tmp_path: Path) -> None:
    done = run_on(volume, "--efi", broken_efi(tmp_path / "wx.efi", section_flags=0x80000000))
    assert done.status == 2
    assert "a section is writable and executable" in done.errors


@pytest.mark.parametrize("length", [0, 1, 63, 200, 1000, 100_000])
def test_a_file_that_is_cut_off_is_refused(volume: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.efi"
    cut.write_bytes(built("BOOTX64.EFI").read_bytes()[:length])
    done = run_on(volume, "--efi", cut)
    assert done.status == 2
    assert str(cut) in done.errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--volume FOLDER is needed"),
        (["--volume", "/there/is/none"], "there is no such folder"),
        (["--volume", ".", "--mp", "some"], "--mp some: expected"),
        (["--volume", ".", "--memory", "4X"], "--memory 4X: expected a number"),
        (["--volume", ".", "--frobnicate", "1"], "--frobnicate is no option"),
        (["--volume", ".", "--cpuid", "1.ecx+1"], "--cpuid needs --symbols"),
    ],
)
def test_wrong_options_are_named(options: list[str], words: str) -> None:
    done = subprocess.run([run_efisim.EFISIM, *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert words in done.stderr


def test_the_user_leaves_by_ctrl_a_x(volume: Path) -> None:
    with Guest(volume) as guest:
        guest.wait_for_prompt()
        guest.press("\x01")
        guest.press("x")
        with pytest.raises(AssertionError, match="the runner ended with 4"):
            guest.wait_for_power_off()


def test_statistics_for_benchmarks() -> None:
    speeds = run_efisim.chat_stats(MODEL, [TURN, TURN], {"max_tokens": 8})
    assert len(speeds) == 2
    assert all(speed > 0 for speed in speeds)
