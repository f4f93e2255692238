# SPDX-License-Identifier: MIT
"""Results: reading the lines of benchmark programs, merging rounds, ratios, the table."""

import json
import statistics

FIELDS = ("bench", "metric", "impl", "workers", "better", "median", "min", "max", "n")

# benchmarks/harness/probe.c draws the same line.
DISTURBED_FACTOR = 1.08


class BadResult(Exception):
    """A line that is not a result; the message says why."""


def parse_line(line):
    """One line of a benchmark program as a dict with its samples."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadResult(f"not JSON: {line.strip()!r} ({error})") from error
    if not isinstance(row, dict):
        raise BadResult(f"not an object: {line.strip()!r}")
    missing = [field for field in FIELDS + ("samples",) if field not in row]
    if missing:
        raise BadResult(f"{', '.join(missing)} missing in {line.strip()!r}")
    if row["better"] not in ("lower", "higher"):
        raise BadResult(f"better is {row['better']!r}")
    samples = row["samples"]
    if not samples or not all(is_number(sample) for sample in samples):
        raise BadResult(f"no usable samples in {line.strip()!r}")
    probes = row.get("probes", [])
    if probes and (len(probes) != len(samples) or not all(is_number(probe) for probe in probes)):
        raise BadResult(f"the probes do not fit the samples in {line.strip()!r}")
    return row


def is_disturbed(probe, best):
    """Whether a neighbour slowed the CPU down while a sample was taken.  A probe is the worse of
    the ratios before and after it; `best` is the best ratio known of this machine."""
    return bool(probe and best) and probe > best * DISTURBED_FACTOR


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def make_row(bench, metric, impl, workers, better, samples):
    """A row in the common format, from samples of any number of rounds."""
    if not samples:
        raise ValueError("a row needs a sample")
    return {
        "bench": bench,
        "metric": metric,
        "impl": impl,
        "workers": workers,
        "better": better,
        "median": statistics.median(samples),
        "min": min(samples),
        "max": max(samples),
        "n": len(samples),
    }


def merge(rows, enough=1):
    """One row for each (bench, metric, impl, workers), over the samples of all rounds.

    Only undisturbed samples count where there are `enough` of them; else all count, and the
    field `disturbed` tells which part of them was disturbed.  The order is that of first
    appearance.
    """
    rows = list(rows)
    best = min((probe for row in rows for probe in row.get("probes", []) if probe), default=0)
    groups = {}
    for row in rows:
        key = tuple(row[field] for field in FIELDS[:5])
        probes = row.get("probes") or [0] * len(row["samples"])
        groups.setdefault(key, []).extend(zip(row["samples"], probes))
    return [merge_samples(key, pairs, best, enough) for key, pairs in groups.items()]


def merge_samples(key, pairs, best, enough):
    kept = [sample for sample, probe in pairs if not is_disturbed(probe, best)]
    if len(kept) >= min(enough, len(pairs)):
        return make_row(*key, kept)
    row = make_row(*key, [sample for sample, _ in pairs])
    row["disturbed"] = round(1 - len(kept) / len(pairs), 3)
    return row


def find(rows, bench, metric, impl):
    for row in rows:
        if (row["bench"], row["metric"], row["impl"]) == (bench, metric, impl):
            return row
    return None


def ratio(ours, theirs):
    """Ours over theirs as medians; None where the division would say nothing."""
    if ours is None or theirs is None or theirs["median"] == 0:
        return None
    return ours["median"] / theirs["median"]


def verdict(value, better):
    """A ratio in words: 'better', 'worse', or 'equal' within two per cent."""
    if 0.98 <= value <= 1.02:
        return "equal"
    return "better" if (value < 1) == (better == "lower") else "worse"


def write_json(rows, path):
    """An array with one row a line: easy to read, and easy to compare by line."""
    with open(path, "w", encoding="utf-8") as out:
        out.write("[\n")
        lines = [json.dumps({field: row[field] for field in FIELDS + ("disturbed",)
                             if field in row}) for row in rows]
        out.write(",\n".join(lines))
        out.write("\n]\n")


def format_number(value):
    """Four significant digits without an exponent: enough for a table."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1000:
        return f"{value:,.0f}"
    if magnitude >= 100:
        return f"{value:.1f}"
    if magnitude >= 10:
        return f"{value:.2f}"
    return f"{value:.3f}"


def format_ratio(value):
    """Two decimals, or two significant digits where those would all be zeros."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def format_table(header, lines):
    """Columns of the width of their widest cell; all but the first two are right-aligned."""
    cells = [header] + lines
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    out = []
    for line in cells:
        parts = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ]
        out.append("  ".join(parts).rstrip())
    out.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(out)


def bench_table(rows):
    """The table that scripts/bench.sh prints: medians, spreads, and weft against each peer."""
    lines = []
    previous = None
    for row in rows:
        ours = find(rows, row["bench"], row["metric"], "weft")
        value = ratio(ours, row)
        against = ""
        if row["impl"] != "weft" and value is not None:
            against = f"{format_ratio(value)} {verdict(value, row['better'])}"
        if "disturbed" in row:
            against = f"{row['disturbed']:.0%} disturbed  {against}".rstrip()
        name = row["bench"] if row["bench"] != previous else ""
        previous = row["bench"]
        lines.append([
            name,
            row["impl"],
            row["metric"],
            format_number(row["median"]),
            format_number(row["min"]),
            format_number(row["max"]),
            str(row["n"]),
            against,
        ])
    header = ["benchmark", "impl", "metric", "median", "min", "max", "n", "weft / impl"]
    return format_table(header, lines)
