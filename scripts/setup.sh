#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what a target of the Makefile needs, and nothing that is there already:
#
#     scripts/setup.sh build|image|qemu|test|lint|bench|clang|fuzz...
#
# Called at the start of nearly every target, so the look costs a few milliseconds and says nothing. Packages come
# through apt-get (with sudo unless root); Python packages go into .venv, never into the system. Bash 3.2 suffices:
# that is macOS'.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
LOG=build/setup.log
# An ordinary user's PATH on Debian has no sbin, where sgdisk and fsck.fat are.
PATH="$PATH:/usr/sbin:/sbin"

say() { echo "setup: $*" >&2; }
fail() { say "$@"; exit 1; }

# --- what each group needs: a command or a file, and the Debian package it comes from ---------------------------------

BUILD="g++:g++ ld:binutils objcopy:binutils make:make python3:python3 /usr/include/efi/efi.h:gnu-efi"
IMAGE="python3:python3 sgdisk:gdisk mformat:mtools"
QEMU="qemu-system-x86_64:qemu-system-x86 /usr/share/OVMF:ovmf"
TEST="fsck.fat:dosfstools"
BENCH="/usr/include/benchmark/benchmark.h:libbenchmark-dev"
# clang-tidy reads the tests and benchmarks too, so it needs their headers.
CLANG="clang++:clang /usr/include/gtest/gtest.h:libgtest-dev"
LINT="clang-tidy:clang-tidy /usr/include/gtest/gtest.h:libgtest-dev /usr/include/gmock/gmock.h:libgmock-dev $BENCH"

# libFuzzer comes apart from clang, in a package of clang's version: so group clang goes first.
fuzzer_runtime() {
    local version
    version=$(clang++ -dumpversion)
    echo "$(clang++ -print-resource-dir)/lib/linux/libclang_rt.fuzzer-x86_64.a:libclang-rt-${version%%.*}-dev"
}

tools_of() {
    case $1 in
        build) echo "$BUILD" ;;
        image) echo "$IMAGE" ;;
        qemu) echo "$IMAGE $QEMU" ;;
        lint) echo "$BUILD $LINT" ;;
        test) echo "$BUILD $IMAGE $QEMU $LINT $TEST" ;;
        bench) echo "$BUILD $IMAGE $QEMU $BENCH" ;;
        clang) echo "$CLANG" ;;
        fuzz) fuzzer_runtime ;;
    esac
}

requirements_of() {
    case $1 in
        build) ;;
        image | qemu) echo "scripts/requirements.txt" ;;
        bench) echo "scripts/requirements.txt scripts/requirements-test.txt" ;;
        lint) echo "scripts/requirements.txt scripts/requirements-test.txt scripts/requirements-lint.txt" ;;
        test) echo "scripts/requirements.txt scripts/requirements-test.txt scripts/requirements-lint.txt" ;;
    esac
}

present() {
    case $1 in
        # Headers and firmware lie elsewhere on other systems: there the compiler and run_qemu.py say what is missing.
        /*) [ -e "$1" ] || ! command -v apt-get >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Debian parts the venv module from Python: `python3 -m venv` is there and fails without this package.
venv_works() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

unique() { tr -s ' ' '\n' <<<"$1" | sort -u | tr '\n' ' '; }

missing_packages() {
    local pair packages=""
    for pair in $TOOLS; do
        present "${pair%%:*}" || packages="$packages ${pair##*:}"
    done
    if [ -n "$REQUIREMENTS" ] && [ ! -x "$VENV/bin/python" ] && ! venv_works; then
        packages="$packages python3 python3-venv"
    fi
    [ -z "$packages" ] || unique "$packages"
}

# The stamp of a requirements file holds its text, so an edit of the file is what makes it new.
stamp_of() { echo "$VENV/$(basename "$1" .txt).stamp"; }

stale_requirements() {
    local file stamp
    for file in $(unique "$REQUIREMENTS"); do
        stamp=$(stamp_of "$file")
        [ -x "$VENV/bin/python" ] && [ -f "$stamp" ] && [ "$(<"$file")" = "$(<"$stamp")" ] || echo "$file"
    done
}

# --- installing -------------------------------------------------------------------------------------------------------

# Runs a long command with its output in the log, and shows the end of it when it fails. The lock stays ours: a
# service that a package starts would hold it for ever.
logged() {
    if ! "$@" >>"$LOG" 2>&1 </dev/null 9>&-; then
        tail -n 20 "$LOG" >&2
        fail "failed: $* (the whole output is in $LOG)"
    fi
}

install_packages() {
    local sudo=""
    if ! command -v apt-get >/dev/null; then
        fail "this system has no apt-get; install what these Debian packages hold, then try again: $*"
    fi
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "there is no sudo; as root: apt-get install --no-install-recommends $*"
        sudo="sudo"
    fi
    say "installing with ${sudo:+sudo }apt-get: $*"
    # Asked for here, because the commands below have no terminal to ask on.
    [ -z "$sudo" ] || sudo -n true 2>/dev/null || sudo -v || fail "sudo was refused; as root: apt-get install --no-install-recommends $*"
    local apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q -y"
    # A repository that does not answer need not matter to these packages, so update may fail.
    $apt update >>"$LOG" 2>&1 </dev/null 9>&- || say "apt-get update failed; trying with the lists that are there"
    # shellcheck disable=SC2086 # words
    logged $apt install --no-install-recommends "$@"
}

install_requirements() {
    local file
    if [ ! -x "$VENV/bin/python" ] || ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python 3.10 or newer is needed"
        say "making $VENV with $(python3 --version)"
        logged python3 -m venv --clear "$VENV"
    fi
    for file in "$@"; do
        say "installing into $VENV: $(sed -n 's/^\([A-Za-z][^=]*\)==.*/\1/p' "$file" | sort -u | tr '\n' ' ')"
        logged "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input -r "$file"
        cp "$file" "$(stamp_of "$file")"
    done
}

main() {
    local group packages stale
    [ $# -gt 0 ] || fail "usage: scripts/setup.sh build|image|qemu|test|lint|bench|clang|fuzz..."
    TOOLS="" REQUIREMENTS=""
    for group in "$@"; do
        case $group in
            build | image | qemu | test | lint | bench | clang | fuzz) ;;
            *) fail "there is no group '$group': build, image, qemu, test, lint, bench, clang or fuzz" ;;
        esac
        TOOLS="$TOOLS $(tools_of "$group")"
        REQUIREMENTS="$REQUIREMENTS $(requirements_of "$group")"
    done
    REQUIREMENTS=${REQUIREMENTS# }
    packages=$(missing_packages)
    stale=$(stale_requirements)
    [ -n "$packages$stale" ] || return 0

    # `make -j` calls this several times at once: one installs, the others wait and then find everything there.
    mkdir -p build
    if command -v flock >/dev/null; then
        exec 9>build/.setup.lock
        flock 9
    fi
    packages=$(missing_packages)
    # shellcheck disable=SC2086 # words
    [ -z "$packages" ] || install_packages $packages
    stale=$(stale_requirements)
    # shellcheck disable=SC2086 # words
    [ -z "$stale" ] || install_requirements $stale
    packages=$(missing_packages)
    [ -z "$packages" ] || fail "still missing after the installation: $packages(see $LOG)"
}

main "$@"
