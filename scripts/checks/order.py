#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every atomic operation says why its memory order is enough.

usage: order.py [--write]

At each explicit atomic operation in arch/, runtime/, io/, sync/ and include/ stands a comment: on
its line, in its statement, or within three lines above it:

    /* PK.2 acquire: why this order, at this place */        /* relaxed: why none is needed */

PK.2 is an edge: a line of the table at the top of a file that says from where to where, and what
is promised.  An edge has two ends, so two places name it, one of which releases and one of which
acquires.  Other operations than explicit ones are refused.  In the public headers, which are C++
too, the operations are the compiler's: __atomic_load_n() and the like.  The tables make up
docs/memory-model.md; --write writes it, else it must be up to date.
"""
import re
import sys

import source

PUBLIC = "include"
FOLDERS = ("arch", "runtime", "io", "sync", PUBLIC)
DOCUMENT = "docs/memory-model.md"

EDGE = r"[A-Z][A-Z0-9]{1,3}\.\d+"
ORDERS = "relaxed|consume|acquire|release|acq_rel|seq_cst"
NOTE = re.compile(rf"(?<![\w.])((?:{EDGE}|{ORDERS})(?:(?:,? and |, | )(?:{EDGE}|{ORDERS}))*)"
                  r"( on failure)?: \S")
SITE = re.compile(r"\batomic_(?:load|store|exchange|compare_exchange_(?:strong|weak)|"
                  r"fetch_(?:add|sub|or|xor|and)|thread_fence|signal_fence|"
                  r"flag_(?:test_and_set|clear))(_explicit)?\s*\(")
BUILTIN = re.compile(r"\b__atomic_\w+\s*(\()")
ORDER_WORD = re.compile(rf"\b(?:memory_order_|__ATOMIC_)({ORDERS})\b", re.IGNORECASE)
TABLE_HEAD = re.compile(r"^\s*Edge\s{2,}From\s{2,}To\s{2,}Promises\s*$")
TABLE_ROW = re.compile(rf"^\s*({EDGE})\s{{2,}}(\S.*)$")
DECLARED = re.compile(r"\bWF_ATOMIC\((?:[^()]|\([^()]*\))*\)\s*(?:const\s+)?\*?\s*(\w+)")
PLAIN = re.compile(r"^\s*(?!return\b|else\b|goto\b|case\b|typedef\b)(?:[A-Za-z_]\w*[\s*]+)+"
                   r"(\w+)\s*(?:\[[^\]]*\]\s*)*[;=,]", re.MULTILINE)

RELEASING = {"release", "acq_rel", "seq_cst"}
ACQUIRING = {"acquire", "consume", "acq_rel", "seq_cst"}


class Note:
    """One `EDGE order: reason` out of a comment."""

    def __init__(self, edges, order, on_failure=False):
        self.edges, self.order, self.on_failure = edges, order, on_failure


class Edge:
    """One row of a table."""

    def __init__(self, name, file, line, cells):
        self.name, self.file, self.line, self.cells = name, file, line, cells
        self.ends = []  # (file, function, order)


class Model:
    """What was found in all files."""

    def __init__(self):
        self.edges = {}
        self.relaxed = {}
        self.problems = []


def notes_in(comment):
    """`A.1, A.2 release: ...` and `A.1 seq_cst, A.2: ...`: an order holds for the edges before it,
    the last one also for those after it, and for those that name none.  `on failure` speaks of the
    second order of a compare-and-swap."""
    notes = []
    for match in NOTE.finditer(" ".join(comment.words.split())):
        edges, found = [], []
        for item in re.findall(rf"{EDGE}|{ORDERS}", match.group(1)):
            if "." in item:
                edges.append(item)
            else:
                found.append(Note(edges, item, bool(match.group(2))))
                edges = []
        if found:
            found[-1].edges += edges
        elif notes:
            found.append(Note(edges, notes[-1].order, notes[-1].on_failure))
        notes += found
    return notes


def split_cells(line):
    """(column, text) of each piece between runs of two or more spaces."""
    return [(match.start(), match.group()) for match in re.finditer(r"\S+(?: \S+)*", line)]


def read_table(model, name, comment):
    columns = None
    row = None
    for number, line in enumerate(comment.words.split("\n")):
        if TABLE_HEAD.match(line):
            columns = [column for column, _ in split_cells(line)]
            continue
        if columns is None or not line.strip():
            columns = row = None
            continue
        cells = split_cells(line)
        if TABLE_ROW.match(line):
            at = comment.first + number
            row = Edge(cells[0][1], name, at, [text for _, text in cells[1:]])
            if len(row.cells) != 3:
                model.problems.append(f"{name}:{at}: edge {row.name} has {len(row.cells)} cells "
                                      "after its name, not 3 (two spaces part them)")
                row.cells = (row.cells + ["", "", ""])[:3]
            if row.name in model.edges:
                model.problems.append(f"{name}:{at}: edge {row.name} is in another table already")
            else:
                model.edges[row.name] = row
        elif row is not None:
            for column, text in cells:
                index = max(i for i, start in enumerate(columns) if i == 0 or start <= column + 1)
                row.cells[max(index - 1, 0)] += " " + text


def closing(code, opening):
    """The offset of the parenthesis that closes the one at `opening`."""
    depth = 0
    for offset in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[offset], 0)
        if depth == 0:
            return offset
    return len(code) - 1


def statement_start(code, offset):
    """Where the statement around `offset` begins; a semicolon within parentheses ends nothing."""
    depth = 0
    for here in range(offset - 1, -1, -1):
        char = code[here]
        depth += {")": 1, "(": -1}.get(char, 0)
        if char in "{}" or (char == ";" and depth >= 0):
            return here + 1
    return 0


def covering_notes(all_comments, code, start, end):
    """Notes that belong to the operation in code[start:end], the nearest comment first."""
    begin = statement_start(code, start)
    begin += len(code[begin:start]) - len(code[begin:start].lstrip())
    first, line = source.line_of(code, begin), source.line_of(code, start)
    last = source.line_of(code, end)
    # What trails after the operation on its last line belongs to it, too.
    near = [comment for comment in all_comments
            if min(first, line - 3) - 1 <= comment.last and first - 3 <= comment.last
            and comment.first <= last]
    near.sort(key=lambda comment: abs(line - comment.last))
    return [note for comment in near for note in notes_in(comment)]


def check_site(model, name, match, code, all_comments, found_functions):
    line = source.line_of(code, match.start())
    end = closing(code, match.end() - 1)
    if not match.group(1) and not match.group().startswith(
            ("atomic_thread_fence", "atomic_signal_fence")):
        model.problems.append(f"{name}:{line}: use the _explicit form, with an order")
        return
    orders = {word.lower() for word in ORDER_WORD.findall(code[match.start():end])}
    notes = covering_notes(all_comments, code, match.start(), end)
    if not notes:
        model.problems.append(f"{name}:{line}: no comment `EDGE order: reason` or "
                              "`relaxed: reason` at this operation")
        return
    explained = {note.order for note in notes}
    if {"acquire", "release"} <= explained:
        explained.add("acq_rel")
    if orders and not orders & explained:
        model.problems.append(f"{name}:{line}: the comment says {notes[0].order}, the code says "
                              + " and ".join(sorted(orders)))
        return
    # The nearest comment wins where two speak of the same order.
    fitting = [note for note in notes if not note.on_failure and
               (not orders or note.order in orders or "acq_rel" in orders & explained)]
    if not fitting or all(note.order == "relaxed" for note in fitting):
        strong = orders - {"relaxed"}
        if strong:
            model.problems.append(f"{name}:{line}: the comment explains relaxed, but not "
                                  + " and ".join(sorted(strong)))
        model.relaxed[name] = model.relaxed.get(name, 0) + 1
    elif not any(note.edges for note in fitting):
        model.problems.append(f"{name}:{line}: {fitting[0].order} names no edge")


def record_ends(model, name, all_comments, found_functions):
    for comment in all_comments:
        for note in notes_in(comment):
            where = source.function_at(found_functions, comment.last) or "a declaration"
            for edge in note.edges:
                if edge not in model.edges:
                    model.problems.append(f"{name}:{comment.first}: edge {edge} is in no table")
                elif note.order != "relaxed":
                    model.edges[edge].ends.append((name, where, note.order))


def check_bare(model, name, code, atomic_names):
    """Uses of an atomic member or variable as if it were a plain one."""
    for match in re.finditer(r"\b(?:_Atomic|__atomic_\w+|__sync_\w+)\b", code):
        model.problems.append(f"{name}:{source.line_of(code, match.start())}: {match.group()}: "
                              "write WF_ATOMIC(type) and C11 operations")
    for member in atomic_names:
        pattern = rf"(&\s*\(?\s*)?(?<![\w.>])\w+(?:(?:->|\.)\w+|\[[^\]]*\])*(?:->|\.){member}\b"
        for match in re.finditer(pattern, code):
            before = code[max(0, match.start() - 10):match.start()]
            if not match.group(1) and not re.search(r"sizeof\s*\(?\s*$", before):
                model.problems.append(f"{name}:{source.line_of(code, match.start())}: plain use of "
                                      f"the atomic {member}: take its address")
        for match in re.finditer(rf"(?<![\w.>]){member}\s*(?:\+\+|--|[-+|&^]=)", code):
            model.problems.append(f"{name}:{source.line_of(code, match.start())}: bare operator on "
                                  f"the atomic {member}")


def check_edges(model):
    for edge in model.edges.values():
        orders = [order for _, _, order in edge.ends]
        released = any(order in RELEASING for order in orders)
        acquired = any(order in ACQUIRING for order in orders)
        if len(orders) < 2 or not released or not acquired:
            model.problems.append(
                f"{edge.file}:{edge.line}: edge {edge.name} needs a place that releases and one "
                f"that acquires; it has {len(orders)}: " + ", ".join(orders))


def is_public(name):
    return name.startswith(PUBLIC + "/")


def analyse(texts):
    """The model of {file name: text}; everything is checked but the document."""
    model = Model()
    parsed = {name: (source.blank(text), source.comments(text), source.functions(text))
              for name, text in texts.items()}
    for name, (_, all_comments, _) in parsed.items():
        for comment in all_comments:
            read_table(model, name, comment)
    atomics, plain = set(), set()
    for name, (code, _, _) in parsed.items():
        if not is_public(name):
            atomics |= set(DECLARED.findall(code))
            plain |= set(PLAIN.findall(code))
    for name, (code, all_comments, found_functions) in parsed.items():
        for match in (BUILTIN if is_public(name) else SITE).finditer(code):
            check_site(model, name, match, code, all_comments, found_functions)
        record_ends(model, name, all_comments, found_functions)
        if name != "arch/atomic.h" and not is_public(name):
            # A name that some struct has for a plain member too is beyond what a script can tell.
            check_bare(model, name, code, sorted(atomics - plain))
    check_edges(model)
    return model


def document(model):
    lines = ["# Memory model", "",
             "Written by `scripts/checks/order.py --write` from the tables and the comments in the "
             "sources; change those.", "",
             "An **edge** orders two places in different threads: what happened before the first "
             "is visible after the second.", "Every atomic operation of the library names its edge "
             "or says why it is relaxed, and every edge has both ends.", ""]
    for file in sorted({edge.file for edge in model.edges.values()}):
        lines += [f"## {file}", "",
                  "| edge | from | to | promises | places |", "|---|---|---|---|---|"]
        for edge in (edge for edge in model.edges.values() if edge.file == file):
            ends = dict.fromkeys(f"`{where}` {order}" if where != "a declaration"
                                 else f"{at} {order}" for at, where, order in edge.ends)
            cells = [cell.replace("|", "\\|") for cell in edge.cells]
            lines.append(f"| {edge.name} | " + " | ".join(cells) + " | " + ", ".join(ends) + " |")
        lines.append("")
    lines += ["## Relaxed operations", "",
              "Each says at its place why it needs no order.", "",
              "| file | operations |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(model.relaxed.items())]
    return "\n".join(lines) + "\n"


def main():
    names = source.files(".c", ".h", under=FOLDERS)
    model = analyse({name: source.read(name) for name in names})
    path = source.ROOT / DOCUMENT
    if sys.argv[1:] == ["--write"]:
        path.parent.mkdir(exist_ok=True)
        path.write_text(document(model), encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != document(model):
        model.problems.append(f"{DOCUMENT} is not what the sources say; "
                              "scripts/checks/order.py --write writes it")
    return source.finish(model.problems)


if __name__ == "__main__":
    sys.exit(main())
