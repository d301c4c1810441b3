# SPDX-License-Identifier: MIT
"""Runs of the QEMU runner: exit status, what a run leaves behind, signals, the terminal; most with a fake QEMU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import make_image
import pexpect
import pytest
import qemu_host
import run_qemu
from fat_image import MIB
from qemu_command import build_command
from qemu_host import Accelerator

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "scripts" / "run_qemu.py"


# --- running ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "llmk.img"
    path.write_bytes(bytes(MIB))
    return path


@pytest.fixture
def options(fake_qemu: Path, firmware_folder: Path, image: Path) -> list[str]:
    qemu = ["--qemu", str(fake_qemu), "--ovmf", str(firmware_folder)]
    return ["--image", str(image), *qemu, "--accel", "tcg"]


@pytest.mark.parametrize(
    ("guest", "status"),
    [("sys.exit(0)", 0), ("sys.exit(3)", 1), ("os.kill(os.getpid(), signal.SIGSEGV)", 1), ("time.sleep(60)", 124)],
)
def test_exit_status(options: list[str], monkeypatch: pytest.MonkeyPatch, guest: str, status: int) -> None:
    monkeypatch.setenv("FAKE_QEMU_GUEST", guest)
    timeout = ["--timeout", "0.5"] if status == run_qemu.EXIT_TIMEOUT else []
    assert run_qemu.main([*options, *timeout]) == status


def test_a_guest_that_does_not_end_when_asked_is_killed(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_qemu, "STOP_GRACE_S", 0.2)
    monkeypatch.setenv("FAKE_QEMU_GUEST", "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)")
    started = time.monotonic()
    assert run_qemu.main([*options, "--timeout", "1"]) == run_qemu.EXIT_TIMEOUT
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("missing", ["--image", "--qemu", "--ovmf"])
def test_what_is_missing_is_status_2_and_a_sentence(
    options: list[str], capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    options[options.index(missing) + 1] = "/missing/thing"
    assert run_qemu.main(options) == run_qemu.EXIT_NOT_READY
    assert "/missing/thing" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--smp", "0"], ["--mem", "lots"], ["--storage", "floppy"], ["--machine", "arm"]])
def test_wrong_options_are_status_2(options: list[str], wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_qemu.main([*options, *wrong])
    assert caught.value.code == run_qemu.EXIT_NOT_READY


def test_a_qemu_that_cannot_be_started_is_status_2(options: list[str], fake_qemu: Path) -> None:
    fake_qemu.write_text("#!/missing/interpreter\n", encoding="utf-8")
    assert run_qemu.main(options) == run_qemu.EXIT_NOT_READY


def test_each_run_has_fresh_variables_and_leaves_nothing(
    options: list[str], firmware_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    seen = tmp_path / "seen"
    guest = """
path = next(word for word in arguments if "unit=1" in word).split("file=")[1].replace(",,", ",")
with open(path, "r+b") as file:
    seen = file.read()
    file.write(b"changed")
open(os.environ["SEEN"], "ab").write(seen + b"|")
"""
    monkeypatch.setenv("FAKE_QEMU_GUEST", guest)
    monkeypatch.setenv("SEEN", str(seen))
    (firmware_folder / "OVMF_VARS.fd").chmod(0o444)
    assert run_qemu.main(options) == 0
    assert run_qemu.main(options) == 0
    assert seen.read_bytes() == b"variables|variables|"
    assert (firmware_folder / "OVMF_VARS.fd").read_bytes() == b"variables"
    assert not list(scratch.iterdir())


def test_whpx_firmware_is_variables_then_code(firmware_folder: Path, tmp_path: Path) -> None:
    firmware = qemu_host.find_ovmf(str(firmware_folder))
    private = run_qemu.private_firmware(firmware, tmp_path, Accelerator("whpx", "max"))
    assert private.variables is None
    assert private.code.read_bytes() == b"variablescode"


def test_arguments_after_two_dashes_reach_qemu(options: list[str], fake_qemu: Path) -> None:
    assert run_qemu.main([*options, "--", "-icount", "shift=7"]) == 0
    started = json.loads(fake_qemu.with_name("log").read_text(encoding="utf-8"))
    assert started[-2:] == ["-icount", "shift=7"]


def test_a_dry_run_prints_the_command_and_starts_nothing(
    options: list[str], fake_qemu: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_qemu.main([*options, "--dry-run"]) == 0
    assert "-machine q35" in capsys.readouterr().out
    assert not fake_qemu.with_name("log").exists()


def test_tests_can_take_the_configuration(options: list[str], fake_qemu: Path, tmp_path: Path) -> None:
    config = run_qemu.config_from([*options, "--smp", "3", "--mem", "300"], tmp_path)
    assert (config.qemu, config.smp, config.memory_mib) == (fake_qemu, 3, 300)
    command = build_command(config)
    assert command[command.index("-smp") + 1] == "3"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_guest_too(options: list[str], tmp_path: Path, number: signal.Signals) -> None:
    alive = tmp_path / "pid"
    guest = f"open({str(alive)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    environment = {**os.environ, "FAKE_QEMU_GUEST": guest}
    # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen([sys.executable, str(RUNNER), *options], env=environment) as runner:
        deadline = time.monotonic() + 20
        while not (alive.exists() and alive.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        runner.send_signal(number)
        assert runner.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(alive.read_text()), 0)


def test_the_terminal_is_put_back_when_qemu_dies(options: list[str], tmp_path: Path) -> None:
    guest = "import tty; tty.setraw(0); os.set_blocking(0, False); os.kill(os.getpid(), signal.SIGKILL)"
    command = " ".join(f"'{word}'" for word in [sys.executable, str(RUNNER), *options])
    script = f"{command}; stty -a; echo; cat"  # cat fails at once where reading does not block
    environment = {**os.environ, "FAKE_QEMU_GUEST": guest}
    child = pexpect.spawn("/bin/sh", ["-c", script], env=environment, timeout=20, encoding="utf-8")
    child.expect(r" icanon ")
    child.expect(r" echo ")
    child.sendline("still here")
    child.expect("still here\r\nstill here")
    child.close(force=True)


# --- with a true QEMU -------------------------------------------------------------------------------------------------


@pytest.fixture
def true_image(efi: Path, tmp_path: Path) -> Path:
    """An image that the firmware finds and cannot start: enough to see it run."""
    path = tmp_path / "true.img"
    make_image.make_image([make_image.Item(efi, make_image.EFI_DESTINATION)], path, None, "LLMK")
    return path


def test_ctrl_a_x_leaves_qemu_with_0(true_image: Path) -> None:
    arguments = [str(RUNNER), "--image", str(true_image), "--accel", "tcg"]
    child = pexpect.spawn(sys.executable, arguments, timeout=120, encoding="utf-8")
    child.expect("BdsDxe")
    child.send("\x01x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_auto_finds_an_accelerator_that_starts(true_image: Path, tmp_path: Path) -> None:
    config = run_qemu.config_from(["--image", str(true_image)], tmp_path)
    command = [*build_command(config), "-S"]
    command[command.index("-serial") + 1] = "none"
    with subprocess.Popen([*command, "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(b'{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n', timeout=60)
    assert process.returncode == 0
    assert b"QMP" in output
