#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Lets libFuzzer make up sequences of operations for weft's objects, and compares with models.
#
# usage: scripts/fuzz.sh [--list] [--seconds N] [--jobs N] [--merge] [--build DIR] [TARGET...]
#
#   (none)        one second for each target, on top of all inputs of tests/fuzz/corpus: a look
#                 whether anything has broken, 20 s or so in all on one processor
#   --list        only prints the names of the targets
#   --seconds N   so long for each target; 3600 for a night
#   --jobs N      so many targets at a time (one for each processor)
#   --merge       then adds to tests/fuzz/corpus what runs code that no input there runs
#   --build DIR   builds there instead of in build/fuzz
#   TARGET        only these
#
# An input that fails is kept in the build folder, and a line says how to run it again.  It is worth
# a test of its own, and a place in the corpus.
set -eu

cd "$(dirname "$0")/.."

usage()
{
    sed -n '/^# usage/,/^# An input/ { /^# An input/d; s/^# \{0,1\}//; p; }' scripts/fuzz.sh
}

all=$(for file in tests/fuzz/*_fuzz.c; do basename "$file" _fuzz.c; done)
seconds=1
jobs=$(nproc)
merge=
build=build/fuzz
targets=
while [ $# -gt 0 ]; do
    case $1 in
    --list)
        echo "$all"
        exit 0
        ;;
    --seconds | --jobs | --build)
        [ $# -ge 2 ] || { echo "fuzz.sh: $1 needs a value" >&2; exit 2; }
        case $1 in
        --seconds) seconds=$2 ;;
        --jobs) jobs=$2 ;;
        --build) build=$2 ;;
        esac
        shift
        ;;
    --merge) merge=1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        echo "fuzz.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    *) targets="$targets $1" ;;
    esac
    shift
done
for number in "$seconds" "$jobs"; do
    case $number in
    '' | 0 | *[!0-9]*)
        echo "fuzz.sh: --seconds and --jobs take a number, not '$number'" >&2
        exit 2
        ;;
    esac
done
targets=${targets:-$all}
for target in $targets; do
    [ -f "tests/fuzz/${target}_fuzz.c" ] || {
        echo "fuzz.sh: there is no target '$target'; --list names them" >&2
        exit 2
    }
done

scripts/setup.sh --fuzz
cmake --preset fuzz -B "$build" -S . >/dev/null
programs=
for target in $targets; do
    programs="$programs ${target}_fuzz"
done
# shellcheck disable=SC2086 # a word for each program
cmake --build "$build" -j "$(nproc)" --target $programs >"$build/build.log" || {
    tail -n 40 "$build/build.log"
    exit 1
}

# fuzz TARGET: prints its line; false if it has found something
fuzz()
{
    program=$build/tests/fuzz/${1}_fuzz
    found=$build/corpus/$1
    kept=tests/fuzz/corpus/$1
    log=$build/$1.log
    mkdir -p "$found" "$build/found" "$kept"
    # In the background and waited for: a signal to this shell then ends it, too.  The time-out
    # is for what hangs: beside other tests a target can get no CPU for half a minute.
    "$program" -max_total_time="$seconds" -max_len=400 -timeout=180 -print_final_stats=1 \
        -artifact_prefix="$build/found/$1-" "$found" "$kept" >"$log" 2>&1 &
    child=$!
    wait "$child" || {
        echo "$1: FAILED; the end of $log:"
        grep -v -e '^stat::' -e '^NEW' "$log" | tail -n 40
        echo "$1: run it again with $program and the file that is named there"
        return 1
    }
    awk -v target="$1" -v seconds="$seconds" '
        /^stat::number_of_executed_units/ { runs = $2 }
        /^stat::average_exec_per_sec/ { rate = $2 }
        END { printf "%-14s %9d inputs, %6d a second\n", target, runs, rate }' "$log"
    # Edges alone decide what is new: how often each is passed would keep ten times as many.
    [ -z "$merge" ] ||
        "$program" -merge=1 -use_counters=0 -max_len=400 "$kept" "$found" >"$log.merge" 2>&1
}

# fuzz_share NUMBER: every jobs-th target, one after the other
fuzz_share()
{
    child=
    trap 'kill "$child" 2>/dev/null; exit 130' INT TERM HUP
    number=0
    for target in $targets; do
        [ $((number % jobs)) -ne "$1" ] || fuzz "$target" || echo "$target" >>"$build/failed"
        number=$((number + 1))
    done
}

rm -f "$build/failed"
children=
# shellcheck disable=SC2086 # a word for each process
trap 'kill $children 2>/dev/null; exit 130' INT TERM HUP
share=0
while [ "$share" -lt "$jobs" ]; do
    fuzz_share "$share" &
    children="$children $!"
    share=$((share + 1))
done
wait
[ ! -s "$build/failed" ] || {
    echo "fuzz.sh: found something in: $(paste -sd ' ' "$build/failed")"
    exit 1
}
