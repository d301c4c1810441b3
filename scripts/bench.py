# SPDX-License-Identifier: MIT
"""Speed, held against what the machine allows (read bandwidth, arithmetic peaks: measured in the same run) and others.

Nothing here passes or fails: machines are shared and drift. Figures are medians, with the load of the machine beside
them. docs/PERFORMANCE.md says what each one means.

    make bench                                     # about twenty minutes; with `make peers`, an hour and more
    make bench BENCH="decode prefill --quick"      # sections, and options, of one's choice
    make bench LLAMA2C=~/llama2.c/run              # beside llama2.c's run.c as well
    python scripts/bench.py decode --shapes tinyllama --types q4_0 --sets avx2 --threads 1
    python scripts/bench.py --show --markdown      # what was measured before, measuring nothing

Sections: {sections}. Results go to build/bench/results.json and build/bench/results.png.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import limits, loading, lookup, native, peers, plot, settings, shipped
from benchmarks.limits import Limits
from benchmarks.peers import PEERS
from benchmarks.results import Results, load
from benchmarks.settings import DEFAULT, FULL, QUICK, Settings
from qemu_command import STORAGE

Section = Callable[[Settings, Limits, Results], None]
# In the order of measuring: what is short first.
SECTIONS: dict[str, Section] = {
    "decode": native.decode,
    "prefill": native.prefill,
    "scaling": native.scaling,
    "context": native.context,
    "first": native.first_word,
    "lookup": lookup.lookup,
    "efisim": shipped.efisim,
    "load": loading.load,
    "boot": loading.boot,
    "emulated": shipped.emulated,
    "peers": peers.peers,
}
# What no limit of this machine is held against: alone, they are measured without the limits.
IN_QEMU = {"load", "boot", "emulated"}
JSON_FILE = settings.FOLDER / "results.json"
PLOT_FILE = settings.FOLDER / "results.png"


def words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in words(text))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").format(sections=", ".join(SECTIONS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", dest="size", action="store_const", const=QUICK, help="small shapes, best set, few runs"
    )
    size.add_argument("--full", dest="size", action="store_const", const=FULL, help="all shapes, types and sets: hours")
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each figure (default 5; --quick: 3)")
    parser.add_argument("--shapes", type=words, default=(), metavar="A,B", help=", ".join(settings.CASES))
    parser.add_argument("--types", type=words, default=(), metavar="A,B", help=", ".join(settings.TYPES))
    parser.add_argument("--sets", type=words, default=(), metavar="A,B", help=", ".join(settings.SETS))
    parser.add_argument("--threads", type=numbers, default=(), metavar="N,M", help="default: 1 and all")
    parser.add_argument("--storage", type=words, default=(), metavar="A,B", help=f"of `load`: {', '.join(STORAGE)}")
    parser.add_argument("--prompts", type=numbers, default=(), metavar="N,M", help="tokens, of `prefill` and `peers`")
    parser.add_argument("--peers", type=words, default=(), metavar="A,B", help="of `peers`: " + ", ".join(PEERS))
    default = os.environ.get("LLAMA2C")
    parser.add_argument(
        "--llama2c", type=Path, default=Path(default) if default else None, metavar="PROGRAM", help="run.c, compiled"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for a document")
    parser.add_argument("--show", action="store_true", help="print the results that are there, and measure nothing")
    parser.add_argument("--keep", action="store_true", default=bool(os.environ.get("KEEP")), help="keep large models")
    parser.set_defaults(size=DEFAULT)
    options = parser.parse_args()
    known = {
        "a section": (options.sections, tuple(SECTIONS)),
        "a shape": (options.shapes, tuple(settings.CASES)),
        "a type": (options.types, settings.TYPES),
        "a set": (options.sets, settings.SETS),
        "a controller": (options.storage, STORAGE),
        "a peer": (options.peers, PEERS),
    }
    for what, (given, names) in known.items():
        if unknown := [name for name in given if name not in names]:
            parser.error(f"{unknown[0]} is not {what}: {', '.join(names)}")
    return options


def measure(options: argparse.Namespace, results: Results) -> None:
    chosen = Settings(
        size=options.size,
        runs=options.runs or (3 if options.size == QUICK else 5),
        shapes=options.shapes,
        types=options.types,
        chosen_sets=options.sets,
        chosen_threads=options.threads,
        storage=options.storage,
        prompts=options.prompts,
        peers=options.peers,
        llama2c=options.llama2c,
    )
    print(f"{results.data['machine']['processor']}, {os.cpu_count()} processors, load {load():.2f}", flush=True)
    limited = not options.sections or not IN_QEMU.issuperset(options.sections)
    found = limits.measure(chosen) if limited else Limits({}, {})
    if limited:
        limits.print_limits(found, results, "limits", "Limits of this machine")
    for name, section in SECTIONS.items():
        if not options.sections or name in options.sections:
            section(chosen, found, results)
            results.save()
    if limited:
        limits.print_limits(limits.measure(chosen), results, "limits_after", "The limits once more, after the others")
        results.save()


def main() -> int:
    options = parse()
    results = Results(JSON_FILE, options.markdown)
    if options.show:
        results.show()
        return 0
    try:
        measure(options, results)
    finally:
        if not options.keep:
            settings.tidy()
    plot.plot(results, PLOT_FILE)
    print(f"\n{JSON_FILE}, {PLOT_FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
