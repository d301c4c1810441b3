#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boots an image in QEMU with UEFI firmware, in this terminal or a window. Linux, macOS and Windows.

    python scripts/run_qemu.py --image build/llmk.img --smp 4 --storage nvme -- -icount shift=7,sleep=off

What follows `--` goes to QEMU as it is. Keys in a terminal: Ctrl-A X leaves QEMU, Ctrl-A C is its monitor, Ctrl-C
goes to the guest. Exit status: 0 power-off or the user left, 1 QEMU failed, 2 something has to be installed or
corrected first, 124 --timeout passed.

From tests: `config_from([...], scratch)`, `build_command(config)`, `run(config)`; see qemu_command.QemuConfig.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import fat_image
from qemu_command import MACHINES, STORAGE, QemuConfig, build_command, memory_for
from qemu_host import Accelerator, Firmware, HostError, choose_accelerator, find_ovmf, find_qemu

EXIT_OK = 0
EXIT_QEMU_FAILED = 1
EXIT_NOT_READY = 2
EXIT_TIMEOUT = 124
STOP_GRACE_S = 5.0
ACCELERATORS = ("auto", "kvm", "hvf", "whpx", "tcg")
# Attributes off, line wrap on, cursor shown: a guest that is stopped leaves the terminal as it was using it.
RESET_TERMINAL = "\x1b[0m\x1b[?7h\x1b[?25h"


def say(message: str) -> None:
    print(f"run_qemu: {message}", file=sys.stderr, flush=True)


# --- from options to a configuration ----------------------------------------------------------------------------------


def private_firmware(firmware: Firmware, scratch: Path, accelerator: Accelerator) -> Firmware:
    """A copy of what the guest writes to, so that each run starts with fresh variables and the system's stay as is."""
    if firmware.variables is None or accelerator.name == "whpx":
        whole = scratch / "firmware.fd"
        parts = [part for part in (firmware.variables, firmware.code) if part is not None]
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        return Firmware(whole, None)
    variables = scratch / "variables.fd"
    shutil.copyfile(firmware.variables, variables)
    variables.chmod(0o600)  # the system's file may be read-only
    return Firmware(firmware.code, variables)


def memory_mib(wanted: str, image: Path) -> int:
    """`--mem`: a number, or what the models on the image need."""
    if wanted != "auto":
        return int(wanted)
    try:
        files = fat_image.list_files(image)
    except fat_image.ImageError:
        # No mtools (Windows), or no FAT32 at 1 MiB: the image is about as large as its models.
        files = [fat_image.Entry("image.bin", image.stat().st_size)]
    return memory_for(files)


def resolve(options: argparse.Namespace, scratch: Path) -> QemuConfig:
    """Everything looked up and tried; `scratch` receives the run's own firmware variables."""
    image: Path = options.image
    if not image.is_file():
        raise HostError(f"{image}: there is no such image; `make image` makes one")
    qemu = find_qemu(options.qemu)
    firmware = find_ovmf(options.ovmf, qemu)
    accelerator, notes = choose_accelerator(qemu, options.accel, options.cpu, options.machine, firmware)
    for note in notes:
        say(note)
    return QemuConfig(
        qemu=qemu,
        image=image,
        firmware=private_firmware(firmware, scratch, accelerator),
        accelerator=accelerator,
        machine=options.machine,
        storage=options.storage,
        smp=options.smp,
        memory_mib=memory_mib(options.mem, image),
        gui=options.gui,
        serial=options.serial,
        monitor=options.monitor,
        qmp=options.qmp,
        reboot=not options.no_reboot,
        snapshot=options.snapshot,
        force_avx2=options.force_avx2,
        extra=options.qemu_arguments,
    )


def config_from(arguments: list[str], scratch: Path) -> QemuConfig:
    """The configuration for these command-line options, as tests want it."""
    return resolve(parse_arguments(arguments), scratch)


# --- running ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Puts the terminal back as it was, even when QEMU dies without doing so itself."""
    if os.name != "posix" or not sys.stdin.isatty():
        yield
        return
    import fcntl
    import termios

    descriptor = sys.stdin.fileno()
    attributes = termios.tcgetattr(descriptor)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        if sys.stdout.isatty():
            print(RESET_TERMINAL, end="", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def stop_signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP end this program as Ctrl-C does: the guest is stopped and the temporary files go."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), _interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks QEMU to end, which flushes the image and restores the terminal; kills it when it does not."""
    process.terminate()
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def exit_status(returncode: int) -> int:
    """Ours for QEMU's: it leaves with 0 on power-off and when told to quit; all else is a failure."""
    if returncode == 0:
        return EXIT_OK
    how = f"signal {-returncode}" if returncode < 0 else f"exit status {returncode}"
    say(f"QEMU failed ({how})")
    return EXIT_QEMU_FAILED


def run(config: QemuConfig, timeout_s: float | None = None) -> int:
    """Runs the guest until it powers off, the user leaves or the time is up; returns the exit status."""
    with terminal_restored(), stop_signals_raise():
        try:
            process = subprocess.Popen(build_command(config))
        except OSError as error:
            say(f"{config.qemu} cannot be started: {error}")
            return EXIT_NOT_READY
        try:
            return exit_status(process.wait(timeout_s))
        except subprocess.TimeoutExpired:
            stop(process)
            say(f"stopped after {timeout_s:g} seconds")
            return EXIT_TIMEOUT
        except KeyboardInterrupt:
            stop(process)
            return EXIT_OK


def announce(config: QemuConfig) -> None:
    leave = "close the window to leave" if config.gui else "Ctrl-A X leaves"
    name = config.accelerator
    machine = f"{config.machine}, {name.name}, CPU {name.cpu}, {config.smp} processors, {config.memory_mib} MiB"
    say(f"{config.image} on {config.storage}; {machine}; {leave}")


# --- command line -----------------------------------------------------------------------------------------------------


def default_smp() -> int:
    """All of a small machine, a part of a large one: under emulation each guest processor is a busy host thread."""
    return min(4, os.cpu_count() or 1)


def memory_argument(text: str) -> str:
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError("a number of MiB, or `auto`")
    return text


def count_argument(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError("a number, 1 or more")
    return int(text)


def add_guest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", type=Path, required=True, help="the disk image to boot; the guest may write to it")
    parser.add_argument(
        "--accel",
        choices=ACCELERATORS,
        default="auto",
        help="auto: what this system has (KVM, HVF, WHPX) is tried for an instant; emulation (tcg) when it fails",
    )
    parser.add_argument(
        "--cpu",
        default="auto",
        metavar="auto|host|max|qemu64|MODEL",
        help="auto: host on the real processor, max under emulation. qemu64 has SSE2 and no AVX",
    )
    parser.add_argument(
        "--force-avx2",
        action="store_true",
        help="add AVX2, FMA and what they need to the CPU model, for example to qemu64. "
        "Under emulation AVX2 is there but slow, and needs QEMU 7.2 or newer; a real processor must have it",
    )
    parser.add_argument("--machine", choices=MACHINES, default="q35", help="chipset (default: q35)")
    parser.add_argument(
        "--smp", type=count_argument, default=default_smp(), metavar="N", help="processors (default: here %(default)s)"
    )
    parser.add_argument(
        "--mem",
        type=memory_argument,
        default="auto",
        metavar="N|auto",
        help="memory in MiB. auto: 192 + 1.25 times the largest model on the image, at least 256",
    )
    parser.add_argument("--storage", choices=STORAGE, default="ahci", help="controller of the image (default: ahci)")
    parser.add_argument("--snapshot", action="store_true", help="forget what the guest writes to the image")
    parser.add_argument("--no-reboot", action="store_true", help="leave QEMU when the guest resets")


def add_host_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gui", action="store_true", help="show the guest's screen in a window")
    parser.add_argument(
        "--serial",
        default="stdio",
        metavar="stdio|none|file:PATH|...",
        help="where the serial line goes: this terminal, nowhere, a file, or any character device of QEMU's",
    )
    parser.add_argument("--qemu", metavar="PATH", help="qemu-system-x86_64, or the folder it is in")
    parser.add_argument("--ovmf", metavar="PATH", help="OVMF's code file, or the folder it is in")
    parser.add_argument("--monitor", metavar="SOCKET", help="QEMU's monitor on a Unix socket (or tcp:...)")
    parser.add_argument("--qmp", metavar="SOCKET", help="the machine protocol on a Unix socket, for tests, screendumps")
    parser.add_argument("--timeout", type=float, metavar="S", help="stop after this many seconds, exit status 124")
    parser.add_argument("--dry-run", action="store_true", help="print QEMU's command line and end")
    parser.add_argument("qemu_arguments", nargs="*", metavar="-- ARGUMENT", help="more arguments for QEMU")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_guest_options(parser)
    add_host_options(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="llmk-") as scratch:
            config = resolve(options, Path(scratch))
            if options.dry_run:
                print(shlex.join(build_command(config)))
                return EXIT_OK
            announce(config)
            return run(config, options.timeout)
    except HostError as error:
        say(str(error))
        return EXIT_NOT_READY
    except KeyboardInterrupt:
        return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
