#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds llama.cpp from the llama-cpp-python source package, for `make bench` to compare with. Nothing else uses it.

Into build/peers/llama.cpp: libllama once, and its CPU backend for each instruction set that this machine has, as a
library of its own (sse2, avx2, avx512, amx); tests/bench/peer/llama_cpp.cpp loads the one that it is told. Takes some
minutes and 330 MB; what is built already stays. Everything is downloaded by pip.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/peers/llama.cpp"
DRIVER = ROOT / "tests/bench/peer/llama_cpp.cpp"
VERSION = "0.3.36"
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
# One shared library for all backends, and nothing beside the libraries: the tools take long to compile.
COMMON = ("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DGGML_BACKEND_DL=ON", "-DGGML_NATIVE=OFF")
PARTS = ("COMMON", "TOOLS", "TESTS", "EXAMPLES", "SERVER", "APP")


def run(*command: object) -> None:
    words = [str(word) for word in command]
    print(f"build_llama_cpp: {' '.join(words)}", flush=True)
    with (FOLDER / "build.log").open("ab") as log:
        done = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SystemExit(f"build_llama_cpp: failed; the whole output is in {FOLDER / 'build.log'}")


def source() -> Path:
    """The unpacked llama.cpp, downloaded when it is not there."""
    name = f"llama_cpp_python-{VERSION}"
    tree = FOLDER / "source" / name / "vendor/llama.cpp"
    if not (tree / "CMakeLists.txt").is_file():
        FOLDER.joinpath("source").mkdir(parents=True, exist_ok=True)
        package = f"llama-cpp-python=={VERSION}"
        options = ["--no-deps", "--no-binary", "llama-cpp-python", "--disable-pip-version-check"]
        run(sys.executable, "-m", "pip", "download", *options, "--dest", FOLDER, package)
        run("tar", "-xzf", FOLDER / f"{name}.tar.gz", "-C", FOLDER / "source")
    return tree


def usable() -> list[str]:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    return [name for name, (_, needed) in BUILDS.items() if flags.issuperset(needed)]


def build(name: str, tree: Path, jobs: int) -> None:
    """The CPU backend of that name; with the first one, the libraries that all use."""
    chosen, _ = BUILDS[name]
    options = [f"-DLLAMA_BUILD_{part}=OFF" for part in PARTS]
    options += [f"-DGGML_{option}={'ON' if option in chosen else 'OFF'}" for option in AMX]
    options.append(f"-DCMAKE_CXX_FLAGS={CXX_FLAGS.get(name, '')}")
    targets = ["ggml-cpu", *(["llama"] if name == first() else [])]
    run("cmake", "-S", tree, "-B", FOLDER / name, *COMMON, *options)
    run("cmake", "--build", FOLDER / name, "--parallel", jobs, "--target", *targets)


def first() -> str:
    return usable()[0]


def link_driver(tree: Path) -> None:
    libraries = FOLDER / first() / "bin"
    includes = [f"-I{tree / 'include'}", f"-I{tree / 'ggml/include'}"]
    linked = [f"-L{libraries}", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"]
    run(os.environ.get("CXX", "g++"), "-std=c++20", "-O2", DRIVER, *includes, *linked, "-o", FOLDER / "llama_cpp")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=BUILDS, help="default: all that this machine runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compilers at once")
    options = parser.parse_args()
    if shutil.which("cmake") is None:
        raise SystemExit("build_llama_cpp: cmake is needed; scripts/setup.sh peers installs it")
    FOLDER.mkdir(parents=True, exist_ok=True)
    tree = source()
    for name in [options.only] if options.only else usable():
        build(name, tree, options.jobs)
    link_driver(tree)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
