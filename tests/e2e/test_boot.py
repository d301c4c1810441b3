# SPDX-License-Identifier: MIT
"""Boots: a person at the serial line, an old processor, little memory, and trips that the session survives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.guest import FAULT, Command, Guest, build_image, commands_of, remove_image, run_script
from reference.llama2c_format import Config, file_size_bytes, pack_header
from reference.spm_ref import synthetic_tokenizer
from support import ROOT, asset_reference, assets, published_texts

STATS = re.compile(
    r"\[stats\] tokens=(\d+) time_ms=(\d+) tok_s=\d+\.\d{3} prefill_tokens=(\d+) prefill_ms=(\d+)"
    r"(?: drafted=\d+ accepted=\d+)?"
)
BOOT_LIMIT_S = 240.0


def story_model() -> Path:
    return assets() / "llama2c/stories260K.bin"


def squeezed(text: str) -> str:
    """Without blanks and line ends: where lines are broken is the console's business."""
    return "".join(text.split())


def figures_of(command: Command) -> tuple[int, ...]:
    """tokens, time_ms, prefill_tokens, prefill_ms of the line that closes a turn."""
    lines = [line for line in command.output if line]
    figures = STATS.fullmatch(lines[-1]) if lines else None
    assert figures, command.text
    return tuple(map(int, figures.groups()))


def answer_of(command: Command) -> str:
    """What was said, without the figures that close the turn."""
    return "\n".join(line for line in command.output if not line.startswith("[")).strip()


# --- a person at the serial line --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """At the prompt of stories260K, which the menu chose by itself: it is the only one."""
    image = build_image(tmp_path_factory.mktemp("person") / "person.img", [story_model()])
    with Guest(image) as guest:
        guest.wait_for_prompt()
        yield guest


def test_published_text(person: Guest) -> None:
    published = next(text for text in published_texts() if text.is_greedy)
    answer = person.run('/generate -p "" -n 200 --temp 0')
    assert squeezed(published.text) == squeezed(answer_of(answer))


def test_stats_close_a_turn(person: Guest) -> None:
    person.run("/max_tokens 20")
    answer = person.run("Once upon a time")
    assert answer_of(answer)
    tokens, _, prefill_tokens, _ = figures_of(answer)
    assert 1 <= tokens <= 20
    assert prefill_tokens >= 1


def test_an_unknown_command_names_the_nearest(person: Guest) -> None:
    answer = person.run("/hepl")
    assert "/help" in answer.text
    assert not STATS.search(answer.text)


def test_a_typed_line_can_be_corrected(person: Guest) -> None:
    for key in "/versiom":
        person.press(key)
    person.press("backspace")
    person.press("n")
    person.wait_for(r"> /version$")
    person.press("enter")
    person.wait_for_prompt()
    last = commands_of(person.screen)[-1]
    assert last.line == "/version"
    assert re.search(r"\d+\.\d+", last.text)


@pytest.mark.parametrize("kernels", ["scalar", "sse2", "avx2"])
def test_kernels_can_be_forced(person: Guest, kernels: str) -> None:
    assert kernels in person.run(f"/kernels {kernels}").text.lower()


def test_exit_leads_to_the_menu_and_back(person: Guest) -> None:
    person.type_line("/exit")
    person.wait_for(r"\[\+\] +1 stories260K\.bin")
    person.press("1")
    person.wait_for_prompt()


def test_shutdown_powers_off(person: Guest) -> None:
    """The last one: it ends the boot that the others share."""
    person.shut_down()
    assert not FAULT.search(person.screen.transcript)


# --- an answer that is stopped ----------------------------------------------------------------------------------------

ENDLESS_TOKENS = 16000


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(tmp_path: Path) -> None:
    """An answer of many seconds on any machine: one that ends by itself could do so while nobody looks."""
    model = tmp_path / "endless.bin"
    script = ROOT / "scripts/make_shape_model.py"
    shape = ["--shape", "260k", "--seq", str(ENDLESS_TOKENS + 384)]
    subprocess.run([sys.executable, script, model, *shape], check=True, capture_output=True)
    settings = {"temp": 0, "max_tokens": ENDLESS_TOKENS, "kernels": "scalar"}
    image = build_image(tmp_path / "endless.img", [model], settings)
    with Guest(image) as guest:
        guest.wait_for_prompt(BOOT_LIMIT_S)
        guest.type_line("the hat and the")
        guest.wait_for_words(3)
        guest.press("ctrl-c")
        guest.wait_for_prompt()
        answer = commands_of(guest.screen)[-1]
        assert len(answer_of(answer).split()) >= 3
        assert 3 <= figures_of(answer)[0] < ENDLESS_TOKENS
        guest.shut_down()
        assert not FAULT.search(guest.screen.transcript)


# --- a processor without XSAVE ----------------------------------------------------------------------------------------


def test_qemu64_boots_answers_and_meets_no_illegal_instruction(tmp_path: Path) -> None:
    expected = asset_reference("stories260K_prompt")
    lines = [
        f'/generate -p "{expected.prompt}" -n {expected.steps} --temp 0 --ids',
        '/generate -p "" -n 20 --temp 0 --ids --kernels avx2',
        "Once upon a time",
        "/cpu",
        "/shutdown",
    ]
    image = build_image(tmp_path / "old.img", [expected.model], {"max_tokens": 20}, lines)
    screen = run_script(image, BOOT_LIMIT_S, cpu="qemu64")
    assert not FAULT.search(screen.transcript)
    ids, refused, turn = commands_of(screen)[:3]
    assert " ".join(map(str, expected.ids)) in ids.text
    # A set that the processor lacks is refused by name; nothing is generated with it.
    assert "avx2" in refused.text.lower()
    assert "1 403" not in refused.text
    assert figures_of(turn)[0] > 0


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def memory_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model of 15 million parameters, and one whose weights alone are larger than the machine's memory."""
    folder = tmp_path_factory.mktemp("memory")
    story, large = folder / "story15m.bin", folder / "large.bin"
    script = ROOT / "scripts/make_shape_model.py"
    subprocess.run([sys.executable, script, story, "--shape", "15m"], check=True, capture_output=True)
    config = Config(1024, 2816, 6, 8, 8, 4096, 256)
    with large.open("wb") as file:
        file.write(pack_header(config))
        file.truncate(file_size_bytes(config))  # zeros: it is never read
    large.with_suffix(".tok.bin").write_bytes(synthetic_tokenizer(config.vocab_size).to_bytes())
    assert large.stat().st_size > 256 << 20
    yield build_image(folder / "memory.img", [story, large], {"max_tokens": 16, "temp": 0})
    remove_image(folder / "memory.img")
    for file_made in (story, large):
        file_made.unlink()


def test_15m_talks_in_256_mb_and_what_does_not_fit_is_refused(memory_image: Path) -> None:
    with Guest(memory_image, memory_mib=256) as guest:
        # Two files make a menu, unless it knows that one does not fit and starts the other: then /exit shows it.
        guest.wait_for(r"large\.bin|(?m:^> *$)", BOOT_LIMIT_S)
        if "large.bin" not in guest.screen.visible:
            guest.wait_for_prompt()
            guest.type_line("/exit")
            guest.wait_for(r"large\.bin")
        guest.settle()
        guest.press("1")  # by name, large.bin is the first
        # How much it needs and how much there is; and the menu is still there, or back.
        guest.wait_for(r"(?i)cannot|not enough|does not fit")
        guest.settle()
        shown = guest.screen.visible
        assert "memory" in shown
        assert len(re.findall(r"\d[\d.,]* (?:[KMG]i?B|bytes)\b", shown)) >= 2, shown
        assert "story15m.bin" in shown
        guest.press("2")
        guest.wait_for_prompt(BOOT_LIMIT_S)
        answer = guest.run("the hat and the", BOOT_LIMIT_S)
        assert figures_of(answer)[0] >= 8
        assert answer_of(answer)
        assert "WEIGHTS" in guest.run("/zones").text
        guest.shut_down()
        assert not FAULT.search(guest.screen.transcript)


# --- trips ------------------------------------------------------------------------------------------------------------

TRIPS = ("prefill", "decode", "alloc", "guard", "nan")
FIRST_TURN, SECOND_TURN = "Once upon a time", "Then Tom saw a dog"
BEFORE = ["/clear", FIRST_TURN]


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Command]]:
    """For each kind of trip, and for none (""): the commands of a conversation with that trip between its two turns."""
    script: list[str] = [*BEFORE, SECOND_TURN]
    for kind in TRIPS:
        script += [*BEFORE, f"/test_failsafe {kind}", SECOND_TURN]
    script += ["/log 20", "/shutdown"]
    settings = {"temp": 0, "max_tokens": 24, "kernels": "sse2"}
    image = build_image(tmp_path_factory.mktemp("trips") / "trips.img", [story_model()], settings, script)
    screen = run_script(image, BOOT_LIMIT_S)
    assert not FAULT.search(screen.transcript)
    commands = iter(commands_of(screen))
    parts = {"": [next(commands) for _ in range(3)]}
    for kind in TRIPS:
        parts[kind] = [next(commands) for _ in range(4)]
    return parts


def text_of(command: Command) -> str:
    """The answer without line ends: on a busy machine a line about a budget may stand in its middle."""
    return answer_of(command).replace("\n", "")


@pytest.mark.parametrize("kind", TRIPS)
def test_the_turn_after_a_trip_is_the_same_as_without_it(conversations: dict[str, list[Command]], kind: str) -> None:
    _, first, second = conversations[""]
    _, first_too, trip, second_too = conversations[kind]
    assert trip.line == f"/test_failsafe {kind}"
    assert trip.text.strip(), "a trip says that it happened"
    assert answer_of(first)
    assert answer_of(second)
    assert text_of(first_too) == text_of(first)
    assert text_of(second_too) == text_of(second)
