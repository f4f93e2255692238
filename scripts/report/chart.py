# SPDX-License-Identifier: MIT
"""Charts as SVG, written by hand: a report needs nothing but Python, and one style sheet gives all
of them their colours by day and by night."""

import math
from html import escape

import theme
from results import format_number, interval

WIDTH = 560
_LABEL = 132
_VALUE = 118
_BAR = 16
_GAP = 6
# A bar more than so many times as long as the shortest is cut off: else nothing could be read of
# the short ones.
_LONGEST = 12


def order(rows):
    return sorted(rows, key=lambda row: theme.rank(row["impl"]))


def _bar_lines(row, y, scale, end):
    """One implementation's bar, the interval of its median, the range of its samples, its value."""
    middle = y + _BAR / 2
    left = _LABEL
    length = min(max(row["median"] * scale, 1), end)
    low, high = (min(value * scale, end) for value in interval(row))
    first, last = (min(row[field] * scale, end) for field in ("min", "max"))
    value = format_number(row["median"]) + (" *" if "disturbed" in row else "")
    # Zero-length ranges of single samples are left out.
    out = [f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">{escape(row["impl"])}</text>',
           f'<rect class="bar {theme.css_class(row["impl"])}" x="{left}" y="{y}" '
           f'width="{length:.1f}" height="{_BAR}"/>']
    if row["median"] * scale > end:
        x = left + end - 14
        out.append(f'<path class="cut" d="M{x:.1f} {y + _BAR + 2} l8 {-_BAR - 4}"/>')
    elif row["n"] > 1:
        out.append(f'<path class="range" d="M{left + first:.1f} {middle} H{left + last:.1f}"/>')
        out.append(f'<path class="whisker" d="M{left + low:.1f} {middle - 5} v10 m0 -5 '
                   f'H{left + high:.1f} m0 -5 v10"/>')
    x = left + max(length, last if row["median"] * scale <= end else 0) + 8
    out.append(f'<text x="{x:.1f}" y="{middle + 4}">{escape(value)}'
               f'<tspan class="soft"> n={row["n"]}</tspan></text>')
    return out


def _bars(rows, top):
    """(lines, where the next may begin) of the bars of one benchmark and metric."""
    rows = order(rows)
    largest = max(row["max"] for row in rows) or 1
    if rows[0]["better"] == "lower":
        smallest = min((row["median"] for row in rows if row["median"] > 0), default=largest)
        largest = min(largest, _LONGEST * smallest)
    end = WIDTH - _LABEL - _VALUE
    out = []
    for row in rows:
        out += _bar_lines(row, top, end / largest, end)
        top += _BAR + _GAP
    return out, top


def bars(rows):
    """One benchmark and metric, for a page that has the style sheet."""
    body, height = _bars(rows, 4)
    return _picture(WIDTH, height, body, f"{rows[0]['bench']} {rows[0]['metric']}")


def bar_charts(rows):
    """A document of its own with a group of bars for each benchmark and metric."""
    groups = {}
    for row in rows:
        groups.setdefault((row["bench"], row["metric"]), []).append(row)
    body = []
    top = 10
    for (bench, metric), group in groups.items():
        title = f"{bench}: {metric} ({group[0]['better']} is better)"
        body.append(f'<text class="head" x="4" y="{top + 14}">{escape(title)}</text>')
        part, top = _bars(group, top + 26)
        body += part
        top += 2 * _GAP
    page = f'<rect class="page" x="0" y="0" width="{WIDTH}" height="{top}"/>'
    style = f"<style>{theme.style()}</style>"
    return _picture(WIDTH, top, [style, page] + body, "weft benchmarks") + "\n"


def standalone(picture):
    """A picture for a page without the style sheet."""
    page = '<rect class="page" x="0" y="0" width="100%" height="100%"/>'
    head, mark, rest = picture.partition("</title>")
    return f"{head}{mark}<style>{theme.style()}</style>{page}{rest}\n"


def _picture(width, height, body, title):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img"><title>{escape(title)}</title>\n'
            + "\n".join(body) + "\n</svg>")


class Axis:
    """From values to places, linear or logarithmic, with marks at round values."""

    def __init__(self, values, first, last, is_log, from_zero=False):
        low, high = min(values), max(values)
        self.is_log = is_log and low > 0
        if self.is_log:
            low, high = low / 1.15, high * 1.15
        else:
            low, high = (0 if from_zero else low), high * 1.05 if from_zero else high
        self.low, self.high = low, high if high > low else low + 1
        self.first, self.last = first, last

    def place(self, value):
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.first + (self.last - self.first) * (value - low) / (high - low)

    def marks(self):
        if not self.is_log:
            step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
            step = next(step * factor for factor in (1, 2, 5, 10)
                        if (self.high - self.low) / (step * factor) <= 6)
            start = math.ceil(self.low / step)
            return [step * number for number in range(start, math.floor(self.high / step) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1,) if self.high / self.low > 300 else (1, 2, 5)
        found = [factor * 10.0 ** decade for decade in decades for factor in factors]
        return [mark for mark in found if self.low <= mark <= self.high]


def _mark_text(value):
    return format_number(value).rstrip("0").rstrip(".") if value < 1000 else f"{value:,.0f}"


_PLOT = (72, 10, WIDTH - 130, 220)  # left, top, right, bottom


def curves(title, series, x_marks, x_label, y_log=True, x_log=False, ideal=None):
    """Lines through points: `series` is {impl: [(x, y, low, high)]}, `x_marks` [(x, text)], `ideal`
    the points of a dashed line that is not one of them."""
    left, top, right, bottom = _PLOT
    points = [point for line in series.values() for point in line]
    x_axis = Axis([x for x, _ in x_marks], left, right, x_log)
    values = [value for point in points for value in point[1:]] + [y for _, y in ideal or []]
    y_axis = Axis(values, bottom, top, y_log, from_zero=not y_log)
    out = []
    for mark in y_axis.marks():
        y = y_axis.place(mark)
        out.append(f'<path class="grid" d="M{left} {y:.1f} H{right}"/>')
        out.append(f'<text class="soft" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
                   f'{_mark_text(mark)}</text>')
    for x, text in x_marks:
        out.append(f'<path class="axis" d="M{x_axis.place(x):.1f} {bottom} v4"/>')
        out.append(f'<text class="soft" x="{x_axis.place(x):.1f}" y="{bottom + 18}" '
                   f'text-anchor="middle">{escape(text)}</text>')
    out.append(f'<path class="axis" d="M{left} {bottom} H{right}"/>')
    if ideal:
        out.append(_path("ideal", [(x_axis.place(x), y_axis.place(y)) for x, y in ideal]))
    ends = []
    for impl in sorted(series, key=theme.rank):
        line = [(x_axis.place(x), y_axis.place(y)) for x, y, _, _ in series[impl]]
        out.append(_path(f"curve {theme.css_class(impl)}", line))
        for (x, y), (_, _, low, high) in zip(line, series[impl]):
            out.append(f'<path class="range" d="M{x:.1f} {y_axis.place(low):.1f} '
                       f'V{y_axis.place(high):.1f}"/>')
            out.append(f'<circle class="{theme.css_class(impl)}" cx="{x:.1f}" cy="{y:.1f}" '
                       'r="3"/>')
        ends.append([line[-1][1], impl, line[-1][0]])
    out += _names(ends, right)
    out.append(f'<text class="soft" x="{(left + right) / 2}" y="{bottom + 36}" '
               f'text-anchor="middle">{escape(x_label)}</text>')
    return _picture(WIDTH, bottom + 44, out, title)


def _path(css, line):
    text = " L".join(f"{x:.1f} {y:.1f}" for x, y in line)
    return f'<path class="{css}" fill="none" d="M{text}"/>'


def _names(ends, right):
    """The lines' names at their ends, moved apart where they would overlap."""
    out = []
    previous = -100.0
    for y, impl, x in sorted(ends):
        place = max(y, previous + 14)
        previous = place
        out.append(f'<path class="grid" d="M{x + 5:.1f} {y:.1f} L{right + 14} {place:.1f}"/>')
        out.append(f'<circle class="{theme.css_class(impl)}" cx="{right + 18}" cy="{place:.1f}" '
                   'r="4"/>')
        out.append(f'<text x="{right + 26}" y="{place + 4:.1f}">{escape(impl)}</text>')
    return out


def verdict_bar(counts):
    """Ahead, level and behind as parts of one bar, and what is left of it for the doubtful."""
    total = sum(counts) or 1
    x = 0.0
    out = []
    for css, count in zip(("ahead", "level", "behind"), counts):
        width = 260 * count / total
        out.append(f'<rect class="{css}" x="{x:.1f}" y="1" width="{width:.1f}" height="12"/>')
        x += width
    return _picture(260, 14, out, "ahead {}, level {}, behind {}, doubtful {}".format(*counts))
