#!/bin/sh
# SPDX-License-Identifier: MIT
#
# scripts/sim.sh finds the mistake that an example makes on request; what it prints at last makes
# it again, event for event; and without the mistake no seed fails.
#
# usage: find_bug.sh SIM EXAMPLE
set -eu

sim=$1
example=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail()
{
    echo "find_bug.sh: $1" >&2
    exit 1
}

if "$sim" --seeds 300 "$example" --simulate bug >"$folder/found"; then
    fail "300 seeds do not find the mistake"
fi
cat "$folder/found"
again=$(sed -n 's/^   \(WEFT_BACKEND=sim .*\)/\1/p' "$folder/found")
[ -n "$again" ] || fail "no command was printed that fails again"
for run in 1 2; do
    if sh -c "WEFT_SIM_TRACE=$folder/trace.$run $again" >"$folder/run.$run" 2>&1; then
        fail "this does not fail: $again"
    fi
    [ -s "$folder/trace.$run" ] || fail "there is no trace of: $again"
done
cmp "$folder/trace.1" "$folder/trace.2" || fail "each run is another: $again"
case $again in
*WEFT_SIM_FAULTS=none*) ;;
*)
    sh -c "$(echo "$again" | sed 's/WEFT_SIM_FAULTS=[^ ]*/WEFT_SIM_FAULTS=none/')" \
        >"$folder/none" 2>&1 || fail "it needs no faults, and some are named: $again"
    ;;
esac
"$sim" --seeds 25 "$example" --simulate || fail "a seed fails without the mistake"
