# SPDX-License-Identifier: MIT
"""The other processors of a machine: one, two and four, and firmware in which something is wrong with them. Each time
the answers are the host tool's, and the log says what was found.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from e2e.guest import Guest, build_image
from efisim.conftest import MODEL, Run, Runner, run_on
from support import Tool

PROMPT = "Once upon a time"
TOKENS = 40
GENERATE = f'/generate -p "{PROMPT}" -n {TOKENS} --temp 0 --ids --kernels sse2'
SCRIPT = [GENERATE, "/cpu", "/log 50", "/shutdown"]
# CPUID of a real Intel processor that counts its clocks and knows its temperature.
INTEL = ("0.ebx=0x756e6547", "0.edx=0x49656e69", "0.ecx=0x6c65746e", "1.ecx-0x80000000", "6.eax+1", "6.ecx+1")


@pytest.fixture(scope="module")
def expected(llmk: Tool) -> str:
    arguments = ["-m", MODEL, "-p", PROMPT, "-n", TOKENS, "--temp", "0", "--ids", "--kernels", "sse2"]
    result = llmk("generate", *arguments)
    assert result.returncode == 0
    return numbers_of(result.stdout.decode().splitlines())


def numbers_of(lines: list[str]) -> str:
    return next(line.strip() for line in lines if re.fullmatch(r"[\d ]+", line))


def in_use(run: Run) -> str:
    return next(line for line in run.output("/cpu") if line.startswith("processors in use: "))


def logged(run: Run, sentence: str) -> bool:
    return any(" cpu " in line and sentence in line for line in run.output("/log 50"))


@pytest.mark.parametrize("processors", [1, 2, 4])
def test_workers_do_the_same_as_one(run: Runner, expected: str, processors: int) -> None:
    done = run(SCRIPT, "--processors", processors, config={"threads": processors})
    assert done.status == 0, done.errors
    assert numbers_of(done.output(GENERATE)) == expected
    assert in_use(done).startswith(f"processors in use: {processors}")


@pytest.mark.parametrize(
    ("fault", "used", "sentence"),
    [
        ("none", 1, "one processor: the firmware has no EFI_MP_SERVICES_PROTOCOL"),
        ("busy=1-", 1, "one processor: the firmware says that the others are not ready"),
        ("busy=1-3", 4, "4 processors: 4 cores, 0 further threads"),
        ("deaf=1", 3, "3 processors: 3 cores, 0 further threads; 1 did not answer and is left out"),
        ("deaf=3", 3, "3 processors: 3 cores, 0 further threads; 1 did not answer and is left out"),
    ],
)
def test_faults_are_found_before_the_work(run: Runner, expected: str, fault: str, used: int, sentence: str) -> None:
    done = run(SCRIPT, "--processors", 4, "--mp", fault, config={"threads": 4})
    assert done.status == 0, done.errors
    assert numbers_of(done.output(GENERATE)) == expected
    assert in_use(done) == f"processors in use: {used}; {sentence}"
    assert logged(done, sentence)


def test_the_only_other_one_does_not_answer(run: Runner, expected: str) -> None:
    done = run(SCRIPT, "--processors", 2, "--mp", "deaf=1")
    assert done.status == 0, done.errors
    assert numbers_of(done.output(GENERATE)) == expected
    assert logged(done, "one processor: none of the others answered")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        # Starts 1 and 2 are the trial.
        ("deaf=2:3", "one processor: of 3 others 2 came back from work; they are left alone"),
        ("busy=3-", "one processor: the firmware says that the others are still busy"),
    ],
)
def test_faults_at_work(tmp_path: Path, expected: str, fault: str, sentence: str) -> None:
    """Whoever does not come back is missed when the others rest, at the prompt; whoever is busy, after a second."""
    image = build_image(tmp_path / "volume", [MODEL], {"temp": 0, "max_tokens": 150, "kernels": "sse2", "threads": 4})
    with Guest(image, processors=4, flags=["--mp", fault]) as guest:
        guest.wait_for_prompt()
        for _ in range(60):
            guest.run("Tell me a story about a dog.")
            if sentence.split(": ", 1)[1][:20] in guest.run("/cpu").text:
                break
        assert numbers_of(guest.run(GENERATE).output) == expected
        assert sentence in guest.run("/cpu").text.replace("\n", "")
        assert sentence in guest.run("/log 1000").text.replace("\n", "")
        guest.shut_down()


def test_a_start_that_hangs_is_remembered(tmp_path: Path, expected: str) -> None:
    """The machine hangs in the first start of another processor; the next start of the program leaves them alone."""
    volume = build_image(tmp_path / "volume", [MODEL], {"temp": 0, "threads": 2}, SCRIPT)
    mark = volume / "llmk-probe.txt"
    assert run_on(volume, "--processors", 2, "--mp", "dead", "--timeout", 2).status == 124
    assert mark.read_text(encoding="ascii") == "processor 1"

    done = run_on(volume, "--processors", 2, "--mp", "dead")
    assert done.status == 0, done.errors
    assert numbers_of(done.output(GENERATE)) == expected
    assert logged(done, "the last start ended while trying out processor 1; delete llmk-probe.txt to try again")

    mark.unlink()
    done = run_on(volume, "--processors", 2)
    assert in_use(done).startswith("processors in use: 2; 2 processors: ")
    assert not mark.exists()


def test_a_stick_that_cannot_be_written_to_has_no_mark(run: Runner, expected: str) -> None:
    done = run(SCRIPT, "--processors", 2, "--read-only", config={"threads": 2})
    assert done.status == 0, done.errors
    assert numbers_of(done.output(GENERATE)) == expected
    assert in_use(done).startswith("processors in use: 2")


def cpuid(*changes: str) -> list[object]:
    return ["--symbols", "build/efi/llmk.so", *(word for change in changes for word in ("--cpuid", change))]


def test_clocks_and_temperatures(run: Runner) -> None:
    done = run(SCRIPT, "--processors", 2, *cpuid(*INTEL), config={"threads": 2})
    assert done.status == 0, done.errors
    lines = done.output("/cpu")
    ticks = next(re.search(r"clock: (\d+) ticks", line) for line in lines if line.startswith("clock"))
    assert ticks is not None
    told = [re.search(r"package \d+ core \d+ thread \d+, (\d+) MHz, 55 degrees Celsius", line) for line in lines]
    clocks = [int(found[1]) for found in told if found]
    assert clocks
    # The simulated APERF is a quarter ahead.
    for clock in clocks:
        assert clock == pytest.approx(int(ticks[1]) / 1e6 * 1.25, rel=0.01)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param((*INTEL, "1.ecx+0x80000000"), id="hypervisor"),
        pytest.param((*INTEL, "6.eax-1", "6.ecx-1"), id="not told of"),
    ],
)
def test_registers_that_may_not_be_there_are_not_read(run: Runner, changes: tuple[str, ...]) -> None:
    """A read would fault here, as it does under a hypervisor that tells of them and lacks them."""
    done = run(SCRIPT, *cpuid(*changes))
    assert done.status == 0, done.errors
    assert not any("MHz" in line or "Celsius" in line for line in done.output("/cpu"))


@pytest.mark.parametrize(
    "states",
    [
        pytest.param("0xd.eax+0x60000", id="both"),
        pytest.param("0xd.eax-0x40000", id="no data"),
        pytest.param("0xd.eax-0x20000", id="no configuration"),
    ],
)
def test_tile_states_are_switched_on_together_or_not_at_all(run: Runner, expected: str, states: str) -> None:
    """XSETBV would fault on one without the other. Whether there are tiles is Linux's to say in any case."""
    tiles = ("7.edx+0x3000000", "0xd.eax+0x60000", states, "0xd.1.eax+0x10")
    done = run(SCRIPT, "--processors", 2, *cpuid(*tiles), config={"threads": 2})
    assert done.status == 0, done.errors
    assert numbers_of(done.output(GENERATE)) == expected
    assert in_use(done).startswith("processors in use: 2")
    assert any("amx_tile amx_int8" in line for line in done.output("/cpu"))
