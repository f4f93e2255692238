# SPDX-License-Identifier: MIT
"""scripts/coverage.sh: the lines and branches of the library that its tests have run.

gcov counts per object file.  A header's lines are in many of them, so counts of the same place are
added up.  Branches that only a broken invariant takes are left out: both ends of WF_ASSERT and
WF_CHECK, whose other end no test can reach while the library is right.
"""

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict

FOLDERS = ("runtime", "sync", "io")
# A line of an assertion, or the second line of one that is too long for one.
ASSERTION = re.compile(r"\bWF_(ASSERT|CHECK)\s*\(")
AT_ONCE = 40  # object files for each call of gcov


class File:
    """What was counted in one source file."""

    def __init__(self):
        self.lines = defaultdict(int)  # number of the line: times that it ran
        self.branches = defaultdict(int)  # (function, line, place in it): times taken

    def add(self, entry):
        for line in entry["lines"]:
            number, function = line["line_number"], line.get("function_name", "")
            self.lines[number] += line["count"]
            for place, branch in enumerate(line["branches"]):
                self.branches[function, number, place] += branch["count"]

    def leave_out(self, numbers):
        self.branches = {key: n for key, n in self.branches.items() if key[1] not in numbers}

    @property
    def missed_lines(self):
        return sorted(number for number, count in self.lines.items() if count == 0)

    @property
    def missed_branches(self):
        return sorted({key[1] for key, count in self.branches.items() if count == 0})

    def figures(self):
        """Lines that ran, lines, branches that were taken, branches."""
        return (sum(n > 0 for n in self.lines.values()), len(self.lines),
                sum(n > 0 for n in self.branches.values()), len(self.branches))


def assertion_lines(text):
    """The numbers of all lines that belong to an assertion."""
    numbers, depth = set(), 0
    for number, line in enumerate(text.splitlines(), 1):
        match = ASSERTION.search(line)
        if depth == 0 and not match:
            continue
        rest = line[match.end() - 1:] if depth == 0 else line
        depth += rest.count("(") - rest.count(")")
        numbers.add(number)
    return numbers


def notes_of(build):
    """The .gcno files below `build` of what has run, and of the library also of what has not."""
    found = []
    for folder, _, names in os.walk(build):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".gcno") and ("weft_objects.dir" in folder or
                                           os.path.exists(path[:-4] + "gcda")):
                found.append(path)
    return sorted(found)


def read_counts(build, root, gcov):
    """name: File, for the sources in FOLDERS."""
    files = defaultdict(File)
    notes = notes_of(build)
    with tempfile.TemporaryDirectory() as scratch:
        for begin in range(0, len(notes), AT_ONCE):
            subprocess.run([gcov, "--json-format", "--branch-probabilities", "--branch-counts",
                            "--hash-filenames",
                            *(os.path.abspath(path) for path in notes[begin:begin + AT_ONCE])],
                           cwd=scratch, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        for name in sorted(os.listdir(scratch)):
            with gzip.open(os.path.join(scratch, name), "rt", encoding="utf-8") as stream:
                add_report(files, json.load(stream), root)
    return files


def add_report(files, report, root):
    for entry in report["files"]:
        path = os.path.join(report.get("current_working_directory", root), entry["file"])
        name = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
        if name.split(os.sep)[0] in FOLDERS:
            files[name].add(entry)


def share(part, whole):
    return 100.0 * part / whole if whole else 100.0


def row(name, figures):
    lines, all_lines, branches, all_branches = figures
    return (f"{name:<28} {lines:>6}/{all_lines:<6} {share(lines, all_lines):6.1f} %"
            f" {branches:>6}/{all_branches:<6} {share(branches, all_branches):6.1f} %")


def total(figures):
    return tuple(map(sum, zip(*figures))) if figures else (0, 0, 0, 0)


def ranges(numbers):
    """[1, 2, 3, 7] as "1-3, 7"."""
    parts = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def report(files, is_detailed):
    """Prints the table.  Returns the shares of lines and branches of all together."""
    print(f"{'':<28} {'lines':>13} {'':>8} {'branches':>13}")
    for name in sorted(files):
        print(row(name, files[name].figures()))
        if is_detailed:
            for what, numbers in (("lines", files[name].missed_lines),
                                  ("branches at", files[name].missed_branches)):
                if numbers:
                    print(f"    {what} not run: {ranges(numbers)}")
    for folder in FOLDERS:
        print(row(folder + "/", total([files[name].figures() for name in files
                                       if name.startswith(folder + "/")])))
    lines, all_lines, branches, all_branches = total([f.figures() for f in files.values()])
    print(row("all", (lines, all_lines, branches, all_branches)))
    return share(lines, all_lines), share(branches, all_branches)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--root", default=".")
    parser.add_argument("--gcov", default="gcov")
    parser.add_argument("--missed", action="store_true")
    parser.add_argument("--lines-min", type=float, default=0.0)
    parser.add_argument("--branches-min", type=float, default=0.0)
    arguments = parser.parse_args()
    files = read_counts(arguments.build, arguments.root, arguments.gcov)
    if not files:
        sys.exit(f"coverage: nothing was counted in {arguments.build}")
    for name, counted in files.items():
        with open(os.path.join(arguments.root, name), encoding="utf-8") as stream:
            counted.leave_out(assertion_lines(stream.read()))
    lines, branches = report(files, arguments.missed)
    if lines < arguments.lines_min or branches < arguments.branches_min:
        sys.exit(f"coverage: below {arguments.lines_min:g} % of the lines or "
                 f"{arguments.branches_min:g} % of the branches")


if __name__ == "__main__":
    main()
