#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Adds up the tests of several ctest runs.

usage: count_tests.py [--broken N] FOLDER

Reads the JUnit files in FOLDER.  A Criterion program counts as many tests as it says that it ran;
any other test counts once.  A program that fails after all of its cases passed (it crashed at its
end, or ran out of time) is one failure more, and each of the N broken builds is one.  Prints
"N passed, N failed", and how many were skipped if some were; fails if one failed or none passed.
"""
import argparse
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

SYNTHESIS = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+)")
SKIPPED_CASE = re.compile(r"^\[SKIP\] ", re.MULTILINE)


def count_program(status, output):
    """How many of one ctest's cases passed, failed and were skipped."""
    if status in ("notrun", "disabled"):
        return 0, 0, 1
    syntheses = SYNTHESIS.findall(output)
    passed = sum(int(passing) for _, passing, _ in syntheses)
    failed = sum(int(tested) - int(passing) for tested, passing, _ in syntheses)
    skipped = len(SKIPPED_CASE.findall(output))
    if status == "fail":
        failed = max(failed, 1)
    elif failed:
        raise ValueError("a program that ctest calls passed reports failures")
    elif not syntheses:
        passed = 1
    return passed, failed, skipped


def count_file(path):
    totals = [0, 0, 0]
    for case in ElementTree.parse(path).iter("testcase"):
        output = case.findtext("system-out") or ""
        status = case.get("status", "")
        # ctest calls a test that could not be started "notrun", as one that skipped itself.
        message = ""
        for skipped in case.iter("skipped"):
            message = skipped.get("message", "")
        if status == "notrun" and not message.startswith(("SKIP_RETURN_CODE", "SKIP_REGULAR")):
            status = "fail"
        for i, count in enumerate(count_program(status, output)):
            totals[i] += count
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broken", type=int, default=0)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    passed = skipped = 0
    failed = arguments.broken
    for path in sorted(arguments.folder.glob("*.xml")):
        counts = count_file(path)
        passed, failed, skipped = passed + counts[0], failed + counts[1], skipped + counts[2]
    line = f"{passed} passed, {failed} failed"
    print(f"{line}, {skipped} skipped" if skipped else line)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
