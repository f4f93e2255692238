#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Says which lines and branches of runtime/, sync/ and io/ the tests run, counted by gcov.
#
# usage: scripts/coverage.sh [--missed] [--report] [--build DIR]
#
#   (none)        builds the coverage preset, runs the unit, api, stress and http tests, the
#                 scenarios of simulation, and the api tests on epoll and with 1 and 16 workers as
#                 well, and prints a table; fails below 92 % of the lines or 85 % of the branches
#   --missed      and under each file the numbers of the lines and branches that did not run
#   --report      builds and runs nothing: prints what was counted last
#   --build DIR   builds there instead of in build/coverage
#
# docs/coverage.md says what the rest is.  It takes some ten minutes on two CPUs.
set -eu

cd "$(dirname "$0")/.."

usage()
{
    sed -n '/^# usage/,/^# docs/ { /^# docs/d; s/^# \{0,1\}//; p; }' scripts/coverage.sh
}

build=build/coverage
is_report=
missed=
while [ $# -gt 0 ]; do
    case $1 in
    --missed) missed=--missed ;;
    --report) is_report=1 ;;
    --build)
        [ $# -ge 2 ] || { echo "coverage.sh: --build needs a folder" >&2; exit 2; }
        build=$2
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        echo "coverage.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

jobs=$(nproc)
failed=
# run WHAT CTEST_OPTION...: a test that fails has counted what it ran all the same
run()
{
    echo "== $1"
    shift
    ctest --test-dir "$build" -j "$jobs" --output-on-failure "$@" || failed=1
}

run_all()
{
    unset WEFT_WORKERS WEFT_BACKEND WEFT_CHAOS
    scripts/setup.sh --test
    cmake --preset coverage -B "$build" -S . >/dev/null
    cmake --build "$build" -j "$jobs" --target unit_tests api_tests stress_tests http_tests \
        sim_tests
    find "$build" -name '*.gcda' -delete
    run "unit, api, stress and http tests" -L '^(unit|api|stress|http)$'
    run "the scenarios of simulation" -R '^sim/(sync|network|disk|pipe)$'
    for workers in 1 16; do
        export WEFT_WORKERS=$workers
        run "api tests, $workers workers" -L '^api$'
        unset WEFT_WORKERS
    done
    export WEFT_BACKEND=epoll
    run "api tests on epoll" -L '^api$'
    unset WEFT_BACKEND
}

[ -n "$is_report" ] || run_all
export PYTHONDONTWRITEBYTECODE=1
python3 scripts/report/coverage.py "$build" --root . ${missed:+"$missed"} \
    --lines-min 92 --branches-min 85
[ -z "$failed" ]
