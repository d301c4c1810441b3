# SPDX-License-Identifier: MIT
"""The terminal that the QEMU tests read the guest with."""

from __future__ import annotations

import pytest
from e2e.guest import Command, commands_of
from e2e.screen import Screen


def shown(data: bytes, columns: int = 10, rows: int = 3) -> Screen:
    screen = Screen(columns, rows)
    screen.feed(data)
    return screen


def test_colours_and_cursor_steps_of_an_editor_leave_the_text() -> None:
    # What TerminalDxe sends for a prompt in yellow and two typed letters, the second corrected.
    data = b"\x1b[1m\x1b[33m\x1b[40m> \x1b[0m\x1b[37m\x1b[40ma\x1b[01;04H\x1b[01;04Hx\x1b[01;05H\x1b[01;04Hb"
    assert shown(data).lines == ["> ab"]
    assert shown(data).current_line == "> ab"


def test_a_line_that_ran_over_the_edge_is_one() -> None:
    screen = shown(b"0123456789abc\r\nnext")
    assert screen.lines == ["0123456789abc", "next"]


def test_a_line_that_fills_the_width_ends_there() -> None:
    assert shown(b"0123456789\r\nnext").lines == ["0123456789", "next"]


def test_what_scrolled_away_or_was_cleared_is_remembered() -> None:
    screen = shown(b"one\r\ntwo\r\nthree\r\nfour\x1b[2J\x1b[01;01Hmenu")
    assert screen.lines == ["one", "two", "three", "four", "menu"]
    assert screen.visible == "menu"


def test_a_long_line_is_whole_after_scrolling() -> None:
    screen = shown(b"x\r\n" + b"0123456789" * 4 + b"\r\nend")
    assert screen.lines == ["x", "0123456789" * 4, "end"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_data_may_be_cut_anywhere(cut: int) -> None:
    data = "é\x1b[02;01H\x1b[1mab\r\nc".encode()
    screen = Screen(10, 3)
    screen.feed(data[:cut])
    screen.feed(data[cut:])
    assert screen.lines == ["é", "ab", "c"]


def test_commands_are_parted_at_prompts() -> None:
    screen = Screen(40, 10)
    screen.feed(b"banner\r\n> /one\r\n1\r\n\r\n2\r\n> two\r\nanswer\r\n> ")
    assert commands_of(screen) == [Command("/one", ["1", "", "2"]), Command("two", ["answer"])]
