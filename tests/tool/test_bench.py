# SPDX-License-Identifier: MIT
"""`make bench` but for the clock: what it takes for the limits, how it compares, what its tables and files hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench
import pytest
from benchmarks import limits, native, peers, plot, settings, turns
from benchmarks.limits import Limits
from benchmarks.results import Column, Results
from benchmarks.settings import DEFAULT, FULL, QUICK, Settings
from PIL import Image

MACHINE = Limits(
    {1: 10.0, 2: 18.0},
    {("avx2", "float", 1): 100.0, ("avx2", "int8", 1): 200.0, ("avx_vnni", "int8", 1): 400.0},
)


def test_a_token_of_prefill_takes_two_operations_a_weight_of_the_blocks() -> None:
    # TinyLlama: 22 layers of queries and outputs (2048 x 2048), keys and values (256), and three of 5632.
    assert limits.operations("tinyllama") == 2 * 22 * (2 * 2048 * 2048 + 2 * 256 * 2048 + 3 * 5632 * 2048)
    assert limits.operations("gpt2") == 2 * 12 * (4 * 768 * 768 + 2 * 3072 * 768)


def test_limits_of_decode_are_those_of_threads() -> None:
    assert MACHINE.decode_tok_s(2e9, 1) == pytest.approx(5.0)
    assert MACHINE.decode_tok_s(2e9, 2) == pytest.approx(9.0)


def test_the_limit_of_prefill_is_measured_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.peak_of("f16", "avx2") == ("avx2", "float")
    assert limits.peak_of("q4_k", "avx2") == ("avx2", "int8")
    # AVX-VNNI has products of int8 of its own, and AVX2's floats; AMX is held against the vectors below it.
    assert limits.peak_of("q4_k", "avx_vnni") == ("avx_vnni", "int8")
    assert limits.peak_of("f32", "avx_vnni") == ("avx2", "float")
    assert limits.peak_of("q8_0", "amx_bf16") == ("avx512_vnni", "int8")
    asked: list[tuple[object, ...]] = []

    def output_of(*words: object) -> str:
        asked.append(words)
        return "200.0\n"

    monkeypatch.setattr(limits, "output_of", output_of)
    assert limits.prefill_tok_s("15m", "q8_0", "avx2", 2) == pytest.approx(200e9 / limits.operations("15m"))
    assert asked == [(limits.PROGRAM, "--peak", "avx2", "int8", 2)]


def test_each_turn_is_compared_with_the_mean_of_those_around_it() -> None:
    ours: Iterator[float] = iter([10.0, 20.0, 40.0])
    theirs: Iterator[float] = iter([5.0, 10.0])
    found = turns.beside(lambda: next(ours), lambda: next(theirs), 2)
    assert [found.least, found.most] == pytest.approx([3.0, 3.0])
    assert (found.ours, found.theirs) == (20.0, 7.5)


def test_a_peer_is_held_against_the_best_chosen_set_of_no_more_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [replace(build, program=tmp_path / "llama_cpp", argument="") for build in peers.BUILDS]
    monkeypatch.setattr(peers, "BUILDS", [*there[1:], replace(there[0], program=tmp_path / "not built")])
    (tmp_path / "llama_cpp").touch()

    def pairs(**chosen: Any) -> list[tuple[str, str]]:
        wanted = Settings(**chosen)
        wanted.usable_sets = ["sse2", "avx2", "avx_vnni", "avx512", "avx512_vnni", "amx_int8"]
        return [(build.key, kernels) for build, kernels in peers.builds(wanted)]

    ik = [("ik-as-is", "avx512_vnni"), ("ik-repacked", "avx512_vnni")]
    assert pairs() == [("avx2", "avx2"), ("avx512", "avx512_vnni"), ("amx", "amx_int8"), *ik]
    assert pairs(peers=("amx", "plain")) == [("amx", "amx_int8")]
    assert pairs(chosen_sets=("avx2",)) == [
        (key, "avx2") for key in ("avx2", "avx512", "amx", "ik-as-is", "ik-repacked")
    ]
    assert pairs(chosen_sets=("sse2",)) == []


def test_a_peer_that_cannot_load_a_file_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cannot, can = (replace(build, program=tmp_path / "llama_cpp", argument="") for build in peers.BUILDS[1:3])
    monkeypatch.setattr(peers, "BUILDS", [cannot, can])
    (tmp_path / "llama_cpp").touch()

    def speed(build: peers.Build, *_: object) -> float:
        if build is cannot:
            raise settings.ProgramFailed("tensor 'output.weight' not found")
        return 10.0

    monkeypatch.setattr(peers, "llama_cpp_speed", speed)
    monkeypatch.setattr(peers, "our_speed", lambda *_: 20.0)
    monkeypatch.setattr(peers, "model", lambda shape, kind: tmp_path / f"{shape}-{kind}.gguf")
    wanted = Settings(runs=1, shapes=("gpt2",), types=("f32",), chosen_threads=(1,), prompts=(128, 512))
    wanted.usable_sets = ["avx2"]
    results = Results(tmp_path / "results.json", markdown=False)
    peers.peers(wanted, MACHINE, results)
    rows = results.rows("peers")
    assert {row["peer"] for row in rows} == {can.name}
    assert [row["what"] for row in rows] == ["decode", "prefill 128", "prefill 512"]
    assert "does not take gpt2-f32.gguf: tensor 'output.weight' not found" in capsys.readouterr().out


def test_long_contexts_are_measured_with_the_best_set_or_with_those_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"decode_tok_s": 8.0, "read_share": 0.8, "read_gb_s": 10.0, "model_bytes": 10**9, "cache_bytes": 10**8}
    monkeypatch.setattr(native, "bench", lambda *_: data)
    monkeypatch.setattr(native, "model", lambda shape, kind: tmp_path / f"{shape}-{kind}.gguf")

    def measured(**chosen: Any) -> set[tuple[str, int]]:
        wanted = Settings(shapes=("15m",), types=("q8_0",), chosen_threads=(1,), **chosen)
        wanted.usable_sets = ["sse2", "avx2", "avx_vnni"]
        results = Results(tmp_path / "results.json", markdown=False)
        native.context(wanted, MACHINE, results)
        return {(row["set"], row["context"]) for row in results.rows("context")}

    assert {kernels for kernels, _ in measured()} == {"avx_vnni"}
    assert {kernels for kernels, _ in measured(chosen_sets=("sse2", "avx2"))} == {"sse2", "avx2"}
    # A model has room for 256 tokens: 128 are decoded.
    assert {depth for _, depth in measured()} == {0, 256 - 128 - native.SHORT_PROMPT}


def test_all_processors_take_turns_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def speed(path: Path, kernels: str, threads: int, prompt: int, decode: int) -> float:
        asked.append(("prompt", threads))
        return 10.0 * threads + decode

    def peak(shape: str, kind: str, kernels: str, threads: int) -> float:
        asked.append(("peak", threads))
        return 100.0 + 100.0 * threads

    monkeypatch.setattr(native, "our_speed", speed)
    monkeypatch.setattr(native, "prefill_tok_s", peak)
    monkeypatch.setattr(native, "model", lambda shape, kind: tmp_path / f"{shape}-{kind}.gguf")

    def measured(*threads: int) -> list[dict[str, Any]]:
        wanted = Settings(runs=2, shapes=("15m",), types=("q8_0",), chosen_threads=threads, prompts=(64, 128))
        wanted.usable_sets = ["avx2"]
        results = Results(tmp_path / "results.json", markdown=False)
        native.scaling(wanted, MACHINE, results)
        return results.rows("scaling")

    (row,) = measured(1, 3)
    assert (row["threads"], row["prompt"], row["tok_s"], row["one_tok_s"]) == (3, 64, 30.0, 10.0)
    assert [row["ratio"], row["least"], row["most"]] == pytest.approx([3.0, 3.0, 3.0])
    assert [row["limit"], row["of_limit"]] == pytest.approx([2.0, 1.5])
    assert asked == [(what, threads) for threads in (3, 1, 3, 1, 3) for what in ("peak", "prompt")]
    assert measured(1) == []


def test_what_is_measured_grows_with_the_size_and_holds_to_what_is_asked_for() -> None:
    quick, default, full = (set(Settings(size=size).cases()) for size in (QUICK, DEFAULT, FULL))
    assert quick < default < full
    assert {shape for shape, _ in full} == set(settings.CASES)
    # K types are blocks of 256 values, and rows of the 15M shape have 288.
    assert not {kind for shape, kind in full if shape == "15m"} & {"q4_k", "q6_k", "q4_k_m"}
    assert set(Settings(size=QUICK, shapes=("tinyllama",), types=("q4_0",)).cases()) == {("tinyllama", "q4_0")}
    assert set(Settings(size=QUICK, types=("q6_k",)).cases()) == {
        (shape, "q6_k") for shape in ("110m", "gpt2", "tinyllama")
    }


def test_results_keep_sections_of_earlier_runs_and_replace_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    columns = [Column("what", "what"), Column("tok_s", "tok/s", "{:.1f}"), Column("share", "of limit", "{:.0%}")]
    for run, sections in enumerate((("decode", "prefill"), ("decode",))):
        results = Results(path, markdown=True)
        for name in sections:
            results.table(name, name.title(), "A note.", columns).add(what=f"run {run}", tok_s=12.34, share=0.5)
        results.save()
    assert [row["what"] for row in results.rows("decode")] == ["run 1"]
    assert [row["what"] for row in results.rows("prefill")] == ["run 0"]
    assert json.loads(path.read_text(encoding="utf-8"))["machine"]["processors"] > 0
    capsys.readouterr()
    Results(path, markdown=True).show()
    text = capsys.readouterr().out
    assert "| what | tok/s | of limit |\n|---|--:|--:|\n| run 1 | 12.3 | 50% |\n" in text
    assert "| run 0 | 12.3 | 50% |" in text


def test_decode_is_held_against_the_reads_of_its_own_run() -> None:
    data = {"decode_tok_s": 8.0, "read_share": 0.8, "read_gb_s": 10.0, "model_bytes": 900_000_000, "cache_bytes": 10**8}
    found = native.held_against_reads(data, Limits({2: 16.0}, {}), 2)
    assert (found["tok_s"], found["read_gb_s"], found["share"]) == (8.0, 10.0, 0.8)
    assert found["limit_tok_s"] == pytest.approx(10.0)
    assert found["of_peak"] == pytest.approx(0.5)


def test_a_picture_has_a_bar_as_long_as_the_share(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json", markdown=False)
    table = results.table("decode", "Decode", "A note.", native.WHAT + native.SPEED)
    for share in (0.25, 0.75):
        row = {"shape": "15m", "type": "f32", "set": "avx2", "threads": 1}
        table.add(**row, tok_s=1.0, limit_tok_s=1.0, share=share)
    plot.plot(results, tmp_path / "results.png")
    image = Image.open(tmp_path / "results.png").convert("RGB")
    rows = [[image.getpixel((x, y)) for x in range(image.width)] for y in range(image.height)]
    lengths = {row.count(plot.COLOURS["decode"]) for row in rows} - {0}
    assert lengths == {plot.FULL_BAR // 4 + 1, plot.FULL_BAR * 3 // 4 + 1}


def test_an_unknown_section_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["bench.py", "decod"])
    with pytest.raises(SystemExit):
        bench.parse()
    assert re.search(r"decod is not a section: .*\bdecode\b", capsys.readouterr().err)
