#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs tests under valgrind's memcheck: minutes each, as Criterion starts a process for each test.
#
# usage: scripts/valgrind.sh [PROGRAM]...
#
# PROGRAM is a test of the release build, such as api_join_test.  Without one, a few that spawn,
# join and wait.  Not the context's own test: valgrind rounds to nearest always.  They run on
# epoll: what the kernel writes into a ring memcheck does not see.
set -eu

cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- unit_tls_test api_join_test api_channel_test
command -v valgrind >/dev/null || { echo "valgrind.sh: there is no valgrind" >&2; exit 2; }
cmake --preset release >/dev/null
cmake --build --preset release --target "$@"
export WEFT_BACKEND=epoll WEFT_WORKERS=2
failed=0
for program in "$@"; do
    # Threads take turns under valgrind: without fair ones a fiber that spins holds all others up.
    if valgrind -q --error-exitcode=9 --trace-children=yes --fair-sched=yes \
        "build/release/tests/$program" -j1; then
        echo "valgrind.sh: ok $program"
    else
        echo "valgrind.sh: FAILED $program"
        failed=1
    fi
done
exit "$failed"
