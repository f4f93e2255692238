# SPDX-License-Identifier: MIT
"""Bar charts as SVG, written by hand so that a report needs nothing but Python."""

from html import escape

from results import format_number

_PALETTE = ("#0f766e", "#b45309", "#6d28d9", "#64748b", "#be123c", "#0369a1", "#4d7c0f", "#a16207")
_WIDTH = 860
_LABEL = 190
_VALUE = 150
_BAR = 18
_GAP = 6
_TITLE = 34


def _colour(impl, impls):
    return _PALETTE[impls.index(impl) % len(_PALETTE)]


def _group(rows, impls, top):
    """One benchmark and metric: a title, then a bar for each implementation.

    The thin line on a bar spans the smallest and the largest sample.
    """
    first = rows[0]
    largest = max(row["max"] for row in rows) or 1
    scale = (_WIDTH - _LABEL - _VALUE) / largest
    title = f"{first['bench']}: {first['metric']} ({first['better']} is better)"
    out = [f'<text x="0" y="{top + 18}" class="title">{escape(title)}</text>']
    y = top + _TITLE
    for row in rows:
        middle = y + _BAR / 2
        length = max(row["median"] * scale, 1)
        label = f'{format_number(row["median"])} (n={row["n"]})'
        end = _LABEL + row["max"] * scale
        out.append(f'<text x="{_LABEL - 8}" y="{middle + 4}" text-anchor="end">'
                   f'{escape(row["impl"])}</text>')
        out.append(f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" '
                   f'fill="{_colour(row["impl"], impls)}"/>')
        out.append(f'<line x1="{_LABEL + row["min"] * scale:.1f}" x2="{end:.1f}" '
                   f'y1="{middle}" y2="{middle}" stroke="#111827" stroke-width="1.5"/>')
        out.append(f'<text x="{max(end, _LABEL + length) + 8:.1f}" y="{middle + 4}">'
                   f'{escape(label)}</text>')
        y += _BAR + _GAP
    return out, y + 2 * _GAP


def bar_charts(rows):
    """An SVG document with a group of bars for each benchmark and metric."""
    impls = sorted({row["impl"] for row in rows}, key=lambda impl: (impl != "weft", impl))
    groups = {}
    for row in rows:
        groups.setdefault((row["bench"], row["metric"]), []).append(row)
    body = []
    top = 10
    for group in groups.values():
        part, top = _group(group, impls, top)
        body.extend(part)
    style = ("text{font:13px system-ui,sans-serif;fill:#111827}"
             ".title{font-weight:600;font-size:14px}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {_WIDTH + 20} {top + 10}" '
            f'width="{_WIDTH + 20}" height="{top + 10}">'
            f'<style>{style}</style>'
            f'<rect x="-10" y="0" width="{_WIDTH + 20}" height="{top + 10}" fill="#ffffff"/>\n'
            + "\n".join(body) + "\n</svg>\n")


def html_report(title, rows, table, facts):
    """One file with everything in it: the machine, the charts, the table."""
    items = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in facts)
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<title>{escape(title)}</title><style>'
            'body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:56rem;'
            'padding:0 1rem;color:#111827}pre{overflow-x:auto;font-size:12px}svg{max-width:100%;'
            'height:auto}</style></head>\n'
            f'<body><h1>{escape(title)}</h1><ul>{items}</ul>\n'
            '<p>Bars are medians over all samples; the thin line spans the smallest and the '
            'largest.  Compare within one report only.</p>\n'
            f'{bar_charts(rows)}<pre>{escape(table)}</pre></body></html>\n')
