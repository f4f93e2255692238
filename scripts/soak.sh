#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a mixed load and fails if what the process holds, or how late things are, grows with time:
# memory, descriptors, mappings, p99.9 of an exchange over TCP, deadlines missed by 100 ms.
#
# usage: scripts/soak.sh [--minutes N] [--leak KIND] [--prove] [--build DIR]
#
#   --minutes N   so long; 10 by default, which is for the list before a release
#   --leak KIND   with a mistake planted: memory, fd, vma, latency or deadline; it must fail then
#   --prove       runs each of these for 15 s, and fails if one is not found
#   --build DIR   builds there instead of in build/release
#
# The head of scripts/report/soak.py says what counts as growth.
set -eu

cd "$(dirname "$0")/.."

usage()
{
    sed -n '/^# usage/,/^# The head/ { /^# The head/d; s/^# \{0,1\}//; p; }' scripts/soak.sh
}

minutes=10
build=build/release
leak=
is_proof=
while [ $# -gt 0 ]; do
    case $1 in
    --minutes | --leak | --build)
        [ $# -ge 2 ] || { echo "soak.sh: $1 needs a value" >&2; exit 2; }
        case $1 in
        --minutes) minutes=$2 ;;
        --leak) leak=$2 ;;
        --build) build=$2 ;;
        esac
        shift
        ;;
    --prove) is_proof=1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        echo "soak.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done
case $minutes in
'' | 0 | *[!0-9]*)
    echo "soak.sh: --minutes takes a number, not '$minutes'" >&2
    exit 2
    ;;
esac

scripts/setup.sh --test
cmake --preset release -B "$build" -S . >/dev/null
cmake --build "$build" -j "$(nproc)" --target soak >/dev/null

export PYTHONDONTWRITEBYTECODE=1
if [ -n "$is_proof" ]; then
    exec python3 scripts/report/soak.py "$build/tests/soak/soak" --seconds 15 --prove
fi
echo "== $minutes minutes"
exec python3 scripts/report/soak.py "$build/tests/soak/soak" --seconds $((minutes * 60)) \
    ${leak:+--leak "$leak"}
