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
child=

# In the background and waited for: a signal to this shell alone then ends what it runs, too.
run()
{
    # shellcheck disable=SC2086 # a word for each option
    python3 "$1" $only &
    child=$!
    wait "$child" || status=1
    child=
}

trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 130' INT TERM HUP
[ "$which" = programs ] || run tests/model/mutants.py
[ "$which" = models ] || run tests/mutants/run.py
exit $status
