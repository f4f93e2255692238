# SPDX-License-Identifier: MIT
"""The same calibration, options and output as harness/bench.c, so that the driver can treat every
program alike."""

import argparse
import fnmatch
import json
import statistics
import sys
from dataclasses import dataclass
from typing import Callable

_SAMPLE_NS_MIN = 20_000_000
_SAMPLE_NS_MIN_QUICK = 5_000_000
_SAMPLING_NS_MAX = 1_000_000_000


class Failure(Exception):
    """The work was not done; the message says what is wrong."""


@dataclass(frozen=True)
class Benchmark:
    name: str
    ops: int  # for each unit of the batch
    run: Callable  # does so many operations; returns the nanoseconds that they took


def _calibrate(benchmark, wanted_ns):
    batch = 1
    was_long_enough = False
    while True:
        elapsed_ns = benchmark.run(batch)
        is_long_enough = elapsed_ns >= wanted_ns
        if is_long_enough and was_long_enough:
            return batch
        was_long_enough = is_long_enough
        if is_long_enough:
            continue
        batch = int(batch * min(1.2 * wanted_ns / max(elapsed_ns, 1), 10)) + 1


def measure(benchmark, options):
    batch = _calibrate(benchmark, _SAMPLE_NS_MIN_QUICK if options.quick else _SAMPLE_NS_MIN)
    samples, spent_ns = [], 0
    while len(samples) < options.samples and spent_ns < _SAMPLING_NS_MAX:
        elapsed_ns = benchmark.run(batch)
        spent_ns += elapsed_ns
        samples.append(elapsed_ns / (batch * benchmark.ops))
    return {"bench": benchmark.name, "metric": "ns_per_op", "impl": "python", "workers": 1,
            "better": "lower", "median": statistics.median(samples), "min": min(samples),
            "max": max(samples), "n": len(samples), "samples": samples}


def _positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(benchmarks):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="print the benchmarks' names and end")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB")
    parser.add_argument("--quick", action="store_true", help="shorter samples")
    parser.add_argument("--samples", type=_positive, default=5, metavar="N")
    options = parser.parse_args()
    wanted = [benchmark for benchmark in benchmarks if not options.only or
              any(fnmatch.fnmatchcase(benchmark.name, glob) for glob in options.only)]
    if not wanted:
        print("no benchmark matches", file=sys.stderr)
        return 2
    status = 0
    for benchmark in wanted:
        if options.list:
            print(benchmark.name)
            continue
        try:
            print(json.dumps(measure(benchmark, options)), flush=True)
        except Failure as failure:
            print(f"{benchmark.name} (python): FAILED: {failure}", file=sys.stderr)
            status = 1
    return status
