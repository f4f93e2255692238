# SPDX-License-Identifier: MIT
"""Tests of scripts/report/wrk.py and of how a window is judged by wrk's complaints."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import load  # noqa: E402
import wrk  # noqa: E402

GOOD = """\
Running 2s test @ http://127.0.0.1:8080/plaintext
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   345.17us  118.96us   3.47ms   82.11%
    Req/Sec   187.03k     4.21k  192.44k    80.95%
  Latency Distribution
     50%  328.00us
     75%  389.00us
     90%  462.00us
     99%    1.25ms
  390734 requests in 2.10s, 48.07MB read
Requests/sec: 186063.80
Transfer/sec:     22.89MB
"""

TROUBLED = """\
  Latency Distribution
     50%   12.34ms
     75%   20.00ms
     90%  100.00ms
     99%    1.98s 
  1000 requests in 1.00m, 1.00MB read
  Socket errors: connect 0, read 7, write 0, timeout 3
  Non-2xx or 3xx responses: 12
Requests/sec:     16.67
"""

SILENT = "  0 requests in 2.00s, 0.00B read\nRequests/sec:      0.00\n"


class Durations(unittest.TestCase):
    def test_every_unit_becomes_microseconds(self):
        for text, us in (("950.00us", 950), ("1.05ms", 1050), ("2.10s", 2.1e6), ("1.50m", 9e7),
                         ("1.00h", 3.6e9), ("0.00us", 0)):
            with self.subTest(text):
                self.assertAlmostEqual(wrk.parse_duration_us(text), us)

    def test_what_is_no_duration_is_refused(self):
        for text in ("", "12", "ms", "1.0.ks", "-nan%"):
            with self.subTest(text), self.assertRaises(wrk.BadOutput):
                wrk.parse_duration_us(text)


class Parse(unittest.TestCase):
    def test_a_clean_run(self):
        self.assertEqual(wrk.parse(GOOD), {
            "requests": 390734, "seconds": 2.1, "p50_us": 328.0, "p99_us": 1250.0,
            "errors": {}, "non_2xx": 0})

    def test_a_troubled_run_keeps_each_kind_of_error(self):
        result = wrk.parse(TROUBLED)
        self.assertEqual(result["errors"], {"read": 7, "timeout": 3})
        self.assertEqual(result["non_2xx"], 12)
        self.assertAlmostEqual(result["p99_us"], 1.98e6)
        self.assertAlmostEqual(result["seconds"], 60)

    def test_a_server_that_answers_nothing_has_no_percentiles(self):
        self.assertEqual(wrk.parse(SILENT)["requests"], 0)

    def test_other_output_is_refused_and_shown(self):
        with self.assertRaisesRegex(wrk.BadOutput, "unable to connect"):
            wrk.parse("unable to connect to 127.0.0.1:1 Connection refused")
        with self.assertRaisesRegex(wrk.BadOutput, "99 %"):
            wrk.parse(GOOD.replace("99%", "98%"))


class Judge(unittest.TestCase):
    @staticmethod
    def judge(requests, errors, non_2xx=0):
        window = load.Window()
        load.judge(window, {"requests": requests, "errors": errors, "non_2xx": non_2xx})
        return window

    def test_a_clean_window_has_no_problem(self):
        window = self.judge(1000, {})
        self.assertEqual((window.problems, window.is_failed), ([], False))

    def test_few_socket_errors_make_it_doubtful_many_make_it_fail(self):
        window = self.judge(1000, {"read": 10})
        self.assertEqual((window.problems, window.is_failed), (["socket errors: read 10"], False))
        self.assertTrue(self.judge(1000, {"read": 8, "timeout": 3}).is_failed)

    def test_one_wrong_response_makes_it_fail(self):
        self.assertTrue(self.judge(1000000, {}, non_2xx=1).is_failed)

    def test_silence_makes_it_fail(self):
        self.assertTrue(self.judge(0, {}).is_failed)


if __name__ == "__main__":
    unittest.main()
