# SPDX-License-Identifier: MIT
"""Tests of scripts/report/proc.py, against made-up texts and against a real child."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import proc  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
BUSY = ("import time\n"
        "end = time.process_time() + 0.3\n"
        "while time.process_time() < end: pass\n"
        "input()")


class Parse(unittest.TestCase):
    def test_a_name_may_hold_parentheses_and_spaces(self):
        text = "12 (a (b) 1 2) S 7 1 1 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 1 0 5"
        parent, seconds = proc.parse_stat(text)
        self.assertEqual(parent, 7)
        self.assertAlmostEqual(seconds, 200 / TICKS)

    def test_a_number_is_found_by_its_whole_name(self):
        text = "7f00-7fff ---p 0 00:00 0  [rollup]\nPss_Anon: 8 kB\nPss:\t 12 kB\nThreads:\t5\n"
        self.assertEqual(proc.parse_number(text, "Pss"), 12)
        self.assertEqual(proc.parse_number(text, "Threads"), 5)

    def test_a_process_that_is_ending_has_no_memory(self):
        self.assertEqual(proc.parse_number("", "Pss"), 0)


class RealProcess(unittest.TestCase):
    def test_a_child_that_computes_is_seen_to_compute(self):
        with subprocess.Popen(["sh", "-c", f"{sys.executable} -c '{BUSY}'; true"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
            try:
                seconds = 0.0
                while seconds < 0.29:
                    self.assertIsNone(shell.poll(), "the child ended too early")
                    seconds = proc.cpu_seconds(proc.family(shell.pid))
                family = proc.family(shell.pid)
                self.assertEqual(family[0], shell.pid)
                self.assertEqual(len(family), 2, "the shell and its child")
                self.assertEqual(proc.thread_count(family), 2)
                both = proc.pss_bytes(family)
                self.assertGreater(both, 1 << 20)
                # Pages that others share as well change their parts when those begin and end.
                alone = proc.pss_bytes(family[:1]) + proc.pss_bytes(family[1:])
                self.assertAlmostEqual(alone / both, 1, delta=0.2)
            finally:
                shell.communicate(b"\n")


if __name__ == "__main__":
    unittest.main()
