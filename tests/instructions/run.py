# SPDX-License-Identifier: MIT
"""Counts the instructions of the hot paths under valgrind, and compares them with expected.txt.

Instructions repeat within a thousandth where times do not, so a path that has become longer is
found on any machine, however busy.  A count says nothing about cache misses, mispredicted branches
or the kernel: a change that needs more instructions may be faster, and then the table is to be
rewritten:

    python3 tests/instructions/run.py --compiler GNU-12 --write \\
        --program build/release/tests/instructions/instruction_paths

  --plant   the test of the test: paths are made longer, and must be found
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected.txt")
SKIP = 77
TOLERANCE = 0.03
# The ring is set up as the kernel allows, and so not alike on all of them.
TOLERANCES = {"io_submit": 0.10}
SECONDS_MAX = 120


class Problem(Exception):
    """The counts cannot be had."""


class Skipped(Exception):
    """The machine lacks what the test needs."""


def total_of(text):
    match = re.search(r"^totals: ([0-9]+)", text, re.MULTILINE)
    if not match:
        raise Problem("a dump of valgrind has no total")
    return int(match.group(1))


def count(program, planted=None):
    """{path: instructions for each operation}."""
    # Whatever is set where the tests are run, the program has settings of its own.
    environment = dict(os.environ, WEFT_CHAOS="3", WEFT_WORKERS="3")
    with tempfile.TemporaryDirectory(prefix="weft-instructions-") as folder:
        out = os.path.join(folder, "out")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                   "--zero-before=instructions_begin", "--dump-before=instructions_end", program]
        done = subprocess.run(command + ([planted] if planted else []), capture_output=True,
                              text=True, check=False, timeout=SECONDS_MAX, env=environment)
        if done.returncode == SKIP:
            raise Skipped("io_uring is refused here")
        if done.returncode != 0:
            raise Problem(f"exit status {done.returncode}: {done.stderr.strip()[-2000:]}")
        counts = {}
        for number, line in enumerate(done.stdout.splitlines(), 1):
            path, operations = line.split()
            with open(f"{out}.{number}", encoding="utf-8") as file:
                counts[path] = total_of(file.read()) / int(operations)
    if not counts:
        raise Problem("the program went down no path")
    return counts


def read_expected(text):
    """(compiler and processor, {path: count})."""
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    if not lines or lines[0][0] != "for":
        raise Problem("expected.txt does not say what it is for")
    return " ".join(lines[0][1:]), {path: float(number) for path, number in lines[1:]}


def write_expected(target, counts):
    with open(EXPECTED, "w", encoding="utf-8") as out:
        out.write("# SPDX-License-Identifier: MIT\n"
                  "# Instructions for each operation; written by `run.py --write`.\n"
                  f"for {target}\n")
        out.writelines(f"{path:12} {number:.1f}\n" for path, number in counts.items())


def differences(counts, expected):
    """What is longer than it was, in words.  What is shorter too: else the table would rot, and a
    later regression hide behind it."""
    found = []
    for path in sorted(set(counts) | set(expected)):
        if path not in counts or path not in expected:
            found.append(f"{path}: only in {'the program' if path in counts else 'expected.txt'}")
            continue
        tolerance = TOLERANCES.get(path, TOLERANCE) * expected[path]
        if abs(counts[path] - expected[path]) > tolerance:
            found.append(f"{path}: {counts[path]:.1f} instructions for each operation, expected "
                         f"{expected[path]:.1f} +- {tolerance:.1f}")
    return found


def plant_all(program, expected):
    """Makes one path longer, another, then all of them; returns what was not found."""
    missed = []
    for planted, wanted in (("yield", ["yield"]), ("steal", ["steal"]),
                            ("all", sorted(expected))):
        found = [text.split(":")[0] for text in differences(count(program, planted), expected)]
        if found != wanted:
            missed.append(f"{planted} was made longer, and found were: {found or 'no difference'}")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the program instruction_paths")
    parser.add_argument("--compiler", required=True, help="what it is compiled by, as GNU-12")
    parser.add_argument("--write", action="store_true", help="write expected.txt")
    parser.add_argument("--plant", action="store_true", help="the test of the test")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        raise Skipped("valgrind is not installed")
    target = f"{options.compiler} {platform.machine()}"
    if options.write:
        write_expected(target, count(options.program))
        return 0
    with open(EXPECTED, encoding="utf-8") as file:
        recorded_for, expected = read_expected(file.read())
    if recorded_for != target:
        raise Skipped(f"the table is for {recorded_for}, this is {target}")
    if options.plant:
        found = plant_all(options.program, expected)
    else:
        counts = count(options.program)
        for path, number in counts.items():
            print(f"{path:12} {number:10.1f} {number / expected.get(path, number) - 1:+8.2%}")
        found = differences(counts, expected)
    for text in found:
        print(text)
    if found and not options.plant:
        print("If this is meant, --write rewrites the table; say in the commit why it is.")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Skipped as reason:
        print(f"skipped: {reason}")
        sys.exit(SKIP)
    except (Problem, OSError, subprocess.TimeoutExpired) as problem:
        sys.exit(f"run.py: {problem}")
