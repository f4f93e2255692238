#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The main job: the same HTTP server on fibers, on a thread per connection, on a thread per request
# and on a pool of threads, under load, in one table.  `scripts/run.sh --help` lists the options.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# A build folder of its own: the tests are off here, and so need not be installed for.
build=$root/build/bench
export PYTHONDONTWRITEBYTECODE=1

driver=(python3 "$root/scripts/report/run_http.py" --build "$build")

for argument in "$@"; do
    case $argument in
    -h | --help) exec "${driver[@]}" --help ;;
    esac
done
# Python comes with the set-up; where it is there already, wrong options are told before minutes go
# into building.
if command -v python3 >/dev/null; then
    "${driver[@]}" --check-options "$@"
fi

"$root/scripts/setup.sh" --run
cd "$root"
cmake --preset release -B "$build" -DWEFT_TESTS=OFF -DWEFT_EXAMPLES=OFF >/dev/null
cmake --build "$build" --target http-servers
cd "$OLDPWD"
exec "${driver[@]}" "$@"
