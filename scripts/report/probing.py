# SPDX-License-Identifier: MIT
"""Waiting until no neighbour slows the CPUs down; docs/benchmarking.md#disturbance explains."""

import time

import results

_PAUSE_SECONDS = 0.05
# Phases last seconds, so some of these fall between two of them on all but the busiest machines.
_FIRST_LOOKS = 10


class Probe:
    """The probe of benchmarks/harness/probe.c, and the best ratio that anyone has seen."""

    def __init__(self, read, sleep=time.sleep, clock=time.monotonic):
        self.read = read
        self.sleep = sleep
        self.clock = clock
        self.best = 0.0
        self.waited_s = 0.0

    def measure(self):
        ratio = self.read()
        if ratio > 0 and (not self.best or ratio < self.best):
            self.best = ratio
        return ratio

    def wait_for_quiet(self, seconds):
        """The ratio at the end of the wait, which is over as soon as the CPUs are undisturbed."""
        if not self.best:
            self._look_around()
        start = self.clock()
        ratio = self.measure()
        while results.is_disturbed(ratio, self.best) and self.clock() - start < seconds:
            self.sleep(_PAUSE_SECONDS)
            ratio = self.measure()
        self.waited_s += self.clock() - start
        return ratio

    def _look_around(self):
        for _ in range(_FIRST_LOOKS):
            self.measure()
            self.sleep(_PAUSE_SECONDS)
