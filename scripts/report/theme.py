# SPDX-License-Identifier: MIT
"""Colours and type of charts and reports, light and dark; without a script in the reader."""

# Each implementation keeps its colour in every chart: (light, dark).  Neighbours in this list
# differ in brightness too, for readers who do not tell these hues apart.
_COLOURS = {
    "weft": ("#0f766e", "#2dd4bf"),
    "go": ("#b45309", "#fbbf24"),
    "tokio": ("#6d28d9", "#a78bfa"),
    "pthread": ("#64748b", "#94a3b8"),
    "tbb": ("#0369a1", "#38bdf8"),
    "openmp": ("#be123c", "#fb7185"),
    "boost-fiber": ("#4d7c0f", "#a3e635"),
    "cpp20": ("#0e7490", "#22d3ee"),
    "rayon": ("#9333ea", "#d8b4fe"),
    "may": ("#be185d", "#f9a8d4"),
    "compio": ("#4338ca", "#818cf8"),
    "libuv": ("#a16207", "#fde047"),
    "python": ("#1d4ed8", "#60a5fa"),
    "nginx": ("#15803d", "#4ade80"),
    "h2o": ("#0891b2", "#67e8f9"),
    "uring-floor": ("#374151", "#d1d5db"),
    "uring-loop": ("#1e3a8a", "#93c5fd"),
    "epoll-floor": ("#9ca3af", "#6b7280"),
    "thread-per-connection": ("#475569", "#cbd5e1"),
    "thread-per-request": ("#7c2d12", "#fdba74"),
    "thread-pool": ("#4d7c0f", "#bef264"),
}
_OTHERS = (("#155e75", "#67e8f9"), ("#86198f", "#f0abfc"), ("#3f6212", "#bef264"))

_LIGHT = {"page": "#ffffff", "card": "#f8fafc", "ink": "#111827", "soft": "#4b5563",
          "line": "#d1d5db", "ahead": "#0f766e", "behind": "#b91c1c"}
_DARK = {"page": "#0f141a", "card": "#171e27", "ink": "#e5e7eb", "soft": "#9ca3af",
         "line": "#374151", "ahead": "#2dd4bf", "behind": "#f87171"}


def rank(impl):
    """weft first, then the order of the colours, then by name."""
    known = list(_COLOURS)
    return (known.index(impl) if impl in known else len(known), impl)


def css_class(impl):
    """The class that carries the implementation's colour; unknown ones share a few."""
    known = list(_COLOURS)
    if impl in known:
        return f"i{known.index(impl)}"
    return f"i{len(known) + sum(impl.encode()) % len(_OTHERS)}"


def _variables(tones, tone):
    pairs = [f"--{name}:{value}" for name, value in tones.items()]
    colours = list(_COLOURS.values()) + list(_OTHERS)
    pairs += [f"--i{number}:{colour[tone]}" for number, colour in enumerate(colours)]
    return ";".join(pairs)


def style():
    """What charts need, whether they stand alone or in a page."""
    classes = "".join(f".i{number}{{fill:var(--i{number});stroke:var(--i{number})}}"
                      for number in range(len(_COLOURS) + len(_OTHERS)))
    return (f":root{{color-scheme:light dark;{_variables(_LIGHT, 0)}}}"
            f"@media (prefers-color-scheme:dark){{:root{{{_variables(_DARK, 1)}}}}}"
            f"{classes}"
            "svg text{font:12px system-ui,sans-serif;fill:var(--ink);stroke:none}"
            "svg .soft{fill:var(--soft)}svg .head{font-weight:600;font-size:14px}"
            "svg .grid{stroke:var(--line);stroke-width:1;fill:none}"
            "svg .axis{stroke:var(--soft);stroke-width:1;fill:none}"
            "svg .whisker{stroke:var(--ink);stroke-width:1.5;fill:none}"
            "svg .range{stroke:var(--ink);stroke-width:1;opacity:.45;fill:none}"
            "svg .cut{stroke:var(--page);stroke-width:3;fill:none}"
            "svg .curve{fill:none;stroke-width:2}svg .ideal{stroke:var(--soft);"
            "stroke-dasharray:4 4;fill:none}svg .page{fill:var(--page)}svg .bar{stroke:none}")
