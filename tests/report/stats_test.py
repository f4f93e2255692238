# SPDX-License-Identifier: MIT
"""Tests of scripts/report/stats.py and watch.py: intervals, outliers, what disturbed a run."""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import stats  # noqa: E402
import watch  # noqa: E402

# Two CPUs; user nice system idle iowait irq softirq steal guest guest_nice.
STAT = """cpu  30 0 30 300 0 0 0 {both} 0 0
cpu0 {user} 0 10 100 0 0 0 {steal} 0 0
cpu1 10 5 10 100 0 1 2 0 0 0
intr 12345
"""


class Interval(unittest.TestCase):
    def test_the_ranks_are_those_of_the_binomial_distribution(self):
        # Le Boudec's table A.1: 95 % needs six samples, of 15 it is the 4th and the 12th.
        known = {1: 0, 2: 0, 5: 0, 6: 1, 8: 1, 9: 2, 12: 3, 15: 4, 20: 6, 30: 10}
        for n, rank in known.items():
            with self.subTest(n=n):
                self.assertEqual(stats.interval_rank(n), rank)

    def test_it_is_all_that_was_seen_of_few_samples(self):
        self.assertEqual(stats.median_interval([3]), (3, 3))
        self.assertEqual(stats.median_interval([5, 1, 4]), (1, 5))

    def test_extremes_of_many_samples_are_left_out(self):
        self.assertEqual(stats.median_interval(range(1, 16)), (4, 12))

    def test_it_encloses_the_true_median_as_often_as_it_says(self):
        numbers = random.Random(1)
        true_median = 1.0  # the distribution is skewed: its mean is 1.65
        hits = 0
        for _ in range(2000):
            low, high = stats.median_interval([numbers.lognormvariate(0, 1) for _ in range(15)])
            hits += low <= true_median <= high
        # 96.5 % by theory; the seed is fixed, so this repeats.
        self.assertGreater(hits, 1900)
        self.assertLess(hits, 1970)

    def test_outliers_are_counted_on_both_sides(self):
        self.assertEqual(stats.outliers([10, 11, 12, 13, 14]), 0)
        self.assertEqual(stats.outliers([10, 11, 12, 13, 14, 100, -100]), 2)
        self.assertEqual(stats.outliers([1, 1000, 1]), 0)


class Watch(unittest.TestCase):
    @staticmethod
    def moment(user, steal):
        cpus = frozenset({0, 1})
        text = STAT.format(user=user, steal=steal, both=0)
        return watch.Moment(cpus, *watch.parse_stat(text, cpus))

    def test_only_the_allowed_cpus_count(self):
        text = STAT.format(user=20, steal=7, both=99)
        self.assertEqual(watch.parse_stat(text, {0}), (30, 7))
        self.assertEqual(watch.parse_stat(text, {1}), (28, 0))
        self.assertEqual(watch.parse_stat(text, {0, 1}), (58, 7))

    def test_our_own_time_is_no_disturbance(self):
        ticks = watch._TICKS_PER_SECOND
        self.assertEqual(watch.causes(self.moment(0, 0), self.moment(2 * ticks, 0), 1.0, 2.0), [])

    def test_what_others_used_is_one(self):
        ticks = watch._TICKS_PER_SECOND
        self.assertEqual(watch.causes(self.moment(0, 0), self.moment(2 * ticks, 0), 1.0, 1.5),
                         ["other programs"])

    def test_a_few_ticks_are_none(self):
        self.assertEqual(watch.causes(self.moment(0, 0), self.moment(3, 1), 0.01, 0.0), [])

    def test_stolen_time_is_one(self):
        self.assertEqual(watch.causes(self.moment(0, 0), self.moment(0, 10), 1.0, 0.0),
                         ["stolen time"])

    def test_this_machine_can_be_looked_at(self):
        before = watch.look()
        busy_until = watch.os.times().user + 0.1
        while watch.os.times().user < busy_until:
            pass
        self.assertGreater(watch.look().busy, before.busy)


if __name__ == "__main__":
    unittest.main()
