#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the benchmark programs of weft's peers into build/peers/bin.  A peer that this machine
# cannot build is named and skipped; the script fails only for a name that it does not know.
#
# usage: scripts/peers.sh [PEER]...
#
#   PEER   boost-fiber, cpp20, go, tokio, pthread, tbb, openmp, rayon, may, compio, libuv, python,
#          uring-floor or epoll-floor; all of them if none is named
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source=$root/benchmarks/peers
out=$root/build/peers/bin
work=$root/build/peers
harness=("$work"/{bench,bench_main,probe}.o)
# As benchmarks/CMakeLists.txt has it, and says why.
optimise=(-O3 -falign-loops=64 -DNDEBUG -I "$root/benchmarks")

build_harness()
{
    local file
    for file in bench bench_main probe; do
        cc -std=gnu11 -D_GNU_SOURCE "${optimise[@]}" -c "$root/benchmarks/harness/$file.c" \
            -o "$work/$file.o"
    done
}

# The benchmarks of servers of every peer look for these beside their own program.
build_load()
{
    local load
    build_harness
    for load in echo round; do
        cc -std=gnu11 -D_GNU_SOURCE "${optimise[@]}" "$root/benchmarks/load/${load}_load.c" \
            "${harness[@]}" -pthread -o "$out/bench-$load-load"
    done
}

build_boost_fiber()
{
    command -v c++ >/dev/null || skip "no C++ compiler"
    [ -e /usr/include/boost/fiber/all.hpp ] || skip "libboost-fiber-dev is not installed"
    build_harness
    c++ -std=c++17 "${optimise[@]}" "$source"/boost_fiber/*.cpp "${harness[@]}" \
        -lboost_fiber -lboost_context -pthread -o "$out/boost-fiber.new"
}

build_cpp20()
{
    command -v c++ >/dev/null || skip "no C++ compiler"
    echo '#include <coroutine>' | c++ -std=c++20 -x c++ -c -o /dev/null - 2>/dev/null ||
        skip "the C++ compiler has no coroutines"
    build_harness
    c++ -std=c++20 "${optimise[@]}" "$source/cpp20/main.cpp" "${harness[@]}" -pthread \
        -o "$out/cpp20.new"
}

build_pthread()
{
    build_load
    cc -std=gnu11 -D_GNU_SOURCE "${optimise[@]}" "$source"/pthread/*.c "${harness[@]}" -lm \
        -pthread -o "$out/pthread.new"
}

# The bare loops, which are no peer but what a peer could not be faster than.
build_uring_floor()
{
    [ -e /usr/include/liburing.h ] || skip "liburing-dev is not installed"
    build_load
    cc -std=gnu11 -D_GNU_SOURCE "${optimise[@]}" "$source"/uring_floor/*.c "${harness[@]}" \
        -luring -pthread -o "$out/uring-floor.new"
}

build_epoll_floor()
{
    build_load
    cc -std=gnu11 -D_GNU_SOURCE "${optimise[@]}" "$source"/epoll_floor/*.c "${harness[@]}" \
        -pthread -o "$out/epoll-floor.new"
}

build_tbb()
{
    command -v c++ >/dev/null || skip "no C++ compiler"
    [ -e /usr/include/oneapi/tbb/task_group.h ] || skip "libtbb-dev is not installed"
    build_harness
    c++ -std=c++17 "${optimise[@]}" "$source"/tbb/*.cpp "${harness[@]}" -ltbb -lm -pthread \
        -o "$out/tbb.new"
}

build_openmp()
{
    echo 'int main(void) { return 0; }' | cc -fopenmp -x c -o /dev/null - 2>/dev/null ||
        skip "the C compiler has no OpenMP"
    build_harness
    cc -std=gnu11 -D_GNU_SOURCE "${optimise[@]}" -fopenmp "$source"/openmp/*.c \
        "${harness[@]}" -lm -pthread -o "$out/openmp.new"
}

build_go()
{
    command -v go >/dev/null || skip "go is not installed"
    build_load
    (cd "$source/go" && go build -buildvcs=false -o "$out/go.new" .)
}

build_tokio()
{
    build_load
    build_crate
}

build_rayon()
{
    build_crate
}

build_may()
{
    build_load
    build_crate
}

build_compio()
{
    build_load
    build_crate
}

# The crate of the peer's own folder.
build_crate()
{
    command -v cargo >/dev/null || skip "cargo is not installed (rustup.rs installs it)"
    cargo build --quiet --release --locked --manifest-path "$source/$peer/Cargo.toml" \
        --target-dir "$work/$peer-target"
    cp "$work/$peer-target/release/weft-bench-$peer" "$out/$peer.new"
}

build_libuv()
{
    [ -e /usr/include/uv.h ] || skip "libuv1-dev is not installed"
    build_load
    cc -std=gnu11 -D_GNU_SOURCE "${optimise[@]}" "$source"/libuv/*.c "${harness[@]}" -luv \
        -pthread -o "$out/libuv.new"
}

# One file that the interpreter runs, so that the program lies where the others do.
build_python()
{
    command -v python3 >/dev/null || skip "python3 is not installed"
    python3 -m zipapp "$source/python" --python "/usr/bin/env python3" --output "$out/python.new"
}

# Ends the subshell that builds a peer.
skip()
{
    echo "peers.sh: $peer is skipped: $1"
    exit 3
}

# In a subshell with -e of its own: bash ignores -e in a function that is tested by `if` or `||`.
build_peer()
{
    local status=0
    rm -f "$out/$peer" "$out/$peer.new"
    set +e
    (
        set -e
        "build_${peer//-/_}"
    )
    status=$?
    set -e
    case $status in
    0) mv "$out/$peer.new" "$out/$peer" && echo "peers.sh: $peer is built" ;;
    3) ;;
    *) echo "peers.sh: $peer is skipped: its build failed (see above)" ;;
    esac
}

case ${1:-} in
-h | --help)
    sed -n '/^# usage/,/^set / { /^set /d; s/^# \{0,1\}//; p; }' "$0"
    exit 0
    ;;
esac
if [ $# -eq 0 ]; then
    set -- boost-fiber cpp20 go tokio pthread tbb openmp rayon may compio libuv python \
        uring-floor epoll-floor
fi
for peer in "$@"; do
    case $peer in
    boost-fiber | cpp20 | go | tokio | pthread | tbb | openmp) ;;
    rayon | may | compio | libuv | python | uring-floor | epoll-floor) ;;
    *)
        echo "peers.sh: unknown peer '$peer'; there are boost-fiber, cpp20, go, tokio, pthread," \
            "tbb, openmp, rayon, may, compio, libuv, python, uring-floor and epoll-floor" >&2
        exit 2
        ;;
    esac
done
mkdir -p "$out"
for peer in "$@"; do
    build_peer
done
