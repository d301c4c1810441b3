# SPDX-License-Identifier: MIT
"""QEMU's command line for a guest that boots LLM Bare-Metal, from a description. Nothing is looked up or started here.

For example:

    config = QemuConfig(qemu=Path("qemu-system-x86_64"), image=Path("llmk.img"), firmware=Firmware(code, variables))
    subprocess.run(build_command(config))

The files must be there; `firmware.variables` is written to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from fat_image import MIB, Entry
from qemu_host import Accelerator, Firmware, accel_option, escape

STORAGE = ("ahci", "nvme", "usb", "virtio")
MACHINES = ("q35", "pc")
MIN_MEMORY_MIB = 256
# Firmware, the application's own code and buffers, activations, and the margin that UEFI's fragments cost.
BASE_MEMORY_MIB = 192
MEMORY_STEP_MIB = 64
# AVX2 and what compilers and the detection expect to come with it. XSAVE is what lets the guest enable YMM state.
AVX2_FEATURES = "+xsave,+avx,+avx2,+fma,+f16c,+bmi1,+bmi2,+movbe"
EMULATION = Accelerator("tcg", "max")
MODEL_SUFFIXES = (".bin", ".gguf")
SPLIT_NAME = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


@dataclass(frozen=True)
class QemuConfig:
    """One run, everything decided. `firmware.variables` is written to: give a copy of the system's file."""

    qemu: Path
    image: Path
    firmware: Firmware
    accelerator: Accelerator = EMULATION
    machine: str = "q35"
    storage: str = "ahci"
    smp: int = 2
    memory_mib: int = MIN_MEMORY_MIB
    gui: bool = False
    serial: str = "stdio"
    monitor: str | None = None
    qmp: str | None = None
    reboot: bool = True
    snapshot: bool = False
    force_avx2: bool = False
    extra: list[str] = field(default_factory=list)


def memory_for(files: list[Entry]) -> int:
    """The guest's memory in MiB for the models on an image: 192 + 1.25 times the largest model, at least 256.

    One model is loaded at a time, whole; a split one counts with all its parts. The quarter above its size is for
    the KV cache and for tensors that are kept repacked. Rounded up to 64 MiB.
    """
    sizes: dict[str, int] = {}
    for entry in files:
        if entry.path.lower().endswith(MODEL_SUFFIXES):
            model = SPLIT_NAME.sub("", entry.path.lower())
            sizes[model] = sizes.get(model, 0) + entry.size_bytes
    largest = max(sizes.values(), default=0)
    wanted_mib = BASE_MEMORY_MIB + -(-largest * 5 // (4 * MIB))
    return max(MIN_MEMORY_MIB, -(-wanted_mib // MEMORY_STEP_MIB) * MEMORY_STEP_MIB)


def cpu_option(config: QemuConfig) -> str:
    return f"{config.accelerator.cpu},{AVX2_FEATURES}" if config.force_avx2 else config.accelerator.cpu


def machine_options(config: QemuConfig) -> list[str]:
    smm = ",smm=on" if config.firmware.needs_smm else ""
    options = ["-machine", config.machine + smm, "-accel", accel_option(config.accelerator.name)]
    options += ["-cpu", cpu_option(config), "-smp", str(config.smp), "-m", f"{config.memory_mib}M"]
    # No network, floppy or CD-ROM: firmware would try to boot from each of them.
    return [*options, "-nodefaults", "-nic", "none", "-boot", "menu=off"]


def firmware_options(config: QemuConfig) -> list[str]:
    """OVMF in two flash chips; one file that holds code and variables goes into one."""
    firmware = config.firmware
    if config.accelerator.name == "whpx" and firmware.variables is None:
        # WHPX maps no flash that can be written: the file is given as a ROM, variables last until power-off.
        return ["-bios", str(firmware.code)]
    if firmware.variables is None:
        return ["-drive", f"if=pflash,unit=0,format=raw,file={escape(firmware.code)}"]
    secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"] if firmware.needs_smm else []
    code = f"if=pflash,unit=0,format=raw,readonly=on,file={escape(firmware.code)}"
    variables = f"if=pflash,unit=1,format=raw,file={escape(firmware.variables)}"
    return [*secure, "-drive", code, "-drive", variables]


def storage_options(config: QemuConfig) -> list[str]:
    """The image as a disk on the controller asked for; bootindex makes it all that the firmware tries."""
    snapshot = ",snapshot=on" if config.snapshot else ""
    drive = ["-drive", f"if=none,id=stick,format=raw,file={escape(config.image)}{snapshot}"]
    devices = {
        # A controller of our own: `pc` has only IDE, and q35's is then not needed by name.
        "ahci": ["-device", "ich9-ahci,id=ahci", "-device", "ide-hd,bus=ahci.0,drive=stick,bootindex=0"],
        "nvme": ["-device", "nvme,drive=stick,serial=llmk,bootindex=0"],
        "usb": [
            *("-device", "qemu-xhci,id=xhci"),
            *("-device", "usb-storage,id=usbstick,bus=xhci.0,drive=stick,removable=on,bootindex=0"),
        ],
        "virtio": ["-device", "virtio-blk-pci,drive=stick,bootindex=0"],
    }
    return drive + devices[config.storage]


def socket_option(address: str) -> str:
    """A path becomes a Unix socket that QEMU listens on; `tcp:...` and others are QEMU's own words."""
    if re.match(r"(tcp|unix|telnet|pipe):|stdio$|pty$|none$", address):
        return address
    return f"unix:{escape(Path(address))},server=on,wait=off"


def console_options(config: QemuConfig) -> list[str]:
    """Screen, serial line and monitors. `mon:stdio` sends Ctrl-C to the guest; Ctrl-A X leaves QEMU."""
    options = ["-vga", "std"]
    if not config.gui:
        options += ["-display", "none"]
    options += ["-serial", "mon:stdio" if config.serial == "stdio" else config.serial]
    if config.monitor is not None:
        options += ["-monitor", socket_option(config.monitor)]
    if config.qmp is not None:
        options += ["-qmp", socket_option(config.qmp)]
    return options


def build_command(config: QemuConfig) -> list[str]:
    command = [str(config.qemu), "-name", "LLM Bare-Metal", *machine_options(config), *firmware_options(config)]
    command += [*storage_options(config), *console_options(config)]
    if not config.reboot:
        command.append("-no-reboot")
    return command + config.extra
