# SPDX-License-Identifier: MIT
"""The download scripts against a hub of our own on this machine: what huggingface_hub asks of it, and how it fails."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pexpect
import pytest
from download_models import fat32_remark
from hub_download import FAT32_MAX_BYTES, DownloadError, Offered, check_space, missing_bytes
from model_table import MODELS, RemoteFile, find_model
from sentencepiece_to_bin import tokenizer_bin
from support import ROOT

MIB = 2**20
# huggingface_hub writes pieces of this size: of a download that is cut, whole ones are kept.
PIECE = 10 * MIB
REPO = "somebody/some-model-GGUF"
BIG = random.Random(1).randbytes(2 * PIECE + 5 * MIB)
SMALL = b'{"architectures": ["GPT2LMHeadModel"]}\n'
TIMEOUT_S = 120


def git_hash(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def other_host() -> str:
    """Another name of this machine; where it has none, as in a bare chroot, another address."""
    try:
        return "localhost" if socket.gethostbyname("localhost") == "127.0.0.1" else "127.0.0.2"
    except OSError:
        return "127.0.0.2"


@dataclass
class Hub:
    """What the server has, how it is to misbehave, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    # Files that lie in git itself, under git's hash; the others are large ones, on another host.
    in_git: set[str] = field(default_factory=set)
    # X-Error-Code and status for a path.
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    # What is sent instead of a file.
    sends: dict[str, bytes] = field(default_factory=dict)
    # Bytes after which the connection is cut, one for each GET of content; then all goes well.
    cuts: list[int] = field(default_factory=list)
    # Every GET of content after this many is answered with 503.
    well_for: int = 1000
    # At a cut, wait for this instead of closing.
    stall: threading.Event | None = None
    sent: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    # Requests that came with a token.
    trusted: set[str] = field(default_factory=set)
    port: int = 0
    token: str = ""

    @property
    def environment(self) -> dict[str, str]:
        quiet = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            quiet.pop(name, None)
        quiet |= {"HF_TOKEN": self.token} if self.token else {}
        return {**quiet, "HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def etag(self, path: str) -> str:
        data = self.files[path]
        return git_hash(data) if path in self.in_git else hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """HEAD and GET of /OWNER/REPOSITORY/resolve/main/FILE, and of /cdn/..., where large files are sent to."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self) -> None:
        hub, path = self.hub, unquote(self.path)
        hub.requests.append(f"{self.command} {path}")
        if self.headers.get("Authorization") == "Bearer hf_secret":
            hub.trusted.add(hub.requests[-1])
        name = path.removeprefix("/cdn").lstrip("/").replace("/resolve/main/", "/", 1)
        if name in hub.errors or name not in hub.files:
            status, code = hub.errors.get(name, (404, "EntryNotFound"))
            self.head(status, 0, {"X-Error-Code": code, "X-Error-Message": f"no {name}"})
            return
        headers = {"X-Repo-Commit": "c" * 40, "ETag": f'"{hub.etag(name)}"'}
        if path.startswith("/cdn") or name in hub.in_git:
            self.content(name, headers)
            return
        # As the hub does with large files: their size and hash here, their bytes elsewhere.
        headers |= {"X-Linked-Size": str(len(hub.files[name])), "X-Linked-Etag": f'"{hub.etag(name)}"'}
        self.head(302, 0, {**headers, "ETag": '"pointer"', "Location": f"http://{other_host()}:{hub.port}/cdn/{name}"})

    def content(self, name: str, headers: dict[str, str]) -> None:
        hub = self.hub
        data = hub.sends.get(name, hub.files[name])
        if self.command == "HEAD":
            self.head(200, len(data), headers)
            return
        wanted = self.headers.get("Range")
        hub.ranges.append(wanted)
        if len(hub.ranges) > hub.well_for:
            self.head(503, 0, {})
            return
        begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
        if begin >= len(data):
            self.head(416, 0, {"Content-Range": f"bytes */{len(data)}"})
            return
        there = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        self.head(206 if wanted else 200, len(data) - begin, headers | ({"Content-Range": there} if wanted else {}))
        end = begin + hub.cuts.pop(0) if hub.cuts else len(data)
        self.wfile.write(data[begin:end])
        if end < len(data):
            self.wfile.flush()
            hub.sent.set()
            if hub.stall is not None:
                hub.stall.wait(TIMEOUT_S)
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of these tests."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub(files={f"{REPO}/model.gguf": BIG, f"{REPO}/config.json": SMALL}, in_git={f"{REPO}/config.json"})
    # Both names of this machine: the second plays the host of the large files.
    server = Server(
        ("127.0.0.1" if other_host() == "localhost" else "", 0), type("HandlerOfHub", (Handler,), {"hub": hub})
    )
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()


def run(
    hub: Hub, *arguments: object, script: str = "download_models.py", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    output = ["--output", str(folder)] if folder else []
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments), *output]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=hub.environment, check=False)


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# --- all goes well ----------------------------------------------------------------------------------------------------


def test_a_file_is_loaded_checked_and_not_loaded_again(hub: Hub, tmp_path: Path) -> None:
    first = run(hub, f"{REPO}/model.gguf", f"{REPO}/config.json", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert files_in(tmp_path) == ["config.json", "model.gguf"]
    assert (tmp_path / "model.gguf").read_bytes() == BIG
    assert (tmp_path / "config.json").read_bytes() == SMALL
    assert f"model.gguf: loaded, {len(BIG)} bytes, SHA-256 checked" in first.stdout
    assert f"config.json: loaded, {len(SMALL)} bytes, git SHA-1 checked" in first.stdout
    assert hub.ranges == [None, None]
    again = run(hub, f"{REPO}/model.gguf", f"{REPO}/config.json", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "model.gguf: there" in again.stdout
    assert hub.ranges == [None, None], "nothing was loaded a second time"


def test_a_token_goes_to_the_hub_and_no_further(hub: Hub, tmp_path: Path) -> None:
    hub.token = "hf_secret"
    result = run(hub, f"{REPO}/model.gguf", f"{REPO}/config.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"GET /cdn/{REPO}/model.gguf" in hub.requests
    assert hub.trusted == {request for request in hub.requests if "/cdn/" not in request}


def test_models_of_the_table_go_to_their_folders(hub: Hub, tmp_path: Path) -> None:
    model = find_model("gpt2")
    assert model is not None
    for file in model.files:
        hub.files[f"{file.repo}/{file.path}"] = f"{file.path} of GPT-2".encode()
    result = run(hub, "gpt2", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert files_in(tmp_path) == sorted(f"gpt2/{file.path}" for file in model.files)
    assert f"convert_models.py --model auto --input {tmp_path}/gpt2 --output {tmp_path}/gpt2.gguf" in result.stdout


@pytest.fixture
def stories_hub(hub: Hub, assets_dir: Path) -> Hub:
    """With a story model, and the true SentencePiece model beside it: its hash is in the table."""
    hub.files["karpathy/tinyllamas/stories15M.bin"] = b"weights"
    source = assets_dir / "tokenizers/llama2_tokenizer.model"
    hub.files["TinyLlama/TinyLlama-1.1B-Chat-v1.0/tokenizer.model"] = source.read_bytes()
    return hub


def test_a_person_chooses(stories_hub: Hub, tmp_path: Path, assets_dir: Path) -> None:
    command = [str(ROOT / "scripts/download_models.py"), "--output", str(tmp_path)]
    child = pexpect.spawn(sys.executable, command, env=stories_hub.environment, timeout=TIMEOUT_S, encoding="utf-8")
    child.expect("1  stories15M")
    child.expect("Numbers or names.*: ")
    assert stories_hub.requests == []
    child.sendline("1")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert files_in(tmp_path) == ["llama2/tokenizer.model", "stories15M.bin", "tok32000.bin"]
    made = (tmp_path / "tok32000.bin").read_bytes()
    assert made == (assets_dir / "tokenizers/llama2_tokenizer.bin").read_bytes()


def test_tinyllama_has_a_script_of_its_own(hub: Hub, tmp_path: Path) -> None:
    name = "tinyllama-1.1b-chat-v1.0.Q8_0.gguf"
    hub.files[f"TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF/{name}"] = b"GGUF..."
    result = run(hub, "--type", "q8_0", script="download_tinyllama.py", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert files_in(tmp_path) == [name]


# --- cut --------------------------------------------------------------------------------------------------------------


def test_a_cut_download_goes_on_in_the_same_run(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [PIECE + 3 * MIB]
    result = run(hub, f"{REPO}/model.gguf", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert hub.ranges == [None, f"bytes={PIECE}-"]
    assert (tmp_path / "model.gguf").read_bytes() == BIG


def test_a_cut_download_goes_on_in_the_next_run(hub: Hub, tmp_path: Path) -> None:
    hub.cuts, hub.well_for = [PIECE + 3 * MIB], 1
    first = run(hub, f"{REPO}/model.gguf", folder=tmp_path)
    assert first.returncode == 1
    assert f"{PIECE} of {len(BIG)} bytes are kept" in first.stderr
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part"
    assert part.read_bytes() == BIG[:PIECE]
    hub.well_for, hub.ranges = 1000, []
    second = run(hub, f"{REPO}/model.gguf", folder=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "model.gguf: resumed" in second.stdout
    assert hub.ranges == [f"bytes={PIECE}-"]
    assert files_in(tmp_path) == ["model.gguf"]
    assert (tmp_path / "model.gguf").read_bytes() == BIG


def test_an_interrupted_download_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.cuts, hub.stall = [PIECE + 3 * MIB], threading.Event()
    command = [
        sys.executable,
        str(ROOT / "scripts/download_models.py"),
        f"{REPO}/model.gguf",
        "--output",
        str(tmp_path),
    ]
    # A run in the background may have been started with the signal ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=hub.environment) as child:
        signal.signal(signal.SIGINT, before)
        assert hub.sent.wait(TIMEOUT_S)
        # The piece must have arrived, not only have been sent.
        deadline = threading.Event()
        while not any(path.stat().st_size >= PIECE for path in tmp_path.iterdir()):
            assert not deadline.wait(0.05)
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=TIMEOUT_S)
    hub.stall.set()
    assert child.returncode == 130
    assert error.splitlines()[-1] == "download_models: interrupted; run the same command again to go on"
    hub.ranges = []
    assert run(hub, f"{REPO}/model.gguf", folder=tmp_path).returncode == 0
    assert hub.ranges == [f"bytes={PIECE}-"]
    assert (tmp_path / "model.gguf").read_bytes() == BIG


def test_the_part_of_another_version_is_not_used(hub: Hub, tmp_path: Path) -> None:
    hub.cuts, hub.well_for = [PIECE + 3 * MIB], 1
    assert run(hub, f"{REPO}/model.gguf", folder=tmp_path).returncode == 1
    newer = BIG[::-1]
    hub.files[f"{REPO}/model.gguf"] = newer
    hub.well_for, hub.ranges = 1000, []
    assert run(hub, f"{REPO}/model.gguf", folder=tmp_path).returncode == 0
    assert hub.ranges == [None]
    assert (tmp_path / "model.gguf").read_bytes() == newer


# --- wrong ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"x" + BIG[1:], "its SHA-256 is"),
        (BIG[: 3 * MIB], f"its size is {3 * MIB}, the server promised {len(BIG)}"),
        (BIG + b"more", f"its size is {len(BIG) + 4}, the server promised {len(BIG)}"),
    ],
    ids=["hash", "shorter", "longer"],
)
def test_wrong_bytes_are_refused_and_removed(hub: Hub, tmp_path: Path, sent: bytes, words: str) -> None:
    hub.sends[f"{REPO}/model.gguf"] = sent
    result = run(hub, f"{REPO}/model.gguf", folder=tmp_path)
    assert result.returncode == 1
    assert "what was loaded is refused and removed" in result.stderr
    assert words in result.stderr
    assert files_in(tmp_path) == []


def test_a_wrong_small_file_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.sends[f"{REPO}/config.json"] = SMALL[::-1]
    result = run(hub, f"{REPO}/config.json", folder=tmp_path)
    assert (result.returncode, files_in(tmp_path)) == (1, [])
    assert "its git SHA-1 is" in result.stderr


@pytest.mark.parametrize("there", [BIG[:-1], b"x" + BIG[1:]], ids=["size", "hash"])
def test_a_wrong_file_that_is_there_is_set_aside(hub: Hub, tmp_path: Path, there: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(there)
    result = run(hub, f"{REPO}/model.gguf", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "it is now model.gguf.rejected" in result.stdout
    assert (tmp_path / "model.gguf").read_bytes() == BIG
    assert (tmp_path / "model.gguf.rejected").read_bytes() == there


def test_a_file_that_is_not_the_pinned_one_is_not_loaded(hub: Hub, tmp_path: Path) -> None:
    name = "tinyllama-1.1b-chat-v1.0.Q4_0.gguf"
    hub.files[f"TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF/{name}"] = b"GGUF, but another"
    result = run(hub, script="download_tinyllama.py", folder=tmp_path)
    assert result.returncode == 1
    assert "the server offers size 17, scripts/model_table.py expects 637699456" in result.stderr
    assert hub.ranges == []
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "GatedRepo", "asks to accept its licence"),
        (404, "RepoNotFound", "no such repository"),
        (404, "EntryNotFound", "has no such file"),
        (500, "", "no answer from"),
    ],
)
def test_what_the_server_refuses_is_one_sentence(hub: Hub, tmp_path: Path, status: int, code: str, words: str) -> None:
    hub.errors[f"{REPO}/model.gguf"] = (status, code)
    result = run(hub, f"{REPO}/model.gguf", folder=tmp_path)
    assert result.returncode == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 2, result.stderr
    assert files_in(tmp_path) == []


def test_one_that_fails_does_not_stop_the_others(hub: Hub, tmp_path: Path) -> None:
    result = run(hub, f"{REPO}/missing.gguf", f"{REPO}/config.json", folder=tmp_path)
    assert result.returncode == 1
    assert "1 of 2 not downloaded" in result.stderr
    assert files_in(tmp_path) == ["config.json"]


# --- nothing unasked --------------------------------------------------------------------------------------------------

NO_NETWORK = """
import sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("network", event, arguments, file=sys.stderr)
        sys.exit(99)
sys.addaudithook(hook)
sys.path.insert(0, sys.argv[1])
import download_models, download_tinyllama, hub_download, model_table
sys.exit(download_models.main(["--list"]))
"""


def test_a_list_and_an_import_use_no_network(hub: Hub) -> None:
    command = [sys.executable, "-c", NO_NETWORK, str(ROOT / "scripts")]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=hub.environment, check=False
    )
    assert result.returncode == 0, result.stderr
    assert all(model.name in result.stdout for model in MODELS)
    assert run(hub, "--help").returncode == 0
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a model, or --all"),
        (["no-such-model"], "'no-such-model' is not in the list"),
        (["--all", "gpt2"], "--all takes no names"),
    ],
)
def test_wrong_usage_downloads_nothing(hub: Hub, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = run(hub, *arguments, folder=tmp_path)
    assert result.returncode == 2
    assert words in result.stderr
    assert hub.requests == []


# --- parts ------------------------------------------------------------------------------------------------------------


def offered(size_bytes: int) -> Offered:
    return Offered(RemoteFile(REPO, "model.gguf"), "http://x", "a" * 64, size_bytes)


def test_space_is_looked_at_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = offered(1000 * MIB)
    assert missing_bytes([one], tmp_path) == 1000 * MIB
    one.part_of(tmp_path).write_bytes(bytes(MIB))
    assert missing_bytes([one], tmp_path) == 999 * MIB
    usage = type("Usage", (), {"free": 1000 * MIB})
    monkeypatch.setattr("hub_download.shutil.disk_usage", lambda _: usage)
    check_space(900 * MIB, tmp_path / "not" / "there")
    with pytest.raises(DownloadError, match=f"{999 * MIB} bytes are to be loaded, {1000 * MIB} are free"):
        check_space(999 * MIB, tmp_path)
    check_space(0, tmp_path)


def test_files_past_fat32_get_a_remark() -> None:
    assert FAT32_MAX_BYTES == 4 * 2**30 - 1
    assert fat32_remark(offered(FAT32_MAX_BYTES)) == ""
    assert "more than FAT32 takes" in fat32_remark(offered(FAT32_MAX_BYTES + 1))


def test_the_table() -> None:
    names = [model.name for model in MODELS]
    assert len(set(names)) == len(names)
    for model in MODELS:
        assert find_model(model.name) == model
        targets = [file.local for file in model.files]
        assert len(set(targets)) == len(targets)
        assert model.licence
        for file in model.files:
            assert re.fullmatch("([0-9a-f]{64})?", file.sha256)
            assert not Path(file.local).is_absolute()
            assert file.repo.count("/") == 1


def test_tokenizer_bin_from_a_sentencepiece_model(assets_dir: Path) -> None:
    for name in ("llama2_tokenizer", "tinystories_tok4096"):
        folder = assets_dir / "tokenizers"
        assert tokenizer_bin((folder / f"{name}.model").read_bytes()) == (folder / f"{name}.bin").read_bytes()


def test_broken_sentencepiece_models_are_refused() -> None:
    piece = b"\x0a\x03\xe2\x96\x81" + b"\x15" + struct.pack("<f", -1.5)
    good = b"\x0a" + bytes([len(piece)]) + piece
    assert tokenizer_bin(good) == struct.pack("<ifi", 1, -1.5, 1) + b" "
    for length in range(len(good)):
        with pytest.raises(ValueError, match="not a SentencePiece model"):
            tokenizer_bin(good[:length])
    for broken in (b"\xff" * 20, b"\x0b", b"\x0a\x02\x08\x05" + b"\x0a\x02\x10\x05"):
        with pytest.raises(ValueError, match="not a SentencePiece model"):
            tokenizer_bin(broken)
