# SPDX-License-Identifier: MIT
"""scripts/soak.sh: runs tests/soak and looks whether anything grows.

The rule.  The first fifth of the run, at most two minutes, is warm-up.  For each of the figures the
slope of the rest is that of Theil and Sen: the median of the slopes between all pairs of samples,
which up to 29 % of outliers do not move.  A figure drifts if the slope is positive beyond doubt, by
the lower end of Sen's 99 % confidence interval (from the variance of Kendall's S), and what it adds
up to over the window is more than the figure's tolerance.  The second condition is there because
samples that follow each other are alike, which makes the interval too narrow.
"""

import argparse
import math
import statistics
import subprocess
import sys

Z_99 = 2.576
WARM_UP_SHARE, WARM_UP_S_MAX = 0.2, 120.0
SAMPLES_MAX = 400  # pairs grow with the square
SAMPLES_MIN = 12

# What may come together over the window: an amount, or a share of the median if that is more.
TOLERANCES = {
    "rss_kib": (512.0, 0.03),
    "descriptors": (1.5, 0.0),
    "vmas": (3.0, 0.0),
    "p999_us": (3000.0, 0.7),
    "missed": (5.0, 1.0),
}
LEAKS = {"memory": "rss_kib", "fd": "descriptors", "vma": "vmas", "latency": "p999_us",
         "deadline": "missed"}


def theil_sen(times, values):
    """The slope, and the ends of its 99 % confidence interval."""
    count = len(times)
    slopes = sorted((values[j] - values[i]) / (times[j] - times[i])
                    for i in range(count) for j in range(i + 1, count))
    width = Z_99 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, int((len(slopes) - width) / 2))
    high = min(len(slopes) - 1, int((len(slopes) + width) / 2) + 1)
    return statistics.median(slopes), slopes[low], slopes[high]


class Drift:
    """What one figure did over the window."""

    def __init__(self, name, times, values):
        self.name = name
        self.median = statistics.median(values)
        self.window = times[-1] - times[0]
        self.slope, self.low, self.high = theil_sen(times, values)
        amount, share = TOLERANCES[name]
        self.tolerance = max(amount, share * self.median)

    @property
    def growth(self):
        return self.slope * self.window

    @property
    def is_found(self):
        return self.low > 0 and self.growth > self.tolerance

    def line(self):
        return (f"{self.name:<12} median {self.median:10.1f}  grows by {self.growth:9.2f}"
                f" [{self.low * self.window:.2f}, {self.high * self.window:.2f}]"
                f"  tolerance {self.tolerance:8.1f}  {'DRIFT' if self.is_found else 'ok'}")


def parse(text, seconds):
    """name: values, of the samples in the window; the first name is "seconds"."""
    lines = text.splitlines()
    names = lines[0].split()
    warm_up = min(WARM_UP_SHARE * seconds, WARM_UP_S_MAX)
    # The last second ends the load.
    rows = [row for row in ([float(word) for word in line.split()] for line in lines[1:])
            if len(row) == len(names) and warm_up <= row[0] <= seconds - 1]
    if len(rows) < SAMPLES_MIN:
        raise ValueError(f"{len(rows)} samples are not enough")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def drifts(samples):
    return [Drift(name, samples["seconds"], samples[name]) for name in TOLERANCES]


def soak(program, seconds, leak=None):
    """The drifts of one run, or None if the program failed."""
    interval_ms = max(100, seconds * 1000 // SAMPLES_MAX)
    command = [program, str(seconds), str(interval_ms)] + ([leak] if leak else [])
    result = subprocess.run(command, capture_output=True, text=True, check=False,
                            timeout=2 * seconds + 120)
    if result.returncode != 0:
        print(f"soak: {' '.join(command)} ended with {result.returncode}:\n{result.stderr}")
        return None
    found = drifts(parse(result.stdout, seconds))
    for drift in found:
        print(drift.line())
    return found


def prove(program, seconds):
    """Whether each planted mistake is found."""
    is_proved = True
    for leak, name in LEAKS.items():
        print(f"== planted: {leak}")
        found = soak(program, seconds, leak)
        if found is None or not any(drift.is_found and drift.name == name for drift in found):
            print(f"soak: the planted {leak} was not found")
            is_proved = False
    return is_proved


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--leak", choices=sorted(LEAKS))
    parser.add_argument("--prove", action="store_true")
    arguments = parser.parse_args()
    if arguments.prove:
        sys.exit(0 if prove(arguments.program, arguments.seconds) else 1)
    found = soak(arguments.program, arguments.seconds, arguments.leak)
    sys.exit(1 if found is None or any(drift.is_found for drift in found) else 0)


if __name__ == "__main__":
    main()
