#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Tests the switch, and fibers that change threads, in programs compiled at every level: what a
# compiler keeps over a call that suspends depends on how hard it optimises.  The library is the one
# of the release build, as for users.
#
# usage: scripts/levels.sh [BUILD]
#
# BUILD is a folder with libweft.a, build/release if it is not given.
set -eu

cd "$(dirname "$0")/.."
case ${1:-} in
-h | --help)
    sed -n '/^# usage/,/^set / { /^set /d; s/^# \{0,1\}//; p; }' scripts/levels.sh
    exit 0
    ;;
-*)
    echo "levels.sh: unknown option $1" >&2
    exit 2
    ;;
esac
build=${1:-build/release}
[ -f "$build/libweft.a" ] || { echo "levels.sh: there is no $build/libweft.a" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
failed=0
runs=0

# ran TEST: as many cases as at the first level, and not none.  What links may drop some unsaid.
ran()
{
    cases=$(sed -n 's/.*Synthesis: Tested: \([0-9]*\) .*/\1/p' "$folder/log")
    first=$folder/$(basename "$1")
    [ -f "$first" ] || echo "$cases" >"$first"
    [ "${cases:-0}" -gt 0 ] && [ "$cases" = "$(cat "$first")" ] && return 0
    echo "levels.sh: ${cases:-0} cases, and $(cat "$first") at the first level" >>"$folder/log"
    return 1
}

# try COMPILER LEVEL...: as one program for each test
try()
{
    for test in unit/context unit/modes api/switch api/migrate; do
        runs=$((runs + 1))
        if "$@" -g -std=gnu11 -D_GNU_SOURCE -I. -Iinclude -Itests/support "tests/${test}_test.c" \
            tests/support/*.c "$build/libweft.a" -o "$folder/program" -lcriterion -luring -lhwloc \
            -lpthread -lm -ldl >"$folder/log" 2>&1 &&
            WEFT_WORKERS=2 timeout 120 "$folder/program" -j1 >"$folder/log" 2>&1 &&
            ran "$test"; then
            echo "ok    $* $test, $cases cases"
        else
            echo "FAIL  $* $test"
            tail -n 20 "$folder/log"
            failed=$((failed + 1))
        fi
    done
}

for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || { echo "skip  there is no $compiler"; continue; }
    for level in -O0 -O1 -O2 -O3; do
        try "$compiler" "$level"
    done
    # Criterion finds its tests by a section that nothing names: what is not exported is left out of
    # it.  clang's needs a linker that reads its objects.
    if [ "$compiler" = gcc ]; then
        try gcc -O2 -flto=auto -rdynamic
    elif command -v ld.lld >/dev/null; then
        try clang -O2 -flto -fuse-ld=lld -rdynamic
    else
        echo "skip  clang -flto: there is no lld"
    fi
done
echo "levels.sh: $((runs - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
