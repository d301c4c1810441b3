#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds llama.cpp and ik_llama.cpp for `make bench` to compare with. Nothing else uses them.

Into build/peers/llama.cpp, from the source package llama-cpp-python: libllama once, and its CPU backend for each
instruction set that this machine has, as a library of its own (sse2, avx2, avx512, amx); tests/bench/peer/llama_cpp.cpp
loads the one that it is told. Into build/peers/ik_llama.cpp, from ik-llama-cpp-python: one library for this very
machine, and the same driver compiled for it. Takes minutes, and 700 MB; what is built already stays. Everything is
downloaded by pip.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/peers"
DRIVER = ROOT / "tests/bench/peer/llama_cpp.cpp"
AVX2 = ("SSE42", "AVX", "F16C", "FMA", "BMI2", "AVX2")
AVX512 = (*AVX2, "AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16")
AMX = (*AVX512, "AMX_TILE", "AMX_INT8", "AMX_BF16")
# GCC 12's _tile_loadconfig says that it reads eight bytes of 64: the stores to the others must not count as dead.
CXX_FLAGS = {"amx": "-fno-tree-dse -fno-dse"}
# The options of ggml, and the flags of /proc/cpuinfo without which it would not run.
BUILDS = {
    "avx2": (AVX2, ("avx2", "fma", "f16c", "bmi2")),
    "avx512": (AVX512, ("avx512f", "avx512vbmi", "avx512_vnni", "avx512_bf16")),
    "amx": (AMX, ("amx_int8", "amx_tile", "amx_bf16")),
    "sse2": ((), ()),
}
# Nothing beside the libraries: the tools take long to compile.
COMMON = ("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON")
PARTS = ("COMMON", "TOOLS", "TESTS", "EXAMPLES", "SERVER", "APP")
LIBRARIES_ONLY = tuple(f"-DLLAMA_BUILD_{part}=OFF" for part in PARTS)


@dataclass(frozen=True)
class Peer:
    """A source package, and where in it and in build/peers the peer lies."""

    package: str
    version: str
    name: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def source(self) -> Path:
        return self.folder / "source" / f"{self.package.replace('-', '_')}-{self.version}" / "vendor" / self.name

    def run(self, *command: object) -> None:
        words = [str(word) for word in command]
        print(f"build_llama_cpp: {' '.join(words)}", flush=True)
        with (self.folder / "build.log").open("ab") as log:
            done = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise SystemExit(f"build_llama_cpp: failed; the whole output is in {self.folder / 'build.log'}")

    def unpack(self) -> None:
        """Downloads it when it is not there."""
        if (self.source / "CMakeLists.txt").is_file():
            return
        self.folder.joinpath("source").mkdir(parents=True, exist_ok=True)
        options = ["--no-deps", "--no-binary", self.package, "--disable-pip-version-check", "--dest", self.folder]
        self.run(sys.executable, "-m", "pip", "download", *options, f"{self.package}=={self.version}")
        tree = self.source.parents[1]
        self.run("tar", "-xzf", self.folder / f"{tree.name}.tar.gz", "-C", tree.parent)

    def link_driver(self, libraries: Sequence[Path], *options: str) -> None:
        """`libraries` by their paths."""
        includes = [f"-I{self.source / 'include'}", f"-I{self.source / 'ggml/include'}"]
        linked = [*map(str, libraries), *(f"-Wl,-rpath,{library.parent}" for library in libraries), *options]
        compiler = os.environ.get("CXX", "g++")
        self.run(compiler, "-std=c++20", "-O2", DRIVER, *includes, *linked, "-o", self.folder / "llama_cpp")


LLAMA = Peer("llama-cpp-python", "0.3.36", "llama.cpp")
IK_LLAMA = Peer("ik-llama-cpp-python", "0.1.5", "ik_llama.cpp")


def usable() -> list[str]:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    return [name for name, (_, needed) in BUILDS.items() if flags.issuperset(needed)]


def build(name: str, jobs: int) -> None:
    """The CPU backend of that name; with the first one, the libraries that all use."""
    chosen, _ = BUILDS[name]
    folder = LLAMA.folder / name
    options = [f"-DGGML_{option}={'ON' if option in chosen else 'OFF'}" for option in AMX]
    options += ["-DGGML_BACKEND_DL=ON", "-DGGML_NATIVE=OFF", f"-DCMAKE_CXX_FLAGS={CXX_FLAGS.get(name, '')}"]
    targets = ["ggml-cpu", *(["llama"] if name == first() else [])]
    LLAMA.run("cmake", "-S", LLAMA.source, "-B", folder, *COMMON, *LIBRARIES_ONLY, *options)
    LLAMA.run("cmake", "--build", folder, "--parallel", jobs, "--target", *targets)


def first() -> str:
    return usable()[0]


def build_ik(jobs: int) -> None:
    """For the machine it is built on, without kernels for mixed types of the cache, which take most of the time."""
    folder = IK_LLAMA.folder / "native"
    options = ("-DGGML_NATIVE=ON", "-DGGML_IQK_FA_ALL_QUANTS=OFF")
    IK_LLAMA.run("cmake", "-S", IK_LLAMA.source, "-B", folder, *COMMON, *LIBRARIES_ONLY, *options)
    IK_LLAMA.run("cmake", "--build", folder, "--parallel", jobs, "--target", "llama")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=[*BUILDS, "ik"], help="default: all that this machine runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compilers at once")
    options = parser.parse_args()
    if shutil.which("cmake") is None:
        raise SystemExit("build_llama_cpp: cmake is needed; scripts/setup.sh peers installs it")
    chosen = [options.only] if options.only else [*usable(), "ik"]
    if names := [name for name in chosen if name in BUILDS]:
        LLAMA.unpack()
        for name in names:
            build(name, options.jobs)
        folder = LLAMA.folder / first() / "bin"
        LLAMA.link_driver([folder / f"lib{name}.so" for name in ("llama", "ggml", "ggml-base")])
    if "ik" in chosen:
        IK_LLAMA.unpack()
        build_ik(options.jobs)
        folder = IK_LLAMA.folder / "native"
        IK_LLAMA.link_driver([folder / "src/libllama.so", folder / "ggml/src/libggml.so"], "-DPEER_IS_IK")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
