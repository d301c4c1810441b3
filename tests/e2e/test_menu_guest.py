# SPDX-License-Identifier: MIT
"""Broken files on a stick: the menu shows each with a mark and the reason, starts none of them, and lives on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import make_bad_models
import pytest
from e2e.guest import FAULT, Guest, build_image, remove_image
from support import GOLDEN

# The menu holds 64 files, two of which are good. The cuts, most of what versions 1 and 2 share with 0, and most GGUF
# files are left to the test of the host tool, which takes every one.
MOST = 62
GGUFS = (
    "gguf_version_1.gguf",
    "gguf_tensors_huge.gguf",
    "gguf_key_twice.gguf",
    "gguf_nested.gguf",
    "gguf_alignment_12.gguf",
    "gguf_tensor_wrap_rows.gguf",
    "gguf_tensor_over.gguf",
    "gguf_phi3_qkv.gguf",
    "split_lacks_2-00001-of-00003.gguf",
    "split_order-00001-of-00003.gguf",
)
GOOD = ("tiny_v0_shared", "tiny_v1")
BOOT_LIMIT_S = 240.0


def on_the_stick(bad: make_bad_models.Bad) -> bool:
    if bad.file.startswith(("gguf_", "split_")):
        return bad.file in ("gguf_magic.gguf", "gguf_cut.gguf", "gguf_three.gguf")
    if bad.file.startswith(("v1_", "v2_")):
        return bad.file in ("v1_shared_2.bin", "v2_group_zero.bin", "v2_group_odd.bin", "v2_garbage.bin")
    return "_cut_" not in bad.file or bad.file in ("v0_cut_h3.bin", "v0_cut_wo.bin", "spm_cut_piece.bin")


ALL = [bad for kind in make_bad_models.KINDS for bad in kind()]
CHOSEN_GGUFS = [bad for bad in ALL if bad.file in GGUFS]
assert len(CHOSEN_GGUFS) == len(GGUFS)
ENTRIES = [*[bad for bad in ALL if on_the_stick(bad)][: MOST - len(GGUFS)], *CHOSEN_GGUFS]
# As the menu sorts them.
NAMES = sorted([*(bad.file for bad in ENTRIES), *(f"{name}.bin" for name in GOOD)], key=str.lower)


@pytest.fixture(scope="module")
def details(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """For each file, by name: its line in the menu, and what the menu says of it when it is chosen and started."""
    folder = tmp_path_factory.mktemp("bad")
    make_bad_models.make_bad_models(folder)
    models = [folder / bad.file for bad in ENTRIES if bad.data is not None and not bad.file.startswith("split_")]
    models += [GOLDEN / f"{name}.bin" for name in GOOD]
    others = {f"models/{bad.file}/note.txt": folder / bad.file / "note.txt" for bad in ENTRIES if bad.data is None}
    # The image builder would leave a model out of which a part is missing.
    for bad in CHOSEN_GGUFS:
        if bad.file.startswith("split_"):
            others |= {f"models/{name}": folder / name for name in (bad.file, *(name for name, _ in bad.beside))}
    image = build_image(folder / "bad.img", models, files=others)
    shown: dict[str, str] = {}
    with Guest(image) as guest:
        guest.wait_for(r"\[!\]", BOOT_LIMIT_S)
        guest.settle()
        guest.press("\x1b[H")  # Home
        guest.settle()
        for number, name in enumerate(NAMES, 1):
            guest.wait_for(rf"(?m)^> \[.\] +{number} ")
            if not name.startswith(GOOD):
                guest.press("enter")
            guest.settle()
            shown[name] = guest.screen.visible
            guest.press("down")
        # The menu is alive: a good one still starts.
        number = NAMES.index("tiny_v1.bin") + 1
        for digit in str(number):
            guest.press(digit)
        guest.wait_for(rf"(?m)^> \[\+\] +{number} tiny_v1\.bin")
        guest.press("enter")
        guest.wait_for_prompt()
        guest.shut_down()
        assert not FAULT.search(guest.screen.transcript)
    yield shown
    remove_image(image)


@pytest.mark.parametrize("bad", ENTRIES, ids=[bad.file for bad in ENTRIES])
def test_the_menu_says_why_a_file_cannot_be_loaded(bad: make_bad_models.Bad, details: dict[str, str]) -> None:
    screen = details[bad.file]
    row = next(line for line in screen.split("\n") if line.startswith("> "))
    assert row.startswith("> [!]"), row
    assert bad.file.replace("-00001-of-00003", "") in row
    reason = re.search(r"Cannot be loaded: (.*)", screen, re.DOTALL)
    assert reason, screen
    # The sentence holds the path too, which may hold the words.
    sentence = " ".join(reason[1].split()).lower().replace(bad.file.lower(), "")
    for alternatives in bad.words:
        assert any(word in sentence for word in alternatives.split("|")), (
            f"{bad.wrong}: {sentence!r} lacks {alternatives}"
        )


@pytest.mark.parametrize("name", GOOD)
def test_the_menu_marks_good_files(name: str, details: dict[str, str]) -> None:
    row = next(line for line in details[f"{name}.bin"].split("\n") if line.startswith("> "))
    assert row.startswith("> [+]")
