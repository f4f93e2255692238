#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs gdb over steps.c: at each instruction of the switches a backtrace must end cleanly.

usage: run.py PROGRAM

Debuggers, profilers and C++ unwind from wherever a thread happens to be.  Where the stack pointer
has changed and a rule still describes the other stack, they walk into garbage.
"""
import pathlib
import shutil
import subprocess
import sys

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    if shutil.which("gdb") is None:
        print("skipped: there is no gdb")
        return SKIPPED
    result = subprocess.run(
        ["gdb", "-nx", "-batch", "-ex", "python print('has python')", "-x",
         str(HERE / "gdb_steps.py"), sys.argv[1]],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
    output = result.stdout + result.stderr
    if "has python" not in output:
        print("skipped: gdb is without Python")
        return SKIPPED
    if "ptrace: Operation not permitted" in output:
        print("skipped: processes may not be traced here")
        return SKIPPED
    lines = output.splitlines()
    problems = [line for line in lines if line.startswith("PROBLEM")]
    looked = [line for line in lines if line.startswith("LOOKED")]
    print("\n".join(problems + looked) if looked else output)
    return 0 if looked and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
