# SPDX-License-Identifier: MIT
"""The QEMU runner: its command lines, what it finds on the host, accelerator fallback, exit status, what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import make_image
import pexpect
import pytest
import qemu_command
import qemu_host
import run_qemu
from fat_image import MIB, Entry
from qemu_command import QemuConfig, build_command, memory_for
from qemu_host import Accelerator, Firmware, HostError

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "scripts" / "run_qemu.py"
FIRMWARE = Firmware(Path("code.fd"), Path("vars.fd"))
CONFIG = QemuConfig(Path("qemu"), Path("llmk.img"), FIRMWARE)


def value_after(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


# --- command lines ----------------------------------------------------------------------------------------------------


def test_the_default_command_boots_only_the_image() -> None:
    command = build_command(CONFIG)
    assert value_after(command, "-machine") == "q35"
    assert value_after(command, "-accel") == "tcg"
    assert value_after(command, "-serial") == "mon:stdio"
    assert value_after(command, "-display") == "none"
    assert value_after(command, "-nic") == "none"
    assert "-nodefaults" in command
    assert [word for word in command if "bootindex" in word] == ["ide-hd,bus=ahci.0,drive=stick,bootindex=0"]


@pytest.mark.parametrize(
    ("storage", "device"),
    [("ahci", "ide-hd"), ("nvme", "nvme"), ("usb", "usb-storage"), ("virtio", "virtio-blk-pci")],
)
def test_each_storage_is_a_device_that_boots(storage: str, device: str) -> None:
    command = build_command(QemuConfig(Path("qemu"), Path("i"), FIRMWARE, storage=storage))
    bootable = [word for word in command if "bootindex=0" in word]
    assert len(bootable) == 1
    assert bootable[0].startswith(f"{device},")
    assert "drive=stick" in bootable[0]


def test_commas_in_paths_are_doubled() -> None:
    firmware = Firmware(Path("a,b/code.fd"), Path("a,b/vars.fd"))
    drives = [word for word in build_command(QemuConfig(Path("q"), Path("my,image"), firmware)) if "file=" in word]
    assert [drive.split("file=")[1] for drive in drives] == ["a,,b/code.fd", "a,,b/vars.fd", "my,,image"]


def test_the_firmwares_code_is_read_only_and_its_variables_are_not() -> None:
    code, variables = [word for word in build_command(CONFIG) if "if=pflash" in word]
    assert "readonly=on" in code
    assert "readonly" not in variables


def test_secure_boot_firmware_gets_system_management_mode() -> None:
    firmware = Firmware(Path("OVMF_CODE_4M.secboot.fd"), Path("vars.fd"))
    command = build_command(QemuConfig(Path("q"), Path("i"), firmware))
    assert value_after(command, "-machine") == "q35,smm=on"
    assert "driver=cfi.pflash01,property=secure,value=on" in command


def test_whpx_gets_the_firmware_as_a_rom() -> None:
    config = QemuConfig(Path("q"), Path("i"), Firmware(Path("whole.fd"), None), Accelerator("whpx", "max"))
    command = build_command(config)
    assert value_after(command, "-bios") == "whole.fd"
    assert value_after(command, "-accel") == "whpx,kernel-irqchip=off"


def test_force_avx2_adds_to_the_cpu_model() -> None:
    config = QemuConfig(Path("q"), Path("i"), FIRMWARE, Accelerator("tcg", "qemu64"), force_avx2=True)
    features = value_after(build_command(config), "-cpu").split(",")
    assert features[0] == "qemu64"
    assert {"+avx2", "+fma", "+xsave"} <= set(features)


def test_every_other_option_reaches_the_command() -> None:
    config = QemuConfig(
        Path("q"),
        Path("i"),
        FIRMWARE,
        machine="pc",
        smp=8,
        memory_mib=6144,
        gui=True,
        serial="file:serial.txt",
        monitor="tcp:localhost:4444,server=on,wait=off",
        qmp="a,b/qmp.sock",
        reboot=False,
        snapshot=True,
        extra=["-icount", "shift=7"],
    )
    command = build_command(config)
    assert value_after(command, "-machine") == "pc"
    assert value_after(command, "-smp") == "8"
    assert value_after(command, "-m") == "6144M"
    assert "-display" not in command
    assert value_after(command, "-serial") == "file:serial.txt"
    assert value_after(command, "-monitor") == "tcp:localhost:4444,server=on,wait=off"
    assert value_after(command, "-qmp") == "unix:a,,b/qmp.sock,server=on,wait=off"
    assert "-no-reboot" in command
    assert any(word.endswith("file=i,snapshot=on") for word in command)
    assert command[-2:] == ["-icount", "shift=7"]


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "expected_mib"),
    [
        ([], 256),
        ([Entry("models/stories260K.bin", 1_056_540)], 256),
        ([Entry("EFI/BOOT/BOOTX64.EFI", 900 * MIB)], 256),
        ([Entry("models/small.bin", MIB), Entry("models/A.GGUF", 1000 * MIB)], 1472),
        # The parts of one model add up; two models do not.
        ([Entry(f"models/m-0000{part}-of-00003.gguf", 1000 * MIB) for part in (1, 2, 3)], 3968),
        ([Entry("models/a.gguf", 1000 * MIB), Entry("models/b.gguf", 1000 * MIB)], 1472),
    ],
)
def test_memory_follows_the_largest_model(files: list[Entry], expected_mib: int) -> None:
    assert memory_for(files) == expected_mib


def test_memory_is_read_from_a_true_image(efi: Path, tmp_path: Path) -> None:
    image = tmp_path / "i.img"
    large = tmp_path / "large.gguf"
    with large.open("wb") as file:
        file.truncate(200 * MIB)
    make_image.make_image([make_image.Item(efi, "x"), make_image.Item(large, "models/large.gguf")], image, None, "L")
    assert run_qemu.memory_mib("auto", image) == 192 + 250 + 6
    assert run_qemu.memory_mib("512", image) == 512


def test_memory_for_an_image_that_cannot_be_listed_follows_its_size(tmp_path: Path) -> None:
    image = tmp_path / "no-fat.img"
    image.write_bytes(b"")
    os.truncate(image, 1000 * MIB)
    assert run_qemu.memory_mib("auto", image) == 1472


# --- what the host has ------------------------------------------------------------------------------------------------


def test_the_first_place_with_both_files_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one/CODE.fd", "two/CODE.fd", "two/VARS.fd", "three/CODE.fd", "three/VARS.fd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    places = tuple((str(tmp_path / name), "CODE.fd", "VARS.fd") for name in ("one", "two", "three"))
    monkeypatch.setattr(qemu_host, "OVMF_PLACES", places)
    assert qemu_host.find_ovmf() == Firmware(tmp_path / "two" / "CODE.fd", tmp_path / "two" / "VARS.fd")


def test_the_firmware_beside_qemu_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_host, "OVMF_PLACES", ())
    share = tmp_path / "share" / "qemu"
    share.mkdir(parents=True)
    for name in ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"):
        (share / name).touch()
    found = qemu_host.find_ovmf(qemu=tmp_path / "bin" / "qemu-system-x86_64")
    assert found == Firmware(share / "edk2-x86_64-code.fd", share / "edk2-i386-vars.fd")


def test_no_firmware_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_host, "OVMF_PLACES", ())
    with pytest.raises(HostError, match="apt-get install qemu-system-x86 ovmf"):
        qemu_host.find_ovmf()


@pytest.mark.parametrize(
    ("code", "variables"),
    [
        ("OVMF_CODE.fd", "OVMF_VARS.fd"),
        ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.fd"),
        ("OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),
        ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
        ("edk2-x86_64-secure-code.fd", "edk2-i386-vars.fd"),
        ("ovmf-x86_64-code.bin", "ovmf-x86_64-vars.bin"),
    ],
)
def test_a_named_code_file_brings_its_variables(tmp_path: Path, code: str, variables: str) -> None:
    (tmp_path / code).touch()
    (tmp_path / variables).touch()
    assert qemu_host.find_ovmf(str(tmp_path / code)) == Firmware(tmp_path / code, tmp_path / variables)


def test_a_named_file_of_code_and_variables_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "OVMF.fd").touch()
    assert qemu_host.find_ovmf(str(tmp_path / "OVMF.fd")) == Firmware(tmp_path / "OVMF.fd", None)


def test_a_named_folder_is_looked_into(firmware_folder: Path) -> None:
    assert qemu_host.find_ovmf(str(firmware_folder)).code == firmware_folder / "OVMF_CODE.fd"


def test_bad_firmware_names_are_said(tmp_path: Path) -> None:
    (tmp_path / "OVMF_CODE.fd").touch()
    with pytest.raises(HostError, match=r"variables file is not beside it \(OVMF_VARS\.fd"):
        qemu_host.find_ovmf(str(tmp_path / "OVMF_CODE.fd"))
    with pytest.raises(HostError, match="no such file"):
        qemu_host.find_ovmf(str(tmp_path / "missing.fd"))
    with pytest.raises(HostError, match="no OVMF code and variables file"):
        qemu_host.find_ovmf(str(tmp_path))


def test_qemu_is_found_by_name_folder_or_path(fake_qemu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert qemu_host.find_qemu(str(fake_qemu)) == fake_qemu
    assert qemu_host.find_qemu(str(fake_qemu.parent)) == fake_qemu
    monkeypatch.setenv("PATH", str(fake_qemu.parent))
    assert qemu_host.find_qemu() == fake_qemu
    with pytest.raises(HostError, match="there is no such program"):
        qemu_host.find_qemu("/missing/qemu")


def test_no_qemu_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(qemu_host, "QEMU_PLACES", ())
    with pytest.raises(HostError, match="brew install qemu"):
        qemu_host.find_qemu()


# --- accelerators -----------------------------------------------------------------------------------------------------


def choose(qemu: Path, wanted: str, cpu: str = "auto") -> tuple[Accelerator, list[str]]:
    return qemu_host.choose_accelerator(qemu, wanted, cpu, "q35", FIRMWARE)


@pytest.fixture
def on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_host, "hardware_accelerators", lambda: ["kvm"])
    monkeypatch.setattr(qemu_host, "PROBE_RUN_S", 0.01)


def test_each_system_has_its_accelerator() -> None:
    assert [qemu_host.hardware_accelerators(name) for name in ("Linux", "Darwin", "Windows", "FreeBSD")] == [
        ["kvm"],
        ["hvf"],
        ["whpx"],
        [],
    ]


@pytest.mark.usefixtures("on_linux")
def test_auto_takes_hardware_that_works(fake_qemu: Path) -> None:
    assert choose(fake_qemu, "auto") == (Accelerator("kvm", "host"), [])
    assert choose(fake_qemu, "auto", "qemu64") == (Accelerator("kvm", "qemu64"), [])


@pytest.mark.usefixtures("on_linux")
@pytest.mark.parametrize(
    ("broken", "reason"), [("kvm:exit", "fake: no such accelerator"), ("kvm:stop", "internal-error")]
)
def test_auto_falls_back_when_hardware_fails_or_stops(
    fake_qemu: Path, monkeypatch: pytest.MonkeyPatch, broken: str, reason: str
) -> None:
    monkeypatch.setenv("FAKE_QEMU_BROKEN", broken)
    accelerator, notes = choose(fake_qemu, "auto")
    assert accelerator == Accelerator("tcg", "max")
    assert reason in notes[0]
    assert "TCG" in notes[1]


@pytest.mark.usefixtures("on_linux")
def test_the_real_processor_becomes_max_under_emulation(fake_qemu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_QEMU_BROKEN", "kvm:exit")
    assert choose(fake_qemu, "auto", "host")[0].cpu == "max"
    assert choose(fake_qemu, "auto", "Nehalem")[0].cpu == "Nehalem"


def test_an_accelerator_named_must_work(fake_qemu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_QEMU_BROKEN", "kvm:exit")
    with pytest.raises(HostError, match=r"kvm with -cpu host does not work here: .* KVM needs /dev/kvm"):
        choose(fake_qemu, "kvm")


def test_tcg_named_is_not_probed(fake_qemu: Path) -> None:
    assert choose(fake_qemu, "tcg") == (Accelerator("tcg", "max"), [])
    assert not fake_qemu.with_name("log").exists()


def test_a_probe_that_hangs_is_given_up(fake_qemu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_host, "PROBE_TIMEOUT_S", 0.5)
    fake_qemu.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n", encoding="utf-8")
    assert qemu_host.probe(fake_qemu, "kvm", "host", "q35", FIRMWARE) == "no answer within 0 seconds"


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


def test_a_guest_that_does_not_end_when_asked_is_killed(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert value_after(qemu_command.build_command(config), "-smp") == "3"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_guest_too(options: list[str], tmp_path: Path, number: signal.Signals) -> None:
    alive = tmp_path / "pid"
    guest = f"open({str(alive)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    environment = {**os.environ, "FAKE_QEMU_GUEST": guest}
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


@pytest.mark.skipif(shutil.which(qemu_host.QEMU_NAME) is None, reason="QEMU is not installed")
def test_ctrl_a_x_leaves_qemu_with_0(true_image: Path) -> None:
    arguments = [str(RUNNER), "--image", str(true_image), "--accel", "tcg"]
    child = pexpect.spawn(sys.executable, arguments, timeout=120, encoding="utf-8")
    child.expect("BdsDxe")
    child.send("\x01x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.skipif(shutil.which(qemu_host.QEMU_NAME) is None, reason="QEMU is not installed")
def test_auto_finds_an_accelerator_that_starts(true_image: Path, tmp_path: Path) -> None:
    config = run_qemu.config_from(["--image", str(true_image)], tmp_path)
    command = [*build_command(config), "-S"]
    command[command.index("-serial") + 1] = "none"
    with subprocess.Popen([*command, "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(b'{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n', timeout=60)
    assert process.returncode == 0
    assert b"QMP" in output
