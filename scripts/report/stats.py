# SPDX-License-Identifier: MIT
"""How far a median can be trusted.

The interval of a median comes from order statistics: of n values, the number that lie below the
true median is binomially distributed with p = 1/2, whatever the distribution of the values is
(H. A. David and H. N. Nagaraja, Order Statistics, 3rd ed., 7.1; J.-Y. Le Boudec, Performance
Evaluation, theorem 2.1).  So nothing is assumed of their shape, which for run times is rarely
normal (T. Hoefler and R. Belli, Scientific Benchmarking of Parallel Computing Systems, SC '15).

It is assumed that the values are independent.  Samples of one process are not: they share its
memory layout and whatever its scheduler fell into, and differ less from each other than from those
of the next process.  Taken as independent they give an interval that is too narrow, the more so
the more of them there are.  So the values are those of whole processes, one of each: the highest
level at which results still differ is the one to repeat (T. Kalibera and R. Jones, Rigorous
Benchmarking in Reasonable Time, ISMM 2013, sections 4 and 6).
"""

import math
import statistics

CONFIDENCE = 0.95


def interval_rank(n, confidence=CONFIDENCE):
    """The largest r for which the r-th smallest and the r-th largest of n values enclose the true
    median with the confidence wanted; 0 where even the smallest and the largest do not."""
    outside = 0.0
    rank = 0
    for below in range(n // 2):
        outside += math.comb(n, below) / 2 ** n
        if 2 * outside > 1 - confidence:
            break
        rank = below + 1
    return rank


def median_interval(values, confidence=CONFIDENCE):
    """(low, high) around the median.  Of fewer than six values it is all that was seen, which is
    narrower than was asked for: 75 % with three, 50 % with two."""
    ordered = sorted(values)
    rank = max(interval_rank(len(ordered), confidence), 1)
    return ordered[rank - 1], ordered[-rank]


def outliers(samples):
    """How many lie beyond 1.5 times the interquartile range outside it (J. W. Tukey, Exploratory
    Data Analysis).  They count in medians as all others do."""
    if len(samples) < 4:
        return 0
    first, _, third = statistics.quantiles(samples, n=4, method="inclusive")
    reach = 1.5 * (third - first)
    return sum(not first - reach <= sample <= third + reach for sample in samples)
