#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Public declarations carry their labels, and what the documents name exists."""
import posixpath
import re
import sys

import source

LABELS = ["Returns", "Deadline", "Context", "Switches", "Cancel", "Errors"]
REQUIRED = ["Returns", "Context", "Switches"]
LABEL = re.compile(rf"^\s*({'|'.join(LABELS)})\s{{2,}}\S|^\s*({'|'.join(LABELS)})\s+\S",
                   re.MULTILINE)
DECLARATION = re.compile(r"^WEFT_API\b[^;{]*?\b(\w+)\s*\(([^;{]*)\)\s*;", re.MULTILINE)

CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"\b(?:wf|weft|WF|WEFT)_\w+")
PATH = re.compile(r"^[\w.][\w.-]*(?:/[\w.-]+)+/?$")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CITATION = re.compile(r"\b(docs/[\w./-]+\.md)(#[\w-]+)?")
CASE = re.compile(r"^\w*(?:Test|TEST)\((?:[^,()]*\*[^,()]*,\s*)?(\w+),\s+(\w+)", re.MULTILINE)
LEFT_OUT = re.compile(r"^(\w+/\w+) # ", re.MULTILINE)
NO_PATH = ("build/",)  # made by a build, not kept in the repository
# Written by scripts/bench.sh --publish: what looks like paths there are names of benchmarks.
PUBLISHED = "docs/benchmarks.md"


def check_header(name, text):
    problems = []
    all_comments = {comment.last: comment for comment in source.comments(text)}
    code = source.blank(text)
    for match in DECLARATION.finditer(code):
        function, parameters = match.group(1), match.group(2)
        line = source.line_of(code, match.start())
        comment = all_comments.get(line - 1)
        if comment is None:
            problems.append(f"{name}:{line}: {function} has no comment right above it")
            continue
        labels = [first or second for first, second in LABEL.findall(comment.words)]
        wanted = list(REQUIRED)
        if re.search(r"\bdeadline\b", parameters):
            wanted.append("Deadline")
        if re.search(r"^\s*Switches\s+yes", comment.words, re.MULTILINE):
            wanted.append("Cancel")
        if "negative errno" in comment.words:
            wanted.append("Errors")
        problems += [f"{name}:{line}: {function} does not document {label}"
                     for label in LABELS if label in wanted and label not in labels]
        if labels != [label for label in LABELS if label in labels]:
            problems.append(f"{name}:{line}: the labels of {function} are repeated or not in the "
                            "order " + ", ".join(LABELS))
    return problems


def anchors(text):
    """The anchors that a Markdown file offers: its headings, in lower case with dashes."""
    found = set()
    for heading in re.findall(r"^#+\s+(.*?)\s*#*$", text, re.MULTILINE):
        found.add(re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.lower())))
    found.update(re.findall(r'<a\s+(?:id|name)="([^"]+)"', text))
    return found


def check_words(name, text, identifiers, exists):
    """Names and paths in backticks, outside code blocks; names inside them."""
    problems = []

    def complain(offset, message):
        problems.append(f"{name}:{source.line_of(text, offset)}: {message}")

    prose = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for match in CODE.finditer(prose):
        for word in NAME.findall(match.group(1)):
            if word not in identifiers and not word.endswith("_"):
                complain(match.start(), f"`{word}` exists nowhere")
        for word in match.group(1).split():
            path = re.sub(r"(?::\d+(?:-\d+)?|#[\w-]+)$", "", word.rstrip(",;"))
            if PATH.match(path) and not path.startswith(NO_PATH):
                top = path.split("/")[0]
                if exists(top) and not exists(path.rstrip("/")):
                    complain(match.start(), f"there is no `{path}`")
    for match in FENCE.finditer(text):
        for word in NAME.findall(match.group()):
            if word not in identifiers:
                complain(match.start(), f"the code block names {word}, which exists nowhere")
    return problems


def check_links(name, text, documents, exists):
    """Markdown links within the repository."""
    problems = []
    for match in LINK.finditer(FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)):
        target, _, anchor = match.group(1).partition("#")
        if re.match(r"\w+:", target):
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        path = path if target else name
        line = source.line_of(text, match.start())
        if not exists(path):
            problems.append(f"{name}:{line}: the link to {target} leads nowhere")
        elif anchor and path in documents and anchor not in anchors(documents[path]):
            problems.append(f"{name}:{line}: {path} has no heading #{anchor}")
    return problems


def check_citations(name, text, documents):
    """docs/file.md#heading in the comments of a source."""
    problems = []
    for match in CITATION.finditer(text):
        line = source.line_of(text, match.start())
        path, anchor = match.group(1), (match.group(2) or "#")[1:]
        if path not in documents:
            problems.append(f"{name}:{line}: there is no {path}")
        elif anchor and anchor not in anchors(documents[path]):
            problems.append(f"{name}:{line}: {path} has no heading #{anchor}")
    return problems


def check_left_out(name, text, cases):
    """Tests that an emulator leaves out, as tests/cross/runner.c reads them."""
    return [f"{name}:{source.line_of(text, match.start())}: there is no test {match.group(1)}"
            for match in LEFT_OUT.finditer(text) if match.group(1) not in cases]


def main():
    problems = []
    for name in source.files(".h", under=("include",)):
        problems += check_header(name, source.read(name))
    documents = {name: source.read(name) for name in source.files(".md")}
    identifiers = set()
    sources = [name for name in source.files("") if not name.endswith((".md", ".png", ".svg"))]
    for name in sources:
        try:
            identifiers.update(NAME.findall(source.read(name)))
        except UnicodeDecodeError:
            continue

    def exists(path):
        return (source.ROOT / path).exists()

    for name, text in documents.items():
        if name != PUBLISHED:
            problems += check_words(name, text, identifiers, exists)
        problems += check_links(name, text, documents, exists)
    cases = {"/".join(case) for name in source.files("_test.c", under=("tests",))
             for case in CASE.findall(source.read(name))}
    for name in source.files(".txt", under=("tests/cross",)):
        problems += check_left_out(name, source.read(name), cases)
    for name in source.files(".c", ".h", ".S", ".cpp", ".cmake"):
        problems += check_citations(name, source.read(name), documents)
    return source.finish(problems)


if __name__ == "__main__":
    sys.exit(main())
