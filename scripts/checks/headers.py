#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each public header compiles alone, as C11, C17 and C++17, by every compiler that is there, and so
do programs that use macros of theirs."""
import shutil
import subprocess
import sys

import source

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]
LANGUAGES = [("c11", "c", ("gcc", "clang")), ("c17", "c", ("gcc", "clang")),
             ("c++17", "c++", ("g++", "clang++"))]


def compile_alone(compiler, standard, language, header, include):
    """Twice in one file: the include guard is tried with it.  Returns the compiler's complaint."""
    program = f"#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n"
    return complaint_about(program, compiler, standard, language, include)


def complaint_about(program, compiler, standard, language, include):
    result = subprocess.run(
        [compiler, f"-std={standard}", *WARNINGS, f"-I{include}", "-fsyntax-only", "-x", language,
         "-"], input=program, capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else result.stderr.rstrip()


def languages():
    for standard, language, compilers in LANGUAGES:
        for compiler in filter(shutil.which, compilers):
            yield compiler, standard, language


def main():
    problems = []
    tried = 0
    include = source.ROOT / "include"
    for name in source.files(".h", under=("include",)):
        header = name.removeprefix("include/")
        for compiler, standard, language in languages():
            complaint = compile_alone(compiler, standard, language, header, include)
            tried += 1
            if complaint:
                problems.append(f"{name} alone, {compiler} -std={standard}:\n{complaint}")
    for name in source.files(".c", under=("tests/headers/use",)):
        for compiler, standard, language in languages():
            complaint = complaint_about(source.read(name), compiler, standard, language, include)
            if complaint:
                problems.append(f"{name}, {compiler} -std={standard}:\n{complaint}")
    if not tried:
        problems.append("no public header, or no compiler, was found")
    return source.finish(problems)


if __name__ == "__main__":
    sys.exit(main())
