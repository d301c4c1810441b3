# SPDX-License-Identifier: MIT
"""Every file that is wrong is refused with one sentence that names what is: under ASan and UBSan, never a crash."""

from __future__ import annotations

from pathlib import Path

import bad_gguf
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
    assert entry.file.rsplit(".", 1)[0].removesuffix("-00001-of-00003") in error
    sentence = error
    for name in (entry.file, *(name for name, _ in entry.beside)):
        sentence = sentence.replace(str(bad_models / name), "").replace(name, "")
    assert says(sentence, entry.words), f"{entry.wrong}: {sentence!r} lacks {entry.words}"


@pytest.mark.parametrize("architecture", bad_gguf.ARCHITECTURES)
def test_the_wounded_ggufs_were_good(architecture: str, tmp_path: Path, llmk_checked: Tool) -> None:
    """It is the wound that is refused: without it each of them runs, in one file and in parts."""
    model = bad_gguf.model(architecture)
    (tmp_path / "good.gguf").write_bytes(model.data())
    parts = bad_gguf.parts_of(model, (5, 3, len(model.tensors) - 8))
    for number, part in enumerate(parts, 1):
        (tmp_path / f"good-{number:05d}-of-00003.gguf").write_bytes(part.data())
    for name in ("good.gguf", "good-00001-of-00003.gguf", "good-00002-of-00003.gguf"):
        result = llmk_checked("generate", "-m", tmp_path / name, "-n", "2")
        assert result.returncode == 0, result.stderr.decode()


def test_there_are_broken_ggufs_of_each_kind() -> None:
    ggufs = [entry.file for entry in ENTRIES if entry.file.endswith(".gguf")]
    assert len(ggufs) >= 60
    assert len(set(ggufs)) == len(ggufs)


def test_a_file_that_is_not_there(bad_models: Path, llmk_checked: Tool) -> None:
    result = llmk_checked("generate", "-m", bad_models / "nothing.bin", "-n", "4")
    assert result.returncode == 1
    assert result.stdout == b""
    assert b"nothing.bin" in result.stderr
    assert len(result.stderr.splitlines()) == 1
