#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Plants mistakes in the library, one at a time, and demands that a test notices each.
#
# usage: scripts/mutants.sh [--models | --programs] [--only TEXT]...
#
#   (none)       all of them
#   --models     only those that a model checker has to find (tests/model)
#   --programs   only those that a test program has to find (tests/mutants); scripts/test.sh runs
#                these with --long alone
#   --only TEXT  those whose name contains TEXT
#
# Ends with status 1 if one survives.
set -eu

cd "$(dirname "$0")/.."

which=all
only=
while [ $# -gt 0 ]; do
    case $1 in
    --models | --programs) which=${1#--} ;;
    --only)
        [ $# -ge 2 ] || { echo "mutants.sh: --only needs a text" >&2; exit 2; }
        only="$only --only $2"
        shift
        ;;
    -h | --help)
        sed -n '/^# usage/,/^# Ends/ { s/^# \{0,1\}//; p; }' scripts/mutants.sh
        exit 0
        ;;
    *)
        echo "mutants.sh: unknown option $1" >&2
        exit 2
        ;;
    esac
    shift
done

scripts/setup.sh --test
export PYTHONDONTWRITEBYTECODE=1
status=0
# shellcheck disable=SC2086 # a word for each option
[ "$which" = programs ] || python3 tests/model/mutants.py $only || status=1
# shellcheck disable=SC2086
[ "$which" = models ] || python3 tests/mutants/run.py $only || status=1
exit $status
