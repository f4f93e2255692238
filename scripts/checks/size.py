#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No function over 60 lines, no file over 500, no line over 100 columns; and no port to a processor
over 200 lines of code."""
import collections
import re
import sys

import source

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
COLUMNS_MAX = 100
PORT_LINES_MAX = 200


def check_text(name, text):
    problems = []
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        problems.append(f"{name}: {len(lines)} lines, at most {FILE_LINES_MAX}")
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > COLUMNS_MAX:
            problems.append(f"{name}:{number}: {len(line)} columns, at most {COLUMNS_MAX}")
    if name.endswith((".c", ".h", ".cpp")):
        for function in source.functions(text):
            length = function.last - function.first + 1
            if length > FUNCTION_LINES_MAX:
                problems.append(f"{name}:{function.first}: {function.name} has {length} lines, "
                                f"at most {FUNCTION_LINES_MAX}")
    return problems


def check_ports(texts):
    """`texts` of the files under arch/, by their names."""
    lines = collections.Counter()
    for name, text in texts.items():
        port = re.match(r"arch/(\w+)/context", name)
        if port:
            code = source.blank(text, keep_strings=True)
            lines[port.group(1)] += sum(bool(line.strip()) for line in code.splitlines())
    return [f"arch/{port}: {count} lines of code, at most {PORT_LINES_MAX}"
            for port, count in lines.items() if count > PORT_LINES_MAX]


def main():
    problems = check_ports({name: source.read(name)
                            for name in source.files(".c", ".h", ".S", under=("arch",))})
    for name in source.files(".c", ".h", ".S", ".cpp", ".py", ".sh", ".cmake", "CMakeLists.txt"):
        problems += check_text(name, source.read(name))
    return source.finish(problems)


if __name__ == "__main__":
    sys.exit(main())
