#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails if an object of the library has no mark that its indirect jumps land where they may.

One object without it, written in assembly for one, and the linker takes the mark from the whole
program: the processor checks nothing in it any more.

usage: check_marks.py READELF ARCHIVE MARK...
"""
import re
import subprocess
import sys


def main():
    readelf, archive, *marks = sys.argv[1:]
    output = subprocess.run([readelf, "-nW", archive], check=True, capture_output=True,
                            text=True, env={"LC_ALL": "C"}).stdout
    objects = re.split(r"^File: .*\((.*)\)$", output, flags=re.MULTILINE)[1:]
    notes = dict(zip(objects[::2], objects[1::2]))
    if not notes:
        sys.exit(f"{archive}: no object was found")
    failed = False
    for name, text in notes.items():
        properties = re.search(r"Properties:.* feature: (.*)", text)
        has = set(re.split(r"[, ]+", properties.group(1))) if properties else set()
        for mark in marks:
            if mark not in has:
                print(f"{archive}: {name} is not marked {mark}")
                failed = True
    sys.exit(1 if failed else 0)


main()
