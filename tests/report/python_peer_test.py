# SPDX-License-Identifier: MIT
"""Tests of Python's own benchmark program, benchmarks/peers/python."""

import argparse
import os
import subprocess
import sys
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PEER = os.path.join(ROOT, "benchmarks/peers/python")
sys.path[:0] = [PEER, os.path.join(ROOT, "scripts/report")]

import harness  # noqa: E402
import results  # noqa: E402


def run(*arguments):
    return subprocess.run([sys.executable, PEER, *arguments], capture_output=True, text=True,
                          check=False)


class PythonPeer(unittest.TestCase):
    def test_each_of_its_benchmarks_gives_a_row_that_weft_has_too(self):
        names = run("--list").stdout.split()
        done = run("--quick", "--samples", "2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows = [results.parse_line(line) for line in done.stdout.splitlines()]
        self.assertEqual([row["bench"] for row in rows], names)
        self.assertEqual({(row["impl"], row["n"]) for row in rows}, {("python", 2)})
        with open(os.path.join(ROOT, "benchmarks/weft_bench.c"), encoding="utf-8") as file:
            ours = file.read()
        for name in names:
            self.assertIn(f'{{"{name}"', ours)

    def test_it_is_chosen_by_globs(self):
        self.assertEqual(run("--list", "--only", "generator/*").stdout.split(),
                         ["generator/next", "generator/send"])
        self.assertEqual(run("--only", "generator/none").returncode, 2)

    def test_no_sample_begins_after_a_second_of_samples(self):
        for milliseconds, wanted in ((1500, 1), (600, 2), (100, 5)):
            benchmark = harness.Benchmark("a/b", 1, lambda _, ms=milliseconds: ms * 1_000_000)
            row = harness.measure(benchmark, argparse.Namespace(quick=False, samples=5))
            self.assertEqual((row["n"], row["median"]), (wanted, milliseconds * 1_000_000))

    def test_a_first_run_that_was_slow_does_not_decide_the_batch(self):
        batches = []

        def run_once(batch):
            batches.append(batch)
            return batch * 100_000 + (25_000_000 if len(batches) == 1 else 0)

        row = harness.measure(harness.Benchmark("a/b", 1, run_once),
                              argparse.Namespace(quick=False, samples=3))
        self.assertEqual(row["median"], 100_000)
        self.assertGreaterEqual(batches[-1] * 100_000, 20_000_000)


if __name__ == "__main__":
    unittest.main()
