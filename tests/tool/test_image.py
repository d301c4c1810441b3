# SPDX-License-Identifier: MIT
"""The image builder: what goes on, how it is laid out, what is refused, and that failures leave nothing behind."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import bad_gguf
import fat_image
import make_image
import pytest
from fat_image import MIB, Entry, ImageError
from support import Tool

FOUR_GIB = 4 * 1024 * MIB


def llama2c_header(vocab_size: int, version: int = 0) -> bytes:
    """The start of a llama2.c model file: dim 8, hidden 16, 1 layer, 2 heads, 2 key-value heads, 32 tokens."""
    fields = struct.pack("<7i", 8, 16, 1, 2, 2, vocab_size, 32)
    return fields if version == 0 else b"24ka" + struct.pack("<i", version) + fields


def model_file(path: Path, vocab_size: int = 64, version: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(llama2c_header(vocab_size, version) + os.urandom(1000))
    return path


def plain_file(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sparse_file(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def paths_on(image: Path) -> list[str]:
    return sorted(entry.path for entry in fat_image.list_files(image))


def content_on(image: Path, path: str) -> bytes:
    command = ["mtype", "-i", f"{image}@@1M", f"::/{path}"]
    return subprocess.run(command, capture_output=True, check=True).stdout


# --- geometry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_mib", [0, 1, 17, 57, 120, 700, 2500, 9000])
def test_clusters_are_the_largest_that_leave_enough_of_them(content_mib: int) -> None:
    sizes = [content_mib * MIB]
    geometry = fat_image.plan(sizes, 16 * MIB)
    assert geometry.clusters >= fat_image.MIN_CLUSTERS
    assert geometry.clusters >= fat_image.needed_clusters(sizes, 16 * MIB, geometry.cluster_sectors)
    larger = geometry.cluster_sectors * 2
    too_few = fat_image.needed_clusters(sizes, 16 * MIB, larger) < fat_image.MIN_CLUSTERS
    assert too_few or larger > fat_image.MAX_CLUSTER_SECTORS


@pytest.mark.parametrize("image_mib", [36, 64, 300, 5000, 40_000])
def test_an_image_of_a_given_size_has_that_size(image_mib: int) -> None:
    geometry = fat_image.plan([MIB], MIB, image_mib)
    assert geometry.image_bytes == image_mib * MIB
    assert geometry.clusters >= fat_image.MIN_CLUSTERS


def test_the_fat_covers_every_cluster_and_data_begins_on_a_mebibyte() -> None:
    for content_mib in range(0, 3000, 37):
        geometry = fat_image.plan([content_mib * MIB], 16 * MIB)
        assert geometry.fat_sectors * fat_image.FAT_ENTRIES_PER_SECTOR >= geometry.clusters + 2
        assert (fat_image.RESERVED_SECTORS + 2 * geometry.fat_sectors) % fat_image.MIB_SECTORS == 0


@pytest.mark.parametrize("image_mib", [-1, 0, 1, 35, 60])
def test_a_size_below_the_content_is_refused_with_the_size_needed(image_mib: int) -> None:
    with pytest.raises(ImageError, match=r"too small: these files need an image of at least 7\d MiB"):
        fat_image.plan([57 * MIB], 16 * MIB, image_mib)


# --- a whole image ----------------------------------------------------------------------------------------------------


def test_an_image_holds_the_binary_the_models_and_files(efi: Path, tmp_path: Path) -> None:
    image = tmp_path / "out" / "llmk.img"
    story = model_file(tmp_path / "m" / "story.bin")
    tokenizer = plain_file(tmp_path / "m" / "tokenizer.bin", b"tok")
    chat = plain_file(tmp_path / "m" / "A chat, model [Q8_0] é.gguf", os.urandom(100_000))
    config = plain_file(tmp_path / "my.cfg", b"timeout = 3\n")
    arguments = ["--efi", str(efi), "--output", str(image), "--models", str(story), str(chat)]
    assert make_image.main([*arguments, "--file", f"{config}:llmk.cfg", "--file", f"{config}:/a/b/c.txt"]) == 0
    assert paths_on(image) == sorted(
        [
            "EFI/BOOT/BOOTX64.EFI",
            "a/b/c.txt",
            "llmk.cfg",
            f"models/{chat.name}",
            "models/story.bin",
            "models/tokenizer.bin",
        ]
    )
    assert content_on(image, "EFI/BOOT/BOOTX64.EFI") == efi.read_bytes()
    assert content_on(image, "models/tokenizer.bin") == tokenizer.read_bytes()
    assert content_on(image, "llmk.cfg") == config.read_bytes()
    assert [path.name for path in image.parent.iterdir()] == ["llmk.img"]


def test_the_partition_is_an_esp_and_ends_before_the_backup_table(efi: Path, tmp_path: Path) -> None:
    image = tmp_path / "i.img"
    make_image.make_image([make_image.Item(efi, make_image.EFI_DESTINATION)], image, None, "LLMK")
    told = subprocess.run(
        [fat_image.find_tool("sgdisk"), "--info=1", str(image)], capture_output=True, text=True, check=True
    ).stdout
    assert "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" in told
    last = int(told.split("Last sector:")[1].split()[0])
    assert last < image.stat().st_size // 512 - 33


def test_fsck_finds_the_file_system_clean(efi: Path, tmp_path: Path) -> None:
    fsck = shutil.which("fsck.fat", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert fsck is not None, "dosfstools is not installed: scripts/setup.sh test installs it"
    image = tmp_path / "i.img"
    items = [make_image.Item(efi, f"models/file {number}.bin") for number in range(40)]
    geometry = make_image.make_image(items, image, None, "LLMK")
    partition = tmp_path / "partition"
    start = fat_image.PARTITION_START * 512
    partition.write_bytes(image.read_bytes()[start : start + geometry.partition_sectors * 512])
    subprocess.run([fsck, "-n", str(partition)], check=True, capture_output=True)
    assert fat_image.cluster_count(image) == geometry.clusters


def test_an_image_takes_little_room_on_the_host(efi: Path, tmp_path: Path) -> None:
    image = tmp_path / "i.img"
    make_image.make_image([make_image.Item(efi, "a.bin")], image, 400, "LLMK")
    assert image.stat().st_size == 400 * MIB
    assert image.stat().st_blocks * 512 < 20 * MIB


# --- models and their tokenizers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "vocab_size"), [(0, 512), (0, -512), (1, 512), (2, 512)])
def test_the_vocabulary_size_is_read_from_each_version(tmp_path: Path, version: int, vocab_size: int) -> None:
    assert make_image.llama2c_vocab_size(model_file(tmp_path / "m.bin", vocab_size, version)) == 512


def test_a_file_too_short_for_a_header_has_no_vocabulary(tmp_path: Path) -> None:
    assert make_image.llama2c_vocab_size(plain_file(tmp_path / "m.bin", b"short")) is None


def test_the_tokenizer_of_the_models_own_name_goes_before_others(tmp_path: Path) -> None:
    model = model_file(tmp_path / "story.bin", 512)
    for name in ("tokenizer.bin", "tok512.bin", "story.tok.bin"):
        plain_file(tmp_path / name)
        chosen = make_image.tokenizer_for(model)
        assert chosen is not None
        assert chosen.name == name


def test_a_tokenizer_of_another_size_is_not_taken(tmp_path: Path) -> None:
    plain_file(tmp_path / "tok361.bin")
    assert make_image.tokenizer_for(model_file(tmp_path / "story.bin", 512)) is None


def test_models_that_share_a_tokenizer_bring_it_once(tmp_path: Path) -> None:
    models = [model_file(tmp_path / "a.bin"), model_file(tmp_path / "b.bin")]
    tokenizer = plain_file(tmp_path / "tokenizer.bin")
    assert make_image.with_tokenizers([*models, tokenizer, models[0]]) == [models[0], tokenizer, models[1]]


def test_a_model_without_a_tokenizer_is_taken_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_file(tmp_path / "story.bin", 512)
    assert make_image.with_tokenizers([model]) == [model]
    assert "story.tok.bin, tok512.bin or tokenizer.bin" in capsys.readouterr().err


def test_what_is_missing_is_named_and_left_out(efi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "i.img"
    there = plain_file(tmp_path / "there.gguf")
    arguments = ["--efi", str(efi), "--output", str(image), "--models", "missing.gguf", str(there), str(tmp_path)]
    assert make_image.main(arguments) == 0
    said = capsys.readouterr().err
    assert "left out: missing.gguf (no such file)" in said
    assert f"left out: {tmp_path} (not a file)" in said
    assert "models/there.gguf" in paths_on(image)


def test_nothing_is_written_when_no_model_exists(efi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "i.img"
    assert make_image.main(["--efi", str(efi), "--output", str(image), "--models", "a.gguf", "b.bin"]) == 1
    assert "none of the models named exists" in capsys.readouterr().err
    assert not image.exists()


def test_default_models_are_those_in_models(tmp_path: Path) -> None:
    wanted = [plain_file(tmp_path / "models" / "A.GGUF"), model_file(tmp_path / "models" / "b.bin")]
    tokenizer = plain_file(tmp_path / "models" / "tokenizer.bin")
    for name in ("README.md", "._A.GGUF", ".hidden.bin"):
        plain_file(tmp_path / "models" / name)
    assert make_image.default_models(tmp_path) == [*wanted, tokenizer]


def test_the_assets_model_stands_in_when_models_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_file(tmp_path / "models" / "tokenizer.bin")
    model = model_file(tmp_path / "assets" / "llama2c" / "stories260K.bin", 512)
    tokenizer = plain_file(tmp_path / "assets" / "llama2c" / "tok512.bin")
    monkeypatch.setenv("LLMK_ASSETS", "assets")
    assert make_image.default_models(tmp_path) == [model, tokenizer]


def test_without_any_model_two_lines_say_where_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMK_ASSETS", str(tmp_path / "nowhere"))
    with pytest.raises(ImageError) as caught:
        make_image.default_models(tmp_path)
    assert len(str(caught.value).splitlines()) == 2
    assert "models/" in str(caught.value)


# --- models in parts, and models too large for a file -----------------------------------------------------------------


def gguf_file(path: Path, architecture: str = "llama") -> Path:
    return plain_file(path, bad_gguf.model(architecture).data())


def image_of(efi: Path, image: Path, *options: str | Path) -> int:
    return make_image.main(["--efi", str(efi), "--output", str(image), *map(str, options)])


def test_one_part_brings_the_others(efi: Path, tmp_path: Path) -> None:
    names = ["Big-00001-of-00003.gguf", "big-00002-OF-00003.GGUF", "Big-00003-of-00003.gguf"]
    parts = [plain_file(tmp_path / "m" / name, name.encode()) for name in names]
    image = tmp_path / "i.img"
    assert image_of(efi, image, "--models", parts[1]) == 0
    assert paths_on(image) == sorted(["EFI/BOOT/BOOTX64.EFI", *(f"models/{name}" for name in names)])
    assert content_on(image, f"models/{names[1]}") == names[1].encode()
    assert image_of(efi, image, "--models", *parts) == 0, "each is there once"


def test_a_model_that_lacks_a_part_is_left_out(efi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [plain_file(tmp_path / "m" / f"big-0000{number}-of-00004.gguf") for number in (1, 3)]
    other = plain_file(tmp_path / "other.gguf")
    image = tmp_path / "i.img"
    assert image_of(efi, image, "--models", *parts, other) == 0
    said = capsys.readouterr().err
    lacks = f"of its 4 parts big-00002-of-00004.gguf and 1 more is missing from {tmp_path / 'm'}"
    assert said.count("left out") == 1
    assert f"left out: {parts[0]}: {lacks}" in said
    assert paths_on(image) == ["EFI/BOOT/BOOTX64.EFI", "models/other.gguf"]
    assert image_of(efi, image, "--models", *parts) == 1
    assert "none of the models can be put on the image" in capsys.readouterr().err


def test_names_that_are_no_parts_are_files_of_their_own(efi: Path, tmp_path: Path) -> None:
    names = ["a-00001-of-00001.gguf", "a-00003-of-00002.gguf", "a-00000-of-00002.gguf", "a-0001-of-0002.gguf"]
    image = tmp_path / "i.img"
    assert image_of(efi, image, "--models", *(plain_file(tmp_path / name) for name in names)) == 0
    assert paths_on(image) == sorted(["EFI/BOOT/BOOTX64.EFI", *(f"models/{name}" for name in names)])


def test_a_large_gguf_is_split_on_the_way(efi: Path, tmp_path: Path, llmk: Tool) -> None:
    model = gguf_file(tmp_path / "m" / "chat.gguf")
    image = tmp_path / "out" / "i.img"
    limit = 19_000
    assert model.stat().st_size > limit
    assert image_of(efi, image, "--max-file-size", str(limit), "--models", model) == 0
    entries = [entry for entry in fat_image.list_files(image) if entry.path.startswith("models/")]
    assert len(entries) > 1
    assert all(entry.size_bytes <= limit for entry in entries)
    assert [path.name for path in image.parent.iterdir()] == ["i.img"], "the parts made on the way are gone"
    assert [path.name for path in model.parent.iterdir()] == ["chat.gguf"]
    for entry in entries:
        (tmp_path / Path(entry.path).name).write_bytes(content_on(image, entry.path))
    generate = ("-n", "8", "--temp", "0", "--ids")
    whole = llmk("generate", "-m", model, *generate)
    split = llmk("generate", "-m", tmp_path / f"chat-00001-of-{len(entries):05d}.gguf", *generate)
    assert whole.returncode == 0, whole.stderr.decode()
    assert (split.returncode, split.stdout) == (0, whole.stdout), split.stderr.decode()


def test_what_cannot_be_split_is_left_out(efi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "i.img"
    story = model_file(tmp_path / "story.bin")
    plain_file(tmp_path / "tokenizer.bin")
    good = plain_file(tmp_path / "good.gguf", b"GGUF")
    damaged = plain_file(tmp_path / "damaged.gguf", b"GGUF" + bytes(600))
    part = bad_gguf.parts_of(bad_gguf.model(), (5, 6))
    for number, file in enumerate(part, 1):
        plain_file(tmp_path / f"part-0000{number}-of-00002.gguf", file.data())
    given = [story, good, damaged, tmp_path / "part-00001-of-00002.gguf"]
    assert image_of(efi, image, "--max-file-size", "500", "--models", *given) == 0
    said = capsys.readouterr().err
    assert f"left out: {story}: it has 1,028 bytes and files may have 500; only GGUF can be split" in said
    assert f"left out: {damaged}: GGUF version 0" in said
    assert "part-00001-of-00002.gguf: is one of 2 parts already" in said
    assert paths_on(image) == ["EFI/BOOT/BOOTX64.EFI", "models/good.gguf", "models/tokenizer.bin"]


def test_a_part_that_is_too_large_takes_the_others_along(
    efi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, size in ((1, 1000), (2, 100)):
        plain_file(tmp_path / f"big-0000{number}-of-00002.gguf", bytes(size))
    other = plain_file(tmp_path / "other.gguf")
    image = tmp_path / "i.img"
    assert image_of(efi, image, "--max-file-size", "500", "--models", tmp_path / "big-00001-of-00002.gguf", other) == 0
    assert "big-00001-of-00002.gguf was left out, and it is a part of the same model" in capsys.readouterr().err
    assert paths_on(image) == ["EFI/BOOT/BOOTX64.EFI", "models/other.gguf"]


def test_without_room_for_the_parts_the_model_is_left_out(
    efi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = gguf_file(tmp_path / "chat.gguf")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert image_of(efi, tmp_path / "i.img", "--max-file-size", "19000", "--models", model) == 1
    assert "splitting needs " in capsys.readouterr().err


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_file_over_the_limit_of_fat32_is_refused(efi: Path, tmp_path: Path) -> None:
    item = make_image.Item(sparse_file(tmp_path / "big.gguf", FOUR_GIB), "models/big.gguf")
    with pytest.raises(ImageError, match=r"4,294,967,296 bytes .* name it with --models, and a GGUF file is split"):
        make_image.check_items([make_image.Item(efi, "a"), item])


def test_a_file_at_the_limit_of_fat32_is_not(tmp_path: Path) -> None:
    make_image.check_items([make_image.Item(sparse_file(tmp_path / "big.gguf", FOUR_GIB - 1), "models/big.gguf")])


def test_two_files_of_one_name_are_refused_whatever_their_case(tmp_path: Path) -> None:
    first, second = plain_file(tmp_path / "a" / "Chat.gguf"), plain_file(tmp_path / "b" / "chat.GGUF")
    items = [make_image.Item(path, f"models/{path.name}") for path in (first, second)]
    with pytest.raises(ImageError, match=r"Chat\.gguf and .*chat\.GGUF would both be"):
        make_image.check_items(items)


def test_a_file_where_a_folder_must_be_is_refused(efi: Path) -> None:
    with pytest.raises(ImageError, match="efi/boot would be a file and a folder"):
        make_image.check_items([make_image.Item(efi, make_image.EFI_DESTINATION), make_image.Item(efi, "EFI/boot")])


@pytest.mark.parametrize("name", ["a:b", "what?", "a*b", "tab\there", "dot.", "space ", "a" * 256, 'quo"te'])
def test_names_that_fat32_cannot_hold_are_refused(efi: Path, name: str) -> None:
    with pytest.raises(ImageError, match="not a name that FAT32 can hold"):
        make_image.check_items([make_image.Item(efi, f"models/{name}")])


@pytest.mark.parametrize("label", ["", "lower", "TWELVE-CHARS", "A B"])
def test_bad_labels_are_refused(label: str) -> None:
    with pytest.raises(ImageError, match="--label"):
        make_image.check_label(label)


@pytest.mark.parametrize("text", ["onlysource", ":dest", "source:", "source:/"])
def test_a_file_option_without_both_sides_is_refused(text: str) -> None:
    with pytest.raises(ImageError, match="SRC:DEST"):
        make_image.parse_file_option(text)


def test_a_file_option_keeps_a_windows_drive() -> None:
    item = make_image.parse_file_option(r"C:\my\llmk.cfg:\sub\llmk.cfg")
    assert item == make_image.Item(Path(r"C:\my\llmk.cfg"), "sub/llmk.cfg")


def test_an_output_that_is_no_file_is_refused(efi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # As root the rename would otherwise replace a device node by a file.
    assert make_image.main(["--efi", str(efi), "--output", "/dev/null", "--models", str(efi)]) == 1
    assert "/dev/null is not a file" in capsys.readouterr().err
    assert not Path("/dev/null").is_file()


def test_a_missing_binary_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_image.main(["--efi", str(tmp_path / "no.efi"), "--output", str(tmp_path / "i.img")]) == 1
    assert "`make` builds the binary" in capsys.readouterr().err


def test_a_failure_keeps_the_image_that_was_there(
    efi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = plain_file(tmp_path / "out" / "i.img", b"the old one")
    monkeypatch.setattr(fat_image, "MIN_CLUSTERS", 200_000)  # so that the check at the end fails
    monkeypatch.setattr(fat_image, "plan", lambda *_: fat_image.Geometry(69632, 1, 1008))
    arguments = ["--efi", str(efi), "--output", str(image), "--models", str(efi)]
    assert make_image.main(arguments) == 1
    assert "firmware needs 200000 to see FAT32" in capsys.readouterr().err
    assert image.read_bytes() == b"the old one"
    assert [path.name for path in image.parent.iterdir()] == ["i.img"]


# --- the check of a written image -------------------------------------------------------------------------------------


@pytest.fixture
def written(efi: Path, tmp_path: Path) -> Path:
    image = tmp_path / "written.img"
    make_image.make_image([make_image.Item(efi, "a.bin")], image, None, "LLMK")
    return image


def overwrite(image: Path, offset: int, content: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        file.write(content)


def test_a_lost_backup_table_is_found(written: Path) -> None:
    overwrite(written, -512, bytes(512))
    with pytest.raises(ImageError, match="no backup partition table"):
        fat_image.verify(written, fat_image.list_files(written))


@pytest.mark.parametrize("offset", [512 + 16, -512 + 16, 2 * 512, -33 * 512])
def test_a_damaged_partition_table_is_found(written: Path, offset: int) -> None:
    overwrite(written, offset, b"\xff\xff\xff\xff")  # the checksum of each header, the type in each table
    with pytest.raises(ImageError, match=r"partition table wrong: (Caution|Warning)"):
        fat_image.verify(written, fat_image.list_files(written))


def test_a_boot_sector_that_is_none_is_found(written: Path) -> None:
    overwrite(written, fat_image.PARTITION_START * 512, bytes(512))
    with pytest.raises(ImageError, match="no FAT boot sector"):
        fat_image.cluster_count(written)


@pytest.mark.parametrize("change", [Entry("a.bin", 1), Entry("b.bin", 5002)])
def test_a_file_that_is_not_as_written_is_found(written: Path, change: Entry) -> None:
    with pytest.raises(ImageError, match=r"differs from what was written: .*bin"):
        fat_image.verify(written, [change])


def test_a_listing_is_read_with_long_and_short_names() -> None:
    text = """ Volume in drive : is LLMK
 Volume Serial Number is 49C4-5E18
Directory for ::/

EFI          <DIR>     2026-11-21  22:27 \n
README   TXT        12 2026-11-21  22:27 \n
Directory for ::/models

.            <DIR>     2026-11-21  22:27 \n
STORIE~1 BIN   1056540 2026-11-21   9:05  stories 260K.bin
NOEXT             3000 2026-11-21  22:27 \n
        3 files           3 000 000 bytes
"""
    assert fat_image.parse_listing(text) == [
        Entry("README.TXT", 12),
        Entry("models/stories 260K.bin", 1056540),
        Entry("models/NOEXT", 3000),
    ]
