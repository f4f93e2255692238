# SPDX-License-Identifier: MIT
"""Tests of the rule of scripts/report/soak.py, against made-up runs."""

import math
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import soak  # noqa: E402

SECONDS = 60


def run(**changes):
    """The text of a run in which only the given figures change: name=f(seconds)."""
    generator = random.Random(7)
    quiet = {"rss_kib": lambda t: 8000 + generator.gauss(0, 40),
             "descriptors": lambda t: 26 + (generator.random() < 0.1),
             "vmas": lambda t: 80,
             "p999_us": lambda t: math.exp(generator.gauss(6.5, 0.8)),
             "missed": lambda t: float(generator.random() < 0.02)}
    quiet.update(changes)
    lines = ["seconds " + " ".join(quiet)]
    for step in range(1, SECONDS * 4):
        seconds = step / 4
        lines.append(" ".join([str(seconds), *(str(f(seconds)) for f in quiet.values())]))
    return "\n".join(lines)


def found(text):
    return [drift.name for drift in soak.drifts(soak.parse(text, SECONDS)) if drift.is_found]


class Rule(unittest.TestCase):
    def test_noise_is_no_drift(self):
        self.assertEqual(found(run()), [])

    def test_each_figure_that_grows_is_found(self):
        for name, base, slope in (("rss_kib", 8000, 20), ("descriptors", 26, 0.05),
                                  ("vmas", 80, 0.1), ("p999_us", 500, 100), ("missed", 0, 0.5)):
            self.assertEqual(found(run(**{name: lambda t, b=base, s=slope: b + s * t})), [name])

    def test_growth_in_the_warm_up_does_not_count(self):
        self.assertEqual(found(run(rss_kib=lambda t: 8000 + 1000 * min(t, 11))), [])

    def test_shrinking_is_no_drift(self):
        self.assertEqual(found(run(rss_kib=lambda t: 90000 - 100 * t)), [])

    def test_outliers_are_no_drift(self):
        self.assertEqual(found(run(p999_us=lambda t: 1e6 if t > 50 else 500)), [])

    def test_what_is_too_little_is_no_drift(self):
        self.assertEqual(found(run(rss_kib=lambda t: 8000 + t)), [])

    def test_a_run_without_samples_is_refused(self):
        with self.assertRaises(ValueError):
            soak.parse("seconds rss_kib\n", SECONDS)

    def test_the_slope_is_the_median_of_all(self):
        slope, low, high = soak.theil_sen([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 30.0])
        self.assertAlmostEqual(slope, (1 + 10) / 2)  # of 1, 1, 1, 10, 14.5, 28
        self.assertTrue(low <= slope <= high)


if __name__ == "__main__":
    unittest.main()
