#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which folder may include what: arch < runtime < sync, io < everything that uses the library."""
import fnmatch
import posixpath
import re
import sys

import source

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)

PUBLIC = ["weft.h", "weft/*.h"]
# What every part of the runtime stands on; they know nothing of fibers.
BASICS = ["runtime/check.h", "runtime/list.h", "runtime/lock.h", "runtime/alloc.h"]
LEAVES = ["check", "list", "lock", "alloc", "deque", "ready", "inject", "slab", "stack", "park"]

# The first line that fits a file holds for it: what it may include of the project.  A file may
# always include the header of its own name, and headers of its own folder written without one.
LAYERS = [
    ("include/weft.h", ["weft/*.h"]),
    ("include/weft/select.h", ["weft/base.h", "weft/channel.h"]),
    ("include/weft/condition.h", ["weft/base.h", "weft/mutex.h"]),
    ("include/weft/mutex.h", ["weft/base.h", "weft/lock_checks.h"]),
    ("include/weft/rwlock.h", ["weft/base.h", "weft/lock_checks.h"]),
    ("include/weft/keyed_mutex.h", ["weft/base.h", "weft/key.h"]),
    ("include/weft/singleflight.h", ["weft/base.h", "weft/key.h"]),
    ("include/weft/pipeline.h", ["weft/base.h", "weft/channel.h", "weft/scope.h"]),
    ("include/weft/*", ["weft/base.h"]),
    ("arch/atomic.h", ["arch/*", "model_atomic.h"]),  # the model checker's, in tests/model/
    ("arch/*", ["arch/*"]),
    ("runtime/ready.h", ["runtime/deque.h"]),
    ("runtime/alloc.c", ["arch/*", "runtime/arena.h", "runtime/jemalloc.h", "runtime/process.h",
                         *BASICS]),
    ("runtime/arena.c", ["arch/*", "runtime/jemalloc.h", *BASICS]),
    ("runtime/slab.c", ["arch/*", "runtime/chunk.h", "runtime/stack.h", *BASICS]),
    ("runtime/chunk.h", ["runtime/stack.h"]),
    ("runtime/stack.h", ["arch/*", "runtime/slab.h", *BASICS]),
    *[(f"runtime/{leaf}.[ch]", ["arch/*", "weft/base.h", *BASICS]) for leaf in LEAVES],
    ("runtime/*", ["arch/*", "runtime/*", *PUBLIC]),
    ("sync/*", [*PUBLIC, "sync/*", "arch/*", "runtime/wait.h", "runtime/spawn.h",
                "runtime/readiness.h", *BASICS]),
    ("io/*", [*PUBLIC, "io/*", "arch/*", "runtime/wait.h", "runtime/poller.h", "runtime/stats.h",
              "runtime/readiness.h", "runtime/limits.h", "runtime/blocking.h", *BASICS]),
    ("tool/*", PUBLIC),
    ("cares/*", [*PUBLIC, "weft_cares.h"]),
    ("examples/*", PUBLIC),
    ("tests/install/*", PUBLIC),
    ("tests/unit/*", ["*"]),
    ("tests/unwind/*", ["*"]),
    ("tests/model/*", ["*"]),
    ("tests/instructions/paths.c", [*PUBLIC, "arch/context.h", "tests/instructions/*"]),
    ("tests/instructions/*", ["*"]),
    ("tests/fuzz/http_fuzz.c", ["*"]),
    ("tests/fuzz/wheel_fuzz.c", ["*"]),
    ("tests/examples/*", [*PUBLIC, "tests/support/*", "examples/*"]),
    ("tests/bench/*", [*PUBLIC, "tests/support/*", "harness/*"]),
    ("tests/cares/*", [*PUBLIC, "tests/support/*", "weft_cares.h"]),
    ("tests/*", [*PUBLIC, "tests/support/*", "tests/fault/*", "tests/sim/*"]),
    ("benchmarks/internal/*", ["*"]),
    ("benchmarks/http/*", PUBLIC),
    ("benchmarks/*", [*PUBLIC, "harness/*", "internal/*", "operations/*", "benchmarks/*"]),
]

# Headers that are replaced by changing one file, and the files of the library that see them.
FOREIGN = [
    ("hwloc.h", ["arch/topology.c"]),
    ("hwloc/*", ["arch/topology.c"]),
    ("liburing.h", ["io/ring.[ch]", "io/sim_ring.h"]),
    ("liburing/*", ["io/ring.[ch]"]),
    ("linux/io_uring.h", ["io/ring.[ch]"]),
    ("pthread.h", ["arch/linux/os.c", "include/weft/pthread_checks.h"]),
    ("jemalloc/*", []),
    ("sanitizer/*", ["arch/sanitizer.h"]),
    ("valgrind/*", ["arch/sanitizer.h"]),
    ("stdatomic.h", ["arch/atomic.h"]),
    ("threads.h", []),
]
LIBRARY = ("include/", "arch/", "runtime/", "sync/", "io/", "tool/")


def fits(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def check_project(name, header, known):
    """A complaint about one include of a project's header, or None.  `known` are all files."""
    folder = posixpath.dirname(name)
    beside = posixpath.normpath(posixpath.join(folder, header))
    if beside in known and (posixpath.dirname(header) == "" or beside.startswith(folder + "/")):
        # include/weft/ writes "base.h", so that the headers work from any place.
        allowed = next((allowed for pattern, allowed in LAYERS
                        if fnmatch.fnmatchcase(name, pattern)), [])
        if name.startswith("include/") and not fits(beside.removeprefix("include/"), allowed):
            return f"{name} may not include {header}"
        return None
    if posixpath.splitext(header)[0] == posixpath.splitext(name)[0]:
        return None
    if beside in known:
        header = beside
    elif name.startswith("tests/") and f"tests/support/{header}" in known:
        header = f"tests/support/{header}"
    for pattern, allowed in LAYERS:
        if fnmatch.fnmatchcase(name, pattern):
            return None if fits(header, allowed) else f"{name} may not include {header}"
    return f"{name} is in no layer: add its folder to scripts/checks/layers.py"


def check_file(name, text, known):
    problems = []
    for mark, header in INCLUDE.findall(source.blank(text, keep_strings=True)):
        in_project = header in known or f"include/{header}" in known
        if mark == '"' or in_project:
            problem = check_project(name, header, known)
            if problem:
                problems.append(problem)
        elif name.startswith(LIBRARY):
            for pattern, allowed in FOREIGN:
                if fnmatch.fnmatchcase(header, pattern) and not fits(name, allowed):
                    problems.append(f"{name} may not include <{header}>; only "
                                    + (", ".join(allowed) or "nobody") + " may")
    return problems


def main():
    names = source.files(".c", ".h", ".S", ".cpp")
    known = set(names)
    problems = []
    for name in names:
        problems += check_file(name, source.read(name), known)
    return source.finish(problems)


if __name__ == "__main__":
    sys.exit(main())
