#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs a build into an empty folder, moves the folder, and builds a program against what is
# there: by pkg-config and by find_package, shared and static, as C and as C++.
#
# usage: install_test.sh BUILD_DIR CMAKE C_COMPILER LIBDIR VERSION
set -eu

build=$1
cmake=$2
cc=$3
libdir=$4
version=$5
consumer=$(cd "$(dirname "$0")/consumer" && pwd)
case $cc in
*clang*) cxx=$(dirname "$cc")/clang++ ;;
*) cxx=g++ ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

fail()
{
    echo "install: $*" >&2
    exit 1
}

# Through DESTDIR, as packagers do, and then to another place: nothing may remember the first.
DESTDIR=$work/stage "$cmake" --install "$build" --prefix /opt/weft >"$work/install.log" ||
    { cat "$work/install.log" >&2; fail "cmake --install failed"; }
mv "$work/stage/opt/weft" "$work/weft"
prefix=$work/weft
lib=$prefix/$libdir

# A program that was linked to one minor version below 1.0 must not be run with another.
case $version in
0.*) abi=${version%.*} ;;
*) abi=${version%%.*} ;;
esac

for file in include/weft.h include/weft/base.h bin/weft share/doc/weft/LICENSE \
    "$libdir/libweft.a" "$libdir/libweft.so" "$libdir/libweft.so.$abi" \
    "$libdir/libweft.so.$version" \
    "$libdir/pkgconfig/weft.pc" "$libdir/cmake/weft/weftConfig.cmake"; do
    [ -e "$prefix/$file" ] || fail "$file was not installed"
done
if find "$work/stage" -type f | grep -q .; then
    find "$work/stage" -type f >&2
    fail "files were installed outside the prefix"
fi
if grep -rl "$work/stage\|$build" "$lib/pkgconfig" "$lib/cmake"; then
    fail "the files above hold a path of the build"
fi
"$prefix/bin/weft" doctor >/dev/null || fail "the installed tool does not run"

readelf -d "$lib/libweft.so" | grep -qF "[libweft.so.$abi]" || fail "the SONAME is not of $abi"
nm -D "$lib/libweft.so" | grep -q " weft_spawn@@WEFT_$abi\$" || fail "symbols are not of $abi"

export PKG_CONFIG_PATH="$lib/pkgconfig"
[ "$(pkg-config --modversion weft)" = "$version" ] || fail "pkg-config tells the wrong version"
cp "$consumer/main.c" "$work/main.cpp"
cd "$work"

# Unquoted on purpose: pkg-config prints words.
for language in c cxx; do
    if [ $language = c ]; then
        compile="$cc -std=c11 $consumer/main.c"
    else
        compile="$cxx -std=c++17 $work/main.cpp"
    fi
    # shellcheck disable=SC2046
    $compile -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags weft) -o shared \
        $(pkg-config --libs weft)
    LD_LIBRARY_PATH=$lib ./shared || fail "$language, shared, by pkg-config"
    LD_LIBRARY_PATH=$lib ldd ./shared | grep -q "libweft.so.$abi => $lib" ||
        fail "the SONAME is wrong, or another copy was found"

    # Where both kinds are installed, -lweft means the shared one; this is how one asks for the
    # other.  The rest of the line is what pkg-config --static is for.
    # shellcheck disable=SC2046
    $compile -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags weft) -o static \
        $(pkg-config --static --libs weft | sed 's/-lweft\>/-l:libweft.a/')
    ./static || fail "$language, static, by pkg-config"
    if ldd ./static | grep -q libweft; then
        fail "the static program loads libweft.so"
    fi
done

"$cmake" -S "$consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" >"$work/configure.log" 2>&1 ||
    { cat "$work/configure.log" >&2; fail "find_package(weft) failed"; }
"$cmake" --build "$work/consumer" >"$work/build.log" 2>&1 ||
    { cat "$work/build.log" >&2; fail "a program found by find_package does not build"; }
for program in c_shared c_static cxx_shared cxx_static; do
    "$work/consumer/$program" || fail "$program, by find_package"
done
echo "installed, moved, and used in eight ways"
