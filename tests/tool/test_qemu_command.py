# SPDX-License-Identifier: MIT
"""QEMU's command lines and the memory of the guest."""

from __future__ import annotations

import os
from pathlib import Path

import make_image
import pytest
import run_qemu
from fat_image import MIB, Entry
from qemu_command import QemuConfig, build_command, memory_for
from qemu_host import Accelerator, Firmware

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
