#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Verifies park.pml with spin, and checks that it finds the mistakes planted in it."""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import time

MODEL = pathlib.Path(__file__).resolve().with_name("park.pml")

SAFETY = ["-DSAFETY", "-DNOFAIR"]

# Name, definitions of the model, flags of the verifier's compilation.
SOUND = [
    ("two workers, everything", [], SAFETY),
    ("three workers, spawn", ["WORKERS=3", "FOREIGN=0", "COMPLETIONS=0"], SAFETY),
    ("one worker", ["WORKERS=1", "SPAWNS=0", "PUSHES=2"], SAFETY),
    ("two workers that give", ["GIVES", "SPAWNS=0"], SAFETY),
    ("liveness, foreign push", ["LIVENESS", "SPAWNS=0", "COMPLETIONS=0"], []),
    ("liveness, what is given", ["LIVENESS", "GIVES", "FOREIGN=0", "SPAWNS=0"], []),
    ("liveness, spawn", ["LIVENESS", "FOREIGN=0", "COMPLETIONS=0"], []),
    ("liveness, completion", ["LIVENESS", "FOREIGN=0", "SPAWNS=0"], []),
]

# Mistake, what must be found, further definitions.
MISTAKES = [
    ("GIVE_WITHOUT_NOTIFY", "invalid end state", ["GIVES"]),
    ("LOOK_BEFORE_ANNOUNCE", "invalid end state"),
    ("LOOK_BEFORE_PUSH", "invalid end state"),
    ("NOTIFY_WITHOUT_INTERRUPT", "invalid end state"),
    ("END_WITHOUT_WAKE", "invalid end state"),
    ("NOTIFY_BY_STORE", "assertion violated"),
    ("SEARCH_FOR_EVER", "assertion violated"),
    ("PEEK_ONLY", "acceptance cycle"),
]


class Verifier:
    """The program that spin writes for one set of definitions, and what it said."""

    def __init__(self, compiler, definitions, flags):
        with tempfile.TemporaryDirectory(prefix="weft-spin-") as folder:
            options = [f"-D{definition}" for definition in definitions]
            self.call(folder, "spin", *options, "-a", MODEL)
            self.call(folder, compiler, "-w", "-O1", *flags, "-o", "pan", "pan.c")
            search = ["-a", "-f"] if "LIVENESS" in definitions else []
            begin = time.monotonic()
            self.output = self.call(folder, "./pan", "-m200000", *search)
            self.seconds = time.monotonic() - begin
        states = re.search(r"(\d+) states, stored", self.output)
        self.states = int(states.group(1)) if states else 0
        error = re.search(r"^pan:1: ([^(]*)", self.output, re.MULTILINE)
        self.error = error.group(1).strip() if error else None
        # A search that was cut short has proved nothing.
        if "max search depth too small" in self.output or "out of memory" in self.output:
            self.error = "search not completed"

    @staticmethod
    def call(folder, *command):
        result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed:\n{result.stdout}")
        return result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cc", default="cc")
    compiler = parser.parse_args().cc
    failures = 0
    for name, definitions, flags in SOUND:
        run = Verifier(compiler, definitions, flags)
        failures += run.error is not None or run.states == 0
        rate = run.states / max(run.seconds, 0.01)
        print(f"{name:30} {run.states:9,} states, {rate:9,.0f} per second: {run.error or 'sound'}",
              flush=True)
    for mistake, expected, *more in MISTAKES:
        live = ["LIVENESS"] if expected == "acceptance cycle" else []
        small = ["SPAWNS=0"] if live else []
        run = Verifier(compiler, [f"MISTAKE_{mistake}", "COMPLETIONS=0", *live, *small,
                                  *sum(more, [])], [] if live else SAFETY)
        failures += run.error is None or not run.error.startswith(expected)
        print(f"{mistake:30} {run.error or 'NOT FOUND'}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
