#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs weft's benchmarks beside those of its peers.  `scripts/bench.sh --help` lists the options.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# A build folder of its own: the tests are off here, and so need not be installed for.
build=$root/build/bench
export PYTHONDONTWRITEBYTECODE=1

driver=(python3 "$root/scripts/report/bench.py"
    --weft-program "$build/benchmarks/weft-bench" --peer-folder "$root/build/peers/bin"
    --http-build "$build")

for argument in "$@"; do
    case $argument in
    -h | --help) exec "${driver[@]}" --help ;;
    --read | --read=*) exec "${driver[@]}" "$@" ;; # nothing is built for it
    esac
done
# Python comes with the set-up; where it is there already, wrong options are told before minutes go
# into building.
if command -v python3 >/dev/null; then
    "${driver[@]}" --print-peers "$@" >/dev/null
fi

# What only the peers need may be missing: peers.sh then skips them by name.
if ! "$root/scripts/setup.sh" --bench --run >&2; then
    "$root/scripts/setup.sh" >&2
fi
cd "$root"
cmake --preset release -B "$build" -DWEFT_TESTS=OFF -DWEFT_EXAMPLES=OFF >/dev/null
cmake --build "$build" --target weft-bench http-servers >&2
cd "$OLDPWD"

read -r -a peers < <("${driver[@]}" --print-peers "$@")
if [ "${#peers[@]}" -gt 0 ]; then
    "$root/scripts/peers.sh" "${peers[@]}" >&2
fi
exec "${driver[@]}" "$@"
