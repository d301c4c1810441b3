#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prove with objdump that no instruction beyond its folder's set is in the EFI binary.

Firmware starts the program on any x86-64, so all but `kernels/` must run on the SSE2 baseline, and `kernels/<set>/` on
its own set. Looks at object files (a folder of them, or files), where the folder in the path names the set, or at the
linked `llmk.so`, where the namespace in a function's symbol does: the linker may have merged functions in between.
Object files for AVX may define no weak symbol: the linker would be free to give it to everybody.

Allowed everywhere, since the code that uses them asks CPUID first: xgetbv, xsetbv, monitor, mwait, rdtscp, rdrand.
Allowed too: tzcnt, which GCC emits as `rep bsf` and old processors execute as bsf, with the same result for all but 0.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Mnemonics of each extension that a compiler may emit by itself, in AT&T syntax.
BEYOND_SSE2 = re.compile(
    r"""^(?:
      addsubp[sd] | hadd p[sd] | hsub p[sd] | lddqu | movddup | movs[hl]dup | fisttp[lsq]*           # SSE3
    | pabs[bwd] | palignr | phadd[wd] | phaddsw | phsub[wd] | phsubsw | pmaddubsw | pmulhrsw
    | pshufb | psign[bwd]                                                                            # SSSE3
    | (?:p?blend)\w* | dpp[sd] | extractps | insertps | movntdqa | mpsadbw | packusdw | pcmpeqq
    | pextr[bdq] | pinsr[bdq] | phminposuw | p(?:max|min)(?:sb|sd|ud|uw) | pmov[sz]x\w+ | pmuldq
    | pmulld | ptest | round[ps][sd]                                                                 # SSE4.1
    | pcmpgtq | pcmp[ei]str[im] | crc32[bwlq]?                                                       # SSE4.2
    | popcnt[wlq]? | lzcnt[wlq]? | movbe[wlq]?
    | andn[lq]? | bextr[lq]? | bls(?:i|r|msk)[lq]? | bzhi[lq]? | mulx[lq]? | pdep[lq]? | pext[lq]?
    | rorx[lq]? | sarx[lq]? | sh[lr]x[lq]? | ad[co]x[lq]?                                            # BMI, ADX
    | aes\w+ | pclmul\w+ | sha(?:1|256)\w+ | gf2p8\w+
    )$""",
    re.VERBOSE,
)
# Every VEX or EVEX mnemonic begins with v, and few others do.
VEX = re.compile(r"^v(?!err$|erw$|mcall$|mlaunch$|mresume$|mxoff$|mxon$|mptrld$|mptrst$|mclear$|mread|mwrite|mfunc$)")
TILES = re.compile(r"^(?:tile\w+|tdp\w+|(?:ld|st)tilecfg)$")
EVEX_OPERAND = re.compile(r"%zmm|%[xy]mm(?:1[6-9]|2\d|3[01])\b|%k[0-7]\b")

FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>.+)>:$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\t(?P<text>.+)$")
PREFIXES = frozenset(
    {"lock", "rep", "repz", "repnz", "data16", "addr32", "cs", "ds", "es", "fs", "gs", "ss", "notrack"}
)
SETS = ("amx_bf16", "amx_int8", "avx512_vnni", "avx512", "avx_vnni", "avx2")


@dataclass(frozen=True)
class Finding:
    """One instruction that its place does not allow."""

    where: str
    function: str
    instruction: str
    why: str


@dataclass
class Count:
    """What was looked at: a check that saw nothing proves nothing."""

    baseline: int = 0
    vector: int = 0


def set_of(path: Path, function: str) -> str:
    """The set whose folder (object files) or namespace (linked code) this is from; empty for the baseline."""
    for name in SETS:
        mark, place = (
            (f"kernels/{name}/", path.as_posix()) if path.suffix == ".o" else (f"djiblas{len(name)}{name}", function)
        )
        if mark in place:
            return name
    return ""


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def split_instruction(text: str) -> tuple[str, str]:
    """Mnemonic without prefixes, and the rest of the line without objdump's comment."""
    words = text.split("#")[0].split(None, 1)
    while len(words) == 2 and (words[0] in PREFIXES or words[0].startswith("rex")):
        words = words[1].split(None, 1)
    return words[0], words[1] if len(words) == 2 else ""


def objection(allowed: str, mnemonic: str, operands: str) -> str:
    """Why this instruction may not be where only `allowed` is; empty if it may."""
    if allowed == "amx_bf16":
        return ""
    if "bf16" in mnemonic:
        return "BF16"
    if allowed == "amx_int8":
        return ""
    if TILES.match(mnemonic) or "%tmm" in operands:
        return "AMX"
    if allowed.startswith("avx512"):
        return ""
    if EVEX_OPERAND.search(operands):
        return "AVX-512"
    if allowed in ("avx2", "avx_vnni"):
        return ""
    if VEX.match(mnemonic) or "%ymm" in operands:
        return "AVX"
    if BEYOND_SSE2.match(mnemonic):
        return "beyond SSE2"
    return ""


def check_code(path: Path, count: Count) -> Iterator[Finding]:
    function = "?"
    for line in run("objdump", "-d", "--no-show-raw-insn", str(path)).splitlines():
        if found := FUNCTION.match(line):
            function = found["name"]
        elif found := INSTRUCTION.match(line):
            text = found["text"].strip()
            mnemonic, operands = split_instruction(text)
            allowed = set_of(path, function)
            if not allowed:
                count.baseline += 1
            elif "%ymm" in operands or "%zmm" in operands:
                count.vector += 1
            if why := objection(allowed, mnemonic, operands):
                yield Finding(str(path), function, text, why)


def check_symbols(path: Path) -> Iterator[Finding]:
    """A weak definition compiled for AVX could replace the baseline's."""
    if not set_of(path, ""):
        return
    for line in run("nm", "--defined-only", str(path)).splitlines():
        _, kind, name = line.split(None, 2)
        if kind in "WwVvu":
            yield Finding(str(path), name, f"weak symbol ({kind})", "shared between files of different sets")


def object_files(places: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for place in places:
        files += sorted(place.rglob("*.o")) if place.is_dir() else [place]
    return files


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "places",
        nargs="*",
        type=Path,
        default=[Path("build/efi")],
        help="object files, folders of them, or the linked llmk.so (default: build/efi)",
    )
    arguments = parser.parse_args()

    files = object_files(arguments.places)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        print(f"isa_lint: no such file: {', '.join(missing)}", file=sys.stderr)
        return 1
    count = Count()
    findings = [finding for path in files for finding in (*check_code(path, count), *check_symbols(path))]
    for finding in findings:
        print(f"{finding.where}: {finding.instruction}: {finding.why}, in {finding.function}", file=sys.stderr)
    if findings:
        return 1
    if count.baseline == 0 or count.vector == 0:
        print(
            f"isa_lint: {count.baseline} baseline instructions and {count.vector} on ymm in the AVX kernels: not the "
            "whole program, so nothing is proved",
            file=sys.stderr,
        )
        return 1
    print(f"isa_lint: {len(files)} file(s), {count.baseline} baseline instructions, all within SSE2")
    return 0


if __name__ == "__main__":
    sys.exit(main())
