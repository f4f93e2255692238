#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds weft for another processor, and runs its tests under qemu-user.
#
# usage: scripts/cross.sh aarch64|riscv64 [--tests | --quick] [--build FOLDER] [--results FILE]
#
#   (none)          the library and the tool
#   --quick         and the tests of the switch, of fibers and of what is next to them, and gdb's
#                   backtraces from each instruction of a switch
#   --tests         and all unit and api tests; what the emulator cannot do is left out
#                   (tests/cross/left_out.txt)
#   --build FOLDER  where to build; build/cross-<processor> if it is not given
#   --results FILE  where ctest writes its report
#
# The compilers and the emulator are packages of this system, the processor's libraries those of its
# Debian port: of this release for aarch64, of the next one, the first with that port, for riscv64.
# They are unpacked into the build folder; nothing of them is installed.
#
# Exits with 77 if the packages cannot be had, and says why.
set -eu

cd "$(dirname "$0")/.."

usage()
{
    sed -n '/^# usage/,/^# The compilers/ { /^# The compilers/d; s/^# \{0,1\}//; p; }' \
        scripts/cross.sh
}

what=
arch=
build=
results=
while [ $# -gt 0 ]; do
    case $1 in
    aarch64 | riscv64) arch=$1 ;;
    --tests | --quick) what=$1 ;;
    --build | --results)
        [ $# -ge 2 ] || { echo "cross.sh: $1 needs a name" >&2; exit 2; }
        if [ "$1" = --build ]; then build=$2; else results=$2; fi
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        echo "cross.sh: unknown argument $1" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done
[ -n "$arch" ] || { usage >&2; exit 2; }
build=${build:-build/cross-$arch}
mkdir -p "$build"
build=$(cd "$build" && pwd)
sysroot=$build/sysroot
[ -z "$results" ] || results=$(realpath "$results")

skip()
{
    echo "cross.sh: skipped: $1" >&2
    exit 77
}

common="libc6 libc6-dev linux-libc-dev libgcc-s1 libstdc++6 liburing2 liburing-dev libhwloc15
    libhwloc-dev libudev1 libjemalloc2 libjemalloc-dev libssl-dev"
if [ "$arch" = aarch64 ]; then
    debian=arm64
    packages="$common libssl3"
else
    debian=riscv64
    packages="$common libssl3t64 libatomic1 libcap2 libzstd1 zlib1g"
fi

# "URI RELEASE" of the mirror that this system uses.
find_mirror()
{
    [ -r /etc/os-release ] || return 1
    # shellcheck source=/dev/null
    . /etc/os-release
    [ "${ID:-}" = debian ] && command -v apt-get >/dev/null || return 1
    release=${VERSION_CODENAME:-}
    uri=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' \
        'Component: main' | sed -n "s/^$release //p" | head -n 1)
    [ -n "$uri" ] || return 1
    # Debian 12 has no port to riscv64; 13 is the first.
    [ "$arch" = riscv64 ] && [ "$release" = bookworm ] && release=trixie
    echo "$uri $release"
}

# apt with a state, a cache and sources of its own.
write_apt_configuration()
{
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/none"
    : >"$1/status"
    cat >"$1/apt.conf" <<END
APT::Architecture "$debian";
APT::Architectures { "$debian"; };
APT::Sandbox::User "root";
Dir::State "$1";
Dir::State::status "$1/status";
Dir::Cache "$1/cache";
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "$1/none";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
END
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [arch=$debian signed-by=$keys] $2 $3 main" >"$1/sources.list"
}

make_sysroot()
{
    mirror=$(find_mirror) || skip "this is not Debian, or apt knows no mirror"
    fetched=$build/packages
    rm -rf "$fetched" "$sysroot.new"
    write_apt_configuration "$fetched" "${mirror% *}" "${mirror#* }"
    echo "cross.sh: fetching $arch packages from ${mirror#* }" >&2
    # shellcheck disable=SC2086 # a word for each package
    (cd "$fetched" && export APT_CONFIG="$fetched/apt.conf" && apt-get -q update &&
        apt-get -q download $packages) >"$build/fetch.log" 2>&1 || {
        tail -n 5 "$build/fetch.log" >&2
        skip "the packages of $arch cannot be fetched"
    }
    mkdir "$sysroot.new"
    for package in "$fetched"/*.deb; do
        dpkg-deb -x "$package" "$sysroot.new"
    done
    # What names /lib, and ld.so does, means /usr/lib from Debian 13 on.
    [ -e "$sysroot.new/lib" ] || ln -s usr/lib "$sysroot.new/lib"
    rm -rf "$fetched"
    mv "$sysroot.new" "$sysroot"
}

# Without gdb the test that needs it is skipped.
scripts/setup.sh --cross ||
    { command -v "$arch-linux-gnu-gcc" && command -v "qemu-$arch"; } >/dev/null ||
    skip "the compiler or the emulator cannot be installed"
[ -d "$sysroot" ] || make_sysroot

log=$build/build.log
targets="weft weft_static weft-tool"
# The simulator's, which take too long; tests/cross/left_out.txt has the others.
left_out='^api/sim_'
case $what in
--quick)
    chosen='^(unit/(context|modes|tls)|api/(switch|spawn|join|channel|migrate))_test$|^unwind/'
    targets="$targets unit_context_test unit_modes_test unit_tls_test api_switch_test api_spawn_test
        api_join_test api_channel_test api_migrate_test unwind_steps"
    ;;
--tests)
    chosen='^(unit|api|allocator|unwind)/'
    targets="$targets unit_tests api_tests unwind_steps"
    ;;
esac
# shellcheck disable=SC2086 # a word for each target
cmake -S . -B "$build" -G Ninja --toolchain "$PWD/cmake/cross.cmake" \
    -DWEFT_CROSS_ARCH="$arch" -DWEFT_CROSS_SYSROOT="$sysroot" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DWEFT_CHECK_LEVEL=1 -DWEFT_BENCHMARKS=OFF -DWEFT_EXAMPLES=OFF >"$log" 2>&1 &&
    cmake --build "$build" --target $targets >>"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    echo "cross.sh: the build for $arch FAILED" >&2
    exit 1
}
[ -n "$what" ] || { echo "cross.sh: built $build/libweft.so"; exit 0; }

# The emulator has no io_uring.  A worker costs it a thread, and all share few processors.
export WEFT_BACKEND=epoll WEFT_WORKERS=2
ctest --test-dir "$build" -j "$(nproc)" --no-tests=error --output-on-failure -R "$chosen" \
    -E "$left_out" --test-output-size-passed 4000000 --test-output-size-failed 4000000 \
    ${results:+--output-junit "$results"}
