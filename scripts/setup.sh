#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what a target of the Makefile needs, and nothing that is there already:
#
#     scripts/setup.sh build|image|qemu|test|lint|bench|peers|clang|fuzz|torch|parity...
#
# Called at the start of nearly every target, so the look costs a few milliseconds and says nothing. Packages come
# through apt-get (with sudo unless root); Python packages go into .venv and its like, never into the system. Bash 3.2
# suffices: that is macOS'.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LOG=build/setup.log
# An ordinary user's PATH on Debian has no sbin, where sgdisk and fsck.fat are.
PATH="$PATH:/usr/sbin:/sbin"

say() { echo "setup: $*" >&2; }
fail() { say "$@"; exit 1; }

# --- what each group needs: a command or a file, and the Debian package it comes from ---------------------------------

BUILD="g++:g++ ld:binutils objcopy:binutils make:make python3:python3 /usr/include/efi/efi.h:gnu-efi"
IMAGE="python3:python3 sgdisk:gdisk mformat:mtools"
QEMU="qemu-system-x86_64:qemu-system-x86 /usr/share/OVMF:ovmf"
TEST="fsck.fat:dosfstools /usr/include/simde/x86/avx512.h:libsimde-dev"
PEERS="cmake:cmake"
BENCH="/usr/include/benchmark/benchmark.h:libbenchmark-dev"
# The distribution's torch is a CPU build of some hundred MB; the registry's for Linux holds CUDA.
SITE=/usr/lib/python3/dist-packages
TORCH="python3:python3 $SITE/torch:python3-torch $SITE/numpy:python3-numpy $SITE/matplotlib:python3-matplotlib"
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
        test) echo "$BUILD $IMAGE $QEMU $LINT $TEST $TORCH" ;;
        torch) echo "$TORCH" ;;
        parity) echo "$BUILD" ;;
        bench) echo "$BUILD $IMAGE $QEMU $BENCH" ;;
        peers) echo "$BUILD $PEERS" ;;
        clang) echo "$CLANG" ;;
        fuzz) fuzzer_runtime ;;
    esac
}

requirements_of() {
    case $1 in
        build) ;;
        image | qemu) echo "scripts/requirements.txt" ;;
        bench) echo "scripts/requirements.txt scripts/requirements-test.txt" ;;
        peers) echo "scripts/requirements.txt" ;;
        lint) echo "scripts/requirements.txt scripts/requirements-test.txt scripts/requirements-lint.txt" ;;
        test) echo "scripts/requirements.txt scripts/requirements-test.txt scripts/requirements-lint.txt" \
                   "scripts/requirements-torch.txt" ;;
        torch) echo "scripts/requirements-torch.txt" ;;
        parity) echo "scripts/requirements-parity.txt" ;;
    esac
}

# Each of these has an environment of its own: with the system's packages, or with large ones.
venv_of() {
    case $1 in
        *-torch.txt) echo .venv-torch ;;
        *-parity.txt) echo .venv-parity ;;
        *) echo .venv ;;
    esac
}

make_venv() {
    case $1 in
        # The distribution's torch belongs to the distribution's Python, whatever other comes first on the PATH.
        .venv-torch) "$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || command -v python3)" -m venv --clear \
            --system-site-packages "$1" ;;
        *) python3 -m venv --clear "$1" ;;
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
    local pair file packages=""
    for pair in $TOOLS; do
        present "${pair%%:*}" || packages="$packages ${pair##*:}"
    done
    for file in $REQUIREMENTS; do
        [ -x "$(venv_of "$file")/bin/python" ] || venv_works || packages="$packages python3 python3-venv"
    done
    [ -z "$packages" ] || unique "$packages"
}

# The stamp of a requirements file holds its text, so an edit of the file is what makes it new.
stamp_of() { echo "$(venv_of "$1")/$(basename "$1" .txt).stamp"; }

stale_requirements() {
    local file stamp
    for file in $(unique "$REQUIREMENTS"); do
        stamp=$(stamp_of "$file")
        [ -x "$(venv_of "$file")/bin/python" ] && [ -f "$stamp" ] && [ "$(<"$file")" = "$(<"$stamp")" ] || echo "$file"
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
    local file venv
    for file in "$@"; do
        venv=$(venv_of "$file")
        if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
            python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python 3.10 or newer is needed"
            say "making $venv"
            logged make_venv "$venv"
        fi
        say "installing into $venv: $(sed -n 's/^\([A-Za-z][^=]*\)==.*/\1/p' "$file" | sort -u | tr '\n' ' ')"
        logged "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -r "$file"
        cp "$file" "$(stamp_of "$file")"
    done
}

main() {
    local group packages stale
    [ $# -gt 0 ] || fail "usage: scripts/setup.sh build|image|qemu|test|lint|bench|peers|clang|fuzz|torch|parity..."
    TOOLS="" REQUIREMENTS=""
    for group in "$@"; do
        case $group in
            build | image | qemu | test | lint | bench | peers | clang | fuzz | torch | parity) ;;
            *) fail "there is no group '$group': build, image, qemu, test, lint, bench, peers, clang, fuzz, torch or parity" ;;
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
