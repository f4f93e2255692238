#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-format has nothing to change in any C file; with --write it changes them."""
import shutil
import subprocess
import sys

import source


def main():
    # The version that .clang-format was written with comes first: others differ in details.
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not tool:
        print("clang-format is not installed; scripts/setup.sh --check installs it")
        return 1
    names = source.files(".c", ".h", ".cpp")
    if sys.argv[1:] == ["--write"]:
        return subprocess.run([tool, "-i", *names], cwd=source.ROOT, check=False).returncode
    result = subprocess.run([tool, "--dry-run", "-Werror", "--ferror-limit=3", *names],
                            cwd=source.ROOT, capture_output=True, text=True, check=False)
    return source.finish([line for line in result.stderr.splitlines() if ": error: " in line])


if __name__ == "__main__":
    sys.exit(main())
