# SPDX-License-Identifier: MIT
"""Tests of the driver of the HTTP comparison, scripts/report/run_http.py and http_cases.py."""

import os
import subprocess
import sys
import unittest
from unittest import mock

REPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report")
sys.path.insert(0, REPORT)

import http_cases  # noqa: E402
import load  # noqa: E402
import results  # noqa: E402
import run_http  # noqa: E402


def windows_of(value):
    """Two good windows for every case and server."""
    def window(factor):
        return load.Window(requests_per_s=1000 * value * factor, cpu_us_per_request=8 / value,
                           p50_us=100, p99_us=2000, pss_bytes=5e6, threads=3)
    return {(case.bench, impl): [window(1), window(3)]
            for case in http_cases.CASES for impl in http_cases.implementations(case)}


class HttpDriver(unittest.TestCase):
    def test_the_names_are_those_used_across_the_project(self):
        self.assertEqual([case.bench for case in http_cases.CASES],
                         ["http/plaintext/connections=64", "http/plaintext/connections=512",
                          "http/delay=10/connections=2000", "http/churn/connections=64",
                          "http/json/connections=64", "http/pipelined=16/connections=64",
                          "http/mixed/connections=64"])

    def test_rounds_go_through_everything_and_the_first_server_changes(self):
        suite = http_cases.Suite(http_cases.CASES, {})
        everything = [(case, name) for case in http_cases.CASES
                      for name in http_cases.implementations(case)]
        firsts = []
        for number in range(1, len(http_cases.MODES) + 1):
            plan = list(suite.schedule(number))
            self.assertCountEqual(plan, everything)
            firsts.append(plan[0][1])
        self.assertEqual(firsts, list(http_cases.MODES))

    def test_a_short_run_has_every_mode_in_some_case(self):
        cases = http_cases.MAIN_CASES
        self.assertEqual([case.bench for case in cases],
                         [case.bench for case in http_cases.CASES[:len(cases)]])
        suite = http_cases.Suite(cases, {}, http_cases.MAIN_WITHOUT)
        self.assertEqual({name for case in cases for name in suite.names(case)},
                         {*http_cases.PEERS, "weft"} - {*http_cases.MAIN_WITHOUT})

    def test_all_servers_have_as_many_workers(self):
        programs = {"weft-http": "weft-http", "h2o": "http-h2o", "nginx": "nginx"}
        with mock.patch.object(os, "sched_getaffinity", lambda _: {1, 4, 9}):
            for name, option in (("weft", "--workers=3"), ("h2o", "--threads=3")):
                self.assertIn(option, http_cases.make_server(name, programs, 64).command)
            nginx = http_cases.make_server("nginx", programs, 64)
            self.addCleanup(nginx.folder.cleanup)
            self.assertEqual(nginx.workers, 3)
            rows = http_cases.make_rows(windows_of(1))
        counts = {row["impl"]: row["workers"] for row in rows}
        # One of the three CPUs is wrk's when they are measured.
        self.assertEqual(set(counts.values()), {1, 2})
        for name, workers in counts.items():
            self.assertEqual(workers, 1 if name in http_cases.FLOORS else 2, name)

    def test_what_a_case_computes_is_what_the_server_does(self):
        # tests/http/routes_test.c has the same.
        self.assertEqual(http_cases.computed(3), b"374ea455679bd2bb")

    def test_requests_sent_together_have_no_latency(self):
        windows = windows_of(1)
        key = ("http/pipelined=16/connections=64", "weft")
        for window in windows[key]:
            window.p50_us = window.p99_us = 0
        rows = http_cases.make_rows(windows)
        self.assertIsNone(results.find(rows, key[0], "p99_us", "weft"))
        self.assertIsNotNone(results.find(rows, key[0], "requests_per_s", "weft"))

    def test_rows_hold_the_median_of_the_rounds(self):
        rows = http_cases.make_rows(windows_of(1))
        row = results.find(rows, "http/plaintext/connections=64", "requests_per_s", "weft")
        self.assertEqual((row["median"], row["n"], row["better"]), (2000, 2, "higher"))

    def test_a_failed_round_is_left_out_and_told(self):
        windows = windows_of(1)
        key = ("http/plaintext/connections=64", "nginx")
        windows[key][1].fail("the server ended")
        table, notes = run_http.result_table(windows)
        self.assertIn("nginx !", table)
        self.assertTrue(any("the server ended" in note for note in notes))
        self.assertTrue(any("1 of 2 rounds failed" in note for note in notes))
        row = results.find(http_cases.make_rows(windows), *key[:1], "requests_per_s", "nginx")
        self.assertEqual((row["median"], row["n"]), (1000, 1))

    def test_a_server_that_failed_in_all_rounds_has_no_numbers(self):
        windows = windows_of(1)
        key = ("http/churn/connections=64", "weft")
        for window in windows[key]:
            window.fail("no request was answered")
        table, _ = run_http.result_table(windows)
        self.assertRegex(table, r"weft ! +FAILED")
        rows = http_cases.make_rows(windows)
        self.assertIsNone(results.find(rows, key[0], "requests_per_s", "weft"))
        self.assertIn("fibers / nginx", run_http.ratio_table(rows))

    def test_ratios_are_fibers_over_the_other(self):
        windows = windows_of(1)
        for window in windows[("http/plaintext/connections=64", "weft")]:
            window.requests_per_s *= 2
        lines = run_http.ratio_table(http_cases.make_rows(windows)).splitlines()
        self.assertRegex(lines[2], r"fibers / thread-per-connection +2\.00 +1\.00 +1\.00 +1\.00$")

    def test_a_server_that_was_left_out_has_no_ratio(self):
        windows = {key: group for key, group in windows_of(1).items() if key[1] != "h2o"}
        table = run_http.ratio_table(http_cases.make_rows(windows))
        self.assertIn("fibers / nginx", table)
        self.assertNotIn("h2o", table)

    def test_a_busy_load_generator_is_told(self):
        windows = windows_of(1)
        case = "http/delay=10/connections=2000"
        self.assertEqual(run_http.load_notes(windows), [])
        for window in windows[(case, "weft")]:
            window.load_share = 0.97
        table, _ = run_http.result_table(windows)
        self.assertIn(" 97 %", table)
        notes = run_http.load_notes(windows)
        self.assertEqual(len(notes), 1)
        self.assertRegex(notes[0], r"/delay/10.*: weft$")

    def test_windows_that_failed_do_not_tell_how_busy_the_load_generator_was(self):
        windows = windows_of(1)
        key = ("http/delay=10/connections=2000", "weft")
        for window in windows[key]:
            window.load_share = 0.97
        failed = load.Window()
        failed.fail("the server ended")
        windows[key] += [failed] * 3
        self.assertEqual(len(run_http.load_notes(windows)), 1)
        windows[key] = [failed]
        self.assertEqual(run_http.load_notes(windows), [])

    def test_a_floor_that_cannot_run_is_left_out(self):
        windows = {key: group for key, group in windows_of(1).items() if key[1] != "uring-floor"}
        table, notes = run_http.result_table(windows)
        self.assertNotIn("uring-floor", table)
        self.assertEqual(notes, [])

    def test_who_may_not_use_io_uring_is_found_out(self):
        self.assertTrue(http_cases.has_uring("true"))
        self.assertFalse(http_cases.has_uring("false"))

    def test_latencies_read_well_at_every_size(self):
        for us, text in ((328, "328 us"), (1250, "1.25 ms"), (661000, "661 ms")):
            self.assertEqual(run_http.format_latency(us), text)

    def test_a_wrong_path_is_told_before_anything_is_measured(self):
        suite = mock.Mock(side_effect=AssertionError("it measures"))
        with mock.patch.object(http_cases, "find_programs", lambda _: {}), \
                mock.patch.object(http_cases, "Suite", suite), self.assertRaises(OSError):
            run_http.main(["--build", "/tmp", "--json", "/dev/null/r.json"])

    def test_wrong_options_end_with_2(self):
        for arguments in (["--seconds", "0"], ["--seconds", "x"], ["--frobnicate"], ["word"]):
            with self.subTest(arguments):
                done = subprocess.run(
                    [sys.executable, os.path.join(REPORT, "run_http.py"), "--build", "/tmp",
                     "--check-options", *arguments], capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertIn("error:", done.stderr)


if __name__ == "__main__":
    unittest.main()
