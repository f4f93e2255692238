#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs gdb over steps.c: at each instruction of the switches a backtrace must end cleanly.

usage: run.py PROGRAM [SYSROOT EMULATOR [ARGUMENT]...]

A program of another processor is run by the emulator, with libraries below SYSROOT.

Debuggers, profilers and C++ unwind from wherever a thread happens to be.  Where the stack pointer
has changed and a rule still describes the other stack, they walk into garbage.
"""
import pathlib
import shlex
import shutil
import subprocess
import sys

SKIPPED = 77
TIMEOUT_S = 500  # under an emulator it takes ten seconds, on a busy machine a minute
HERE = pathlib.Path(__file__).resolve().parent


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def has_stub(emulator):
    """Whether gdb can join the emulator."""
    if shutil.which(emulator) is None:
        return False
    usage = subprocess.run([emulator, "-h"], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=60, check=False).stdout
    return "wait gdb connection" in usage


def orders(program, sysroot, emulator):
    """What gdb does before its script: nothing on a processor of its own."""
    if not emulator:
        return []
    words = [sys.executable, str(HERE / "emulator.py"), *emulator, program]
    # On a busy machine an answer takes long; gdb would ask again, and take the first for another's.
    return ["-ex", "set remotetimeout 120", "-ex", f"set sysroot {sysroot}",
            "-ex", f"target remote | {shlex.join(words)}"]


def main():
    if len(sys.argv) == 3 or len(sys.argv) < 2:
        print(__doc__)
        return 2
    program, sysroot, *emulator = sys.argv[1:] + [None] * (len(sys.argv) == 2)
    gdb = "gdb-multiarch" if emulator else "gdb"
    if shutil.which(gdb) is None:
        skip(f"there is no {gdb}")
    if emulator and not has_stub(emulator[0]):
        skip(f"{emulator[0]} is not there, or has no stub for gdb")
    result = subprocess.run(
        [gdb, "-nx", "-batch", "-ex", "python print('has python')",
         *orders(program, sysroot, emulator), "-x", str(HERE / "gdb_steps.py"), program],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    output = result.stdout + result.stderr
    if "has python" not in output:
        skip(f"{gdb} is without Python")
    if "ptrace: Operation not permitted" in output:
        skip("processes may not be traced here")
    lines = output.splitlines()
    problems = [line for line in lines if line.startswith("PROBLEM")]
    looked = [line for line in lines if line.startswith("LOOKED")]
    print("\n".join(problems + looked) if looked else output)
    return 0 if looked and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
