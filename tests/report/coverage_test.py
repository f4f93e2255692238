# SPDX-License-Identifier: MIT
"""Tests of scripts/report/coverage.py: made-up reports, and a program that gcov has counted."""

import os
import subprocess
import sys
import tempfile
import unittest
from collections import defaultdict

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import coverage  # noqa: E402

SOURCE = """\
static int half(int n)
{
    WF_ASSERT(n >= 0);
    if (n % 2 == 0)
        return n / 2;
    return -1;
}

int main(void)
{
    return half(4) - 2;
}
"""
ASSERT = "#define WF_ASSERT(c) do { if (!(c)) __builtin_abort(); } while (0)\n"


def line(number, count, branches=()):
    return {"line_number": number, "count": count, "function_name": "f",
            "branches": [{"count": taken} for taken in branches]}


class Counting(unittest.TestCase):
    def test_a_header_counts_once_with_the_sum_of_its_users(self):
        files = defaultdict(coverage.File)
        for counts in ((0, [0, 0]), (3, [3, 0])):
            coverage.add_report(files, {"current_working_directory": "/x", "files": [
                {"file": "/src/runtime/a.h", "lines": [line(7, *counts)]}]}, "/src")
        self.assertEqual(files["runtime/a.h"].figures(), (1, 1, 1, 2))

    def test_other_folders_do_not_count(self):
        files = defaultdict(coverage.File)
        coverage.add_report(files, {"files": [{"file": "/src/tests/a.c", "lines": [line(1, 1)]}]},
                            "/src")
        self.assertEqual(dict(files), {})

    def test_assertions_end_where_their_parentheses_do(self):
        text = "a();\nWF_CHECK(b(\n    c) &&\n    d);\nif (e)\n"
        self.assertEqual(coverage.assertion_lines(text), {2, 3, 4})

    def test_ranges(self):
        self.assertEqual(coverage.ranges([1, 2, 3, 7, 9, 10]), "1-3, 7, 9-10")
        self.assertEqual(coverage.ranges([]), "")


class RealProgram(unittest.TestCase):
    def test_what_gcov_counts_is_what_ran(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "io"))
            build = os.path.join(root, "build", "weft_objects.dir")
            os.makedirs(build)
            with open(os.path.join(root, "io", "half.c"), "w", encoding="utf-8") as stream:
                stream.write(SOURCE)
            with open(os.path.join(root, "assert.h"), "w", encoding="utf-8") as stream:
                stream.write(ASSERT)
            subprocess.run(["gcc", "--coverage", "-include", os.path.join(root, "assert.h"), "-c",
                            os.path.join(root, "io", "half.c"), "-o", "half.c.o"],
                           cwd=build, check=True)
            subprocess.run(["gcc", "--coverage", "half.c.o", "-o", "half"], cwd=build, check=True)
            subprocess.run(["./half"], cwd=build, check=True)
            command = [sys.executable, coverage.__file__, os.path.join(root, "build"), "--root",
                       root, "--missed"]
            result = subprocess.run(command + ["--lines-min", "80"], capture_output=True,
                                    text=True, check=False)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertIn("lines not run: 6", result.stdout)
            # The other way of the condition, but not the one out of the assertion.
            self.assertIn("branches at not run: 4", result.stdout)
            result = subprocess.run(command + ["--lines-min", "99"], capture_output=True,
                                    text=True, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("below 99 %", result.stderr)


if __name__ == "__main__":
    unittest.main()
