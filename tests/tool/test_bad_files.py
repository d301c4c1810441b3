# SPDX-License-Identifier: MIT
"""Every file that is wrong is refused with one sentence that names what is: under ASan and UBSan, never a crash."""

from __future__ import annotations

from pathlib import Path

import make_bad_models
import pytest
from support import Tool

ENTRIES = [bad for kind in make_bad_models.KINDS for bad in kind()]


@pytest.fixture(scope="session")
def bad_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    make_bad_models.make_bad_models(folder)
    return folder


def says(sentence: str, words: tuple[str, ...]) -> bool:
    """`words` as in the manifest: each must be there, "a|b" is either."""
    return all(any(word in sentence.lower() for word in alternatives.split("|")) for alternatives in words)


@pytest.mark.parametrize("entry", ENTRIES, ids=[bad.file for bad in ENTRIES])
def test_bad_file_is_refused_with_a_sentence(entry: make_bad_models.Bad, bad_models: Path, llmk_checked: Tool) -> None:
    result = llmk_checked("generate", "-m", bad_models / entry.file, "-n", "4")
    error = result.stderr.decode("utf-8", "replace")
    assert "Sanitizer" not in error, error
    assert "runtime error" not in error, error
    assert result.returncode == 1, error
    assert result.stdout == b""
    assert len(error.splitlines()) == 1, error
    # What, where: the field and the file. The path before it may hold any word, so it does not count.
    assert entry.file.rsplit(".", 1)[0] in error
    sentence = error.replace(str(bad_models / entry.file), "").replace(entry.file, "")
    assert says(sentence, entry.words), f"{entry.wrong}: {sentence!r} lacks {entry.words}"


def test_a_file_that_is_not_there(bad_models: Path, llmk_checked: Tool) -> None:
    result = llmk_checked("generate", "-m", bad_models / "nothing.bin", "-n", "4")
    assert result.returncode == 1
    assert result.stdout == b""
    assert b"nothing.bin" in result.stderr
    assert len(result.stderr.splitlines()) == 1
