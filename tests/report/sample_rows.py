# SPDX-License-Identifier: MIT
"""Rows of all kinds for the tests of the report: what they show is invented."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/report"))

import page  # noqa: E402
import results  # noqa: E402


def row(bench, metric, impl, samples, better="lower", workers=1):
    return results.make_row(bench, metric, impl, workers, better, samples)


def rows():
    found = []
    for workers, ours, theirs in ((1, 10, 12), (2, 5, 11), (4, 2.6, 10)):
        name = f"forkjoin/fib/n=32/workers={workers}"
        for impl, value in (("weft", ours), ("tbb", theirs)):
            samples = [value * factor for factor in (0.98, 0.99, 1, 1, 1.01, 1.02, 1.5)]
            found.append(row(name, "ns_per_op", impl, samples, workers=workers))
    for number in (10, 100, 1000):
        for impl, value in (("weft", 40), ("go", 80), ("pthread", 9000)):
            found.append(row(f"barrier/cross/parties={number}", "ns_per_op", impl,
                             [value + number, value + number + 1, value + number + 3]))
    for metric, ours, theirs in (("p50_us", 90, 100), ("p99_us", 300, 2000), ("p999_us", 900, 9e4)):
        for impl, value in (("weft", ours), ("go<&>", theirs)):
            found.append(row("echo/open/load=50", metric, impl, [value, value * 1.1, value * 1.2]))
    for impl, value in (("weft", 4600), ("tokio", 460)):
        found.append(row("memory/parked/n=10000", "bytes_per_fiber", impl, [value] * 3))
    for impl, value in (("weft", 100), ("nginx", 100), ("go", 40)):
        found.append(row("http/plaintext", "requests_per_s", impl, [value, value + 1], "higher"))
    found[0].update(disturbed=0.5, causes=["stolen time"], cpus=1.0, peak_rss_bytes=3e6)
    return found


def report():
    return page.Report(
        rows=rows(), facts=[("processor", "one <of> many & more")], command="scripts/bench.sh",
        skipped=["libuv"], failures=["go: a/b: <no> luck"],
        reasons=[["memory/*", "*", "tokio", "a task has no stack & needs none"]],
        questions={"forkjoin/fib": "What does a task cost?"})
