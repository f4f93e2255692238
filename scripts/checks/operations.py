#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of docs/io.md has a row for each operation, and figures for what io/op measures."""
import re
import sys

import source
import symbols

DOCUMENT = "docs/io.md"
HEADERS = [f"include/weft/{name}.h"
           for name in ("io", "buffer", "file", "process", "splice", "resolve", "stream")]
LIST = "benchmarks/operations/operations.h"
MEASURED = re.compile(r"\beach\((\w+)\)")
CALL = re.compile(r"`(weft_\w+)`")
# A ratio and, in brackets, system calls: on io_uring, then on epoll.
FIGURES = re.compile(r"[\d.]+ \([\d.]+\); [\d.]+ \([\d.]+\)")


def table(text):
    """[(line number, cells)] of the table whose first column is 'call', its header first."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("| call |") or (rows and line.startswith("|")):
            rows.append((number, [cell.strip() for cell in line.strip("|").split(" | ")]))
        elif rows:
            break
    return [row for row in rows if not set("".join(row[1])) <= set("-|")]


def check_row(names, cells, measured):
    """What is wrong with a row's figures; None if nothing is."""
    figures = [bool(FIGURES.fullmatch(cell)) for cell in cells]
    if not measured.intersection(names):
        return "has figures, but nothing measures it" if any(figures) else None
    if len(names) > 1:
        return "is measured, and needs a row of its own"
    return None if figures[-2] else "has no figures, though io/op measures it"


def check_table(text, wanted, measured):
    rows = table(text)
    if not rows:
        return [f"{DOCUMENT}: there is no table of calls"]
    problems = []
    seen = []
    width = len(rows[0][1])
    for number, cells in rows[1:]:
        names = CALL.findall(cells[0])
        seen += names
        if len(cells) != width or not all(cells):
            problems.append(f"{DOCUMENT}:{number}: {len(cells)} cells of {width}, or an empty one")
            continue
        complaint = check_row(names, cells, measured)
        if complaint:
            problems.append(f"{DOCUMENT}:{number}: {cells[0]} {complaint}")
    problems += [f"{DOCUMENT}: no row for {name}" for name in sorted(wanted - set(seen))]
    problems += [f"{DOCUMENT}: {name} is measured and has no row"
                 for name in sorted(measured - set(seen))]
    problems += [f"{DOCUMENT}: {name} has several rows"
                 for name in sorted(set(seen)) if seen.count(name) > 1]
    return problems


def main():
    wanted = symbols.declared(source.read(name) for name in HEADERS)
    measured = {f"weft_{name}" for name in MEASURED.findall(source.read(LIST))}
    if not measured:
        return source.finish([f"{LIST} lists nothing"])
    return source.finish(check_table(source.read(DOCUMENT), wanted, measured))


if __name__ == "__main__":
    sys.exit(main())
