# SPDX-License-Identifier: MIT
"""What this computer offers for running QEMU: the program, the UEFI firmware, and an accelerator that works.

Everything here looks and tries; nothing is kept, and no command line for the guest is built (qemu_command.py).
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

QEMU_NAME = "qemu-system-x86_64"
PROBE_TIMEOUT_S = 15.0
# Long enough for a virtual processor to have failed: a broken KVM stops at one of the firmware's first instructions.
PROBE_RUN_S = 0.4

INSTALL_QEMU = (
    "install it with `sudo apt-get install qemu-system-x86 ovmf` (Debian, Ubuntu), `sudo dnf install qemu-system-x86 "
    "edk2-ovmf` (Fedora), `sudo pacman -S qemu-system-x86 edk2-ovmf` (Arch), `brew install qemu` (macOS) or `winget "
    "install SoftwareFreedomConservancy.QEMU` (Windows)"
)

# (folder, code, variables), first found wins. 4 MB builds before 2 MB ones: they have room for more variables.
OVMF_PLACES: tuple[tuple[str, str, str], ...] = (
    ("/usr/share/OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),  # Debian 12+, Ubuntu
    ("/usr/share/OVMF", "OVMF_CODE.fd", "OVMF_VARS.fd"),  # Debian 11
    ("/usr/share/edk2/ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd"),  # Fedora
    ("/usr/share/edk2/x64", "OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),  # Arch
    ("/usr/share/edk2/x64", "OVMF_CODE.fd", "OVMF_VARS.fd"),
    ("/usr/share/edk2-ovmf/x64", "OVMF_CODE.fd", "OVMF_VARS.fd"),  # Arch, older
    ("/usr/share/edk2-ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd"),  # Gentoo
    ("/usr/share/qemu", "ovmf-x86_64-code.bin", "ovmf-x86_64-vars.bin"),  # openSUSE
    ("/usr/share/qemu", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
    ("/opt/homebrew/share/qemu", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),  # Homebrew, Apple silicon
    ("/usr/local/share/qemu", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),  # Homebrew, Intel
    (r"C:\Program Files\qemu\share", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
    (r"C:\msys64\ucrt64\share\qemu", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
    (r"C:\msys64\mingw64\share\qemu", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
)
QEMU_PLACES = (r"C:\Program Files\qemu", "/opt/homebrew/bin", "/usr/local/bin", "/usr/libexec")


class HostError(Exception):
    """Something that has to be installed or corrected first, as a sentence."""


@dataclass(frozen=True)
class Firmware:
    """OVMF's two files; without `variables`, `code` is one file that holds both."""

    code: Path
    variables: Path | None

    @property
    def needs_smm(self) -> bool:
        """Builds with Secure Boot lock their variables in system management mode and do not start without it."""
        return any(mark in self.code.name for mark in ("secboot", "secure", ".ms."))


@dataclass(frozen=True)
class Accelerator:
    """What the guest runs on: QEMU's -accel and -cpu, and whether the processor is the real one."""

    name: str
    cpu: str

    @property
    def is_hardware(self) -> bool:
        return self.name != "tcg"


# --- QEMU and its firmware --------------------------------------------------------------------------------------------


def find_qemu(wanted: str | None = None) -> Path:
    """The QEMU named (a program or the folder it is in), else the one in PATH or in a usual place."""
    if wanted is not None:
        return _named_qemu(wanted)
    search = os.pathsep.join([os.environ.get("PATH", ""), *QEMU_PLACES])
    found = shutil.which(QEMU_NAME, path=search)
    if found is None:
        raise HostError(f"{QEMU_NAME} was not found: {INSTALL_QEMU}")
    return Path(found)


def _named_qemu(wanted: str) -> Path:
    path = shutil.which(QEMU_NAME, path=wanted) if Path(wanted).is_dir() else shutil.which(wanted)
    if path is None:
        raise HostError(f"--qemu {wanted}: there is no such program")
    return Path(path)


def find_ovmf(wanted: str | None = None, qemu: Path | None = None) -> Firmware:
    """The firmware named (its code file or the folder), else the first in the usual places or beside QEMU."""
    if wanted is not None:
        return _named_ovmf(Path(wanted))
    places = [(Path(folder), code, variables) for folder, code, variables in OVMF_PLACES]
    if qemu is not None:
        beside = [qemu.parent / "share", qemu.resolve().parent.parent / "share" / "qemu"]
        places += [(folder, "edk2-x86_64-code.fd", "edk2-i386-vars.fd") for folder in beside]
    for folder, code, variables in places:
        if (folder / code).is_file() and (folder / variables).is_file():
            return Firmware(folder / code, folder / variables)
    raise HostError(f"the UEFI firmware OVMF was not found: {INSTALL_QEMU}; or name its code file with --ovmf")


def _named_ovmf(path: Path) -> Firmware:
    if path.is_dir():
        for _, code, variables in OVMF_PLACES:
            if (path / code).is_file() and (path / variables).is_file():
                return Firmware(path / code, path / variables)
        raise HostError(f"--ovmf {path}: there is no OVMF code and variables file in this folder")
    if not path.is_file():
        raise HostError(f"--ovmf {path}: no such file")
    if "code" not in path.name.lower():
        return Firmware(path, None)
    for name in variable_names(path.name):
        if path.with_name(name).is_file():
            return Firmware(path, path.with_name(name))
    expected = " or ".join(variable_names(path.name))
    raise HostError(f"--ovmf {path}: its variables file is not beside it ({expected})")


def variable_names(code_name: str) -> list[str]:
    """What the variables file that belongs to a code file may be called, best first."""
    same = code_name.replace("CODE", "VARS").replace("code", "vars")
    plain = re.sub(r"\.(secboot|strictnx|ms|snakeoil)(?=\.)|-secure(?=-)", "", same)
    # QEMU's own firmware has one variables file for both word sizes.
    return list(dict.fromkeys([same, plain, plain.replace("x86_64", "i386")]))


def escape(path: Path) -> str:
    """A path inside a QEMU option, where a comma ends the value unless it is doubled."""
    return str(path).replace(",", ",,")


# --- accelerators -----------------------------------------------------------------------------------------------------


def hardware_accelerators(system: str | None = None) -> list[str]:
    """What could run the guest on the real processor under this operating system."""
    return {"Linux": ["kvm"], "Darwin": ["hvf"], "Windows": ["whpx"]}.get(system or platform.system(), [])


def default_cpus(accelerator: str) -> list[str]:
    """CPU models for `--cpu auto`, best first. WHPX knows no `host` in most versions of QEMU."""
    return {"tcg": ["max"], "whpx": ["max", "qemu64"]}.get(accelerator, ["host"])


def accel_option(accelerator: str) -> str:
    """The value of -accel. WHPX's interrupt controller loses interrupts, so QEMU's own is used with it."""
    return "whpx,kernel-irqchip=off" if accelerator == "whpx" else accelerator


def probe(qemu: Path, accelerator: str, cpu: str, machine: str, firmware: Firmware) -> str | None:
    """Starts the firmware for an instant; None when it runs, else why not.

    That /dev/kvm is there says little: in containers and nested machines it opens, and then a virtual processor
    cannot be created, or stops where the firmware enters protected mode. So one is created, given the firmware that
    it is to run, and asked whether it still runs.
    """
    command = [str(qemu), "-accel", accel_option(accelerator), "-cpu", cpu, "-machine", machine, "-m", "128"]
    command += ["-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]
    if accelerator != "whpx":  # which runs no flash: see qemu_command.firmware_options
        command += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={escape(firmware.code)}"]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        return str(error)
    with process:
        try:
            output, errors = _run_briefly(process)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"no answer within {PROBE_TIMEOUT_S:.0f} seconds"
    if process.returncode == 0 and _status_of(output) == "running":
        return None
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines()]
    reasons = [line.removeprefix(f"{QEMU_NAME}: ") for line in lines if line and "warning:" not in line]
    return reasons[0] if reasons else f"the virtual processor stopped ({_status_of(output) or process.returncode})"


def _run_briefly(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    assert process.stdin is not None
    try:
        process.stdin.write(b'{"execute":"qmp_capabilities"}\n{"execute":"cont"}\n')
        process.stdin.flush()
        time.sleep(PROBE_RUN_S)
        process.stdin.write(b'{"execute":"query-status"}\n{"execute":"quit"}\n')
        process.stdin.flush()
    except OSError:
        pass  # it has ended already; its exit status says so
    return process.communicate(timeout=PROBE_TIMEOUT_S)


def _status_of(output: bytes) -> str | None:
    """What the answer to query-status says: `running`, `internal-error` and so on."""
    for line in output.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        result = answer.get("return") if isinstance(answer, dict) else None
        if isinstance(result, dict) and "status" in result:
            return str(result["status"])
    return None


def choose_accelerator(
    qemu: Path, wanted: str, cpu: str, machine: str, firmware: Firmware
) -> tuple[Accelerator, list[str]]:
    """The accelerator and CPU model to use, and what to tell the person about it.

    `auto` tries the hardware and falls back to TCG; one that is asked for by name either works or is an error.
    """
    notes: list[str] = []
    for name in hardware_accelerators() if wanted == "auto" else [wanted]:
        cpus = default_cpus(name) if cpu == "auto" else [cpu]
        if name == "tcg":
            return Accelerator(name, cpus[0]), notes
        for model in cpus:
            reason = probe(qemu, name, model, machine, firmware)
            if reason is None:
                return Accelerator(name, model), notes
            notes.append(f"{name} with -cpu {model} does not work here: {reason}")
    if wanted != "auto":
        raise HostError("; ".join(notes) + f". {hint_for(wanted)}")
    # `host` asks for the real processor, which emulation does not have; `max` is what comes nearest to it.
    model = "max" if cpu in ("auto", "host") else cpu
    notes.append("using TCG emulation: everything works, at a small part of the speed")
    return Accelerator("tcg", model), notes


def hint_for(accelerator: str) -> str:
    return {
        "kvm": "KVM needs /dev/kvm, virtualization switched on in the firmware, and you in the group `kvm`",
        "hvf": "HVF runs x86-64 guests on Intel Macs only",
        "whpx": "WHPX needs the Windows feature `Windows Hypervisor Platform`",
    }[accelerator]
