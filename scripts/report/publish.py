# SPDX-License-Identifier: MIT
"""The last published run in the repository: the tables of the README, and docs/benchmarks.md with
its pictures.  All of it is written anew each time."""

import collections
import html
import os
import re
import textwrap

import chart
import results
import sections

_BEGIN = "<!-- MEASURED: begin.  Written by scripts/bench.sh --publish; edits are lost. -->"
_END = "<!-- MEASURED: end. -->"
_NAMES = {"go": "Go", "tbb": "oneTBB", "openmp": "OpenMP", "boost-fiber": "Boost.Fiber",
          "cpp20": "C++20 coroutines", "python": "Python"}

# (what a reader calls it, the benchmark); the metric is nanoseconds for each operation.
_RUNTIME = (
    ("yield between two", "switch/yield"),
    ("spawn and join an empty one", "spawn/join_empty/workers=1"),
    ("a hundred in a scope or group, each", "scope/spawn_join_100"),
    ("channel without a buffer, there and back", "channel/pingpong"),
    ("a value through a buffered channel",
     "channel/throughput/senders=1/receivers=1/workers=1"),
    ("select over four channels", "select/4"),
    ("a generator's next value", "generator/next"),
    ("mutex, nobody else wants it", "mutex/uncontended"),
    ("mutex, a thousand want it, two workers", "mutex/contended"),
    ("readers-writer lock, nobody else wants it", "rwlock/read_mostly/fibers=1"),
    ("the same, a thousand want it, two workers", "rwlock/read_mostly/fibers=1000"),
    ("semaphore, nobody else wants it", "semaphore/uncontended"),
    ("condition variable, there and back", "condvar/pingpong"),
    ("barrier of ten, two workers, each", "barrier/cross/parties=10"),
    ("timer armed and cancelled beside a million", "timer/arm_cancel"),
    ("timer moved to a later time", "timer/extend"),
    ("channel there and back, with a timeout", "timer/timeout"),
)
_FORKJOIN = (
    ("fib(32), ns a task", "forkjoin/fib/n=32", "ns_per_op"),
    ("13 queens, s", "forkjoin/queens/n=13", "s"),
    ("UTS T1, s", "forkjoin/uts/t1", "s"), ("UTS T3, s", "forkjoin/uts/t3", "s"),
    ("matrices by quarters, s", "forkjoin/matmul/n=512", "s"),
    ("Strassen, s", "forkjoin/strassen/n=512", "s"),
    ("merge sort, s", "forkjoin/cilksort/n=1048576", "s"),
    ("integration, s", "forkjoin/integrate", "s"),
    ("knapsack, s", "forkjoin/knapsack/n=40", "s"),
    ("n bodies, s", "parallel/nbody/n=2048", "s"),
    ("Mandelbrot, s", "parallel/mandelbrot/n=256", "s"),
    ("prefix sums, s", "parallel/scan/n=4194304", "s"),
)
# (file, title, which rows: globs of benchmark and metric)
_PICTURES = (
    ("runtime", "Switching, spawning, channels and locks", ("ns_per_op",),
     ("switch/yield", "spawn/join_empty/workers=1", "channel/pingpong", "select/4",
      "mutex/uncontended", "mutex/contended", "timer/arm_cancel")),
    ("forkjoin", "Fork and join on two workers", ("ns_per_op", "s"),
     tuple(f"{bench}/workers=2" for _, bench, _ in _FORKJOIN[:7])),
    ("http", "The HTTP server", ("requests_per_s", "cpu_us_per_request"),
     ("http/plaintext/connections=64", "http/delay=10/connections=2000")),
    ("memory", "Memory for each parked fiber, task or thread", ("bytes_per_fiber",),
     ("memory/parked/n=100000",)),
    ("hog", "An echo server beside hogs", ("p99_us",),
     ("hog/echo/hogs=1", "hog/echo/hogs=2")),
)


def table(header, lines):
    """A table in Markdown; the first column is text."""
    marks = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, marks, *lines])


def name_of(impl):
    return _NAMES.get(impl, impl)


def value_text(row):
    if row is None:
        return ""
    return results.format_number(row["median"]) + ("\\*" if "disturbed" in row else "")


def by_impl(rows, benches):
    """Lines of a label and each implementation's median, for (label, bench, metric); a column for
    whoever has one of them."""
    groups = sections.groups(rows)
    found = [(label, {row["impl"]: row for row in groups.get((bench, metric), [])})
             for label, bench, metric in benches]
    found = [(label, group) for label, group in found if "weft" in group]
    impls = chart.order([{"impl": impl} for impl in {impl for _, group in found for impl in group}])
    impls = [entry["impl"] for entry in impls]
    lines = [[label, *(value_text(group.get(impl)) for impl in impls)] for label, group in found]
    return impls, lines


def comparison_table(first, rows, benches):
    impls, lines = by_impl(rows, benches)
    return table([first, *(name_of(impl) for impl in impls)], lines) if lines else ""


def http_table(rows):
    """weft against each other server, as ratios of medians."""
    metrics = ("requests_per_s", "cpu_us_per_request", "pss_bytes", "p99_us")
    lines = []
    for bench in dict.fromkeys(row["bench"] for row in rows if sections.module(row) == "http"):
        for impl in dict.fromkeys(row["impl"] for row in rows if row["bench"] == bench):
            if impl == "weft":
                continue
            values = [results.ratio(results.find(rows, bench, metric, "weft"),
                                    results.find(rows, bench, metric, impl)) for metric in metrics]
            lines.append([f"`{bench[5:]}`", impl, *("" if value is None else
                                                   results.format_ratio(value)
                                                   for value in values)])
    return table(["case", "fibers :", "req/s", "CPU/req", "memory", "p99"], lines)


def verdict_table(rows):
    lines = [[name_of(peer), *(str(count) for count in counts),
              str(sections.count_disturbed(rows, peer))]
             for peer, counts in sections.count_verdicts(rows).items()]
    return table(["peer", "weft ahead", "level", "weft behind", "doubtful", "disturbed of these"],
                 lines)


def machine_text(facts):
    facts = dict(facts)
    wanted = [facts.get(name) for name in ("processor", "memory", "kernel", "time", "duration")]
    return ". ".join(text for text in wanted if text) + "."


def repeat_text(report):
    if report.calls == 1:
        return f"Repeat it with `{report.command}`."
    return f"{report.calls} runs put together; repeat them with `{report.command}`."


def source_text(report):
    """From which runs, of which sources."""
    revision = dict(report.facts).get("revision")
    runs = "one run" if report.calls == 1 else f"{report.calls} runs, put together,"
    return f"{runs} of `{report.command}`" + (f" at revision {revision}" if revision else "")


def readme_part(report):
    runtime = [(label, bench, "ns_per_op") for label, bench in _RUNTIME]
    forkjoin = [(f"{label}, {count} worker{'s' * (count > 1)}", f"{bench}/workers={count}", metric)
                for label, bench, metric in _FORKJOIN[:4] for count in (1, 2)]
    parts = [
        machine_text(report.facts),
        repeat_text(report) + " In [docs/benchmarks.md](docs/benchmarks.md) are all "
        "rows, pictures, and why weft is not first where it is not. A star marks figures that "
        "neighbours on the machine disturbed.",
        sections.disturbed_text(report.rows),
        f"{len(report.failures)} processes failed and are left out; docs/benchmarks.md names them."
        if report.failures else "",
        "![The runtime beside its peers](docs/benchmarks/runtime.svg)",
        comparison_table("nanoseconds", report.rows, runtime),
        comparison_table("fork and join", report.rows, forkjoin),
        "One HTTP server in four modes, beside nginx and bare loops that only look for a blank "
        "line. Each figure is fibers divided by the other: more is better for requests a second, "
        "less for the others.",
        http_table(report.rows),
        "Verdicts over all rows, by intervals of medians; doubtful are those of fewer than three "
        "processes, or of fewer than the other side has; disturbed those with a star on one side:",
        verdict_table(report.rows),
    ]
    return "\n\n".join(part for part in parts if part)


def failed(report):
    """A line for each failure; what failed in several rounds is told once."""
    counts = collections.Counter(html.escape(" ".join(failure.split()), quote=False)
                                 for failure in report.failures)
    return [text + (f" ({count} times)" if count > 1 else "") for text, count in counts.items()]


def processes_text(rows):
    """How many processes the figures are of."""
    counts = sorted({results.processes(row) for row in rows})
    if not counts:
        return "Medians"
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Medians over {span} process{'es' * (counts[-1] > 1)} each"


def replace_part(text, part):
    """The README with what was measured in the place of what was there."""
    found = re.subn(r"<!-- MEASURED: begin.*?-->.*?<!-- MEASURED: end\. -->",
                    lambda _: f"{_BEGIN}\n\n{part}\n\n{_END}", text, flags=re.DOTALL)
    if found[1] != 1:
        raise ValueError("README.md has not one part between the marks MEASURED")
    return found[0]


def check(root):
    """Raises what write() would for files that are missing, or not as they shall be."""
    readme = os.path.join(root, "README.md")
    with open(readme, encoding="utf-8") as file:
        replace_part(file.read(), "")
    results.check_writable(readme)


def not_first(report):
    lines = []
    for ours, theirs, verdict in sections.not_first(report.rows):
        why = sections.reason(report.reasons, theirs) or "not explained yet"
        lines.append([f"`{ours['bench']}`", ours["metric"], value_text(ours),
                      f"{name_of(theirs['impl'])} {value_text(theirs)}",
                      verdict.replace("*", "\\*"), why])
    return table(["benchmark", "metric", "weft", "best peer", "verdict", "why"], lines)


def all_rows(report):
    modules = {}
    for (bench, metric) in sections.groups(report.rows):
        modules.setdefault(bench.split("/")[0], []).append((f"`{bench}` {metric}", bench, metric))
    return "\n\n".join(f"### {name}\n\n" + comparison_table("benchmark", report.rows, benches)
                       for name, benches in modules.items()
                       if comparison_table("benchmark", report.rows, benches))


def pictures(report):
    """{file name: (title, SVG)} of those that have rows."""
    found = {}
    for name, title, metrics, benches in _PICTURES:
        rows = [row for row in report.rows if row["bench"] in benches and row["metric"] in metrics]
        if rows:
            found[f"{name}.svg"] = title, chart.bar_charts(rows)
    figures = [(f"latency-{number}.svg", f"Latency, {bench}", lines) for number, (bench, lines)
               in enumerate(sections.percentile_groups(report.rows).items(), 1)
               if bench.startswith("echo/open")]
    marks = [(place, text) for _, place, text in sections.PERCENTILES if place != 1.0]
    for name, title, lines in figures:
        found[name] = title, chart.standalone(chart.curves(
            title, lines, marks, "share of the messages that took no longer"))
    return found


def document(report, found):
    facts = "\n".join(f"- {name}: {value}" for name, value in report.facts)
    reading = (f"{processes_text(report.rows)}; a star marks a row that neighbours on the machine "
               f"disturbed. {sections.disturbed_text(report.rows)}").strip()
    images = "\n\n".join(f"### {title}\n\n![{title}](benchmarks/{name})"
                         for name, (title, _) in found.items())
    skipped = f"\nNot measured: {', '.join(report.skipped)}.\n" if report.skipped else ""
    if report.failures:
        skipped += "\nFailed, and left out of the figures:\n\n" + "".join(
            f"- {text}\n" for text in failed(report))
    return f"""# Benchmarks: the last published run

Written by `scripts/bench.sh --publish` from {source_text(report)}; edits are lost.
[benchmarking.md](benchmarking.md) says how the figures come about and when to distrust them.
{textwrap.fill(reading, 100)}

{facts}
{skipped}
## Verdicts

By intervals of medians: level is what overlaps or differs by less than 2 %, and doubtful what has
fewer than three processes on one side, or fewer than on the other. The last column counts those of
all but the doubtful that have a star, since one side was disturbed.

{verdict_table(report.rows)}

## Where weft is not first

{textwrap.fill(sections.FLOOR_NOTE, 100)}

{not_first(report)}

## Pictures

{images}

## All rows

{all_rows(report)}
"""


def write(report, root):
    """Returns the names of what was written."""
    folder = os.path.join(root, "docs/benchmarks")
    os.makedirs(folder, exist_ok=True)
    found = pictures(report)
    for name in os.listdir(folder):
        if name.endswith(".svg") and name not in found:
            os.remove(os.path.join(folder, name))
    texts = {os.path.join("docs/benchmarks", name): picture
             for name, (_, picture) in found.items()}
    texts["docs/benchmarks.md"] = document(report, found)
    with open(os.path.join(root, "README.md"), encoding="utf-8") as file:
        texts["README.md"] = replace_part(file.read(), readme_part(report))
    for name, text in texts.items():
        with open(os.path.join(root, name), "w", encoding="utf-8") as out:
            out.write(text)
    return sorted(texts)
