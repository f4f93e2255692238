# SPDX-License-Identifier: MIT
"""Waiting until no neighbour slows the CPUs down; docs/benchmarking.md#disturbance explains."""

import bisect
import time

import results

_PAUSE_SECONDS = 0.05
# Phases last seconds, so some of these fall between two of them on all but the busiest machines.
_FIRST_LOOKS = 10
# One reading in some 300 is of a CPU that was interrupted or changed its clock between the two
# halves of the measurement, and lies up to a quarter below all others (1,500 readings on a Zen 5).
_BEST_SHARE = 0.02


class Probe:
    """The probe of benchmarks/harness/probe.c, and the best ratio that was seen often enough."""

    def __init__(self, read, sleep=time.sleep, clock=time.monotonic):
        self.read = read
        self.sleep = sleep
        self.clock = clock
        self.ratios = []  # in order
        self.waited_s = 0.0

    @property
    def best(self):
        """The second of the readings at least, or 0 before there are two."""
        place = max(1, int(_BEST_SHARE * len(self.ratios)))
        return self.ratios[place] if place < len(self.ratios) else 0.0

    def measure(self):
        return self._keep(self.read())

    def wait_for_quiet(self, seconds):
        """The ratio at the end of the wait, which is over as soon as the CPUs are undisturbed."""
        if not self.best:
            self._look_around()
        start = self.clock()
        ratio = self.read()
        while results.is_disturbed(ratio, self.best) and self.clock() - start < seconds:
            self.sleep(_PAUSE_SECONDS)
            ratio = self.read()
        self.waited_s += self.clock() - start
        # One for each wait: it repeats those that were disturbed, which would outnumber the others.
        return self._keep(ratio)

    def _keep(self, ratio):
        if ratio > 0:
            bisect.insort(self.ratios, ratio)
        return ratio

    def _look_around(self):
        for _ in range(_FIRST_LOOKS):
            self.measure()
            self.sleep(_PAUSE_SECONDS)
