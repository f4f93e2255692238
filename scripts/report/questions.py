# SPDX-License-Identifier: MIT
"""The question of each benchmark, from the comment above it: one text for the source and the
report."""

import pathlib
import re

_COMMENT = re.compile(r"/\*\n \* ([a-z_]+/[a-z_]+)[^\n]*\n(.*?)\*/", re.DOTALL)
_QUESTION = re.compile(r"^ \* Question +(.*?)(?=^ \* [A-Z][a-z]+ {2}|\Z)", re.DOTALL | re.MULTILINE)


def read_text(text):
    """{module/scenario: question} of one source."""
    found = {}
    for name, comment in _COMMENT.findall(text):
        question = _QUESTION.search(comment)
        if question:
            lines = (line.lstrip(" *") for line in question.group(1).splitlines())
            found.setdefault(name, " ".join(line for line in lines if line).strip())
    return found


def read(folder):
    found = {}
    for path in sorted(pathlib.Path(folder).glob("**/*_bench.c")):
        for name, question in read_text(path.read_text(encoding="utf-8")).items():
            found.setdefault(name, question)
    return found


def find(found, bench):
    """The question of the benchmark's first two parts; empty if there is none."""
    return found.get("/".join(bench.split("/")[:2]), "")
