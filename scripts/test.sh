#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds weft and runs its tests.
#
# usage: scripts/test.sh [--quick] [--long] [--cross] [--matrix] [--chaos] [--minute] [--retry]
#                        [--preset NAME]...
#
#   (none)          every test in release, the api and stress tests with 1, 2, 4 and 16 workers,
#                   and these and the http tests on epoll; unit and api tests in debug, by clang;
#                   unit, api, stress and http tests under asan and tsan, those of I/O on epoll too;
#                   the api tests in chaos mode under asan (64 workers); the tests of the switch
#                   and of fibers on aarch64 and riscv64, under qemu-user; those of spawn, join,
#                   channels and scopes under valgrind (scripts/valgrind.sh); a minute of soak
#                   (scripts/soak.sh); and beside all this, with what it leaves of the processors,
#                   a minute of fuzzing for each target (scripts/fuzz.sh)
#   --quick         every test but the stress tests, in release only
#   --long          soak tests run for their full time (WEFT_SOAK=1), and in chaos mode the stress
#                   tests too, under asan (64 workers) and tsan (16 workers); 100,000 closes
#                   with an operation under way, and as many cancels of each operation as it
#                   completes, under asan on both backends; the proof of
#                   scripts/soak.sh; the mutants that test programs must find
#   --cross         all unit and api tests on aarch64 and riscv64, and nothing else
#   --matrix        the unit and api tests in debug, release, asan and tsan, each by gcc and by
#                   clang, on io_uring and on epoll, and nothing else; with --preset only those
#   --chaos         the unit, api and stress tests in chaos mode, with 16 workers and with 64, and
#                   the http tests of a server on fibers, under tsan and under asan; nothing else
#   --minute        fibers that spawn, join and steal at random, two for each core, for a minute in
#                   release and a minute more in chaos mode, and nothing else: each fiber that was
#                   spawned has run, once, and has been freed
#   --retry         a program that fails is run once more; if it passes then, it is named at the
#                   end as unsteady, and the run has not failed
#   --preset NAME   only this preset of CMakePresets.json; may be given again
#
# The last line is "N passed, N failed", over all runs, with ", N skipped" after it if some were.
set -eu

cd "$(dirname "$0")/.."

usage()
{
    sed -n '/^# usage/,/^# The last/ { /^# The last/d; s/^# \{0,1\}//; p; }' scripts/test.sh
}

is_quick=
is_cross=
is_matrix=
is_chaos=
is_minute=
repeat=
presets=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) is_quick=1 ;;
    --long) export WEFT_SOAK=1 ;;
    --cross) is_cross=1 ;;
    --matrix) is_matrix=1 ;;
    --chaos) is_chaos=1 ;;
    --minute) is_minute=1 ;;
    --retry) repeat="--repeat until-pass:2" ;;
    --preset)
        [ $# -ge 2 ] || { echo "test.sh: --preset needs a name" >&2; exit 2; }
        presets="$presets $2"
        shift
        ;;
    --preset=*) presets="$presets ${1#--preset=}" ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        echo "test.sh: unknown option $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

# The tests choose their own configuration; one from the caller's shell would change what they mean.
unset WEFT_WORKERS WEFT_STACK_SIZE_KIB WEFT_MAX_FIBERS WEFT_PIN WEFT_RING_ENTRIES \
    WEFT_WAKE_BACKLOG_US WEFT_GUARD WEFT_CHAOS WEFT_BLOCKING_THREADS WEFT_MONITOR WEFT_STALL_US \
    WEFT_STALL_REPORT_MS WEFT_SPARE_WORKERS WEFT_BACKEND WEFT_MAX_STACK_MEMORY_MIB \
    WEFT_MAX_OPERATIONS WEFT_MAX_CONNECTIONS WEFT_MAX_BUFFER_MEMORY_KIB WEFT_STACK_USAGE \
    WEFT_OVERFLOW_REPORT WEFT_LEAKS WEFT_STRESS_ROUNDS WEFT_SPIN_US \
    WEFT_DEADLOCK WEFT_ALLOCATOR WEFT_SEED WEFT_SIM_FAULTS WEFT_SIM_FAULTS_FOR WEFT_SIM_LIMIT \
    WEFT_SIM_TRACE WEFT_SIM_DISK

scripts/setup.sh --test

jobs=$(nproc)
results=$(mktemp -d)
fuzz=
mutants=
model_mutants='^model/mutants$'
# What fuzz.sh runs ends with it; ctest lets go on what it runs, so it leads a group.
trap '
    [ -z "$fuzz" ] || kill "$fuzz" 2>/dev/null || true
    [ -z "$mutants" ] || kill -- "-$mutants" 2>/dev/null || true
    rm -rf "$results"' EXIT
trap 'exit 130' INT TERM
run_number=0
broken=0
phase=
phase_start=

# enter PHASE: says what comes now, and notes how long what came before has taken
enter()
{
    now=$(date +%s)
    [ -z "$phase" ] ||
        printf '== %5d s  %s\n' "$((now - phase_start))" "$phase" >>"$results/phases"
    phase=$1
    phase_start=$now
    [ -z "$phase" ] || echo "== $phase"
}

# build PRESET [TARGET...]
build()
{
    preset=$1
    shift
    [ $# -gt 0 ] || set -- all
    enter "$preset: building"
    if cmake --preset "$preset" >"$results/build.log" 2>&1 &&
        cmake --build --preset "$preset" -j "$jobs" --target "$@" >>"$results/build.log" 2>&1; then
        return 0
    fi
    tail -n 60 "$results/build.log"
    echo "== $preset: the build FAILED"
    broken=$((broken + 1))
    return 1
}

# Of a line of ctest's.
failed_name='s/.* Test *#[0-9]*: \([^ ]*\) .*\*\*\*\(Failed\|Timeout\|Exception\).*/\1/p'

# note_unsteady LOG WHERE: what has failed once and then passed
note_unsteady()
{
    [ -n "$repeat" ] || return 0
    # What fails twice is there twice.
    sed -n "$failed_name" "$1" | sort | uniq -u | awk -v at=" $2" '{ print $0 at }' \
        >>"$results/unsteady"
}

# What ctest does for each run.  The report holds the output of passed tests too: it tells how many
# cases each program had.
reporting="$repeat --output-on-failure --test-output-size-passed 4000000
    --test-output-size-failed 4000000"

# What ctest says, without the lines that tell nothing.
grep_told()
{
    grep -a -v -e '^ *Start ' -e '^Test project' -e '^$' "$@"
}

# run PRESET WHAT CTEST_OPTION...
run()
{
    preset=$1
    what=$2
    shift 2
    run_number=$((run_number + 1))
    enter "$preset: $what"
    # What failed goes through a file, since a pipe has only the status of its last command.  Many
    # programs wait more than they compute: four for each processor keep it busy.
    {
        # shellcheck disable=SC2086 # several words
        ctest $reporting --preset "$preset" -j "$((jobs * 4))" --no-tests=error \
            --output-junit "$results/$run_number.xml" "$@" 2>&1 ||
            echo "$what in $preset" >>"$results/failed"
    } | grep_told --line-buffered | tee "$results/ctest.log" || true
    [ -f "$results/$run_number.xml" ] || broken=$((broken + 1))
    note_unsteady "$results/ctest.log" "in $preset: $what"
}

# build_and_run PRESET FOLDER...: builds and runs the tests of these folders
build_and_run()
{
    preset=$1
    shift
    targets=""
    labels=""
    for folder in "$@"; do
        targets="$targets ${folder}_tests"
        labels="${labels:+$labels|}$folder"
    done
    # shellcheck disable=SC2086 # a word for each target
    if build "$preset" $targets; then
        run "$preset" "$* tests" -L "^($labels)\$"
    fi
}

# The processes of a sanitizer are slow to start and hungry: only what runs the library's code.
run_preset()
{
    case $1 in
    *asan* | *tsan*) build_and_run "$1" unit api stress http ;;
    # What is more in debug is the library's checks: the tests that run its code are enough.  All is
    # built, since clang builds the benchmarks and the examples nowhere else.
    debug*) if build "$1"; then run "$1" "unit and api tests" -L '^(unit|api)$'; fi ;;
    *) if build "$1"; then run "$1" "all tests"; fi ;;
    esac
}

# run_io_on_epoll PRESET: what waits for a descriptor there, and what ends such waits
run_io_on_epoll()
{
    [ -d "build/$1" ] || return 0
    export WEFT_BACKEND=epoll
    run "$1" "I/O tests on epoll" -L '^(api|stress)$' \
        -R '(^api/(io_|splice)|cancel|close|io_(race_)?stress)' -E '^api/sim_'
    unset WEFT_BACKEND
}

# run_chaos PRESET WORKERS FOLDERS: the seed is a new one each time, and is printed.  Not the tests
# of reports of stalls: these run in processes that get no settings from here, and some of them in
# chaos anyway.  So many workers keep a processor busy by themselves.
run_chaos()
{
    [ -d "build/$1" ] || return 0
    seed=$(($(date +%s) % 1000000 + 1))
    export WEFT_CHAOS=$seed WEFT_WORKERS="$2"
    run "$1" "$3 tests in chaos, WEFT_CHAOS=$seed WEFT_WORKERS=$2" -j "$jobs" \
        -R "^($3)/.*_test\$" -E '^api/stall_test$'
    unset WEFT_CHAOS WEFT_WORKERS
}

# The HTTP tests say themselves how many workers their servers have.  Threads have no chaos.
run_http_chaos()
{
    seed=$(($(date +%s) % 1000000 + 1))
    export WEFT_CHAOS=$seed WEFT_HTTP_TEST_MODE=fiber
    run "$1" "http tests in chaos, WEFT_CHAOS=$seed" -R '^http/.*_test$'
    unset WEFT_CHAOS WEFT_HTTP_TEST_MODE
}

run_all_chaos()
{
    for preset in tsan asan; do
        build "$preset" unit_tests api_tests stress_tests http_tests || continue
        for workers in 16 64; do
            run_chaos "$preset" "$workers" "unit|api|stress"
        done
        run_http_chaos "$preset"
    done
}

run_minute()
{
    build release stress_tests || return 0
    WEFT_WORKERS=$(nproc)
    export WEFT_SOAK=1 WEFT_WORKERS
    run release "a minute of spawn, join and steal" -R '^stress/spawn_stress_test$'
    unset WEFT_SOAK WEFT_WORKERS
}

# 100,000 random closes, cancels and completions of one operation, and as many cancels and
# completions of each, with two workers.
run_race_soak()
{
    [ -d "build/$1" ] || return 0
    export WEFT_STRESS_ROUNDS=100000 WEFT_WORKERS=2
    for WEFT_BACKEND in io_uring epoll; do
        export WEFT_BACKEND
        run "$1" "100,000 races on $WEFT_BACKEND" -L '^stress$' -R '(close|io_race)_stress'
    done
    unset WEFT_STRESS_ROUNDS WEFT_WORKERS WEFT_BACKEND
}

# run_script WHAT COMMAND...: a script that builds for itself, and writes ctest's report
run_script()
{
    what=$1
    shift
    run_number=$((run_number + 1))
    enter "$what"
    status=0
    "$@" --results "$results/$run_number.xml" >"$results/script.log" 2>&1 || status=$?
    grep_told "$results/script.log" || true
    case $status in
    0) ;;
    77) echo "== $what: SKIPPED, as said above" ;;
    *)
        echo "$what" >>"$results/failed"
        [ -f "$results/$run_number.xml" ] || broken=$((broken + 1))
        ;;
    esac
}

# run_cross --quick|--tests
run_cross()
{
    for processor in aarch64 riscv64; do
        run_script "$processor: under qemu-user" scripts/cross.sh "$processor" "$1"
    done
}

# What computes for minutes runs beside the phases, whose programs wait more than they compute.
# Where there is no model checker there is no such test.
start_mutants()
{
    run_number=$((run_number + 1))
    # shellcheck disable=SC2086 # several words
    setsid ctest $reporting --preset release --no-tests=ignore \
        --output-junit "$results/$run_number.xml" -R "$model_mutants" \
        >"$results/mutants.log" 2>&1 &
    mutants=$!
}

finish_mutants()
{
    [ -n "$mutants" ] || return 0
    enter "release: the rest of the models' mutants"
    wait "$mutants" || echo "the models' mutants" >>"$results/failed"
    mutants=
    grep_told "$results/mutants.log" || true
    note_unsteady "$results/mutants.log" "in release"
}

# Fuzzing computes and never waits: it gets the time for which nothing else is ready to run.
start_fuzz()
{
    scripts/setup.sh --fuzz
    chrt --idle 0 scripts/fuzz.sh --seconds 60 >"$results/fuzz.log" 2>&1 &
    fuzz=$!
}

finish_fuzz()
{
    enter "fuzz: the rest of a minute for each target"
    wait "$fuzz" || echo "fuzzing" >>"$results/failed"
    fuzz=
    cat "$results/fuzz.log"
}

# What drifts for a minute may be the machine's doing, what drifts twice is not.
run_soak()
{
    enter "soak: a minute"
    scripts/soak.sh --minutes 1 && return 0
    if [ -n "$repeat" ] && scripts/soak.sh --minutes 1; then
        echo "soak" >>"$results/unsteady"
    else
        echo "soak" >>"$results/failed"
    fi
}

run_matrix()
{
    matrix="debug release asan tsan debug-clang release-clang asan-clang tsan-clang"
    for preset in ${presets:-$matrix}; do
        build "$preset" unit_tests api_tests || continue
        for WEFT_BACKEND in io_uring epoll; do
            export WEFT_BACKEND
            run "$preset" "unit and api tests on $WEFT_BACKEND" -L '^(unit|api)$'
        done
        unset WEFT_BACKEND
    done
}

start=$(date +%s)
if [ -n "$is_matrix" ]; then
    run_matrix
elif [ -n "$presets" ]; then
    for preset in $presets; do
        run_preset "$preset"
    done
elif [ -n "$is_cross" ]; then
    run_cross --tests
elif [ -n "$is_chaos" ]; then
    run_all_chaos
elif [ -n "$is_minute" ]; then
    run_minute
elif [ -n "$is_quick" ]; then
    build release && run release "all tests but stress" -LE '^stress$'
else
    start_fuzz
    # The api and stress tests come with each worker count below.
    if build release; then
        start_mutants
        run release "all tests but api and stress" -LE '^(api|stress)$' -E "$model_mutants"
    fi
    for workers in 1 2 4 16; do
        export WEFT_WORKERS=$workers
        run release "api and stress tests, $workers workers" -L '^(api|stress)$'
        unset WEFT_WORKERS
    done
    export WEFT_BACKEND=epoll
    run release "api, stress and http tests on epoll" -L '^(api|stress|http)$'
    unset WEFT_BACKEND
    finish_mutants
    run_preset debug-clang
    run_preset asan
    run_io_on_epoll asan
    chaotic=api
    [ -z "${WEFT_SOAK:-}" ] || chaotic="api|stress"
    run_chaos asan 64 "$chaotic"
    [ -z "${WEFT_SOAK:-}" ] || run_race_soak asan
    run_preset tsan
    run_io_on_epoll tsan
    [ -z "${WEFT_SOAK:-}" ] || run_chaos tsan 16 "$chaotic"
    run_cross --quick
    # Not in the background as fuzzing is: these have deadlines.
    run_script "release: under valgrind" scripts/valgrind.sh
    finish_fuzz
    run_soak
    if [ -n "${WEFT_SOAK:-}" ]; then
        enter "soak: its proof"
        scripts/soak.sh --prove || echo "soak's proof" >>"$results/failed"
        enter "mutants"
        scripts/mutants.sh --programs || echo "mutants" >>"$results/failed"
    fi
fi

enter ""
cat "$results/phases"
echo "== took $(($(date +%s) - start)) s"
[ ! -s "$results/unsteady" ] || sed 's/^/== UNSTEADY: /' "$results/unsteady"
[ ! -f "$results/failed" ] || sed 's/^/== FAILED: /' "$results/failed"
python3 scripts/count_tests.py --broken "$broken" "$results" && [ ! -f "$results/failed" ]
