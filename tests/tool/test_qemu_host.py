# SPDX-License-Identifier: MIT
"""What the host offers: QEMU, firmware, and accelerators that are tried before they are used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import qemu_host
from qemu_host import Accelerator, Firmware, HostError

FIRMWARE = Firmware(Path("code.fd"), Path("vars.fd"))


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
        ("OVMF_CODE_4M.secboot.strictnx.fd", "OVMF_VARS_4M.fd"),
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
