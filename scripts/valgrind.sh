#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs unit and api tests under valgrind's memcheck.
#
# usage: scripts/valgrind.sh [--all] [--build DIR] [--results FILE] [PROGRAM]...
#
#   (none)          a few that spawn, join, wait and end
#   --all           all, but for what tests/cross/left_out_valgrind.txt names, with reasons
#   --build DIR     builds there instead of in build/valgrind
#   --results FILE  where ctest writes its report
#   PROGRAM         this test, such as api_join_test
#
# These programs do not start Criterion's processes but fork for each test (tests/cross/runner.c):
# valgrind takes more than a second to start.  On epoll: what the kernel writes into a ring memcheck
# does not see.
set -eu

cd "$(dirname "$0")/.."

usage()
{
    sed -n '/^# usage/,/^# These/ { /^# These/d; s/^# \{0,1\}//; p; }' scripts/valgrind.sh
}

build=build/valgrind
results=
programs=
while [ $# -gt 0 ]; do
    case $1 in
    --all) programs="unit_tests api_tests" ;;
    --build | --results)
        [ $# -ge 2 ] || { echo "valgrind.sh: $1 needs a name" >&2; exit 2; }
        if [ "$1" = --build ]; then build=$2; else results=$2; fi
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        echo "valgrind.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    *) programs="$programs $1" ;;
    esac
    shift
done
programs=${programs:-unit_tls_test api_join_test api_channel_test api_scope_test}

scripts/setup.sh --test
command -v valgrind >/dev/null || { echo "valgrind.sh: there is no valgrind" >&2; exit 2; }
[ -z "$results" ] || results=$(realpath "$results")
log=$build/build.log
mkdir -p "$build"
# Threads take turns under valgrind: without fair ones a fiber that spins holds all others up.
emulator="$(command -v valgrind);-q;--error-exitcode=9;--fair-sched=yes"
emulator="$emulator;--suppressions=$PWD/tests/cross/valgrind.supp"
# shellcheck disable=SC2086 # a word for each program
cmake --preset release -S . -B "$build" -DWEFT_BENCHMARKS=OFF -DWEFT_EXAMPLES=OFF \
    "-DWEFT_TEST_EMULATOR=$emulator" \
    "-DWEFT_TEST_LEFT_OUT=$PWD/tests/cross/left_out_valgrind.txt" >"$log" 2>&1 &&
    cmake --build "$build" -j "$(nproc)" --target $programs >>"$log" 2>&1 || {
    tail -n 40 "$log"
    echo "valgrind.sh: the build FAILED" >&2
    exit 1
}
pattern=
for program in $programs; do
    case $program in
    *_tests) pattern="$pattern|${program%_tests}/.*_test" ;;
    *) pattern="$pattern|${program%%_*}/${program#*_}" ;;
    esac
done
export WEFT_BACKEND=epoll WEFT_WORKERS=2
exec ctest --test-dir "$build" -j "$(nproc)" --no-tests=error --output-on-failure \
    -R "^(${pattern#|})\$" -E '^api/(sim_|exhaustion_|process_)' \
    --test-output-size-passed 4000000 --test-output-size-failed 4000000 \
    ${results:+--output-junit "$results"}
