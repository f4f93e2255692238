#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Samples busy.c by perf: each backtrace must reach the entry of its fiber, and end there.

usage: perf.py PROGRAM

By frame pointers, which perf follows in the kernel, and by the unwind tables, which it follows
afterwards over a copy of the stack.  A profile of a server is made of such backtraces.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
WAYS = ("fp", "dwarf,8192")
WANTED = ["busy_inner", "busy_outer", "busy_fiber"]
ENTRY = "wf_context_start"
SAMPLES_MIN = 10


def sample(program, way, data):
    """0, or why there is no profile."""
    result = subprocess.run(
        ["perf", "record", "-q", "-e", "cpu-clock:u", "-F", "199", "--call-graph", way, "-o",
         str(data), "--", program],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return 0 if result.returncode == 0 else (result.stderr.strip() or "perf record fails")


def backtraces(data):
    """Lists of functions, the innermost first."""
    text = subprocess.run(["perf", "script", "-i", str(data), "-F", "ip,sym"], check=True,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60).stdout
    for block in text.split("\n\n"):
        trace = [line.split(None, 1)[1] for line in block.splitlines() if len(line.split()) > 1]
        if trace:
            yield trace


def problem_of(trace):
    """What is wrong with a backtrace that begins in busy_inner; None if nothing is."""
    if trace[:len(WANTED)] != WANTED:
        return "does not go up through the fiber's functions"
    if ENTRY not in trace:
        return "does not reach the entry of the fiber"
    beyond = [name for name in trace[trace.index(ENTRY) + 1:] if name != "[unknown]"]
    return f"goes on beyond the entry, to {beyond[0]}" if beyond else None


def check(program, way, folder):
    """The number of samples, and the problems among them; or why there is no profile."""
    data = pathlib.Path(folder) / "perf.data"
    refusal = sample(program, way, data)
    if refusal:
        return refusal, None
    traces = [trace for trace in backtraces(data) if trace[0] == WANTED[0]]
    problems = [f"{problem_of(trace)}: {' < '.join(trace)}" for trace in traces
                if problem_of(trace)]
    return len(traces), problems


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    if shutil.which("perf") is None:
        print("skipped: there is no perf")
        return SKIPPED
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            count, problems = check(sys.argv[1], way, folder)
            if problems is None:
                print(f"skipped: {count}")
                return SKIPPED
            print("\n".join([f"{way}: {count} samples, {len(problems)} problems", *problems[:5]]))
            if problems or count < SAMPLES_MIN:
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
