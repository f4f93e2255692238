# SPDX-License-Identifier: MIT
"""The report: one page with everything in it, which needs no script, no font and no network."""

import re
from dataclasses import dataclass, field
from html import escape

import chart
import questions
import results
import sections
import theme

_STYLE = (
    "*{box-sizing:border-box}"
    "body{font:15px/1.55 system-ui,sans-serif;margin:0 auto;max-width:78rem;padding:1.5rem;"
    "color:var(--ink);background:var(--page)}"
    "h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.25rem;margin:2.2rem 0 .6rem;"
    "border-bottom:1px solid var(--line);padding-bottom:.3rem}"
    "h3{font-size:1.02rem;margin:1.4rem 0 .5rem}p{max-width:52rem;margin:.5rem 0}"
    "nav a{margin-right:1rem}a{color:var(--ahead)}small,.soft{color:var(--soft)}"
    "code{font:13px ui-monospace,monospace}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(34rem,100%),1fr));"
    "gap:1rem}"
    "figure{margin:0;padding:.8rem 1rem;background:var(--card);border:1px solid var(--line);"
    "border-radius:8px;--page:var(--card);break-inside:avoid}"
    "figcaption{font-weight:600;margin-bottom:.3rem;overflow-wrap:anywhere}"
    "figcaption span{font-weight:400;color:var(--soft)}"
    "figure p{font-size:13px;margin:.1rem 0 .4rem;color:var(--soft)}"
    "svg{display:block;max-width:100%;height:auto}"
    ".table{overflow-x:auto}table{border-collapse:collapse;font-size:13.5px}"
    "th,td{padding:.22rem .7rem .22rem 0;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:600}"
    "th:first-child,td:first-child,.left{text-align:left}"
    "td.wrap{white-space:normal;text-align:left;min-width:18rem}"
    ".ahead{color:var(--ahead);fill:var(--ahead)}.behind{color:var(--behind);fill:var(--behind);"
    "font-weight:600}.level{color:var(--soft);fill:var(--line)}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.2rem;font-size:14px}"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}"
    "@media print{figure{border-color:#999}}"
)

_METRICS = {
    "ns_per_op": "nanoseconds per operation", "s": "seconds",
    "bytes_per_fiber": "bytes for each fiber, task or thread", "p50_us": "median latency, µs",
    "p99_us": "latency of 99 %, µs", "p999_us": "latency of 99.9 %, µs",
    "max_us": "longest latency, µs", "requests_per_s": "requests a second",
    "cpu_us_per_request": "CPU time for each request, µs",
    "pss_bytes": "resident memory (Pss), bytes",
    "mb_per_s": "megabytes a second", "cpu_us_per_mb": "CPU time for each megabyte, µs",
}


# Parameters that differ by more than so many times stand on a logarithmic axis.
_LOG_RANGE = 30

# The others are in the plots of percentiles.
_CURVES_OF_LATENCY = ("p99_us",)


@dataclass
class Report:
    rows: list
    facts: list  # (name, value) of the machine and the run
    command: str = ""
    calls: int = 1  # of the command, whose rows were put together
    skipped: list = field(default_factory=list)  # peers that are not built here
    failures: list = field(default_factory=list)
    reasons: list = field(default_factory=list)  # sections.read_reasons()
    questions: dict = field(default_factory=dict)  # questions.read()


def metric_text(metric):
    return _METRICS.get(metric, metric.replace("_", " "))


def table(header, lines, left=1):
    """Cells are HTML already; the first `left` columns are aligned to the left."""
    def cells(line, tag):
        return "".join(f'<{tag} class="left">{cell}</{tag}>' if number < left else
                       cell if cell.startswith(("<td", "<th")) else f"<{tag}>{cell}</{tag}>"
                       for number, cell in enumerate(line))
    body = "\n".join(f"<tr>{cells(line, 'td')}</tr>" for line in lines)
    return (f'<div class="table"><table><thead><tr>{cells(header, "th")}</tr></thead>\n'
            f"<tbody>{body}</tbody></table></div>")


def value_text(row):
    low, high = results.interval(row)
    mark = "*" if "disturbed" in row else ""
    text = results.format_number(row["median"]) + mark
    if row["n"] < 2:
        return text
    return (f"{text} <small>({results.format_number(low)} – "
            f"{results.format_number(high)})</small>")


def advantage_text(ours, theirs):
    value = sections.advantage(ours, theirs)
    if value is None:
        return "-"
    return f"{value:,.0f}×" if value >= 100 else f"{results.format_ratio(value)}×"


def verdict_cell(ours, theirs):
    verdict = results.verdict(ours, theirs)
    if not verdict:
        return "<td>-</td>"
    return (f'<td class="{results.plain(verdict)}">{advantage_text(ours, theirs)} '
            f"{escape(verdict)}</td>")


def summary(report):
    counts = sections.count_verdicts(report.rows)
    if not counts:
        return "<p>No peer was measured in this run.</p>"
    lines = [[escape(peer), chart.verdict_bar(count), *(str(part) for part in count),
              str(sections.count_disturbed(report.rows, peer))]
             for peer, count in counts.items()]
    return table(["peer", "", "weft ahead", "level", "weft behind", "doubtful",
                  "disturbed of these"], lines)


def not_first(report):
    found = sections.not_first(report.rows)
    if not found:
        return "<p>In no row of this run.</p>"
    lines = []
    note = f"<p>{escape(sections.FLOOR_NOTE)}</p>\n"
    for ours, theirs, verdict in found:
        why = sections.reason(report.reasons, theirs)
        why = escape(why) if why else '<span class="soft">not explained yet</span>'
        number = results.format_number
        best = f"{escape(theirs['impl'])} {number(theirs['median'])}"
        lines.append([f"<code>{escape(ours['bench'])}</code>", escape(ours["metric"]),
                      number(ours["median"]), best,
                      f'<td class="{results.plain(verdict)}">{advantage_text(ours, theirs)} '
                      f"{verdict}</td>",
                      f'<td class="wrap">{why}</td>'])
    return note + table(["benchmark", "metric", "weft", "best peer", "weft against it",
                         '<th class="left">why</th>'], lines, 2)


def ratios(report):
    """weft against every peer, a table for each module."""
    modules = {}
    for row in report.rows:
        modules.setdefault(sections.module(row), []).append(row)
    out = []
    for name, rows in modules.items():
        lines, peers = ratio_lines(rows)
        if lines:
            header = ["benchmark", "metric", "weft", *(escape(peer) for peer in peers)]
            out.append(f"<h3>{escape(name)}</h3>{table(header, lines, 2)}")
    return "\n".join(out)


def ratio_lines(rows):
    """(lines, peers): a line for each benchmark and metric that has a peer."""
    peers = list(sections.count_verdicts(rows))
    lines = []
    for (bench, metric), group in sections.groups(rows).items():
        by_impl = {row["impl"]: row for row in group}
        ours = by_impl.get("weft")
        if ours is None or len(by_impl) < 2:
            continue
        cells = [verdict_cell(ours, by_impl[peer]) if peer in by_impl else "<td></td>"
                 for peer in peers]
        lines.append([f"<code>{escape(bench)}</code>", escape(metric), value_text(ours), *cells])
    return lines, peers


def figure(title, note, picture, text=""):
    text = f"<p>{escape(text)}</p>" if text else ""
    return (f"<figure><figcaption>{escape(title)} <span>{escape(note)}</span></figcaption>"
            f"{text}{picture}</figure>")


def grid(figures):
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def scaling(report):
    figures = []
    for (family, _, metric), lines in sections.families(report.rows, "workers").items():
        series = sections.speeds(lines)
        counts = sorted({x for line in series.values() for x, *_ in line})
        if "weft" not in series or len(counts) < 2:
            continue
        first = series["weft"][0][0]
        picture = chart.curves(
            family, series, [(count, str(count)) for count in counts], "workers",
            y_log=False,
            ideal=[(first, 1), (counts[-1], counts[-1] / first)])
        figures.append(figure(family, "speed, that of weft on its fewest workers = 1", picture))
    return grid(figures)


def curves_by_parameter(report):
    figures = []
    families = sections.families(report.rows, not_wanted=("workers",), least=3)
    for (family, name, metric), lines in families.items():
        series = {impl: [(x, row["median"], *results.interval(row)) for x, row in line
                         if row["median"] > 0 and row["min"] > 0]
                  for impl, line in lines.items()}
        series = {impl: line for impl, line in series.items() if line}
        if metric.endswith("_us") and metric not in _CURVES_OF_LATENCY:
            continue
        places = sorted({x for line in series.values() for x, *_ in line})
        if len(places) < 3:
            continue
        picture = chart.curves(family, series, [(x, f"{x:,}") for x in places], name,
                               x_log=places[0] > 0 and places[-1] / places[0] > _LOG_RANGE)
        figures.append(figure(family, metric_text(metric), picture))
    return grid(figures)


def percentiles(report):
    marks = [(place, text) for _, place, text in sections.PERCENTILES]
    figures = []
    for bench, lines in sections.percentile_groups(report.rows).items():
        seen = {x for line in lines.values() for x, *_ in line}
        picture = chart.curves(bench, lines, [mark for mark in marks if mark[0] in seen],
                               "share of the requests that took no longer")
        figures.append(figure(bench, "latency, µs", picture))
    return grid(figures)


def memory(report):
    shown = [(bench, metric, group) for (bench, metric), group
             in sections.groups(report.rows).items() if metric in ("bytes_per_fiber", "pss_bytes")]
    return grid([figure(bench, metric_text(metric), chart.bars(group))
                 for bench, metric, group in shown])


def all_bars(report):
    modules = {}
    for (bench, metric), group in sections.groups(report.rows).items():
        modules.setdefault(sections.module(group[0]), []).append((bench, metric, group))
    out = []
    for name, shown in modules.items():
        out.append(f'<h3 id="module-{escape(name)}">{escape(name)}</h3>')
        figures = []
        for bench, metric, group in shown:
            note = f"{metric_text(metric)}, {group[0]['better']} is better"
            figures.append(figure(bench, note, chart.bars(group),
                                  questions.find(report.questions, bench)))
        out.append(grid(figures))
    return "\n".join(out)


def raw_table(report):
    lines = []
    for row in report.rows:
        low, high = results.interval(row)
        disturbed = ""
        if "disturbed" in row:
            disturbed = f"{row['disturbed']:.0%} {', '.join(row.get('causes', []))}".strip()
        rss = row.get("peak_rss_bytes")
        lines.append([
            f"<code>{escape(row['bench'])}</code>", escape(row["impl"]), escape(row["metric"]),
            *(results.format_number(value) for value in (row["median"], low, high, row["min"],
                                                         row["max"])),
            str(row["n"]), str(row.get("outliers", "")),
            f"{row['cpus']:.2f}" if "cpus" in row else "",
            f"{rss / 1e6:,.1f}" if rss else "", escape(disturbed)])
    header = ["benchmark", "impl", "metric", "median", "low", "high", "min", "max", "n",
              "outliers", "CPUs", "peak MB", "disturbed"]
    return table(header, lines, 3)


_METHOD = """
<p>All implementations of a benchmark run in turn, in each of several rounds, each in a process of
its own on the same CPUs; each verifies its result. A bar is the median over the processes, each of
which gives the median of its samples. The thick mark on it encloses the true median with 95 %
confidence (order statistics; of fewer than six processes it is the range of all), the thin line
goes from the smallest to the largest sample. A bar that is cut off is more than twelve times the
shortest.</p>
<p>A number like 3.0× says how many times as good weft is: a third of the time or of the memory, or
three times the throughput. weft is <b>level</b> with a peer where the intervals of the two overlap
or the medians differ by less than 2 %; else it is <b>ahead</b> or <b>behind</b>. A question mark
says that one of the two has fewer than three processes, from which no interval can be had, or fewer
than the other, as where some failed. A star says that one of the two was disturbed. Compare within
one report only.</p>
<p>Where half of the processes or more were disturbed, the figure has a star; the last table says by
what: a busy sibling of the core, time stolen by
the hypervisor, or other programs on the same CPUs. “CPUs” is CPU time over wall time of the
processes, and “peak MB” their resident memory, calibration and load generators included.</p>
"""


def environment(report):
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
                    for name, value in report.facts)
    notes = [f"skipped: {', '.join(report.skipped)}"] if report.skipped else []
    notes += [f"FAILED: {failure}" for failure in report.failures]
    notes = "".join(f'<p class="behind">{escape(note)}</p>' for note in notes)
    command = f"<p>Repeat it: <code>{escape(report.command)}</code></p>" if report.command else ""
    return f"<dl>{pairs}</dl>{notes}{command}"


def disturbed_note(report):
    text = sections.disturbed_text(report.rows)
    return f'<p class="behind">{escape(text)}</p>' if text else ""


_SECTIONS = (
    ("summary", "weft beside each peer", summary),
    ("not-first", "Where weft is not first", not_first),
    ("environment", "What was measured, and where", environment),
    ("method", "How to read it", lambda report: _METHOD),
    ("ratios", "All ratios", ratios),
    ("scaling", "Scaling by workers", scaling),
    ("parameters", "By size and number", curves_by_parameter),
    ("latency", "Latency", percentiles),
    ("memory", "Memory", memory),
    ("bars", "All results", all_bars),
    ("figures", "All figures", raw_table),
)


def render(report):
    parts = [(name, title, make(report)) for name, title, make in _SECTIONS]
    parts = [part for part in parts if part[2]]
    links = "".join(f'<a href="#{name}">{escape(title)}</a> ' for name, title, _ in parts)
    body = "\n".join(f'<section id="{name}"><h2>{escape(title)}</h2>\n{text}</section>'
                     for name, title, text in parts)
    style = re.sub(r"\s+", " ", theme.style() + _STYLE)
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
            '<meta name="viewport" content="width=device-width,initial-scale=1"/>'
            f"<title>weft benchmarks</title><style>{style}</style></head>\n"
            f"<body><h1>weft benchmarks</h1>{disturbed_note(report)}<nav>{links}</nav>\n"
            f"{body}\n</body></html>\n")
