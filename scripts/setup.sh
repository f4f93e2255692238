#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs what is missing to build weft, and on request what else a script needs.
#
# usage: scripts/setup.sh [--test] [--run] [--bench] [--browser] [--check] [--cross]
#                       [--fuzz]
#
#   (none)    build the library, the tool, the examples and the HTTP server
#   --test    and run the tests
#   --run     and compare the server's modes (scripts/run.sh)
#   --bench   and run the benchmarks beside other libraries (scripts/bench.sh)
#   --browser and look at the report of scripts/bench.sh in Chromium, as one of the tests does
#             (200 MB, so no other option asks for it)
#   --check   and run the source checks (scripts/check)
#   --cross   and build and test for other processors (scripts/cross.sh)
#   --fuzz    and fuzz (scripts/fuzz.sh)
#
# Nothing is installed, and no package manager runs, when nothing is missing.
set -eu

usage()
{
    sed -n '/^# usage/,/^# Nothing/ { /^# Nothing/d; s/^# \{0,1\}//; p; }' "$0"
}

# A word is a package, or alternatives separated by "|" of which the first that is there counts.
# One that ends in "?" is left out where apt does not know it.  "#" stands for a version: any that
# is there counts, as such packages exclude each other; else the newest is installed.
build="gcc libc6-dev cmake ninja-build pkg-config|pkgconf python3 liburing-dev libhwloc-dev
    libjemalloc-dev node-llhttp"
# libc-ares-dev: without it an optional library is left out, and its tests are skipped by name.
test_only="libc-ares-dev libcriterion-dev libssl-dev relacy-dev spin g++ clang lld strace valgrind
    gdb linux-perf|linux-tools-common"
run_only="wrk nginx-light|nginx|nginx-core|nginx-full"
# Each of these serves a peer, and distributions drop one or the other.
bench_only="g++ golang-go? libboost-fiber#-dev? libtbb-dev? libuv1-dev? libh2o-evloop-dev?"
browser_only="chromium-headless-shell|chromium"
cross_only="gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-riscv64-linux-gnu
    libc6-dev-riscv64-cross qemu-user gdb-multiarch"
check_only="gcc g++ clang clang-format binutils"
fuzz_only="g++ clang libclang-rt-14-dev|libclang-rt-dev"

wanted=$build
for option in "$@"; do
    case $option in
    --test) wanted="$wanted $test_only" ;;
    --run) wanted="$wanted $run_only" ;;
    --bench) wanted="$wanted $bench_only" ;;
    --browser) wanted="$wanted $browser_only" ;;
    --check) wanted="$wanted $check_only" ;;
    --cross) wanted="$wanted $cross_only" ;;
    --fuzz) wanted="$wanted $fuzz_only" ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        echo "setup.sh: unknown option $option" >&2
        usage >&2
        exit 2
        ;;
    esac
done

is_installed()
{
    dpkg-query -W -f '${db:Status-Status}\n' "$(echo "$1" | tr '#' '*')" 2>/dev/null |
        grep -qx installed && return 0
    # A tool that came from elsewhere, say a newer Go, serves as well as its package.
    case $1 in
    golang-go) command -v go >/dev/null ;;
    cmake | strace | wrk) command -v "$1" >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    *) return 1 ;;
    esac
}

any_installed()
{
    for package in $(echo "$1" | tr '|' ' '); do
        is_installed "$package" && return 0
    done
    return 1
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Somebody else's package names; the build says by itself what it does not find.
    echo "setup.sh: this is not Debian or Ubuntu; weft needs the equivalents of:" >&2
    echo "  $(echo "$wanted" | tr -d '#' | tr -s ' \n' ' ')" >&2
    exit 0
fi

missing=
for word in $wanted; do
    case " $missing " in
    *" $word "*) continue ;;
    esac
    any_installed "${word%\?}" || missing="$missing $word"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

give_up()
{
    echo "setup.sh: $1" >&2
    names=
    for word in $missing; do
        word=$(echo "${word%\?}" | tr -d '#')
        names="$names ${word%%|*}"
    done
    echo "setup.sh: please install:$names" >&2
    exit 1
}

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || give_up "not root, and there is no sudo"
    as_root=sudo
fi

# The package with the newest version that apt knows in the place of "#"; others as they are.
newest_of()
{
    case $1 in
    *"#"*)
        apt-cache search --names-only "^${1%%#*}[0-9][0-9.]*${1#*#}\$" 2>/dev/null | sed 's/ .*//' |
            sort -V | tail -n 1
        ;;
    *) echo "$1" ;;
    esac
}

# True if apt knows a version of the package that it could install.  What it prints is translated.
is_available()
{
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# Sets $chosen to what to install; with "all" it takes every word to be known, without it only those
# that must be.
choose_packages()
{
    chosen=
    for word in $missing; do
        found=
        for package in $(echo "${word%\?}" | tr '|' ' '); do
            package=$(newest_of "$package")
            if is_available "$package"; then
                found=$package
                break
            fi
        done
        if [ -n "$found" ]; then
            chosen="$chosen $found"
        elif [ "${word%\?}" != "$word" ] && [ $# -eq 0 ]; then
            echo "setup.sh: apt does not know ${word%\?}; it is left out" >&2
        else
            return 1
        fi
    done
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP

# Runs apt-get without a question; what it prints is shown only when it fails.
apt_get()
{
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@" \
        >"$log" 2>&1 </dev/null && return 0
    cat "$log" >&2
    return 1
}

# The mirror's lists may be unknown, or older than what the mirror still has: then, and only then,
# they are read anew, and it is tried once more.
# shellcheck disable=SC2086
choose_packages all && echo "setup.sh: installing$chosen" >&2 &&
    apt_get install -y --no-install-recommends $chosen && exit 0
echo "setup.sh: reading the package lists" >&2
apt_get update || give_up "apt-get update failed"
choose_packages || give_up "apt knows no package for some of what is missing"
[ -n "$chosen" ] || exit 0
echo "setup.sh: installing$chosen" >&2
# shellcheck disable=SC2086
apt_get install -y --no-install-recommends $chosen || give_up "apt-get install failed"
