#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs a program in simulation, once for each seed, and shrinks the faults of the first that fails.
#
# usage: scripts/sim.sh --mutants
#        scripts/sim.sh [--seeds N] [--from N] [--jobs N] [--faults LIST] [PROGRAM [ARGUMENT]...]
#
#   --mutants      plants mistakes in the library, one after the other, and demands that the
#                  built-in scenarios find each of them within 1,000 seeds; nothing else
#   --seeds N      how many seeds (1000)
#   --from N       the first of them (1)
#   --jobs N       how many processes at a time (one for each CPU)
#   --faults LIST  which kinds of faults, as WEFT_SIM_FAULTS has them (all)
#   PROGRAM        a program that calls weft_run() or weft_sim_run(), and fails by an exit status
#                  that is not 0; without one, the built-in scenarios: each of them by name, or all
#
# A program is started anew for each seed, with WEFT_SEED, WEFT_SIM_FAULTS and WEFT_BACKEND=sim in
# its environment.  When a seed has failed, kinds of faults are left out as long as it still fails,
# and then the time is halved for which there are faults.  Exits with 1 if a seed failed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kinds="stall wakeup late short reset partition half_open refuse io_error no_space torn"
kinds+=" overflow late_cancel lose duplicate reorder cancel_first"
seeds=1000
from=1
jobs=$(nproc)
faults=all

usage()
{
    sed -n '/^# usage/,/^set / { /^set /d; s/^# \{0,1\}//; p; }' "$0"
}

is_number()
{
    [[ $1 =~ ^[0-9]+$ ]]
}

while [ $# -gt 0 ]; do
    case $1 in
    --seeds | --from | --jobs)
        if [ $# -lt 2 ] || ! is_number "$2"; then
            echo "sim.sh: $1 needs a number" >&2
            exit 2
        fi
        declare "${1#--}=$2"
        shift
        ;;
    --faults)
        [ $# -ge 2 ] || { echo "sim.sh: --faults needs a list" >&2; exit 2; }
        faults=$2
        shift
        ;;
    --mutants) exec env PYTHONDONTWRITEBYTECODE=1 python3 "$root/tests/sim/mutants.py" ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        echo "sim.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    *) break ;;
    esac
    shift
done
[ "$jobs" -gt 0 ] || jobs=1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

build_scenarios()
{
    local build=${WEFT_SIM_BUILD:-$root/build/sim}

    if ! { cmake --preset sim -S "$root" -B "$build" &&
        cmake --build "$build" --target weft-sim; } >"$scratch/build.log" 2>&1; then
        tail -n 40 "$scratch/build.log"
        echo "sim.sh: the build failed" >&2
        exit 1
    fi
    scenarios=$build/tests/sim/weft-sim
}

# run SEED FAULTS FAULTS_FOR COMMAND...: one run; its status, its output in $scratch/run.SEED
run()
{
    local seed=$1 list=$2 until=$3

    shift 3
    WEFT_BACKEND=sim WEFT_SEED=$seed WEFT_SIM_FAULTS=$list WEFT_SIM_FAULTS_FOR=$until \
        "$@" >"$scratch/run.$seed" 2>&1
}

# The kinds in a list of names, "all" spelt out.
spell_out()
{
    case $1 in
    all) echo "${kinds// /,}" ;;
    *) echo "$1" ;;
    esac
}

# shrink SEED COMMAND...: fewer kinds of faults, for a shorter time, as long as it still fails
shrink()
{
    local seed=$1 list until='' kind fewer low=0 high middle

    shift
    list=$(spell_out "$faults")
    for kind in $kinds; do
        fewer=$(tr , '\n' <<<"$list" | grep -vx "$kind" | paste -sd, - || true)
        if [ "$fewer" != "$list" ] && ! run "$seed" "${fewer:-none}" "$until" "$@"; then
            list=${fewer:-none}
        fi
    done
    run "$seed" "$list" "$until" "$@" || true
    high=$(sed -n 's/.* events and \([0-9]*\) ns; again by.*/\1/p' "$scratch/run.$seed" | head -n 1)
    if [ "$list" != none ] && [ -n "$high" ]; then
        until=$high
        for _ in {1..24}; do
            middle=$(((low + high) / 2))
            [ "$middle" -gt "$low" ] || break
            if run "$seed" "$list" "$middle" "$@"; then
                low=$middle
            else
                high=$middle
                until=$middle
            fi
        done
    fi
    run "$seed" "$list" "$until" "$@" || true
    tail -n 24 "$scratch/run.$seed"
    echo "== seed $seed fails; with the fewest faults that still do it:"
    echo "   WEFT_BACKEND=sim WEFT_SEED=$seed WEFT_SIM_FAULTS=$list" \
        "${until:+WEFT_SIM_FAULTS_FOR=$until}" "$@"
}

# In the background: every jobs-th seed, until one fails.
run_share()
{
    local share=$1 seed

    shift
    for ((seed = from + share; seed < from + seeds; seed += jobs)); do
        [ ! -e "$scratch/failed" ] || return 0
        if run "$seed" "$faults" "" "$@"; then
            rm -f "$scratch/run.$seed"
        else
            echo "$seed" >>"$scratch/failed"
            return 0
        fi
    done
}

# run_program COMMAND...: all seeds, shared by the jobs
run_program()
{
    local share

    rm -f "$scratch/failed"
    for ((share = 0; share < jobs; share++)); do
        run_share "$share" "$@" &
    done
    wait
    if [ -e "$scratch/failed" ]; then
        shrink "$(sort -n "$scratch/failed" | head -n 1)" "$@"
        return 1
    fi
    echo "== $seeds seeds from $from passed: $*"
}

# run_scenario NAME: the same in a few processes, each of which runs many seeds
run_scenario()
{
    local name=$1 share=$(((seeds + jobs - 1) / jobs)) first=$from left=$seeds seed

    rm -f "$scratch"/part.*
    while [ "$left" -gt 0 ]; do
        [ "$left" -ge "$share" ] || share=$left
        WEFT_SIM_FAULTS=$faults "$scenarios" --from "$first" --seeds "$share" "$name" \
            >"$scratch/part.$first" 2>&1 &
        first=$((first + share))
        left=$((left - share))
    done
    wait
    grep -h -e ' seeds passed' "$scratch"/part.* || true
    seed=$(sed -n "s/^$name: seed \([0-9]*\) fails .*/\1/p;
        s/.*killed by signal .*WEFT_SEED=\([0-9]*\)\$/\1/p" "$scratch"/part.* |
        sort -n | head -n 1)
    if [ -n "$seed" ]; then
        shrink "$seed" "$scenarios" --seeds 1 "$name"
        return 1
    fi
    [ "$(cat "$scratch"/part.* | grep -c ' seeds passed')" -eq "$(find "$scratch" -name 'part.*' |
        wc -l)" ] || { tail -n 20 "$scratch"/part.*; return 1; }
}

unset WEFT_SEED WEFT_SIM_FAULTS WEFT_SIM_FAULTS_FOR WEFT_SIM_TRACE
begun=$(date +%s)
status=0
case ${1:-} in
'' | sync | network | disk | pipe)
    build_scenarios
    [ $# -gt 0 ] || set -- sync network disk pipe
    for name in "$@"; do
        run_scenario "$name" || status=1
    done
    ;;
*) run_program "$@" || status=1 ;;
esac
echo "== took $(($(date +%s) - begun)) s"
exit "$status"
