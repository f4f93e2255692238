#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Measures a workload beside its peers: weft, pthread, OpenMP, oneTBB, Go and rayon, each as its own
# program would divide the work, with the tables and the report of scripts/bench.sh.
#
# usage: benchmarks/template/run.sh WORKLOAD.h [option of scripts/bench.sh]...
#
#   cp benchmarks/template/primes.h mine.h      then write your own work into it
#   benchmarks/template/run.sh mine.h --html mine.html
#
# WEFT_BENCH_BUILD names a build folder with weft in it; without one weft is built.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
case ${1:-} in
"" | -h | --help)
    sed -n '/^# Measures/,/^# WEFT/ s/^# \{0,1\}//p' "$0"
    [ $# -gt 0 ] || exit 2
    exit 0
    ;;
esac
[ -f "$1" ] || { echo "run.sh: there is no file $1" >&2; exit 2; }
workload=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift

build=${WEFT_BENCH_BUILD:-}
if [ -z "$build" ]; then
    "$root/scripts/setup.sh" >&2
    build=$root/build/bench
    cmake -S "$root" --preset release -B "$build" -DWEFT_TESTS=OFF -DWEFT_EXAMPLES=OFF >/dev/null
    cmake --build "$build" --target weft >&2
fi
export PYTHONDONTWRITEBYTECODE=1
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT

flags=(-O3 -falign-loops=64 -DNDEBUG -D_GNU_SOURCE "-DWORKLOAD=\"$workload\"" -I "$root/benchmarks"
    -I "$root/include")
harness=()
for name in bench bench_main probe; do
    cc -std=gnu11 "${flags[@]}" -c "$root/benchmarks/harness/$name.c" -o "$bin/$name.o"
    harness+=("$bin/$name.o")
done
cc -std=gnu11 "${flags[@]}" "$here/weft.c" "${harness[@]}" -L "$build" "-Wl,-rpath,$build" -lweft \
    -pthread -lm -o "$bin/weft"
cc -std=gnu11 "${flags[@]}" "$here/pthread.c" "${harness[@]}" -pthread -lm -o "$bin/pthread"
# What the machine lacks for the others is left out by name in the driver.
cc -std=gnu11 "${flags[@]}" -fopenmp "$here/openmp.c" "${harness[@]}" -pthread -lm \
    -o "$bin/openmp" || true
c++ -std=gnu++17 "${flags[@]}" "$here/tbb.cpp" "${harness[@]}" -ltbb -pthread -o "$bin/tbb" || true
if command -v go >/dev/null; then
    echo "#include \"$workload\"" >"$bin/workload.h"
    (
        cd "$here/go"
        CGO_ENABLED=1 CGO_CFLAGS="-std=gnu11 -O3 -falign-loops=64 -DNDEBUG -I$bin" \
            go build -buildvcs=false -buildmode=c-archive -o "$bin/divide.a" .
    ) && cc -std=gnu11 "${flags[@]}" "$here/go.c" "${harness[@]}" "$bin/divide.a" -pthread -lm \
        -o "$bin/go" || true
fi
# Offline: `scripts/peers.sh rayon` fetches what the crate needs.
if command -v cargo >/dev/null; then
    cargo build --quiet --release --locked --offline --manifest-path "$here/rayon/Cargo.toml" \
        --target-dir "$root/build/template-rayon" &&
        cc -std=gnu11 "${flags[@]}" "$here/rayon.c" "${harness[@]}" \
            "$root/build/template-rayon/release/libweft_template_rayon.a" -pthread -ldl -lm \
            -o "$bin/rayon" || true
fi

peers=(--peers "pthread,openmp,tbb,go,rayon")
for option in "$@"; do
    case $option in --peers | --peers=*) peers=() ;; esac
done
python3 "$root/scripts/report/bench.py" --weft-program "$bin/weft" --peer-folder "$bin" \
    "${peers[@]}" "$@"
