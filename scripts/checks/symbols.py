#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libweft.so exports exactly what the headers declare; libweft.a adds nothing but wf_*.

usage: symbols.py BUILD_DIR
"""
import pathlib
import re
import subprocess
import sys

import source

DECLARATION = re.compile(r"^WEFT_API\b[^;]*?\b(\w+)\s*\(", re.MULTILINE)


def declared(texts):
    return {name for text in texts for name in DECLARATION.findall(source.blank(text))}


def defined(nm_output):
    """Names from `nm --defined-only`, without versions and without the version nodes."""
    names = set()
    for line in nm_output.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] != "A":
            names.add(fields[2].split("@")[0])
    return names


def compare(wanted, shared, static):
    problems = [f"libweft.so does not export {name}, which a header declares"
                for name in sorted(wanted - shared)]
    problems += [f"libweft.so exports {name}, which no header declares"
                 for name in sorted(shared - wanted)]
    problems += [f"libweft.a defines {name}: global names begin with weft_ or wf_"
                 for name in sorted(static) if not name.startswith(("weft_", "wf_"))]
    problems += [f"libweft.a does not define {name}, which a header declares"
                 for name in sorted(wanted - static)]
    return problems


def nm(*arguments):
    return subprocess.run(["nm", "--defined-only", *map(str, arguments)], check=True,
                          capture_output=True, text=True).stdout


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    build = pathlib.Path(sys.argv[1])
    wanted = declared(source.read(name) for name in source.files(".h", under=("include",)))
    if not wanted:
        return source.finish(["the headers declare nothing"])
    return source.finish(compare(wanted, defined(nm("-D", build / "libweft.so")),
                                 defined(nm("-g", build / "libweft.a"))))


if __name__ == "__main__":
    sys.exit(main())
