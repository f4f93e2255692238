# SPDX-License-Identifier: MIT
"""Results: reading the lines of benchmark programs, merging rounds, ratios, the table."""

import json
import os
import statistics

import stats

FIELDS = ("bench", "metric", "impl", "workers", "better", "median", "min", "max", "n")
# What a row may have besides.  `low` and `high` enclose the median (stats.py); `sample_count` is
# that of `min` and `max`; `disturbed` is the part of the processes that was disturbed and `causes`
# by what; `cpus` is CPU time over wall time and `peak_rss_bytes` resident memory, of the whole
# process, its calibration included.  `processes` has what the row was made of: `samples`, `causes`,
# `cpus` and `peak_rss_bytes` of each, its `probe` and the `best` ratio that it was judged by.
EXTRA_FIELDS = ("low", "high", "sample_count", "outliers", "disturbed", "causes", "cpus",
                "peak_rss_bytes", "processes")

# Ratios this close to 1 are called level, however narrow the intervals are.
LEVEL_SHARE = 0.02

# These do not depend on what else the machine does.
MEMORY_METRICS = ("bytes_per_fiber", "pss_bytes")

# Processes that make a verdict: of fewer no interval tells anything.
PROCESSES_MIN = 3

# On the machine of the first measurements undisturbed ratios of the probe lay within 0.5 % of each
# other, and disturbed ones began at 1.1 times the best.
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
    return row


def is_disturbed(probe, best):
    """Whether a neighbour slowed the CPU down while a process ran.  A probe is the worse of the
    ratios before and after it; `best` is the best ratio known of this machine."""
    return bool(probe and best) and probe > best * DISTURBED_FACTOR


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def make_row(bench, metric, impl, workers, better, values, samples=None):
    """A row in the common format, from one value of each process, and from all samples of all of
    them, where those were several.  The processes are what was repeated: the median, its interval
    and `n` are theirs, and only the extremes are of the samples (stats.py says why)."""
    if not values:
        raise ValueError("a row needs a value")
    samples = samples or values
    low, high = stats.median_interval(values)
    row = {
        "bench": bench,
        "metric": metric,
        "impl": impl,
        "workers": workers,
        "better": better,
        "median": statistics.median(values),
        "min": min(samples),
        "max": max(samples),
        "n": len(values),
        "low": low,
        "high": high,
        "sample_count": len(samples),
    }
    if stats.outliers(samples):
        row["outliers"] = stats.outliers(samples)
    return row


def group_rows(rows):
    """{(bench, metric, impl, workers, better): its rows}, in the order of first appearance."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[field] for field in FIELDS[:5]), []).append(row)
    return groups


def merge(rows, best=0):
    """One row for each (bench, metric, impl, workers), over the processes of all rounds; each of
    `rows` is of one process.  `best` is the probe's best ratio."""
    return [merge_group(key, group, best) for key, group in group_rows(rows).items()]


def join(rows):
    """The same over the processes of several runs; each of `rows` is of one run.  All are judged by
    the best ratio of any run: one that was disturbed from its beginning to its end has not seen how
    fast the machine can be."""
    groups = group_rows(rows)
    best = min((process["best"] for group in groups.values() if len(group) > 1 for row in group
                for process in row.get("processes", ()) if process.get("best")), default=0)
    return [group[0] if len(group) == 1 else join_group(key, group, best)
            for key, group in groups.items()]


def join_group(key, group, best):
    if not all("processes" in row for row in group):
        raise ValueError(f"{key[0]} of {key[2]} is in more than one file, and one of them does not "
                         "tell of each process: it is of an older version, or of something else")
    metric = {"metric": key[1]}
    return merge_group(key, [{**process, **metric} for row in group
                             for process in row["processes"]], best)


def causes_of(row, best):
    """What disturbed a process, as far as that matters to what it measured."""
    if row["metric"] in MEMORY_METRICS:
        return set()
    sibling = {"busy sibling"} if is_disturbed(row.get("probe", 0), best) else set()
    return sibling | set(row.get("causes", ()))


def merge_group(key, group, best):
    """All processes count, also those that were disturbed: to choose among so few would choose the
    figure.  While fewer than half of them were, the median lies between values of undisturbed
    ones; else the row is marked."""
    merged = make_row(*key, [statistics.median(row["samples"]) for row in group],
                      [sample for row in group for sample in row["samples"]])
    causes = [causes_of(row, best) for row in group]
    found = [each for each in causes if each]
    if 2 * len(found) >= len(group):
        merged["disturbed"] = round(len(found) / len(group), 3)
        merged["causes"] = sorted(set().union(*found))
    for field in ("cpus", "peak_rss_bytes"):
        values = [row[field] for row in group if field in row]
        if values:
            merged[field] = round(statistics.median(values), 3)
    merged["processes"] = [
        {"samples": row["samples"], "causes": sorted(each),
         **{field: row[field] for field in ("cpus", "peak_rss_bytes", "probe") if field in row},
         **({"best": best} if best and "probe" in row else {})}
        for row, each in zip(group, causes)]
    return merged


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


def interval(row):
    """Where the median may lie; rows of older files have only their extremes."""
    return row.get("low", row["min"]), row.get("high", row["max"])


def processes(row):
    """How many a row is of.  The `n` of older files counts the samples of any number of them, as
    does that of a benchmark program's own file: one may be all."""
    return row["n"] if "sample_count" in row else 1


def verdict(ours, theirs):
    """'ahead', 'level' or 'behind', from our side; None where there is no ratio.

    Level is what differs by less than two per cent or has intervals that overlap.  A question mark
    is for fewer than three processes on one side, or fewer than on the other: where some failed,
    those that are left may be the fast ones.  Else a star is for a side that was disturbed.
    """
    value = ratio(ours, theirs)
    if value is None:
        return None
    low, high = interval(ours)
    their_low, their_high = interval(theirs)
    fewer, more = sorted((processes(ours), processes(theirs)))
    doubt = "*" if "disturbed" in ours or "disturbed" in theirs else ""
    if fewer < PROCESSES_MIN or fewer < more:
        doubt = "?"
    if abs(value - 1) <= LEVEL_SHARE or (low <= their_high and their_low <= high):
        return "level" + doubt
    return ("ahead" if (value < 1) == (ours["better"] == "lower") else "behind") + doubt


def plain(text):
    """A verdict without its mark."""
    return text.rstrip("?*")


def write_json(rows, path):
    """An array with one row a line: easy to read, and easy to compare by line."""
    lines = [json.dumps({field: row[field] for field in FIELDS + EXTRA_FIELDS if field in row})
             for row in rows]
    _write_whole("[\n" + ",\n".join(lines) + "\n]\n", path)


def _write_whole(text, path):
    """Whoever reads the file, or stops us meanwhile, finds what was there before or all of it."""
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w", encoding="utf-8") as out:  # a pipe or a terminal stays what it is
            out.write(text)
        return
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(path + ".new", path)


def check_writable(path):
    """Raises the OSError that writing the file would; leaves it as it is."""
    is_new = not os.path.lexists(path)
    with open(path, "a", encoding="utf-8"):
        pass
    if is_new:
        os.remove(path)


def read_json(path):
    """The rows of a file that write_json() or scripts/run.sh wrote."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    if not isinstance(rows, list) or not all(
            isinstance(row, dict) and all(field in row for field in FIELDS) for row in rows):
        raise ValueError("not an array of results")
    return rows


def _notes_path(path):
    return os.path.splitext(path)[0] + ".notes.json"


def write_notes(notes, path):
    """What else there is to know of the run whose rows are in `path`, in a file beside it."""
    _write_whole(json.dumps(notes, indent=1) + "\n", _notes_path(path))


def read_notes(path):
    """Those of the run whose rows are in `path`; none of an older one."""
    try:
        with open(_notes_path(path), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


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
            against = f"{format_ratio(value)} {verdict(ours, row)}"
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
