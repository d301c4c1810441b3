# SPDX-License-Identifier: MIT
"""The Unicode data of src/tokenizer are those that the script writes."""

from __future__ import annotations

from pathlib import Path

import make_unicode_tables
import pytest


def test_the_files_are_what_the_script_writes() -> None:
    assert make_unicode_tables.check(make_unicode_tables.files()) == 0


def test_another_table_is_a_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = make_unicode_tables.files()
    monkeypatch.setattr(make_unicode_tables, "FOLDER", tmp_path)
    assert make_unicode_tables.check(contents) == 1, "there is none"
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert make_unicode_tables.check(contents) == 0
    (tmp_path / "unicode_classes.cpp").write_text(contents["unicode_classes.cpp"].replace("0x", "0X", 1))
    assert make_unicode_tables.check(contents) == 1
