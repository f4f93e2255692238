#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nothing unfinished is left in a file, and every source names its licence in its first lines."""
import re
import sys

import source

# Spelt in halves: this file is checked too.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK")) + r")\b")
LICENCE = "SPDX-License-" "Identifier: MIT"
LICENSED = (".c", ".h", ".S", ".cpp", ".py", ".sh", ".cmake", ".map", "CMakeLists.txt")


def check_text(name, text):
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        match = UNFINISHED.search(line)
        if match:
            problems.append(f"{name}:{number}: {match.group()}: finish it, or write it down in "
                            "docs/limits.md")
    if name.endswith(LICENSED) and LICENCE not in "\n".join(text.splitlines()[:3]):
        problems.append(f"{name}: no line '{LICENCE}' among the first three")
    return problems


def main():
    problems = []
    for name in source.files(*LICENSED, ".md", ".json", ".in", "scripts/check", ".ci/run"):
        problems += check_text(name, source.read(name))
    return source.finish(problems)


if __name__ == "__main__":
    sys.exit(main())
