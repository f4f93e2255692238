# SPDX-License-Identifier: MIT
"""What a report shows of its rows: which comparisons there are, which curves, and why weft is
behind where it is."""

import collections
import fnmatch
import re

import results
import theme

# In the order of a percentile plot: (metric, place on the axis, its mark).  The places are
# -log10(1 - share), the usual scale of tails.
PERCENTILES = (("p50_us", 0.3, "50 %"), ("p90_us", 1.0, "90 %"), ("p99_us", 2.0, "99 %"),
               ("p999_us", 3.0, "99.9 %"), ("max_us", 4.0, "max"))


def module(row):
    return row["bench"].split("/")[0]


def groups(rows):
    """{(bench, metric): rows}, in the order of first appearance."""
    found = {}
    for row in rows:
        found.setdefault((row["bench"], row["metric"]), []).append(row)
    return found


def comparisons(rows):
    """(ours, theirs, verdict) for each row of weft's and each peer's row of the same."""
    found = []
    for group in groups(rows).values():
        ours = next((row for row in group if row["impl"] == "weft"), None)
        for theirs in group:
            verdict = results.verdict(ours, theirs) if theirs is not ours else None
            if verdict:
                found.append((ours, theirs, verdict))
    return found


def advantage(ours, theirs):
    """How many times as good weft is: 2 is half the time, or twice the throughput."""
    value = results.ratio(ours, theirs)
    if not value:
        return None
    return 1 / value if ours["better"] == "lower" else value


VERDICTS = ("ahead", "level", "behind", "doubtful")


def count_verdicts(rows):
    """{peer: a number for each of VERDICTS}; doubtful is what has a question mark."""
    counts = {}
    for _, theirs, verdict in comparisons(rows):
        place = VERDICTS.index("doubtful" if verdict.endswith("?") else results.plain(verdict))
        counts.setdefault(theirs["impl"], [0] * len(VERDICTS))[place] += 1
    return dict(sorted(counts.items(), key=lambda pair: theme.rank(pair[0])))


def count_disturbed(rows, peer):
    """How many of the verdicts on a peer have a star: they are counted among the others."""
    return sum(verdict.endswith("*") for _, theirs, verdict in comparisons(rows)
               if theirs["impl"] == peer)


def disturbed_text(rows):
    """How far the figures are to be trusted; nothing where all was quiet."""
    disturbed = [row for row in rows if "disturbed" in row]
    if not disturbed:
        return ""
    causes = collections.Counter(cause for row in disturbed for cause in row.get("causes", ()))
    found = ", ".join(f"{cause} in {count:,}" for cause, count in sorted(causes.items()))
    causes_text = f" (by: {found})" if found else ""
    return (f"{len(disturbed):,} of {len(rows):,} rows were disturbed{causes_text} and carry a "
            "star, as do verdicts on them: do not quote them.")


# Bare loops: what the kernel takes for the same.
FLOORS = ("uring-floor", "uring-loop", "epoll-floor")
# What is further from a floor is told, also where the intervals overlap.
FLOOR_SHARE = 0.05
FLOOR_NOTE = ("Where it says level, the intervals overlap, but weft's median is more than 5 % "
              "behind that of a bare loop.")


def _is_not_first(ours, theirs, verdict):
    return verdict.startswith("behind") or (
        verdict.rstrip("*") == "level" and theirs["impl"] in FLOORS and
        advantage(ours, theirs) < 1 / (1 + FLOOR_SHARE))


def not_first(rows):
    """(ours, the best of those before us, verdict), one for each benchmark and metric: of those who
    are ahead, or else of the floors that are level but far away."""
    found = {}
    for ours, theirs, verdict in comparisons(rows):
        if _is_not_first(ours, theirs, verdict):
            found.setdefault((ours["bench"], ours["metric"]), []).append((ours, theirs, verdict))
    return [min(group, key=lambda row: (row[2].startswith("level"), advantage(*row[:2])))
            for group in found.values()]


def read_reasons(path):
    """Lines 'benchmark | metric | peer | why', the first three as globs; # begins a comment."""
    reasons = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith("#"):
                continue
            parts = [part.strip() for part in line.split("|")]
            if len(parts) != 4 or not all(parts):
                raise ValueError(f"{path}:{number}: not 'benchmark | metric | peer | why'")
            reasons.append(parts)
    return reasons


def reason(reasons, row):
    """Why this row is ahead of weft's; None if nobody has found out."""
    for bench, metric, impl, why in reasons:
        if (fnmatch.fnmatchcase(row["bench"], bench) and fnmatch.fnmatchcase(row["metric"], metric)
                and fnmatch.fnmatchcase(row["impl"], impl)):
            return why
    return None


def parameters(bench):
    """[(name, number)] of the parts 'name=number'."""
    found = re.findall(r"(?:^|/)([a-z_]+)=([0-9]+)(?=/|$)", bench)
    return [(name, int(number)) for name, number in found]


def families(rows, wanted=None, not_wanted=(), least=2):
    """{(bench with * for the value, parameter, metric): {impl: [(value, row)]}}: what differs in
    one parameter only, at `least` so many values of it for weft."""
    found = {}
    for row in rows:
        for name, number in parameters(row["bench"]):
            if (wanted and name != wanted) or name in not_wanted:
                continue
            family = row["bench"].replace(f"{name}={number}", f"{name}=*")
            lines = found.setdefault((family, name, row["metric"]), {})
            lines.setdefault(row["impl"], []).append((number, row))
    for lines in found.values():
        for line in lines.values():
            line.sort(key=lambda pair: pair[0])
    return {key: lines for key, lines in found.items() if len(lines.get("weft", [])) >= least}


def speeds(lines):
    """{impl: [(workers, speed, low, high)]} relative to weft on its fewest workers, more is better;
    empty where that is zero."""
    base = lines["weft"][0][1]
    found = {}
    for impl, line in lines.items():
        points = []
        for workers, row in line:
            values = (row["median"], *results.interval(row))
            if not base["median"] or not all(values):
                continue
            if row["better"] == "lower":
                values = tuple(base["median"] / value for value in values)
            else:
                values = tuple(value / base["median"] for value in values)
            points.append((workers, values[0], min(values), max(values)))
        if points:
            found[impl] = points
    return found


def percentile_groups(rows):
    """{bench: {impl: [(place, latency, low, high)]}} of benchmarks that have at least two."""
    found = {}
    for metric, place, _ in PERCENTILES:
        for row in rows:
            if row["metric"] == metric and row["median"] > 0 and row["min"] > 0:
                line = found.setdefault(row["bench"], {}).setdefault(row["impl"], [])
                line.append((place, row["median"], *results.interval(row)))
    return {bench: lines for bench, lines in found.items()
            if all(len(line) >= 2 for line in lines.values())}
