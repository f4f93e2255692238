#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every shell script parses; shellcheck looks at it too where it is installed."""
import re
import shutil
import subprocess
import sys

import source

SHEBANG = re.compile(r"^#!\s*(?:/usr)?/bin/(?:env\s+)?(sh|bash)\b")


def shell_of(text):
    match = SHEBANG.match(text)
    return match.group(1) if match else None


def run(command, path):
    result = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    return [] if result.returncode == 0 else [(result.stdout + result.stderr).rstrip()]


def main():
    problems = []
    for name in source.files(""):
        path = source.ROOT / name
        with path.open("rb") as stream:
            shell = shell_of(stream.readline().decode("utf-8", "replace"))
        if shell:
            problems += run(["bash", "-n"], path)
            # dash is what /bin/sh is on Debian: it refuses what only bash knows.
            if shell == "sh" and shutil.which("dash"):
                problems += run(["dash", "-n"], path)
            if shutil.which("shellcheck"):
                problems += run(["shellcheck", "--severity=warning"], path)
            if not path.stat().st_mode & 0o100:
                problems.append(f"{name}: has a shebang but is not executable")
    return source.finish(problems)


if __name__ == "__main__":
    sys.exit(main())
